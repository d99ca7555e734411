"""What PostgreSQL does for statements: which it is asked, and what it reads for them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from mythline.postgres.connections import Connections, Transaction

Asked = list[tuple[str, tuple[Any, ...]]]

_LITTLE = {  # of few rows, here at least
    "event_numbers",
    "events_dropped",
    "pg_database",
    "places",
    "schema",
    "search_state",
}
_CHANGES = re.compile(r"\b(INSERT|UPDATE|DELETE)\s+(INTO|FROM|mythline)")


@contextlib.contextmanager
def statements() -> Iterator[Asked]:
    """The statements that stores ask within the block, with their values."""
    asked: Asked = []
    fetch, rows, row = Connections._fetch, Transaction.rows, Transaction.row

    async def noted_fetch(self: Any, statement: str, *values: Any) -> Any:
        asked.append((statement, values))
        return await fetch(self, statement, *values)

    async def noted_rows(self: Any, statement: str, *values: Any) -> Any:
        asked.append((statement, values))
        return await rows(self, statement, *values)

    async def noted_row(self: Any, statement: str, *values: Any) -> Any:
        asked.append((statement, values))
        return await row(self, statement, *values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connections, "_fetch", noted_fetch)
        patch.setattr(Transaction, "rows", noted_rows)
        patch.setattr(Transaction, "row", noted_row)
        yield asked


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool() | int():
            return str(value)
        case bytes():
            return f"'\\x{value.hex()}'"
        case list() | tuple():
            inner = ",".join(
                "NULL" if each is None else json.dumps(_element(each), ensure_ascii=False)
                for each in value
            )
            return "'{" + inner.replace("'", "''") + "}'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


def _element(value: Any) -> str:
    return "\\x" + value.hex() if isinstance(value, bytes) else str(value)


async def plan(connection: asyncpg.Connection[Any], statement: str, values: Any, mode: str) -> Any:
    """The plan of a statement, made for its values (`custom`) or for any (`generic`).

    What changes nothing is done, and the plan tells the rows that it took.
    """
    arguments = ", ".join(map(_literal, values))
    options = "FORMAT JSON" if _CHANGES.search(statement) else "ANALYZE, FORMAT JSON"
    await connection.execute(f"SET plan_cache_mode = force_{mode}_plan; SET jit = off")
    await connection.execute(f"PREPARE asked AS {statement}")
    try:
        call = f"asked({arguments})" if values else "asked"
        text = await connection.fetchval(f"EXPLAIN ({options}) EXECUTE {call}")
    finally:
        await connection.execute("DEALLOCATE asked")
    return json.loads(text)[0]["Plan"]


def nodes(node: Any) -> Iterator[Any]:
    """A plan's nodes."""
    yield node
    for inner in node.get("Plans", ()):
        yield from nodes(inner)


def rows_of(node: Any) -> float:
    """How many rows a node took up, or would."""
    each = node.get("Actual Rows", node["Plan Rows"])
    left = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    return (each + left) * node.get("Actual Loops", 1)


def faults(plan: Any, most: int) -> list[str]:
    """What in a plan grows with the tables: more than `most` rows that are read or sorted."""
    found: list[str] = []
    for node in nodes(plan):
        kind, table = node["Node Type"], node.get("Relation Name")
        if kind == "Seq Scan" and table not in _LITTLE:
            found.append(f"{kind} of {table}")
        takes = ("Scan" in kind and table) or kind in ("Sort", "Incremental Sort")
        if takes and rows_of(node) > most:
            found.append(f"{kind} of {table}: {rows_of(node)} rows")
    return found
