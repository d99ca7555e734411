"""Histories as ranges of entries: reading, extending, and letting go of them.

An entry's number is `line << 20 | place`. A history is told by its last entry, its head: the
entries of the head's line up to it, those of the line that this one follows up to the entry it
follows, and so on. Everything here takes a connection inside a transaction, and raises
`StoreCorrupt` for a history that leads nowhere, and where it reads entries that are missing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from .. import damage, messages
from ..models import StoredEntry
from . import documents
from .database import SQL, Connection

SHIFT: Final = 20
PLACES: Final = 1 << SHIFT


class Segment(NamedTuple):
    """The entries `first` to `last`, of which `base` entries of the history come before."""

    first: int
    last: int
    base: int
    follows: int

    @property
    def end(self) -> int:
        """How many entries of the history come before the entry after `last`."""
        return self.base + self.last - self.first + 1


def segments(connection: Connection, head: int) -> Iterator[Segment]:
    """The ranges of the history that ends with `head`, the newest first.

    Each begins with fewer entries before it than the one that follows it, so there is an end.
    """
    end: int | None = None
    while head:
        line = head >> SHIFT
        row = connection.execute(SQL["line"], (line,)).fetchone()
        if row is None or row["base"] < 0 or (row["follows"] == 0) != (row["base"] == 0):
            raise damage.of_history()
        segment = Segment(line << SHIFT, head, row["base"], row["follows"])
        if end not in (None, segment.end):
            raise damage.of_history()
        yield segment
        head, end = segment.follows, segment.base


def count(connection: Connection, head: int) -> int:
    """How many entries the history has that ends with `head`."""
    return next((segment.end for segment in segments(connection, head)), 0)


def position(connection: Connection, head: int, entry: int) -> int | None:
    """How many entries come before `entry` in the history of `head`; `None` if it isn't in it."""
    for segment in segments(connection, head):
        if segment.first <= entry <= segment.last:
            return segment.base + entry - segment.first
    return None


def number(connection: Connection, entry_id: str) -> int | None:
    """The number of the entry with this id."""
    try:
        row = connection.execute(SQL["entry_number"], (entry_id,)).fetchone()
    except UnicodeEncodeError:  # half of a surrogate pair, which is in no id
        return None
    return row[0] if row else None


def read(
    connection: Connection, head: int, first: int = 0, end: int | None = None
) -> list[StoredEntry]:
    """Entries `first` to `end` (exclusive) of the history of `head`, oldest first."""
    ranges, parent = _ranges(connection, head, first, end)
    parent_id = entry_id(connection, parent)
    cursor = connection.cursor()
    cursor.row_factory = None  # plain tuples, which cost a fourth of rows
    found: list[tuple[str, bytes]] = []
    wanted = 0
    for part in ranges:
        found += cursor.execute(SQL["entries"], part).fetchall()
        wanted += part[1] - part[0] + 1
    if len(found) != wanted:
        raise damage.of_history()
    parents = [parent_id, *(identity for identity, _ in found)]
    return [
        StoredEntry(identity, parent, body)
        for (identity, body), parent in zip(found, parents, strict=False)
    ]


def array(connection: Connection, head: int, first: int = 0) -> bytes | None:
    """The JSON array of the messages from `first` on of the history of `head`.

    `None` if one of them has to be put right before it is read, or if they are more than SQLite
    joins (a gigabyte).
    """
    joined: list[bytes] = []
    for low, high in _ranges(connection, head, first, None)[0]:
        try:
            row = connection.execute(SQL["joined"], {"low": low, "high": high}).fetchone()
        except sqlite3.DataError:
            return None
        if row["there"] != high - low + 1:
            raise damage.of_history()
        if row["has_odd"]:
            return None
        joined.append(row["bodies"])
    return b"[%b]" % b",".join(joined)  # few copies: a long history's are slow to come by


def _ranges(
    connection: Connection, head: int, first: int, end: int | None
) -> tuple[list[tuple[int, int]], int]:
    """The numbers of entries `first` to `end` (exclusive), and of the entry before them."""
    ranges: list[tuple[int, int]] = []
    parent = 0
    for segment in segments(connection, head):
        stop = segment.end if end is None else min(end, segment.end)
        start = max(first, segment.base)
        if start < stop:
            low = segment.first + start - segment.base
            ranges.append((low, segment.first + stop - segment.base - 1))
            parent = low - 1 if low > segment.first else segment.follows
        if segment.base <= first:
            break
    ranges.reverse()
    return ranges, parent


def entry_id(connection: Connection, entry: int) -> str | None:
    """The id of an entry, `None` for no entry."""
    if not entry:
        return None
    row = connection.execute(SQL["entry_id"], (entry,)).fetchone()
    if row is None:
        raise damage.of_history()
    return row[0]


def body_bytes(connection: Connection, head: int) -> int:
    """Bytes of the messages in the history of `head`, by their lengths alone."""
    total = 0
    for segment in segments(connection, head):
        total += connection.execute(SQL["body_bytes"], (segment.first, segment.last)).fetchone()[0]
    return total


def extend(
    connection: Connection,
    after: int,
    entries: Sequence[tuple[str, bytes]],
    *,
    is_followed: bool | None = None,
) -> list[int]:
    """Store `entries` (ids and bodies) after the entry `after`, or as the first; their numbers.

    They go on in `after`'s line if nothing follows it there, otherwise on a line of their own.
    `is_followed` is whether anything does, if that is known.

    Raises:
        sqlite3.IntegrityError: If one of the ids is stored already.
    """
    numbers: list[int] = []
    while len(numbers) < len(entries):
        start = _place_after(connection, numbers[-1] if numbers else after, is_followed)
        some = entries[len(numbers) : len(numbers) + PLACES - start % PLACES]
        places = range(start, start + len(some))
        connection.executemany(
            SQL["add_entry"],
            [
                (n, identity, body, messages.is_odd(body))
                for n, (identity, body) in zip(places, some, strict=True)
            ],
        )
        numbers += places
    return numbers


def _place_after(connection: Connection, entry: int, is_followed: bool | None) -> int:
    place = entry + 1
    if entry and place % PLACES:
        if is_followed is None:
            is_followed = bool(
                connection.execute(SQL["is_followed"], {"entry": entry}).fetchone()[0]
            )
        if not is_followed:
            return place
    line = connection.execute(SQL["add_line"], (entry, count(connection, entry))).lastrowid
    assert line is not None
    return line << SHIFT


def reaches(connection: Connection, entry: int, owner: str, agent_id: str) -> bool:
    """Whether a living session of this owner and agent has `entry` in its history or a branch.

    For no owner (`''`), also one that is found by its id alone.
    """
    waiting = [entry]
    seen: set[int] = set()  # damaged lines may lead in a circle
    while waiting:
        low = waiting.pop()
        if low in seen:
            continue
        seen.add(low)
        high = low | PLACES - 1
        names = {"low": low, "high": high, "owner": owner, "agent_id": agent_id}
        if connection.execute(SQL["reached"], names).fetchone():
            return True
        waiting += [row[0] << SHIFT for row in connection.execute(SQL["followers"], (low, high))]
    return False


def release(connection: Connection, tips: Iterable[int]) -> None:
    """Remove what only led to `tips`, ends of histories that are no longer anyone's.

    What another session's history, a branch of it, or a line that one needs still shares stays.
    """
    waiting = [tip >> SHIFT for tip in tips if tip]
    while waiting:
        line = waiting.pop()
        row = connection.execute(SQL["line"], (line,)).fetchone()
        if row is None:
            continue
        low, high = line << SHIFT, line << SHIFT | PLACES - 1
        needed: int | None = connection.execute(
            SQL["last_needed"], {"low": low, "high": high}
        ).fetchone()[0]
        first = low if needed is None else needed + 1
        documents.remove(connection, first, high)
        connection.execute(SQL["drop_entries"], (first, high))
        if needed is None:
            connection.execute(SQL["drop_line"], (line,))
            if row[0]:
                waiting.append(row[0] >> SHIFT)
