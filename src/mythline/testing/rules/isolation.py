"""Isolation: a store keeps its own copy of what it is given, and gives copies."""

from __future__ import annotations

from typing import Any, cast

from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationStore
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart

from ..base import Rules
from ..samples import (
    WHEN,
    answer,
    deferred,
    entries_of,
    loaded,
    prompt,
    record_of,
    saved,
    state_of,
    turn,
    usage,
)


def _spoil(conversation: Conversation) -> None:
    """Change everything that can be changed in place."""
    _spoil_messages(conversation.messages)
    conversation.messages.append(prompt("spoilt"))
    conversation.usage.requests += 100
    conversation.usage.details["spoilt"] = 1
    waiting = conversation.deferred_tool_requests
    if waiting is not None:
        waiting.calls.clear()
        waiting.metadata["spoilt"] = {}


def _spoil_messages(messages: list[ModelMessage]) -> None:
    for message in messages:
        if isinstance(message, ModelResponse):
            message.model_name = "spoilt"
            for part in message.parts:
                if isinstance(part, TextPart):
                    part.content = "spoilt"
                if isinstance(part, ToolCallPart) and isinstance(part.args, dict):
                    cast("dict[str, Any]", part.args)["spoilt"] = True


def _whole() -> Conversation:
    call = ModelResponse(parts=[ToolCallPart("t", {"a": [1]}, "c1")], timestamp=WHEN)
    return Conversation(
        messages=[prompt("a"), answer("b"), call],
        conversation_id="one",
        usage=usage(),
        deferred_tool_requests=deferred(),
    )


class IsolationRules(Rules):
    """Changing what was given or returned doesn't change what is stored."""

    async def test_conversation_that_was_saved(self, conversations: ConversationStore) -> None:
        """Changing a conversation after its save doesn't change the stored one."""
        conversation = _whole()
        await conversations.save(conversation)
        _spoil(conversation)
        again = await loaded(conversations)
        assert again.messages == _whole().messages
        assert again.usage == usage()
        assert again.deferred_tool_requests == deferred()

    async def test_conversation_that_was_loaded(self, conversations: ConversationStore) -> None:
        """Changing a loaded conversation changes no other load of it."""
        await conversations.save(_whole())
        other = await loaded(conversations)
        before = await state_of(conversations)
        _spoil(await loaded(conversations))
        assert await state_of(conversations) == before
        assert await loaded(conversations) == other
        assert other.messages == _whole().messages

    async def test_entries_are_copies(self, conversations: ConversationStore) -> None:
        """Changing the message of a returned entry doesn't change the stored one."""
        _spoil_messages([entry.message for entry in await conversations.save(_whole())])
        before = await entries_of(conversations)
        assert [entry.message for entry in before] == _whole().messages
        _spoil_messages([entry.message for entry in await entries_of(conversations)])
        _spoil_messages([(await conversations.read_entry(before[1].id)).message])
        assert await entries_of(conversations) == before
        (await entries_of(conversations)).clear()
        assert await entries_of(conversations) == before

    async def test_records_are_copies(self, conversations: ConversationStore) -> None:
        """Changing a returned record doesn't change the stored one."""
        first = await saved(conversations, "a", "b", usage=usage())
        await conversations.branch("one", at=1, expected_revision=first.revision)
        before = await record_of(conversations)
        for record in (await record_of(conversations), *await conversations.list_conversations()):
            record.branches.append("spoilt")
            record.usage.requests += 1
            record.head_id = None
            record.scope = "spoilt"
        assert await record_of(conversations) == before

    async def test_record_that_was_written(self, conversations: ConversationStore) -> None:
        """Changing a record or an entry after it was written doesn't change the stored one."""
        first = await saved(conversations, "a")
        record = await record_of(conversations)
        record.revision = "second"
        await conversations.write_record(record, expected_revision=first.revision)
        before = await state_of(conversations)
        record.branches.append("spoilt")
        record.usage.requests += 1
        assert await state_of(conversations) == before

    async def test_branch_and_fork(self, conversations: ConversationStore) -> None:
        """Changing what a branch or a fork returned doesn't change what is stored."""
        first = await saved(conversations, "a", "b", usage=usage())
        fork = await conversations.fork("one", new_conversation_id="two")
        branch = await conversations.branch("one", at=2, expected_revision=first.revision)
        before = await state_of(conversations), await state_of(conversations, "two")
        _spoil(fork)
        _spoil(branch)
        assert (await state_of(conversations), await state_of(conversations, "two")) == before
        assert (await loaded(conversations)).messages == turn("a")
