"""The trash: deleted sessions that can be restored, until they are purged."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import asyncpg

from ..errors import (
    MythlineError,
    RevisionConflict,
    SessionExists,
    SessionNotFound,
    StoreUnavailable,
)
from ..models import SessionDetails, now_micros
from ..operations import ANY, Expected
from ..store import SessionKey
from . import rows
from .connections import Connections, Row, Transaction
from .failures import OutcomeUnknown
from .statements import SQL

log = logging.getLogger("mythline")

DAY: Final = 86_400_000_000
HOUR: Final = 3_600_000_000
SOME: Final = 100
HEAD_START: Final = 1.0
"""Seconds that a process gets to do what it came for, before expired sessions are looked for."""
EVERY: Final = 600.0
AT_CLOSE: Final = 1000
"""How many of them a process purges that was too short to look for them."""
EVENTS_KEPT: Final = 10_000
_LOST: Final = (
    "The connection to the database was lost, and it isn't known whether the change was made. "
    "Look whether the session is there, then repeat the change."
)

T = TypeVar("T")

Numbered = tuple[str, str, str, int]
"""A session, deleted or not: where it is, and its number."""


async def delete(connections: Connections, key: SessionKey, expected: Expected) -> bool:
    """Move a session to the trash as `Store.delete` says; whether there was one."""
    place = rows.place_of(key)
    wanted = expected if isinstance(expected, str) else None
    if expected is not None:
        now = now_micros()
        try:
            if await connections.write(SQL["delete"], *place, now, wanted):
                return True
        except OutcomeUnknown as error:
            if not await _is_deleted(connections, place, now):
                raise StoreUnavailable(_LOST) from error.__cause__
            return True
    there = await connections.read(SQL["get"], *place)
    if there and expected is ANY:
        return await delete(connections, key, expected)  # it was made in between
    if there or isinstance(expected, str):
        raise RevisionConflict(key.session_id)
    return False


async def _is_deleted(connections: Connections, place: rows.Place, at: int) -> bool:
    """Whether a session was deleted at that time. One that is still under way is waited for."""

    async def look(transaction: Transaction) -> bool:
        await transaction.row(SQL["hold"], *place)
        found = await transaction.rows(SQL["deleted"], *place)
        return at in [row["deleted"] for row in found]

    return await _read_back(connections, look)


async def purge_now(connections: Connections, key: SessionKey, expected: Expected) -> bool:
    """Purge a session, or else those with its id in the trash; whether there was any."""
    place = rows.place_of(key)

    async def run(transaction: Transaction) -> bool:
        row = await transaction.row(SQL["hold"], *place)
        if expected is not ANY and (None if row is None else rows.revision(row)) != expected:
            raise RevisionConflict(key.session_id)
        if row is not None:
            return await purge(transaction, place, row["n"], living=True)
        found = await transaction.rows(SQL["deleted"], *place)
        return any([await purge(transaction, place, row["n"]) for row in found])

    return await _once(connections, run)


async def _once(connections: Connections, run: Callable[[Transaction], Awaitable[T]]) -> T:
    try:
        return await connections.transact(run)
    except OutcomeUnknown as error:
        raise StoreUnavailable(_LOST) from error.__cause__


async def _read_back(connections: Connections, look: Callable[[Transaction], Awaitable[T]]) -> T:
    try:
        return await connections.read_back(look)
    except OutcomeUnknown as error:
        raise StoreUnavailable(_LOST) from error.__cause__


async def purge(
    transaction: Transaction, place: rows.Place, n: int, *, living: bool = False
) -> bool:
    """Remove a session, and the entries that no other one shares; whether it was there."""
    session = (*place, n)
    row = await transaction.row(SQL["purged"], *session, living)
    if row is None:
        return False
    tips = await transaction.rows(SQL["tips"], *session)
    waiting = [(place[2], row["line"]), *((tip["home"], tip["line"]) for tip in tips)]
    await transaction.rows(SQL["note"], *place, "purged", None, now_micros())
    await transaction.rows(SQL["drop_session"], *session)
    owner, agent_id, _ = place
    while waiting:
        line = owner, agent_id, *waiting.pop()
        held = await transaction.row(SQL["hold_line_alone"], *line)
        if held is None:
            continue
        found = await transaction.row(SQL["drop_unneeded"], *line)
        if found is None or found["needed"] is None:
            await transaction.rows(SQL["drop_line"], *line)
            if held["follows_line"] is not None:
                waiting.append((held["follows_home"], held["follows_line"]))
    return True


async def purge_some(
    connections: Connections, found: Sequence[Numbered], *, living: bool = False
) -> int:
    """Purge those of some sessions that are still in the trash, or living; how many."""

    async def run(transaction: Transaction) -> int:
        done = [await purge(transaction, row[:3], row[3], living=living) for row in sorted(found)]
        return sum(done)

    return await _once(connections, run)


async def delete_some(
    connections: Connections, found: Sequence[Numbered], *, permanent: bool
) -> int:
    """Delete those of some living sessions of an owner and agent that still live; how many."""
    if permanent:
        return await purge_some(connections, found, living=True)
    owner, agent_id = found[0][:2]
    numbers, names = [row[3] for row in found], [row[2] for row in found]

    async def run(transaction: Transaction) -> int:
        names_and_numbers = now_micros(), numbers, names
        return len(await transaction.rows(SQL["delete_some"], owner, agent_id, *names_and_numbers))

    return await _once(connections, run)


async def restore(connections: Connections, key: SessionKey, session_id: str) -> SessionDetails:
    """Take a session out of the trash as `Store.restore` says."""
    place = rows.place_of(key)
    new = place[0], key.agent_id, session_id
    lock = rows.lock_on_id(SessionKey(key.owner, key.agent_id, session_id))
    chosen: list[int] = []

    async def run(transaction: Transaction) -> Row:
        found = await transaction.row(SQL["deleted"], *place)
        if found is None:
            raise SessionNotFound(key.session_id)
        chosen[:] = [found["n"]]
        names = key.agent_id, session_id
        if await transaction.row(SQL["get"], *new) or (
            found["shared_id"] and await transaction.row(SQL["id_is_taken"], *names)
        ):
            raise SessionExists(session_id)
        line, length = found["line"], found["length"]
        if session_id != key.session_id:  # its own line is one of its own name
            line, length = await _line_after(transaction, place, new, found), 0
        await transaction.rows(SQL["restore"], *place, found["n"], session_id, line, length)
        restored = await transaction.row(SQL["get"], *new)
        assert restored is not None
        mark = rows.revision(restored)
        await transaction.rows(SQL["note"], *new, "restored", mark, now_micros())
        return restored

    try:
        return rows.details(await connections.transact(run, lock=lock))
    except asyncpg.UniqueViolationError as error:
        raise SessionExists(session_id) from error
    except OutcomeUnknown as error:

        async def look(transaction: Transaction) -> Row | None:
            await transaction.rows(SQL["deleted"], *place)  # waits for what is still under way
            return await transaction.row(SQL["hold"], *new)

        found = await _read_back(connections, look)
        if found is None or found["n"] not in chosen:
            raise StoreUnavailable(
                "The connection to the database was lost, and the session isn't restored. "
                "Repeat the change."
            ) from error.__cause__
        return rows.details(found)


async def _line_after(
    transaction: Transaction, place: rows.Place, new: rows.Place, row: Row
) -> int:
    """A line under the new id that follows the history; an empty one it leaves is removed."""
    if row["length"]:
        follows = (place[2], row["line"], row["length"] - 1)
    else:
        own = await transaction.row(SQL["hold_line"], *place, row["line"])
        assert own is not None
        follows = (own["follows_home"], own["follows_line"], own["follows_place"])
        await transaction.rows(SQL["drop_line"], *place, row["line"])
    made = await transaction.row(
        SQL["add_line"], *new, row["message_count"], *follows, row["head_id"]
    )
    assert made is not None
    return made["line"]


class Expiry:
    """Purges what has been in the trash for long enough, and forgets old events and repeats.

    Args:
        connections: Where.
        days: For how long deleted sessions stay; `None` for ever.
    """

    def __init__(self, connections: Connections, days: float | None) -> None:
        self._connections = connections
        self._days = days
        self._has_looked = False
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin, in this event loop."""
        self._has_looked = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name="mythline-trash")

    async def close(self) -> None:
        """Stop; what has expired is purged now if there was no time for it before.

        Otherwise commands that run for a moment only would never purge anything.
        """
        if self._task is not None and self._task.get_loop() is asyncio.get_running_loop():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = None
        if not self._has_looked:
            await self._purge_expired(AT_CLOSE)

    async def _run(self) -> None:
        wait = HEAD_START
        while True:
            await asyncio.sleep(wait)
            wait = EVERY
            self._has_looked = True
            while await self._purge_expired(SOME):
                pass
            await self._forget()

    async def _purge_expired(self, most: int) -> int:
        """Purge so many of what has expired; how many there were."""
        if self._days is None:
            return 0
        before = now_micros() - int(self._days * DAY)
        try:
            found = await self._connections.read(SQL["expired"], before, most)
            return await purge_some(self._connections, [tuple(row) for row in found])
        except MythlineError as error:
            log.warning("the trash could not be looked through: %s", error)
            return 0

    async def _forget(self) -> None:
        now = now_micros()
        try:
            await self._connections.write(SQL["drop_events"], now - HOUR, EVENTS_KEPT)
            await self._connections.write(SQL["forget_repeats"], now - DAY)
        except (MythlineError, OutcomeUnknown) as error:
            log.warning("old events could not be removed, and stay for now: %s", error)
