"""Reads from a replica, of which the caller sees all that was written here before."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from ..errors import MythlineError, StoreClosed
from .connections import Connections

log = logging.getLogger("mythline")

PATIENCE: Final = 0.5
"""Seconds that a read waits for the replica to catch up, before it asks the primary."""
PAUSE: Final = 0.02
FRESH: Final = 1.0
"""Seconds for which the replica, once it has caught up, is taken to follow."""
AVOID: Final = 3.0
"""Seconds for which it isn't asked after it couldn't be, or didn't catch up."""
# Where commits don't wait for the disk, the last of them may not be written yet.
AT: Final = (
    "SELECT (CASE current_setting('synchronous_commit') WHEN 'off' "
    "THEN pg_current_wal_insert_lsn() ELSE pg_current_wal_lsn() END)::text AS at, "
    "extract(epoch FROM pg_postmaster_start_time())::text AS started"
)
# What was promoted and goes its own way is no replica, unless it is the primary itself.
HAS: Final = (
    "SELECT CASE WHEN pg_is_in_recovery() "
    "THEN coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false) "
    "ELSE extract(epoch FROM pg_postmaster_start_time())::text = $2::text END AS has"
)


class Replica:
    """Tells where to read.

    Args:
        primary: Where everything is.
        connections: The replica.
    """

    def __init__(self, primary: Connections, connections: Connections) -> None:
        self._primary = primary
        self._connections = connections
        self._writes = 0
        self._seen = 0
        self._fresh_until = 0.0
        self._avoid_until = 0.0

    def note_write(self) -> None:
        """Something was written here: reads wait until the replica has it."""
        self._writes += 1

    async def reader(self, *, now: bool = False) -> Connections:
        """The replica, if it has all that was written here; else the primary.

        What others wrote it has as well, but for the last seconds. With `now`, also that.
        """
        time_now = time.monotonic()
        if time_now < self._avoid_until:
            return self._primary
        writes = self._writes
        if writes == self._seen and not now:
            if time_now < self._fresh_until:
                return self._connections
            self._fresh_until = time_now + FRESH  # others needn't look as well
        if await self._follows():
            self._seen = max(self._seen, writes)
            self._fresh_until = max(self._fresh_until, time_now + FRESH)
            return self._connections
        self._avoid_until = time.monotonic() + AVOID
        return self._primary

    async def _follows(self) -> bool:
        """Whether the replica has, or gets in a moment, all that is committed now."""
        try:
            async with asyncio.timeout(PATIENCE):
                (row,) = await self._primary.read(AT)
                while True:
                    (found,) = await self._connections.read_once(HAS, row["at"], row["started"])
                    if found["has"]:
                        return True
                    await asyncio.sleep(PAUSE)
        except StoreClosed:
            raise
        except (MythlineError, TimeoutError) as error:
            log.warning("The replica can't be read or is behind, so the primary is: %s", error)
            return False
