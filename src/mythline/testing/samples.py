"""Messages to save, and short ways to save and look."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation, ConversationTypeAdapter
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

WHEN = datetime(2026, 3, 1, 12, 30, 15, 250_001, tzinfo=UTC)
UNKNOWN = "00000000-0000-7000-8000-000000000000"
"""An entry id, and a revision, that no store gave."""


def prompt(text: str) -> ModelRequest:
    """What a person says. Two of the same text are equal."""
    return ModelRequest(parts=[UserPromptPart(content=text, timestamp=WHEN)], timestamp=WHEN)


def answer(text: str) -> ModelResponse:
    """What a model answers. Two of the same text are equal."""
    return ModelResponse(parts=[TextPart(content=text)], timestamp=WHEN, model_name="test")


def turn(text: str) -> list[ModelMessage]:
    """A prompt and its answer."""
    return [prompt(text), answer(f"Answer to {text}")]


def turns(*texts: str) -> list[ModelMessage]:
    """A history: `turn` of each text."""
    return [message for text in texts for message in turn(text)]


def usage(requests: int = 3) -> RunUsage:
    """Usage of some runs."""
    return RunUsage(
        requests=requests,
        tool_calls=2,
        input_tokens=123,
        output_tokens=45,
        cache_read_tokens=6,
        details={"reasoning_tokens": 7},
    )


def deferred() -> DeferredToolRequests:
    """Calls that a conversation waits on."""
    return DeferredToolRequests(
        calls=[ToolCallPart("look_up", {"path": "a/b", "depth": 2}, "call-1")],
        approvals=[ToolCallPart("remove", '{"path":"a"}', "call-2")],
        metadata={"call-2": {"reason": "ask", "by": ["x", 1, None]}},
    )


def agent(text: str = "Fine.") -> Agent[None, str]:
    """An agent whose model always answers `text`."""
    return Agent(TestModel(custom_output_text=text))


async def saved(
    conversations: ConversationStore,
    *texts: str,
    conversation_id: str = "one",
    scope: str | None = None,
    **carried: Any,
) -> Conversation:
    """A conversation of the turns `texts` that was just saved."""
    conversation = Conversation(messages=turns(*texts), conversation_id=conversation_id, **carried)
    await conversations.save(conversation, scope=scope)
    return conversation


async def loaded(
    conversations: ConversationStore, conversation_id: str = "one", *, limit: int | None = None
) -> Conversation:
    """A conversation that is stored."""
    conversation = await conversations.load(conversation_id, limit=limit)
    assert conversation is not None
    return conversation


async def entries_of(
    conversations: ConversationStore, conversation_id: str = "one"
) -> list[ConversationEntry]:
    """The entries of a conversation that is stored."""
    entries = await conversations.load_entries(conversation_id)
    assert entries is not None
    return entries


async def record_of(
    conversations: ConversationStore, conversation_id: str = "one"
) -> ConversationRecord:
    """The record of a conversation that is stored."""
    record = await conversations.read_record(conversation_id)
    assert record is not None
    return record


async def branches_of(
    conversations: ConversationStore, conversation_id: str = "one"
) -> list[list[ModelMessage]]:
    """The histories that a conversation left, oldest first."""
    record = await record_of(conversations, conversation_id)
    return [
        [entry.message for entry in await conversations.read_history(tip)]
        for tip in record.branches
    ]


async def state_of(conversations: ConversationStore, conversation_id: str = "one") -> Any:
    """All that is stored of a conversation, to compare with later."""
    return (
        await conversations.read_record(conversation_id),
        await conversations.load_entries(conversation_id),
    )


def serialised(conversation: Conversation) -> Conversation:
    """The conversation as it is after a way over JSON."""
    data = ConversationTypeAdapter.dump_json(conversation)
    return ConversationTypeAdapter.validate_json(data)


def ids(entries: Sequence[ConversationEntry]) -> list[str]:
    """The ids of entries."""
    return [entry.id for entry in entries]


def messages_in(entries: Sequence[ConversationEntry]) -> list[ModelMessage]:
    """The messages of entries."""
    return [entry.message for entry in entries]


@contextmanager
def refused() -> Generator[None]:
    """Expect a `UserError` that is no conflict."""
    with pytest.raises(UserError) as caught:
        yield
    assert not isinstance(caught.value, ConversationConflict)


@contextmanager
def conflict(conversation_id: str = "one") -> Generator[None]:
    """Expect a conflict over a conversation, which is a `UserError` too."""
    with pytest.raises(ConversationConflict) as caught:
        yield
    assert isinstance(caught.value, UserError)
    assert caught.value.conversation_id == conversation_id
