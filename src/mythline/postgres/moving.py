"""Saves that do more than add to the end of a history, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import excerpts
from ..errors import RevisionConflict
from ..models import StoredEntry, now_micros
from ..store import Save, SessionKey
from . import lines, rows
from .connections import Row, Transaction
from .lines import START, Point, Spot
from .statements import SQL
from .texts import shown, storable
from .values import batch, new_values


class _Session:
    """The session that is saved, and what is known of the entries it may name."""

    def __init__(self, transaction: Transaction, key: SessionKey, row: Row) -> None:
        self.transaction = transaction
        self.key = key
        self.place = rows.place_of(key)
        self.n: int = row["n"]
        self.line: int = row["line"]
        self.length: int = row["length"]
        self.row = row
        self.known: dict[str | None, Point] = {None: START}

    @property
    def session(self) -> tuple[str, str, str, int]:
        return (*self.place, self.n)

    async def start_line(self, after: Point) -> int:
        """A new line of this session that follows an entry."""
        follows = after.spot or (None, None, None)
        row = await self.transaction.row(
            SQL["add_line"], *self.place, after.count, *follows, after.entry_id
        )
        assert row is not None
        return row["line"]

    async def go_on_in(self, line: int, length: int) -> None:
        """Make another line its own. An empty one that it leaves is of no use to anyone."""
        if not self.length:
            await self.transaction.rows(SQL["drop_line"], *self.place, self.line)
        self.line, self.length = line, length

    async def add(self, run: Sequence[StoredEntry], after: Point, line: int, place: int) -> None:
        """Store entries that follow each other from a place of a line on."""
        values = batch([e.entry_id for e in run], [e.body for e in run], after.total)
        await self.transaction.rows(SQL["add_entries"], *self.place, line, place, *values)
        for index, (entry_id, total) in enumerate(zip(values[0], values[3], strict=True)):
            spot = Spot(self.place[2], line, place + index)
            self.known[entry_id] = Point(spot, entry_id, after.count + index + 1, total)


async def save(transaction: Transaction, key: SessionKey, save: Save) -> None:
    """Store a session as `Store.save` says."""
    place = rows.place_of(key)
    row = await transaction.row(SQL["hold"], *place)
    if (row is None) != (save.expected is None):
        raise RevisionConflict(key.session_id)
    is_new = row is None
    if row is None:
        row = await _make(transaction, key, save)
    elif save.expected is not None and row["revision"] not in rows.before_mark(save.expected):
        raise RevisionConflict(key.session_id)
    session = _Session(transaction, key, row)
    for tip in await transaction.rows(SQL["tips"], *session.session):
        session.known[tip["entry_id"]] = lines.point(tip)
    head = session.known[row["head_id"]] = await _head(session)
    for run in save.runs():
        after = await _point(session, save, run[0].parent_id)
        is_last = run[-1].entry_id == save.head_id
        if is_last and after == head:
            await session.add(run, after, session.line, session.length)
            session.length += len(run)
            continue
        line = await session.start_line(after)
        await session.add(run, after, line, 0)
        if is_last:
            await session.go_on_in(line, len(run))
    end = await _point(session, save, save.head_id)
    tips = [await _point(session, save, tip) for tip in save.branches]
    await _end_with(session, end)
    grew = not is_new and save.grows(row["head_id"])
    await _set(session, save, end, added=[e.body for e in save.entries] if grew else None)
    if list(save.branches) != list(row["branches"]):
        await transaction.rows(SQL["drop_branches"], *session.session)
        ends = lines.arrays(tip.spot for tip in tips if tip.spot)
        await transaction.rows(SQL["add_branches"], *session.session, list(save.branches), *ends)
    kind = "created" if is_new else "appended" if grew else "changed"
    await transaction.rows(SQL["note"], *place, kind, save.revision, now_micros())


async def _make(transaction: Transaction, key: SessionKey, save: Save) -> Row:
    names = key.agent_id, key.session_id
    if save.id_alone and await transaction.row(SQL["id_is_taken"], *names):
        raise RevisionConflict(key.session_id)
    await transaction.rows(SQL["make"], *new_values(key, save, ())[:-5])
    row = await transaction.row(SQL["hold"], *rows.place_of(key))
    assert row is not None
    return row


async def _head(session: _Session) -> Point:
    """The end of the session's history, which is of its own line or what that follows."""
    row = session.row
    if row["head_id"] is None:
        return START
    if session.length:
        spot = Spot(session.place[2], session.line, session.length - 1)
    else:
        line = await session.transaction.row(SQL["hold_line"], *session.place, session.line)
        assert line is not None
        spot = Spot(line["follows_home"], line["follows_line"], line["follows_place"])
    return Point(spot, row["head_id"], row["message_count"], row["body_bytes"])


async def _point(session: _Session, save: Save, entry_id: str | None) -> Point:
    """An entry that the save names, held so that nobody removes it meanwhile.

    Raises:
        RevisionConflict: If it isn't stored where the caller may reach it.
    """
    if entry_id in session.known:
        return session.known[entry_id]
    assert entry_id is not None
    conflict = RevisionConflict(session.key.session_id)
    if not storable(entry_id):
        raise conflict
    reach, agent_id = rows.owner_of(save.reach), session.key.agent_id
    found = await session.transaction.row(SQL["reachable"], reach, agent_id, entry_id)
    if found is None:
        raise conflict
    point = lines.point(found)
    if found["owner"] != session.place[0]:
        point = await _copied(session, found["owner"], point)
    elif not await _holds(session, point):
        raise conflict
    session.known[entry_id] = point
    return point


async def _holds(session: _Session, point: Point) -> bool:
    """Keep what leads to an entry from being removed; whether it is still there."""
    assert point.spot is not None
    owner, agent_id, _ = session.place
    at = owner, agent_id, point.spot.home, point.spot.line
    await session.transaction.row(SQL["hold_line"], *at)
    return await session.transaction.row(SQL["entry_there"], *at, point.spot.place) is not None


async def _copied(session: _Session, owner: str, point: Point) -> Point:
    """An entry of another owner's, with all that leads to it, as an entry of this one's.

    Owners share no row, so that one can be moved or removed without another. What this one has
    of it already, by an earlier copy, is not copied again.

    Raises:
        RevisionConflict: If it was purged in between.
    """
    assert point.spot is not None
    here, agent_id, _ = session.place
    conflict = RevisionConflict(session.key.session_id)
    await session.transaction.rows(SQL["hold_copies"], here, agent_id)
    there = owner, agent_id, *point.spot
    common = await session.transaction.row(SQL["common"], *there, here)
    after = START if common is None else lines.point(common)
    if after.spot is not None and not await _holds(session, after):
        raise conflict
    if after.count == point.count:
        return after
    line = await session.start_line(after)
    number = point.count - after.count
    found = await session.transaction.row(
        SQL["copy_entries"], *session.place, owner, *point.spot, line, after.count
    )
    if found is None or found["copied"] != number:
        raise conflict
    last = Spot(session.place[2], line, number - 1)
    return Point(last, point.entry_id, point.count, point.total)


async def _end_with(session: _Session, end: Point) -> None:
    """Let the session's own line be one that ends with the end of its history, or follows it."""
    if end.spot == Spot(session.place[2], session.line, session.length - 1):
        return
    if session.length:
        await session.go_on_in(await session.start_line(end), 0)
    else:
        follows = end.spot or (None, None, None)
        await session.transaction.rows(
            SQL["move_line"], *session.place, session.line, end.count, *follows, end.entry_id
        )


async def _set(session: _Session, save: Save, end: Point, *, added: Sequence[bytes] | None) -> None:
    row = session.row
    if added is None:
        opening, preview = await texts(session.transaction, session.place, end)
    else:
        opening = row["opening"] or shown(excerpts.opening(added))
        preview = shown(excerpts.preview(reversed(added))) or row["preview"]
    await session.transaction.rows(
        SQL["set_history"],
        *session.session,
        save.revision,
        session.line,
        session.length,
        save.head_id,
        end.count,
        end.total,
        save.updated,
        opening,
        (row["title"] or opening).casefold(),
        preview,
        preview.casefold(),
        save.usage,
        save.deferred_tool_requests,
        save.forked_from,
        save.forked_at,
    )


async def texts(transaction: Transaction, place: rows.Place, end: Point) -> tuple[str, str]:
    """The opening and the preview of the history that ends with an entry."""
    if end.spot is None:
        return "", ""
    owner, agent_id, _ = place
    found = await transaction.rows(SQL["segments"], owner, agent_id, *lines.arrays([end.spot]))
    (line,) = lines.segments(found, 1)

    async def bodies(first: int, last: int) -> list[bytes]:
        spans = lines.window(line, first, last)
        columns: list[Any] = [list(column) for column in zip(*spans, strict=True)]
        got = await transaction.rows(SQL["entries"], owner, agent_id, *columns)
        return [row["body"] for row in sorted(got, key=lambda row: (row["span"], row["place"]))]

    start = await bodies(0, excerpts.LOOK)
    stop = (
        start if end.count <= excerpts.LOOK else await bodies(end.count - excerpts.LOOK, end.count)
    )
    return shown(excerpts.opening(start)), shown(excerpts.preview(reversed(stop)))
