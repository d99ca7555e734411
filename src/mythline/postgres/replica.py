"""Reads from a replica, of which the caller sees all that was written here before."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from ..errors import MythlineError
from .connections import Connections

PATIENCE: Final = 0.5
"""Seconds that a read waits for the replica to catch up, before it asks the primary."""
PAUSE: Final = 0.02


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

    def note_write(self) -> None:
        """Something was written here: reads wait until the replica has it."""
        self._writes += 1

    async def reader(self) -> Connections:
        """The replica, if it has all that was written here; else the primary."""
        writes = self._writes
        if writes == self._seen:
            return self._connections
        try:
            (row,) = await self._primary.read("SELECT pg_current_wal_lsn()::text AS at")
            until = time.monotonic() + PATIENCE
            while True:
                (found,) = await self._connections.read(
                    "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, true) AS has",
                    row["at"],
                )
                if found["has"]:
                    self._seen = max(self._seen, writes)
                    return self._connections
                if time.monotonic() > until:
                    return self._primary
                await asyncio.sleep(PAUSE)
        except MythlineError:
            return self._primary
