"""Writing to a local store's database: one transaction at a time, and saves that share a sync.

All writing of a process goes through one connection. A thread commits what waits when it comes
round, in one transaction with one sync: saves that wait together share it. The way to that thread
and back takes longer than a small save on a fast disk, so the first that comes in a round of the
event loop is committed there and then, while syncs are found to be quick. It waits for nobody:
where another thread or process writes, it goes to the thread. Checkpoints never run on the loop.

Between processes, a lock on the store's directory (`flock`) gives turns: waiting for it is a sleep
in the kernel, not a poll, so nobody sees "database is locked" and nobody starves.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Final, TypeVar

from ..errors import MythlineError, StoreClosed, StoreError
from .locks import Lock
from .translating import translate

log = logging.getLogger("mythline")

T = TypeVar("T")
Connection = sqlite3.Connection

BUSY_TIMEOUT_MS: Final = 60_000
CHECKPOINT_PAGES: Final = 1000
BATCH: Final = 256
QUICK: Final = 0.001
"""Seconds that a commit may be expected to take on the event loop."""
FADING: Final = 0.95
"""A slow commit is remembered for some dozens of others: after each it counts this much less."""


class _Job:
    """A function to run in a write transaction, and who waits for it: a future, or a thread."""

    __slots__ = ("after", "durable", "error", "function", "result", "waiting")

    def __init__(
        self,
        function: Callable[[Connection], Any],
        durable: bool,
        waiting: asyncio.Future[Any] | threading.Event | None,
        after: Callable[[bool], object] | None = None,
    ) -> None:
        self.function = function
        self.durable = durable
        self.waiting = waiting
        self.after = after
        self.result: Any = None
        self.error: Exception | None = None


def _tell(batch: Sequence[_Job]) -> None:
    """Tell who waits for jobs; each event loop is woken once."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Job]]] = {}
    for job in batch:
        if isinstance(job.waiting, threading.Event):
            job.waiting.set()
        elif job.waiting is not None:
            loops.setdefault(job.waiting.get_loop(), []).append((job.waiting, job))
    for loop, waiting in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_settle, waiting)


def _settle(waiting: Sequence[tuple[asyncio.Future[Any], _Job]]) -> None:
    for future, job in waiting:
        if future.done():  # its caller was cancelled
            continue
        if job.error is not None:
            future.set_exception(job.error)
        else:
            future.set_result(job.result)


class _NotNow(Exception):
    """Somebody else writes."""


class Writer(ABC):
    """The part of a database that writes.

    Args:
        committed: Called after each transaction, in the thread that made it.
    """

    def __init__(self, committed: Callable[[], object]) -> None:
        self._committed = committed
        self._lock: Lock | None = None
        self._writer: Connection | None = None
        self._is_durable = True  # whether the writer syncs, as `_connect` has it do
        self._is_patient = True  # whether it waits for others, and makes checkpoints
        self._slowest: float | None = None  # seconds of a commit with its sync, fading
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._rounds: set[asyncio.AbstractEventLoop] = set()
        self._thread: threading.Thread | None = None
        self._is_open = False
        self._is_ending = False
        self._accepting = threading.Lock()
        self._writing = threading.Lock()

    @abstractmethod
    def check(self) -> None:
        """Raise `StoreClosed` if the database is not open in this process."""

    @abstractmethod
    def _connect(self) -> Connection: ...

    @abstractmethod
    def _check_place(self) -> None: ...

    def _start_writing(self) -> None:
        self._jobs = SimpleQueue()
        self._rounds = set()
        self._writing = threading.Lock()
        self._is_durable = self._is_patient = True
        self._is_ending = False
        self._is_open = True
        self._thread = threading.Thread(target=self._run, name="mythline-write", daemon=True)
        self._thread.start()

    def _stop_writing(self) -> None:
        self.end()
        with self._accepting:
            self._is_open = False
            self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()

    @contextlib.contextmanager
    def _turn(self, flags: int = 0) -> Generator[None]:
        """This process's turn among those that share the directory."""
        assert self._lock is not None
        descriptor = self._lock.descriptor
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    async def write(
        self,
        function: Callable[[Connection], T],
        *,
        durable: bool = True,
        brief: bool = False,
        after: Callable[[bool], object] | None = None,
    ) -> T:
        """What `function` returns, run in a write transaction that was committed.

        If it raises, what it did is undone, and nothing else is. It may be in one transaction
        with others. A caller that is cancelled doesn't take it back.

        Args:
            function: Called once, in the thread that commits.
            durable: Whether to return only when it survives a loss of power. Without, it
                survives a killed process, and is made durable with the next that is.
            brief: Whether it takes so little that the event loop may do it.
            after: Called in the thread that committed it (`True`) or undid it.

        Raises:
            StoreError: If it could not be committed. It was not, and is not tried again.
        """
        self.check()
        loop = asyncio.get_running_loop()
        job = _Job(function, durable, None, after)
        if brief and self._is_first(loop) and self._commit_at_once(job):
            await asyncio.sleep(0)  # others are to get their turn
            if job.error is not None:
                raise job.error
            return job.result
        job.waiting = future = loop.create_future()
        self._put(job, is_own=False)
        return await future

    def write_now(self, function: Callable[[Connection], T]) -> T:
        """As `write`, not durable, for a thread of the store's own, which waits."""
        self.check()
        finished = threading.Event()
        job = _Job(function, False, finished)
        self._put(job, is_own=True)
        finished.wait()
        if job.error is not None:
            raise job.error
        return job.result

    def _put(self, job: _Job, *, is_own: bool) -> None:
        with self._accepting:
            self._check_accepted(is_own=is_own)
            self._jobs.put(job)

    def _check_accepted(self, *, is_own: bool) -> None:
        self.check()
        if self._is_ending and not is_own:
            raise StoreClosed

    def end(self) -> None:
        """Refuse `write` from now on, and return when all that was accepted is stored or told."""
        with self._accepting:
            self._is_ending = True
        if self._is_open:
            with self._writing:  # what a loop is at is stored now, or given back
                pass
            with contextlib.suppress(StoreError):
                self.write_now(lambda _connection: None)

    # On the event loop

    def _is_first(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether this is the first job in a round of the loop, and may be done in it.

        One more in the same round tells of many at a time, which are better off sharing a sync.
        """
        if self._slowest is None or self._slowest >= QUICK or loop in self._rounds:
            return False
        self._rounds.add(loop)
        loop.call_soon(self._rounds.discard, loop)
        return True

    def _commit_at_once(self, job: _Job) -> bool:
        """Commit a job unless somebody else writes; whether it was, or failed."""
        with self._accepting:
            self._check_accepted(is_own=False)
            if not self._jobs.empty() or not self._writing.acquire(False):
                return False
        try:
            self._commit_alone(job)
        except _NotNow:
            return False
        except BaseException:  # a Ctrl-C: nothing may stay half done
            self._give_up()
            raise
        finally:
            self._writing.release()
        self._follow(job)
        self._committed()
        return True

    def _commit_alone(self, job: _Job) -> None:
        if self._writer is None:
            raise _NotNow
        try:
            with self._turn(fcntl.LOCK_NB):
                self._check_place()
                self._transact(self._writer, [job], patient=False)
        except (_NotNow, BlockingIOError):
            raise _NotNow from None
        except Exception as error:
            self._fail([job], error)

    # In the thread

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            batch: list[_Job] = []
            while job is not None:
                batch.append(job)
                if len(batch) == BATCH or self._jobs.empty():
                    break
                job = self._jobs.get()  # nobody else takes from them
            if batch:
                with self._writing:
                    self._commit(batch)
                for ended in batch:
                    self._follow(ended)
                _tell(batch)
                self._committed()
            if job is None:
                return

    @staticmethod
    def _follow(job: _Job) -> None:
        if job.after is not None:
            try:
                job.after(job.error is None)
            except Exception as error:  # the thread goes on: others wait for it
                log.warning("what follows a change could not be done: %s", error)

    def _commit(self, batch: list[_Job]) -> None:
        try:
            with self._turn():
                self._check_place()
                if self._writer is None:
                    self._writer = self._connect()
                    self._is_durable = self._is_patient = True
                self._transact(self._writer, batch, patient=True)
        except Exception as error:
            self._fail(batch, error)

    def _transact(self, connection: Connection, batch: list[_Job], *, patient: bool) -> None:
        durable = any(job.durable for job in batch)
        if durable != self._is_durable:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._is_durable = durable
        if patient != self._is_patient:
            self._is_patient = patient
            pages = CHECKPOINT_PAGES if patient else 0
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS if patient else 0}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
        self._begin(connection, patient)
        for job in batch:
            if len(batch) > 1:
                connection.execute("SAVEPOINT job")
            try:
                job.result = job.function(connection)
            except Exception as error:
                if not connection.in_transaction:
                    raise  # the disk is full, say: SQLite has undone all of it
                connection.execute("ROLLBACK TO job" if len(batch) > 1 else "ROLLBACK")
                job.error = self._as_typed(error)
            if len(batch) > 1:
                connection.execute("RELEASE job")
        if connection.in_transaction:
            start = perf_counter()
            connection.execute("COMMIT")
            if durable:
                self._slowest = max(perf_counter() - start, FADING * (self._slowest or 0))

    @staticmethod
    def _begin(connection: Connection, patient: bool) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if patient or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise _NotNow from None

    @staticmethod
    def _as_typed(error: Exception) -> Exception:
        if isinstance(error, sqlite3.Error | OSError | UnicodeDecodeError):
            typed = translate(error)
            typed.__cause__ = error
            return typed
        return error

    def _fail(self, batch: list[_Job], error: Exception) -> None:
        """Nothing of the batch was stored; what the connection knows is not to be trusted."""
        for job in batch:
            if not isinstance(job.error, MythlineError):
                job.error = self._as_typed(error)
        self._give_up()

    def _give_up(self) -> None:
        """Close the connection, which undoes what was not committed."""
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
            self._writer = None
