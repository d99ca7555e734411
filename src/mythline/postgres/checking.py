"""Looks through a database for what is wrong, and puts right what can be without a loss.

Sessions are read a few at a time, each few in one statement, so that what others save meanwhile is
never taken for damage.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from .. import damage, findings
from ..errors import StoreCorrupt, StoreUnavailable
from ..models import Finding, StoredEntry
from ..queries import migrations
from . import lines, schema
from .connections import Connections, Row, Transaction
from .failures import OutcomeUnknown
from .indexing import Indexing
from .lines import Segment
from .statements import SQL
from .texts import unescaped

SOME: Final = 50
"""Sessions that are read at a time."""
MESSAGES: Final = 200
LINES: Final = 1000
_NAMES: Final = re.compile(
    r"^(CREATE|DROP) (?:UNIQUE )?(?:TABLE|INDEX|SEQUENCE) (?:IF (?:NOT )?EXISTS )?"
    r"(?:mythline\.)?(\w+)",
    re.MULTILINE,
)


Number = tuple[str, str, str, int]
"""Where a session is, and its number."""


class _Session:
    """A session as it is stored: what its row says, and the ranges of its history and branches."""

    def __init__(self, found: Sequence[Row]) -> None:
        self.row = found[0]
        histories = {tip: list(parts) for tip, parts in groupby(found, itemgetter("ord"))}
        self.parts: list[Row] = histories.pop(None)
        self.branches: dict[int, list[Row]] = histories

    @property
    def number(self) -> Number:
        """Where it is, and its number."""
        return tuple(self.row[name] for name in ("owner", "agent_id", "session_id", "n"))

    @property
    def line(self) -> list[Segment]:
        """Its history, which isn't broken."""
        return [
            Segment(part["home"], part["line"], part["length"], part["base"], None)
            for part in self.parts
        ]

    @property
    def counters(self) -> tuple[int, int, str | None]:
        """The count of its messages, their bytes, and the id of the last, as they are stored."""
        ends = [part["end_id"] for part in self.parts if part["length"]]
        size = sum(part["bytes"] for part in self.parts)
        return self.line[0].end, size, ends[0] if ends else None

    @property
    def wrong(self) -> set[str]:
        """Which of its counters are wrong."""
        names = "message_count", "body_bytes", "head_id"
        told = zip(names, self.counters, strict=True)
        wrong = {name for name, value in told if self.row[name] != value}
        if sorted(self.row["tags_there"]) != sorted(self.tags):
            wrong.add("tags")
        if self.mistotalled:
            wrong.add("total")
        return wrong

    @property
    def tags(self) -> list[str]:
        """Its tags; those that the table, to find it by one, has if the row hasn't got them."""
        return list(damage.tags(damage.emptied(self.row, self.row["tags_there"])["tags"]))

    @property
    def mistotalled(self) -> list[tuple[Row, int]]:
        """Ranges with entries to which other bytes lead than is noted, and those before them."""
        whole = [parts for parts in self.branches.values() if _broken(parts) is None]
        found: dict[tuple[str, int, int], tuple[Row, int]] = {}
        for parts in [self.parts, *whole]:
            before = 0
            for part in reversed(parts):
                if part["there"] and not part["least"] == part["most"] == before:
                    found[part["home"], part["line"], part["length"]] = part, before
                before += part["bytes"]
        return list(found.values())


def _broken(parts: Sequence[Row]) -> str | None:
    """Why a history can't be read, or `None`; of its ranges, the newest first."""
    for part in parts:
        if part["base"] is None:
            return findings.PART_MISSING
        if part["there"] != part["length"]:
            return findings.missing(part["length"] - part["there"])
        if not part["fits"]:
            return findings.NOT_FOLLOWING
    return findings.START_MISSING if parts[-1]["base"] else None


async def check(
    connections: Connections, indexing: Indexing, *, fix: bool
) -> AsyncGenerator[Finding]:
    """All that is wrong: with the schema, session after session, then what belongs to none.

    With `fix`, what can be put right without a loss is.
    """
    missing = await _missing(connections)
    if missing:
        yield Finding(
            kind="integrity",
            explanation=f"Parts of the schema are missing or can't be used: {', '.join(missing)}. "
            "Restore the database from a backup, or make them as this version's schema does.",
        )
        return  # what else is read would not be worth much
    try:
        async for session in _sessions(connections):
            async for finding in _session(connections, session, fix=fix):
                yield finding
        count, size = await _orphans(connections)
        if count:
            yield Finding(kind="orphan", explanation=findings.orphans(count, size))
        problem = await indexing.problem()
    except StoreCorrupt as error:
        yield Finding(kind="integrity", explanation=str(error))
        return
    if problem is not None:
        if fix:
            await indexing.rebuild()
        explanation = findings.outdated_search(problem)
        yield Finding(kind="search", explanation=explanation, is_fixed=fix, can_fix=True)


async def _missing(connections: Connections) -> list[str]:
    """The tables, indexes and sequences of the schema that aren't there."""
    wanted: dict[str, None] = {}
    for _, script in migrations(schema.PACKAGE):
        for verb, name in _NAMES.findall(script):
            if verb == "CREATE":
                wanted[name] = None
            else:
                wanted.pop(name, None)
    there = {row["name"] for row in await connections.read(SQL["check_schema"])}
    return [name for name in wanted if name not in there]


async def _sessions(connections: Connections) -> AsyncGenerator[_Session]:
    """Every session, deleted ones as well."""
    after = "", "", "", -1
    while True:
        found = list(_grouped(await connections.read(SQL["check_sessions"], *after, SOME)))
        for session in found:
            yield session
        if len(found) < SOME:
            return
        after = found[-1].number


def _grouped(rows: Iterable[Row]) -> Iterator[_Session]:
    return (_Session(list(found)) for _, found in groupby(rows, itemgetter("n")))


async def _session(
    connections: Connections, session: _Session, *, fix: bool
) -> AsyncGenerator[Finding]:
    """What is wrong with a session."""
    from .. import records  # of Pydantic AI, which takes half a second to import

    told = partial(_finding, session.row)
    if no_json := damage.unreadable(session.row):
        if fix:
            await _once(connections, lambda transaction: _reset(transaction, session.number))
        yield told("counters", findings.no_json(no_json), is_fixed=fix, can_fix=True)
    broken = _broken(session.parts)
    if broken is not None:
        yield told("history", broken)
        return
    lost = False
    for parts in session.branches.values():
        if parts[0]["end_id"] is None:
            lost = True
            yield told("branch", findings.NO_END, is_fixed=fix, can_fix=True)
        elif (broken := _broken(parts)) is not None:
            yield told("branch", findings.broken_branch(broken))
    wrong = session.wrong
    if wrong:
        yield told("counters", findings.miscounted(wrong), is_fixed=fix, can_fix=True)
    if fix and (lost or wrong):
        await _once(connections, lambda transaction: _put_right(transaction, session.number))
    unreadable = [entry_id async for entry_id in _unreadable(connections, session)]
    if unreadable:
        yield told("unreadable", findings.unreadable(unreadable))
    unknown = records.unknown(session.row)
    if unknown:
        yield told("unreadable", findings.unknown(unknown))


def _finding(row: Row, kind: str, explanation: str, **fields: Any) -> Finding:
    return Finding(
        kind=kind,
        explanation=explanation,
        owner=unescaped(row["owner"]) or None,
        agent_id=row["agent_id"],
        session_id=row["session_id"],
        **fields,
    )


async def _unreadable(connections: Connections, session: _Session) -> AsyncGenerator[str]:
    """The ids of messages that the installed Pydantic AI can't read, oldest first."""
    owner, agent_id = session.number[:2]
    line = session.line
    for first in range(0, line[0].end, MESSAGES):
        spans = lines.window(line, first, first + MESSAGES)
        columns: list[Any] = [list(column) for column in zip(*spans, strict=True)]
        rows = await connections.read(SQL["entries"], owner, agent_id, *columns)
        rows.sort(key=itemgetter("span", "place"))
        entries = [StoredEntry(row["entry_id"], None, row["body"]) for row in rows]
        for entry_id in await asyncio.to_thread(findings.unread, entries):
            yield entry_id


async def _held(transaction: Transaction, number: Number) -> _Session | None:
    """A session looked at again, as it may have gone on since; it stays so."""
    if not await transaction.row(SQL["hold_any"], *number):
        return None
    found = await transaction.rows(SQL["check_sessions"], *number[:3], number[3] - 1, 1)
    (session,) = _grouped(found)
    return session


async def _reset(transaction: Transaction, number: Number) -> None:
    """Empty what a session carries that is no JSON."""
    session = await _held(transaction, number)
    if session is not None:
        new = damage.emptied(session.row, session.row["tags_there"])
        await transaction.rows(SQL["reset"], *number, *new.values())


async def _put_right(transaction: Transaction, number: Number) -> None:
    """Drop the branches of a session that end nowhere, and bring its counters in line."""
    session = await _held(transaction, number)
    if session is None or _broken(session.parts) is not None:
        return
    for tip, parts in session.branches.items():
        if parts[0]["end_id"] is None:
            await transaction.rows(SQL["drop_branch"], *number, tip)
    for part, before in session.mistotalled:
        at = *number[:2], part["home"], part["line"], part["length"], before
        await transaction.rows(SQL["retotal"], *at)
    await transaction.rows(SQL["recount"], *number, *session.counters)
    await transaction.rows(SQL["drop_tags"], *number)
    await transaction.rows(SQL["add_tags"], *number, session.tags)


async def _once(
    connections: Connections, run: Callable[[Transaction], Coroutine[Any, Any, None]]
) -> None:
    try:
        await connections.transact(run)
    except OutcomeUnknown as error:
        raise StoreUnavailable(
            "The connection to the database was lost while a session was put right. Try again."
        ) from error.__cause__


async def _orphans(connections: Connections) -> tuple[int, int]:
    """How many messages no session reaches, and their bytes."""
    count = size = 0
    after = "", "", "", -1
    while True:
        found = await connections.read(SQL["check_entries"], *after, LINES)
        count += sum(row["count"] for row in found)
        size += sum(row["bytes"] for row in found)
        if len(found) < LINES:
            return count, size
        last = found[-1]
        after = last["owner"], last["agent_id"], last["session_id"], last["line"]
