"""Lists and look-ups among many sessions, against the same among a hundred; opening likewise."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import sys
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

from mythline import messages, open_store
from mythline.local import LocalStore
from mythline.sessions import AgentSessions

from .material import AGENT, Options, many, scratch, turn
from .measure import Check, Figure, Line, compare
from .startup import call

FEW = 100
BOUND = 2.0
Call = Callable[[AgentSessions], Awaitable[object]]


def _name(number: int) -> str:
    return f"session_{number:08}"


def calls(sessions: int) -> dict[str, Call]:
    """What is measured, each for a session from anywhere in the store."""
    places = count(sessions // 3, 7919)

    def any_one() -> str:
        return _name(next(places) % sessions)

    return {
        "list(50)": lambda where: where.list(limit=50),
        "latest": lambda where: where.latest(),
        "exists": lambda where: where.exists(any_one()),
        "exists, for none": lambda where: where.exists("session_none"),
        "info": lambda where: where.info(any_one()),
    }


async def run(options: Options) -> Iterator[Line]:
    found: list[Line] = []
    bodies = messages.dump(turn())
    with scratch(options.directory, "lists") as path:
        large, small = path / "large", path / "small"
        for place, size in (large, options.sessions), (small, FEW):
            store = LocalStore(place)
            async with store:
                await many(store, size, bodies)
        found += await _opening(options, large, small)
        found += await _asking(options, large, small)
        found.append(await _command(options, large, small))
    return iter(found)


async def _opening(options: Options, large: Path, small: Path) -> list[Line]:
    async def cycle(path: Path) -> None:
        async with open_store(path):
            pass

    what = f"open and close, {options.sessions:,} sessions / {FEW}"
    rounds = options.rounds(75)
    return [
        await compare(what, lambda: cycle(large), lambda: cycle(small), rounds=rounds, bound=BOUND)
    ]


async def _command(options: Options, large: Path, small: Path) -> Line:
    """A process that lists and is gone: what it begins in the background is in its way."""
    start = [sys.executable, "-m", "mythline", "list", "--limit", "50", "--store"]
    return await compare(
        f"mythline list, {options.sessions:,} sessions / {FEW}",
        lambda: call([*start, str(large)]),
        lambda: call([*start, str(small)]),
        rounds=3 if options.quick else 5,
        warm=1,
        note="to be within 0.5 s",
    )


async def _asking(options: Options, large: Path, small: Path) -> list[Line]:
    found: list[Line] = []
    async with open_store(large) as many_store, open_store(small) as few_store:
        of_many, of_few = many_store.sessions(AGENT), few_store.sessions(AGENT)
        assert isinstance(many_store, LocalStore)
        start = perf_counter()
        page = await of_many.list(limit=50)
        first_list = perf_counter() - start
        start = perf_counter()
        await many_store._watch.compared("", AGENT, patient=True)
        compared = first_list + perf_counter() - start
        start = perf_counter()
        await of_few.list(limit=50)
        first_of_few = perf_counter() - start
        assert page[0].session_id == _name(options.sessions - 1)
        found.append(Figure("first list after open", first_list, first_of_few))
        found.append(Figure("… until its folder was compared", compared))
        mine, theirs = calls(options.sessions), calls(FEW)
        found += [
            await compare(
                f"{name}, of {options.sessions:,} sessions / {FEW}",
                lambda name=name: mine[name](of_many),
                lambda name=name: theirs[name](of_few),
                rounds=options.rounds(300),
                bound=BOUND,
            )
            for name in mine
        ]
        found += await _plans(many_store, of_many, mine)
    return found


async def _plans(store: LocalStore, sessions: AgentSessions, mine: dict[str, Call]) -> list[Line]:
    """That nothing is scanned or sorted, and no message read, as SQLite and Python tell it."""
    statements: set[str] = set()
    columns: set[tuple[str, str]] = set()
    connect = store._database._connect

    def traced() -> sqlite3.Connection:
        connection = connect()

        def allow(action: int, one: str | None, other: str | None, *_: Any) -> int:
            if action == sqlite3.SQLITE_READ:
                columns.add((str(one), str(other)))
            return sqlite3.SQLITE_OK

        connection.set_authorizer(allow)
        connection.set_trace_callback(statements.add)
        return connection

    def refuse(*_: object) -> None:
        raise AssertionError("a message was read")

    while store._database._idle_readers:
        store._database._idle_readers.pop().close()
    with contextlib.ExitStack() as patched:
        patched.enter_context(patch.object(store._database, "_connect", traced))
        for name in "read", "read_array", "readable", "split":
            patched.enter_context(patch.object(messages, name, refuse))
        for call in mine.values():
            await call(sessions)
    connection = connect()
    steps: list[str] = []
    for statement in sorted(statements):
        if statement.startswith("SELECT"):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            steps += [row[3] for row in plan]
    connection.close()
    bad = [step for step in steps if re.match(r"SCAN (?!\(subquery)", step) or "TEMP B-" in step]
    return [
        Check("no scan and no sorting in any of them", bool(steps) and not bad, "; ".join(bad)),
        Check(
            "no message body is read by any of them",
            bool(columns) and ("entries", "body") not in columns,
        ),
    ]
