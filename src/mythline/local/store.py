"""LocalStore: sessions in a directory, with SQLite as the truth and a view for each session.

What happens on the way of a request: reads are point reads of the database and one look at the
mark of the session's view; lists read rows in index order. A save is one transaction of the
writer's thread. Views, folders and other programs' changes are the business of threads beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import os
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from ..errors import EntryNotFound, RevisionConflict, StoreClosed
from ..models import (
    AgentInfo,
    Branch,
    Finding,
    HistoryPage,
    Located,
    SearchPage,
    SessionDetails,
    SessionEvent,
    SessionInfo,
    SessionPage,
    StoredEntry,
    from_micros,
)
from ..operations import ANY, Describe, Expected, Listing, Search
from ..store import TRASH_DAYS, Append, AppendResult, Save, SessionKey, Store
from . import branching, checking, lines, lists, rows, trash, writing
from . import search as searching
from .database import SQL, Connection, Database
from .events import Events
from .foreign import Foreign
from .indexing import Indexing
from .layout import Layout, look
from .removal import Removal
from .trash import Expiry
from .views import Views
from .watch import Watch

T = TypeVar("T")
Written = TypeVar("Written", tuple[int, int], tuple[int, int, AppendResult])

ASIDE: Final = 256 << 10
"""About how many bytes of messages are read on the event loop; it takes longer to parse them."""


class _Long(Exception):
    """There is more to read than the event loop should wait for."""


class LocalStore(Store):
    """Sessions in a directory. Any number of processes of one machine may share it.

    Args:
        path: The directory; made when the store is opened.
        views: Whether to keep a `.json` view of each session, and take in what other programs
            write there. Without, the database is all there is.
        trash_days: Days that deleted sessions can be restored; 0: a delete is a purge; `None`:
            as long as there is room.
    """

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
            if self._has_views:
                self._watch = Watch(self._layout, self._foreign)
                self._views.start()
                self._watch.open()
            self._events = Events(self._database)
            self._indexing = Indexing(self._database)
            self._indexing.open()
            if self.trash_days:
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
        with self._opening:
            was_open = self._process == os.getpid()
            self._process = 0  # who calls from now on is refused; what was accepted is finished
            self._database.end()
            if was_open:
                self._events.close()
                self._indexing.close()
                if self._expiry is not None:
                    self._expiry.close()
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
        await self._database.in_thread(lambda: self._foreign.take_in(*rows.place_of(key)))
        return self._fresh(rows.place_of(key), function, snapshot=snapshot)[1]

    async def _aside(self, key: SessionKey, function: Callable[[Connection, Any | None], T]) -> T:
        """As `_now`, beside the event loop: for reads that take longer."""
        self._check()

        def read() -> T:
            current, found = self._fresh(rows.place_of(key), function)
            if current:
                return found
            self._foreign.take_in(*rows.place_of(key))
            return self._fresh(rows.place_of(key), function)[1]

        return await self._database.in_thread(read)

    async def _notice(self, key: SessionKey) -> None:
        self._check()
        if self._has_views:
            await self._now(key, lambda _connection, _row: None)

    # Reading

    async def owners(self) -> Sequence[str | None]:
        """The owners, also those that only another program made folders for."""
        self._check()
        if self._has_views:
            for owner, agent_id in self._layout.folders():
                await self._watch.compared(owner, agent_id)
        found = await self._read(lambda connection: connection.execute(SQL["owners"]).fetchall())
        return [row[0] or None for row in found]

    async def agents(self, owner: str | None) -> Sequence[AgentInfo]:
        """The agents of `owner`, also those that only another program made folders for."""
        where = owner or ""
        self._check()
        if self._has_views:
            await self._watch.compared(where, None)
        found = await self._read(
            lambda connection: connection.execute(SQL["agents"], {"owner": where}).fetchall()
        )
        return [AgentInfo(row[0], row[1], from_micros(row[2])) for row in found]

    async def get(self, key: SessionKey, *, shared: bool = False) -> SessionDetails | None:
        """A session, by point reads and one look at its view."""

        def find(connection: Connection, row: Any | None) -> SessionDetails | None:
            row = row or (rows.shared(connection, key) if shared else None)
            return None if row is None else rows.details(row)

        found = await self._now(key, find)
        if found is not None and found.owner != key.owner:  # its own view was not looked at
            return await self.get(SessionKey(found.owner, key.agent_id, key.session_id))
        return found

    async def list(self, owner: str | None, agent_id: str, listing: Listing) -> SessionPage:
        """A page by the index alone; files that are known by their names only are read first."""
        where = owner or ""
        self._check()
        if self._has_views and not listing.trash:
            await self._watch.compared(where, agent_id)
            if listing.order != "recent" or listing.text is not None:
                await self._read_pending(where, agent_id)

        def page() -> tuple[list[Any], str | None]:
            tried: set[int] = set()
            while True:
                found, cursor = self._database.read(
                    lambda connection: lists.page(connection, where, agent_id, listing)
                )
                unread = [row for row in found if row["pending"] and row["n"] not in tried]
                if not unread or not self._has_views or listing.trash:
                    return found, cursor
                for row in unread:
                    tried.add(row["n"])
                    self._foreign.take_in(where, agent_id, row["session_id"])

        found, cursor = await self._database.in_thread(page)
        infos = (rows.info(row) for row in found if _is_known(row))
        if listing.trash:
            infos = map(self._with_purge, infos)
        return SessionPage(tuple(infos), cursor)

    def _with_purge(self, info: SessionInfo) -> SessionInfo:
        if info.deleted is None or self.trash_days is None:
            return info
        return dataclasses.replace(info, purges=info.deleted + timedelta(days=self.trash_days))

    async def count(self, owner: str | None, agent_id: str, listing: Listing) -> int:
        """By the index; files that are known by their names only are read first."""
        where = owner or ""
        self._check()
        if self._has_views and not listing.trash:
            await self._watch.compared(where, agent_id)
            await self._read_pending(where, agent_id)
        return await self._read(
            lambda connection: lists.count(connection, where, agent_id, listing)
        )

    async def records(
        self, owner: str | None, agent_id: str, *, limit: int | None = None
    ) -> Sequence[SessionDetails]:
        """All sessions with what they carry; costs what it returns."""
        where = owner or ""
        self._check()
        if self._has_views:
            await self._watch.compared(where, agent_id)
            await self._read_pending(where, agent_id)
        statement = SQL["records_shared" if owner is None else "records"]
        names = {"owner": where, "agent_id": agent_id, "limit": -1 if limit is None else limit}
        return await self._read(
            lambda connection: [rows.details(row) for row in connection.execute(statement, names)]
        )

    async def _read_pending(self, where: str, agent_id: str) -> None:
        await self._database.in_thread(lambda: self._foreign.read_pending(where, agent_id))

    async def history(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> HistoryPage | None:
        """Part of a history, by ranges of its entries."""

        def page(connection: Connection, row: Any | None) -> HistoryPage | None:
            if row is None:
                return None
            first, end = 0, row["message_count"]
            if after is not None:
                first = _position(connection, row["head"], after) + 1
            if before is not None:
                end = _position(connection, row["head"], before)
            if limit is not None:
                if after is not None and before is None:
                    end = min(end, first + limit)
                else:
                    first = max(first, end - limit)
            entries = lines.read(connection, row["head"], first, max(first, end))
            return HistoryPage(row["revision"], row["message_count"], first, tuple(entries))

        return await self._aside(key, page)

    async def load(
        self, key: SessionKey, *, limit: int | None = None, shared: bool = False
    ) -> tuple[SessionDetails, bytes | None] | None:
        """A session and its messages, of one snapshot; a long one is read beside the event loop."""

        def find(
            connection: Connection, row: Any | None, *, most: float
        ) -> tuple[SessionDetails, bytes | None] | None:
            row = row or (rows.shared(connection, key) if shared else None)
            if row is None:
                return None
            count = row["message_count"]
            first = 0 if limit is None else max(0, count - limit)
            if row["body_bytes"] * (count - first) > most * count:
                raise _Long
            return rows.details(row), lines.array(connection, row["head"], first)

        try:
            found = await self._now(key, partial(find, most=ASIDE), snapshot=True)
        except _Long:
            found = await self._aside(key, partial(find, most=math.inf))
        if found is not None and found[0].owner != key.owner:  # its own view was not looked at
            where = SessionKey(found[0].owner, key.agent_id, key.session_id)
            return await self.load(where, limit=limit)
        return found

    async def line(
        self, owner: str | None, agent_id: str, entry_id: str, *, limit: int | None = None
    ) -> Sequence[StoredEntry] | None:
        """The entries up to one, if it is within reach."""

        def read(connection: Connection) -> Sequence[StoredEntry] | None:
            entry = writing.reachable(connection, owner or "", agent_id, entry_id)
            if entry is None:
                return None
            count = lines.count(connection, entry)
            return lines.read(connection, entry, 0 if limit is None else max(0, count - limit))

        return await self._read(read)

    async def locate(self, key: SessionKey, entry_id: str) -> Located | None:
        """Where an entry is, by the ranges of the histories."""
        return await self._now(
            key,
            lambda connection, row: (
                None if row is None else branching.locate(connection, row, entry_id)
            ),
            snapshot=True,
        )

    async def branches(self, key: SessionKey) -> Sequence[Branch] | None:
        """The branches, by the ranges of the histories; reads the ends of them."""
        return await self._aside(
            key,
            lambda connection, row: None if row is None else branching.branches(connection, row),
        )

    async def search(self, owner: str | None, search: Search) -> SearchPage:
        """By the index, after what was saved until now is in it."""
        self._check()
        searching.decode(search.cursor)
        where = owner or ""
        if self._has_views:
            agents = search.agents
            if agents is None:
                agents = self._layout.agent_folders(where)
            for agent_id in agents:
                await self._watch.compared(where, agent_id)
                await self._read_pending(where, agent_id)

        return await self._database.in_thread(
            lambda: self._indexing.read_new(
                where, search.agents, lambda c: searching.page(c, where, search)
            )
        )

    async def events(
        self, owner: str | None, agent_id: str | None, *, after: str | None = None
    ) -> AsyncGenerator[SessionEvent]:
        """Events of this process at once, those of others as they are found."""
        self._check()
        where = owner or ""

        async def refresh() -> None:
            if self._has_views:
                await self._watch.compared(where, agent_id)

        async with contextlib.aclosing(
            self._events.follow(where, agent_id, after, refresh)
        ) as events:
            async for event in events:
                yield event

    async def _read(self, function: Callable[[Connection], T]) -> T:
        self._check()
        return await self._database.in_thread(lambda: self._database.read(function))

    # Writing

    async def save(self, key: SessionKey, save: Save) -> None:
        """One transaction; the view of a session that is made or moved is there on return."""
        self._check()
        if save.expected is None:
            await self._notice(key)
        await self._write(lambda connection: writing.save(connection, key, save, self._check_free))
        if self._has_views and (save.expected is None or not save.entries):
            await self.settle(key)

    async def _write(self, function: Callable[[Connection], Written]) -> Written:
        """What `function` returns, committed: a session's number and bytes, whose view follows.

        It does so whether or not the caller is still there to hear of it.
        """
        found: Written | None = None

        def write(connection: Connection) -> Written:
            nonlocal found
            found = function(connection)
            return found

        def follow(is_stored: bool) -> None:
            if is_stored and found is not None and found[0] and self._has_views:
                self._views.touch(found[0], found[1])

        return await self._database.write(write, after=follow)

    def _check_free(self, key: SessionKey) -> None:
        """Refuse to make a session where a file lies that is none, rather than replace it."""
        if not self._is_free(key):
            raise RevisionConflict(key.session_id)

    def _is_free(self, key: SessionKey) -> bool:
        if not self._has_views:
            return True
        with self._layout.folder(key.owner or "", key.agent_id, create=True) as folder:
            return folder is None or look(folder, f"{key.session_id}.json") is None

    async def append(self, key: SessionKey, append: Append) -> AppendResult:
        """One transaction at the head, whatever it is; it looks at the view itself."""
        self._check()
        try:
            return await self._append(key, append, self._check_current)
        except writing.ViewChanged:
            await self._notice(key)
            return await self._append(key, append, lambda _place, _row: None)

    async def _append(
        self, key: SessionKey, append: Append, check: Callable[[rows.Place, Any | None], None]
    ) -> AppendResult:
        return (
            await self._write(lambda connection: writing.append(connection, key, append, check))
        )[2]

    def _check_current(self, place: rows.Place, row: Any | None) -> None:
        if self._has_views and not self._foreign.is_current(place, row):
            raise writing.ViewChanged

    async def delete(
        self, key: SessionKey, *, expected: Expected = ANY, permanent: bool = False
    ) -> bool:
        """Delete a session with its view, in one transaction."""
        await self._notice(key)
        permanent = permanent or self.trash_days == 0
        removal = Removal(self._layout, permanent, self._has_views)

        def delete(connection: Connection) -> bool:
            place = rows.place_of(key)
            row = rows.session(connection, place)
            if expected is not ANY and (None if row is None else rows.revision(row)) != expected:
                raise RevisionConflict(key.session_id)
            if row is None:
                found = connection.execute(SQL["deleted_all"], place).fetchall()
                return permanent and trash.purge_some(connection, [n for (n,) in found]) > 0
            removal.remove(connection, row)
            return True

        deleted = await self._database.write(delete, after=removal.end)
        if permanent:
            await self._erase()
        return deleted

    async def _erase(self) -> None:
        """Let what was purged be gone from every file."""
        if self._has_views:
            await asyncio.to_thread(self._views.finish)
        await asyncio.to_thread(self._indexing.erase)

    async def delete_all(self, owner: str | None, agent_id: str, *, permanent: bool = False) -> int:
        """Delete in steps of a hundred, so that others get their turn."""
        self._check()
        permanent = permanent or self.trash_days == 0
        if self._has_views:
            await self._watch.compared(owner or "", agent_id, patient=True)
            await self._read_pending(owner or "", agent_id)
        found = await self._read(
            lambda connection: connection.execute(
                SQL["all_numbers"], (owner or "", agent_id)
            ).fetchall()
        )
        numbers = [row[0] for row in found]
        deleted = 0
        for start in range(0, len(numbers), 100):
            removal = Removal(self._layout, permanent, self._has_views)
            some = numbers[start : start + 100]
            deleted += await self._database.write(
                lambda connection, some=some, removal=removal: removal.remove_all(connection, some),
                after=removal.end,
            )
        if permanent:
            await self._erase()
        return deleted

    async def describe(self, key: SessionKey, change: Describe) -> SessionDetails:
        """One transaction; the view has nothing of it."""
        await self._notice(key)
        return await self._database.write(
            lambda connection: writing.describe(connection, key, change)
        )

    async def restore(self, key: SessionKey, *, session_id: str | None = None) -> SessionDetails:
        """One transaction; its view is there again on return."""
        new = SessionKey(key.owner, key.agent_id, session_id or key.session_id)
        await self._notice(new)

        def restore(connection: Connection) -> Any:
            return trash.restore(
                connection, key, new.session_id, file_is_there=not self._is_free(new)
            )

        row = await self._database.write(restore)
        if self._has_views:
            self._views.touch(row["n"], row["body_bytes"])
            await self.settle(new)
        return rows.details(row)

    async def empty_trash(
        self, owner: str | None, agent_id: str, *, before: int | None = None
    ) -> int:
        """Purge in steps of a hundred, so that others get their turn."""
        where = owner or ""
        limit = lists.END if before is None else before
        found = await self._read(
            lambda connection: connection.execute(SQL["trash"], (where, agent_id, limit)).fetchall()
        )
        numbers = [row[0] for row in found]
        purged = 0
        for start in range(0, len(numbers), trash.SOME):
            some = numbers[start : start + trash.SOME]
            purged += await self._database.write(
                lambda connection, some=some: trash.purge_some(connection, some)
            )
        await self._erase()
        return purged

    async def check(self, *, fix: bool = False) -> AsyncGenerator[Finding]:
        """Session after session, then folders; what other programs did is taken in first."""
        self._check()
        database = self._database
        damage = await database.in_thread(lambda: checking.integrity(database))
        for finding in damage:
            yield finding
        if damage:
            return  # what else is read from it would not be worth much
        places = self._layout.folders() if self._has_views else []
        for owner, agent_id in places:
            await self._watch.compared(owner, agent_id, patient=True)
            await self._read_pending(owner, agent_id)
        layout = self._layout if self._has_views else None
        check = checking.Check(database, layout, self._foreign.take_in, fix=fix)
        for step in await database.in_thread(lambda: check.steps(places)):
            for finding in await database.in_thread(lambda step=step: list(step())):
                yield finding
        for finding in await database.in_thread(lambda: self._indexing.check(fix=fix)):
            yield finding
        self._views.sweep()

    async def settle(self, key: SessionKey) -> None:
        """Wait until the session's view shows what is stored."""
        self._check()
        if not self._has_views:
            return
        row = self._database.read(lambda connection: rows.session(connection, rows.place_of(key)))
        if row is not None:
            if row["head"] != row["view_head"]:
                self._views.touch(row["n"], 0)
            await asyncio.to_thread(self._views.settle, row["n"])


def _position(connection: Connection, head: int, entry_id: str) -> int:
    entry = lines.number(connection, entry_id)
    found = None if entry is None else lines.position(connection, head, entry)
    if found is None:
        raise EntryNotFound(entry_id)
    return found


def _is_known(row: Any) -> bool:
    """Not only by the name of a file that could not be read yet."""
    return bool(not row["pending"] or row["head"] or row["view_head"] is not None)
