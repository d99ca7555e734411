"""The schema of a database: made or migrated by one program at a time, and known by its version."""

from __future__ import annotations

import re
from typing import Final

from ..errors import StoreNotSetUp, StoreTooNew, StoreUnavailable
from ..queries import migrations
from .connections import Connections, Transaction
from .failures import OutcomeUnknown

LOCK: Final = 0x6D7974686C696E65
"""The advisory lock under which migrations run: «mythline»."""
TIMEOUT: Final = 3600.0
"""Seconds that a migration may take, and as many that those of another program may."""
PACKAGE: Final = "mythline.postgres"
# By the tables: `to_regclass` may not see what another program made while its lock was waited for.
_THERE: Final = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables "
    "WHERE schemaname = 'mythline' AND tablename = 'schema') AS there, "
    "current_setting('server_encoding') AS encoding"
)
ENCODINGS: Final = ("UTF8", "SQL_ASCII")
"""Those that keep all texts: the second takes every byte as it comes."""
_OLDEST: Final = re.compile(r"^-- Works with programs from version (\d+) on\.$", re.MULTILINE)


async def version(connections: Connections) -> tuple[int, int] | None:
    """The version of the schema, and the oldest that a program may know; `None` for none."""
    (found,) = await connections.read(_THERE)
    _check_encoding(found["encoding"])
    if not found["there"]:
        return None
    (row,) = await connections.read("SELECT version, oldest FROM mythline.schema")
    return row["version"], row["oldest"]


def _check_encoding(encoding: str) -> None:
    if encoding not in ENCODINGS:
        raise StoreNotSetUp(
            f"The database keeps texts as {encoding}, which can't have them all. Create one with "
            "ENCODING 'UTF8' TEMPLATE template0."
        )


async def check(connections: Connections) -> bool:
    """Whether the database has the schema, and this program may use it.

    Raises:
        StoreTooNew: If only newer programs may.
        StoreNotSetUp: If it must be migrated first, or can't keep all texts.
    """
    found = await version(connections)
    if found is None:
        return False
    known = migrations(PACKAGE)[-1][0]
    there, oldest = found
    if oldest > known:
        raise StoreTooNew(there, known)
    if there < known:
        raise StoreNotSetUp(
            f"The store has schema version {there}; this Mythline needs {known}. "
            "Run `mythline migrate`, then start again."
        )
    return True


async def migrate(connections: Connections) -> int:
    """Run the migrations that are missing, in one transaction; the version then.

    Repeating it does nothing.

    Raises:
        StoreTooNew: If a newer Mythline migrated it. Nothing was changed.
        StoreNotSetUp: If it can't keep all texts.
    """

    async def run(transaction: Transaction) -> int:
        scripts = migrations(PACKAGE)
        known = scripts[-1][0]
        row = await transaction.row(_THERE)
        assert row is not None
        _check_encoding(row["encoding"])
        there, oldest = 0, 0
        if row["there"]:
            found = await transaction.row("SELECT version, oldest FROM mythline.schema")
            assert found is not None
            there, oldest = found["version"], found["oldest"]
        if oldest > known:
            raise StoreTooNew(there, known)
        await transaction.script("SET LOCAL statement_timeout = 0")
        for number, script in scripts:
            if number > there:
                await transaction.script(script)
                named = _OLDEST.search(script)
                oldest = max(oldest, int(named[1]) if named else number)
                await transaction.rows(
                    "UPDATE mythline.schema SET version = $1, oldest = $2", number, oldest
                )

        return max(there, known)

    try:
        return await connections.transact(run, lock=LOCK, seconds=TIMEOUT)
    except OutcomeUnknown as error:
        raise StoreUnavailable(
            "The connection to the database was lost while the schema was migrated. Try again."
        ) from error.__cause__
