"""Holding a session, as every server sees it: a lease in a table, renewed for as long as it lasts.

No connection is kept for it, as an agent may run for long. A lease that is not renewed any more,
because its server is gone, ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import secrets
import time
from collections.abc import Callable
from typing import Final

from ..errors import MythlineError, StoreUnavailable
from ..store import SessionKey
from . import rows
from .connections import Connections
from .failures import OutcomeUnknown
from .statements import SQL

log = logging.getLogger("mythline")

LEASE: Final = 30.0
"""Seconds that a lease lasts unless it is renewed."""
RENEW: Final = 10.0
_SHORTEST: Final = 0.02
_LONGEST: Final = 0.25
"""Seconds between two tries."""


class Holds:
    """The sessions that are held through one open store.

    Args:
        connections: Where the leases are.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._renewals: dict[asyncio.Task[None], asyncio.Event] = {}
        self._left: dict[str, rows.Place] = {}
        """Leases that were let go of, but perhaps still stand."""

    async def hold(self, key: SessionKey, wait: float | None) -> Callable[[], None]:
        """Wait until nobody else holds a session, and hold it; what is returned lets go of it.

        Raises:
            TimeoutError: If another held it for `wait` seconds.
            StoreUnavailable: If the database can't be reached.
        """
        place, token = rows.place_of(key), secrets.token_hex(16)
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self._take(place, token, wait)
        except asyncio.CancelledError:  # perhaps just as it was taken
            self._left[token] = place
            ended.set()
            self._keep(place, token, ended)
            raise
        self._keep(place, token, ended)

        def let_go() -> None:
            self._left[token] = place
            with contextlib.suppress(RuntimeError):  # the loop is closed: the next try takes over
                loop.call_soon_threadsafe(ended.set)

        return let_go

    def _keep(self, place: rows.Place, token: str, ended: asyncio.Event) -> None:
        renewal = asyncio.ensure_future(self._renew(place, token, ended))
        self._renewals[renewal] = ended
        renewal.add_done_callback(lambda done: self._renewals.pop(done, None))

    async def _take(self, place: rows.Place, token: str, wait: float | None) -> None:
        until = math.inf if wait is None else time.monotonic() + wait
        pause = _SHORTEST
        while not await self._try(place, token):
            if (left := until - time.monotonic()) <= 0:
                raise TimeoutError
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, _LONGEST)

    async def _try(self, place: rows.Place, token: str) -> bool:
        left = list(self._left)
        try:
            return bool(
                await self._connections.write(SQL["take_lease"], *place, token, LEASE, left)
            )
        except OutcomeUnknown as error:
            self._left[token] = place  # if it was taken, the next try may take it over
            raise StoreUnavailable(
                "The connection to the database was lost while a session was to be held. "
                "Try again in a moment."
            ) from error.__cause__

    async def _renew(self, place: rows.Place, token: str, ended: asyncio.Event) -> None:
        while True:
            try:
                async with asyncio.timeout(RENEW):
                    await ended.wait()
                await self._drop(place, token)
                return
            except TimeoutError:
                await self._renew_once(place, token)

    async def _renew_once(self, place: rows.Place, token: str) -> None:
        try:
            if not await self._connections.write(SQL["renew_lease"], *place, token, LEASE):
                log.warning("a session is not held any more: its lease ran out")
        except (MythlineError, OutcomeUnknown) as error:
            log.warning("the lease of a session could not be renewed yet: %s", error)

    async def _drop(self, place: rows.Place, token: str) -> None:
        with contextlib.suppress(MythlineError, OutcomeUnknown):
            await self._connections.write(SQL["drop_lease"], *place, token)
            self._left.pop(token, None)

    async def close(self) -> None:
        """Let go of all that is held."""
        here = asyncio.get_running_loop()
        mine = {t: ended for t, ended in self._renewals.items() if t.get_loop() is here}
        for ended in mine.values():
            ended.set()
        if mine:
            await asyncio.wait(mine)
        for token, place in list(self._left.items()):
            await self._drop(place, token)
