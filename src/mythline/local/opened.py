"""The local store as it is opened and closed, and how each look at a session begins.

Every read and write of one session looks at the mark of its view first: what another program did
there is taken in before.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ..errors import StoreClosed, StoreFull, StoreUnavailable
from ..store import TRASH_DAYS, SessionKey, Store
from . import holding, rows
from .database import Connection, Database
from .events import Events
from .foreign import Foreign
from .indexing import Indexing
from .layout import Layout
from .trash import Expiry
from .views import Views
from .watch import Watch

log = logging.getLogger("mythline")

T = TypeVar("T")


class Opened(Store):
    """A directory that is opened and closed; see `LocalStore`."""

    def __init__(
        self,
        path: str | Path = ".mythline",
        *,
        views: bool = True,
        trash_days: float | None = TRASH_DAYS,
    ) -> None:
        self.path = Path(path).absolute()
        self.trash_days = trash_days
        self._database = Database(self.path, self._committed)
        self._events = Events(self._database)
        self._indexing = Indexing(self._database)
        self._expiry: Expiry | None = None
        self._layout = Layout(self.path)
        self._has_views = views
        self._views = Views(self._database, self._layout, self._take_in_now)
        self._foreign = Foreign(self._database, self._layout, self._views.touch, self._views.sweep)
        self._watch = Watch(self._layout, self._foreign)
        self._process = 0
        self._opening = threading.Lock()

    async def open(self) -> None:
        """Open the directory, making it if need be; views that a crash left stale follow."""
        await asyncio.to_thread(self._open_now)

    def _open_now(self) -> None:
        with self._opening:
            if self._process == os.getpid():
                return
            self._database.open()
            holding.remove_left(self.path)
            if self._has_views:
                self._watch = Watch(self._layout, self._foreign)
                self._views.start()
                self._watch.open()
            self._events = Events(self._database)
            self._indexing = Indexing(self._database)
            self._indexing.open()
            if self.trash_days is not None:
                self._expiry = Expiry(self._database, self.trash_days)
                self._expiry.open()
            self._process = os.getpid()

    def _committed(self) -> None:
        self._events.wake()
        self._indexing.wake()

    async def close(self) -> None:
        """Let saves and views finish, then close the database."""
        await asyncio.to_thread(self._close_now)

    def _close_now(self) -> None:
        if self._process not in (0, os.getpid()):  # forked off; it all belongs to the parent
            self._process = 0
            self._database.close()
            return
        with self._opening:
            was_open = self._process == os.getpid()
            self._process = 0  # who calls from now on is refused; what was accepted is finished
            self._database.end()
            if was_open:
                self._events.close()
                if self._expiry is not None and self._expiry.close():
                    self._indexing.erase()
                self._indexing.close()
            if was_open and self._has_views:
                self._watch.close()
                self._views.close()
            self._database.close()

    def _check(self) -> None:
        if self._process != os.getpid():
            raise StoreClosed

    # What other programs did

    def _take_in_now(self, owner: str, agent_id: str, session_id: str) -> None:
        self._foreign.take_in(owner, agent_id, session_id)

    def _take_in(self, place: rows.Place) -> None:
        """Take in what another program did to a view; where nothing can be stored, go on without.

        A disk that is full is no reason not to read.
        """
        try:
            self._foreign.take_in(*place)
        except (StoreFull, StoreUnavailable) as error:
            log.warning("what is in a view's place could not be taken in: %s", error)

    def _fresh(
        self,
        place: rows.Place,
        function: Callable[[Connection, Any | None], T],
        *,
        snapshot: bool = True,
    ) -> tuple[bool, T]:
        """What `function` makes of a session's row, and whether no other program changed its view.

        Two looks: in one, this store's own view may just be changing places.
        """
        row, found = self._look(place, function, snapshot)
        if not self._has_views or self._foreign.is_current(place, row):
            return True, found
        row, found = self._look(place, function, snapshot)
        return self._foreign.is_current(place, row), found

    def _look(
        self, place: rows.Place, function: Callable[[Connection, Any | None], T], snapshot: bool
    ) -> tuple[Any | None, T]:
        def look(connection: Connection) -> tuple[Any | None, T]:
            row = rows.session(connection, place)
            return row, function(connection, row)

        return self._database.read(look, snapshot=snapshot)

    async def _now(
        self,
        key: SessionKey,
        function: Callable[[Connection, Any | None], T],
        *,
        snapshot: bool = False,
    ) -> T:
        """What `function` makes of a session's row, after what other programs did. Point reads.

        Without `snapshot`, what it reads itself may be newer than the row.
        """
        self._check()
        current, found = self._fresh(rows.place_of(key), function, snapshot=snapshot)
        if current:
            return found
        await self._database.in_thread(lambda: self._take_in(rows.place_of(key)))
        return self._fresh(rows.place_of(key), function, snapshot=snapshot)[1]

    async def _aside(self, key: SessionKey, function: Callable[[Connection, Any | None], T]) -> T:
        """As `_now`, beside the event loop: for reads that take longer."""
        self._check()

        def read() -> T:
            current, found = self._fresh(rows.place_of(key), function)
            if current:
                return found
            self._take_in(rows.place_of(key))
            return self._fresh(rows.place_of(key), function)[1]

        return await self._database.in_thread(read)

    async def _notice(self, key: SessionKey) -> None:
        self._check()
        if self._has_views:
            await self._now(key, lambda _connection, _row: None)

    async def _read(self, function: Callable[[Connection], T]) -> T:
        self._check()
        return await self._database.in_thread(lambda: self._database.read(function))

    async def _read_pending(self, where: str, agent_id: str, *, wholly: bool = False) -> None:
        """Take in what was noted; as far as that can be done, unless it is to be all."""

        def read() -> None:
            try:
                self._foreign.read_pending(where, agent_id)
            except (StoreFull, StoreUnavailable) as error:
                if wholly:
                    raise
                log.warning("not all views could be taken in: %s", error)

        await self._database.in_thread(read)
