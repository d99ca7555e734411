"""Addresses with options, and databases and roles with settings of their own."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
from urllib.parse import urlsplit

import asyncpg
import pytest

from mythline.errors import InvalidInput, RevisionConflict, StoreNotSetUp, StoreUnavailable
from mythline.postgres import PostgresStore, addresses, connections
from tests.postgres.servers import ask
from tests.postgres.support import texts, turn


def alter(dsn: str, setting: str) -> None:
    """Change what connections to a database begin with."""
    name = urlsplit(dsn).path[1:]
    ask(dsn, f"ALTER DATABASE {name} SET {setting}")


def reset(dsn: str) -> None:
    with_writes = f"{dsn}?default_transaction_read_only=off"
    ask(with_writes, f"ALTER DATABASE {urlsplit(dsn).path[1:]} RESET ALL")


def test_hosts_and_options():
    asked = "connect_timeout=3&sslmode=prefer&keepalives=1&gssencmode=disable&application_name=a+b"
    found = addresses.read(f"postgresql://u:p%40,@[::1]:1,%2Ftmp,three/base?{asked}")
    assert found.hosts == [
        f"postgresql://u:p%40,@{host}/base?sslmode=prefer&application_name=a+b"
        for host in ("[::1]:1", "%2Ftmp", "three")
    ]
    assert found.seconds == 3
    assert found.options == {"sslmode", "application_name"}
    assert addresses.read("postgresql://one/base?connect_timeout=0").seconds == math.inf
    for wrong in ("connect_timeout=soon", "connect_timeout="):
        with pytest.raises(InvalidInput):
            addresses.read(f"postgresql://one/base?{wrong}")


def test_hosts_that_are_options(monkeypatch):
    for name in ("PGHOST", "PGPORT"):
        monkeypatch.delenv(name, raising=False)

    def hosts(address: str) -> list[str]:
        return [each.removeprefix("postgresql://") for each in addresses.read(address).hosts]

    assert hosts("postgresql://u@/base?host=one,/tmp/x&port=1,2&sslmode=prefer") == [
        "u@/base?sslmode=prefer&host=one&port=1",
        "u@/base?sslmode=prefer&host=/tmp/x&port=2",
    ]
    assert hosts("postgresql:///base?host=one:1,two:2") == [
        "/base?host=one%3A1",
        "/base?host=two%3A2",
    ]
    assert hosts("postgresql://one,[::1],two:3/base?port=1") == [
        "one:1/base",
        "[::1]:1/base",
        "two:3/base",
    ]
    assert hosts("postgresql://one/?dbname=base") == ["one?dbname=base"]
    assert hosts("postgresql:///base?port=1") == ["/base?port=1"]
    assert hosts("postgresql:///base") == ["/base"]
    for wrong in ("postgresql://one,two/base?port=1,2,3", "postgresql:///base?host=a&port=1,2"):
        with pytest.raises(InvalidInput):
            addresses.read(wrong)
    monkeypatch.setenv("PGHOST", "one,two")
    monkeypatch.setenv("PGPORT", "1,2")
    assert hosts("postgresql:///base") == ["/base?host=one&port=1", "/base?host=two&port=2"]
    assert hosts("postgresql://a:3,b:4,c:5/base") == ["a:3/base", "b:4/base", "c:5/base"]
    assert hosts("postgresql://a,b/base") == ["a:1/base", "b:2/base"]
    assert hosts("postgresql:///base?service=x") == ["/base?service=x"]


async def test_a_silent_host_among_options_holds_nobody_up(database, monkeypatch):
    parts = urlsplit(database)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes connections, and says nothing
        monkeypatch.setattr(connections, "CONNECT", 2.0)
        ports = f"{silent.getsockname()[1]},{parts.port}"
        address = f"postgresql://{parts.username}@/?host={parts.hostname},{parts.hostname}"
        async with PostgresStore(f"{address}&port={ports}&dbname={parts.path[1:]}") as store:
            await store.sessions("agent").create("one")
    async with PostgresStore(database) as store:
        assert await store.sessions("agent").exists("one")


@pytest.mark.parametrize(
    "options",
    [
        "connect_timeout=10&keepalives_idle=30&gssencmode=prefer",
        "channel_binding=prefer&fallback_application_name=x&tcp_user_timeout=1000",
        "client_encoding=LATIN1&options=-c%20search_path%3Dnowhere",
    ],
)
async def test_options_that_other_programs_know(database, options):
    async with PostgresStore(f"{database}?{options}") as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("wörld 🌍"))
        assert await texts(sessions, "one") == ["wörld 🌍", "wörld 🌍!"]


def test_an_option_that_is_not_kept_is_refused():
    with pytest.raises(InvalidInput, match="channel_binding"):
        addresses.read("postgresql://one/base?channel_binding=require")


async def test_the_name_that_a_program_gives_itself(database):
    names = "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = $1"
    names += " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    names += " AND application_name <> ''"  # one that only begins has none
    for options, name in (("", "mythline"), ("?application_name=mine", "mine")):
        async with PostgresStore(database + options):
            found = await asyncio.to_thread(ask, database, names, urlsplit(database).path[1:])
            assert [row[0] for row in found] == [name]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("pooled", [False, True])
async def test_another_isolation_is_no_matter(database, level, pooled):
    alter(database, f"default_transaction_isolation = '{level}'")
    try:
        stores = [PostgresStore(database, transaction_pooling=pooled) for _ in range(6)]
        await asyncio.gather(*(store.open() for store in stores))
        sessions = stores[0].sessions("agent")
        await sessions.create("one")
        await asyncio.gather(
            *(
                store.sessions("agent").append("one", turn(f"{number}"))
                for number in range(10)
                for store in stores
            )
        )
        assert len(await sessions.history("one")) == 120
        for store in stores:
            await store.close()
    finally:
        reset(database)


async def test_a_database_that_is_only_read(database):
    alter(database, "default_transaction_read_only = on")
    try:
        with pytest.raises(StoreUnavailable, match="can't be written to"):
            await PostgresStore(database).open()
    finally:
        reset(database)
    async with PostgresStore(database):
        pass


async def test_an_encoding_that_lacks_characters_is_refused(database, postgres_server):
    name = f"{urlsplit(database).path[1:]}_latin1"
    ask(
        database,
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' "
        "LOCALE_PROVIDER libc",
    )
    try:
        store = PostgresStore(postgres_server.dsn(name))
        for call in (store.open, store.migrate):
            with pytest.raises(StoreNotSetUp, match=r"LATIN1.*UTF8"):
                await call()
    finally:
        ask(database, f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_certificate_that_is_not_trusted(database, monkeypatch):
    async def connect(*_: object, **__: object) -> None:
        raise ssl.SSLCertVerificationError("certificate verify failed")

    async with PostgresStore(database) as store:
        for connections in store._connections._pools.values():
            connections.expire()
        monkeypatch.setattr(asyncpg, "connect", connect)
        with pytest.raises(StoreNotSetUp, match="certificate"):
            await store.sessions("agent").list()


async def test_a_pooler_that_is_not_known_as_one(database, pgbouncer):
    with pytest.raises(StoreNotSetUp, match="MYTHLINE_TRANSACTION_POOLING"):
        await PostgresStore(pgbouncer.dsn(database)).open()


async def test_tables_that_are_gone(database):
    async with PostgresStore(database) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        ask(database, "DROP SCHEMA mythline CASCADE")
        for call in (sessions.list(), sessions.append("one", turn("x"))):
            with pytest.raises(StoreNotSetUp, match="mythline migrate"):
                await call
        await store.migrate()
        await sessions.create("one")


async def test_revisions_that_none_can_be(database):
    async with PostgresStore(database) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        for revision in ("a\0b", "\ud800", "."):
            with pytest.raises(RevisionConflict):
                await sessions.append("one", turn("x"), expected_revision=revision)
