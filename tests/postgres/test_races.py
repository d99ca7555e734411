"""Many at once over PostgreSQL: of two who want the same, one gets it, and nothing is torn."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import operator
import sys
from collections import Counter
from typing import Any

import asyncpg
import pytest
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.exceptions import UserError

from mythline.errors import (
    MythlineError,
    RevisionConflict,
    SessionNotFound,
)
from mythline.postgres import PostgresStore
from mythline.postgres.rows import lock_on_id
from mythline.store import SessionKey
from tests.postgres.servers import ask
from tests.postgres.support import check_whole, eventually, texts, turn


@pytest.fixture
async def stores(database):
    """Stores as different servers have them."""
    async with contextlib.AsyncExitStack() as stack:
        opened = [PostgresStore(database, pool_size=4) for _ in range(4)]
        for store in opened:
            await stack.enter_async_context(store)
        yield opened


async def outcomes(calls: list[Any]) -> Counter[str]:
    """How often calls that are made at once end in which way."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, MythlineError):
            raise each
    return Counter(
        type(each).__name__ if isinstance(each, BaseException) else "done" for each in found
    )


@pytest.mark.parametrize(
    "tries", [300, pytest.param(10_000, marks=pytest.mark.slow)], ids=["some", "many"]
)
async def test_of_two_with_the_same_revision_one_wins(database, stores, tries):
    one, other = (store.sessions("agent") for store in stores[:2])
    revision = (await one.create("one")).revision

    async def store_turn(sessions: Any, text: str) -> str | None:
        try:
            saved = await sessions.append("one", turn(text), expected_revision=revision)
        except RevisionConflict:
            return None
        return saved.revision

    won: list[str] = []
    for number in range(tries):
        names = f"{number} one", f"{number} other"
        found = await asyncio.gather(store_turn(one, names[0]), store_turn(other, names[1]))
        (revision,) = [each for each in found if each is not None]
        won.append(names[0] if found[0] else names[1])
    assert (await texts(one, "one"))[::2] == won
    assert (await one.info("one")).message_count == 2 * tries
    check_whole(database)


async def test_of_two_saves_of_a_conversation_one_wins(database, stores):
    one, other = (store.sessions("agent") for store in stores[:2])
    await one.create("one")
    for number in range(50):
        loaded = [await sessions.load("one") for sessions in (one, other)]
        for conversation, name in zip(loaded, ("one", "other"), strict=True):
            conversation.messages.extend(turn(f"{number} {name}"))
        found = await asyncio.gather(
            one.save(loaded[0]), other.save(loaded[1]), return_exceptions=True
        )
        assert [type(each) for each in found].count(ConversationConflict) == 1
    assert (await one.info("one")).message_count == 100
    check_whole(database)


async def test_appends_of_sixteen_clients(database, stores):
    """Gapless, each whole, those of each client in their order."""
    await stores[0].sessions("agent").create("one")

    async def client(number: int) -> list[int]:
        sessions = stores[number % len(stores)].sessions("agent")
        return [
            (await sessions.append("one", turn(f"{number}.{each}"))).message_count
            for each in range(15)
        ]

    counts = await asyncio.gather(*map(client, range(16)))
    assert sorted(functools.reduce(operator.iadd, counts, [])) == list(range(2, 2 * 16 * 15 + 1, 2))
    check_turns(await texts(stores[0].sessions("agent"), "one"), clients=16, each=15)
    check_whole(database)


def check_turns(found: list[str], *, clients: int, each: int) -> None:
    questions, answers = found[::2], found[1::2]
    assert answers == [f"{question}!" for question in questions]
    for number in range(clients):
        own = [text for text in questions if text.startswith(f"{number}.")]
        assert own == [f"{number}.{index}" for index in range(each)]
    assert len(questions) == clients * each


PROGRAM = """
import asyncio, sys
from mythline import open_store
from tests.postgres.support import turn

async def main(dsn, first):
    async with open_store(dsn) as store:
        sessions = store.sessions("agent")
        async def client(number):
            for each in range(100):
                await sessions.append("one", turn(f"{number}.{each}"))
        await asyncio.gather(*[client(first + each) for each in range(4)])

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@pytest.mark.slow
async def test_appends_of_sixteen_clients_in_four_processes(database):
    async with PostgresStore(database) as store:
        await store.sessions("agent").create("one")
    programs = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, database, str(first))
        for first in range(0, 16, 4)
    ]
    assert [await asyncio.wait_for(each.wait(), 300) for each in programs] == [0] * 4
    async with PostgresStore(database) as store:
        sessions = store.sessions("agent")
        check_turns(await texts(sessions, "one"), clients=16, each=100)
        assert (await sessions.info("one")).message_count == 3200
    check_whole(database)


async def test_of_many_who_create_an_id_one_does(database, stores):
    for number in range(20):
        found = await outcomes(
            [store.sessions("agent").create(f"session-{number}") for store in stores * 3]
        )
        assert found == {"done": 1, "SessionExists": 11}
    check_whole(database)


async def test_the_same_idempotency_key_at_once(database, stores):
    sessions = stores[0].sessions("agent")
    for number in range(15):
        name = f"session-{number}"
        revision = (await sessions.create(name)).revision
        expected = revision if number % 2 else None
        sent = turn("once")
        found = await asyncio.gather(
            *[
                store.sessions("agent").append(
                    name, sent, idempotency_key="a key", expected_revision=expected
                )
                for store in stores * 2
            ]
        )
        assert len({(each.revision, each.entry_ids, each.message_count) for each in found}) == 1
        assert await texts(sessions, name) == ["once", "once!"]
    check_whole(database)


async def forked(sessions: Any, source: str, fork: str, **scopes: str) -> str:
    try:
        await sessions.fork(source, new_conversation_id=fork, **scopes)
    except (UserError, ConversationConflict, RevisionConflict):
        return "refused"
    return "made"


async def test_forks_while_the_source_is_purged(database, stores):
    sessions = stores[0].sessions("agent")
    made = Counter[str]()
    for number in range(40):
        source, fork = f"source-{number}", f"fork-{number}"
        await sessions.create(source)
        await sessions.append(source, turn("shared"))

        purged, outcome = await asyncio.gather(
            stores[2].delete(SessionKey(None, "agent", source), permanent=True),
            forked(stores[1].sessions("agent"), source, fork),
        )
        assert purged
        made[outcome] += 1
        if outcome == "made":
            assert await texts(sessions, fork) == ["shared", "shared!"]
            await sessions.append(fork, turn("goes on"))
        else:
            assert not await sessions.exists(fork)
    check_whole(database)
    assert await sessions.delete_all(permanent=True) == made["made"]
    assert ask(database, "SELECT count(*) FROM mythline.entries") == [(0,)]
    assert ask(database, "SELECT count(*) FROM mythline.lines") == [(0,)]


_OTHERS = [("one", "bob"), ("two", "bob"), ("three", "carol")]


async def test_forks_for_other_owners_at_once(database, stores):
    alice = stores[0].sessions("agent", owner="alice")
    for number in range(12):
        source = f"source-{number}"
        await alice.create(source)
        await alice.append(source, turn("shared"))
        forks = [(f"{name}-{number}", scope) for name, scope in _OTHERS]
        purges = [stores[3].sessions("agent", owner="alice").purge] * (number % 2)

        made = await asyncio.gather(
            *[
                forked(store.sessions("agent"), source, fork, scope=scope, source_scope="alice")
                for store, (fork, scope) in zip(stores, forks, strict=False)
            ],
            *[purge(source) for purge in purges],
        )
        for (fork, scope), outcome in zip(forks, made, strict=False):
            theirs = stores[0].sessions("agent", owner=scope)
            if outcome == "made":
                assert await texts(theirs, fork) == ["shared", "shared!"]
            else:
                assert purges
                assert not await theirs.exists(fork)
    check_whole(database)


async def test_appends_while_forks_are_purged(database, stores):
    sessions, other = stores[0].sessions("agent"), stores[1].sessions("agent")
    await sessions.create("one")
    stored: list[str] = []
    done = asyncio.Event()

    async def append() -> None:
        while not done.is_set():
            text = f"turn {len(stored) // 2}"
            await other.append("one", turn(text))
            stored.extend([text, f"{text}!"])

    appending = asyncio.create_task(append())
    try:
        for _ in range(60):
            await sessions.fork_at("one", new_session_id="fork")
            await stores[2].delete(SessionKey(None, "agent", "fork"), permanent=True)
    finally:
        done.set()
        await appending
    assert await texts(sessions, "one") == stored
    check_whole(database)


async def test_of_many_deletes_one_does(database, stores):
    sessions = stores[0].sessions("agent")
    for number in range(15):
        name = f"session-{number}"
        await sessions.create(name)
        key = SessionKey(None, "agent", name)
        assert sorted(await asyncio.gather(*[store.delete(key) for store in stores])) == [
            *[False] * 3,
            True,
        ]
        found = await outcomes([store.restore(key) for store in stores])
        assert found == {"done": 1, "SessionNotFound": 3}
        assert await sessions.exists(name)


async def test_restores_and_creations_of_one_id(database, stores):
    sessions = stores[0].sessions("agent")
    for number in range(15):
        name = f"session-{number}"
        await sessions.create(name, title="the old one")
        await sessions.delete(name)
        found = await outcomes(
            [
                stores[1].restore(SessionKey(None, "agent", name)),
                stores[2].sessions("agent").create(name, title="the new one"),
            ]
        )
        assert found == {"done": 1, "SessionExists": 1}
        assert await sessions.exists(name)
    check_whole(database)


async def test_appends_while_it_is_deleted_and_restored(database, stores):
    sessions = stores[0].sessions("agent")
    await sessions.create("one")
    stored = 0
    done = asyncio.Event()

    async def append() -> None:
        nonlocal stored
        other = stores[1].sessions("agent")
        while not done.is_set():
            with contextlib.suppress(SessionNotFound):
                await other.append("one", turn("more"))
                stored += 1

    appending = asyncio.create_task(append())
    try:
        for _ in range(25):
            assert await stores[2].delete(SessionKey(None, "agent", "one"))
            await stores[3].restore(SessionKey(None, "agent", "one"))
    finally:
        done.set()
        await appending
    assert (await sessions.info("one")).message_count == 2 * stored
    check_whole(database)


async def test_stores_that_are_opened_at_once_make_the_schema_once(new_database):
    for _ in range(3):
        dsn = new_database()
        stores = [PostgresStore(dsn, pool_size=1) for _ in range(6)]
        await asyncio.gather(*[store.open() for store in stores])
        try:
            await stores[0].sessions("agent").create("one")
            assert await stores[5].sessions("agent").exists("one")
        finally:
            await asyncio.gather(*[store.close() for store in stores])
        assert ask(dsn, "SELECT count(*) FROM mythline.schema") == [(1,)]


async def test_migrations_at_once(database):
    stores = [PostgresStore(database) for _ in range(5)]
    assert len(set(await asyncio.gather(*[store.migrate() for store in stores]))) == 1


async def test_a_restore_waits_for_whoever_makes_a_session_with_its_id(database, stores):
    """An id that an ownerless caller knows is one session's, whoever owns it."""
    sessions = stores[0].sessions("agent")
    await sessions.create("one")
    await sessions.delete("one")
    number = lock_on_id(SessionKey(None, "agent", "one"))
    waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    other = await asyncpg.connect(database)
    try:
        await other.execute("SELECT pg_advisory_lock($1)", number)
        restored = asyncio.create_task(sessions.restore("one"))
        await eventually(lambda: ask(database, waiting) or restored.done(), "it waits")
        assert not restored.done()
    finally:
        await other.close()
    assert (await restored).session_id == "one"
