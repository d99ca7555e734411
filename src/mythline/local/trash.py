"""The trash: deleted sessions that can be restored, until they are purged."""

from __future__ import annotations

import logging
import threading
from typing import Final

from ..errors import MythlineError, SessionExists, SessionNotFound
from ..models import now_micros
from ..store import SessionKey
from . import rows
from .database import SQL, Connection, Database

log = logging.getLogger("mythline")

DAY: Final = 86_400_000_000
SOME: Final = 100
HEAD_START: Final = 1.0
"""Seconds that a process gets to do what it came for, before expired sessions are looked for."""
EVERY: Final = 3600.0
AT_CLOSE: Final = 1000
"""How many of them a process purges that was too short to look for them."""


def restore(
    connection: Connection, key: SessionKey, session_id: str, *, file_is_there: bool
) -> rows.Row:
    """Take a session out of the trash as `Store.restore` says; its row.

    `file_is_there`: whether something lies in the place of its view that is none.
    """
    owner, agent_id, _ = rows.place_of(key)
    names = {"owner": owner, "agent_id": agent_id, "session_id": key.session_id}
    row = connection.execute(SQL["deleted_last"], names).fetchone()
    if row is None:
        raise SessionNotFound(key.session_id)
    new = names | {"session_id": session_id}
    place = owner, agent_id, session_id
    is_taken = rows.session(connection, place) is not None or file_is_there
    if row["shared_id"] and not is_taken:
        is_taken = connection.execute(SQL["id_is_taken"], new).fetchone() is not None
    if is_taken:
        raise SessionExists(session_id)
    connection.execute(SQL["restore"], (session_id, row["n"]))
    restored = rows.session(connection, place)
    assert restored is not None
    rows.note(connection, restored, "restored", rows.revision(restored))
    return restored


def purge_some(connection: Connection, numbers: list[int]) -> int:
    """Purge those of some sessions that are still in the trash; how many."""
    there = [n for n in numbers if connection.execute(SQL["is_deleted"], (n,)).fetchone()]
    for number in there:
        rows.purge(connection, number)
    return len(there)


class Expiry:
    """Purges what has been in the trash for long enough, in a thread of its own.

    Args:
        database: The database.
        days: For how long deleted sessions stay. 0: not at all, as of a time when it was longer.
    """

    def __init__(self, database: Database, days: float) -> None:
        self._database = database
        self._days = days
        self._has_looked = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mythline-trash", daemon=True)

    def open(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> bool:
        """Stop; whether what has expired was purged now, as there was no time for it before.

        Otherwise commands that run for a moment only would never purge anything.
        """
        self._stop.set()
        self._thread.join()
        return not self._has_looked and self._purge_expired(AT_CLOSE) > 0

    def _run(self) -> None:
        wait = HEAD_START
        while not self._stop.wait(wait):
            wait = EVERY
            self._has_looked = True
            while self._purge_expired(SOME) and not self._stop.is_set():
                pass

    def _purge_expired(self, most: int) -> int:
        """Purge so many of what has expired; how many there were."""
        before = now_micros() - int(self._days * DAY)

        def purge(connection: Connection) -> int:
            found = connection.execute(SQL["expired"], (before, most)).fetchall()
            return purge_some(connection, [number for (number,) in found])

        try:
            found = self._database.read(
                lambda connection: connection.execute(SQL["expired"], (before, 1)).fetchone()
            )
            return self._database.write_now(purge) if found else 0
        except MythlineError as error:
            log.warning("the trash could not be looked through: %s", error)
            return 0
