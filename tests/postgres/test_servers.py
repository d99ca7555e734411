"""The servers that the tests of PostgreSQL stand on: they do what they say."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from mythline.postgres import PostgresStore
from tests.postgres.databases import Databases, ReadyDatabases
from tests.postgres.programs import given_dsn, until
from tests.postgres.servers import DURABLE, ask, dsn_of_all
from tests.postgres.support import turn


async def test_databases_are_empty_and_apart(new_database):
    one, other = new_database(), new_database()
    assert one != other
    for dsn in (one, other):
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE TABLE things (name text)")
        await connection.close()
    assert ask(one, "SELECT count(*) FROM things") == [(0,)]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE things (id serial, name text)",
        "CREATE SCHEMA things CREATE TABLE more (name text) CREATE VIEW all_of_it AS TABLE more",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN 1",
        "ALTER ROLE CURRENT_USER IN DATABASE {name} SET work_mem = '1MB'",
    ],
)
async def test_the_next_database_is_empty_as_well(postgres_server, statement):
    everything = """
        SELECT relname::text FROM pg_class UNION SELECT nspname FROM pg_namespace
        UNION SELECT proname FROM pg_proc UNION SELECT setconfig::text FROM pg_db_role_setting
    """
    found = set[object]()
    with Databases(postgres_server) as databases:
        for _ in range(2):
            name = databases.take()
            connection = await asyncpg.connect(postgres_server.dsn(name))
            found = set(await connection.fetch(everything))
            await connection.execute(statement.format(name=name))
            assert set(await connection.fetch(everything)) > found
            databases.give_back(name)
            with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                await connection.fetchval("SELECT 1")
        name = databases.take()
        assert set(ask(postgres_server.dsn(name), everything)) == found
        databases.give_back(name)


def rows_of_all(dsn: str) -> dict[str, list[Any]]:
    """What is in the tables and sequences of the schema."""
    found = ask(
        dsn,
        "SELECT oid::regclass::text FROM pg_class "
        "WHERE relnamespace = 'mythline'::regnamespace AND relkind IN ('r', 'S')",
    )
    return {name: ask(dsn, f"SELECT * FROM {name}") for (name,) in found}


@pytest.mark.parametrize("size", [1, 5_000_000])
async def test_the_next_ready_database_is_as_new(postgres_server, size):
    with ReadyDatabases(postgres_server) as databases:
        name = databases.take()
        dsn = postgres_server.dsn(name)
        new = rows_of_all(dsn)
        async with PostgresStore(dsn) as store:
            sessions = store.sessions("agent")
            await sessions.create("one", tags=["some"])
            await sessions.append("one", turn(secrets.token_hex(size)), idempotency_key="once")
            await sessions.fork("one")
        used = rows_of_all(dsn)
        assert len([table for table in new if used[table] != new[table]]) > 5
        databases.give_back(name)
        assert databases.take() == name
        assert rows_of_all(dsn) == new


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE things (name text)",
        "DROP TABLE mythline.leases",
        "ALTER TABLE mythline.leases ADD COLUMN name text",
        "CREATE INDEX ON mythline.leases (owner)",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql RETURN 1",
        "ALTER ROLE CURRENT_USER IN DATABASE {name} SET work_mem = '1MB'",
    ],
)
async def test_a_ready_database_that_became_another_is_not_used_again(postgres_server, statement):
    with ReadyDatabases(postgres_server) as databases:
        name = databases.take()
        ask(postgres_server.dsn(name), statement.format(name=name))
        databases.give_back(name)
        other = databases.take()
        assert other != name
        async with PostgresStore(postgres_server.dsn(other)) as store:
            await store.sessions("agent").create("one")
        databases.give_back(other)


@pytest.mark.skipif(given_dsn() is not None, reason="a given server has its own roles")
def test_the_owner_is_no_superuser(database):
    sql = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    assert ask(database, sql) == [(False,)]


def test_killed_and_restarted(new_server):
    server = new_server()
    ask(server.admin_dsn(), "CREATE TABLE things AS SELECT 1 AS number")
    children = psutil.Process(server.pid).children()
    assert children
    port = server.port
    server.kill()
    assert not server.running
    assert not any(child.is_running() and child.status() != "zombie" for child in children)
    with pytest.raises(ConnectionRefusedError):
        ask(server.admin_dsn(), "SELECT 1")
    server.restart()
    assert server.port == port
    assert "was not properly shut down" in server.log()
    assert ask(server.admin_dsn(), "SELECT number FROM things") == [(1,)]
    server.restart("immediate")
    assert ask(server.admin_dsn(), "SELECT number FROM things") == [(1,)]
    server.kill()
    server.close()
    assert not server.folder.exists()


def test_a_standby_takes_over(new_server):
    primary = new_server()
    with primary.standby() as standby:
        dsn = dsn_of_all(standby, primary)
        ask(dsn, "CREATE TABLE things (number int)")
        ask(dsn, "INSERT INTO things VALUES (1)")
        primary.kill()
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            ask(standby.dsn(), "INSERT INTO things VALUES (2)")
        standby.promote()
        ask(dsn, "INSERT INTO things VALUES (3)")
        assert ask(dsn, "SELECT number FROM things ORDER BY 1") == [(1,), (3,)]


async def test_a_commit_waits_for_the_standby(new_server):
    primary = new_server()
    with primary.standby() as standby:
        standby.stop()
        connection = await asyncpg.connect(primary.admin_dsn())
        commit = asyncio.create_task(connection.execute("CREATE TABLE things (number int)"))
        waits = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        while not await asyncio.to_thread(ask, primary.admin_dsn(), waits):
            assert not commit.done()
        standby.start()
        await commit
        await connection.close()


def test_a_durable_server(new_server):
    server = new_server(DURABLE)
    assert ask(server.dsn(), "SHOW fsync") == [("on",)]


PROGRAM = """
import sys
from tests.postgres.servers import Server
server = Server()
print(server.folder, server.pid, flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_of_tests_that_are_killed():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        folder, server = process.stdout.readline().split()
        assert psutil.pid_exists(int(server))
        process.kill()
    until(lambda: not Path(folder).exists(), "the server's folder is removed")


async def test_pgbouncer_shares_connections(database, pgbouncer):
    dsn = pgbouncer.dsn(database)
    connections = [await asyncpg.connect(dsn, statement_cache_size=0) for _ in range(5)]
    backends = {await each.fetchval("SELECT pg_backend_pid()") for each in connections}
    for each in connections:
        await each.close()
    assert len(backends) == 1
