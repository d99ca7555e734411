"""The proxy counts what goes over the wire, and cuts where it is told to."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.postgres.programs import until
from tests.postgres.proxy import Proxy
from tests.postgres.servers import ask

LOST = (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)


@pytest.fixture
async def connection(database, proxy):
    connection = await asyncpg.connect(proxy.dsn(database))
    await connection.execute("CREATE TABLE things (number int)")
    yield connection
    proxy.resume()
    await connection.close(timeout=10)


def things(database):
    return [number for (number,) in ask(database, "SELECT number FROM things ORDER BY 1")]


async def test_round_trips_are_counted(proxy, connection):
    with proxy.recording() as first:
        assert await connection.fetch("SELECT 1") == [(1,)]
    with proxy.recording() as second:
        assert await connection.fetch("SELECT 1") == [(1,)]
    with proxy.recording() as simple:
        await connection.execute("SELECT 1; SELECT 2")
    assert first.round_trips == 2  # to prepare, and to execute
    assert second.round_trips == 1
    assert second.sent == {"B": 1, "E": 1, "S": 1}
    assert second.received == {"2": 1, "D": 1, "C": 1, "Z": 1}
    assert first.executed == second.executed == ["SELECT 1"]
    assert (simple.round_trips, simple.executed) == (1, ["SELECT 1; SELECT 2"])
    assert second.connections == 0
    assert 0 < second.bytes_received < 100


async def test_a_start_is_no_round_trip(database, proxy):
    with proxy.recording() as traffic:
        connection = await asyncpg.connect(proxy.dsn(database))
        assert proxy.open_connections == 1
        await connection.close()
    assert (traffic.connections, traffic.round_trips) == (1, 0)
    assert proxy.traffic.connections == 1


async def test_large_messages_pass(connection):
    text = "x" * 5_000_000
    assert await connection.fetchval("SELECT $1::text", text) == text
    rows = await connection.fetch("SELECT generate_series(1, 2000)")
    assert len(rows) == 2000


async def test_copy_is_counted(database, proxy, connection):
    records = [(number,) for number in range(100)]
    await connection.copy_records_to_table("things", records=records)
    assert things(database) == list(range(100))


async def test_dropped(database, proxy, connection):
    waiting = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
    active = "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    while not await asyncio.to_thread(ask, database, active):
        assert not waiting.done()
    proxy.drop()
    with pytest.raises(LOST):
        await waiting
    assert connection.is_closed()
    again = await asyncpg.connect(proxy.dsn(database))
    assert await again.fetchval("SELECT 1") == 1
    await again.close()


async def test_refused(database, proxy, connection):
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(proxy.dsn(database))
    assert await connection.fetchval("SELECT 1") == 1
    proxy.cut()
    with pytest.raises(LOST):
        await connection.fetchval("SELECT 1")
    proxy.resume()
    again = await asyncpg.connect(proxy.dsn(database))
    await again.close()


async def test_answers_are_swallowed(database, proxy, connection):
    proxy.swallow()
    saving = asyncio.create_task(connection.execute("INSERT INTO things VALUES (1)"))
    while not await asyncio.to_thread(things, database):
        pass
    assert not saving.done()
    proxy.resume()
    with pytest.raises(LOST):
        await saving


@pytest.mark.parametrize("prepared", [True, False])
async def test_an_answer_is_lost(database, proxy, connection, prepared):
    insert: tuple[Any, ...] = (
        ("INSERT INTO things VALUES ($1)", 1) if prepared else ("INSERT INTO things VALUES (1)",)
    )
    loss = proxy.lose_answer("insert into things")
    assert await connection.fetchval("SELECT 1") == 1
    assert not loss.happened
    with pytest.raises(LOST):
        await connection.execute(*insert)
    assert loss.happened
    assert things(database) == [1]
    again = await asyncpg.connect(proxy.dsn(database))
    await again.execute(*insert)
    await again.close()
    assert things(database) == [1, 1]


@pytest.mark.parametrize("prepared", [True, False])
async def test_a_request_is_lost(database, proxy, connection, prepared):
    insert = (
        ("INSERT INTO things VALUES ($1)", 1) if prepared else ("INSERT INTO things VALUES (1)",)
    )
    loss = proxy.lose_request("INSERT")
    with pytest.raises(LOST):
        await connection.execute(*insert)
    assert loss.happened
    assert things(database) == []


async def test_nothing_passes_while_held(database, proxy, connection):
    proxy.hold()
    saving = asyncio.create_task(connection.execute("INSERT INTO things VALUES (1)"))
    with pytest.raises(TimeoutError):
        await asyncpg.connect(proxy.dsn(database), timeout=1)
    assert things(database) == []
    assert not saving.done()
    proxy.resume()
    await saving
    assert things(database) == [1]


async def test_what_is_held_can_be_dropped(database, proxy, connection):
    proxy.hold()
    saving = asyncio.create_task(connection.execute("INSERT INTO things VALUES (1)"))
    starting = asyncio.create_task(asyncpg.connect(proxy.dsn(database)))
    await asyncio.to_thread(until, lambda: proxy.open_connections == 2, "both are open")
    proxy.drop()
    for task in (saving, starting):
        with pytest.raises(LOST):
            await task
    await asyncio.to_thread(until, lambda: proxy.open_connections == 0, "both are closed")
    assert things(database) == []


async def test_delayed(proxy, connection):
    loop = asyncio.get_running_loop()
    proxy.delay(0.2)
    start = loop.time()
    assert await connection.execute("SELECT 1")
    assert loop.time() - start >= 0.4
    proxy.resume()


async def test_a_server_that_is_gone(new_server):
    server = new_server()
    with Proxy(server.dsn()) as proxy:
        connection = await asyncpg.connect(proxy.dsn(server.dsn()))
        server.kill()
        with pytest.raises(LOST):
            await connection.fetchval("SELECT 1")
        with pytest.raises(LOST):
            await asyncpg.connect(proxy.dsn(server.dsn()))
        server.start()
        again = await asyncpg.connect(proxy.dsn(server.dsn()))
        assert await again.fetchval("SELECT 1") == 1
        await again.close()
