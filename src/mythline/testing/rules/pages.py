"""Pages of a list, and of a history."""

from __future__ import annotations

import pytest

from ...errors import EntryNotFound, InvalidCursor, InvalidInput, SessionNotFound
from ...models import StoredEntry
from ...sessions import AgentSessions
from ...store import SessionKey, Store
from ..base import StoreRules
from ..samples import UNKNOWN, saved, turn, turns


class PageRules(StoreRules):
    """Cursors stay true while sessions are saved; a page of a history is what was asked for."""

    @staticmethod
    async def _names(
        sessions: AgentSessions, limit: int, cursor: str | None = None
    ) -> tuple[list[str], str | None]:
        page = await sessions.list(limit=limit, cursor=cursor)
        return [info.session_id for info in page.sessions], page.next_cursor

    @pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 8, 1000])
    async def test_all_pages(self, sessions: AgentSessions, limit: int) -> None:
        """Page after page gives every session once, newest first; the last page says it is."""
        made = [(await sessions.create(f"s{number}")).session_id for number in range(7)]
        found: list[str] = []
        cursor = None
        for _ in range(7):
            names, cursor = await self._names(sessions, limit, cursor)
            assert 1 <= len(names) <= limit
            found += names
            if cursor is None:
                break
        assert cursor is None
        assert found == made[::-1]

    async def test_page_is_a_sequence(self, sessions: AgentSessions) -> None:
        """A page has a length and items, and its infos are those of the sessions."""
        await saved(sessions, "a")
        await saved(sessions, "b", conversation_id="two")
        page = await sessions.list()
        assert (len(page), page.next_cursor) == (2, None)
        assert page[0].session_id == "two"
        for info in page:
            details = await sessions.info(info.session_id)
            shared = {name: getattr(details, name) for name in type(info).__dataclass_fields__}
            assert shared == {name: getattr(info, name) for name in shared}

    async def test_saved_in_between(self, sessions: AgentSessions) -> None:
        """Saves between two pages repeat nothing and leave out nothing that wasn't saved."""
        for number in range(20):
            await sessions.create(f"s{number:02}")
        first, cursor = await self._names(sessions, 6)
        assert first == [f"s{number:02}" for number in range(19, 13, -1)]
        await sessions.append("s19", turn("on the page"))
        await sessions.append("s14", turn("the last of the page"))
        await sessions.append("s10", turn("on the next page"))
        await sessions.append("s00", turn("on the last page"))
        await sessions.create("new")
        rest: list[str] = []
        while cursor is not None:
            names, cursor = await self._names(sessions, 6, cursor)
            rest += names
        assert rest == [f"s{number:02}" for number in range(13, 0, -1) if number != 10]
        again, _ = await self._names(sessions, 5)
        assert again == ["new", "s00", "s10", "s14", "s19"]

    async def test_deleted_in_between(self, sessions: AgentSessions) -> None:
        """A cursor holds when the session it stopped at, or one after it, was deleted."""
        for number in range(6):
            await sessions.create(f"s{number}")
        first, cursor = await self._names(sessions, 2)
        assert first == ["s5", "s4"]
        await sessions.delete("s4")
        await sessions.purge("s2")
        rest, cursor = await self._names(sessions, 10, cursor)
        assert (rest, cursor) == (["s3", "s1", "s0"], None)

    async def test_same_cursor_twice(self, sessions: AgentSessions) -> None:
        """A cursor can be used again, and gives the same page."""
        for number in range(6):
            await sessions.create(f"s{number}")
        _, cursor = await self._names(sessions, 2)
        assert await self._names(sessions, 2, cursor) == await self._names(sessions, 2, cursor)

    async def test_same_moment(self, sessions: AgentSessions) -> None:
        """Sessions that were saved at the very same time are each listed once."""
        await saved(sessions)
        record = await sessions.read_record("one")
        assert record is not None
        for number in range(7):
            record.conversation_id = f"s{number}"
            await sessions.write_record(record, expected_revision=None)
        found: list[str] = []
        cursor = None
        while True:
            names, cursor = await self._names(sessions, 2, cursor)
            found += names
            if cursor is None:
                break
        assert sorted(found) == ["one", *(f"s{number}" for number in range(7))]
        assert len(await sessions.read_records()) == 8

    @pytest.mark.parametrize("cursor", ["", "no cursor", "../..", "a\x00b", "é", "{}"])
    async def test_cursor_of_nowhere(self, sessions: AgentSessions, cursor: str) -> None:
        """A cursor that no list gave is refused."""
        await saved(sessions, "a")
        with pytest.raises(InvalidCursor):
            await sessions.list(cursor=cursor)

    @pytest.mark.parametrize("limit", [0, -1, 1001])
    async def test_limit_of_a_list(self, sessions: AgentSessions, limit: int) -> None:
        """A page has 1 to 1000 sessions."""
        with pytest.raises(InvalidInput):
            await sessions.list(limit=limit)

    async def test_any_page_of_a_history(self, sessions: AgentSessions) -> None:
        """Any window of the history is that part of it, and says where it is in the whole."""
        await saved(sessions, "a", "b", "c", "d")
        whole = await sessions.entries("one")
        entries = whole.entries
        assert (whole.total, whole.first, len(entries)) == (8, 0, 8)
        assert not whole.has_before
        assert not whole.has_after
        places = [None, *range(8)]
        for before in places:
            for after in places:
                for limit in (None, 1, 2, 5, 8, 9):
                    page = await sessions.entries(
                        "one",
                        limit=limit,
                        before=None if before is None else entries[before].entry_id,
                        after=None if after is None else entries[after].entry_id,
                    )
                    low = 0 if after is None else after + 1
                    high = max(low, 8 if before is None else before)
                    if limit is not None and after is not None and before is None:
                        high = min(high, low + limit)
                    elif limit is not None:
                        low = max(low, high - limit)
                    assert page.entries == entries[low:high], (before, after, limit)
                    assert (page.total, page.revision) == (8, whole.revision)
                    if page.entries:
                        assert page.first == low
                        assert (page.has_before, page.has_after) == (low > 0, high < 8)

    async def test_entries_are_those_of_the_load(self, sessions: AgentSessions) -> None:
        """A page's entries have the ids and parents of `load_entries`."""
        first = await saved(sessions, "a", "b", "c")
        branch = await sessions.branch("one", at=3, expected_revision=first.revision)
        branch.messages += turn("d")
        await sessions.save(branch)
        loaded = await sessions.load_entries("one")
        assert loaded is not None
        page = await sessions.entries("one")
        found = [(entry.entry_id, entry.parent_id) for entry in page.entries]
        assert found == [(entry.id, entry.parent_id) for entry in loaded]
        for where in range(1, len(found)):
            page = await sessions.entries("one", limit=1, after=found[where - 1][0])
            assert [(e.entry_id, e.parent_id) for e in page.entries] == found[where : where + 1]

    async def test_pages_of_messages(self, sessions: AgentSessions) -> None:
        """`history` gives the same windows as messages."""
        await saved(sessions, "a", "b", "c")
        whole = turns("a", "b", "c")
        ids = [entry.entry_id for entry in (await sessions.entries("one")).entries]
        assert await sessions.history("one") == whole
        assert await sessions.history("one", limit=2) == whole[-2:]
        assert await sessions.history("one", limit=2, before=ids[3]) == whole[1:3]
        assert await sessions.history("one", limit=2, after=ids[0]) == whole[1:3]
        assert await sessions.history("one", after=ids[0], before=ids[5]) == whole[1:5]
        assert await sessions.history("one", limit=3, after=ids[0], before=ids[5]) == whole[2:5]

    async def test_walk_of_a_history(self, sessions: AgentSessions) -> None:
        """Backwards with `before` or forwards with `after`, page by page, is the whole history."""
        await saved(sessions, *"abcde")
        entries = (await sessions.entries("one")).entries
        back: tuple[StoredEntry, ...] = ()
        page = await sessions.entries("one", limit=3)
        while True:
            back = page.entries + back
            if not page.has_before:
                break
            page = await sessions.entries("one", limit=3, before=back[0].entry_id)
        forth = entries[:1]
        while True:
            page = await sessions.entries("one", limit=3, after=forth[-1].entry_id)
            forth += page.entries
            if not page.has_after:
                break
        assert back == forth == entries

    async def test_empty_history(self, sessions: AgentSessions) -> None:
        """An empty session has an empty page."""
        await sessions.create("one")
        page = await sessions.entries("one", limit=5)
        assert (page.entries, page.total, page.has_before, page.has_after) == ((), 0, False, False)

    async def test_entry_elsewhere(self, sessions: AgentSessions) -> None:
        """`before` and `after` must be in the current history: not nowhere, not in a branch."""
        first = await saved(sessions, "a", "b")
        left = (await sessions.entries("one")).entries[-1].entry_id
        await sessions.branch("one", at=2, expected_revision=first.revision)
        await saved(sessions, "a", conversation_id="two")
        other = (await sessions.entries("two")).entries[0].entry_id
        for entry_id in (left, other, UNKNOWN, "", "\x00", "\ud800"):
            for method in (sessions.entries, sessions.history, sessions.transcript):
                with pytest.raises(EntryNotFound):
                    await method("one", before=entry_id)
                with pytest.raises(EntryNotFound):
                    await method("one", after=entry_id, limit=2)
                with pytest.raises(SessionNotFound):
                    await method("three", before=entry_id)

    @pytest.mark.parametrize("limit", [0, -1])
    async def test_limit_of_a_page(self, sessions: AgentSessions, limit: int) -> None:
        """A page of a history has at least one message."""
        await saved(sessions, "a")
        for method in (sessions.entries, sessions.history, sessions.transcript):
            with pytest.raises(InvalidInput):
                await method("one", limit=limit)

    async def test_line(self, store: Store, sessions: AgentSessions) -> None:
        """A store reads the entries up to any that a session reaches."""
        first = await saved(sessions, "a", "b")
        entries = (await sessions.entries("one")).entries
        await sessions.branch("one", at=1, expected_revision=first.revision)
        for where, entry in enumerate(entries):
            line = await store.line(None, self.agent_id, entry.entry_id)
            assert line is not None
            assert tuple(line) == entries[: where + 1]
            line = await store.line(None, self.agent_id, entry.entry_id, limit=2)
            assert line is not None
            assert tuple(line) == entries[max(0, where - 1) : where + 1]
        assert await store.line(None, "other", entries[0].entry_id) is None
        await sessions.delete("one")
        assert await store.line(None, self.agent_id, entries[0].entry_id) is None
        assert await store.get(SessionKey(None, self.agent_id, "one")) is None
