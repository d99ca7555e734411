"""Taking the messages of a file that another program wrote into its session, in a transaction.

What it added is appended, what it rewrote becomes the current history and leaves the old one as a
branch, and an older view of ours is no change. Where the history is damaged, nothing of it can be
compared: the file becomes the current one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import ids, messages
from ..errors import StoreCorrupt
from ..models import StoredEntry, now_micros
from . import lines, rows
from .database import SQL, Connection
from .layout import SUFFIX, Mark, identity, look


def stamp(mark: Mark) -> int:
    """When a file was changed, in microseconds; a time to come is now."""
    return min(max(0, mark.mtime // 1000), now_micros())


def add(connection: Connection, place: tuple[str, str, str], mark: Mark) -> Any:
    """A session for a file, known by its name; or the one that lost this view, come back."""
    lost = connection.execute(SQL["lost_session"], place).fetchone()
    if lost is not None:
        rows.revive(connection, lost[0])
    else:
        number = rows.add(connection, place, ids.new_entry_ids(1)[0], stamp(mark), stamp(mark))
        rows.set_view(connection, number, (None, None), mark)
        connection.execute(SQL["set_pending"], (number,))
    row = rows.session(connection, place)
    assert row is not None
    return row


def apply(
    connection: Connection,
    place: tuple[str, str, str],
    bodies: list[bytes],
    mark: Mark,
    folder: int,
    compared: tuple[int, int],
) -> tuple[int, int] | None:
    """Take the messages of a file into its session; its number and bytes if its view is stale."""
    now = look(folder, place[2] + SUFFIX)
    if now is None or Mark.of(now) != mark:
        return None  # changed again: the next look finds it
    row = rows.session(connection, place)
    if row is None:
        row = add(connection, place, mark)
    elif not row["pending"] and (row["view_size"], row["view_mtime"]) == mark:
        return None
    first_reading = row["view_head"] is None and not row["head"]
    if first_reading:
        said = messages.said_at(json.loads(bodies[0])) if bodies else None
        created = said or row["created"]
        connection.execute(SQL["set_created"], (created, row["n"]))
    if connection.execute(SQL["folder"], place[:2]).fetchone() is None:
        connection.execute(SQL["set_folder"], (*place[:2], identity(folder) or ""))
    number: int = row["n"]
    entries = _stored(connection, row["head"])
    if entries is None:
        shared, plan = 0, _Plan(0, row["head"], 0)
    else:
        shared = compared[1] if compared[0] == row["head"] else _shared(entries, bodies)
        plan = _plan(connection, row, entries, bodies, shared)
    added = bodies[plan.taken :]
    own = 0
    if plan.base is not None:
        head = _extended(connection, plan.base, added)
        if plan.file_line is not None:
            own = _extended(connection, plan.file_line, added)
        if plan.left:
            rows.add_branch(connection, number, plan.left)
        changed = stamp(mark)
        rows.move(
            connection,
            row,
            head,
            revision=ids.new_entry_ids(1)[0],
            noted="created" if first_reading else "changed" if plan.left else "appended",
            updated=changed if first_reading else max(row["updated"], changed),
        )
        connection.execute(SQL["drop_deferred"], (number,))
        connection.execute(SQL["set_view_foreign"], (changed, number))
    row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
    if own:
        shown: tuple[int | None, int | None] = own, len(bodies)
    elif row["message_count"] == len(bodies) and (plan.base is not None or shared == len(bodies)):
        shown = row["head"], len(bodies)
    else:
        shown = rows.last_shown(row), row["view_count"]
        if shown[0] == row["head"]:
            shown = rows.NOTHING, 0  # it shows something else than the history, whatever that is
    rows.set_view(connection, number, shown, mark)
    return None if shown[0] == row["head"] else (number, row["body_bytes"])


def _extended(connection: Connection, after: int, bodies: list[bytes]) -> int:
    """The last of `bodies`, stored after an entry; that entry if there are none."""
    if not bodies:
        return after
    new = list(zip(ids.new_entry_ids(len(bodies)), bodies, strict=True))
    return lines.extend(connection, after, new)[-1]


def compare(
    connection: Connection, place: tuple[str, str, str], bodies: list[bytes]
) -> tuple[int, int]:
    """The head of a session, and how many messages its history shares with a file."""
    row = rows.session(connection, place)
    head: int = 0 if row is None else row["head"]
    return head, _shared(_stored(connection, head) or (), bodies)


def _stored(connection: Connection, head: int) -> list[StoredEntry] | None:
    """The history that ends with an entry; `None` if it is damaged."""
    try:
        return lines.read(connection, head)
    except StoreCorrupt:
        return None


def _shared(entries: Sequence[StoredEntry], bodies: list[bytes]) -> int:
    """How many messages the history and the file have in common from the first."""
    shared = 0
    for entry, body in zip(entries, bodies, strict=False):
        if not messages.same(entry.body, body, wholly=True):
            break
        shared += 1
    return shared


class _Plan(NamedTuple):
    """What to take in from a file.

    `base` is the entry that the file's messages from `taken` on follow (0: the start of a
    history), `None` if there is nothing to take in; `left` the head that is left as a branch, or
    0. Where they go on after what came meanwhile, the file shows another line than the history:
    it goes on after `file_line`, and is kept so that what the file adds next is told apart.
    """

    base: int | None
    left: int
    taken: int
    file_line: int | None = None


def _plan(
    connection: Connection,
    row: Any,
    entries: list[StoredEntry],
    bodies: list[bytes],
    shared: int,
) -> _Plan:
    head: int = row["head"]
    if shared == len(entries):
        never_read = row["view_head"] is None and not head
        return _Plan(head if len(bodies) > shared or never_read else None, 0, shared)
    seen = _seen(connection, row)
    shown = rows.last_shown(row)
    if seen is None and shown > 0:
        known = _stored(connection, shown)
        if known is not None and _shared(known, bodies) == len(
            known
        ):  # added, if anything, to a line of the file's own
            more = len(bodies) > len(known)
            return _Plan(head if more else None, 0, len(known), shown)
    if shared == len(bodies):
        if seen is None or len(bodies) >= seen:
            return _Plan(None, 0, shared)  # an older view of ours
    elif seen is not None and shared >= seen:  # added to an older view of ours
        return _Plan(head, 0, shared, _at(connection, entries, shared))
    return _Plan(_at(connection, entries, shared), head, shared)


def _seen(connection: Connection, row: Any) -> int | None:
    """How many messages of the current history the view last showed; `None` if it left them."""
    shown = rows.last_shown(row)
    if shown <= 0:
        return 0 if shown == 0 else None
    found = lines.position(connection, row["head"], shown)
    return None if found is None else found + 1


def _at(connection: Connection, entries: list[StoredEntry], count: int) -> int:
    if not count:
        return 0
    found = lines.number(connection, entries[count - 1].entry_id)
    assert found is not None
    return found
