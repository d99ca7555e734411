"""What goes wrong between a store and its database: nothing that was acknowledged is lost or done

twice, callers get a typed error, and it goes on without being opened again.
"""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from mythline.errors import (
    SessionNotFound,
    StoreClosed,
    StoreError,
    StoreFull,
    StoreUnavailable,
)
from mythline.http import create_app
from mythline.postgres import PostgresStore, connections
from tests.http.support import BASE, Client
from tests.http.support import turn as wire_turn
from tests.postgres.servers import DURABLE, ask
from tests.postgres.support import Saver, check_whole, eventually, texts, turn

# A server that ends what it has begun


@pytest.mark.parametrize("settings", [DURABLE])
async def test_a_server_that_is_killed_in_the_middle_of_saves(new_server, settings):
    server = await asyncio.to_thread(new_server, settings)
    async with PostgresStore(server.dsn()) as store:
        async with Saver(store, clients=8) as saver:
            for _ in range(2):
                await saver.more(20)
                await asyncio.to_thread(server.kill)
                await saver.fails()
                await asyncio.to_thread(server.start)
                await saver.more(20)
        assert not saver.unexpected
        await saver.check()
    check_whole(server.dsn())


async def test_connections_that_are_terminated(database, postgres_server):
    terminate = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    async with PostgresStore(database) as store:
        async with Saver(store, clients=4) as saver:
            for _ in range(8):
                await saver.more(5)
                await asyncio.to_thread(
                    ask, postgres_server.admin_dsn(database.rpartition("/")[2]), terminate
                )
        assert not saver.unexpected
        await saver.check()
    check_whole(database)


async def test_a_lock_that_is_held_for_long(database, proxy, monkeypatch):
    """One connection, and somebody else has the session: waits end, nothing comes later."""
    monkeypatch.setattr(connections, "WAIT", 0.5)
    monkeypatch.setattr(connections, "TIMEOUT", 2.0)
    holder = await asyncpg.connect(database)
    async with PostgresStore(proxy.dsn(database), pool_size=1) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await holder.execute("BEGIN; SELECT FROM mythline.sessions FOR UPDATE")
        saving = asyncio.create_task(sessions.append("one", turn("late")))
        await eventually(lambda: waiting(database), "the save waits")
        with pytest.raises(StoreUnavailable, match="in use"):
            await sessions.info("one")
        with pytest.raises(StoreUnavailable):
            await saving
        await eventually(lambda: not waiting(database), "the server has given it up")
        await holder.execute("ROLLBACK")
        assert (await sessions.info("one")).message_count == 0
        await sessions.append("one", turn("first"))
        assert await texts(sessions, "one") == ["first", "first!"]
    await holder.close()
    check_whole(database)


def waiting(database: str) -> bool:
    return bool(
        ask(
            database,
            "SELECT FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    )


async def test_a_statement_that_takes_too_long_for_the_server(database):
    name = database.rpartition("/")[2]
    async with PostgresStore(database) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
    await asyncio.to_thread(ask, database, f"ALTER DATABASE {name} SET statement_timeout = 300")
    holder = await asyncpg.connect(database)
    async with PostgresStore(database) as store:
        sessions = store.sessions("agent")
        await holder.execute("BEGIN; SELECT FROM mythline.sessions FOR UPDATE")
        for change in (
            lambda: sessions.append("one", turn("late")),
            lambda: sessions.rename("one", "late"),
        ):
            with pytest.raises(StoreUnavailable, match="too long"):
                await change()
        await holder.execute("ROLLBACK")
        await sessions.append("one", turn("first"))
        assert (await sessions.info("one")).message_count == 2
    await holder.close()


async def test_a_disk_that_is_full(database):
    async with PostgresStore(database) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        revision = (await sessions.info("one")).revision
        connection = await asyncpg.connect(database)
        await connection.execute("""
            CREATE FUNCTION mythline.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE 'could not extend file' USING ERRCODE = '53100'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON mythline.entries
            FOR EACH ROW EXECUTE FUNCTION mythline.refuse();
        """)
        with pytest.raises(StoreFull):
            await sessions.append("one", turn("first"))
        assert (await sessions.info("one")).revision == revision
        await connection.execute("DROP TRIGGER refuse ON mythline.entries")
        await connection.close()
        assert (await sessions.append("one", turn("first"))).message_count == 2
    check_whole(database)


# Callers that go away


async def test_saves_that_are_cancelled(database):
    """Each is stored or not, and the connections are fit for others."""
    async with PostgresStore(database, pool_size=2) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        for number in range(40):
            saving = [
                asyncio.create_task(sessions.append("one", turn(f"{number}"))),
                asyncio.create_task(sessions.rename("one", f"{number}")),
            ]
            for _ in range(number % 12):
                await asyncio.sleep(0)
            for task in saving:
                task.cancel()
            await asyncio.gather(*saving, return_exceptions=True)
            await sessions.append("one", turn("kept"))
        found = await texts(sessions, "one")
        assert found.count("kept") == 40
        assert found[1::2] == [f"{text}!" for text in found[::2]]
        left = "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        left += " AND state LIKE 'idle in transaction%'"
        await eventually(lambda: not ask(database, left), "no transaction is left open")
    check_whole(database)


async def test_a_store_that_is_closed_while_it_is_used(database):
    async with PostgresStore(database, pool_size=3) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        saving = [asyncio.create_task(sessions.append("one", turn(str(n)))) for n in range(20)]
        await eventually(lambda: any(task.done() for task in saving), "one is stored")
        await store.close()
        found = await asyncio.gather(*saving, return_exceptions=True)
    stored = sum(not isinstance(each, BaseException) for each in found)
    assert stored
    for each in found:
        assert not isinstance(each, BaseException) or isinstance(each, StoreClosed)
    with pytest.raises(StoreClosed):
        await sessions.info("one")
    async with PostgresStore(database) as store:
        assert (await store.sessions("agent").info("one")).message_count == 2 * stored


async def test_nothing_is_left_of_a_store_that_is_closed(database):
    """Also where two opened it at once, and where who closes it is cancelled, at any moment."""
    before = asyncio.all_tasks()
    store = PostgresStore(database)
    await asyncio.gather(store.open(), store.open())
    await store.close()
    assert asyncio.all_tasks() == before
    for moment in range(12):
        store = PostgresStore(database)
        await store.open()
        closing = asyncio.create_task(store.close())
        for _ in range(moment):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await store.close()
        assert asyncio.all_tasks() == before
        await eventually(lambda: connected(database) == 0, "its connections are closed")


async def test_a_store_of_several_event_loops(database):
    """Threads with a loop of their own, also for a single call, leave nothing behind."""
    async with PostgresStore(database, pool_size=3) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")

        async def save(number: int) -> None:
            for each in range(5):
                await sessions.append("one", turn(f"{number}.{each}"))

        events = store.events(None, "agent")
        assert (await anext(events)).type == "ready"
        for _ in range(3):
            await asyncio.gather(
                *[asyncio.to_thread(asyncio.run, save(number)) for number in range(4)],
                save(4),
            )
        async with asyncio.timeout(60):
            for _ in range(75):
                assert (await anext(events)).type == "appended"
        await events.aclose()
        assert (await sessions.info("one")).message_count == 150
        await eventually(
            lambda: connected(database) <= 3,
            "the connections of loops that ended are closed",
        )
    check_whole(database)


def connected(database: str) -> int:
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    statement += " AND application_name = 'mythline'"
    return ask(database, statement)[0][0]


async def test_a_store_that_can_not_be_opened_yet(database, proxy):
    proxy.cut()
    store = PostgresStore(proxy.dsn(database))
    with pytest.raises(StoreUnavailable):
        await store.open()
    with pytest.raises(StoreError):
        await store.sessions("agent").info("one")
    proxy.resume()
    async with store:
        with pytest.raises(SessionNotFound):
            await store.sessions("agent").info("one")


# Over HTTP


def test_what_http_clients_are_told(database, proxy):
    """503 with `Retry-After` while the database is away; then it goes on, nothing opened again."""
    secret = "127.0.0.1"
    with Client(create_app(proxy.dsn(database)), secret=secret) as client:
        client.create("one")
        client.add("one", "first")
        assert client.get("/ready").status_code == 200
        proxy.cut()
        calls = [
            client.get("/ready"),
            client.get(BASE),
            client.get(f"{BASE}/one"),
            client.post(f"{BASE}/one/messages", json={"messages": wire_turn("second")}),
            client.post(f"{BASE}/create", json={"session_id": "two"}),
            client.patch(f"{BASE}/one", json={"title": "A title"}),
            client.delete(f"{BASE}/one"),
            client.get("/api/doctor"),
        ]
        for answer in calls:
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
        assert client.get("/health").status_code == 200
        proxy.resume()
        assert client.get("/ready").status_code == 200
        client.add("one", "second")
        assert client.get(f"{BASE}/one/info").json()["message_count"] == 4
        client.create("two")


def test_a_server_that_starts_before_its_database(database, proxy):
    proxy.cut()
    with Client(create_app(proxy.dsn(database)), secret="127.0.0.1") as client:
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
        proxy.resume()
        assert client.get("/ready").status_code == 200
        client.create("one")


def test_a_turn_is_stored_once_for_a_client_that_repeats_it(database, proxy, monkeypatch):
    """What a client does that got a 503, or nothing: the same again under its key."""
    monkeypatch.setattr("mythline.postgres.indexing.PAUSE", 3600)  # that marks sessions, too
    body = {"messages": wire_turn("first")}
    headers = {"Idempotency-Key": "a key"}
    with Client(create_app(proxy.dsn(database)), secret="127.0.0.1") as client:
        client.create("one")
        for lose in (proxy.lose_request, proxy.lose_answer):
            loss = lose("UPDATE mythline.sessions")
            answer = client.post(f"{BASE}/one/messages", json=body, headers=headers)
            assert answer.status_code == (503 if lose == proxy.lose_request else 201)
            assert loss.happened
        again = client.post(f"{BASE}/one/messages", json=body, headers=headers)
        assert again.status_code == 201
        assert again.json() == answer.json()
        assert client.get(f"{BASE}/one/info").json()["message_count"] == 2
