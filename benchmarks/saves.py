"""Saving a turn, against a bare insert of the same bytes into SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from itertools import count, cycle
from pathlib import Path
from time import perf_counter

from pydantic_ai._conversation_marks import mark_stored, stored_boundary
from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter

from mythline import open_store
from mythline.sessions import AgentSessions

from .material import AGENT, Options, filled, places, scratch, turn
from .measure import Figure, Line, compare, figure, settle_memory

TOGETHER = 64
SHORT = 10
LONGEST = 60  # messages, at which a short session makes way for another


def bare(path: Path) -> Callable[[bytes], object]:
    """An insert by itself: WAL, `synchronous=FULL`, a transaction and a sync for each."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE turns (n INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    return lambda body: connection.execute("INSERT INTO turns (body) VALUES (?)", (body,))


class Turns:
    """The same turns for both sides: ours saves one, and the peer inserts its bytes."""

    def __init__(self) -> None:
        made = [turn() for _ in range(64)]
        self._messages = cycle(made)
        self._bodies = cycle([ModelMessagesTypeAdapter.dump_json(messages) for messages in made])

    def messages(self) -> list[ModelMessage]:
        return next(self._messages)

    def body(self) -> bytes:
        return next(self._bodies)


class Short:
    """Sessions that stay short: each has 10 messages and is saved to until it has 60."""

    def __init__(self, sessions: AgentSessions, prefix: str, turns: Turns) -> None:
        self._sessions = sessions
        self._turns = turns
        self._names = (f"{prefix}-{number}" for number in count())
        self._conversation: Conversation | None = None

    async def prepare(self) -> None:
        """Have a turn ready to be saved."""
        if self._conversation is None or len(self._conversation.messages) >= LONGEST:
            name = next(self._names)
            self._conversation = await filled(self._sessions, name, SHORT)
            await self._sessions.store.settle(self._sessions._key(name))
        self._conversation.messages.extend(self._turns.messages())

    async def save(self) -> None:
        assert self._conversation is not None
        await self._sessions.save(self._conversation)

    async def append(self) -> None:
        assert self._conversation is not None
        name = self._conversation.conversation_id
        await self._sessions.append(name, self._conversation.messages[-2:])


async def run(options: Options) -> Iterator[Line]:
    found: list[Line] = []
    for where, parent in places(options):
        with scratch(parent, "saves") as path:
            found += await _against_bare(options, path, where)
    with scratch(options.directory, "saves") as path:
        found += await _by_length(options, path)
    return iter(found)


async def _against_bare(options: Options, path: Path, where: str) -> list[Line]:
    found: list[Line] = []
    bound = None if where else 2.0
    insert = bare(path / "bare.sqlite3")
    turns = Turns()
    rounds = options.rounds(1500)
    for views in True, False:
        how = "" if views else ", no views"
        async with open_store(path / f"store{how[:4]}", views=views) as store:
            sessions = store.sessions(AGENT)
            for what in "save", "append":
                short = Short(sessions, f"{what}-short", turns)
                found.append(
                    await compare(
                        f"{what} a turn / bare insert{how}{where}",
                        getattr(short, what),
                        lambda: insert(turns.body()),
                        rounds=rounds,
                        bound=bound,
                        before=short.prepare,
                    )
                )
            if views:
                found.append(await _beside_loop(options, sessions, turns, insert, where))
                found.append(await _together(options, sessions, turns, insert, where))
    return found


async def _beside_loop(
    options: Options,
    sessions: AgentSessions,
    turns: Turns,
    insert: Callable[[bytes], object],
    where: str,
) -> Figure:
    """Against the insert as async code makes it, which mustn't block the event loop."""
    short = Short(sessions, "beside", turns)
    return await compare(
        f"save a turn / to_thread(bare insert){where}",
        short.save,
        lambda: asyncio.to_thread(insert, turns.body()),
        rounds=options.rounds(600),
        before=short.prepare,
    )


async def _together(
    options: Options,
    sessions: AgentSessions,
    turns: Turns,
    insert: Callable[[bytes], object],
    where: str,
) -> Figure:
    """So many saves at a time, which share their syncs, and as many inserts one after another."""
    shorts = [Short(sessions, f"together-{n}", turns) for n in range(TOGETHER)]
    pairs: list[tuple[float, float]] = []
    for number in range(-2, options.rounds(75)):
        await asyncio.gather(*(short.prepare() for short in shorts))
        if number == 0:
            settle_memory()
        bodies = [turns.body() for _ in range(TOGETHER)]
        start = perf_counter()
        await asyncio.gather(*(short.save() for short in shorts))
        middle = perf_counter()
        for body in bodies:
            insert(body)
        pairs.append(((middle - start) / TOGETHER, (perf_counter() - middle) / TOGETHER))
    return figure(f"{TOGETHER} saves at once, each / bare insert{where}", pairs[2:])


async def _by_length(options: Options, path: Path) -> list[Line]:
    found: list[Line] = []
    turns = Turns()
    rounds = options.rounds(600)
    size = options.messages
    async with open_store(path / "store") as store:
        sessions = store.sessions(AGENT)
        short = Short(sessions, "short", turns)
        whole = await filled(sessions, "whole", size)
        for name in "appended", "window":
            await filled(sessions, name, size)
        window = await sessions.load("window", limit=SHORT)
        assert window is not None
        for name in "whole", "appended", "window":
            await store.settle(sessions._key(name))

        async def prepare() -> None:
            nonlocal window
            await short.prepare()
            assert window is not None
            if len(window.messages) >= LONGEST:
                window = await sessions.load("window", limit=SHORT)
                assert window is not None
            for conversation in whole, window:
                conversation.messages.extend(turns.messages())

        async def save_window() -> None:
            assert window is not None
            await sessions.save(window)

        found.append(
            await compare(
                f"append to {size:,} messages / to {SHORT}",
                lambda: sessions.append("appended", turns.messages()),
                short.append,
                rounds=rounds,
                bound=1.2,
                before=prepare,
            )
        )
        short = Short(sessions, "beside-window", turns)
        found.append(
            await compare(
                f"save to {size:,} messages, {SHORT} loaded / to {SHORT}",
                save_window,
                short.save,
                rounds=rounds,
                bound=1.2,
                before=prepare,
            )
        )
        await sessions.save(whole)
        short = Short(sessions, "beside-whole", turns)
        saved = await compare(
            f"save to {size:,} messages, all loaded / to {SHORT}",
            lambda: sessions.save(whole),
            short.save,
            rounds=rounds,
            bound=1.2,
            before=prepare,
        )
        found.append(saved)
        found.append(await _pydantic_share(whole, saved))
        short = Short(sessions, "in-a-row", turns)
        pairs: list[tuple[float, float]] = []
        for _ in range(3 if options.quick else 5):
            long_mean = await _mean(options, prepare, save_window)
            pairs.append((long_mean, await _mean(options, prepare, short.save)))
        what = f"the same in a row, {SHORT} loaded: mean, with its views"
        found.append(figure(what, pairs))
    return found


async def _pydantic_share(whole: Conversation, saved: Figure) -> Line:
    """What Pydantic AI's own bookkeeping takes of a save of a long conversation."""

    def mark() -> None:
        stored_boundary(whole)
        mark_stored(whole, list(whole.messages))

    share = await compare("", mark, mark, rounds=50)
    what = "… of which Pydantic AI marks what is stored"
    return Figure(what, share.ours, saved.ours, ratio=share.ours / saved.ours)


async def _mean(
    options: Options,
    prepare: Callable[[], Awaitable[None]],
    save: Callable[[], Awaitable[None]],
) -> float:
    """Seconds per save over a while of them, with what the background takes in that time."""
    start = perf_counter()
    number = 0
    while perf_counter() - start < (0.6 if options.quick else 1.5):
        await prepare()
        await save()
        number += 1
    return (perf_counter() - start) / number
