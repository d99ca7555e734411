"""The SQLite database of a local store: its connections, and what is read over them.

`mythline.local.writer` writes. Readers have connections of their own, and are never kept waiting
by a writer (WAL). Checkpoints run under the lock that gives writers their turns; that also keeps
clear of the rare corruption that SQLite before 3.51.3 has when one connection checkpoints while
another commits (https://www.sqlite.org/wal.html#walresetbug).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from .. import messages, queries
from ..errors import StoreClosed, StoreTooNew, StoreUnavailable
from .locks import Lock
from .translating import translate, translated
from .writer import BUSY_TIMEOUT_MS, CHECKPOINT_PAGES, Connection, Writer

T = TypeVar("T")
SQL: Final = queries.load(__package__ or "")
APPLICATION_ID: Final = 0x4D797468  # "Myth"
PATIENCE_MS: Final = 100
"""How long others' turns wait while readers are waited for."""
READERS: Final = 4


class Database(Writer):
    """`sessions.sqlite3` in a directory. Errors of the driver leave it as `StoreError`s.

    Args:
        directory: Where it is.
        committed: Called after each transaction, in the thread that made it.
    """

    def __init__(self, directory: Path, committed: Callable[[], object] = lambda: None) -> None:
        super().__init__(committed)
        self._directory = directory
        self._path = str(directory / "sessions.sqlite3")
        self._file: tuple[int, int] | None = None
        self._idle_readers: deque[Connection] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._pid = 0
        self._opening = threading.Lock()

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
            self._lock = Lock(self._directory)
            try:
                with self._turn():
                    self._writer = self._connect(migrate=True)
                    self._file = self._in_place()
            except BaseException:
                self._disconnect()
                self._unlock()
                raise
            self._idle_readers = deque()
            self._pid = os.getpid()
            self._pool = ThreadPoolExecutor(READERS, "mythline-read")
            self._start_writing()

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
            self._stop_writing()
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
        if self._lock is not None:
            self._lock.close()
            self._lock = None

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
            lock = Lock(self._directory)  # a turn apart from the writer's
            stack.callback(lock.close)
            fcntl.flock(lock.descriptor, fcntl.LOCK_EX)
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
