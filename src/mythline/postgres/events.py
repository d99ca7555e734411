"""Tells what happens to sessions, whichever server does it.

Every change notes an event in its transaction; the table is the truth. Who follows events in the
same process is woken at once, those elsewhere by a notification, for all changes of a moment
together. It is not part of the transactions: PostgreSQL commits those that notify one after the
other, each with a sync of its own. A connection listens, while someone follows; where that can't
be, and in case a notification is lost, the table is looked at a few times a second. However many
follow, each look is one: they come at the same moments, and who comes meanwhile shares the next.

Events are numbered before they are committed. So that nobody goes past one that is yet to come,
who notes one first takes a shared lock that tells the last number there was: all up to the lowest
number that is held, and up to the last one given, are there or will never be.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Any, Final, TypeVar

import asyncpg

from ..errors import MythlineError
from ..events import about_itself, number_of, of_row
from ..models import SessionEvent
from .connections import Connections
from .failures import GONE
from .statements import SQL

T = TypeVar("T")

CHANNEL: Final = "mythline"
EVERY: Final = 0.3
"""Seconds between two looks, whether or not there was a notification."""
AT_ONCE: Final = 500
TOGETHER: Final = 0.1
"""Seconds of changes that one notification tells of."""


class _Looks:
    """What those who follow in one event loop look up, once for all who want the same."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[tuple[int, int, int]] | None = None
        self._reads: dict[tuple[Any, ...], asyncio.Task[list[Any]]] = {}

    async def known(self) -> tuple[int, int, int]:
        """How far events are known, the last number given, and up to where they were dropped.

        As it is at some moment after this was called.
        """
        if self._next is None or self._next.done():
            self._next = _task(self._known())
        return await asyncio.shield(self._next)

    async def _known(self) -> tuple[int, int, int]:
        async with self._turn:
            self._next = None  # it begins: too early for who comes now
            (row,) = await self._connections.read(SQL["events_known"])
            return row["known"], row["given"], row["dropped"]

    async def events(self, *values: Any) -> list[Any]:
        """Events up to one that is known, which stay as they are."""
        read = self._reads.get(values)
        if read is None:
            read = self._reads[values] = _task(self._connections.read(SQL["events"], *values))
            read.add_done_callback(lambda _: self._reads.pop(values, None))
        return await asyncio.shield(read)


class Events:
    """Who follows events of one open store, in any event loop.

    Args:
        connections: Where events are noted.
        listens: Whether notifications can be had.
    """

    def __init__(self, connections: Connections, *, listens: bool) -> None:
        self._connections = connections
        self._listens = listens
        self._followers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._looks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Looks] = (
            weakref.WeakKeyDictionary()
        )
        self._listener: asyncio.Task[None] | None = None
        self._due: tuple[asyncio.AbstractEventLoop, asyncio.TimerHandle] | None = None
        self._notifier: asyncio.Task[None] | None = None
        self._is_closed = False

    def open(self) -> None:
        """Begin."""
        self._is_closed = False

    async def close(self) -> None:
        """End everyone's following."""
        self._is_closed = True
        self._wake()
        listener, notifier, due = self._listener, self._notifier, self._due
        self._listener = self._notifier = self._due = None
        if due is not None:
            due[1].cancel()
        if due is not None or (notifier is not None and await _ended(notifier)):
            await self._notify()
        if listener is not None:
            await _ended(listener)

    def noted(self) -> None:
        """Something happened here that is committed."""
        self._wake()
        if self._listens and (self._due is None or not self._due[0].is_running()):
            # A timer, not a task that sleeps: the loop of a short run may end first.
            loop = asyncio.get_running_loop()
            self._due = loop, loop.call_later(TOGETHER, self._begin_to_notify)

    def _begin_to_notify(self) -> None:
        self._due = None
        self._notifier = asyncio.create_task(self._notify(), name="mythline-notify")

    async def _notify(self) -> None:
        with contextlib.suppress(MythlineError):  # who follows will look all the same
            await self._connections.read(SQL["notify"])

    def _wake(self) -> None:
        for follower, loop in list(self._followers.items()):
            with contextlib.suppress(RuntimeError):  # a loop that was closed
                loop.call_soon_threadsafe(follower.set)

    @contextlib.contextmanager
    def _following(self) -> Generator[asyncio.Event]:
        """An `asyncio.Event` that is set when there may be something new."""
        follower = asyncio.Event()
        loop = self._followers[follower] = asyncio.get_running_loop()
        if self._listens and not _goes_on(self._listener):
            self._listener = loop.create_task(self._listen(), name="mythline-events")
        try:
            yield follower
        finally:
            del self._followers[follower]
            listener = self._listener
            if not self._followers and listener is not None:
                self._listener = None
                with contextlib.suppress(RuntimeError):  # a loop that was closed
                    listener.get_loop().call_soon_threadsafe(listener.cancel)

    async def _listen(self) -> None:
        """Wake the followers at each notification, on a connection of its own."""
        while True:
            try:
                connection = await self._connections.connect()
            except MythlineError:
                await asyncio.sleep(EVERY)
                continue
            gone = asyncio.Event()
            try:
                connection.add_termination_listener(_setter(gone))
                await connection.add_listener(CHANNEL, self._notified)
                self._wake()
                await gone.wait()
            except (asyncpg.PostgresError, *GONE):
                await asyncio.sleep(EVERY)
            finally:
                connection.terminate()

    def _notified(self, *_: Any) -> None:
        self._wake()

    async def follow(
        self, owner: str, agent_id: str | None, after: str | None
    ) -> AsyncGenerator[SessionEvent]:
        """Events as `Store.events` says."""
        last = None if after is None else number_of(after)
        loop = asyncio.get_running_loop()
        looks = self._looks.setdefault(loop, _Looks(self._connections))
        with self._following() as follower:
            known, given, dropped = await looks.known()
            if last is None or not dropped <= last <= given:
                yield about_itself("ready" if last is None else "reset", known)
                last = known
            while not self._is_closed:
                follower.clear()
                found: list[Any] = []
                with contextlib.suppress(MythlineError):  # of a moment; then it goes on
                    known, given, dropped = await looks.known()
                    if known > last >= dropped:
                        names = owner, last, known, agent_id, AT_ONCE
                        found = await looks.events(*names)
                        if len(found) < AT_ONCE:
                            last = known
                if not dropped <= last <= given:  # nobody looked for long, or the server lost some
                    last = known
                    yield about_itself("reset", known)
                for row in found:
                    last = max(last, row["n"])
                    yield of_row(row)
                if len(found) == AT_ONCE or self._is_closed:
                    continue
                with contextlib.suppress(TimeoutError):
                    # At the same moment as all others, so that they share a look.
                    async with asyncio.timeout_at(math.ceil(loop.time() / EVERY) * EVERY):
                        await follower.wait()


def _task(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Work that goes on if one of those who wait for it leaves; if all do, it ends in silence."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task


def _setter(event: asyncio.Event) -> Callable[[Any], None]:
    def set_it(_: Any) -> None:
        event.set()

    return set_it


def _goes_on(task: asyncio.Task[None] | None) -> bool:
    """Whether a task will do its work: it isn't done, nor left in an event loop that has ended."""
    return task is not None and not task.done() and task.get_loop().is_running()


async def _ended(task: asyncio.Task[None]) -> bool:
    """Whether a task of this event loop was still to end; it is now."""
    if task.done() or task.get_loop() is not asyncio.get_running_loop():
        return False
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return True
