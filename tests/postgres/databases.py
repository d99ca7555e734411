"""Databases, as many as tests want. One that was used is put back as it was and used again:

that takes a tenth of the time of making one.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import asyncpg

from mythline.postgres import PostgresStore
from tests.postgres.servers import ROLE, GivenServer, Server, ask

# Whoever is connected has to go. To wait by the second argument takes a tenth of a second.
_ALONE = """
    LOOP
        PERFORM pg_stat_clear_snapshot();
        PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
        EXIT WHEN NOT FOUND OR clock_timestamp() > now() + interval '60 seconds';
        PERFORM pg_sleep(0.001);
    END LOOP;
"""

# What others than its owner made can't be emptied out.
_EMPTY = """
DO $$ BEGIN
    {alone}
    DROP OWNED BY {owner};
    IF EXISTS (
        SELECT FROM pg_class WHERE relnamespace IN (
            SELECT oid FROM pg_namespace
            WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        )
    ) OR EXISTS (
        SELECT FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
        WHERE datname = current_database()
    ) THEN
        RAISE EXCEPTION 'something is left';
    END IF;
END $$
"""


class Databases:
    """The databases of this process on a server that others may use too. A context manager.

    They are empty when they are taken. Their owner is the role of `server.dsn()`.
    """

    def __init__(self, server: GivenServer | Server) -> None:
        self._server = server
        token = secrets.token_hex(4)
        self._names = (f"mythline_test_{token}_{number}" for number in itertools.count(1))
        self._free: list[str] = []

    def take(self) -> str:
        """The name of a database that nobody uses."""
        if self._free:
            return self._free.pop()
        name = next(self._names)
        ask(self._server.dsn(), f"CREATE DATABASE {name} TEMPLATE template0")
        self._prepare(name)
        return name

    def give_back(self, name: str) -> None:
        """Be done with a database, whoever is connected to it."""
        try:
            self._put_back(name)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self._drop(name)
        else:
            self._free.append(name)

    def _prepare(self, name: str) -> None:
        """Make a new database what is to be taken."""

    def _put_back(self, name: str) -> None:
        """Make it that again; raises where this can't be done."""
        owner = ROLE if isinstance(self._server, Server) else "CURRENT_USER"
        ask(self._server.admin_dsn(name), _EMPTY.format(alone=_ALONE, owner=owner))

    def _drop(self, name: str) -> None:
        ask(self._server.admin_dsn(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: Any) -> None:
        while self._free:
            self._drop(self._free.pop())


# Tables, indexes, functions and settings; no rows.
_STRUCTURE = """
WITH own AS (
    SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
), parts AS (
    SELECT concat_ws(' ', oid, relname, relnatts, relchecks, relhastriggers, reloptions, relacl)
        AS part FROM pg_class WHERE relnamespace IN (TABLE own)
    UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_proc WHERE pronamespace IN (TABLE own)
    UNION ALL SELECT concat_ws(' ', oid) FROM own
    UNION ALL SELECT concat_ws(' ', setrole, setconfig) FROM pg_db_role_setting
    JOIN pg_database ON pg_database.oid = setdatabase WHERE datname = current_database()
)
SELECT md5(string_agg(part, ',' ORDER BY part)) FROM parts
"""

# One statement for all tables, as they refer to each other. What has grown is made anew.
_CLEAR = """
DO $$ BEGIN
    {alone}
    IF (SELECT sum(pg_table_size(each::regclass)) FROM unnest('{{{tables}}}'::text[]) AS each)
        > 4 << 20
    THEN
        TRUNCATE {tables};
    ELSE
        {deletes};
    END IF;
    {inserts}
    PERFORM setval(oid, 1, false) FROM pg_class
    WHERE relkind = 'S' AND relnamespace = 'mythline'::regnamespace;
    IF ({structure}) <> '{known}' THEN
        RAISE EXCEPTION 'something else than rows has changed';
    END IF;
END $$
"""

_TABLES = """
SELECT format('%I.%I', relnamespace::regnamespace, relname) FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'mythline'::regnamespace
"""


class ReadyDatabases(Databases):
    """The same with Mythline's schema in them, and no session.

    To each a connection is kept: a new one would first learn of all tables and indexes, which
    takes longer than to clear them.
    """

    def __init__(self, server: GivenServer | Server) -> None:
        super().__init__(server)
        self._thread = ThreadPoolExecutor(1)  # the tests may have loops of their own
        self._loop = asyncio.Runner()
        self._connections: dict[str, Any] = {}
        self._statements: dict[str, str] = {}

    def _wait(self, awaited: Coroutine[Any, Any, Any]) -> Any:
        return self._thread.submit(self._loop.run, awaited).result()

    def _prepare(self, name: str) -> None:
        dsn = self._server.dsn(name)
        self._wait(PostgresStore(dsn).migrate())
        tables = [table for (table,) in ask(dsn, _TABLES)]
        inserts = ""
        for table in tables:
            ((rows,),) = ask(dsn, f"SELECT quote_literal(json_agg(row)) FROM {table} AS row")
            if rows is not None:
                recorded = f"json_populate_recordset(NULL::{table}, {rows})"
                inserts += f"INSERT INTO {table} SELECT * FROM {recorded};\n"
        deletes = [f"gone_{n} AS (DELETE FROM {table})" for n, table in enumerate(tables[1:])]
        ((known,),) = ask(dsn, _STRUCTURE)
        self._statements[name] = _CLEAR.format(
            alone=_ALONE,
            tables=", ".join(tables),
            deletes=f"WITH {', '.join(deletes)} DELETE FROM {tables[0]}",
            inserts=inserts,
            structure=_STRUCTURE,
            known=known,
        )
        self._connections[name] = self._wait(asyncpg.connect(self._server.admin_dsn(name)))

    def _put_back(self, name: str) -> None:
        self._wait(self._connections[name].execute(self._statements[name]))

    def _drop(self, name: str) -> None:
        self._wait(self._connections.pop(name).close())
        super()._drop(name)

    def __exit__(self, *why: Any) -> None:
        super().__exit__(*why)
        for connection in self._connections.values():
            self._wait(connection.close())
        self._thread.submit(self._loop.close).result()
        self._thread.shutdown()
