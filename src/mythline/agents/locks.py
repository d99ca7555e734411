"""A lock for each session, held through a run.

Runs of one session may be on several event loops and threads (`run_sync` has a loop of its own),
which the locks of `asyncio` and `anyio` can't serve; so whoever waits is told on its own loop.
The first in line then holds the session in its store, against other processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Hashable
from contextvars import ContextVar
from typing import Final
from weakref import WeakKeyDictionary

from ..errors import InvalidInput, SessionBusy
from ..store import SessionKey, Store


class _Holding:
    """That a run holds a session, as long as it does."""

    __slots__ = ("active", "key", "locks")

    def __init__(self, locks: Locks, key: Hashable) -> None:
        self.locks = locks
        self.key = key
        self.active = True

    def end(self) -> None:
        """It does no longer."""
        self.active = False


_HELD: ContextVar[tuple[_Holding, ...]] = ContextVar("mythline_sessions_held", default=())


class Locks:
    """First come, first served; whoever holds a lock hands it to the next in line."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._lines: dict[Hashable, deque[asyncio.Future[None]]] = {}

    async def acquire(self, key: Hashable, wait: float | None) -> None:
        """Wait for the lock of `key`, at most `wait` seconds.

        Raises:
            TimeoutError: If another had it all the while.
        """
        turn = asyncio.get_running_loop().create_future()
        with self._mutex:
            line = self._lines.get(key)
            if line is None:
                self._lines[key] = deque()
                return
            line.append(turn)
        try:
            async with asyncio.timeout(wait):
                await turn
        except BaseException:
            with self._mutex:
                waiting = turn in line
                if waiting:
                    line.remove(turn)
            if not waiting:  # it was handed over just now
                self.release(key)
            raise

    def release(self, key: Hashable) -> None:
        """Hand the lock to the next in line."""
        with self._mutex:
            line = self._lines[key]
            while line:
                turn = line.popleft()
                with contextlib.suppress(RuntimeError):  # that loop is closed: the next, then
                    turn.get_loop().call_soon_threadsafe(_grant, turn)
                    return
            del self._lines[key]


def _grant(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


_LOCKS: Final[WeakKeyDictionary[Store, Locks]] = WeakKeyDictionary()
_GUARD: Final = threading.Lock()


@contextlib.asynccontextmanager
async def alone(store: Store, key: SessionKey, wait: float | None) -> AsyncGenerator[None]:
    """Hold a session; whoever comes and asks for it waits. First come, first served.

    That is so in this process. Between processes it is as `Store.hold` has it.

    Raises:
        SessionBusy: If another run still holds it after `wait` seconds.
        InvalidInput: If this is inside a run that holds it, which would wait for ever.
    """
    with _GUARD:
        locks = _LOCKS.setdefault(store, Locks())
    held = _HELD.get()
    if any(own.active and own.locks is locks and own.key == key for own in held):
        raise InvalidInput(
            f"A run of session {key.session_id!r} was started inside one that holds it "
            "(exclusive=True). Use another session there."
        )
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as stack:
        try:
            await locks.acquire(key, wait)
            stack.callback(locks.release, key)
            left = None if wait is None else max(0.0, wait - (time.monotonic() - began))
            stack.callback(await store.hold(key, wait=left))
        except TimeoutError:
            raise SessionBusy(key.session_id) from None
        holding = _Holding(locks, key)
        _HELD.set((*held, holding))  # for this run's task and what it starts
        stack.callback(holding.end)
        yield
