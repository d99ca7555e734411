"""An agent that does what its prompt says, for clients that are to see all that an agent does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, RunContext
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel


def prompts(messages: list[ModelMessage]) -> list[UserPromptPart]:
    return [
        part
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]


def said(part: UserPromptPart) -> str:
    """A prompt's text, with the sizes of its files."""
    if isinstance(part.content, str):
        return part.content
    return " ".join(
        f"[{each.media_type} {len(each.data)}]" if isinstance(each, BinaryContent) else str(each)
        for each in part.content
    )


async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    asked = prompts(messages)
    prompt = said(asked[-1])
    returns = [part for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    if returns:
        yield "It gave "
        yield ", ".join(f"{part.tool_name}={part.content}" for part in returns)
        return
    if prompt.startswith("use "):
        yield "Let me see. "
        for index, name in enumerate(prompt.removeprefix("use ").split(" "), 1):
            call_id = f"call-{len(messages)}-{name}"
            yield {index: DeltaToolCall(name, "", tool_call_id=call_id)}
            yield {index: DeltaToolCall(json_args='{"n":1}')}
        return
    if prompt.startswith("think"):
        yield {0: DeltaThinkingPart(content="Hm, ")}
        yield {0: DeltaThinkingPart(content="well.")}
    yield f"{len(asked)}: "
    if prompt.startswith("fail"):
        raise RuntimeError("the key at /etc/secret.key is sk-123")
    if prompt.startswith("wait"):
        await asyncio.Event().wait()  # for ever
    for word in prompt.split(" "):
        yield f"{word} "


teller: Any = Agent(
    FunctionModel(stream_function=stream),
    name="teller",
    instructions="Do as you are told.",
    output_type=[str, DeferredToolRequests],
)


@teller.tool_plain
def look(n: int) -> dict[str, int]:
    """Look."""
    return {"seen": n}


@teller.tool_plain
def nothing(n: int) -> None:
    """Give nothing."""


@teller.tool
def pay(ctx: RunContext[None], n: int) -> str:
    """Pay, if that is approved."""
    if not ctx.tool_call_approved:
        raise ApprovalRequired(metadata={"why": "costs"})
    return f"paid {n}"


@teller.tool_plain
def where(n: int) -> str:
    """Ask the client where it is."""
    raise CallDeferred
