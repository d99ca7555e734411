"""Saves: one statement for a turn or a new session, a transaction for what goes another way."""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from .. import excerpts
from ..errors import (
    EntryExists,
    IdempotencyMismatch,
    RevisionConflict,
    SessionNotFound,
    StoreUnavailable,
)
from ..models import SessionDetails, now_micros
from ..operations import ANY, KEEP, Describe
from ..store import Append, AppendResult, Save, SessionKey
from . import moving, rows
from .connections import Connections, Transaction
from .failures import OutcomeUnknown
from .statements import SQL
from .texts import escaped, shown
from .values import batch, new_values

DAY: Final = 86_400_000_000
_LOST: Final = (
    "The connection to the database was lost before it told whether the turn was stored, and it "
    "isn't there. Load the session again, then repeat the change."
)


# Appends


async def append(connections: Connections, key: SessionKey, append: Append) -> AppendResult:
    """Add messages as `Store.append` says, in one statement; a key is looked up before it."""
    place = rows.place_of(key)
    repeat = None if append.idempotency_key is None else escaped(append.idempotency_key)
    is_again = False
    while True:
        if repeat is not None:
            found = await _repeated(connections, place, repeat, append)
            if found is not None:
                return found
        opening = excerpts.opening(append.bodies)
        preview = excerpts.preview(reversed(append.bodies))
        ids, bodies, odd, totals = batch(append.entry_ids, append.bodies)
        try:
            found = await connections.write(
                SQL["append"],
                *place,
                None if append.expected is ANY else rows.before_mark(append.expected),
                append.revision,
                append.updated,
                ids[-1],
                len(ids),
                ids,
                bodies,
                odd,
                totals,
                totals[-1],
                shown(opening),
                shown(opening).casefold(),
                shown(preview),
                shown(preview).casefold(),
                append.usage,
                append.deferred_tool_requests,
                repeat,
                append.digest,
                now_micros(),
            )
        except asyncpg.UniqueViolationError as error:
            if repeat is None or is_again:
                raise EntryExists from error
            is_again = True  # perhaps somebody sent the same at the same moment
            continue
        except OutcomeUnknown as error:
            return await _read_back(connections, key, append, error)
        if found:
            (row,) = found
            return AppendResult(append.revision, row["message_count"], tuple(ids), row["before_id"])
        if repeat is not None:  # somebody sent the same at the same moment, and went on from there
            repeated = await _repeated(connections, place, repeat, append)
            if repeated is not None:
                return repeated
        if not await connections.read(SQL["get"], *place):
            raise SessionNotFound(key.session_id)
        if append.expected is not ANY:
            raise RevisionConflict(key.session_id)
        # It was made or restored in between.


async def _repeated(
    connections: Connections, place: rows.Place, key: str, append: Append
) -> AppendResult | None:
    """What an earlier append under the same key stored."""
    since = append.updated - DAY
    found = await connections.read(SQL["repeated"], *place, key)
    if not found:
        return None
    (row,) = found
    if row["saved"] <= since:
        try:
            await connections.write(SQL["forget_repeat"], *place, key, since)
        except OutcomeUnknown as error:
            raise StoreUnavailable(_LOST) from error.__cause__
        return None
    if row["digest"] != append.digest:
        raise IdempotencyMismatch
    return AppendResult(row["revision"], row["message_count"], tuple(row["entry_ids"]))


async def _read_back(
    connections: Connections, key: SessionKey, append: Append, error: OutcomeUnknown
) -> AppendResult:
    """What an append stored of which the connection was lost.

    The session's row is held first: a statement that is still under way has it.

    Raises:
        StoreUnavailable: If it wasn't stored.
    """
    place = rows.place_of(key)

    async def look(transaction: Transaction) -> AppendResult | None:
        await transaction.row(SQL["hold"], *place)
        found = await transaction.rows(SQL["entries_by_id"], *place[:2], list(append.entry_ids))
        if not found:
            return None
        rows_of = {row["entry_id"]: row for row in found}
        count = rows_of[append.entry_ids[-1]]["count"]
        before = await _id_before(transaction, place, rows_of[append.entry_ids[0]])
        return AppendResult(append.revision, count, tuple(append.entry_ids), before)

    try:
        found = await connections.read_back(look)
    except OutcomeUnknown as again:
        raise StoreUnavailable(_UNKNOWN) from again.__cause__
    if found is None:
        raise StoreUnavailable(_LOST) from error.__cause__
    return found


_UNKNOWN: Final = (
    "The connection to the database was lost, and it isn't known whether the change was stored. "
    "Load the session again to see."
)


async def _id_before(transaction: Transaction, place: rows.Place, row: Any) -> str | None:
    if row["place"] == 0:
        return row["follows_id"]
    at = [row["home"]], [row["line"]], [row["place"] - 1], [row["place"]]
    found = await transaction.row(SQL["entries"], *place[:2], *at)
    return None if found is None else found["entry_id"]


# Sessions that are made, and histories that go another way


async def save(connections: Connections, key: SessionKey, save: Save) -> None:
    """Store a session as `Store.save` says."""
    try:
        if save.expected is None and _is_plain(save):
            await _create(connections, key, save)
        else:
            await connections.transact(
                lambda transaction: moving.save(transaction, key, save),
                lock=rows.lock_on_id(key) if save.expected is None and save.id_alone else None,
            )
    except asyncpg.UniqueViolationError as error:
        # Not by the constraint, which has another name in each partition of a table.
        is_there = save.expected is None and await connections.read(SQL["get"], *rows.place_of(key))
        if save.entries and not is_there:
            raise EntryExists from error
        raise RevisionConflict(key.session_id) from error
    except OutcomeUnknown as error:
        await _read_back_save(connections, key, save, error)


def _is_plain(save: Save) -> bool:
    """Whether its history is what it brings, in order, and nothing else."""
    parents = [None, *(entry.entry_id for entry in save.entries)]
    return (
        not save.branches
        and save.head_id == parents[-1]
        and all(
            entry.parent_id == parent for entry, parent in zip(save.entries, parents, strict=False)
        )
    )


async def _create(connections: Connections, key: SessionKey, save: Save) -> None:
    values = new_values(key, save, save.entries)
    if not save.id_alone:
        await connections.write(SQL["create"], *values)
        return

    async def create(transaction: Transaction) -> None:
        if await transaction.row(SQL["id_is_taken"], key.agent_id, key.session_id):
            raise RevisionConflict(key.session_id)
        await transaction.rows(SQL["create"], *values)

    await connections.transact(create, lock=rows.lock_on_id(key))


class _Vacant(Exception):
    """Nobody has made the session, nor is about to: another one could be made, and was undone."""


async def _read_back_save(
    connections: Connections, key: SessionKey, save: Save, error: OutcomeUnknown
) -> None:
    """Return if a save was stored of which the connection was lost.

    The session's row is held first: a transaction that is still under way has it.

    Raises:
        StoreUnavailable: If it wasn't, or that can't be told.
    """
    place = rows.place_of(key)
    last = [entry.entry_id for entry in save.entries[-1:]]

    async def look(transaction: Transaction) -> bool | None:
        row = await transaction.row(SQL["hold"], *place)
        if row is not None and row["revision"] == save.revision:
            return True
        if last and await transaction.row(SQL["entries_by_id"], *place[:2], last):
            return True  # and somebody has gone on from it
        if save.expected is None:
            if row is None:
                await transaction.rows(SQL["make"], *new_values(key, save, ())[:-5])
                raise _Vacant
            return None
        is_as_before = row is not None and row["revision"] in rows.before_mark(save.expected)
        return False if last or is_as_before else None

    try:
        try:
            found = await connections.read_back(look)
        except asyncpg.UniqueViolationError:
            found = await connections.read_back(look)  # it was under way, and is stored now
        except _Vacant:
            found = False
    except OutcomeUnknown as again:
        raise StoreUnavailable(_UNKNOWN) from again.__cause__
    if not found:
        raise StoreUnavailable(_UNKNOWN if found is None else _LOST) from error.__cause__


# Descriptions


async def describe(connections: Connections, key: SessionKey, change: Describe) -> SessionDetails:
    """Change what describes a session as `Store.describe` says; what it is then."""
    place = rows.place_of(key)

    async def run(transaction: Transaction) -> SessionDetails:
        row = await transaction.row(SQL["hold"], *place)
        if row is None:
            raise SessionNotFound(key.session_id)
        if change.expected is not ANY and rows.revision(row) != change.expected:
            raise RevisionConflict(key.session_id)
        given = None if change.title in (KEEP, None) else shown(str(change.title))
        title = row["title"] if change.title is KEEP else given
        tags = row["tags"] if change.tags is KEEP else rows.as_json(list(change.tags))
        session = (*place, row["n"])
        await transaction.rows(
            SQL["describe"],
            *session,
            change.mark,
            title,
            (title or row["opening"]).casefold(),
            tags,
            row["pinned"] if change.pinned is KEEP else change.pinned,
            row["archived"] if change.archived is KEEP else change.archived,
            row["metadata"] if change.metadata is KEEP else rows.as_json(change.metadata),
        )
        if change.tags is not KEEP and tags != row["tags"]:
            await transaction.rows(SQL["drop_tags"], *session)
            await transaction.rows(SQL["add_tags"], *session, list(change.tags))
        kind = "renamed" if title != row["title"] else "updated"
        mark = f"{row['revision']}.{change.mark}"
        await transaction.rows(SQL["note"], *place, kind, mark, now_micros())
        found = await transaction.row(SQL["get"], *place)
        assert found is not None
        return rows.details(found)

    try:
        return await connections.transact(run)
    except OutcomeUnknown as error:
        try:
            found = await connections.read_back(lambda held: held.row(SQL["hold"], *place))
        except OutcomeUnknown as again:
            raise StoreUnavailable(_UNKNOWN) from again.__cause__
        if found is None or found["described"] != change.mark:
            raise StoreUnavailable(_UNKNOWN) from error.__cause__
        return rows.details(found)
