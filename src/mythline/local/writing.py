"""What a save and an append do inside a write transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ..errors import EntryExists, IdempotencyMismatch, RevisionConflict, SessionNotFound
from ..models import SessionDetails, StoredEntry
from ..operations import Describe
from ..store import ANY, Append, AppendResult, Save, SessionKey
from . import lines, rows
from .database import SQL, Connection
from .views import SMALL

DAY: Final = 86_400_000_000
LATELY: Final = 600_000_000
"""Microseconds for which a program that wrote a view is taken to go on with the session."""


class Stored(NamedTuple):
    """The session that was stored in, whose view follows.

    Its number (0 where nothing was stored), the bytes of its messages, and whether to wait for the
    view: other programs that write the session in turn go on from what that shows.
    """

    number: int
    body_bytes: int
    is_awaited: bool


def _is_awaited(row: rows.Row, size: int, now: int, *, moved: bool = False) -> bool:
    """Whether another program wrote the view lately, or is yet to see the first turn.

    With `moved`, the history goes another way. A long one is not waited for then: a fork would
    take as long as a copy.
    """
    is_new = size <= SMALL and (moved or not row["head"])
    return is_new or now - (row["view_foreign"] or 0) < LATELY


def save(
    connection: Connection, key: SessionKey, save: Save, check_free: Callable[[SessionKey], None]
) -> Stored:
    """Store a session as `Store.save` says.

    `check_free` is called before one is made, and raises if something is in its place.
    """
    place = rows.place_of(key)
    row = rows.session(connection, place)
    if not rows.goes_on(row, save.expected):
        raise RevisionConflict(key.session_id)
    is_new = row is None
    if row is None:
        names = {"agent_id": key.agent_id, "session_id": key.session_id}
        if save.id_alone and connection.execute(SQL["id_is_taken"], names).fetchone():
            raise RevisionConflict(key.session_id)
        check_free(key)
        rows.add(
            connection,
            place,
            save.revision,
            save.updated if save.created is None else save.created,
            save.updated,
            shared_id=int(save.shared_id),
            title=save.title,
            tags=rows.as_json(list(save.tags)),
            pinned=int(save.pinned),
            archived=int(save.archived),
            forked_from=save.forked_from,
            forked_at=save.forked_at,
            metadata=rows.as_json(dict(save.metadata)),
        )
        row = rows.session(connection, place)
        assert row is not None
    number: int = row["n"]
    known: dict[str | None, int] = {None: 0, row["head_id"]: row["head"]}

    def entry(identity: str | None) -> int:
        if identity not in known:
            found = (
                None
                if identity is None
                else reachable(connection, save.reach or "", key.agent_id, identity)
            )
            if found is None:
                raise RevisionConflict(key.session_id)
            known[identity] = found
        return known[identity]

    for run in save.runs():
        _add_run(connection, run, entry(run[0].parent_id), known)
    head = entry(save.head_id)
    tips = [entry(tip) for tip in save.branches]
    grew = save.grows(row["head_id"])
    added = [found.body for found in save.entries] if grew else None
    size = rows.move(
        connection,
        row,
        head,
        head_id=save.head_id,
        revision=save.revision,
        updated=save.updated,
        noted="created" if is_new else "changed" if added is None else "appended",
        added=added,
        forked_from=save.forked_from,
        forked_at=save.forked_at,
    )
    state = save.usage, save.deferred_tool_requests
    if state != (row["usage"], row["deferred"]):
        connection.execute(SQL["set_state"], (*state, number))
    if tuple(save.branches) != rows.branches(row):
        connection.execute(SQL["drop_branches"], (number,))
        connection.executemany(
            SQL["add_branch"],
            [(number, order, tip) for order, tip in enumerate(tips, 1)],
        )
    return Stored(number, size, _is_awaited(row, size, save.updated, moved=not grew))


def _add_run(
    connection: Connection,
    run: Sequence[StoredEntry],
    after: int,
    known: dict[str | None, int],
) -> None:
    try:
        numbers = lines.extend(connection, after, [(e.entry_id, e.body) for e in run])
    except sqlite3.IntegrityError as error:
        raise EntryExists from error
    known.update(zip((entry.entry_id for entry in run), numbers, strict=True))


def reachable(connection: Connection, owner: str, agent_id: str, entry_id: str) -> int | None:
    """The number of an entry, if a living session of this agent, and owner, reaches it."""
    entry = lines.number(connection, entry_id)
    if entry is None or not lines.reaches(connection, entry, owner, agent_id):
        return None
    return entry


class ViewChanged(Exception):
    """Another program changed the session's view, which is to be taken in first."""


def append(
    connection: Connection,
    key: SessionKey,
    append: Append,
    check: Callable[[rows.Place, rows.Row | None], None],
) -> tuple[Stored, AppendResult]:
    """Add messages as `Store.append` says; nothing if an earlier append is repeated.

    `check` is called first, and raises if the session's row is not to be gone on from.
    """
    place = rows.place_of(key)
    row = connection.execute(SQL["growing"], place).fetchone()
    check(place, row)
    if row is None:
        raise SessionNotFound(key.session_id)
    number: int = row["n"]
    repeat = append.idempotency_key
    if repeat is not None:
        since = append.updated - DAY
        found = connection.execute(SQL["repeated"], (number, repeat, since)).fetchone()
        if found is not None:
            if found["digest"] != append.digest:
                raise IdempotencyMismatch
            identities = tuple(json.loads(found["ids"]))
            done = AppendResult(found["revision"], found["total"], identities)
            return Stored(0, 0, False), done
    if append.expected is not ANY and not rows.goes_on(row, append.expected):
        raise RevisionConflict(key.session_id)
    numbers = lines.extend(
        connection,
        row["head"],
        list(zip(append.entry_ids, append.bodies, strict=True)),
        is_followed=bool(row["is_followed"]),
    )
    size = rows.grow(
        connection,
        row,
        numbers[-1],
        head_id=append.entry_ids[-1],
        revision=append.revision,
        updated=append.updated,
        added=append.bodies,
    )
    state = append.usage or row["usage"], append.deferred_tool_requests
    if state != (row["usage"], row["deferred"]):
        connection.execute(SQL["set_state"], (*state, number))
    total = row["message_count"] + len(append.bodies)
    if repeat is not None:
        connection.execute(SQL["forget_repeats"], (number, append.updated - DAY))
        values = (
            number,
            repeat,
            append.digest,
            append.updated,
            append.revision,
            total,
            json.dumps(list(append.entry_ids)),
        )
        connection.execute(SQL["remember"], values)
    result = AppendResult(append.revision, total, tuple(append.entry_ids), row["head_id"])
    return Stored(number, size, _is_awaited(row, size, append.updated)), result


def describe(connection: Connection, key: SessionKey, change: Describe) -> SessionDetails:
    """Change what describes a session as `Store.describe` says; what it is then."""
    place = rows.place_of(key)
    row = rows.session(connection, place)
    if row is None:
        raise SessionNotFound(key.session_id)
    if change.expected is not ANY and rows.revision(row) != change.expected:
        raise RevisionConflict(key.session_id)
    rows.describe(connection, row, change)
    row = rows.session(connection, place)
    assert row is not None
    return rows.details(row)
