"""What a local store reads: point reads of the database, and lists in the order of an index."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta
from typing import Any, Final, TypeVar

from ..errors import EntryNotFound
from ..models import (
    AgentInfo,
    Branch,
    HistoryPage,
    Located,
    SearchPage,
    SessionDetails,
    SessionEvent,
    SessionInfo,
    SessionPage,
    SessionState,
    StoredEntry,
    from_micros,
)
from ..operations import Listing, Search
from ..store import SessionKey
from . import branching, lines, lists, rows, writing
from . import search as searching
from .database import SQL, Connection
from .opened import Opened

T = TypeVar("T")

ASIDE: Final = 8 << 20
"""About how many bytes of messages are read on the event loop, in 3 ms; to parse them takes 100."""


class Reading(Opened):
    """The reading half of a local store."""

    async def owners(self) -> Sequence[str | None]:
        """The owners, also those that only another program made folders for."""
        self._check()
        if self._has_views:
            for owner, agent_id in self._layout.folders():
                await self._watch.compared(owner, agent_id)
        found = await self._read(lambda connection: connection.execute(SQL["owners"]).fetchall())
        return [row[0] or None for row in found]

    async def agents(self, owner: str | None, *, trash: bool = False) -> Sequence[AgentInfo]:
        """The agents of `owner`, also those that only another program made folders for."""
        where = owner or ""
        self._check()
        if self._has_views:
            await self._watch.compared(where, None)

        def find(connection: Connection) -> list[AgentInfo]:
            found = connection.execute(SQL["agents"], {"owner": where}).fetchall()
            agents = {row[0]: AgentInfo(row[0], row[1], from_micros(row[2])) for row in found}
            if trash:
                for (agent_id,) in connection.execute(SQL["agents_of_trash"], (where,)):
                    agents.setdefault(agent_id, AgentInfo(agent_id, 0, None))
            return [agents[agent_id] for agent_id in sorted(agents)]

        return await self._read(find)

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
                    self._take_in((where, agent_id, row["session_id"]))

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
        most = rows.ALL if limit is None else min(limit, rows.ALL)
        names = {"owner": where, "agent_id": agent_id, "limit": most}
        return await self._read(
            lambda connection: [rows.listed(row) for row in connection.execute(statement, names)]
        )

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
            return HistoryPage(rows.revision(row), row["message_count"], first, tuple(entries))

        return await self._aside(key, page)

    async def load(
        self, key: SessionKey, *, limit: int | None = None, shared: bool = False
    ) -> tuple[SessionState | SessionDetails, bytes | None] | None:
        """A session and its messages, by one statement; where that is not enough, in a thread."""
        self._check()
        place = rows.place_of(key)
        plain = self._database.read(
            lambda connection: rows.state(connection, place, limit, ASIDE), snapshot=False
        )
        if plain is not None and (not self._has_views or self._foreign.is_current(place, plain[0])):
            return plain[1:]

        def find(
            connection: Connection, row: Any | None
        ) -> tuple[SessionDetails, bytes | None] | None:
            row = row or (rows.shared(connection, key) if shared else None)
            if row is None:
                return None
            first = 0 if limit is None else max(0, row["message_count"] - limit)
            return rows.details(row), lines.array(connection, row["head"], first)

        found = await self._aside(key, find)
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


def _position(connection: Connection, head: int, entry_id: str) -> int:
    entry = lines.number(connection, entry_id)
    found = None if entry is None else lines.position(connection, head, entry)
    if found is None:
        raise EntryNotFound(entry_id)
    return found


def _is_known(row: Any) -> bool:
    """Not only by the name of a file that could not be read yet."""
    return bool(not row["pending"] or row["head"] or row["view_head"] is not None)
