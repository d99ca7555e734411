"""The connections of one event loop, kept for whoever needs one next.

To take one that is idle and to give it back is nothing but to take it off a list and to put it
there again: asyncpg's own pool makes a task and two timers for it, which takes as long as a read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from .failures import GONE

Connection = Any
"""An `asyncpg.Connection`."""

IDLE: Final = 300.0
"""Seconds after which a connection that nobody needed is closed."""


class InUse(Exception):
    """All connections were in use for as long as the caller would wait."""


class Pool:
    """Connections for the event loop in which it is made, and for no other.

    Args:
        connect: Makes a connection.
        size: Connections at the most.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], size: int) -> None:
        self._connect = connect
        self._size = size
        self._loop = asyncio.get_running_loop()
        self._turns = asyncio.Semaphore(size)
        self._idle: list[tuple[Connection, float]] = []  # with the time since when, oldest first
        self._all: set[Connection] = set()
        self._old: set[Connection] = set()  # nobody is to get these again
        self._expiries = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._look: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def acquire(self, wait: float) -> Connection:
        """A connection, until it is given to `release` or `settle`; who asked first has the first.

        Of those that are idle, it is the one that was used last.

        Raises:
            InUse: If all were in use for `wait` seconds.
            TimeoutError: If none could be made in that time.
            asyncpg.InterfaceError: If the pool is closed.
        """
        self._check()
        start = self._loop.time()
        if self._turns.locked():
            try:
                async with asyncio.timeout(wait):
                    await self._turns.acquire()
            except TimeoutError as error:
                raise InUse from error
        else:
            await self._turns.acquire()  # at once
        while self._idle and not self._is_closed:
            connection, _ = self._idle.pop()
            if not connection.is_closed():
                return connection
            self._end(connection)
        try:
            async with asyncio.timeout_at(start + wait):
                return await self._made()
        except BaseException:
            self._turns.release()
            raise

    async def _made(self) -> Connection:
        self._check()
        expiries = self._expiries
        connection = await self._connect()
        if self._is_closed:
            connection.terminate()
            self._check()
        self._all.add(connection)
        if expiries != self._expiries:
            self._old.add(connection)
        return connection

    def _check(self) -> None:
        if self._is_closed:
            raise asyncpg.InterfaceError("The pool is closed.")

    def release(self, connection: Connection) -> None:
        """Give a connection back that does nothing any more.

        One that is to be given to nobody is ended, as is one in a transaction, which is undone.
        """
        if connection.is_closed() or connection in self._old or connection.is_in_transaction():
            self._end(connection)
        else:
            self._idle.append((connection, self._loop.time()))
            if self._look is None:
                self._look = self._loop.call_later(IDLE, self._end_idle)
        self._turns.release()

    async def settle(self, connection: Connection, seconds: float) -> None:
        """Give a connection back that may still be doing something.

        The server is made to give that up before this returns, if it does in so many seconds. The
        connection is given back also if the caller is cancelled meanwhile.
        """
        task = self._loop.create_task(self._settle(connection, seconds))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)
        await asyncio.shield(task)

    async def _settle(self, connection: Connection, seconds: float) -> None:
        try:
            if connection in self._old:
                await connection.close(timeout=seconds)
            elif not connection.is_closed():
                async with asyncio.timeout(seconds):
                    await connection.execute("SELECT")  # waits for what is being given up
        except (asyncpg.PostgresError, *GONE):
            connection.terminate()
        except BaseException:
            connection.terminate()
            raise
        finally:
            self.release(connection)

    def expire(self) -> None:
        """Let nobody get any of the present connections again, nor those that are being made."""
        self._expiries += 1
        self._old.update(self._all)
        while self._idle:
            self._end(self._idle.pop()[0])

    def _end(self, connection: Connection) -> None:
        self._all.discard(connection)
        self._old.discard(connection)
        connection.terminate()

    def _end_idle(self) -> None:
        """End what nobody needed for long; look again when the next one may be due."""
        self._look = None
        while self._idle and self._idle[0][1] <= self._loop.time() - IDLE:
            self._end(self._idle.pop(0)[0])
        if self._idle:
            self._look = self._loop.call_at(self._idle[0][1] + IDLE, self._end_idle)

    async def close(self) -> None:
        """Wait until all connections are given back, and close them. Nobody gets one any more.

        Where that fails, or the caller is cancelled, all are ended.
        """
        self._is_closed = True
        try:
            for _ in range(self._size):
                await self._turns.acquire()
            await asyncio.gather(*(connection.close() for connection, _ in self._idle))
        finally:
            self.terminate()

    def terminate(self) -> None:
        """End all connections at once, also those in use."""
        self._is_closed = True
        if self._look is not None:
            self._look.cancel()
        self._idle.clear()
        for connection in list(self._all):
            self._end(connection)
