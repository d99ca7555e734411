"""Sessions that are held: by one server at a time, and by none that is gone."""

from __future__ import annotations

import asyncio

import pytest

from mythline import open_store
from mythline.postgres import connections, holding
from mythline.postgres.statements import SQL
from mythline.store import SessionKey, Store
from tests.postgres.servers import ask

KEY = SessionKey("ann", "agent", "one")


@pytest.fixture
async def two(database: str):
    async with open_store(database) as one, open_store(database) as other:
        yield one, other


async def waits(store: Store, key: SessionKey = KEY) -> bool:
    """Whether a session is held by someone else."""
    try:
        async with asyncio.timeout(0.5):
            let_go = await store.hold(key)
    except TimeoutError:
        return True
    let_go()
    return False


async def test_a_session_is_held_by_one_server(two: tuple[Store, Store]):
    one, other = two
    let_go = await one.hold(KEY)
    assert await waits(other)
    assert not await waits(other, SessionKey(None, "agent", "one"))
    held = asyncio.create_task(other.hold(KEY))
    let_go()
    (await asyncio.wait_for(held, 30))()
    assert not await waits(one)


async def test_what_a_closed_store_held_is_free(database: str):
    async with open_store(database) as store:
        await store.hold(KEY)
    async with open_store(database) as other:
        assert not await waits(other)
    assert ask(database, "SELECT count(*) FROM mythline.leases")[0][0] == 0


async def test_a_lease_is_renewed_and_ends_without(
    two: tuple[Store, Store], database: str, monkeypatch: pytest.MonkeyPatch
):
    one, other = two
    monkeypatch.setattr(holding, "RENEW", 0.05)
    first = "SELECT until FROM mythline.leases"
    let_go = await one.hold(KEY)
    (until,) = ask(database, first)[0]
    async with asyncio.timeout(30):
        while ask(database, first)[0][0] == until:  # noqa: ASYNC110 - only the table tells
            await asyncio.sleep(0.02)
    let_go()
    ask(database, "INSERT INTO mythline.leases VALUES ('bob', 'agent', 'one', 'gone', now())")
    (await asyncio.wait_for(other.hold(SessionKey("bob", "agent", "one")), 30))()


async def test_who_gives_up_just_as_it_holds_holds_nothing(
    two: tuple[Store, Store], database: str, monkeypatch: pytest.MonkeyPatch
):
    one, other = two
    await one.get(KEY)  # connected
    fetch = connections.Connections.write
    taken = asyncio.Event()

    async def taking(self: connections.Connections, statement: str, *values: object):
        found = await fetch(self, statement, *values)
        if statement == SQL["take_lease"] and not taken.is_set():
            taken.set()
            await asyncio.sleep(60)
        return found

    monkeypatch.setattr(connections.Connections, "write", taking)
    holder = asyncio.create_task(one.hold(KEY))
    await asyncio.wait_for(taken.wait(), 30)
    holder.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holder
    (await asyncio.wait_for(other.hold(KEY), 20))()  # long before the lease ends
