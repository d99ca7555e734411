"""Tells what happens to sessions, whichever process does it.

Every change notes an event in its transaction (`rows.note`). Whatever commits it wakes those who
listen here; what other processes do is looked for four times a second, while someone listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Final

from ..errors import MythlineError
from ..events import about_itself, number_of, of_row
from ..models import SessionEvent
from .database import SQL, Connection, Database

EVERY: Final = 0.25
"""Seconds between two looks for what other processes did."""
AT_ONCE: Final = 500


class Events:
    """Who listens to one open store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._last = 0

    def wake(self) -> None:
        """Let everyone look for what is new. From any thread."""
        if not self._listeners:
            return
        with self._lock:
            listeners = list(self._listeners.items())
        for listener, loop in listeners:
            with contextlib.suppress(RuntimeError):  # its loop was closed
                loop.call_soon_threadsafe(listener.set)

    def close(self) -> None:
        """End everyone's listening."""
        self._closed.set()
        self.wake()
        if self._thread is not None:
            self._thread.join()

    @contextlib.contextmanager
    def _listening(self) -> Generator[asyncio.Event]:
        """An `asyncio.Event` that is set when there may be something new."""
        listener = asyncio.Event()
        with self._lock:
            self._listeners[listener] = asyncio.get_running_loop()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._look, name="mythline-events", daemon=True
                )
                self._thread.start()
        try:
            yield listener
        finally:
            with self._lock:
                del self._listeners[listener]

    async def follow(
        self,
        owner: str,
        agent_id: str | None,
        after: str | None,
        refresh: Callable[[], Awaitable[None]],
    ) -> AsyncGenerator[SessionEvent]:
        """Events as `Store.events` says. `refresh` is called every second or so."""
        with self._listening() as listener:
            await refresh()
            lowest, last = self._database.read(_kept)
            now = last
            if after is not None:
                last = number_of(after)
            if after is None or not lowest - 1 <= last <= now:
                last = now
                yield about_itself("ready" if after is None else "reset", last)
            while True:
                listener.clear()
                found, last = self._database.read(
                    lambda connection, last=last: _since(connection, owner, agent_id, last)
                )
                for row in found:
                    yield of_row(row)
                if found:
                    continue
                if self._closed.is_set():
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(listener.wait(), 1)
                if self._closed.is_set():
                    return
                await refresh()

    def _look(self) -> None:
        while not self._closed.wait(EVERY):
            with self._lock:
                if not self._listeners:
                    continue
            with contextlib.suppress(MythlineError):
                last = self._database.read(_last, snapshot=False)
                if last != self._last:
                    self._last = last
                    self.wake()


def _last(connection: Connection) -> int:
    return connection.execute(SQL["last_event"]).fetchone()[0]


def _kept(connection: Connection) -> tuple[int, int]:
    lowest, last = connection.execute(SQL["events_kept"]).fetchone()
    return lowest, last


def _since(
    connection: Connection, owner: str, agent_id: str | None, after: int
) -> tuple[list[Any], int]:
    """The next events after one, and the number to go on from."""
    names = {"after": after, "owner": owner, "agent_id": agent_id, "limit": AT_ONCE}
    last = _last(connection)
    found = connection.execute(SQL["events"], names).fetchall()
    return found, found[-1]["n"] if len(found) == AT_ONCE else max(last, after)
