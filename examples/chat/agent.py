"""An agent to talk to. It needs no key; with `MYTHLINE_MODEL` (`openai:gpt-5`, say) it thinks."""

import asyncio
import os
import re
from collections.abc import AsyncIterator

from pydantic_ai import Agent, ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


def reply(messages: list[ModelMessage]) -> str:
    """What the model without a key says: it knows what was said to it, and nothing else."""
    said = [
        str(part.content)
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]
    names = re.findall(r"my name is (\w+)", " ".join(said), re.IGNORECASE)
    greeting = f"{names[-1]}, you" if names else "You"
    return f"{greeting} said {said[-1]!r}. That is prompt {len(said)} of this chat."


async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    """The reply, word after word."""
    for word in reply(messages).split(" "):
        yield f"{word} "
        await asyncio.sleep(0.03)


def whole(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """The reply at once."""
    return ModelResponse([TextPart(reply(messages))])


agent = Agent(
    os.environ.get("MYTHLINE_MODEL") or FunctionModel(whole, stream_function=stream),
    name="companion",
    instructions="You are a kind companion. Be brief.",
)
