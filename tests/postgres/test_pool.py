"""The connections of an event loop: who gets one, and which are never given out again."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from mythline.postgres import pool as pools
from mythline.postgres.pool import InUse, Pool
from tests.postgres.servers import ask
from tests.postgres.support import eventually

SLEEPS = "SELECT pg_sleep(60)"


@pytest.fixture
async def pool(database):
    pool = Pool(lambda: asyncpg.connect(database), 2)
    yield pool
    pool.terminate()


async def number(connection: Any) -> int:
    return await connection.fetchval("SELECT pg_backend_pid()")


def working(database: str) -> list[Any]:
    return ask(
        database, "SELECT FROM pg_stat_activity WHERE query = $1 AND state <> 'idle'", SLEEPS
    )


async def test_the_one_used_last_is_used_again(pool):
    one = await pool.acquire(5)
    other = await pool.acquire(5)
    pool.release(other)
    pool.release(one)
    assert await pool.acquire(5) is one
    assert await pool.acquire(5) is other


async def test_who_asked_first_has_the_first(pool):
    held = [await pool.acquire(5), await pool.acquire(5)]
    with pytest.raises(InUse):
        await pool.acquire(0.05)
    waiting = [asyncio.create_task(pool.acquire(5)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    pool.release(held[0])
    assert await waiting[1] is held[0]
    assert not waiting[2].done()
    pool.release(held[1])
    assert await waiting[2] is held[1]
    assert waiting[0].cancelled()


async def test_one_that_was_lost_makes_way(pool, database):
    connection = await pool.acquire(5)
    lost = await number(connection)
    pool.release(connection)
    ask(database, "SELECT pg_terminate_backend($1)", lost)
    await eventually(connection.is_closed, "it is noticed")
    connection = await pool.acquire(5)
    assert await number(connection) != lost
    pool.release(connection)


async def test_a_connection_that_can_not_be_made_takes_nobodys_place(database):
    is_there = False

    async def connect() -> Any:
        if is_there:
            return await asyncpg.connect(database)
        raise ConnectionRefusedError

    pool = Pool(connect, 1)
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await pool.acquire(5)
    is_there = True
    pool.release(await pool.acquire(5))
    await pool.close()


async def test_none_is_given_out_again_after_they_expired(database):
    go_on = asyncio.Event()

    async def connect() -> Any:
        connection = await asyncpg.connect(database)
        await go_on.wait()
        return connection

    pool = Pool(connect, 3)
    making = asyncio.create_task(pool.acquire(5))
    await asyncio.sleep(0)
    pool.expire()  # also not the one that is being made
    go_on.set()
    early, idle, used = await making, await pool.acquire(5), await pool.acquire(5)
    pool.release(idle)
    pool.expire()
    assert idle.is_closed()
    assert await number(used)
    for connection in (early, used):
        pool.release(connection)
        assert connection.is_closed()
    assert await pool.acquire(5) not in (early, idle, used)
    pool.terminate()


async def test_what_nobody_waits_for_is_given_up(pool, database):
    connection = await pool.acquire(5)
    call = asyncio.create_task(connection.execute(SLEEPS))
    await eventually(lambda: working(database), "it is begun")
    call.cancel()
    await asyncio.wait([call])
    await pool.settle(connection, 5)
    assert not working(database)
    assert await pool.acquire(5) is connection
    pool.release(connection)


async def test_it_is_given_up_also_for_a_caller_who_goes_away(pool, database):
    connection = await pool.acquire(5)
    call = asyncio.create_task(connection.execute(SLEEPS))
    await eventually(lambda: working(database), "it is begun")
    call.cancel()
    await asyncio.wait([call])
    settling = asyncio.create_task(pool.settle(connection, 5))
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.wait([settling])
    taken = [await pool.acquire(5), await pool.acquire(5)]
    assert connection in taken
    assert not working(database)
    assert [await number(each) for each in taken]


async def test_a_transaction_that_was_left_open_is_for_nobody(pool):
    connection = await pool.acquire(5)
    await connection.execute("BEGIN")
    pool.release(connection)
    assert connection.is_closed()


async def test_what_nobody_needed_for_long_is_closed(pool, monkeypatch):
    monkeypatch.setattr(pools, "IDLE", 0.1)
    one, other = await pool.acquire(5), await pool.acquire(5)
    pool.release(one)
    await asyncio.sleep(0)
    pool.release(other)
    await eventually(lambda: one.is_closed() and other.is_closed(), "they are closed")
    assert await number(await pool.acquire(5))


async def test_it_closes_when_all_are_given_back(pool):
    used, idle = await pool.acquire(5), await pool.acquire(5)
    waiting = asyncio.create_task(pool.acquire(5))
    await asyncio.sleep(0)
    pool.release(idle)
    given = await waiting
    assert given is idle
    waiting = asyncio.create_task(pool.acquire(5))
    await asyncio.sleep(0)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0)
    pool.release(given)
    with pytest.raises(asyncpg.InterfaceError):
        await waiting
    with pytest.raises(asyncpg.InterfaceError):
        await pool.acquire(5)
    assert not closing.done()
    assert await number(used)
    pool.release(used)
    await closing
    assert used.is_closed()
    assert idle.is_closed()
