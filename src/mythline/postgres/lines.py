"""Histories as ranges of entries: where entries are, and what leads to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .. import damage
from ..models import StoredEntry
from .connections import Row


class Spot(NamedTuple):
    """Where an entry is: the session it was made in, its line there, and its place in the line."""

    home: str
    line: int
    place: int


class Point(NamedTuple):
    """An entry, with how many messages lead to it, itself included, and their bytes.

    `spot` and `entry_id` are `None` for the start of all histories.
    """

    spot: Spot | None
    entry_id: str | None
    count: int  # pyright: ignore[reportIncompatibleMethodOverride]
    total: int


START = Point(None, None, 0, 0)


def point(row: Row) -> Point:
    """An entry of a statement that tells where it is."""
    spot = Spot(row["home"], row["line"], row["place"])
    return Point(spot, row["entry_id"], row["count"], row["total"] or 0)


class Segment(NamedTuple):
    """`length` entries of a line, from its first, of which `base` of the history come before."""

    home: str
    line: int
    length: int
    base: int
    follows: Spot | None

    @property
    def end(self) -> int:
        """How many entries of the history come before the entry after the last."""
        return self.base + self.length


Line = Sequence[Segment]
"""A history: its segments, the newest first."""


def segments(rows: Iterable[Row], count: int) -> list[list[Segment]]:
    """The histories that the statement `segments` gives, as many as were asked for."""
    found: list[list[Segment]] = [[] for _ in range(count)]
    for row in rows:
        follows = (
            None
            if row["follows_line"] is None
            else Spot(row["follows_home"], row["follows_line"], row["follows_place"])
        )
        tip: int = row["tip"]
        found[tip - 1].append(
            Segment(row["home"], row["line"], row["length"], row["base"], follows)
        )
    return found


def position(line: Line, spot: Spot) -> int | None:
    """How many entries come before an entry in a history; `None` if it isn't in it."""
    for part in line:
        if (part.home, part.line) == (spot.home, spot.line):
            return part.base + spot.place if spot.place < part.length else None
    return None


def arrays(spots: Iterable[Spot]) -> tuple[list[str], list[int], list[int]]:
    """Spots as statements take them: homes, lines and places."""
    homes: list[str] = []
    lines: list[int] = []
    places: list[int] = []
    for home, line, place in spots:
        homes.append(home)
        lines.append(line)
        places.append(place)
    return homes, lines, places


def window(line: Line, first: int, end: int) -> list[tuple[str, int, int, int]]:
    """The ranges (home, line, low, high) of messages `first` to `end` (exclusive), oldest first."""
    found = [
        (part.home, part.line, max(0, first - part.base), min(part.length, end - part.base))
        for part in reversed(line)
    ]
    return [span for span in found if span[2] < span[3]]


def entries(row: Row, first: int, stop: int) -> tuple[StoredEntry, ...]:
    """The entries from message `first` to `stop` (exclusive) of a row that has them in any order.

    The row has the one before them as well, if there is one.

    Raises:
        StoreCorrupt: If one is missing.
    """
    places: list[int] = row["places"] or []
    if len(places) != max(0, stop - max(0, first - 1)):
        raise damage.of_history()
    if not places:
        return ()
    found: list[tuple[int, str, Any]] = sorted(
        zip(places, row["entry_ids"], row["bodies"], strict=True)
    )
    before = found.pop(0)[1] if found[0][0] < first else None
    made: list[StoredEntry] = []
    for _, entry_id, body in found:
        made.append(StoredEntry(entry_id, before, body))
        before = entry_id
    return tuple(made)
