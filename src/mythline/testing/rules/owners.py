"""Owners: two can hold the same id and never learn of each other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
)
from pydantic_ai.exceptions import UserError

from ...errors import EntryNotFound, MythlineError, SessionNotFound
from ...sessions import AgentSessions
from ...store import SessionKey, Store
from ..base import OpenStore, StoreRules
from ..samples import conflict, entries_of, ids, prompt, refused, saved, turn, turns

OWNERS = ("alice", "bob", None)
ODD_OWNERS = (
    *("a/b", "..", ".", "%61", "@", "A", "a", " ", "a ", "ä", "a\u0308", "\x00", "\n", "*", "_"),
    *("None", "null", "C:\\", "🦉", "x" * 256, "ü" * 256),
)


class OwnerRules(StoreRules):
    """An owner's sessions are theirs alone, by every method."""

    @pytest.fixture
    async def all_owners(self, store: Store) -> AsyncGenerator[dict[str | None, AgentSessions]]:
        """The sessions of two owners and of none, each with one of the same id."""
        found = {owner: store.sessions(self.agent_id, owner=owner) for owner in OWNERS}
        for owner, sessions in found.items():
            first = await saved(sessions, f"of {owner}", "more", conversation_id="one")
            await sessions.branch("one", at=2, expected_revision=first.revision)
        before = [await self._all_of(sessions) for sessions in found.values()]
        yield found
        after = [await self._all_of(sessions) for sessions in found.values()]
        assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1

    @staticmethod
    async def _all_of(sessions: AgentSessions) -> Any:
        listed = list(await sessions.list())
        return listed, [await sessions.entries(info.session_id) for info in listed]

    async def test_each_has_their_own(self, all_owners: dict[str | None, AgentSessions]) -> None:
        """The same id is another session for each owner."""
        for owner, sessions in all_owners.items():
            assert await sessions.history("one") == turn(f"of {owner}")
            assert (await sessions.transcript("one"))[0].content == f"of {owner}"
            info = await sessions.info("one")
            assert (info.owner, info.title) == (owner, f"of {owner}")
            assert list(await sessions.list()) == [await sessions.latest()]
            (record,) = await sessions.list_conversations()
            assert record.scope == owner
            conversation = await sessions.load("one")
            assert conversation is not None
            assert conversation.messages == turn(f"of {owner}")

    @pytest.mark.parametrize("changed", OWNERS)
    async def test_changes_are_their_own(
        self, all_owners: dict[str | None, AgentSessions], changed: str | None
    ) -> None:
        """Whatever one owner does with the id, the others' sessions are as they were."""
        sessions = all_owners[changed]
        await sessions.append("one", turn("b"))
        await sessions.save_history("one", turn("instead"))
        await sessions.import_(b"[]", session_id="one", on_conflict="replace")
        await sessions.fork("one")
        await sessions.delete("one")
        await saved(sessions, "again")
        await sessions.purge("one")
        await saved(sessions, "again")
        await sessions.delete_all(permanent=True)
        assert await sessions.latest() is None

    @pytest.mark.parametrize("asking", OWNERS)
    async def test_ids_of_others(
        self, all_owners: dict[str | None, AgentSessions], asking: str | None
    ) -> None:
        """A session that only another owner has is one that doesn't exist."""
        others = [sessions for owner, sessions in all_owners.items() if owner != asking]
        for number, other in enumerate(others):
            await saved(other, "secret", conversation_id=f"theirs-{number}")
        sessions = all_owners[asking]
        for name in ("theirs-0", "theirs-1"):
            assert not await sessions.exists(name)
            assert await sessions.load(name) is None
            assert await sessions.load_entries(name) is None
            assert await sessions.read_record(name) is None
            for method in (sessions.info, sessions.entries, sessions.transcript, sessions.purge):
                with pytest.raises(SessionNotFound):
                    await method(name)
            for method in (sessions.history, sessions.export):
                with pytest.raises(SessionNotFound):
                    await method(name)
            with pytest.raises(SessionNotFound):
                await sessions.append(name, turn("a"))
            with refused():
                await sessions.fork(name)
            with refused():
                await sessions.branch(name, at=0, expected_revision=None)
            await sessions.delete(name)
        assert [info.session_id for info in await sessions.list()] == ["one"]
        for number, other in enumerate(others):
            assert await other.history(f"theirs-{number}") == turn("secret")
            await other.purge(f"theirs-{number}")

    @pytest.mark.parametrize("asking", OWNERS)
    async def test_entries_of_others(
        self, all_owners: dict[str | None, AgentSessions], asking: str | None
    ) -> None:
        """An entry id of another owner's is one that doesn't exist, wherever it is put."""
        sessions = all_owners[asking]
        record = await sessions.read_record("one")
        assert record is not None
        for owner, other in all_owners.items():
            if owner == asking:
                continue
            theirs = await other.read_record("one")
            assert theirs is not None
            for entry_id in (*ids(await entries_of(other)), *theirs.branches):
                with pytest.raises(LookupError):
                    await sessions.read_entry(entry_id)
                with pytest.raises(LookupError):
                    await sessions.read_history(entry_id)
                with pytest.raises(EntryNotFound):
                    await sessions.entries("one", before=entry_id)
                with pytest.raises(EntryNotFound):
                    await sessions.transcript("one", after=entry_id)
                with refused():
                    await sessions.fork("one", from_entry=entry_id)
                with refused():
                    await sessions.branch(
                        "one", from_entry=entry_id, expected_revision=record.revision
                    )
                await self._no_record_of(sessions, entry_id)
        assert await sessions.read_record("one") == record

    @staticmethod
    async def _no_record_of(sessions: AgentSessions, entry_id: str) -> None:
        """No record can be made to point at an entry: as head, branch or parent."""
        new = ConversationRecord(conversation_id="new", head_id=entry_id)
        with conflict("new"):
            await sessions.write_record(new, expected_revision=None)
        branch = ConversationRecord(conversation_id="new", head_id=None, branches=[entry_id])
        with pytest.raises((ConversationConflict, MythlineError)):
            await sessions.write_record(branch, expected_revision=None)
        entry = ConversationEntry(parent_id=entry_id, message=prompt("mine"))
        child = ConversationRecord(conversation_id="new", head_id=entry.id)
        with pytest.raises((ConversationConflict, MythlineError)):
            await sessions.write_record(child, new_entries=[entry], expected_revision=None)
        assert not await sessions.exists("new")

    @pytest.mark.parametrize("asking", ["alice", "bob"])
    async def test_scopes_of_others(
        self, all_owners: dict[str | None, AgentSessions], asking: str
    ) -> None:
        """Who has an owner can't name another one as `scope`."""
        sessions = all_owners[asking]
        for scope in {"alice", "bob", "carol"} - {asking}:
            assert await sessions.load("one", scope=scope) is None
            assert await sessions.load_entries("one", scope=scope) is None
            assert await sessions.list_conversations(scope=scope) == []
            with refused():
                await sessions.fork("one", source_scope=scope)
            with pytest.raises((UserError, MythlineError)):
                await sessions.fork("one", scope=scope)
            with pytest.raises((UserError, MythlineError)):
                await sessions.save(Conversation(conversation_id="new"), scope=scope)
            record = ConversationRecord(conversation_id="new", head_id=None, scope=scope)
            with pytest.raises((UserError, MythlineError)):
                await sessions.write_record(record, expected_revision=None)
            await sessions.delete("one", scope=scope)

    async def test_own_scope(self, all_owners: dict[str | None, AgentSessions]) -> None:
        """An owner who names themself as `scope` means the same sessions."""
        sessions = all_owners["alice"]
        conversation = await sessions.load("one", scope="alice")
        assert conversation == await sessions.load("one")
        assert conversation is not None
        conversation.messages += turn("b")
        assert len(await sessions.save(conversation, scope="alice")) == 2
        assert len(await sessions.list_conversations(scope="alice")) == 1

    async def test_scope_is_an_owner(self, store: Store, sessions: AgentSessions) -> None:
        """What was saved with a scope is the session of that owner, for them to find."""
        conversation = await saved(sessions, "a", scope="alice")
        theirs = store.sessions(self.agent_id, owner="alice")
        assert await theirs.load("one") == conversation
        assert [info.session_id for info in await theirs.list()] == ["one"]
        assert list(await sessions.list()) == []
        assert not await store.sessions(self.agent_id, owner="bob").exists("one")
        await theirs.append("one", turn("b"))
        again = await sessions.load("one", scope="alice")
        assert again is not None
        assert again.messages == turns("a", "b")

    async def test_scope_of_none(self, all_owners: dict[str | None, AgentSessions]) -> None:
        """Who has no owner reaches exactly the sessions of the owner they name."""
        sessions = all_owners[None]
        for owner in ("alice", "bob"):
            conversation = await sessions.load("one", scope=owner)
            assert conversation is not None
            assert conversation.messages == turn(f"of {owner}")
            entries = await sessions.load_entries("one", scope=owner)
            assert entries == await all_owners[owner].load_entries("one")
        assert await sessions.load("one", scope="carol") is None
        own = await sessions.load("one")
        assert own is not None
        assert own.messages == turn("of None")

    async def test_agents_of_an_owner(
        self, store: Store, all_owners: dict[str | None, AgentSessions]
    ) -> None:
        """Each owner sees the agents that they have sessions of."""
        bob = store.sessions("only-bobs", owner="bob")
        await bob.create()
        for owner, wanted in (
            ("alice", [self.agent_id]),
            ("bob", [self.agent_id, "only-bobs"]),
            (None, [self.agent_id]),
            ("carol", []),
        ):
            assert [info.agent_id for info in await store.agents(owner)] == sorted(wanted)
            assert {info.session_count for info in await store.agents(owner)} <= {1}
        await bob.delete_all(permanent=True)

    async def test_keys_are_apart(self, all_owners: dict[str | None, AgentSessions]) -> None:
        """An Idempotency-Key is of one owner's session."""
        before = {owner: await sessions.info("one") for owner, sessions in all_owners.items()}
        for owner, sessions in all_owners.items():
            await sessions.create("new")
            await sessions.append("new", turn(str(owner)), idempotency_key="k")
        for owner, sessions in all_owners.items():
            assert await sessions.history("new") == turn(str(owner))
            await sessions.purge("new")
            assert await sessions.info("one") == before[owner]

    async def test_any_text_is_an_owner(self, store: Store, open_store: OpenStore) -> None:
        """Any text is an owner, and no two texts are the same one."""
        for number, owner in enumerate(ODD_OWNERS):
            sessions = store.sessions(self.agent_id, owner=owner)
            await saved(sessions, f"of {number}")
        async with open_store() as again:
            for number, owner in enumerate(ODD_OWNERS):
                sessions = again.sessions(self.agent_id, owner=owner)
                assert await sessions.history("one") == turn(f"of {number}")
                assert (await sessions.info("one")).owner == owner
                assert len(await sessions.list()) == 1
                await again.settle(SessionKey(owner, self.agent_id, "one"))
        assert await store.agents(None) == []
