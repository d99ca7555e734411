"""The SQLite database of a local store: its connections, one writer thread, group commit.

All writing of a process goes through one thread. What waits when the thread comes round is one
transaction with one sync: saves that wait together share it. Between processes, a lock on the
store's directory (`flock`) gives turns: waiting for it is a sleep in the kernel, not a poll, so
nobody sees "database is locked" and nobody starves. Checkpoints run under the same lock; that
also keeps clear of the rare corruption that SQLite before 3.51.3 has when one connection
checkpoints while another commits (https://www.sqlite.org/wal.html#walresetbug).

Readers have connections of their own, and are never kept waiting by a writer (WAL).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from .. import messages, queries
from ..errors import (
    MythlineError,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
)

log = logging.getLogger("mythline")

T = TypeVar("T")
Connection = sqlite3.Connection

SQL: Final = queries.load(__package__ or "")
APPLICATION_ID: Final = 0x4D797468  # "Myth"
BUSY_TIMEOUT_MS: Final = 60_000
REMEDY: Final = (
    "Keep a copy of the folder; moved out of it, the database is built again from the .json files."
)
"""What to do about a database that is damaged."""
PATIENCE_MS: Final = 100
"""How long others' turns wait while readers are waited for."""
BATCH: Final = 256
CHECKPOINT_PAGES: Final = 1000
READERS: Final = 4


def translate(error: Exception) -> StoreError:
    """The typed error for one of the driver's. It names no path and no query."""
    if isinstance(error, UnicodeDecodeError):  # of text in the database, or of SQLite's message
        return StoreCorrupt(REMEDY)
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (28, 122):
        return StoreFull()
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(REMEDY)
    if primary == sqlite3.SQLITE_READONLY or getattr(error, "errno", None) in (1, 13, 30):
        return StoreUnavailable("The store can't be written. Make its folder writable.")
    return StoreUnavailable(
        "The store can't be read or written. Check its folder and its disk, then try again."
    )


@contextlib.contextmanager
def translated() -> Generator[None]:
    """Raise the driver's errors as typed ones, with the driver's in `__cause__`."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        raise translate(error) from error


class _Job:
    """A function to run in a write transaction, and who waits for it: a future, or a thread."""

    __slots__ = ("after", "durable", "error", "function", "result", "waiting")

    def __init__(
        self,
        function: Callable[[Connection], Any],
        durable: bool,
        waiting: asyncio.Future[Any] | threading.Event,
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
        else:
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


class Database:
    """`sessions.sqlite3` in a directory. Errors of the driver leave it as `StoreError`s.

    Args:
        directory: Where it is.
        committed: Called in the writer's thread after each transaction.
    """

    def __init__(self, directory: Path, committed: Callable[[], object] = lambda: None) -> None:
        self._committed = committed
        self._directory = directory
        self._path = str(directory / "sessions.sqlite3")
        self._file: tuple[int, int] | None = None
        self._lock_fd: int | None = None
        self._writer: Connection | None = None
        self._is_durable = True  # whether the writer syncs, as `_connect` has it do
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._idle_readers: deque[Connection] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._is_open = False
        self._is_ending = False
        self._opening = threading.Lock()
        self._accepting = threading.Lock()

    def open(self) -> None:
        """Make or open the database, bring its schema up to date, and start the writer.

        Raises:
            StoreUnavailable: If it can't be opened.
            StoreTooNew: If a newer Mythline wrote it.
        """
        with self._opening, translated():
            if self._is_open and self._pid == os.getpid():
                return
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock_fd = os.open(self._directory, os.O_RDONLY)
            try:
                with self._turn():
                    self._writer = self._connect(migrate=True)
                    self._file = self._in_place()
            except BaseException:
                self._disconnect()
                self._unlock()
                raise
            self._idle_readers = deque()
            self._jobs = SimpleQueue()
            self._pid = os.getpid()
            self._is_ending = False
            self._is_open = True
            self._pool = ThreadPoolExecutor(READERS, "mythline-read")
            self._thread = threading.Thread(target=self._run, name="mythline-write", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Let the writer finish what waits, then close every connection.

        In a process that was forked off, nothing is touched: it all belongs to the parent.
        """
        if self._pid != os.getpid():  # the locks may be held by threads that aren't here
            self._is_open = False
            return
        with self._opening:
            if not self._is_open:
                return
            with self._accepting:
                self._is_open = False
                self._jobs.put(None)
            if self._thread is not None:
                self._thread.join()
            if self._pool is not None:
                self._pool.shutdown()
            with contextlib.suppress(sqlite3.Error), self._turn():
                self._disconnect()
            self._unlock()

    def _disconnect(self) -> None:
        while self._idle_readers:
            self._idle_readers.pop().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _unlock(self) -> None:
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _connect(self, *, migrate: bool = False) -> Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=BUSY_TIMEOUT_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            connection.row_factory = sqlite3.Row
            if migrate:
                _check_version(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # what is purged is gone
            connection.execute("PRAGMA cache_size = -8000")
            connection.create_function("casefold", 1, _casefold, deterministic=True)
            if migrate:
                _migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextlib.contextmanager
    def _turn(self) -> Generator[None]:
        """This process's turn among those that share the directory."""
        descriptor = self._lock_fd
        assert descriptor is not None
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _in_place(self) -> tuple[int, int]:
        """Which file is in the database's place."""
        found = os.stat(self._path)
        return found.st_dev, found.st_ino

    def _check_place(self) -> None:
        """Refuse to go on with a file that was removed: what is written there is lost.

        Raises:
            StoreUnavailable: If it was, or another one is in its place.
        """
        with contextlib.suppress(FileNotFoundError):
            if self._in_place() == self._file:
                return
        raise StoreUnavailable(
            "The store's database was removed or replaced while it was open. Restart what uses it."
        )

    def empty_log(self) -> bool:
        """Write the log into the database and cut its file to nothing: it has what was removed.

        Whether that could be done: whoever reads an older state is in the way.
        """
        self.check()
        with translated(), contextlib.ExitStack() as stack:
            connection = self._connect()
            stack.callback(connection.close)
            connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
            descriptor = os.open(self._directory, os.O_RDONLY)  # a turn apart from the writer's
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            return connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0

    # Reading

    def _take_reader(self) -> Connection:
        with contextlib.suppress(IndexError):
            return self._idle_readers.pop()
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _put_back(self, connection: Connection) -> None:
        if len(self._idle_readers) < READERS * 2 and self._is_open:
            self._idle_readers.append(connection)
        else:
            connection.close()

    def read(self, function: Callable[[Connection], T], *, snapshot: bool = True) -> T:
        """What `function` returns, given a connection to read with. For point reads.

        Args:
            function: Called once, in this thread.
            snapshot: Whether all its statements see one state of the database; one statement
                does by itself.

        Raises:
            StoreClosed: If the database is not open here.
            StoreError: If it can't be read.
        """
        self.check()
        try:
            self._check_place()
            connection = self._take_reader()
            try:
                if snapshot:
                    connection.execute("BEGIN")
                try:
                    result = function(connection)
                finally:
                    if snapshot:
                        connection.execute("COMMIT")
            except sqlite3.Error:
                connection.close()
                raise
            except BaseException:
                self._put_back(connection)
                raise
            self._put_back(connection)
            return result
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            raise translate(error) from error

    async def in_thread(self, function: Callable[[], T]) -> T:
        """What `function` returns, run beside the event loop."""
        self.check()
        assert self._pool is not None

        def typed() -> T:
            with translated():
                return function()

        try:
            running = asyncio.get_running_loop().run_in_executor(self._pool, typed)
        except RuntimeError as error:  # it was closed in this moment
            raise StoreClosed from error
        return await running

    def check(self) -> None:
        """Raise `StoreClosed` if the database is not open in this process."""
        if not self._is_open or self._pid != os.getpid():
            raise StoreClosed

    # Writing

    async def write(
        self,
        function: Callable[[Connection], T],
        *,
        durable: bool = True,
        after: Callable[[bool], object] | None = None,
    ) -> T:
        """What `function` returns, run in a write transaction that was committed.

        If it raises, what it did is undone, and nothing else is. It may be in one transaction
        with others. A caller that is cancelled doesn't take it back.

        Args:
            function: Called once, in the writer's thread.
            durable: Whether to return only when it survives a loss of power. Without, it
                survives a killed process, and is made durable with the next that is.
            after: Called in the writer's thread when it was committed (`True`) or undone.

        Raises:
            StoreError: If it could not be committed. It was not, and is not tried again.
        """
        self.check()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Job(function, durable, future, after), is_own=False)
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
            self.check()
            if self._is_ending and not is_own:
                raise StoreClosed
            self._jobs.put(job)

    def end(self) -> None:
        """Refuse `write` from now on, and return when all that was accepted is stored or told."""
        with self._accepting:
            self._is_ending = True
        if self._is_open:
            with contextlib.suppress(StoreError):
                self.write_now(lambda _connection: None)

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
                    self._is_durable = True
                self._transact(self._writer, batch)
        except Exception as error:
            self._fail(batch, error)

    def _transact(self, connection: Connection, batch: list[_Job]) -> None:
        durable = any(job.durable for job in batch)
        if durable != self._is_durable:
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._is_durable = durable
        connection.execute("BEGIN IMMEDIATE")
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
            connection.execute("COMMIT")

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
        if self._writer is not None:
            with contextlib.suppress(sqlite3.Error):
                self._writer.close()
            self._writer = None


def _casefold(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _check_version(connection: Connection) -> int:
    """The version of the schema; refuses a newer one before anything is changed."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    known = queries.migrations(__package__ or "")[-1][0]
    if version > known:
        raise StoreTooNew(version, known)
    return version


def _migrate(connection: Connection) -> None:
    """Bring the schema up to date, in one step."""
    version = _check_version(connection)
    missing = [found for found in queries.migrations(__package__ or "") if found[0] > version]
    if not missing:
        return
    connection.create_function("is_odd", 1, messages.is_odd, deterministic=True)
    scripts = "\n".join(script for _, script in missing)
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{scripts}\nPRAGMA user_version = {missing[-1][0]};\n"
            f"PRAGMA application_id = {APPLICATION_ID};\nCOMMIT;"
        )
    except BaseException:
        if connection.in_transaction:
            connection.rollback()
        raise
