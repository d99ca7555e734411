"""Which messages are new: what a save appends, and when it compares instead."""

from __future__ import annotations

import dataclasses
from copy import copy, deepcopy
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.capabilities import ProcessHistory
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationStore
from pydantic_ai.messages import BinaryContent, ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models.test import TestModel

from ..base import Rules
from ..samples import (
    WHEN,
    agent,
    answer,
    branches_of,
    entries_of,
    ids,
    loaded,
    messages_in,
    prompt,
    record_of,
    saved,
    serialised,
    state_of,
    turn,
    turns,
)


def _last_only(messages: list[ModelMessage]) -> list[ModelMessage]:
    return messages[-1:]


def _compacted(messages: list[ModelMessage]) -> list[ModelMessage]:
    return [prompt("A summary."), messages[-1]]


def _edited(messages: list[ModelMessage]) -> list[ModelMessage]:
    return [
        dataclasses.replace(message, parts=[*message.parts])
        if isinstance(message, ModelRequest)
        else message
        for message in messages
    ]


class ExtendingRules(Rules):
    """A stored conversation only grows, unless its history was rewritten."""

    async def test_only_what_was_added(self, conversations: ConversationStore) -> None:
        """What is added to a loaded conversation is appended, and nothing else."""
        await saved(conversations, "a")
        before = await entries_of(conversations)
        conversation = await loaded(conversations)
        conversation.messages += turn("b")
        new = await conversations.save(conversation)
        assert messages_in(new) == turn("b")
        assert new[0].parent_id == before[-1].id
        assert await entries_of(conversations) == [*before, *new]

    async def test_messages_before_a_run(self, conversations: ConversationStore) -> None:
        """Messages added to a loaded conversation before a run are saved with the run's."""
        await saved(conversations, "a")
        conversation = await loaded(conversations)
        conversation.messages += turn("b")
        result = await agent().run("c", conversation=conversation)
        new = await conversations.save(result)
        assert messages_in(new) == result.all_messages()[2:]
        assert (await loaded(conversations)).messages == result.all_messages()
        assert (await record_of(conversations)).branches == []

    @pytest.mark.parametrize("processor", [_last_only, _compacted, _edited])
    async def test_history_that_a_run_rewrote(
        self, conversations: ConversationStore, processor: Any
    ) -> None:
        """A history that a capability trimmed or rewrote doesn't change what is stored."""
        await saved(conversations, "a", "b")
        working = Agent(
            TestModel(custom_output_text="Fine."), capabilities=[ProcessHistory(processor)]
        )
        for count, text in ((6, "c"), (8, "d")):
            result = await working.run(text, conversation=await loaded(conversations))
            new = await conversations.save(result)
            assert messages_in(new) == result.new_messages()
            assert len(await entries_of(conversations)) == count
        assert (await loaded(conversations)).messages[:4] == turns("a", "b")
        assert (await record_of(conversations)).branches == []

    async def test_trimmed_result_goes_on(self, conversations: ConversationStore) -> None:
        """The trimmed conversation of a saved result still appends to the whole."""
        await saved(conversations, "a", "b")
        working = Agent(TestModel(), capabilities=[ProcessHistory(_last_only)])
        result = await working.run("c", conversation=await loaded(conversations))
        await conversations.save(result)
        result = await working.run("d", conversation=result.conversation)
        await conversations.save(result)
        assert len((await loaded(conversations)).messages) == 8
        assert (await record_of(conversations)).branches == []

    async def test_unsaved_message_that_a_run_rewrote(
        self, conversations: ConversationStore
    ) -> None:
        """Where a run rewrote a message that wasn't stored yet, the whole is compared."""
        await saved(conversations, "a")
        conversation = await loaded(conversations)
        conversation.messages += turn("b")

        def shout(messages: list[ModelMessage]) -> list[ModelMessage]:
            return [prompt("B!") if message == prompt("b") else message for message in messages]

        working = Agent(TestModel(), capabilities=[ProcessHistory(shout)])
        result = await working.run("c", conversation=conversation)
        assert result.conversation.new_message_index is None
        new = await conversations.save(result)
        assert messages_in(new) == result.all_messages()[2:]
        assert new[0].message == prompt("B!")
        assert (await loaded(conversations)).messages == result.all_messages()

    async def test_serialised(self, conversations: ConversationStore) -> None:
        """After a way over JSON stored messages are compared, and what extends them appended."""
        await saved(conversations, "a")
        conversation = serialised(await loaded(conversations))
        assert conversation.new_message_index == 2
        assert await conversations.save(conversation) == []
        conversation = serialised(conversation)
        conversation.messages += turn("b")
        assert messages_in(await conversations.save(conversation)) == turn("b")
        assert (await loaded(conversations)).messages == turns("a", "b")
        assert (await record_of(conversations)).branches == []

    async def test_serialised_before_a_run(self, conversations: ConversationStore) -> None:
        """A run from a conversation that came over JSON appends only its own messages."""
        await saved(conversations, "a")
        result = await agent().run("b", conversation=serialised(await loaded(conversations)))
        assert len(await conversations.save(result)) == 2
        assert (await record_of(conversations)).branches == []
        assert (await loaded(conversations)).messages == result.all_messages()

    async def test_serialised_and_rewritten(self, conversations: ConversationStore) -> None:
        """A message replaced meanwhile is a rewrite: it leaves the stored history as a branch."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        conversation = serialised(await loaded(conversations))
        conversation.messages[2] = prompt("B")
        new = await conversations.save(conversation)
        assert messages_in(new) == [prompt("B"), *turn("b")[1:]]
        assert new[0].parent_id == before[1].id
        assert await branches_of(conversations) == [turns("a", "b")]
        assert ids(await entries_of(conversations)) == ids(before[:2]) + ids(new)

    async def test_index_forgotten(self, conversations: ConversationStore) -> None:
        """Without an index all messages are compared, and those that extend the stored appended."""
        conversation = await saved(conversations, "a")
        conversation.new_message_index = None
        assert await conversations.save(conversation) == []
        conversation.new_message_index = None
        conversation.messages += turn("b")
        assert messages_in(await conversations.save(conversation)) == turn("b")
        assert (await loaded(conversations)).messages == turns("a", "b")

    async def test_made_by_hand(self, conversations: ConversationStore) -> None:
        """A conversation put together by hand with the stored revision is compared as a whole."""
        first = await saved(conversations, "a")
        by_hand = Conversation(
            messages=turns("a", "b"), conversation_id="one", revision=first.revision
        )
        assert messages_in(await conversations.save(by_hand)) == turn("b")

    async def test_index_zero(self, conversations: ConversationStore) -> None:
        """With the index 0, all messages go after the stored ones: none of them was stored."""
        first = await saved(conversations, "a")
        more = Conversation(
            messages=turn("a"),
            conversation_id="one",
            revision=first.revision,
            new_message_index=0,
        )
        assert messages_in(await conversations.save(more)) == turn("a")
        assert (await loaded(conversations)).messages == turns("a", "a")

    async def test_equal_copy_is_no_rewrite(self, conversations: ConversationStore) -> None:
        """Stored messages replaced by equal copies are the same: nothing is stored, none left."""
        await saved(conversations, "a", "b")
        conversation = await loaded(conversations)
        conversation.messages = deepcopy(conversation.messages) + turn("c")
        assert messages_in(await conversations.save(conversation)) == turn("c")
        assert (await record_of(conversations)).branches == []

    @pytest.mark.parametrize("where", range(4))
    async def test_replaced(self, conversations: ConversationStore, where: int) -> None:
        """A stored message replaced by another branches off the last one that both share."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        conversation = await loaded(conversations)
        conversation.messages[where] = answer("Another.")
        wanted = list(conversation.messages)
        new = await conversations.save(conversation)
        assert messages_in(new) == wanted[where:]
        assert new[0].parent_id == (before[where - 1].id if where else None)
        assert (await loaded(conversations)).messages == wanted
        assert await branches_of(conversations) == [turns("a", "b")]

    @pytest.mark.parametrize("where", range(4))
    async def test_inserted(self, conversations: ConversationStore, where: int) -> None:
        """A message put between stored ones is a rewrite from there on; none is dropped."""
        await saved(conversations, "a", "b")
        conversation = await loaded(conversations)
        conversation.messages.insert(where, answer("Between."))
        wanted = list(conversation.messages)
        assert messages_in(await conversations.save(conversation)) == wanted[where:]
        assert (await loaded(conversations)).messages == wanted
        assert await branches_of(conversations) == [turns("a", "b")]

    @pytest.mark.parametrize("kept", range(4))
    async def test_removed_at_the_end(self, conversations: ConversationStore, kept: int) -> None:
        """Stored messages cut off the end are left as a branch; the head moves back."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        conversation = await loaded(conversations)
        del conversation.messages[kept:]
        assert await conversations.save(conversation) == []
        assert await entries_of(conversations) == before[:kept]
        assert (await record_of(conversations)).head_id == (before[kept - 1].id if kept else None)
        assert await branches_of(conversations) == [turns("a", "b")]
        conversation.messages += turn("c")
        assert len(await conversations.save(conversation)) == 2
        assert (await loaded(conversations)).messages == turns("a", "b")[:kept] + turn("c")

    async def test_removed_at_the_start(self, conversations: ConversationStore) -> None:
        """Stored messages cut off the start are a rewrite from the first one."""
        await saved(conversations, "a", "b")
        conversation = await loaded(conversations)
        del conversation.messages[:2]
        assert messages_in(await conversations.save(conversation)) == turn("b")
        assert (await loaded(conversations)).messages == turn("b")
        assert await branches_of(conversations) == [turns("a", "b")]

    async def test_changed_in_place(self, conversations: ConversationStore) -> None:
        """A stored message changed in place is not noticed while it is the very same object."""
        await saved(conversations, "a")
        before = await entries_of(conversations)
        conversation = await loaded(conversations)
        changed = conversation.messages[0]
        assert isinstance(changed, ModelRequest)
        changed.parts = [UserPromptPart(content="changed", timestamp=WHEN)]
        conversation.messages += turn("b")
        assert messages_in(await conversations.save(conversation)) == turn("b")
        assert (await entries_of(conversations))[:2] == before

    @pytest.mark.parametrize("where", [0, 2])
    async def test_changed_in_place_and_copied(
        self, conversations: ConversationStore, where: int
    ) -> None:
        """A message in another's place is compared with what is stored, not with that other one."""
        await saved(conversations, "a", "b")
        conversation = await loaded(conversations)
        edited = copy(conversation.messages[where])
        assert isinstance(edited, ModelRequest)
        assert isinstance(edited.parts, list)
        edited.parts[0] = UserPromptPart(content="edited", timestamp=WHEN)  # the other's, too
        conversation.messages[where] = edited
        conversation.messages += turn("c")
        wanted = list(conversation.messages)
        assert messages_in(await conversations.save(conversation)) == wanted[where:]
        assert (await loaded(conversations)).messages == wanted
        assert await branches_of(conversations) == [turns("a", "b")]

    async def test_copied_before_a_save(self, conversations: ConversationStore) -> None:
        """A copy knows what was stored when it was made, whatever is saved of the original."""
        await saved(conversations, "a")
        conversation = await loaded(conversations)
        other = copy(conversation)
        other.messages = [*other.messages, *turn("c")]
        conversation.messages += turn("b")
        await conversations.save(conversation)
        other.revision = conversation.revision
        assert messages_in(await conversations.save(other)) == turn("c")
        assert (await loaded(conversations)).messages == turns("a", "b", "c")
        assert (await record_of(conversations)).branches == []

    async def test_change_that_equality_ignores(self, conversations: ConversationStore) -> None:
        """Messages are compared with `==`: a file's other media type isn't a new message."""

        def picture(media_type: str) -> ModelMessage:
            content = BinaryContent(b"\x00\x01", media_type=media_type, identifier="x")
            return ModelRequest(parts=[UserPromptPart(content=[content], timestamp=WHEN)])

        same = picture("image/png") == picture("image/jpeg")
        conversation = Conversation(messages=[picture("image/png")], conversation_id="one")
        await conversations.save(conversation)
        conversation.messages = [picture("image/jpeg")]
        assert len(await conversations.save(conversation)) == (0 if same else 1)

    async def test_rewritten_again_and_again(self, conversations: ConversationStore) -> None:
        """Each rewrite leaves a branch, the oldest first."""
        conversation = await saved(conversations, "a", "b")
        for text in ("c", "d", "e"):
            conversation.messages[2:] = turn(text)
            await conversations.save(conversation)
        assert (await loaded(conversations)).messages == turns("a", "e")
        left = [turns("a", text) for text in ("b", "c", "d")]
        assert await branches_of(conversations) == left

    async def test_rewrite_of_an_unsaved_message(self, conversations: ConversationStore) -> None:
        """What wasn't stored yet can be changed freely."""
        conversation = await saved(conversations, "a")
        conversation.messages += turn("b")
        conversation.messages[2] = prompt("c")
        before = await state_of(conversations)
        assert len(await conversations.save(conversation)) == 2
        assert (await entries_of(conversations))[:2] == before[1]
        assert (await record_of(conversations)).branches == []
