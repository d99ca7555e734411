"""What survives: every kind of message, usage, and what a conversation waits on."""

from __future__ import annotations

from decimal import Decimal
from inspect import signature
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationStore
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred
from pydantic_ai.messages import (
    AudioUrl,
    BinaryContent,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
    VideoUrl,
)
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RequestUsage, RunUsage

from ..base import Rules
from ..samples import WHEN, deferred, entries_of, loaded, messages_in, saved, turn, usage


def _asked(content: Any) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(content=content, timestamp=WHEN)], timestamp=WHEN)


def _said(*parts: Any, **fields: Any) -> ModelMessage:
    return ModelResponse(parts=list(parts), timestamp=WHEN, **fields)


def _called(args: str | dict[str, Any] | None) -> ModelMessage:
    return _said(ToolCallPart("tool", args, "call-1"))


def _returned(content: Any, **fields: Any) -> ModelMessage:
    part = ToolReturnPart("tool", content, "call-1", timestamp=WHEN, **fields)
    return ModelRequest(parts=[part], timestamp=WHEN)


def _over_json(message: ModelMessage) -> ModelMessage:
    """The message as Pydantic AI itself reads it back: a picture is a `BinaryImage` then, say."""
    data = ModelMessagesTypeAdapter.dump_json([message])
    return ModelMessagesTypeAdapter.validate_json(data)[0]


_MESSAGES: dict[str, ModelMessage] = {
    "empty-text": _asked(""),
    "long-text": _asked("word " * 20_000),
    "non-ascii": _asked("Grüße, 東京, здравствуй, 👩‍👩‍👧, \u200f\u2028\u2029\ufeff\U0010ffff"),
    "control-characters": _asked("".join(map(chr, range(32))) + "\x7f\x80"),
    "nul": _asked("a\u0000b"),
    "nul-in-an-answer": _said(TextPart("\u0000")),
    "escapes": _asked('\\u0000 \\" \\\\ \r\n\t </script> %s {} NULL NaN "Infinity"'),
    "looks-like-json": _asked('[{"kind": "request", "parts": []}]'),
    "looks-old": _asked('"tool_call_id":null "args_json" "_media_type"'),
    "system-prompt": ModelRequest(
        parts=[SystemPromptPart("Be brief.", timestamp=WHEN), UserPromptPart("Hi", timestamp=WHEN)],
        instructions="Today is Sunday.",
        run_id="run-1",
        conversation_id="other",
        metadata={"client": "web", "nested": {"list": [1, None, True, 0.5]}},
        timestamp=WHEN,
    ),
    "picture": _asked(["Look", BinaryContent(bytes(range(256)), media_type="image/png")]),
    "empty-file": _asked([BinaryContent(b"", media_type="text/plain")]),
    "text-file": _asked([BinaryContent(b"abcd", media_type="text/plain", identifier="f1")]),
    "links": _asked(
        [
            ImageUrl("https://example.org/a.png"),
            DocumentUrl("https://example.org/b.pdf", vendor_metadata={"pages": 3}),
            AudioUrl("https://example.org/c.mp3"),
            VideoUrl("https://example.org/d.mp4", force_download=True),
            "and text",
        ]
    ),
    "file-of-the-model": _said(
        FilePart(BinaryContent(b"\xff\xfe\x00", media_type="image/png"), id="x")
    ),
    "thinking": _said(
        ThinkingPart("Hm …", id="t1", signature="c2ln", provider_name="test"), TextPart("So.")
    ),
    "call-without-args": _called(None),
    "call-with-an-object": _called({"path": "ä/b", "n": 1, "x": 0.1, "none": None, "l": [[]]}),
    "call-with-a-string": _called('{"path":  "a/b", "n": 1.0}'),
    "call-with-a-broken-string": _called('{"path": "a/'),
    "call-with-an-empty-string": _called(""),
    "call-with-an-empty-object": _called({}),
    "call-that-looks-wrapped": _called({"args_dict": {"a": 1}}),
    "call-that-looks-wrapped-too": _called({"args_json": '{"a": 1}'}),
    "call-with-big-numbers": _called({"n": 2**63, "m": -(2**63), "e": 1e300}),
    "return-of-text": _returned("done"),
    "return-of-data": _returned({"rows": [{"kind": "binary", "data": "not base64!"}], "n": None}),
    "return-of-nothing": _returned(None),
    "return-with-metadata": _returned([1, "two"], metadata={"took": 1.5}),
    "failed-return": _returned("No.", outcome="denied"),
    "empty-answer": _said(),
    "answer-with-details": _said(
        TextPart("Done.", id="p1", provider_details={"index": 0}),
        usage=RequestUsage(
            input_tokens=10, cache_read_tokens=4, output_tokens=2, details={"reasoning_tokens": 1}
        ),
        model_name="test-1",
        provider_name="test",
        provider_url="https://example.org",
        provider_response_id="r-1",
        provider_details={"logprobs": [{"token": "D", "logprob": -0.25}]},
        finish_reason="stop",
        run_id="run-1",
        metadata={"seen": False},
    ),
    "several-calls": _said(
        TextPart("One moment."),
        ToolCallPart("a", {"x": 1}, "c1"),
        ToolCallPart("a", {"x": 1}, "c2", id="i2", provider_name="test"),
    ),
}
MESSAGES = {name: _over_json(message) for name, message in _MESSAGES.items()}

USAGES = (
    RunUsage(),
    usage(),
    RunUsage(requests=1, tool_calls=0, input_tokens=2**40, output_tokens=1),
    RunUsage(
        requests=2,
        cache_write_tokens=1,
        cache_read_tokens=2,
        input_audio_tokens=3,
        cache_audio_read_tokens=4,
        details={"a": 1, "ä.b": 0},
    ),
)


class CarryingRules(Rules):
    """All that a conversation carries is the same after a save and a load."""

    async def test_each_message(self, conversations: ConversationStore) -> None:
        """A message comes back equal, alone and among others, and isn't new the next time."""
        for name, message in MESSAGES.items():
            for around in (False, True):
                messages = [*turn("a"), message, *turn("b")] if around else [message]
                session_id = f"{name}-{around}"
                await conversations.save(
                    Conversation(messages=messages, conversation_id=session_id)
                )
                again = await loaded(conversations, session_id)
                assert again.messages == messages, name
                again.new_message_index = None
                assert await conversations.save(again) == [], name
                assert messages_in(await entries_of(conversations, session_id)) == messages, name

    async def test_file_fields(self, conversations: ConversationStore) -> None:
        """Also what `==` ignores of a file is kept: its media type, and its name."""
        picture = BinaryContent(b"\x00\xff", media_type="image/webp", identifier="cat")
        conversation = Conversation(messages=[_asked([picture])], conversation_id="one")
        await conversations.save(conversation)
        (message,) = (await loaded(conversations)).messages
        (part,) = message.parts
        assert isinstance(part, UserPromptPart)
        (content,) = part.content
        assert isinstance(content, BinaryContent)
        found = (content.data, content.media_type, content.identifier)
        assert found == (b"\x00\xff", "image/webp", "cat")

    async def test_all_messages(self, conversations: ConversationStore) -> None:
        """All kinds of messages in one history come back equal, in their order."""
        messages = list(MESSAGES.values())
        await conversations.save(Conversation(messages=messages, conversation_id="one"))
        assert (await loaded(conversations)).messages == messages

    async def test_usage(self, conversations: ConversationStore) -> None:
        """Usage comes back equal, with its details."""
        for number, value in enumerate(USAGES):
            await saved(conversations, "a", conversation_id=f"u{number}", usage=value)
            found = (await loaded(conversations, f"u{number}")).usage
            assert found == value
            assert type(found) is RunUsage
            assert found.details == value.details

    @pytest.mark.skipif(not hasattr(RunUsage(), "cost"), reason="usage has no cost yet")
    async def test_cost(self, conversations: ConversationStore) -> None:
        """The cost in a usage comes back to the last digit."""
        for number, cost in enumerate(["0.1", "0", "123456789.000000000001"]):
            spent = usage()
            vars(spent)["cost"] = Decimal(cost)
            await saved(conversations, "a", conversation_id=f"u{number}", usage=spent)
            found = (await loaded(conversations, f"u{number}")).usage
            assert found == spent
            assert str(vars(found)["cost"]) == cost

    async def test_requests_made_by_hand(self, conversations: ConversationStore) -> None:
        """Calls, approvals and their metadata come back equal."""
        await saved(conversations, "a", deferred_tool_requests=deferred())
        found = (await loaded(conversations)).deferred_tool_requests
        assert found == deferred()
        assert found is not None
        assert isinstance(found.calls[0].args, dict)
        assert isinstance(found.approvals[0].args, str)

    async def test_no_requests(self, conversations: ConversationStore) -> None:
        """No requests, and requests that are empty, are two things."""
        await saved(conversations, "a")
        assert (await loaded(conversations)).deferred_tool_requests is None
        empty = DeferredToolRequests()
        await saved(conversations, "a", conversation_id="two", deferred_tool_requests=empty)
        assert (await loaded(conversations, "two")).deferred_tool_requests == empty

    async def test_requests_of_a_run(self, conversations: ConversationStore) -> None:
        """A run that paused is loaded with what it waits on, and goes on from there."""
        agent = Agent(TestModel(), output_type=[str, DeferredToolRequests])

        @agent.tool_plain
        def fetch(text: str) -> str:
            raise CallDeferred(metadata={"to": "a worker"})

        @agent.tool_plain
        def remove(path: str) -> str:
            raise ApprovalRequired(metadata={"reason": "It is gone then."})

        assert all((fetch, remove))  # they are called by their names
        paused = await agent.run("Do it", conversation_id="one")
        assert isinstance(paused.output, DeferredToolRequests)
        await conversations.save(paused)
        conversation = await loaded(conversations)
        waiting = conversation.deferred_tool_requests
        assert waiting == paused.output
        assert waiting is not None
        assert [call.tool_name for call in waiting.calls] == ["fetch"]
        assert [call.tool_name for call in waiting.approvals] == ["remove"]
        assert len(waiting.metadata) == 2

        results = waiting.build_results(
            calls={call.tool_call_id: "fetched" for call in waiting.calls},
            approvals={call.tool_call_id: False for call in waiting.approvals},
        )
        done = await agent.run(conversation=conversation, deferred_tool_results=results)
        assert isinstance(done.output, str)
        await conversations.save(done)
        again = await loaded(conversations)
        assert again.deferred_tool_requests is None
        assert again.messages == done.all_messages()

    @pytest.mark.skipif("kind" not in signature(CallDeferred).parameters, reason="no kinds yet")
    async def test_questions(self, conversations: ConversationStore) -> None:
        """What each call waits for is kept: a question, a result from outside, an approval."""
        agent = Agent(TestModel(), output_type=[str, DeferredToolRequests])

        @agent.tool_plain
        def ask(text: str) -> str:
            raise CallDeferred(kind="question")

        @agent.tool_plain
        def fetch(text: str) -> str:
            raise CallDeferred

        @agent.tool_plain(requires_approval=True)
        def remove(path: str) -> str:
            return "removed"

        assert all((ask, fetch, remove))
        await conversations.save(await agent.run("Do it", conversation_id="one"))
        fork = await conversations.fork("one")
        for name in ("one", fork.conversation_id):
            waiting = (await loaded(conversations, name)).deferred_tool_requests
            assert waiting is not None
            calls = [*waiting.calls, *waiting.approvals]
            kinds = {call.tool_name: waiting.kind(call.tool_call_id) for call in calls}
            assert kinds == {"ask": "question", "fetch": "external", "remove": "approval"}

    async def test_requests_are_dropped(self, conversations: ConversationStore) -> None:
        """A save of a conversation that waits on nothing any more drops what it waited on."""
        conversation = await saved(conversations, "a", deferred_tool_requests=deferred())
        conversation.deferred_tool_requests = None
        await conversations.save(conversation)
        assert (await loaded(conversations)).deferred_tool_requests is None

    async def test_run_ids(self, conversations: ConversationStore) -> None:
        """What a run writes on its messages stays: run id, conversation id, metadata."""
        result = await Agent(TestModel()).run("a", conversation_id="one", metadata={"k": "v"})
        await conversations.save(result)
        first = (await loaded(conversations)).messages[0]
        assert isinstance(first, ModelRequest)
        assert first == result.all_messages()[0]
        assert (first.run_id, first.conversation_id) == (result.run_id, "one")
