"""Lists in every order, filtered, with pinned sessions first, and counted."""

from __future__ import annotations

from typing import Any

import pytest

from ...errors import InvalidCursor, InvalidInput
from ...sessions import AgentSessions
from ...store import Store
from ..base import StoreRules
from ..samples import saved, turn


class ListingRules(StoreRules):
    """The arguments of `list`, and `count`."""

    @staticmethod
    async def _all(sessions: AgentSessions, limit: int = 1000, **filters: Any) -> list[str]:
        """The ids on all pages of a list."""
        found: list[str] = []
        cursor = None
        while True:
            page = await sessions.list(limit=limit, cursor=cursor, **filters)
            found += [info.session_id for info in page]
            cursor = page.next_cursor
            if cursor is None:
                return found
            assert len(page) == limit

    async def _sessions(self, sessions: AgentSessions) -> None:
        for name, title in [("c", "cherry"), ("a", "Apple"), ("d", "Date"), ("b", "banana")]:
            await sessions.create(name, title=title)
        await sessions.append("c", turn("x"))

    async def test_orders(self, sessions: AgentSessions) -> None:
        """Saved last first, made last first, or by title whatever its case."""
        await self._sessions(sessions)
        for limit in (1, 2, 3, 1000):
            assert await self._all(sessions, limit) == ["c", "b", "d", "a"]
            assert await self._all(sessions, limit, order="created") == ["b", "d", "a", "c"]
            assert await self._all(sessions, limit, order="title") == ["a", "b", "c", "d"]

    async def test_offered_titles(self, sessions: AgentSessions) -> None:
        """An offered title is a title; equal ones are told apart."""
        for name, text in [("x", "zebra"), ("y", "Mole"), ("z", "mole"), ("w", "Ant")]:
            await saved(sessions, text, conversation_id=name)
        await sessions.rename("w", "zoo")
        for limit in (1, 2, 1000):
            found = await self._all(sessions, limit, order="title")
            assert found == ["z", "y", "x", "w"]

    async def test_pinned_first(self, sessions: AgentSessions) -> None:
        """Pinned ones come before the others on request, each of the two in its order."""
        await self._sessions(sessions)
        for name in ("a", "d"):
            await sessions.update(name, pinned=True)
        for limit in (1, 2, 3, 1000):
            assert await self._all(sessions, limit, pinned_first=True) == ["d", "a", "c", "b"]
            by_title = await self._all(sessions, limit, pinned_first=True, order="title")
            assert by_title == ["a", "d", "b", "c"]
        assert await self._all(sessions) == ["c", "b", "d", "a"]

    async def test_archived(self, sessions: AgentSessions) -> None:
        """Archived sessions are in no plain list, but are there."""
        await self._sessions(sessions)
        for name in ("c", "b"):
            await sessions.update(name, archived=True)
        for limit in (1, 1000):
            assert await self._all(sessions, limit) == ["d", "a"]
            assert await self._all(sessions, limit, archived=True) == ["c", "b"]
            assert await self._all(sessions, limit, archived=None) == ["c", "b", "d", "a"]
        assert await sessions.exists("c")
        latest = await sessions.latest()
        assert latest is not None
        assert latest.session_id == "d"

    async def test_tags(self, sessions: AgentSessions) -> None:
        """Only the sessions that have the tag, exactly."""
        await self._sessions(sessions)
        await sessions.update("a", tags=["x", "y"])
        await sessions.update("b", tags=["x"])
        await sessions.update("c", tags=["xy", "X"])
        for limit in (1, 1000):
            assert await self._all(sessions, limit, tag="x") == ["b", "a"]
            assert await self._all(sessions, limit, tag="x", order="title") == ["a", "b"]
        assert await self._all(sessions, tag="nobody's") == []
        await sessions.update("b", tags=["z"])
        await sessions.update("a", archived=True)
        assert await self._all(sessions, tag="x") == []
        assert await self._all(sessions, tag="x", archived=None) == ["a"]
        assert await self._all(sessions, tag="z") == ["b"]

    async def test_made_with_tags(self, sessions: AgentSessions) -> None:
        """Tags given when a session is made are found as well."""
        await sessions.create("one", tags=["new"])
        assert await self._all(sessions, tag="new") == ["one"]

    async def test_text(self, sessions: AgentSessions) -> None:
        """Only the sessions with the text in their title or preview, whatever the case."""
        await saved(sessions, "Über allen Gipfeln", conversation_id="g")
        await sessions.create("p", title="100% _sure_")
        await saved(sessions, "plain", conversation_id="n")
        assert await self._all(sessions, text="gipfel") == ["g"]
        assert await self._all(sessions, text="ÜBER") == ["g"]
        assert await self._all(sessions, text="%") == ["p"]
        assert await self._all(sessions, text="_SURE") == ["p"]
        for nowhere in ("nowhere", "\x00", "\ud800"):
            assert await self._all(sessions, text=nowhere) == []
            assert await self._all(sessions, tag=nowhere) == []
        assert await self._all(sessions, text="") == ["n", "p", "g"]

    async def test_counts(self, sessions: AgentSessions, store: Store) -> None:
        """A count is the length of the list on all its pages."""
        await self._sessions(sessions)
        await store.sessions(self.agent_id, owner="alice").create("a", tags=["x"])
        await store.sessions("other").create("a", tags=["x"])
        await sessions.update("a", tags=["x"])
        await sessions.update("b", archived=True, tags=["x"])
        await sessions.delete("d")
        every: list[dict[str, Any]] = [
            {},
            {"archived": None},
            {"archived": True},
            {"tag": "x"},
            {"tag": "x", "archived": None},
            {"text": "a"},
        ]
        for filters in every:
            assert await sessions.count(**filters) == len(await self._all(sessions, **filters))
        assert await sessions.count() == 2

    async def test_other_orders(self, sessions: AgentSessions) -> None:
        """An order that there isn't is refused, with those there are."""
        with pytest.raises(InvalidInput, match="recent, created, title"):
            await sessions.list(order="size")  # pyright: ignore[reportArgumentType]

    async def test_cursor_of_another_order(self, sessions: AgentSessions) -> None:
        """A cursor is of its order."""
        await self._sessions(sessions)
        orders: list[dict[str, Any]] = [
            {"order": "recent"},
            {"order": "created"},
            {"order": "title"},
            {"order": "recent", "pinned_first": True},
        ]
        for given in orders:
            cursor = (await sessions.list(limit=1, **given)).next_cursor
            assert cursor is not None
            for other in orders:
                if other != given:
                    with pytest.raises(InvalidCursor):
                        await sessions.list(cursor=cursor, **other)
            with pytest.raises(InvalidCursor):
                await sessions.trash(cursor=cursor)
