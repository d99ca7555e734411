"""Saving a turn to PostgreSQL, against a bare insert of the same bytes by asyncpg."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import asyncpg
from pydantic_ai.conversation import Conversation

from mythline.postgres import PostgresStore

from .material import AGENT, Options, filled
from .measure import Line, compare, figure, settle_memory
from .saves import SHORT, Short, Turns

CLIENTS = (1, 4, 16, 64)
TABLE = (
    "CREATE TABLE turns (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)"
)
INSERT = "INSERT INTO turns (body) VALUES ($1)"
NO_WAIT = "?synchronous_commit=off"


async def run(options: Options, large: str, small: str) -> list[Line]:
    """Into a store of many sessions, with waiting for the disk and without."""
    connection: Any = await asyncpg.connect(large)
    await connection.execute(TABLE)
    await connection.close()
    return [
        await _alone(options, large, "", 1.5),
        await _alone(options, large, " between BEGIN and COMMIT", 1.5, block=True),
        await _alone(options, large + NO_WAIT, ", no wait for the disk", None),
        await _by_size(options, large, small),
        *[await _clients(options, large, number, "") for number in CLIENTS],
        *[await _clients(options, large + NO_WAIT, number, ", no wait") for number in CLIENTS],
    ]


async def _alone(
    options: Options, address: str, where: str, bound: float | None, *, block: bool = False
) -> Line:
    """One save after the other, against one INSERT after the other.

    Each INSERT is a transaction by itself; with `block`, by `connection.transaction()`.
    """
    turns = Turns()
    connection: Any = await asyncpg.connect(address)

    async def insert() -> None:
        if not block:
            await connection.execute(INSERT, turns.body())
            return
        async with connection.transaction():
            await connection.execute(INSERT, turns.body())

    async with PostgresStore(address) as store:
        short = Short(store.sessions(AGENT), f"alone{len(where)}", turns)
        try:
            return await compare(
                f"save a turn / bare INSERT{where}",
                short.save,
                insert,
                rounds=options.rounds(1500),
                before=short.prepare,
                bound=bound,
            )
        finally:
            await connection.close()


async def _by_size(options: Options, large: str, small: str) -> Line:
    turns = Turns()
    async with PostgresStore(large) as many, PostgresStore(small) as few:
        ours, peer = (Short(store.sessions(AGENT), "by-size", turns) for store in (many, few))

        async def prepare() -> None:
            await ours.prepare()
            await peer.prepare()

        return await compare(
            f"save a turn, among {options.sessions:,} sessions / few",
            ours.save,
            peer.save,
            rounds=options.rounds(600),
            before=prepare,
        )


async def _clients(options: Options, address: str, number: int, where: str) -> Line:
    """So many clients, each with a session of its own and one save after the other."""
    turns = Turns()
    each = max(1, (32 if options.quick else 128) // number)
    prefix = f"client{len(where)}-{number}"
    pairs: list[tuple[float, float]] = []
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(PostgresStore(address, pool_size=number))
        sessions = store.sessions(AGENT)
        connections: list[Any] = []
        for _ in range(number):
            connection: Any = await asyncpg.connect(address)
            stack.push_async_callback(connection.close)
            connections.append(connection)

        async def save(conversation: Conversation) -> None:
            for _ in range(each):
                conversation.messages.extend(turns.messages())
                await sessions.save(conversation)

        async def insert(connection: Any) -> None:
            for _ in range(each):
                await connection.execute(INSERT, turns.body())

        for round_ in range(-2, options.rounds(30)):
            conversations = [
                await filled(sessions, f"{prefix}-{round_ + 2}-{client}", SHORT)
                for client in range(number)
            ]
            if round_ == 0:
                settle_memory()
            start = perf_counter()
            await asyncio.gather(*map(save, conversations))
            middle = perf_counter()
            await asyncio.gather(*map(insert, connections))
            count = each * number
            pairs.append(((middle - start) / count, (perf_counter() - middle) / count))
    found = figure(f"saves of {number} clients, each / bare INSERTs{where}", pairs[2:])
    assert found.peer is not None
    note = f"{1 / found.ours:.0f} against {1 / found.peer:.0f} a second"
    return dataclasses.replace(found, note=note)
