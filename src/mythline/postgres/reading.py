"""What a PostgreSQL store reads: one statement for a session, a page of a list or of a history."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import asyncpg

from .. import damage
from ..errors import EntryNotFound, StoreUnavailable
from ..models import (
    AgentInfo,
    Branch,
    HistoryPage,
    Located,
    SearchPage,
    SessionDetails,
    SessionEvent,
    SessionPage,
    SessionState,
    StoredEntry,
    from_micros,
)
from ..operations import Listing, Search
from ..store import SessionKey, Store
from . import branching, lines, lists, rows
from . import search as searching
from .connections import Connections
from .events import Events
from .indexing import Indexing
from .statements import SQL
from .texts import storable, unescaped


class Reading(Store):
    """The reading half of a PostgreSQL store."""

    _events: Events
    _indexing: Indexing

    @property
    @abstractmethod
    def _primary(self) -> Connections:
        """Where what was written is."""

    @abstractmethod
    async def _reader(self, *, now: bool = False) -> Connections:
        """Where to read what may be read from a replica: all that was written here is there.

        With `now`, all that anybody wrote until now is.
        """

    async def owners(self) -> Sequence[str | None]:
        """The owners, by jumps of the index."""
        found = await (await self._reader()).read(SQL["owners"])
        return [unescaped(row["owner"]) or None for row in found]

    async def agents(self, owner: str | None, *, trash: bool = False) -> Sequence[AgentInfo]:
        """The agents, by jumps of the index; their sessions are counted."""
        where = rows.owner_of(owner)
        reader = await self._reader()
        agents = {
            row["agent_id"]: AgentInfo(
                row["agent_id"], row["sessions"], from_micros(row["updated"])
            )
            for row in await reader.read(SQL["agents"], where)
            if row["sessions"]
        }
        if trash:
            for row in await reader.read(SQL["agents_of_trash"], where):
                agents.setdefault(row["agent_id"], AgentInfo(row["agent_id"], 0, None))
        return [agents[agent_id] for agent_id in sorted(agents)]

    async def get(self, key: SessionKey, *, shared: bool = False) -> SessionDetails | None:
        """A session, by its key."""
        statement = SQL["get_shared" if shared else "get"]
        found = await self._primary.read(statement, *rows.place_of(key))
        return rows.details(found[0]) if found else None

    async def list(self, owner: str | None, agent_id: str, listing: Listing) -> SessionPage:
        """A page, in the order of an index."""
        reader = await self._reader()
        found, cursor = await lists.page(reader, rows.owner_of(owner), agent_id, listing)
        return SessionPage(tuple(rows.info(row, self.trash_days) for row in found), cursor)

    async def count(self, owner: str | None, agent_id: str, listing: Listing) -> int:
        """By an index."""
        reader = await self._reader()
        return await lists.count(reader, rows.owner_of(owner), agent_id, listing)

    async def records(
        self, owner: str | None, agent_id: str, *, limit: int | None = None
    ) -> Sequence[SessionDetails]:
        """All sessions with what they carry; costs what it returns."""
        reader = await self._reader()
        if owner is None:
            found = await reader.read(SQL["records_shared"], agent_id, _most(limit))
        else:
            found = await reader.read(SQL["records"], rows.owner_of(owner), agent_id, _most(limit))
        return [rows.listed(row) for row in found]

    async def history(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> HistoryPage | None:
        """Part of a history, by ranges of its entries."""
        reader = await self._reader()
        ends = [_asked(before), _asked(after)]
        try:
            found = await reader.read(SQL["history"], *rows.place_of(key), _most(limit), *ends)
        except StoreUnavailable as error:
            raise _too_long(error) from error
        if not found:
            return None
        (row,) = found
        if row["low"] is None:
            raise EntryNotFound(after or "")
        if row["high"] is None:
            raise EntryNotFound(before or "")
        stop = row["stop"] if row["length"] is None else min(row["stop"], row["length"])
        entries = lines.entries(row, row["first"], stop)
        return HistoryPage(rows.revision(row), row["message_count"], row["first"], entries)

    async def load(
        self, key: SessionKey, *, limit: int | None = None, shared: bool = False
    ) -> tuple[SessionState | SessionDetails, bytes | None] | None:
        """A session and the array of its messages, of one snapshot."""
        values = *rows.place_of(key), _most(limit)
        try:
            found = await self._primary.read(SQL["load"], *values)
            if shared and not found:
                found = await self._primary.read(SQL["load_shared"], *values)
        except StoreUnavailable as error:
            if isinstance(error.__cause__, asyncpg.ProgramLimitExceededError):
                return await super().load(key, limit=limit, shared=shared)
            raise
        if not found:
            return None
        state = next(rows.state(key, row) for row in found if row["revision"] is not None)
        if any(row["is_odd"] for row in found):
            return state, None
        count = next(row["message_count"] for row in found if row["revision"] is not None)
        if sum(row["there"] for row in found) != (count if limit is None else min(limit, count)):
            # One is missing, or they are counted wrongly.
            await self.history(dataclasses.replace(key, owner=state.owner), limit=limit)
            return state, None
        parts: list[tuple[int, bytes]] = sorted(
            (row["start"], row["bodies"]) for row in found if row["bodies"] is not None
        )
        return state, b"[%b]" % b",".join(bodies for _, bodies in parts)

    async def line(
        self, owner: str | None, agent_id: str, entry_id: str, *, limit: int | None = None
    ) -> Sequence[StoredEntry] | None:
        """The entries up to one, if it is within reach."""
        if not storable(entry_id):
            return None
        where = rows.owner_of(owner)
        try:
            found = await self._primary.read(SQL["line"], where, agent_id, entry_id, _most(limit))
        except StoreUnavailable as error:
            raise _too_long(error) from error
        if not found:
            return None
        (row,) = found
        if row["places"] is None:
            raise damage.of_history()
        total = 1 + max(row["places"])
        return lines.entries(row, 0 if limit is None else max(0, total - limit), total)

    async def locate(self, key: SessionKey, entry_id: str) -> Located | None:
        """Where an entry is, by the ranges of the histories."""
        if not storable(entry_id):
            return None
        return await branching.locate(self._primary, rows.place_of(key), entry_id)

    async def branches(self, key: SessionKey) -> Sequence[Branch] | None:
        """The branches, by the ranges of the histories; reads the ends of them."""
        return await branching.branches(await self._reader(), rows.place_of(key))

    async def search(self, owner: str | None, search: Search) -> SearchPage:
        """By the index, after what was saved until now is in it."""
        searching.decode(search.cursor)
        where = rows.owner_of(owner)
        places = await self._indexing.catch_up(where, search.agents)
        return await searching.page(await self._reader(now=True), where, search, places)

    async def events(
        self, owner: str | None, agent_id: str | None, *, after: str | None = None
    ) -> AsyncGenerator[SessionEvent]:
        """Events of any server, as they are notified of."""
        self._primary.check()
        follow = self._events.follow(rows.owner_of(owner), agent_id, after)
        try:
            async for event in follow:
                yield event
        finally:
            await follow.aclose()


def _most(limit: int | None) -> int | None:
    """A limit that PostgreSQL can count to; no history is longer."""
    return None if limit is None else min(limit, 2**31 - 1)


def _asked(entry_id: str | None) -> str | None:
    """An entry's id, or one that no entry has."""
    return entry_id if entry_id is None or storable(entry_id) else ""


def _too_long(error: StoreUnavailable) -> Any:
    if isinstance(error.__cause__, asyncpg.ProgramLimitExceededError):
        return StoreUnavailable(
            "The history is too long to be read at once. Ask for a part of it, with a limit."
        )
    return error
