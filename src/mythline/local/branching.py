"""Where an entry is in a session, and the branches that the session left."""

from __future__ import annotations

import contextlib

from ..errors import StoreCorrupt
from ..ids import time_of
from ..models import Branch, Located, from_micros
from . import lines, rows
from .database import SQL, Connection


def locate(connection: Connection, row: rows.Row, entry_id: str) -> Located | None:
    """Where an entry is in a session: in its history, or in a branch, the newest first."""
    entry = lines.number(connection, entry_id)
    if entry is None:
        return None
    tips = [tip for (tip,) in connection.execute(SQL["tips"], (row["n"],))]
    for tip in [row["head"], *reversed(tips)]:
        place = lines.position(connection, tip, entry)
        if place is not None:
            leads_on = not row["head"] or lines.position(connection, entry, row["head"]) is not None
            return Located(place + 1, tip == row["head"], leads_on)
    return None


def branches(connection: Connection, row: rows.Row) -> list[Branch]:
    """The branches that a session left, oldest first, without those that are damaged."""
    history = list(lines.segments(connection, row["head"]))[::-1]
    found: list[Branch] = []
    for (tip,) in connection.execute(SQL["tips"], (row["n"],)).fetchall():
        with contextlib.suppress(StoreCorrupt):
            found.append(_branch(connection, row, history, tip))
    return found


def _branch(
    connection: Connection, row: rows.Row, history: list[lines.Segment], tip: int
) -> Branch:
    line = list(lines.segments(connection, tip))[::-1]
    parts_at, shared = _parting(history, line)
    entry_id = lines.entry_id(connection, tip)
    assert entry_id is not None
    count = line[-1].end
    stored = time_of(entry_id)
    return Branch(
        entry_id=entry_id,
        parts_at=lines.entry_id(connection, parts_at),
        message_count=count,
        own_count=count - shared,
        preview=rows.last_text(connection, tip),
        last_modified=from_micros(row["updated"] if stored is None else stored),
    )


def _parting(history: list[lines.Segment], line: list[lines.Segment]) -> tuple[int, int]:
    """The last entry that two histories share, 0 for none, and how many they share."""
    entry, shared = 0, 0
    for one, other in zip(history, line, strict=False):
        if one.first != other.first:
            break
        entry = min(one.last, other.last)
        shared = one.base + entry - one.first + 1
        if one.last != other.last:
            break
    return entry, shared
