"""Removing sessions: deleted ones are out of reach, purged ones are gone."""

from __future__ import annotations

import pytest

from ...errors import RevisionConflict, SessionNotFound
from ...sessions import AgentSessions
from ...store import SessionKey, Store
from ..base import StoreRules
from ..samples import UNKNOWN, branches_of, entries_of, ids, prompt, saved, turn, turns


class RemovalRules(StoreRules):
    """`delete`, `purge` and `delete_all`, and what others keep of what they share."""

    @pytest.mark.parametrize("permanent", [False, True])
    async def test_out_of_reach(self, sessions: AgentSessions, permanent: bool) -> None:
        """A session that was removed is in no answer, and neither are its entries."""
        first = await saved(sessions, "a", "b")
        entries = ids(await entries_of(sessions))
        await sessions.branch("one", at=1, expected_revision=first.revision)
        await (sessions.purge("one") if permanent else sessions.delete("one"))
        assert not await sessions.exists("one")
        assert await sessions.latest() is None
        assert list(await sessions.list()) == []
        assert await sessions.store.agents(None) == []
        for method in (sessions.info, sessions.entries, sessions.transcript, sessions.export):
            with pytest.raises(SessionNotFound):
                await method("one")
        for entry_id in entries:
            with pytest.raises(LookupError):
                await sessions.read_entry(entry_id)

    @pytest.mark.parametrize("permanent", [False, True])
    async def test_forks_stay(self, sessions: AgentSessions, permanent: bool) -> None:
        """Forks keep what they share, whatever is removed around them."""
        first = await saved(sessions, "a", "b", "c")
        fork = await sessions.fork("one", at=3, new_conversation_id="two")
        fork.messages += turn("d")
        await sessions.save(fork)
        await sessions.fork("two", at=4, new_conversation_id="three")
        await sessions.fork("one", at=6, new_conversation_id="four")
        await sessions.branch("one", at=1, expected_revision=first.revision)
        wanted = {
            "two": [*turns("a", "b")[:3], *turn("d")],
            "three": [*turns("a", "b")[:3], prompt("d")],
            "four": turns("a", "b", "c"),
        }
        for name in ("one", "two", "four", "three"):
            for other, messages in wanted.items():
                assert await sessions.history(other) == messages
            await (sessions.purge(name) if permanent else sessions.delete(name))
            wanted.pop(name, None)
        assert list(await sessions.list()) == []

    async def test_entries_that_are_gone(self, sessions: AgentSessions) -> None:
        """What only a purged session had is gone; what a fork's branch has is not."""
        await saved(sessions, "a", "b")
        entries = ids(await entries_of(sessions))
        fork = await sessions.fork("one", at=3, new_conversation_id="two")
        await sessions.branch("two", at=1, expected_revision=fork.revision)
        await sessions.purge("one")
        assert await branches_of(sessions, "two") == [turns("a", "b")[:3]]
        for entry_id in entries[:3]:
            await sessions.read_entry(entry_id)
        with pytest.raises(LookupError):
            await sessions.read_entry(entries[3])

    async def test_purge_of_a_fork(self, sessions: AgentSessions) -> None:
        """The original is as it was after its forks were purged, and goes on."""
        conversation = await saved(sessions, "a", "b")
        before = await entries_of(sessions)
        for at in range(5):
            fork = await sessions.fork("one", at=at, new_conversation_id="two")
            fork.messages += turn("c")
            await sessions.save(fork)
            await sessions.purge("two")
            assert await entries_of(sessions) == before
        conversation.messages += turn("d")
        await sessions.save(conversation)
        assert await sessions.history("one") == turns("a", "b", "d")

    @pytest.mark.parametrize("permanent", [False, True])
    async def test_id_is_free(self, sessions: AgentSessions, permanent: bool) -> None:
        """The id can be used again, for a session that has nothing of the old one."""
        await saved(sessions, "a")
        old = await sessions.info("one")
        await (sessions.purge("one") if permanent else sessions.delete("one"))
        info = await sessions.create("one")
        assert (info.message_count, info.title, info.branches) == (0, None, ())
        assert info.revision != old.revision
        assert info.created >= old.created
        await sessions.append("one", turn("b"))
        assert await sessions.history("one") == turn("b")
        await (sessions.purge("one") if permanent else sessions.delete("one"))
        assert not await sessions.exists("one")

    async def test_purge_of_nothing(self, sessions: AgentSessions) -> None:
        """Purging what isn't there is an error; what is in the trash is there once."""
        with pytest.raises(SessionNotFound):
            await sessions.purge("one")
        await saved(sessions, "a", conversation_id="one")
        await sessions.delete("one")
        await sessions.purge("one")
        with pytest.raises(SessionNotFound):
            await sessions.purge("one")

    @pytest.mark.parametrize("permanent", [False, True])
    async def test_delete_all(self, store: Store, sessions: AgentSessions, permanent: bool) -> None:
        """All sessions of one agent and owner go, and no one else's; it tells how many."""
        others = [store.sessions("other"), store.sessions(self.agent_id, owner="alice")]
        for one in (sessions, *others):
            for number in range(3):
                await saved(one, "a", conversation_id=f"s{number}")
        await sessions.fork("s0")
        assert await sessions.delete_all(permanent=permanent) == 4
        assert list(await sessions.list()) == []
        assert await sessions.delete_all(permanent=permanent) == 0
        for one in others:
            assert len(await one.list()) == 3
            assert await one.history("s1") == turn("a")
        assert await others[1].delete_all(permanent=permanent) == 3
        assert await others[1].latest() is None

    async def test_delete_all_of_many(self, sessions: AgentSessions) -> None:
        """Many sessions are deleted as well as few."""
        for number in range(120):
            await sessions.create(f"s{number}")
        assert await sessions.delete_all() == 120
        assert await sessions.latest() is None

    @pytest.mark.parametrize("permanent", [False, True])
    async def test_store_delete(
        self, store: Store, sessions: AgentSessions, permanent: bool
    ) -> None:
        """The store deletes if the revision is as expected, and tells whether there was one."""
        first = await saved(sessions, "a")
        key = SessionKey(None, self.agent_id, "one")
        for revision in (UNKNOWN, None):
            with pytest.raises(RevisionConflict):
                await store.delete(key, expected=revision, permanent=permanent)
        assert await sessions.exists("one")
        assert await store.delete(key, expected=first.revision, permanent=permanent)
        assert not await store.delete(key, permanent=permanent)
        with pytest.raises(RevisionConflict):
            await store.delete(key, expected=first.revision, permanent=permanent)
