"""The trash: what is deleted comes back with all it had, until it is purged."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ...errors import InvalidId, SessionExists, SessionNotFound
from ...models import to_micros
from ...sessions import AgentSessions
from ...store import Store
from ..base import StoreRules
from ..samples import deferred, entries_of, ids, saved, state_of, turn, turns, usage


class TrashRules(StoreRules):
    """`trash`, `restore`, `purge` and `empty_trash`."""

    async def test_all_comes_back(self, sessions: AgentSessions) -> None:
        """A restored session is what it was: history, entry ids, branches, description."""
        first = await saved(sessions, "a", "b", usage=usage(), deferred_tool_requests=deferred())
        await sessions.branch("one", at=2, expected_revision=first.revision)
        await sessions.append("one", turn("c"))
        await sessions.update("one", title="T", tags=["x"], pinned=True, metadata={"m": 1})
        before = await sessions.info("one")
        entries = ids(await entries_of(sessions))
        branches = await sessions.branches("one")
        state = await state_of(sessions)
        await sessions.delete("one")
        restored = await sessions.restore("one")
        assert restored == await sessions.info("one") == before
        assert ids(await entries_of(sessions)) == entries
        assert await sessions.branches("one") == branches
        assert await state_of(sessions) == state
        assert [info.session_id for info in await sessions.list(tag="x")] == ["one"]
        assert list(await sessions.trash()) == []
        await sessions.append("one", turn("d"))
        assert len(await sessions.history("one")) == before.message_count + 2

    async def test_what_the_trash_shows(self, sessions: AgentSessions) -> None:
        """The deleted ones, deleted last first, with when they are purged."""
        for name in ("a", "b", "c"):
            await saved(sessions, "hello", conversation_id=name)
        for name in ("b", "c", "a"):
            await sessions.delete(name)
        await sessions.create("d")
        for limit in (1, 2, 1000):
            found: list[str] = []
            cursor = None
            while True:
                page = await sessions.trash(limit=limit, cursor=cursor)
                found += [info.session_id for info in page]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert found == ["a", "c", "b"]
        (first, *_) = await sessions.trash()
        assert first.title == "hello"
        assert first.deleted is not None
        assert first.deleted >= first.last_modified
        days = sessions.store.trash_days
        assert days
        assert first.purges == first.deleted + timedelta(days=days)
        (living,) = await sessions.list()
        assert living.deleted is None
        assert living.purges is None

    async def test_the_last_deleted(self, sessions: AgentSessions) -> None:
        """Of several with one id, the last deleted is restored, then the one before."""
        for text in ("a", "b", "c"):
            await saved(sessions, text)
            await sessions.delete("one")
        await sessions.restore("one")
        assert await sessions.history("one") == turn("c")
        await sessions.restore("one", new_session_id="two")
        assert await sessions.history("two") == turn("b")
        assert [info.session_id for info in await sessions.trash()] == ["one"]

    async def test_taken_again(self, sessions: AgentSessions) -> None:
        """Where the id is taken again, another is needed; nothing is lost by trying."""
        await saved(sessions, "old")
        await sessions.delete("one")
        await saved(sessions, "new")
        with pytest.raises(SessionExists):
            await sessions.restore("one")
        with pytest.raises(InvalidId):
            await sessions.restore("one", new_session_id="../two")
        restored = await sessions.restore("one", new_session_id="two")
        assert restored.session_id == "two"
        assert await sessions.history("one") == turn("new")
        assert await sessions.history("two") == turn("old")
        with pytest.raises(SessionNotFound):
            await sessions.restore("one")

    async def test_nothing_to_restore(self, sessions: AgentSessions, store: Store) -> None:
        """What was never deleted, or was purged, or is another owner's can't be restored."""
        await saved(sessions, "a")
        await saved(sessions, "b", conversation_id="two")
        await sessions.delete("two")
        await sessions.purge("two")
        alice = store.sessions(self.agent_id, owner="alice")
        await saved(alice, "hers", conversation_id="three")
        await alice.delete("three")
        for name in ("one", "two", "three", "never"):
            with pytest.raises(SessionNotFound):
                await sessions.restore(name)
        assert list(await sessions.trash()) == []
        assert [info.session_id for info in await alice.trash()] == ["three"]

    async def test_forks_of_the_deleted(self, sessions: AgentSessions) -> None:
        """A fork lives on, and what it shares is there for the restored one."""
        await saved(sessions, "a", "b")
        await sessions.fork_at("one", new_session_id="two")
        await sessions.delete("one")
        await sessions.purge("two")
        await sessions.restore("one")
        assert await sessions.history("one") == turns("a", "b")

    async def test_empty_trash(self, sessions: AgentSessions, store: Store) -> None:
        """All that is deleted is purged, of this agent and owner; or what was by a time."""
        others = [store.sessions("other"), store.sessions(self.agent_id, owner="alice")]
        for one in (sessions, *others):
            for name in ("a", "b", "c"):
                await saved(one, "x", conversation_id=name)
            for name in ("a", "b"):
                await one.delete(name)
        (last, _) = await sessions.trash()
        assert last.deleted is not None
        before = to_micros(last.deleted)
        purged = await store.empty_trash(None, self.agent_id, before=before)
        left = [info.session_id for info in await sessions.trash()]
        assert (purged, left) in [(1, ["b"]), (0, ["b", "a"])]  # in one microsecond
        assert await sessions.empty_trash() == 2 - purged
        assert await sessions.empty_trash() == 0
        assert list(await sessions.trash()) == []
        assert [info.session_id for info in await sessions.list()] == ["c"]
        for one in others:
            assert len(await one.trash()) == 2

    async def test_purged_with_the_trash(self, sessions: AgentSessions) -> None:
        """A purge takes the living one first, then all with its id in the trash."""
        for text in ("a", "b", "c"):
            await saved(sessions, text)
            if text != "c":
                await sessions.delete("one")
        await sessions.purge("one")
        assert len(await sessions.trash()) == 2
        await sessions.purge("one")
        assert len(await sessions.trash()) == 0

    async def test_agents_that_only_have_trash(self, sessions: AgentSessions, store: Store) -> None:
        """They are no agents with sessions, but are told of when the trash is asked for."""
        await saved(sessions, "a")
        await saved(store.sessions("other"), "b")
        await sessions.delete("one")
        await store.sessions(self.agent_id, owner="alice").create("hers")
        assert [info.agent_id for info in await store.agents(None)] == ["other"]
        found = await store.agents(None, trash=True)
        counts = {info.agent_id: info.session_count for info in found}
        assert counts == {self.agent_id: 0, "other": 1}
        await sessions.empty_trash()
        assert [info.agent_id for info in await store.agents(None, trash=True)] == ["other"]
