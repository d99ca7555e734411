"""Saving and loading: what comes back, and what a save changes."""

from __future__ import annotations

import asyncio
import dataclasses

from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationStore
from pydantic_ai.usage import RunUsage

from ..base import Rules
from ..samples import (
    agent,
    deferred,
    entries_of,
    ids,
    loaded,
    messages_in,
    prompt,
    record_of,
    saved,
    turn,
    turns,
    usage,
)


class SavingRules(Rules):
    """What a save stores and returns, and what a load gives back."""

    async def test_unknown_is_none(self, conversations: ConversationStore) -> None:
        """A conversation that the store doesn't have is `None`, however it is asked for."""
        assert await conversations.load("unknown") is None
        assert await conversations.load("unknown", limit=1) is None
        assert await conversations.load("unknown", scope="alice") is None
        assert await conversations.load_entries("unknown") is None
        assert await conversations.read_record("unknown") is None
        assert await conversations.list_conversations() == []

    async def test_loading_makes_nothing(self, conversations: ConversationStore) -> None:
        """Asking for a conversation does not make it."""
        await conversations.load("unknown")
        await conversations.delete("unknown")
        assert await conversations.list_conversations() == []

    async def test_first_save_returns_all_entries(self, conversations: ConversationStore) -> None:
        """A new conversation's entries come back in order, each after the one before."""
        messages = turns("a", "b")
        entries = await conversations.save(Conversation(messages=messages, conversation_id="one"))
        assert messages_in(entries) == messages
        assert [entry.parent_id for entry in entries] == [None, *ids(entries)[:-1]]
        assert len(set(ids(entries))) == 4
        assert [entry.kind for entry in entries] == ["message"] * 4

    async def test_load_gives_what_was_saved(self, conversations: ConversationStore) -> None:
        """Messages, usage and id come back, with the revision and where new messages start."""
        first = await saved(conversations, "a", "b", usage=usage())
        again = await loaded(conversations)
        assert again == first
        assert again.new_message_index == 4

    async def test_save_advances_the_conversation(self, conversations: ConversationStore) -> None:
        """A save sets the revision and the index of new messages on the object it was given."""
        conversation = Conversation(messages=turn("a"), conversation_id="one")
        assert conversation.revision is None
        await conversations.save(conversation)
        assert conversation.revision == (await record_of(conversations)).revision
        assert conversation.new_message_index == 2

    async def test_every_save_has_a_new_revision(self, conversations: ConversationStore) -> None:
        """The revision changes on every save, also on one that stores no message."""
        conversation = await saved(conversations, "a")
        seen = [conversation.revision]
        for extra in ([prompt("b")], [], []):
            conversation.messages += extra
            await conversations.save(conversation)
            seen.append(conversation.revision)
        assert None not in seen
        assert len(set(seen)) == 4

    async def test_saving_again_stores_nothing(self, conversations: ConversationStore) -> None:
        """The same save twice returns no entries the second time, and changes no entry."""
        conversation = await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        assert await conversations.save(conversation) == []
        assert await entries_of(conversations) == before
        assert (await record_of(conversations)).branches == []

    async def test_saved_object_goes_on(self, conversations: ConversationStore) -> None:
        """A conversation that was saved can be extended and saved again without a load."""
        conversation = await saved(conversations, "a")
        for text in ("b", "c"):
            conversation.messages += turn(text)
            assert messages_in(await conversations.save(conversation)) == turn(text)
        assert (await loaded(conversations)).messages == turns("a", "b", "c")

    async def test_empty_conversation(self, conversations: ConversationStore) -> None:
        """A conversation without messages can be saved, loaded and continued."""
        assert await conversations.save(Conversation(conversation_id="one")) == []
        assert (await record_of(conversations)).head_id is None
        assert await conversations.load_entries("one") == []
        conversation = await loaded(conversations)
        assert conversation.messages == []
        assert conversation.new_message_index == 0
        conversation.messages += turn("a")
        (first, _) = await conversations.save(conversation)
        assert first.parent_id is None

    async def test_usage_is_the_conversation_s(self, conversations: ConversationStore) -> None:
        """Usage is stored as the conversation carries it, also with no new message."""
        conversation = await saved(conversations, "a", usage=usage())
        conversation.usage += RunUsage(requests=1, input_tokens=1000)
        assert await conversations.save(conversation) == []
        assert (await loaded(conversations)).usage == usage() + RunUsage(
            requests=1, input_tokens=1000
        )

    async def test_equal_messages_are_entries_of_their_own(
        self, conversations: ConversationStore
    ) -> None:
        """A message that is said twice is stored twice."""
        await saved(conversations, "again", "again")
        entries = await entries_of(conversations)
        assert messages_in(entries) == turns("again", "again")
        assert len(set(ids(entries))) == 4

    async def test_one_object_twice(self, conversations: ConversationStore) -> None:
        """The very same object at two places of a history is two entries."""
        said = prompt("again")
        conversation = Conversation(messages=[said, said], conversation_id="one")
        assert len(await conversations.save(conversation)) == 2
        conversation.messages.append(said)
        assert len(await conversations.save(conversation)) == 1
        assert (await loaded(conversations)).messages == [said] * 3

    async def test_conversations_are_apart(self, conversations: ConversationStore) -> None:
        """Two conversations with equal messages share nothing."""
        await saved(conversations, "a", conversation_id="one")
        await saved(conversations, "a", conversation_id="two")
        one, two = await entries_of(conversations, "one"), await entries_of(conversations, "two")
        assert not set(ids(one)) & set(ids(two))

    async def test_result_of_a_run(self, conversations: ConversationStore) -> None:
        """A run's result is saved as its conversation, under the conversation's id."""
        result = await agent().run("Hello", conversation_id="one")
        entries = await conversations.save(result)
        assert messages_in(entries) == result.all_messages()
        again = await loaded(conversations)
        assert again.messages == result.all_messages()
        assert again.usage == result.usage

    async def test_result_carries_the_revision(self, conversations: ConversationStore) -> None:
        """A saved result's conversation has the new revision; saving it again adds nothing."""
        result = await agent().run("Hello", conversation_id="one")
        await conversations.save(result)
        assert result.conversation == await loaded(conversations)
        assert await conversations.save(result) == []
        assert await conversations.save(result.conversation) == []

    async def test_runs_go_on(self, conversations: ConversationStore) -> None:
        """Load, run, save: each save adds the run's messages; usage is that of all runs."""
        counts: list[int] = []
        for text in ("one", "two", "three"):
            conversation = await conversations.load("chat") or Conversation(conversation_id="chat")
            result = await agent().run(text, conversation=conversation)
            counts.append(len(await conversations.save(result)))
        assert counts == [2, 2, 2]
        whole = await loaded(conversations, "chat")
        assert whole.messages == result.all_messages()
        assert whole.usage == result.usage
        assert whole.usage.requests == 3

    async def test_result_goes_on_without_a_load(self, conversations: ConversationStore) -> None:
        """A saved result's conversation can be given to the next run and saved again."""
        first = await agent().run("one", conversation_id="chat")
        await conversations.save(first)
        second = await agent().run("two", conversation=first.conversation)
        assert len(await conversations.save(second)) == 2
        assert (await loaded(conversations, "chat")).messages == second.all_messages()

    async def test_message_added_during_a_save(self, conversations: ConversationStore) -> None:
        """What is added to a conversation while its save is under way is stored by the next."""
        for scope in self.scopes:
            name = f"of-{scope}"
            conversation = await saved(conversations, "a", conversation_id=name, scope=scope)
            conversation.messages += turn("b")
            saving = asyncio.create_task(conversations.save(conversation))
            await asyncio.sleep(0)
            conversation.messages += turn("c")
            assert messages_in(await saving) == turn("b")
            assert messages_in(await conversations.save(conversation)) == turn("c")
            assert (await loaded(conversations, name)).messages == turns("a", "b", "c")
            assert (await record_of(conversations, name)).branches == []

    async def test_what_a_turn_changes(self, conversations: ConversationStore) -> None:
        """A turn changes head, usage, what is waited on, revision and time: nothing else.

        The entries that come back are those that are stored.
        """
        for scope in self.scopes:
            name = f"of-{scope}"
            await saved(conversations, "a", "b", conversation_id=f"{name}-first", scope=scope)
            conversation = await conversations.fork(f"{name}-first", at=3, new_conversation_id=name)
            conversation.messages[2:] = turn("c")
            conversation.deferred_tool_requests = deferred()
            await conversations.save(conversation)
            before = await record_of(conversations, name)
            assert (before.scope, len(before.branches)) == (scope, 1)
            stored = await entries_of(conversations, name)
            for waits, count in ((None, 1), (deferred(), 2), (deferred(), 0), (None, 0)):
                conversation.messages += turn("d")[:count]
                conversation.usage += usage()
                conversation.deferred_tool_requests = waits
                new = await conversations.save(conversation)
                stored += new
                assert await entries_of(conversations, name) == stored
                after = await record_of(conversations, name)
                assert after == dataclasses.replace(
                    before,
                    head_id=ids(stored)[-1],
                    usage=conversation.usage,
                    deferred_tool_requests=waits,
                    revision=conversation.revision,
                    updated_at=after.updated_at,
                )
                assert after.revision != before.revision
                assert after.updated_at > before.updated_at
                before = after
