"""A primary that dies while a standby takes over, and reads from a replica."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

import pytest

from mythline.errors import StoreUnavailable
from mythline.postgres import PostgresStore
from tests.postgres.proxy import Proxy
from tests.postgres.servers import DURABLE, FAST, Server, ask, dsn_of_all
from tests.postgres.support import Saver, check_whole, texts, turn


@pytest.fixture
async def pair(new_server):
    """A primary, and a standby that every commit waits for."""
    primary = await asyncio.to_thread(new_server, DURABLE)
    standby = await asyncio.to_thread(primary.standby)
    yield primary, standby
    await asyncio.to_thread(standby.close)


def dsn_of(*ports: int) -> str:
    return f"postgresql://mythline@{','.join(f'127.0.0.1:{port}' for port in ports)}/postgres"


async def test_a_standby_takes_over(pair):
    primary, standby = pair
    async with PostgresStore(dsn_of_all(primary, standby)) as store:
        events = store.events(None, "agent")
        assert (await anext(events)).type == "ready"
        async with Saver(store, clients=6) as saver:
            await saver.more(30)
            await asyncio.to_thread(primary.kill)
            await saver.fails()
            await asyncio.to_thread(standby.promote)
            promoted = time.monotonic()
            await saver.more(1)
            seconds = time.monotonic() - promoted
            await saver.more(30)
        assert not saver.unexpected
        assert seconds < 10
        await saver.check()
        async with asyncio.timeout(30):  # who follows events goes on as well
            seen = [(await anext(events)).type for _ in range(saver.count)]
        assert set(seen) == {"created", "appended"}
        await events.aclose()
    await asyncio.to_thread(check_whole, standby.dsn())


async def test_a_first_host_that_swallows_everything(new_server, monkeypatch):
    monkeypatch.setattr("mythline.postgres.connections.CONNECT", 2.0)
    server = await asyncio.to_thread(new_server)
    with Proxy(server.dsn()) as hole:
        hole.hold()
        async with asyncio.timeout(10), PostgresStore(dsn_of(hole.port, server.port)) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            await asyncio.gather(*[sessions.append("one", turn(str(each))) for each in range(20)])
            assert (await sessions.info("one")).message_count == 40
            hole.drop()


async def test_a_primary_that_falls_silent(pair, monkeypatch):
    """Its packets get lost, and nobody says that it is gone: what waits is given up."""
    monkeypatch.setattr("mythline.postgres.connections.TIMEOUT", 1.0)
    monkeypatch.setattr("mythline.postgres.connections.CANCEL", 0.5)
    primary, standby = pair
    with Proxy(primary.dsn()) as network:
        async with PostgresStore(dsn_of(network.port, standby.port), pool_size=4) as store:
            async with Saver(store, clients=4) as saver:
                await saver.more(10)
                network.hold()
                await asyncio.to_thread(primary.kill)
                await asyncio.to_thread(standby.promote)
                await saver.more(10)
            assert not saver.unexpected
            await saver.check()
            network.drop()


# Reads from a replica


@pytest.fixture(scope="module")
def followed():
    """A primary and a standby that the tests of replicas share."""
    with Server() as primary, primary.standby() as standby:
        yield primary, standby


@pytest.fixture
def agent_id():
    """An agent of the test's own."""
    return f"agent-{secrets.token_hex(4)}"


@pytest.fixture
async def replicated(followed, monkeypatch):
    """A store that reads from a replica, through a proxy each; the proxies."""
    monkeypatch.setattr("mythline.postgres.connections.TIMEOUT_REPLICA", 2.0)
    monkeypatch.setattr("mythline.postgres.connections.CANCEL", 0.5)
    monkeypatch.setattr("mythline.postgres.replica.AVOID", 0.5)
    primary, standby = followed
    with Proxy(primary.dsn()) as first, Proxy(standby.dsn()) as second:
        dsn, replica = first.dsn(primary.dsn()), second.dsn(standby.dsn())
        async with PostgresStore(dsn, replica=replica) as store:
            yield store, first, second
            first.resume()
            second.resume()


def asked(traffic: Any) -> list[str]:
    return [sql for sql in traffic.executed if "mythline.sessions" in sql]


async def test_lists_and_histories_are_read_from_the_replica(replicated, agent_id):
    store, first, second = replicated
    sessions = store.sessions(agent_id)
    await sessions.create("one")
    await sessions.append("one", turn("first"))
    for read in (
        lambda: sessions.list(),
        lambda: sessions.history("one"),
        lambda: sessions.transcript("one"),
    ):
        with first.recording() as primary, second.recording() as replica:
            assert await read()
        assert len(asked(replica)) == 1
        assert not asked(primary)
    with first.recording() as primary, second.recording() as replica:
        assert await sessions.load("one")
        assert await sessions.info("one")
    assert len(asked(primary)) == 2
    assert not asked(replica)


async def test_what_was_written_is_read_at_once(replicated, followed, agent_id):
    store, _, second = replicated
    _, standby = followed
    sessions = store.sessions(agent_id)
    await sessions.create("one")
    for number in range(30):
        await sessions.append("one", turn(str(number)))
        assert (await texts(sessions, "one"))[-2:] == [f"{number}", f"{number}!"]
        (info,) = (await sessions.list()).sessions
        assert info.message_count == 2 * number + 2
    # One that doesn't follow any more is not read from.
    await asyncio.to_thread(ask, standby.admin_dsn(), "SELECT pg_wal_replay_pause()")
    await sessions.append("one", turn("more"))
    with second.recording() as replica:
        assert (await texts(sessions, "one"))[-1] == "more!"
        assert (await sessions.list()).sessions[0].message_count == 62
        found = await asyncio.gather(*[texts(sessions, "one") for _ in range(30)])
    assert {len(each) for each in found} == {62}
    assert not asked(replica)
    await asyncio.to_thread(ask, standby.admin_dsn(), "SELECT pg_wal_replay_resume()")
    await comes_back(sessions, second)


async def comes_back(sessions: Any, proxy: Proxy) -> None:
    """Wait until lists are read from the replica again."""
    async with asyncio.timeout(60):
        found: list[str] = []
        while not found:
            with proxy.recording() as replica:
                await sessions.list()
            found = asked(replica)


async def test_what_others_write_is_read_a_moment_later(replicated, followed, agent_id):
    """Also by who writes nothing: a replica that is behind is noticed."""
    store, _, _ = replicated
    primary, standby = followed
    sessions = store.sessions(agent_id)
    assert not (await sessions.list()).sessions
    await asyncio.to_thread(ask, standby.admin_dsn(), "SELECT pg_wal_replay_pause()")
    async with PostgresStore(primary.dsn()) as other:
        await other.sessions(agent_id).create("one")
    async with asyncio.timeout(30):
        while not (await sessions.list()).sessions:
            pass
    await asyncio.to_thread(ask, standby.admin_dsn(), "SELECT pg_wal_replay_resume()")


@pytest.mark.parametrize("way", ["cut", "hold"])
async def test_a_replica_that_is_gone(replicated, agent_id, way):
    store, _, second = replicated
    sessions = store.sessions(agent_id)
    await sessions.create("one")
    await sessions.append("one", turn("first"))
    assert (await sessions.list()).sessions
    getattr(second, way)()
    start = time.monotonic()
    for _ in range(5):
        assert (await sessions.list()).sessions
        assert await texts(sessions, "one") == ["first", "first!"]
    await sessions.append("one", turn("second"))
    assert len(await texts(sessions, "one")) == 4
    assert time.monotonic() - start < 40
    if way == "hold":
        second.drop()
    second.resume()
    await comes_back(sessions, second)


async def test_a_replica_that_was_never_there(followed, agent_id):
    server, _ = followed
    with Proxy(server.dsn()) as proxy:
        proxy.cut()
        async with PostgresStore(server.dsn(), replica=proxy.dsn(server.dsn())) as store:
            sessions = store.sessions(agent_id)
            await sessions.create("one")
            assert (await sessions.list()).sessions
            assert await sessions.history("one") == []


async def test_a_replica_that_went_its_own_way(new_server, monkeypatch):
    """Promoted beside its primary and started anew, it doesn't know how far it followed."""
    monkeypatch.setattr("mythline.postgres.replica.AVOID", 0.0)
    primary = new_server()
    with primary.standby() as standby:
        async with PostgresStore(primary.dsn(), replica=standby.dsn()) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            assert await texts(sessions, "one") == []
            await asyncio.to_thread(standby.promote)
            await asyncio.to_thread(standby.restart)
            ask(primary.admin_dsn(), "ALTER SYSTEM RESET synchronous_standby_names")
            ask(primary.admin_dsn(), "SELECT pg_reload_conf()")
            for number in range(3):
                await sessions.append("one", turn(f"{number}"))
                assert len(await texts(sessions, "one")) == 2 * number + 2


async def test_what_was_written_without_waiting_for_the_disk_is_read_at_once(
    new_server, monkeypatch
):
    """A commit that nothing has written yet is nowhere that a replica could have it from."""
    monkeypatch.setattr("mythline.postgres.replica.AVOID", 0.0)
    monkeypatch.setattr("mythline.postgres.replica.PATIENCE", 0.1)
    primary = new_server({**FAST, "wal_writer_delay": "'10s'"})
    async with PostgresStore(primary.dsn()):
        pass
    with primary.standby() as standby:
        dsn = f"{primary.dsn()}?options=-c%20synchronous_commit%3Doff"
        async with PostgresStore(dsn, replica=standby.dsn()) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            for number in range(5):
                await sessions.append("one", turn(f"{number}"))
                assert len(await texts(sessions, "one")) == 2 * number + 2


async def test_a_replica_that_is_the_primary(new_server):
    server = new_server()
    with Proxy(server.dsn()) as proxy:
        async with PostgresStore(server.dsn(), replica=proxy.dsn(server.dsn())) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            with proxy.recording() as traffic:
                assert (await sessions.list()).sessions
            assert asked(traffic)


async def test_a_primary_that_is_gone_is_no_replica(replicated, agent_id):
    store, first, _ = replicated
    sessions = store.sessions(agent_id)
    await sessions.create("one")
    first.cut()
    with pytest.raises(StoreUnavailable):
        await sessions.append("one", turn("first"))
    first.resume()
    await sessions.append("one", turn("first"))
    assert await texts(sessions, "one") == ["first", "first!"]
