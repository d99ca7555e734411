"""Where an entry is in a session, and the branches that the session left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import excerpts
from ..ids import time_of
from ..models import Branch, Located, from_micros
from . import lines, rows
from .connections import Connections, Row
from .lines import Line, Point, Spot
from .statements import SQL


class _Ends:
    """A session with the ends of its history and of its branches, and the lines to them."""

    def __init__(self, row: Row, head: Spot | None, tips: Sequence[Point]) -> None:
        self.row = row
        self.head = head
        self.tips = tips
        self.lines: dict[Spot, Line] = {}


async def _ends(connections: Connections, place: rows.Place, *more: Spot) -> _Ends | None:
    found = await connections.read(SQL["head"], *place)
    if not found:
        return None
    (row,) = found
    head: Spot | None = None
    if row["length"]:
        head = Spot(place[2], row["line"], row["length"] - 1)
    elif row["follows_line"] is not None:
        head = Spot(row["follows_home"], row["follows_line"], row["follows_place"])
    tips = [lines.point(tip) for tip in await connections.read(SQL["tips"], *place, row["n"])]
    ends = _Ends(row, head, tips)
    spots = list(dict.fromkeys(spot for spot in (head, *(t.spot for t in tips), *more) if spot))
    if spots:
        parts = await connections.read(SQL["segments"], *place[:2], *lines.arrays(spots))
        ends.lines = dict(zip(spots, lines.segments(parts, len(spots)), strict=True))
    return ends


async def locate(connections: Connections, place: rows.Place, entry_id: str) -> Located | None:
    """Where an entry is in a session: in its history, or in a branch, the newest first."""
    found = await connections.read(SQL["entries_by_id"], *place[:2], [entry_id])
    if not found:
        return None
    entry = lines.point(found[0]).spot
    assert entry is not None
    ends = await _ends(connections, place, entry)
    if ends is None:
        return None
    tips = [tip.spot for tip in reversed(ends.tips)]
    for tip in [ends.head, *tips]:
        before = None if tip is None else lines.position(ends.lines[tip], entry)
        if before is not None:
            leads_on = ends.head is None or (
                lines.position(ends.lines[entry], ends.head) is not None
            )
            return Located(before + 1, tip == ends.head, leads_on)
    return None


async def branches(connections: Connections, place: rows.Place) -> list[Branch] | None:
    """The branches that a session left, oldest first."""
    ends = await _ends(connections, place)
    if ends is None:
        return None
    history: Line = () if ends.head is None else ends.lines[ends.head]
    partings = [_parting(history, ends.lines[tip.spot]) for tip in ends.tips if tip.spot]
    spans: list[tuple[str, int, int, int]] = []
    asked: list[tuple[int, bool]] = []  # which branch, and whether for where it parts
    for index, (tip, (parts_at, _)) in enumerate(zip(ends.tips, partings, strict=True)):
        assert tip.spot is not None
        last = lines.window(ends.lines[tip.spot], tip.count - excerpts.LOOK, tip.count)
        spans += last
        asked += [(index, False)] * len(last)
        if parts_at is not None:
            home, line, at = parts_at
            spans.append((home, line, at, at + 1))
            asked.append((index, True))
    read: dict[tuple[int, bool], list[Row]] = {}
    if spans:
        columns: list[Any] = [list(column) for column in zip(*spans, strict=True)]
        found = await connections.read(SQL["entries"], *place[:2], *columns)
        for row in sorted(found, key=lambda row: (row["span"], row["place"])):
            span: int = row["span"]
            read.setdefault(asked[span - 1], []).append(row)
    return [
        _branch(ends.row, tip, shared, read.get((index, False), []), read.get((index, True)))
        for index, (tip, (_, shared)) in enumerate(zip(ends.tips, partings, strict=True))
    ]


def _branch(
    session: Row, tip: Point, shared: int, last: list[Row], parts_at: list[Row] | None
) -> Branch:
    assert tip.entry_id is not None
    stored = time_of(tip.entry_id)
    return Branch(
        entry_id=tip.entry_id,
        parts_at=parts_at[0]["entry_id"] if parts_at else None,
        message_count=tip.count,
        own_count=tip.count - shared,
        preview=excerpts.preview(row["body"] for row in reversed(last)),
        last_modified=from_micros(session["updated"] if stored is None else stored),
    )


def _parting(history: Line, line: Line) -> tuple[Spot | None, int]:
    """The last entry that two histories share, and how many they share."""
    entry: Spot | None = None
    shared = 0
    for one, other in zip(reversed(history), reversed(line), strict=False):
        if (one.home, one.line) != (other.home, other.line):
            break
        length = min(one.length, other.length)
        if length:
            entry, shared = Spot(one.home, one.line, length - 1), one.base + length
        if one.length != other.length:
            break
    return entry, shared
