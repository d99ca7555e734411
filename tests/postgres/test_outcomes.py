"""Connections that are lost on the way: what was stored is read back, never stored twice."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mythline.errors import StoreUnavailable
from mythline.postgres import PostgresStore
from mythline.postgres.connections import Connections
from mythline.store import SessionKey
from tests.postgres.servers import ask
from tests.postgres.support import check_whole, texts, turn

ONE = SessionKey(None, "agent", "one")


@pytest.fixture(autouse=True)
def nothing_beside(monkeypatch):
    """Nothing is indexed or expires meanwhile: what gets lost is what the test says."""
    monkeypatch.setattr("mythline.postgres.indexing.PAUSE", 3600)
    monkeypatch.setattr("mythline.postgres.trash.HEAD_START", 3600)


@pytest.fixture
async def store(database, proxy):
    """A store that reaches its database through the proxy."""
    async with PostgresStore(proxy.dsn(database)) as store:
        yield store
        proxy.resume()


@pytest.fixture
async def sessions(store):
    sessions = store.sessions("agent")
    await sessions.create("one")
    await sessions.append("one", turn("first"))
    return sessions


# An outcome that isn't known


@pytest.mark.parametrize("pooled", [False, True])
async def test_an_append_of_which_the_answer_is_lost(database, proxy, pooled):
    async with PostgresStore(proxy.dsn(database), transaction_pooling=pooled) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("first"))
        loss = proxy.lose_answer("COMMIT" if pooled else "UPDATE mythline.sessions")
        saved = await sessions.append("one", turn("second"))
        assert loss.happened
        assert saved.message_count == 4
        info = await sessions.info("one")
        assert info.revision == saved.revision
        page = await sessions.entries("one")
        assert tuple(entry.entry_id for entry in page.entries[2:]) == saved.entry_ids
        assert await texts(sessions, "one") == ["first", "first!", "second", "second!"]
    check_whole(database)


async def test_an_append_that_is_lost(database, proxy, sessions):
    loss = proxy.lose_request("UPDATE mythline.sessions")
    with pytest.raises(StoreUnavailable):
        await sessions.append("one", turn("second"))
    assert loss.happened
    assert await texts(sessions, "one") == ["first", "first!"]
    await sessions.append("one", turn("second"))
    assert (await sessions.info("one")).message_count == 4
    check_whole(database)


CHANGES = {
    "append": ("UPDATE mythline.sessions", lambda each: each.append("one", turn("second"))),
    "create": ("INSERT INTO mythline.sessions", lambda each: each.create("two")),
    "fork": ("COMMIT", lambda each: each.fork_at("one", new_session_id="two")),
    "describe": ("COMMIT", lambda each: each.rename("one", "A title")),
    "delete": ("UPDATE mythline.sessions", lambda each: each.store.delete(ONE)),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_can_not_be_read_back(proxy, sessions, monkeypatch, change):
    monkeypatch.setattr("mythline.postgres.connections.OUTAGE", 0.3)
    statement, make = CHANGES[change]
    proxy.refuse()  # other connections than the present ones
    loss = proxy.lose_answer(statement)
    with pytest.raises(StoreUnavailable, match="isn't known whether"):
        await make(sessions)
    assert loss.happened


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_that_is_read_back_after_an_outage(
    database, proxy, sessions, monkeypatch, change
):
    monkeypatch.setattr("mythline.postgres.connections.OUTAGE", 30)
    statement, make = CHANGES[change]
    transact, refused = Connections.transact, asyncio.Event()

    async def noticed(connections, *values, **options):
        try:
            return await transact(connections, *values, **options)
        except StoreUnavailable:
            refused.set()
            raise

    monkeypatch.setattr(Connections, "transact", noticed)
    proxy.refuse()
    proxy.lose_answer(statement)
    changing = asyncio.ensure_future(make(sessions))
    await asyncio.wait_for(refused.wait(), 30)
    proxy.resume()
    await changing
    check_whole(database)


async def test_a_save_of_a_conversation_of_which_the_answer_is_lost(proxy, sessions):
    conversation = await sessions.load("one")
    conversation.messages.extend(turn("second"))
    loss = proxy.lose_answer("UPDATE mythline.sessions")
    entries = await sessions.save(conversation)
    assert loss.happened
    assert [entry.parent_id for entry in entries] == [
        (await sessions.entries("one")).entries[1].entry_id,
        entries[0].id,
    ]
    conversation.messages.extend(turn("third"))
    await sessions.save(conversation)
    assert (await sessions.info("one")).message_count == 6


async def test_a_branch_of_which_the_answer_is_lost(database, proxy, sessions):
    await sessions.append("one", turn("second"))
    revision = (await sessions.info("one")).revision
    loss = proxy.lose_answer("COMMIT")
    await sessions.branch("one", at=2, expected_revision=revision)
    assert loss.happened
    assert await texts(sessions, "one") == ["first", "first!"]
    revision = (await sessions.info("one")).revision
    loss = proxy.lose_request("COMMIT")
    with pytest.raises(StoreUnavailable):
        await sessions.branch("one", at=1, expected_revision=revision)
    assert loss.happened
    assert (await sessions.info("one")).revision == revision
    check_whole(database)


async def test_a_creation_of_which_the_answer_is_lost(database, proxy, sessions):
    loss = proxy.lose_answer("INSERT INTO mythline.sessions")
    assert (await sessions.create("two", title="A title")).title == "A title"
    assert loss.happened
    loss = proxy.lose_request("INSERT INTO mythline.sessions")
    with pytest.raises(StoreUnavailable):
        await sessions.create("three")
    assert loss.happened
    assert not await sessions.exists("three")
    await sessions.create("three")
    check_whole(database)


async def test_a_description_of_which_the_answer_is_lost(proxy, sessions):
    loss = proxy.lose_answer("COMMIT")
    assert (await sessions.rename("one", "A title")).title == "A title"
    assert loss.happened
    assert (await sessions.info("one")).title == "A title"
    loss = proxy.lose_request("COMMIT")
    with pytest.raises(StoreUnavailable):
        await sessions.rename("one", "Another title")
    assert loss.happened
    assert (await sessions.info("one")).title == "A title"


async def test_a_deletion_of_which_the_answer_is_lost(proxy, store, sessions):
    loss = proxy.lose_request("UPDATE mythline.sessions")
    with pytest.raises(StoreUnavailable):
        await store.delete(ONE)
    assert loss.happened
    assert await sessions.exists("one")
    loss = proxy.lose_answer("UPDATE mythline.sessions")
    assert await store.delete(ONE)
    assert loss.happened
    loss = proxy.lose_answer("UPDATE mythline.sessions")
    with pytest.raises(StoreUnavailable):  # whoever deleted it, it wasn't this
        await store.delete(ONE)
    assert loss.happened


async def test_a_restore_of_which_the_answer_is_lost(proxy, store, sessions):
    await store.delete(ONE)
    loss = proxy.lose_request("COMMIT")
    with pytest.raises(StoreUnavailable):
        await store.restore(ONE)
    assert loss.happened
    assert not await sessions.exists("one")
    loss = proxy.lose_answer("COMMIT")
    assert (await store.restore(ONE)).message_count == 2
    assert loss.happened
    assert await texts(sessions, "one") == ["first", "first!"]


async def test_a_restore_that_is_lost_is_no_other_session(proxy, store, sessions):
    await store.delete(ONE)
    await sessions.create("one")
    loss = proxy.lose_request("BEGIN")
    with pytest.raises(StoreUnavailable):
        await store.restore(ONE)
    assert loss.happened


async def test_a_purge_of_which_the_answer_is_lost(database, proxy, store, sessions):
    loss = proxy.lose_answer("COMMIT")
    with contextlib.suppress(StoreUnavailable):
        await store.delete(ONE, permanent=True)
    assert loss.happened
    assert ask(database, "SELECT count(*) FROM mythline.entries") == [(0,)]


async def test_reads_are_repeated(proxy, sessions):
    for read in (
        lambda: sessions.info("one"),
        lambda: sessions.history("one"),
        lambda: sessions.list(),
        lambda: sessions.load("one"),
    ):
        loss = proxy.lose_answer("mythline.sessions")
        assert await read()
        assert loss.happened


async def test_a_network_that_is_cut(database, proxy, sessions):
    proxy.cut()
    for call in (sessions.append("one", turn("second")), sessions.info("one"), sessions.list()):
        with pytest.raises(StoreUnavailable) as error:
            await call
        assert "127.0.0.1" not in str(error.value)
    proxy.resume()
    await sessions.append("one", turn("second"))
    assert (await sessions.info("one")).message_count == 4
    check_whole(database)
