"""PostgresStore: sessions in PostgreSQL, for any number of servers on any number of machines.

A save of a turn is one statement, and so is a page of a list or of a history. What a server keeps
in memory is connections alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack

from ..errors import InvalidInput
from ..models import Finding, SessionDetails, now_micros
from ..operations import ANY, Describe, Expected
from ..store import TRASH_DAYS, Append, AppendResult, Save, SessionKey
from . import checking, rows, schema, trash, writing
from .connections import Connections
from .events import Events
from .holding import Holds
from .indexing import Indexing
from .reading import Reading
from .replica import Replica
from .statements import SQL

POOL_SIZE = 10
SOME = 200


class PostgresStore(Reading):
    """Sessions in a PostgreSQL database, 14 or later.

    The schema is made when an empty database is opened, and migrated by `migrate`.

    Args:
        dsn: `postgresql://user:password@host:port/database`. Several hosts, with commas between,
            are tried for the one that can be written to.
        pool_size: Connections at the most, for each event loop that uses the store.
        transaction_pooling: For a pooler in front that gives a connection for a transaction only,
            as PgBouncer does in transaction mode. Changes of other servers are then looked for
            rather than notified.
        replica: Another address to read lists, searches, histories and transcripts from. What was
            written through this store is seen in them at once.
        trash_days: Days that deleted sessions can be restored; 0: a delete is a purge; `None`:
            for ever.
    """

    def __init__(
        self,
        dsn: str,
        *,
        pool_size: int = POOL_SIZE,
        transaction_pooling: bool = False,
        replica: str | None = None,
        trash_days: float | None = TRASH_DAYS,
    ) -> None:
        if pool_size < 1:
            raise InvalidInput("A pool has at least one connection.")
        self.trash_days = trash_days
        self._connections = Connections(dsn, pool_size, transaction_pooling=transaction_pooling)
        self._events = Events(self._connections, listens=not transaction_pooling)
        self._indexing = Indexing(self._connections, self._written)
        self._holds = Holds(self._connections)
        self._expiry = trash.Expiry(self._connections, trash_days)
        self._copies = (
            None
            if replica is None
            else Connections(
                replica,
                pool_size,
                transaction_pooling=transaction_pooling,
                primary=self._connections,
            )
        )
        self._replica = None if self._copies is None else Replica(self._connections, self._copies)
        self._is_open = False

    @property
    def _primary(self) -> Connections:
        return self._connections

    async def _reader(self, *, now: bool = False) -> Connections:
        return self._connections if self._replica is None else await self._replica.reader(now=now)

    def _written(self) -> None:
        self._events.noted()
        if self._replica is not None:
            self._replica.note_write()

    async def open(self) -> None:
        """Connect, and make the schema where there is none."""
        if self._is_open:
            return
        self._connections.open()
        if self._copies is not None:
            self._copies.open()
        try:
            if not await schema.check(self._connections):
                await schema.migrate(self._connections)
        except BaseException:
            await self._disconnect()
            raise
        if self._is_open:  # by somebody else, meanwhile
            return
        self._events.open()
        self._indexing.open()
        self._expiry.open()
        self._is_open = True

    async def migrate(self) -> int:
        """One transaction; also while the store is open."""
        self._connections.open()
        try:
            return await schema.migrate(self._connections)
        finally:
            if not self._is_open:
                await self._disconnect()

    async def close(self) -> None:
        """Let go of all connections, also if the caller is cancelled meanwhile."""
        if not self._is_open:
            return
        self._is_open = False
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self._disconnect)
            last_first.push_async_callback(self._expiry.close)
            last_first.push_async_callback(self._indexing.close)
            last_first.push_async_callback(self._events.close)
            last_first.push_async_callback(self._holds.close)

    async def _disconnect(self) -> None:
        await self._connections.close()
        if self._copies is not None:
            await self._copies.close()

    async def save(self, key: SessionKey, save: Save) -> None:
        """One statement for a new session; a transaction where a history goes another way."""
        await writing.save(self._connections, key, save)
        self._written()
        self._indexing.wake()

    async def append(self, key: SessionKey, append: Append) -> AppendResult:
        """One statement; one more where an Idempotency-Key is looked up."""
        result = await writing.append(self._connections, key, append)
        self._written()
        self._indexing.wake()
        return result

    async def describe(self, key: SessionKey, change: Describe) -> SessionDetails:
        """One transaction."""
        found = await writing.describe(self._connections, key, change)
        self._written()
        return found

    async def delete(
        self, key: SessionKey, *, expected: Expected = ANY, permanent: bool = False
    ) -> bool:
        """One statement to the trash; a transaction to purge."""
        if permanent or self.trash_days == 0:
            deleted = await trash.purge_now(self._connections, key, expected)
        else:
            deleted = await trash.delete(self._connections, key, expected)
        self._written()
        return deleted

    async def delete_all(self, owner: str | None, agent_id: str, *, permanent: bool = False) -> int:
        """Delete in steps, so that others get their turn."""
        where = rows.owner_of(owner)
        permanent = permanent or self.trash_days == 0
        found = await self._connections.read(SQL["living"], where, agent_id)
        deleted = 0
        for start in range(0, len(found), SOME):
            some = found[start : start + SOME]
            deleted += await trash.delete_some(
                self._connections,
                [(where, agent_id, row["session_id"], row["n"]) for row in some],
                permanent=permanent,
            )
        self._written()
        return deleted

    async def restore(self, key: SessionKey, *, session_id: str | None = None) -> SessionDetails:
        """One transaction."""
        found = await trash.restore(self._connections, key, session_id or key.session_id)
        self._written()
        return found

    async def empty_trash(
        self, owner: str | None, agent_id: str, *, before: int | None = None
    ) -> int:
        """Purge in steps, so that others get their turn."""
        where = rows.owner_of(owner)
        limit = now_micros() + trash.DAY if before is None else before
        found = await self._connections.read(SQL["trash"], where, agent_id, limit)
        purged = 0
        for start in range(0, len(found), trash.SOME):
            some = found[start : start + trash.SOME]
            purged += await trash.purge_some(
                self._connections,
                [(where, agent_id, row["session_id"], row["n"]) for row in some],
            )
        self._written()
        return purged

    async def check(self, *, fix: bool = False) -> AsyncGenerator[Finding]:
        """Session after session, then what belongs to none."""
        async for finding in checking.check(self._connections, self._indexing, fix=fix):
            yield finding

    async def settle(self, key: SessionKey) -> None:
        """Nothing to wait for: there are no views."""
        self._connections.check()

    async def hold(self, key: SessionKey, *, wait: float | None = None) -> Callable[[], None]:
        """A lease that every server sees; no connection is kept for it."""
        return await self._holds.hold(key, wait)
