"""LocalStore: sessions in a directory, with SQLite as the truth and a view for each session.

What happens on the way of a request: reads are point reads of the database and one look at the
mark of the session's view; lists read rows in index order. A save is one transaction
(`mythline.local.writer`). Views, folders and other programs' changes are the business of threads
beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from .. import keysets
from ..errors import RevisionConflict
from ..models import (
    Finding,
    SessionDetails,
)
from ..operations import ANY, Describe, Expected
from ..store import Append, AppendResult, Save, SessionKey
from . import checking, holding, rows, schema, trash, writing
from .database import SQL, Connection
from .layout import look
from .reading import Reading
from .removal import Removal
from .views import PATIENCE, SMALL

T = TypeVar("T")


class LocalStore(Reading):
    """Sessions in a directory. Any number of processes of one machine may share it.

    Args:
        path: The directory; made when the store is opened.
        views: Whether to keep a `.json` view of each session, and take in what other programs
            write there. Without, the database is all there is.
        trash_days: Days that deleted sessions can be restored; 0: a delete is a purge; `None`:
            as long as there is room.
    """

    async def save(self, key: SessionKey, save: Save) -> None:
        """One transaction; the view of a small session that is made or moved is there on return."""
        self._check()
        if save.expected is None:
            await self._notice(key)
        await self._write(
            lambda connection: (writing.save(connection, key, save, self._check_free), None)
        )

    async def _write(
        self, function: Callable[[Connection], tuple[writing.Stored, T]], *, brief: bool = False
    ) -> T:
        """What `function` returns beside the session it stored in, committed. Its view follows.

        It does so whether or not the caller is still there to hear of it.
        """
        stored: writing.Stored | None = None

        def write(connection: Connection) -> T:
            nonlocal stored
            stored, result = function(connection)
            return result

        def follow(is_stored: bool) -> None:
            if is_stored and stored is not None and stored.number and self._has_views:
                self._views.touch(stored.number, stored.body_bytes)

        result = await self._database.write(write, brief=brief, after=follow)
        if stored is not None and stored.is_awaited and self._has_views:
            await asyncio.to_thread(self._views.settle, stored.number, PATIENCE)
        return result

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
        return await self._write(
            lambda connection: writing.append(connection, key, append, check),
            brief=sum(map(len, append.bodies)) <= SMALL,
        )

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
            await self._read_pending(owner or "", agent_id, wholly=True)
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

        def restore(connection: Connection) -> tuple[Any, SessionDetails]:
            row = trash.restore(
                connection, key, new.session_id, file_is_there=not self._is_free(new)
            )
            return row, rows.details(row)

        row, details = await self._database.write(restore)
        if self._has_views:
            self._views.touch(row["n"], row["body_bytes"])
            await self.settle(new)
        return details

    async def empty_trash(
        self, owner: str | None, agent_id: str, *, before: int | None = None
    ) -> int:
        """Purge in steps of a hundred, so that others get their turn."""
        where = owner or ""
        limit = keysets.END if before is None else before
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
        lost = [] if damage else await database.in_thread(lambda: schema.missing(database, fix=fix))
        for finding in [*damage, *lost]:
            yield finding
        if damage or not all(finding.is_fixed for finding in lost):
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

    async def hold(self, key: SessionKey, *, wait: float | None = None) -> Callable[[], None]:
        """A lock on a file in the directory: between processes, and stores of this one."""
        self._check()
        return await holding.hold(self.path, key, wait)
