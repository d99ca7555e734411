"""Events between servers: each once and in order, also when commits come in another."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from mythline.models import now_micros
from mythline.postgres import PostgresStore
from mythline.postgres import events as following
from mythline.postgres.statements import SQL
from mythline.postgres.trash import HOUR
from tests.postgres.plans import statements
from tests.postgres.servers import ask
from tests.postgres.support import eventually, turn

PATIENCE = 60  # seconds, on a machine that is busy; only a fault takes so long


@pytest.fixture
async def stores(database):
    async with PostgresStore(database) as one, PostgresStore(database) as other:
        yield one, other


@contextlib.asynccontextmanager
async def followed(
    store: PostgresStore, after: str | None = None, **where: Any
) -> AsyncIterator[Any]:
    events = store.events(where.get("owner"), where.get("agent_id", "agent"), after=after)
    try:
        async with asyncio.timeout(PATIENCE):
            if after is None:
                assert (await anext(events)).type == "ready"
            yield events
    finally:
        await events.aclose()


async def test_events_of_another_server_come_within_a_second(stores):
    one, other = stores
    sessions = other.sessions("agent")
    delays: list[float] = []
    async with followed(one) as events:
        await sessions.create("one")
        assert (await anext(events)).type == "created"
        for number in range(5):
            start = time.monotonic()
            saved = await sessions.append("one", turn(str(number)))
            event = await anext(events)
            delays.append(time.monotonic() - start)
            assert (event.type, event.session_id) == ("appended", "one")
            assert event.revision == saved.revision
    assert sorted(delays)[2] < 1


async def test_a_loop_that_ends_after_its_save_leaves_nothing_behind(database, caplog):
    """As that of `run_sync` in a thread: others are notified of the next change all the same."""
    async with PostgresStore(database) as store:
        sessions = store.sessions("agent")

        def save() -> None:
            loop = asyncio.new_event_loop()
            loop.run_until_complete(sessions.create("one"))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

        await asyncio.to_thread(save)
        with statements() as asked:
            await sessions.create("two")
            await eventually(
                lambda: any(sql == SQL["notify"] for sql, _ in asked), "others are notified"
            )
        gc.collect()
    assert "Task was destroyed" not in caplog.text


async def test_many_who_follow_look_together(database, proxy):
    """Each for itself, they would leave few connections to anyone else."""
    many = 60
    async with PostgresStore(proxy.dsn(database)) as store, contextlib.AsyncExitStack() as stack:
        followers = [await stack.enter_async_context(followed(store)) for _ in range(many)]
        waiting = [asyncio.ensure_future(anext(follower)) for follower in followers]
        start = time.monotonic()
        with proxy.recording() as traffic:
            await store.sessions("agent").create("one")
            events = await asyncio.gather(*waiting)
        ticks = (time.monotonic() - start) / following.EVERY
    assert {(event.type, event.session_id) for event in events} == {("created", "one")}
    looks = [sql for sql in traffic.executed if "events_dropped" in sql]
    reads = [sql for sql in traffic.executed if "FROM mythline.events\n" in sql]
    for found in (looks, reads):
        assert 1 <= len(found) <= 6 + 2 * ticks


async def test_one_of_many_who_leaves_takes_nothing_from_the_others(stores):
    one, other = stores
    async with followed(one) as events, followed(one) as others:
        for number in range(20):
            leaving = asyncio.ensure_future(anext(others))
            await other.sessions("agent").create(f"s{number}")
            await asyncio.sleep(number / 1000)
            leaving.cancel()
            await asyncio.wait({leaving})
            assert (await anext(events)).session_id == f"s{number}"
            await others.aclose()
            others = one.events(None, "agent")
            assert (await anext(others)).type == "ready"
        await others.aclose()


async def test_without_notifications_they_come_as_well(database):
    async with (
        PostgresStore(database, transaction_pooling=True) as one,
        PostgresStore(database, transaction_pooling=True) as other,
        followed(one) as events,
    ):
        start = time.monotonic()
        await other.sessions("agent").create("one")
        assert (await anext(events)).type == "created"
        assert time.monotonic() - start < 5


async def test_all_kinds_in_order(stores):
    one, other = stores
    sessions = other.sessions("agent")
    async with followed(one) as events, followed(one, agent_id=None) as all_events:
        await sessions.create("one")
        await sessions.append("one", turn("first"))
        await sessions.rename("one", "A title")
        await sessions.update("one", tags=["a"])
        revision = (await sessions.info("one")).revision
        await sessions.branch("one", at=1, expected_revision=revision)
        await sessions.delete("one")
        await sessions.restore("one")
        await sessions.purge("one")
        kinds = "created appended renamed updated changed deleted restored purged".split()
        for found in (events, all_events):
            got = [await anext(found) for _ in kinds]
            assert [event.type for event in got] == kinds
            numbers = [int(event.event_id) for event in got]
            assert numbers == sorted(set(numbers))
    async with followed(one, after=got[2].event_id) as events:
        assert [(await anext(events)).event_id for _ in kinds[3:]] == [
            event.event_id for event in got[3:]
        ]


async def test_commits_in_another_order(database, stores):
    """Of two changes the first to be numbered is the last to be committed: nobody misses it."""
    one, other = stores
    await one.sessions("agent").create("slow")
    connection = await asyncpg.connect(database)
    async with followed(one) as events:
        await connection.execute("BEGIN")
        await connection.execute(SQL["note"], "", "agent", "slow", "updated", None, now_micros())
        await other.sessions("agent").create("quick")
        await other.sessions("agent").append("quick", turn("first"))
        waiting = asyncio.create_task(anext(events))
        done, _ = await asyncio.wait([waiting], timeout=3 * following.EVERY)
        assert not done  # it isn't gone past the one that is yet to come
        await connection.execute("COMMIT")
        got = [await waiting, await anext(events), await anext(events)]
        assert [(event.session_id, event.type) for event in got] == [
            ("slow", "updated"),
            ("quick", "created"),
            ("quick", "appended"),
        ]
    await connection.close()


async def test_a_change_that_is_undone_holds_nobody_up(database, stores):
    one, other = stores
    connection = await asyncpg.connect(database)
    async with followed(one) as events:
        await connection.execute("BEGIN")
        await connection.execute(SQL["note"], "", "agent", "never", "updated", None, now_micros())
        await other.sessions("agent").create("quick")
        await connection.execute("ROLLBACK")
        assert (await anext(events)).session_id == "quick"
    await connection.close()


async def test_none_is_missed_when_many_save(stores):
    one, other = stores
    names = [f"session-{number}" for number in range(8)]

    async def save(name: str, store: PostgresStore) -> list[str]:
        sessions = store.sessions("agent")
        saved = [(await sessions.create(name)).revision]
        for number in range(25):
            appended = await sessions.append(name, turn(str(number)))
            saved.append(appended.revision)
        return saved

    async with followed(one) as events, followed(other) as others:
        calls = [save(name, stores[index % 2]) for index, name in enumerate(names)]
        saved = dict(zip(names, await asyncio.gather(*calls), strict=True))
        for found in (events, others):
            got = [await anext(found) for _ in range(8 * 26)]
            assert len({event.event_id for event in got}) == len(got)
            for name in names:
                revisions = [event.revision for event in got if event.session_id == name]
                assert revisions == saved[name]


async def test_who_comes_back_while_others_save_misses_nothing(database, stores):
    """Also when an older change is yet to be committed: that is no reason to begin anew."""
    one, other = stores
    sessions = other.sessions("agent")
    await sessions.create("one")
    connection = await asyncpg.connect(database)
    async with followed(one) as events:
        await sessions.append("one", turn("first"))
        seen = (await anext(events)).event_id
    # Somebody read the last number before that one was given, and takes its own only now.
    lock = await connection.fetchval(
        "SELECT (($1::bigint << 48) | ($2::bigint - 1)) AS lock", 0x4D79, int(seen)
    )
    await connection.execute("BEGIN")
    await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", lock)
    events = one.events(None, "agent", after=seen)
    coming = asyncio.create_task(anext(events))
    done, _ = await asyncio.wait([coming], timeout=2 * following.EVERY)
    assert not done
    await connection.execute("COMMIT")
    await sessions.append("one", turn("second"))
    async with asyncio.timeout(PATIENCE):
        assert (await coming).type == "appended"
    await events.aclose()
    await connection.close()


async def test_a_listening_connection_that_is_killed(database, postgres_server, stores):
    one, other = stores
    admin = postgres_server.admin_dsn(database.rpartition("/")[2])
    listens = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
    async with followed(one) as events:
        for number in range(3):
            await eventually(lambda: ask(admin, f"SELECT {listens}"), "it listens")
            ask(admin, f"SELECT pg_terminate_backend(pid) {listens}")
            await other.sessions("agent").create(f"session-{number}")
            assert (await anext(events)).session_id == f"session-{number}"
        await eventually(lambda: ask(admin, f"SELECT {listens}"), "it listens again")
    await eventually(lambda: not ask(admin, f"SELECT {listens}"), "nobody listens any more")


async def test_following_survives_a_network_that_is_cut(database, proxy):
    async with (
        PostgresStore(proxy.dsn(database)) as one,
        PostgresStore(database) as other,
        followed(one) as events,
    ):
        sessions = other.sessions("agent")
        await sessions.create("before")
        assert (await anext(events)).session_id == "before"
        waiting = asyncio.create_task(anext(events))
        proxy.cut()
        await sessions.create("meanwhile")
        done, _ = await asyncio.wait([waiting], timeout=4 * following.EVERY)
        assert not done
        proxy.resume()
        assert (await waiting).session_id == "meanwhile"
        await sessions.create("after")
        assert (await anext(events)).session_id == "after"


async def test_events_that_are_no_longer_kept(database, stores):
    one, other = stores
    sessions = other.sessions("agent")
    async with followed(one) as events:
        for number in range(4):
            await sessions.create(f"session-{number}")
        got = [await anext(events) for _ in range(4)]
    ask(database, "UPDATE mythline.events SET time = time - $1", 2 * HOUR)
    await other._connections.write(SQL["drop_events"], now_micros() - HOUR, 2)
    async with followed(one, after=got[1].event_id) as events:
        assert [(await anext(events)).event_id for _ in range(2)] == [
            event.event_id for event in got[2:]
        ]
    for missed in (got[0].event_id, "0", str(10**15)):
        async with followed(one, after=missed) as events:
            assert (await anext(events)).type == "reset"
            await sessions.rename("session-0", missed)
            assert (await anext(events)).type == "renamed"
