"""Rows of sessions: making, moving and removing them inside a transaction, and reading them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import Any, Final

from .. import damage, excerpts, messages
from ..models import (
    EventType,
    SessionDetails,
    SessionInfo,
    SessionState,
    from_micros,
    now_micros,
)
from ..operations import KEEP, Describe
from ..store import SessionKey
from . import lines
from .database import SQL, Connection

EVENTS_KEPT: Final = 10_000
HOUR: Final = 3_600_000_000
"""Microseconds that events are kept at least, however many there are."""
ALL: Final = 1 << 40
"""More messages than a history has, and more sessions than a store."""
NOTHING: Final = -1
"""The `view_head` of a view that shows no part of the history."""
BROKEN: Final = -2
"""`BROKEN - n` is the `view_head` of a view that is no longer one, and showed `n` before."""

Place = tuple[str, str, str]
"""Owner (`''` for none), agent and session."""
Row = Any


def place_of(key: SessionKey) -> Place:
    """Where a session is."""
    return key.owner or "", key.agent_id, key.session_id


def session(connection: Connection, place: Place) -> Row | None:
    """The row of a living session with its state."""
    names = {"owner": place[0], "agent_id": place[1], "session_id": place[2]}
    return connection.execute(SQL["session"], names).fetchone()


def state(
    connection: Connection, place: Place, limit: int | None, most: int
) -> tuple[Row, SessionState, bytes] | None:
    """A living session and the array of its messages, or of the last `limit`, in one statement.

    `None` if there is none, or if it takes more: the messages are in several lines, one has to be
    put right before it is read, one is missing, or they are about more than `most` bytes.
    """
    owner, agent_id, session_id = place
    names = {
        "owner": owner,
        "agent_id": agent_id,
        "session_id": session_id,
        "limit": ALL if limit is None else min(limit, ALL),
        "most": most,
    }
    try:
        row = connection.execute(SQL["state"], names).fetchone()
    except sqlite3.DataError:  # SQLite joins only so much
        return None
    if row is None or row["bodies"] is None:
        return None
    if len(row["bodies"]) != row["bytes"] and not row["is_part"]:
        return None
    state = SessionState(
        session_id,
        owner or None,
        revision(row),
        from_micros(row["updated"]),
        row["head_id"],
        row["usage"],
        row["deferred"],
        branches(row),
        row["forked_from"],
        row["forked_at"],
    )
    return row, state, b"[%b]" % row["bodies"]


def shared(connection: Connection, key: SessionKey) -> Row | None:
    """The row of a living session that an ownerless caller finds by its id alone."""
    names = {"agent_id": key.agent_id, "session_id": key.session_id}
    return connection.execute(SQL["shared_session"], names).fetchone()


def add(
    connection: Connection,
    place: Place,
    revision: str,
    created: int,
    updated: int,
    **fields: Any,
) -> int:
    """Make an empty session; its number."""
    values = {
        "owner": place[0],
        "agent_id": place[1],
        "session_id": place[2],
        "shared_id": 0,
        "revision": revision,
        "created": created,
        "updated": updated,
        "title": None,
        "tags": "[]",
        "pinned": 0,
        "archived": 0,
        "forked_from": None,
        "forked_at": None,
        "pending": 0,
        "metadata": "{}",
    } | fields
    metadata, tags = values.pop("metadata"), str(values["tags"])
    number = connection.execute(SQL["add_session"], values).lastrowid
    assert number is not None
    connection.execute(SQL["add_state"], (number, metadata))
    _set_tags(connection, number, tags)
    return number


def _set_tags(connection: Connection, number: int, tags: str) -> None:
    if tags != "[]":
        connection.executemany(SQL["add_tag"], [(tag, number) for tag in damage.tags(tags)])


def revision(row: Row) -> str:
    """The revision of a session, with the mark of its description."""
    return f"{row['revision']}.{row['described']}" if row["described"] else row["revision"]


def goes_on(row: Row | None, expected: str | None) -> bool:
    """Whether a save that expects a revision may follow what is stored.

    The mark of a description doesn't matter: it leaves the history as it is.
    """
    if row is None or expected is None:
        return row is None and expected is None
    stored: str = row["revision"]
    return expected == stored or expected.rpartition(".")[0] == stored


def note(connection: Connection, row: Row, kind: EventType, revision: str | None = None) -> None:
    """Note what happens to a session, for those who listen (`mythline.local.events`)."""
    place = row["owner"], row["agent_id"], row["session_id"]
    now = now_micros()
    number = connection.execute(SQL["add_event"], (*place, kind, revision, now)).lastrowid
    assert number is not None
    if not number % 256:
        connection.execute(SQL["drop_events"], (number - EVENTS_KEPT, now - HOUR))


def describe(connection: Connection, row: Row, change: Describe) -> None:
    """Change what describes a session, as `Store.describe` says."""
    number: int = row["n"]
    title = row["title"] if change.title is KEEP else change.title
    tags = row["tags"] if change.tags is KEEP else as_json(list(change.tags))
    pinned = row["pinned"] if change.pinned is KEEP else int(change.pinned)
    archived = row["archived"] if change.archived is KEEP else int(change.archived)
    values = change.mark, title, tags, pinned, archived, number
    connection.execute(SQL["describe"], values)
    if tags != row["tags"]:
        connection.execute(SQL["drop_tags"], (number,))
        _set_tags(connection, number, tags)
    if change.metadata is not KEEP:
        connection.execute(SQL["set_metadata"], (as_json(dict(change.metadata)), number))
    kind = "renamed" if title != row["title"] else "updated"
    note(connection, row, kind, f"{row['revision']}.{change.mark}")


def recount(connection: Connection, row: Row) -> None:
    """Bring the counters of a session, and the index of its tags, in line with what it has."""
    head, number = row["head"], row["n"]
    counters = lines.count(connection, head), lines.body_bytes(connection, head)
    values = (*counters, lines.entry_id(connection, head), number)
    connection.execute(SQL["recount"], values)
    connection.execute(SQL["drop_tags"], (number,))
    _set_tags(connection, number, row["tags"])


def as_json(value: Any) -> str:
    """JSON text, as tags and metadata are stored."""
    return json.dumps(value, ensure_ascii=False)


def move(
    connection: Connection,
    row: Row,
    head: int,
    *,
    revision: str,
    updated: int,
    noted: EventType | None,
    head_id: str | None = None,
    added: Sequence[bytes] | None = None,
    **fields: Any,
) -> int:
    """Let a session's history end with `head`; the bytes of its messages then.

    `added` are the bodies after the old head, where it only grew; without, all is counted anew.
    `noted` is what listeners are told.
    """
    if added is None:
        count = lines.count(connection, head)
        size = lines.body_bytes(connection, head)
        opening, preview = _texts(connection, head)
    else:
        count = row["message_count"] + len(added)
        size = row["body_bytes"] + sum(map(len, added))
        opening = row["opening"] or excerpts.opening(added)
        preview = excerpts.preview(reversed(added)) or row["preview"]
    values = {
        "n": row["n"],
        "revision": revision,
        "head": head,
        "head_id": head_id or lines.entry_id(connection, head),
        "message_count": count,
        "body_bytes": size,
        "updated": updated,
        "opening": opening,
        "preview": preview,
        "forked_from": row["forked_from"],
        "forked_at": row["forked_at"],
    } | fields
    connection.execute(SQL["set_history"], values)
    if noted:
        note(connection, row, noted, revision)
    return size


def grow(
    connection: Connection,
    row: Row,
    head: int,
    *,
    head_id: str,
    revision: str,
    updated: int,
    added: Sequence[bytes],
) -> int:
    """As `move`, where the history only gets longer by the bodies `added`.

    It leaves indexes alone that need no change: each is a page more to write.
    """
    if head >> lines.SHIFT != row["head"] >> lines.SHIFT:
        return move(
            connection,
            row,
            head,
            head_id=head_id,
            revision=revision,
            updated=updated,
            added=added,
            noted="appended",
        )
    size: int = row["body_bytes"] + sum(map(len, added))
    values = (
        revision,
        head,
        head_id,
        row["message_count"] + len(added),
        size,
        updated,
        excerpts.preview(reversed(added)) or row["preview"],
        row["n"],
    )
    is_marked = row["unindexed"] and row["stale"]
    connection.execute(SQL["grow" if is_marked else "grow_and_mark"], values)
    if not row["opening"] and (opening := excerpts.opening(added)):  # in an index, unlike the rest
        connection.execute(SQL["set_opening"], (opening, row["n"]))
    note(connection, row, "appended", revision)
    return size


def last_text(connection: Connection, head: int) -> str:
    """The start of the last text in a history, one line."""
    end = lines.read(connection, head, max(0, lines.count(connection, head) - excerpts.LOOK))
    return excerpts.preview(entry.body for entry in reversed(end))


def _texts(connection: Connection, head: int) -> tuple[str, str]:
    start = [entry.body for entry in lines.read(connection, head, 0, excerpts.LOOK)]
    return excerpts.opening(start), last_text(connection, head)


def add_branch(connection: Connection, number: int, tip: int) -> None:
    """Note the end of a history that the session left, as its newest branch."""
    last: int = connection.execute(SQL["last_branch"], (number,)).fetchone()[0]
    connection.execute(SQL["add_branch"], (number, last + 1, tip))


def delete(connection: Connection, row: Row, *, view_lost: bool = False) -> None:
    """Move a session to the trash; `view_lost` if only because its view was removed."""
    connection.execute(SQL["set_deleted"], (now_micros(), int(view_lost), row["n"]))
    note(connection, row, "deleted")


def revive(connection: Connection, number: int) -> None:
    """Take a session out of the trash whose view came back; it is to be read."""
    connection.execute(SQL["revive"], (number,))
    row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
    note(connection, row, "restored", revision(row))


def last_shown(row: Row) -> int:
    """The last entry of what a session's view showed when it could last be read.

    0 if that was empty; `NOTHING` if it was no part of the history, or if nothing is known of it.
    """
    head: int | None = row["view_head"]
    if head is None:
        return NOTHING
    return head if head >= NOTHING else BROKEN - head


def broken(row: Row) -> int:
    """The `view_head` of a session whose view is no longer one.

    What it showed is kept in it (`last_shown`): a program that writes a file in place empties it
    first, and what it then writes goes on from that.
    """
    head = last_shown(row)
    return head if head == NOTHING else BROKEN - head


def purge(connection: Connection, number: int) -> None:
    """Remove a session, and the entries that no other one shares."""
    row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
    if row["head"] or row["view_head"] is not None:  # not known by the name of a file alone
        note(connection, row, "purged")
    tips = [row["head"], *(tip for (tip,) in connection.execute(SQL["tips"], (number,)))]
    connection.execute(SQL["drop_session"], (number,))
    lines.release(connection, [*tips, max(0, last_shown(row))])
    connection.execute(SQL["note_purge"])


def set_view(
    connection: Connection,
    number: int,
    shown: tuple[int | None, int | None],
    mark: tuple[int, int],
) -> None:
    """Note what a session's view shows, a head and how many messages, and the view's mark."""
    names = ("n", "shown", "count", "size", "mtime")
    connection.execute(SQL["set_view"], dict(zip(names, (number, *shown, *mark), strict=True)))


def branches(row: Row) -> tuple[str, ...]:
    """The last entries of the branches a session left, oldest first."""
    return tuple(json.loads(row["branches"])) if row["branches"] != "[]" else ()


def info(row: Row) -> SessionInfo:
    """A row as lists show it."""
    return SessionInfo(**_fields(row))


def details(row: Row) -> SessionDetails:
    """A row with its state and branches.

    Raises:
        StoreCorrupt: If what it carries can't be read.
    """
    unreadable = damage.unreadable(row)
    if unreadable:
        raise damage.of_row()
    return _details(row, unreadable)


def listed(row: Row) -> SessionDetails:
    """As `details`, for lists: without what can't be read."""
    return _details(row, damage.unreadable(row))


def _details(row: Row, unreadable: Collection[str]) -> SessionDetails:
    return SessionDetails(
        **_fields(row),
        head_id=row["head_id"],
        usage=b"{}" if "usage" in unreadable else row["usage"],
        deferred_tool_requests=None if "deferred" in unreadable else row["deferred"],
        branches=branches(row),
        forked_from=row["forked_from"],
        forked_at=row["forked_at"],
        metadata=damage.metadata(row["metadata"]),
        given_title=row["title"],
    )


def _fields(row: Row) -> dict[str, Any]:
    return {
        "agent_id": row["agent_id"],
        "session_id": row["session_id"],
        "owner": row["owner"] or None,
        "title": row["title"] or row["opening"] or None,
        "preview": row["preview"],
        "tags": damage.tags(row["tags"]),
        "pinned": bool(row["pinned"]),
        "archived": bool(row["archived"]),
        "created": from_micros(row["created"]),
        "last_modified": from_micros(row["updated"]),
        "message_count": row["message_count"],
        "size": row["view_size"]
        if row["view_head"] == row["head"] and row["view_size"] is not None
        else messages.view_size(row["message_count"], row["body_bytes"]),
        "revision": revision(row),
        "deleted": None if row["deleted"] is None else from_micros(row["deleted"]),
    }
