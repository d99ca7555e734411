"""Connections to PostgreSQL: pools, and transactions.

A statement is one round trip. A read that loses its connection is repeated once, on another. A
write never is: where its outcome is unknown, the caller reads back what is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final, TypeVar

import asyncpg

from ..errors import MythlineError, StoreClosed, StoreUnavailable
from . import addresses
from .failures import AGAIN, GONE, MISREAD, OutcomeUnknown, misread, translated
from .pool import InUse, Pool

log = logging.getLogger("mythline")

T = TypeVar("T")
Row = Any
"""An `asyncpg.Record`: read by column name."""

CONNECT: Final = 8.0
"""Seconds that making a connection may take, all hosts together; each has its share of it."""
WAIT: Final = 10.0
"""Seconds that a caller waits for a connection of the pool."""
TIMEOUT: Final = 30.0
"""Seconds that a statement may take."""
TIMEOUT_REPLICA: Final = 10.0
"""The same on a replica, before the primary is asked."""
OUTAGE: Final = 3.0
"""Seconds for which the outcome of a write is tried to be read back from a server that is gone."""
AGAIN_AFTER: Final = 0.1
CANCEL: Final = 5.0
"""Seconds that the server gets to give up a statement that nobody waits for any more."""
BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""What is done after a lock was waited for has to see what was done under it."""
_SETTINGS: Final = {
    "application_name": "mythline",
    "jit": "off",
    "default_transaction_isolation": "read committed",
}
TRIES: Final = 10
"""How often a transaction is begun anew that the server gave up for the sake of another."""


class Transaction:
    """An open transaction: statements one after the other, of which all or none take effect."""

    def __init__(self, connection: Any, seconds: float = TIMEOUT) -> None:
        self._connection = connection
        self._seconds = seconds

    async def rows(self, statement: str, *values: Any) -> list[Row]:
        """The rows that a statement gives."""
        return await self._connection.fetch(statement, *values)

    async def row(self, statement: str, *values: Any) -> Row | None:
        """The first row that a statement gives, if any."""
        return await self._connection.fetchrow(statement, *values)

    async def script(self, text: str) -> None:
        """Run several statements that have no values."""
        await self._connection.execute(text, timeout=self._seconds)


class Connections:
    """The pools of connections to one address, one for each event loop that uses it.

    Args:
        dsn: Where: `postgresql://…`.
        size: Connections of a pool at the most.
        transaction_pooling: Whether a pooler gives a connection of the server for a transaction
            only. Then statements aren't prepared beyond one, and each is a transaction.
        primary: Of a replica, which only has to be read from: who answers in its place if it can't.
    """

    def __init__(
        self,
        dsn: str,
        size: int,
        *,
        transaction_pooling: bool = False,
        primary: Connections | None = None,
    ) -> None:
        self._hosts, self._seconds, self._asked = addresses.read(dsn)
        self._size = size
        self._transaction_pooling = transaction_pooling
        self._primary = primary
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}
        self._ends: dict[asyncio.AbstractEventLoop, AsyncGenerator[None]] = {}
        self._lock = threading.Lock()
        self._is_open = False

    def open(self) -> None:
        """Allow connections; each is made when it is needed."""
        self._is_open = True

    async def close(self) -> None:
        """Wait for what is under way, and close all connections."""
        self._is_open = False
        with self._lock:
            pools, self._pools = self._pools, {}
            ends, self._ends = self._ends, {}
        here = asyncio.get_running_loop()
        for loop, pool in pools.items():
            if loop is here:
                try:
                    async with asyncio.timeout(CONNECT):
                        await pool.close()
                except (TimeoutError, *GONE):
                    pool.terminate()
                await ends[loop].aclose()
            elif not loop.is_closed():
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(pool.terminate)

    def check(self) -> None:
        """Raise `StoreClosed` unless open."""
        if not self._is_open:
            raise StoreClosed

    def _options(self) -> dict[str, Any]:
        """What connections are made with."""
        options: dict[str, Any] = {
            "command_timeout": TIMEOUT if self._primary is None else TIMEOUT_REPLICA,
            "max_cached_statement_lifetime": 0,
        }
        if self._primary is None and "target_session_attrs" not in self._asked:
            options["target_session_attrs"] = "read-write"
        if self._transaction_pooling:
            options["statement_cache_size"] = 0
        else:
            options["server_settings"] = {**_SETTINGS}
            if "application_name" in self._asked:
                del options["server_settings"]["application_name"]
        return options

    async def _connect(self) -> Any:
        """A connection to the first host that will do, the last that did before the others."""
        error: Exception | None = None
        options = self._options()
        known = self._hosts
        seconds = min(CONNECT / len(known), self._seconds)
        for host in known:
            try:
                connection = await _to_the_end(asyncpg.connect(host, **options, timeout=seconds))
            except (asyncpg.PostgresError, *GONE) as failed:
                error = failed
                continue
            # One assignment, since other threads read and write it as well.
            self._hosts = [host, *(other for other in known if other != host)]
            return connection
        assert error is not None
        if isinstance(error, ssl.CertificateError):  # a ValueError too, as those of an address
            raise translated(error) from error
        raise error

    async def connect(self) -> Any:
        """A connection of its own, beside the pool. The caller closes it."""
        self.check()
        try:
            return await self._connect()
        except MISREAD as error:
            raise misread(error) from None
        except (asyncpg.PostgresError, *GONE) as error:
            raise translated(error) from error

    async def _pool(self) -> Pool:
        self.check()
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = Pool(self._connect, self._size)
            with self._lock:
                for other in [other for other in self._pools if other.is_closed()]:
                    del self._pools[other], self._ends[other]
                self._pools[loop] = pool
                end = self._ends[loop] = _until_the_loop_ends(pool)
            await anext(end)
        return pool

    async def _acquired(self, pool: Pool) -> Any:
        """A connection of the pool.

        Raises:
            StoreUnavailable: If none is to be had. Nothing was sent.
        """
        try:
            return await pool.acquire(WAIT)
        except InUse as error:
            raise StoreUnavailable(
                "All connections to the database are in use. Try again in a moment."
            ) from error
        except MISREAD as error:
            raise misread(error) from None
        except (asyncpg.PostgresError, *GONE) as error:
            self.check()
            raise translated(error) from error

    async def _using(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """What `work` returns, called with a connection of the pool."""
        pool = await self._pool()
        connection = await self._acquired(pool)
        in_doubt = True
        try:
            result = await work(connection)
            in_doubt = False
            return result
        except asyncpg.ReadOnlySQLTransactionError:
            connection.terminate()  # it leads to a server that isn't the primary any more
            pool.expire()
            raise
        except (asyncpg.InvalidCachedStatementError, *GONE):
            pool.expire()
            raise
        except (asyncpg.PostgresError, MythlineError):
            in_doubt = False
            raise
        finally:
            if in_doubt:
                # A statement that took too long is given up by the server before this goes on, if
                # the server can be reached: whether it was stored can be read then.
                await pool.settle(connection, CANCEL)
            else:
                pool.release(connection)

    async def _fetch(self, statement: str, *values: Any) -> list[Row]:
        async def fetch(connection: Any) -> list[Row]:
            if not self._transaction_pooling:
                return await connection.fetch(statement, *values)
            async with connection.transaction(isolation="read_committed"):
                return await connection.fetch(statement, *values)

        return await self._using(fetch)

    async def read(self, statement: str, *values: Any) -> list[Row]:
        """The rows that a statement gives that changes nothing; repeated if a connection is lost.

        What a replica can't answer, the primary does.

        Raises:
            StoreUnavailable: If the server can't be reached or answer.
        """
        if self._primary is not None:
            try:
                return await self.read_once(statement, *values)
            except StoreUnavailable as error:
                log.warning("The replica can't be read, so the primary is: %s", error)
                return await self._primary.read(statement, *values)
        try:
            return await self._fetch(statement, *values)
        except GONE:
            return await self.read_once(statement, *values)
        except (asyncpg.PostgresError, UnicodeEncodeError) as error:
            raise translated(error) from error

    async def read_once(self, statement: str, *values: Any) -> list[Row]:
        """As `read`, but neither repeated nor answered by another."""
        try:
            return await self._fetch(statement, *values)
        except (asyncpg.PostgresError, UnicodeEncodeError, *GONE) as error:
            raise translated(error) from error

    async def write(self, statement: str, *values: Any) -> list[Row]:
        """The rows that a statement gives that changes something, committed.

        Raises:
            OutcomeUnknown: If the connection was lost.
            asyncpg.IntegrityConstraintViolationError: As it is, for the caller to tell which.
            StoreError: If it was not stored.
        """
        return await self._committed(lambda: self._fetch(statement, *values))

    async def transact(
        self,
        function: Callable[[Transaction], Awaitable[T]],
        *,
        lock: int | None = None,
        seconds: float = TIMEOUT,
    ) -> T:
        """What `function` returns of a transaction, committed.

        With `lock`, nobody else is in a transaction with the same number meanwhile. It is waited
        for, and the scripts of `function` may take, `seconds` each. `function` is called
        again where the server gave up the transaction for the sake of another.

        Raises:
            OutcomeUnknown: If the connection was lost.
            asyncpg.IntegrityConstraintViolationError: As it is, for the caller to tell which.
            MythlineError: What `function` raises; or `StoreError` if it was not stored.
        """
        begin = BEGIN if lock is None else f"{BEGIN}; SELECT pg_advisory_xact_lock({lock:d})"

        async def once() -> T:
            return await self._using(lambda held: self._once(held, begin, function, seconds))

        return await self._committed(once)

    async def read_back(self, function: Callable[[Transaction], Awaitable[T]]) -> T:
        """What `function` tells, in a transaction, of a write of which the connection was lost.

        Tried again for a while, as it was perhaps lost because the server starts anew.

        Raises:
            OutcomeUnknown: If the server can't be asked.
            asyncpg.IntegrityConstraintViolationError: As it is, for the caller to tell which.
            MythlineError: What `function` raises.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + OUTAGE
        while True:
            try:
                return await self.transact(function)
            except OutcomeUnknown:
                if loop.time() >= until:
                    raise
            except StoreUnavailable as error:
                if loop.time() >= until:
                    raise OutcomeUnknown from error.__cause__ or error
            await asyncio.sleep(AGAIN_AFTER)

    async def _committed(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns; it is done again where the server gave it up for another."""
        for attempt in range(TRIES):
            try:
                return await work()
            except asyncpg.IntegrityConstraintViolationError:
                raise
            except AGAIN as error:
                if attempt + 1 == TRIES:
                    raise translated(error) from error
            except asyncpg.ReadOnlySQLTransactionError as error:
                raise translated(error) from error
            except GONE as error:
                raise OutcomeUnknown from error
            except (asyncpg.PostgresError, UnicodeEncodeError) as error:
                raise translated(error) from error
        raise AssertionError

    async def _once(
        self,
        connection: Any,
        begin: str,
        function: Callable[[Transaction], Awaitable[T]],
        seconds: float,
    ) -> T:
        try:
            await connection.execute(begin, timeout=seconds)
            result = await function(Transaction(connection, seconds))
        except BaseException:
            if not connection.is_closed():
                try:
                    await connection.execute("ROLLBACK")
                except (asyncpg.PostgresError, *GONE):
                    connection.terminate()
            raise
        await connection.execute("COMMIT")
        return result


async def _until_the_loop_ends(pool: Pool) -> AsyncGenerator[None]:
    """End the connections of an event loop with it, as of one that `asyncio.run` makes.

    Nobody else could: it ends the generators that are open in it before it is closed.
    """
    try:
        yield
    finally:
        pool.terminate()


async def _to_the_end(connecting: Any) -> Any:
    """A connection that is begun is made, also for a caller who goes away; then it is ended.

    A connection that is given up in its first moments has asyncpg leave an error to the event loop.
    """
    task = asyncio.ensure_future(connecting)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_end)
        raise


def _end(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()
