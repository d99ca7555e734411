"""Branches by the entry they end with, and forks that load nothing."""

from __future__ import annotations

import pytest

from ...errors import EntryNotFound, RevisionConflict, SessionExists, SessionNotFound
from ...sessions import AgentSessions
from ...store import Store
from ..base import StoreRules
from ..samples import UNKNOWN, entries_of, ids, saved, turn, turns


class SwitchingRules(StoreRules):
    """`branches`, `branch_at` and `fork_at`."""

    async def test_back_and_forth(self, sessions: AgentSessions) -> None:
        """What a branch leaves is listed, and can be switched back to; nothing is lost."""
        await saved(sessions, "a", "b", "c")
        entries = ids(await entries_of(sessions))
        assert await sessions.branches("one") == []
        await sessions.branch_at("one", entries[1])
        assert await sessions.history("one") == turn("a")
        await sessions.append("one", turn("else"))
        other = ids(await entries_of(sessions))
        (branch,) = await sessions.branches("one")
        assert branch.entry_id == entries[-1]
        assert branch.parts_at == entries[1]
        assert (branch.message_count, branch.own_count) == (6, 4)
        assert branch.preview
        info = await sessions.branch_at("one", entries[-1])
        assert info == await sessions.info("one")
        assert info.head_id == entries[-1]
        assert await sessions.history("one") == turns("a", "b", "c")
        (branch,) = await sessions.branches("one")
        assert branch.entry_id == other[-1]
        assert branch.parts_at == entries[1]
        assert (branch.message_count, branch.own_count) == (4, 2)

    async def test_from_the_start(self, sessions: AgentSessions) -> None:
        """Branches that share nothing with the current history part before its first entry."""
        await saved(sessions, "a")
        await sessions.save_history("one", turn("b"))
        (branch,) = await sessions.branches("one")
        assert branch.parts_at is None
        assert (branch.message_count, branch.own_count) == (2, 2)

    async def test_middle_of_a_branch(self, sessions: AgentSessions) -> None:
        """A branch can be gone on from anywhere; its end stays within reach."""
        await saved(sessions, "a", "b", "c")
        entries = ids(await entries_of(sessions))
        await sessions.branch_at("one", entries[0])
        await sessions.branch_at("one", entries[3])
        assert await sessions.history("one") == turns("a", "b")
        tips = [branch.entry_id for branch in await sessions.branches("one")]
        assert entries[-1] in tips
        assert entries[3] not in tips

    async def test_where_it_is(self, sessions: AgentSessions) -> None:
        """A branch at the newest entry changes nothing, not even the revision."""
        await saved(sessions, "a", "b")
        before = await sessions.info("one")
        assert before.head_id is not None
        assert await sessions.branch_at("one", before.head_id) == before

    async def test_switches_refused(self, sessions: AgentSessions) -> None:
        """An entry that the session doesn't reach, or another revision, is refused."""
        await saved(sessions, "a")
        entries = ids(await entries_of(sessions))
        await saved(sessions, "b", conversation_id="two")
        strange = ids(await entries_of(sessions, "two"))
        for entry_id in (UNKNOWN, "", "\x00", "\ud800", strange[0]):
            with pytest.raises(EntryNotFound):
                await sessions.branch_at("one", entry_id)
            with pytest.raises(EntryNotFound):
                await sessions.fork_at("one", entry_id)
        with pytest.raises(RevisionConflict):
            await sessions.branch_at("one", entries[0], expected_revision="another")
        for call in (sessions.branches, sessions.fork_at):
            with pytest.raises(SessionNotFound):
                await call("three")
        with pytest.raises(SessionNotFound):
            await sessions.branch_at("three", entries[0])
        assert await sessions.branches("one") == []

    async def test_forks(self, sessions: AgentSessions) -> None:
        """A fork ends with its entry, says where it comes from, and shares what came before."""
        await saved(sessions, "a", "b")
        entries = ids(await entries_of(sessions))
        fork = await sessions.fork_at("one", entries[1], new_session_id="two", title="Two")
        assert (fork.forked_from, fork.forked_at) == ("one", entries[1])
        assert (fork.title, fork.message_count) == ("Two", 2)
        assert ids(await entries_of(sessions, "two")) == entries[:2]
        whole = await sessions.fork_at("one")
        assert whole.session_id != "one"
        assert await sessions.history(whole.session_id) == turns("a", "b")
        await sessions.append("two", turn("c"))
        assert await sessions.history("one") == turns("a", "b")
        assert await sessions.history("two") == turns("a", "c")

    async def test_fork_of_a_branch(self, sessions: AgentSessions) -> None:
        """What a branch left can be forked; an empty session as well."""
        await saved(sessions, "a", "b")
        entries = ids(await entries_of(sessions))
        await sessions.branch_at("one", entries[0])
        fork = await sessions.fork_at("one", entries[-1])
        assert await sessions.history(fork.session_id) == turns("a", "b")
        assert await sessions.branches(fork.session_id) == []
        await sessions.create("empty")
        assert (await sessions.fork_at("empty")).message_count == 0

    async def test_fork_to_a_taken_id(self, sessions: AgentSessions, store: Store) -> None:
        """An id that is taken is refused; another owner's is not taken."""
        await saved(sessions, "a")
        await saved(sessions, "b", conversation_id="two")
        await saved(store.sessions(self.agent_id, owner="alice"), "c", conversation_id="three")
        with pytest.raises(SessionExists):
            await sessions.fork_at("one", new_session_id="two")
        await sessions.fork_at("one", new_session_id="three")
        assert await sessions.history("two") == turn("b")
