"""Looks for what is missing in the schema of a database, and makes it again where it can be."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Final

from .. import messages, queries
from ..models import Finding
from .database import SQL, Connection, Database

NEEDED: Final = {"sessions", "lines", "entries"}
"""What nothing is left of a session without."""


def missing(database: Database, *, fix: bool) -> list[Finding]:
    """Tables and indexes that the migrations made and that aren't there any more.

    With `fix`, they are made again, empty: what is in them but not elsewhere is lost already, and
    the rest of the check fills in what is.
    """
    lost = database.read(_lost)
    tables = sorted(name for name, (kind, _) in lost.items() if kind == "table")
    if NEEDED & set(tables):
        return [
            Finding(
                kind="integrity",
                explanation=f"The database has lost its table(s) {', '.join(tables)}. Keep a copy "
                "of the folder; moved out of it, the database is built again from the .json files.",
            )
        ]
    if fix and lost:
        database.write_now(lambda connection: _make(connection, [sql for _, sql in lost.values()]))
    return [
        Finding(
            kind="schema",
            explanation=f"The database has lost its {kind} {name}. Made again, it is filled with "
            "what is stored elsewhere; what isn't is lost.",
            is_fixed=fix,
            can_fix=True,
        )
        for name, (kind, _) in lost.items()
    ]


def _lost(connection: Connection) -> dict[str, tuple[str, str]]:
    """What is missing: its kind and its SQL, by name, tables first."""
    there = {name for name, _, _ in connection.execute(SQL["schema"])}
    with closing(sqlite3.connect(":memory:")) as whole:
        whole.create_function("is_odd", 1, messages.is_odd)
        for _, script in queries.migrations(__package__ or ""):
            whole.executescript(script)
        wanted = whole.execute(SQL["schema"]).fetchall()
    return {name: (kind, sql) for name, kind, sql in wanted if name not in there}


def _make(connection: Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.execute(statement)
    if not connection.execute(SQL["has_search_state"]).fetchone()[0]:
        connection.execute(SQL["add_search_state"])  # of version 0: the index is built anew
