"""What things cost over PostgreSQL: round trips, counted, and what the server reads for them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from mythline.errors import SessionNotFound
from mythline.operations import Listing
from mythline.postgres import PostgresStore
from mythline.postgres.statements import SQL
from mythline.store import SessionKey
from tests.postgres.crowds import SESSIONS, fill
from tests.postgres.plans import faults, nodes, plan, rows_of, statements
from tests.postgres.proxy import Proxy
from tests.postgres.support import turn

KEY = SessionKey(None, "agent", "one")


async def least_round_trips(proxy: Proxy, call: Callable[[], Awaitable[Any]]) -> int:
    """How many round trips a call takes. What goes on beside it can only add some."""
    counts: list[int] = []
    for _ in range(6):
        with proxy.recording() as traffic:
            await call()
        counts.append(traffic.round_trips)
    return min(counts)


@pytest.fixture
async def store(database, proxy, monkeypatch):
    """A store behind the proxy that does little beside what is counted."""
    monkeypatch.setattr("mythline.postgres.indexing.PAUSE", 3600)
    monkeypatch.setattr("mythline.postgres.trash.HEAD_START", 3600)
    async with PostgresStore(proxy.dsn(database)) as store:
        yield store


async def test_a_save_of_a_turn_is_one_round_trip(proxy, store):
    sessions = store.sessions("agent", owner="alice")
    agent = Agent(TestModel(custom_output_text="Yes."))
    info = await sessions.create()
    results: list[Any] = []

    async def run() -> None:
        conversation = await sessions.load(info.session_id)
        results.append(await agent.run("Is it?", conversation=conversation))

    counts: list[int] = []
    for _ in range(6):
        await run()
        with proxy.recording() as traffic:
            await sessions.save(results[-1])
        counts.append(traffic.round_trips)
        assert traffic.executed.count(SQL["append"]) == 1
    assert min(counts) == 1
    assert (await sessions.info(info.session_id)).message_count == 12


async def test_round_trips(proxy, store):
    sessions = store.sessions("agent")
    for number in range(5):
        await sessions.create(f"session-{number}", tags=["a"])
    await sessions.create("one")
    for number in range(30):
        await sessions.append("one", turn(str(number)))
    page = await sessions.entries("one", limit=10)
    first = await sessions.list(limit=2)
    one = "one"
    made, deleted = itertools.count(), itertools.count()
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "append": lambda: sessions.append(one, turn("more")),
        "create": lambda: store.save(SessionKey(None, "agent", f"new-{next(made)}"), new_save()),
        "load": lambda: sessions.load(one),
        "load the last": lambda: sessions.load(one, limit=4),
        "list": lambda: sessions.list(limit=3),
        "list on": lambda: sessions.list(limit=2, cursor=first.next_cursor),
        "list all": lambda: sessions.list(limit=3, archived=None),
        "list by title": lambda: sessions.list(limit=3, order="title"),
        "history": lambda: sessions.entries(one, limit=10),
        "history before": lambda: sessions.entries(one, limit=10, before=page.entries[0].entry_id),
        "history after": lambda: sessions.entries(one, limit=10, after=page.entries[0].entry_id),
        "messages": lambda: sessions.history(one),
        "transcript": lambda: sessions.transcript(one, limit=10),
        "info": lambda: sessions.info(one),
        "exists": lambda: sessions.exists(one),
        "delete": lambda: store.delete(SessionKey(None, "agent", f"new-{next(deleted)}")),
    }
    counts = {name: await least_round_trips(proxy, call) for name, call in calls.items()}
    assert counts == dict.fromkeys(counts, 1)


def new_save() -> Any:
    from mythline import ids
    from mythline.models import now_micros
    from mythline.store import Save

    return Save(revision=ids.new_entry_ids(1)[0], expected=None, head_id=None, updated=now_micros())


async def test_a_save_is_noted_in_its_own_statement(proxy, store):
    """No event is missed when a server stops right after the save: it needs no second step."""
    sessions = store.sessions("agent")
    await sessions.create("one")
    await sessions.append("one", turn("0"))
    with proxy.recording() as traffic:
        await sessions.append("one", turn("1"))
    assert traffic.executed.count(SQL["append"]) == 1
    assert "INSERT INTO mythline.events" in SQL["append"]


# What the server reads


@pytest.fixture(scope="module")
def crowd(databases, postgres_server):
    """A database with many sessions. Its tests change nothing that others count on."""
    name = databases.take()
    dsn = postgres_server.dsn(name)

    asyncio.run(fill(dsn))
    yield dsn
    databases.give_back(name)


async def check_plans(dsn: str, asked: Any, most: int) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        assert asked
        for statement, values in asked:
            if statement == SQL["notify"]:
                continue
            for mode in ("custom", "generic"):
                found = faults(await plan(connection, statement, values, mode), most)
                assert not found, (mode, found, statement, values)
    finally:
        await connection.close()


@pytest.mark.parametrize("order", ["recent", "created", "title", "trash"])
async def test_pages_of_lists_are_read_from_an_index(crowd, order):
    async with PostgresStore(crowd, trash_days=None) as store:
        for owner in (None, "alice"):
            for archived in (None, False) if order == "trash" else (None, False, True):
                for pinned_first in (False, True):
                    listing = Listing(
                        limit=20,
                        archived=archived,
                        pinned_first=pinned_first,
                        order="recent" if order == "trash" else order,
                        trash=order == "trash",
                    )
                    with statements() as asked:
                        page = await store.list(owner, "agent", listing)
                        assert len(page.sessions) == 20
                        listing = Listing(**{**fields(listing), "cursor": page.next_cursor})
                        await store.list(owner, "agent", listing)
                    await check_plans(crowd, asked, most=120)


def fields(listing: Listing) -> dict[str, Any]:
    return {name: getattr(listing, name) for name in listing.__dataclass_fields__}


@pytest.mark.parametrize(("tag", "most"), [("often", 1002), ("rarely", 200)])
@pytest.mark.parametrize("order", ["recent", "created", "title"])
async def test_lists_of_a_tag_are_read_from_an_index(crowd, order, tag, most):
    async with PostgresStore(crowd, trash_days=None) as store:
        with statements() as asked:
            for archived in (None, False, True):
                listing = Listing(limit=20, archived=archived, order=order, tag=tag)
                assert (await store.list("alice", "agent", listing)).sessions
        await check_plans(crowd, asked, most)


async def test_sessions_and_histories_are_read_from_an_index(crowd):
    key = SessionKey("alice", "agent", "session-6")
    entry_ids = [f"alice-agent-6-{place}" for place in range(2)]
    async with PostgresStore(crowd, trash_days=None) as store:
        with statements() as asked:
            assert await store.get(key)
            assert await store.get(SessionKey(None, "agent", "nobody"), shared=True) is None
            for limit in (None, 1):
                loaded = await store.load(key, limit=limit)
                assert loaded
                assert loaded[1]
                page = await store.history(key, limit=limit)
                assert page
                assert page.entries[-1].entry_id == entry_ids[1]
            page = await store.history(key, before=entry_ids[1])
            assert page
            assert [entry.entry_id for entry in page.entries] == entry_ids[:1]
            page = await store.history(key, after=entry_ids[0], limit=5)
            assert page
            assert [entry.entry_id for entry in page.entries] == entry_ids[1:]
            assert await store.line("alice", "agent", entry_ids[1], limit=1)
            assert await store.locate(key, entry_ids[0])
            assert await store.branches(key) == []
        await check_plans(crowd, asked, most=20)


async def plans(dsn: str, asked: Any) -> list[Any]:
    """The nodes of the plans of these statements."""
    connection = await asyncpg.connect(dsn)
    try:
        return [
            node
            for statement, values in asked
            for mode in ("custom", "generic")
            for node in nodes(await plan(connection, statement, values, mode))
        ]
    finally:
        await connection.close()


async def test_a_session_is_found_by_its_id_whatever_is_known_of_its_owner(crowd):
    """To a planner without statistics of them, sessions of an owner are one or none."""
    key = SessionKey("nobody", "agent", "one")
    async with PostgresStore(crowd) as store:
        with statements() as asked:
            assert await store.get(key) is None
            assert await store.load(key) is None
            assert await store.history(key) is None
            with pytest.raises(SessionNotFound):
                await store.sessions("agent", owner="nobody").append("one", turn("1"))
    mine = [each for each in asked if "nobody" in each[1]]  # not what goes on beside it
    assert len(mine) == 5
    found = [node for node in await plans(crowd, mine) if node.get("Relation Name") == "sessions"]
    assert {node.get("Index Name") for node in found} == {None, "sessions_key"}
    assert {node["Node Type"] for node in found} == {"Index Scan", "ModifyTable"}


async def test_a_load_in_a_small_store_reads_no_line_but_its_own(database):
    """Where there are few lines, the planner joins them all, rather than to look up those."""
    async with PostgresStore(database) as store:
        sessions = store.sessions("agent")
        await asyncio.gather(*[sessions.create(f"session-{number}") for number in range(200)])
        await sessions.append("session-7", turn("1"))
        connection = await asyncpg.connect(database)
        await connection.execute("VACUUM ANALYZE")
        await connection.close()
        with statements() as asked:
            assert await sessions.load("session-7")
            assert await sessions.history("session-7")
    mine = [each for each in asked if "session-7" in each[1]]
    assert len(mine) == 2
    found = [node for node in await plans(database, mine) if node.get("Relation Name") == "lines"]
    assert max(map(rows_of, found)) <= 2


async def test_saves_find_what_they_change_by_an_index(crowd):
    async with PostgresStore(crowd, trash_days=None) as store:
        sessions = store.sessions("agent", owner="bob")
        with statements() as asked:
            await sessions.append("session-8", turn("1"), idempotency_key="once")
            conversation = await sessions.load("session-8")
            assert conversation is not None
            forked = await sessions.fork("session-8", at=1)
            await sessions.branch("session-8", at=1, expected_revision=conversation.revision)
            await sessions.rename("session-8", "Another title")
            await sessions.update("session-8", tags=["one", "two"])
            await sessions.delete("session-8")
            await sessions.restore("session-8")
            await sessions.purge(forked.conversation_id)
        await check_plans(crowd, asked, most=30)


async def test_agents_and_owners_are_found_by_jumps(crowd):
    async with PostgresStore(crowd, trash_days=None) as store:
        with statements() as asked:
            assert len(await store.owners()) == 3
        await check_plans(crowd, asked, most=20)


async def test_events_are_read_from_an_index(crowd):
    connection = await asyncpg.connect(crowd)
    await connection.execute(
        "INSERT INTO mythline.events (owner, agent_id, session_id, n, type, time) "
        "SELECT 'carol', 'agent', 'one', nextval('mythline.event_numbers'), 'appended', $1::bigint "
        "FROM generate_series(1, $2::integer)",
        1_700_000_000_000_000,
        SESSIONS,
    )
    await connection.execute("ANALYZE mythline.events")
    (last,) = (await connection.fetch("SELECT max(n) FROM mythline.events"))[0]
    await connection.close()
    async with PostgresStore(crowd, trash_days=None) as store:
        with statements() as asked:
            events = store.events("carol", "agent", after=str(last - 3))
            for number in range(3):
                assert (await anext(events)).event_id == str(last - 2 + number)
            await events.aclose()
        await check_plans(crowd, asked, most=20)


async def test_a_page_of_hits_is_read_from_an_index(crowd):
    async with PostgresStore(crowd, trash_days=None) as store:
        sessions = store.sessions("agent", owner="dora")
        await sessions.create("one")
        await sessions.append("one", turn("Shadowglen"))
        with statements() as asked:
            assert len((await sessions.search("Shadowglen")).hits) == 2
        await check_plans(crowd, asked, most=200)
