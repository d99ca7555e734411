"""Everything that matters behind PgBouncer in transaction mode, where no statement is prepared."""

from __future__ import annotations

import asyncio

import pytest

from mythline.errors import RevisionConflict
from mythline.operations import Listing
from mythline.postgres import PostgresStore
from mythline.store import SessionKey
from tests.postgres.support import Saver, check_whole, texts, turn


@pytest.fixture
async def stores(pgbouncer, database):
    dsn = pgbouncer.dsn(database)
    async with (
        PostgresStore(dsn, transaction_pooling=True) as one,
        PostgresStore(dsn, transaction_pooling=True) as other,
    ):
        yield one, other


async def test_a_life_of_a_session(database, stores):
    one, other = stores
    sessions = one.sessions("agent", owner="alice")
    events = other.events("alice", "agent")
    async with asyncio.timeout(60):
        assert (await anext(events)).type == "ready"
        await sessions.create("one", tags=["a"])
        saved = await sessions.append("one", turn("Shadowglen"), idempotency_key="a key")
        await sessions.rename("one", "A title")
        for archived in (None, False):
            listing = Listing(limit=5, archived=archived, tag="a", pinned_first=True)
            assert len((await one.list("alice", "agent", listing)).sessions) == 1
        conversation = await sessions.load("one")
        conversation.messages.extend(turn("second"))
        await sessions.save(conversation)
        with pytest.raises(RevisionConflict):
            await sessions.append("one", turn("third"), expected_revision=saved.revision)
        await sessions.branch("one", at=2, expected_revision=(await sessions.info("one")).revision)
        assert len(await sessions.branches("one")) == 1
        fork = await sessions.fork("one", new_conversation_id="two")
        assert len(fork.messages) == 2
        assert len((await sessions.search("Shadowglen")).hits) == 2
        await sessions.delete("one")
        await sessions.restore("one")
        await sessions.purge("one")
        assert await texts(sessions, "two") == ["Shadowglen", "Shadowglen!"]
        kinds = "created appended renamed appended changed created deleted restored purged"
        assert [(await anext(events)).type for _ in kinds.split()] == kinds.split()
        await events.aclose()
    assert await one.get(SessionKey("alice", "agent", "one")) is None
    check_whole(database)


async def test_many_who_save(database, stores):
    one, _ = stores
    async with Saver(one, clients=16) as saver:
        await saver.more(200)
    assert not saver.unexpected
    assert not saver.failures
    await saver.check()
    check_whole(database)


async def test_it_makes_the_schema_and_migrates(pgbouncer, new_database):
    store = PostgresStore(pgbouncer.dsn(new_database()), transaction_pooling=True)
    version = await store.migrate()
    assert await store.migrate() == version
    async with store:
        await store.sessions("agent").create("one")
