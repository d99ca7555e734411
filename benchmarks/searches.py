"""Searching among many messages, against the same query of the bare index; saves beside it."""

from __future__ import annotations

import asyncio
import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from mythline import messages, open_store
from mythline.ids import new_entry_ids
from mythline.local import LocalStore, lines, rows
from mythline.models import now_micros
from mythline.testing.samples import answer, prompt

from .material import AGENT, Options, scratch
from .measure import Figure, Line, compare
from .saves import Short, Turns

MESSAGES = 10
VOCABULARY = 50_000
BOUND = 3.0
TOGETHER = 50
QUERIES = {
    "a frequent word": ("word3", '"1_word3" OR "1_word3s"'),
    "a word": ("word40", '"1_word40" OR "1_word40s"'),
    "two words": ("word5 word9", '("1_word5" OR "1_word5s") AND ("1_word9" OR "1_word9s")'),
    "a phrase": ('"word1 word2"', '"1_word1 1_word2"'),
    "a beginning": ("word12*", '"1_word12" *'),
}


class _Prose:
    """Texts whose words are as frequent as in a language: the n-th has 1/n of the first's share."""

    def __init__(self) -> None:
        chance = random.Random(11)
        shares = itertools.accumulate(1 / number for number in range(1, VOCABULARY + 1))
        names = [f"word{number}" for number in range(1, VOCABULARY + 1)]
        self._pool = chance.choices(names, cum_weights=list(shares), k=1_000_000)
        self._chance = chance

    def text(self) -> str:
        start = self._chance.randrange(len(self._pool) - 60)
        return " ".join(self._pool[start : start + self._chance.randrange(10, 50)])


async def _fill(store: LocalStore, sessions: int) -> None:
    """Make sessions of `MESSAGES` messages each: what saves make, but in bulk."""
    prose = _Prose()
    now = now_micros()

    def add(connection: Any, start: int, end: int) -> None:
        for number in range(start, end):
            place = ("", AGENT, f"session_{number:08}")
            revision, *identities = new_entry_ids(1 + MESSAGES)
            rows.add(connection, place, revision, now + number, now + number)
            row = rows.session(connection, place)
            bodies = messages.dump(
                [(answer if n % 2 else prompt)(prose.text()) for n in range(MESSAGES)]
            )
            new = list(zip(identities, bodies, strict=True))
            head = lines.extend(connection, 0, new)[-1]
            rows.move(
                connection,
                row,
                head,
                revision=revision,
                updated=now + number,
                added=bodies,
                noted=None,
            )

    for start in range(0, sessions, 1000):
        await store._database.write(
            lambda connection, start=start: add(connection, start, min(sessions, start + 1000)),
            durable=False,
        )


def _bare(path: Path) -> Callable[[str], object]:
    """The first hits of a query of the index by itself."""
    connection = sqlite3.connect(path / "sessions.sqlite3", check_same_thread=False)
    connection.execute("PRAGMA cache_size = -8000")
    statement = "SELECT rowid, rank FROM words WHERE words MATCH ? ORDER BY rank LIMIT 20"
    return lambda expression: connection.execute(statement, (expression,)).fetchall()


async def run(options: Options) -> Iterator[Line]:
    found: list[Line] = []
    with scratch(options.directory, "searches") as path:
        async with LocalStore(path, views=False) as store:
            await _fill(store, options.sessions)
            sessions = store.sessions(AGENT)
            start = perf_counter()
            await sessions.search("word3")
            count = options.sessions * MESSAGES
            found.append(Figure(f"indexing {count:,} messages", perf_counter() - start))
            query = _bare(path)
            for name, (typed, expression) in QUERIES.items():
                found.append(
                    await compare(
                        f"search for {name}, of {count:,} messages / bare index",
                        lambda typed=typed: sessions.search(typed),
                        lambda expression=expression: query(expression),
                        rounds=options.rounds(60),
                        bound=BOUND,
                    )
                )
            for number in range(0, options.sessions, options.sessions // 20):
                await sessions.update(f"session_{number:08}", tags=["few"])
            found.append(
                await compare(
                    f"search among 20 sessions with a tag, of {count:,} messages / bare index",
                    lambda: sessions.search("word3", tag="few"),
                    lambda: query(QUERIES["a frequent word"][1]),
                    rounds=options.rounds(60),
                )
            )
            start = perf_counter()
            await sessions.purge("session_00000005")
            found.append(Figure(f"purge a session, of {count:,} messages", perf_counter() - start))
    found.append(await _saves(options))
    return iter(found)


async def _saves(options: Options) -> Line:
    """Saves and all the indexing that they cause, against saves alone."""
    turns = Turns()
    with scratch(options.directory, "searches") as path:
        async with open_store(path / "with") as one, open_store(path / "without") as other:
            for store in one, other:
                assert isinstance(store, LocalStore)
                store._indexing.close()  # what is indexed here is done below
            shorts = [Short(store.sessions(AGENT), "short", turns) for store in (one, other)]
            await shorts[0].prepare()
            await shorts[1].prepare()

            def index() -> None:
                assert isinstance(one, LocalStore)
                one._indexing.read_new("", None, lambda _connection: None)

            async def save(short: Short, *, is_indexed: bool) -> None:
                for _ in range(TOGETHER):
                    await short.prepare()
                    await short.save()
                if is_indexed:
                    await asyncio.to_thread(index)

            return await compare(
                f"{TOGETHER} saves and their indexing / not indexed",
                lambda: save(shorts[0], is_indexed=True),
                lambda: save(shorts[1], is_indexed=False),
                rounds=options.rounds(75),
                bound=1.3,
            )
