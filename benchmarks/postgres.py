"""The PostgreSQL store, on a server of its own that waits for the disk.

With `--sessions 1000000` there are a million sessions of ten messages: 11 GB, and some minutes.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import asyncpg
from pydantic_ai.messages import ModelMessagesTypeAdapter

from mythline.postgres import PostgresStore
from mythline.sessions import AgentSessions

from . import postgres_saves
from .lists import BOUND, calls
from .material import AGENT, Options, filled
from .measure import Figure, Line, compare
from .postgres_data import LENGTH, server
from .postgres_data import filled as database

FEW = 1000


async def run(options: Options) -> Iterator[Line]:
    tempfile.tempdir = str(options.directory)  # where the server has its folder
    found: list[Line] = []
    async with server() as postgres:
        large = await database(postgres, "large", options.sessions)
        small = await database(postgres, "small", FEW)
        found += await _sizes(large, options.sessions * LENGTH)
        found.append(await _indexed(small, FEW * LENGTH))
        found += await _asking(options, large, small)
        found += await _loads(options, small)
        found += await postgres_saves.run(options, large, small)
    return iter(found)


async def _sizes(address: str, messages: int) -> list[Line]:
    """What is on the disk, for each message; sessions, and all that finds them, included."""
    async with connected(address) as connection:
        (body,) = await connection.fetchrow(
            "SELECT avg(octet_length(body)) FROM mythline.entries WHERE agent_id = 'kinds'"
        )
        (total,) = await connection.fetchrow(
            "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = 'mythline' AND c.relkind = 'r'"
        )
        parts = await connection.fetch(
            "SELECT c.relname, pg_relation_size(c.oid) AS bytes FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname = 'mythline' AND c.relkind IN ('r', 'i') "
            "AND pg_relation_size(c.oid) >= 10 * $1::bigint ORDER BY 2 DESC",
            messages,
        )
    note = ", ".join(f"{row['relname']} {row['bytes'] / messages:.0f}" for row in parts)
    body = float(body)
    ours = float(total) / messages
    return [
        Figure("bytes on disk for a message / of it", ours, body, "bytes", ours / body, note=note)
    ]


async def _indexed(address: str, messages: int) -> Line:
    """What the search index of these messages takes: it is made here."""
    async with connected(address) as connection, PostgresStore(address) as store:
        await connection.execute("UPDATE mythline.sessions SET unindexed = true")
        start = perf_counter()
        await store.sessions(AGENT).search("shadowglen", limit=1)
        seconds = perf_counter() - start
        await connection.execute("VACUUM mythline.documents")
        size = await connection.fetchval(
            "SELECT pg_total_relation_size('mythline.documents') / $1::float8", messages
        )
    note = f"made at {messages / seconds:.0f} messages a second"
    return Figure("bytes of the search index for a message", size, unit="bytes", note=note)


async def _asking(options: Options, large: str, small: str) -> list[Line]:
    async with PostgresStore(large) as many_store, PostgresStore(small) as few_store:
        of_many, of_few = many_store.sessions(AGENT), few_store.sessions(AGENT)
        mine, theirs = _calls(options.sessions), _calls(FEW)
        return [
            await compare(
                f"{name}, of {options.sessions:,} sessions / {FEW:,}",
                lambda name=name: mine[name](of_many),
                lambda name=name: theirs[name](of_few),
                rounds=options.rounds(600),
                bound=BOUND,
            )
            for name in mine
        ]


def _calls(sessions: int) -> dict[str, Any]:
    found: dict[str, Any] = dict(calls(sessions))
    cursors: dict[AgentSessions, str | None] = {}

    async def further(where: AgentSessions) -> object:
        page = await where.list(limit=50, cursor=cursors.get(where))
        cursors[where] = page.next_cursor
        return page

    return {**found, "list(50), page after page": further}


async def _loads(options: Options, address: str) -> list[Line]:
    found: list[Line] = []
    async with PostgresStore(address) as store, connected(address) as connection:
        sessions = store.sessions("loads")
        for size, rounds in (
            (10, 1500),
            (50, 600),
            (options.messages // 10, 150),
            (options.messages, 21),
        ):
            name = f"loaded-{size}"
            conversation = await filled(sessions, name, size)
            array = ModelMessagesTypeAdapter.dump_json(conversation.messages)

            async def peer(array: bytes = array) -> None:
                await connection.fetchval("SELECT 1")
                ModelMessagesTypeAdapter.validate_json(array)

            found.append(
                await compare(
                    f"load {size:,} messages / SELECT 1, validate_json",
                    lambda name=name: sessions.load(name),
                    peer,
                    rounds=options.rounds(rounds),
                    bound=1.5,
                )
            )
    return found


@asynccontextmanager
async def connected(address: str) -> AsyncGenerator[Any]:
    """A connection of asyncpg's own."""
    connection = await asyncpg.connect(address)
    try:
        yield connection
    finally:
        await connection.close()
