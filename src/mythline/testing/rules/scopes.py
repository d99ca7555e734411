"""Scopes: keeping a conversation to its owner."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.exceptions import UserError

from ..base import Rules
from ..samples import (
    agent,
    conflict,
    entries_of,
    loaded,
    record_of,
    refused,
    saved,
    state_of,
    turn,
    turns,
)

ODD = ("alice@example.org", "a/b", "..", "%41", "Ünïcødé ☃", "user:1 *?", "x" * 256)


class ScopeRules(Rules):
    """A conversation saved with another scope is treated as one the store doesn't have."""

    async def test_saved_with_a_scope(self, conversations: ConversationStore) -> None:
        """The scope is kept, and reaches the conversation; so does no scope at all."""
        conversation = await saved(conversations, "a", scope="alice")
        assert (await record_of(conversations)).scope == "alice"
        assert await conversations.load("one", scope="alice") == conversation
        assert await conversations.load("one") == conversation
        entries = await conversations.load_entries("one", scope="alice")
        assert entries == await conversations.load_entries("one")

    async def test_saved_without(self, conversations: ConversationStore) -> None:
        """A conversation saved without a scope has none, and no scope reaches it."""
        await saved(conversations, "a")
        assert (await record_of(conversations)).scope is None
        assert await conversations.load("one", scope="alice") is None

    async def test_another_scope(self, conversations: ConversationStore) -> None:
        """With another scope a conversation neither loads, nor lists, nor can it be changed."""
        conversation = await saved(conversations, "a", "b", scope="alice")
        before = await state_of(conversations)
        assert await conversations.load("one", scope="bob") is None
        assert await conversations.load_entries("one", scope="bob") is None
        assert await conversations.list_conversations(scope="bob") == []
        with refused():
            await conversations.branch(
                "one", at=1, expected_revision=conversation.revision, scope="bob"
            )
        with refused():
            await conversations.branch(
                "one",
                from_entry=before[1][0].id,
                expected_revision=conversation.revision,
                scope="bob",
            )
        with refused():
            await conversations.fork("one", source_scope="bob")
        await conversations.delete("one", scope="bob")
        conversation.messages += turn("c")
        with conflict():
            await conversations.save(conversation, scope="bob")
        assert await state_of(conversations) == before
        assert len(await conversations.list_conversations()) == 1

    async def test_scope_is_kept(self, conversations: ConversationStore) -> None:
        """A save without a scope keeps the one it was saved with before."""
        conversation = await saved(conversations, "a", scope="alice")
        conversation.messages += turn("b")
        await conversations.save(conversation)
        assert (await record_of(conversations)).scope == "alice"
        again = await conversations.load("one", scope="alice")
        assert again is not None
        assert again.messages == turns("a", "b")

    async def test_conflicts_without_the_scope(self, conversations: ConversationStore) -> None:
        """A save that leaves the scope out conflicts as any: when it was saved, or deleted."""
        mine = await saved(conversations, "a", scope="alice")
        theirs = await loaded(conversations)
        theirs.messages += turn("theirs")
        await conversations.save(theirs)
        mine.messages += turn("mine")
        before = await state_of(conversations)
        with conflict():
            await conversations.save(mine)
        assert await state_of(conversations) == before
        await conversations.delete("one")
        with conflict():
            await conversations.save(theirs)
        await saved(conversations, "b")
        before = await state_of(conversations)
        with conflict():
            await conversations.save(mine)
        assert await state_of(conversations) == before

    async def test_same_scope_again(self, conversations: ConversationStore) -> None:
        """A save with the scope it was saved with before goes on."""
        conversation = await saved(conversations, "a", scope="alice")
        conversation.messages += turn("b")
        assert len(await conversations.save(conversation, scope="alice")) == 2
        result = await agent().run("c", conversation=conversation)
        assert len(await conversations.save(result, scope="alice")) == 2
        assert len(await entries_of(conversations)) == 6

    async def test_scope_afterwards(self, conversations: ConversationStore) -> None:
        """A conversation saved without a scope can't be given one by a save."""
        conversation = await saved(conversations, "a")
        before = await state_of(conversations)
        with conflict():
            await conversations.save(conversation, scope="alice")
        assert await state_of(conversations) == before

    async def test_id_is_taken(self, conversations: ConversationStore) -> None:
        """An id is one conversation's, whatever its scope: another can't be made under it."""
        await saved(conversations, "a", scope="alice")
        before = await state_of(conversations)
        for scope in ("bob", "alice", None):
            with conflict():
                await saved(conversations, "b", scope=scope)
        assert await state_of(conversations) == before
        await saved(conversations, "a", conversation_id="two")
        with conflict("two"):
            await saved(conversations, "b", conversation_id="two", scope="alice")

    async def test_free_after_a_delete(self, conversations: ConversationStore) -> None:
        """A deleted conversation's id can be used again, with another scope."""
        await saved(conversations, "a", scope="alice")
        await conversations.delete("one", scope="alice")
        await saved(conversations, "b", scope="bob")
        assert await conversations.load("one", scope="alice") is None
        again = await conversations.load("one", scope="bob")
        assert again is not None
        assert again.messages == turn("b")

    async def test_list(self, conversations: ConversationStore) -> None:
        """Lists are of one scope, or of all."""
        for number, scope in enumerate(["alice", None, "bob", "alice"]):
            await saved(conversations, conversation_id=f"c{number}", scope=scope)

        async def listed(scope: str | None, limit: int | None = None) -> list[str]:
            found = await conversations.list_conversations(scope=scope, limit=limit)
            return [record.conversation_id for record in found]

        assert await listed("alice") == ["c3", "c0"]
        assert await listed("alice", 1) == ["c3"]
        assert await listed("bob") == ["c2"]
        assert await listed("carol") == []
        assert await listed(None) == ["c3", "c2", "c1", "c0"]
        assert await listed(None, 2) == ["c3", "c2"]

    async def test_branch_with_its_scope(self, conversations: ConversationStore) -> None:
        """A branch with the conversation's scope, or with none, keeps the scope."""
        first = await saved(conversations, "a", "b", scope="alice")
        second = await conversations.branch(
            "one", at=2, expected_revision=first.revision, scope="alice"
        )
        await conversations.branch("one", at=1, expected_revision=second.revision)
        record = await record_of(conversations)
        assert record.scope == "alice"
        assert len(record.branches) == 2

    async def test_delete_with_its_scope(self, conversations: ConversationStore) -> None:
        """A delete with the conversation's scope, or with none, deletes it."""
        await saved(conversations, "a", scope="alice")
        await conversations.delete("one", scope="alice")
        assert await conversations.load("one") is None
        await saved(conversations, "a", scope="alice")
        await conversations.delete("one")
        assert await conversations.load("one", scope="alice") is None

    async def test_fork_keeps_the_scope(self, conversations: ConversationStore) -> None:
        """A fork is in the scope of its original, unless another is given."""
        await saved(conversations, "a", scope="alice")
        await conversations.fork("one", new_conversation_id="two")
        assert (await record_of(conversations, "two")).scope == "alice"
        await conversations.fork("one", new_conversation_id="three", source_scope="alice")
        assert (await record_of(conversations, "three")).scope == "alice"

    async def test_fork_to_another_scope(self, conversations: ConversationStore) -> None:
        """A fork can be handed to another scope, with the history it shares."""
        await saved(conversations, "a", scope="alice")
        fork = await conversations.fork(
            "one", new_conversation_id="two", scope="bob", source_scope="alice"
        )
        assert await conversations.load("two", scope="bob") == fork
        assert await conversations.load("two", scope="alice") is None
        assert await conversations.load("one", scope="bob") is None
        entries = await entries_of(conversations)
        assert await conversations.load_entries("two", scope="bob") == entries
        fork.messages += turn("b")
        assert len(await conversations.save(fork, scope="bob")) == 2
        await conversations.delete("one", scope="alice")
        assert (await loaded(conversations, "two")).messages == turns("a", "b")

    async def test_fork_of_no_scope_to_one(self, conversations: ConversationStore) -> None:
        """A conversation without a scope can be forked into one."""
        await saved(conversations, "a")
        fork = await conversations.fork("one", new_conversation_id="two", scope="bob")
        assert await conversations.load("two", scope="bob") == fork

    async def test_fork_onto_an_id_of_another_scope(self, conversations: ConversationStore) -> None:
        """A fork's id must be free, whatever the scope of the one that has it, and the fork's."""
        await saved(conversations, "a", scope="alice")
        await saved(conversations, "b", conversation_id="two", scope="bob")
        await saved(conversations, "c", conversation_id="three")
        for name in ("two", "three"):
            before = await state_of(conversations, name)
            for scope in (None, "alice", "bob"):
                with conflict(name):
                    await conversations.fork("one", new_conversation_id=name, scope=scope)
            assert await state_of(conversations, name) == before
        assert len(await conversations.list_conversations()) == 3

    async def test_record_under_an_id_of_another_scope(
        self, conversations: ConversationStore
    ) -> None:
        """A new record conflicts with one of its id, whatever the scope of either."""
        for name, scope in (("one", "alice"), ("two", None)):
            await saved(conversations, "a", conversation_id=name, scope=scope)
            before = await state_of(conversations, name)
            for other in (None, "alice", "bob"):
                record = ConversationRecord(conversation_id=name, head_id=None, scope=other)
                with conflict(name):
                    await conversations.write_record(record, expected_revision=None)
            assert await state_of(conversations, name) == before

    async def test_windows_and_scopes(self, conversations: ConversationStore) -> None:
        """A window is loaded by the same rules."""
        await saved(conversations, "a", "b", scope="alice")
        window = await conversations.load("one", limit=1, scope="alice")
        assert window is not None
        assert window.messages == turns("a", "b")[-1:]
        assert await conversations.load("one", limit=1, scope="bob") is None
        assert await conversations.load_entries("one", limit=1, scope="bob") is None

    async def test_created_meanwhile_in_another_scope(
        self, conversations: ConversationStore
    ) -> None:
        """A first save conflicts with one that was made meanwhile for someone else."""
        mine = Conversation(messages=turn("mine"), conversation_id="one")
        assert await conversations.load("one", scope="alice") is None
        await saved(conversations, "theirs", scope="bob")
        with conflict():
            await conversations.save(mine, scope="alice")

    async def test_race_to_create_in_two_scopes(self, conversations: ConversationStore) -> None:
        """Of first saves under one id with several scopes, exactly one wins."""
        scopes = ["alice", "bob", None, "carol"]
        for name in ("a", "b", "c", "d", "e"):
            outcomes = await asyncio.gather(
                *(saved(conversations, f"{s}", conversation_id=name, scope=s) for s in scopes),
                return_exceptions=True,
            )
            won = [outcome for outcome in outcomes if isinstance(outcome, Conversation)]
            assert len(won) == 1
            assert sum(isinstance(outcome, ConversationConflict) for outcome in outcomes) == 3
            assert await loaded(conversations, name) == won[0]
            assert won[0].messages == turn(f"{(await record_of(conversations, name)).scope}")
        assert len(await conversations.list_conversations()) == 5

    async def test_empty_scope(self, conversations: ConversationStore) -> None:
        """The empty text is not the same as no scope: it reaches nothing, or is refused."""
        await saved(conversations, "a")
        await saved(conversations, "a", conversation_id="two", scope="alice")
        with suppress(UserError, ValueError):
            assert await conversations.list_conversations(scope="") == []
        for name in ("one", "two"):
            with suppress(UserError, ValueError):
                assert await conversations.load(name, scope="") is None
            with suppress(UserError, ValueError):
                assert await conversations.load_entries(name, scope="") is None
            with suppress(UserError, ValueError):
                await conversations.delete(name, scope="")
        assert len(await conversations.list_conversations()) == 2

    @pytest.mark.parametrize("scope", ODD)
    async def test_any_text_is_a_scope(self, conversations: ConversationStore, scope: str) -> None:
        """A scope is any text, and is found again by exactly this text."""
        conversation = await saved(conversations, "a", scope=scope)
        assert (await record_of(conversations)).scope == scope
        assert await conversations.load("one", scope=scope) == conversation
        assert [r.scope for r in await conversations.list_conversations(scope=scope)] == [scope]
        assert await conversations.load("one", scope=scope[:-1] + "!") is None
