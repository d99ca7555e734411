"""What the tests of the page share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mythline

PATIENCE = 60
"""Seconds that something may take on a busy machine, before it counts as not happening."""
WEB = Path(mythline.__file__).parent / "web" / "assets"


def expect(locator: Any) -> Any:
    """Playwright's assertions about what a page shows, which wait until they are true."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE * 1000)
    return expect(locator)


AGENT_MODULE = '''
"""An agent that answers word after word, waits for a file, fails, and asks before it deletes."""

import asyncio
from pathlib import Path

from pydantic_ai import Agent, DeferredToolRequests, RunContext
from pydantic_ai.exceptions import ApprovalRequired
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.function import DeltaThinkingPart, DeltaToolCall, FunctionModel


async def stream(messages, info):
    part = messages[-1].parts[-1]
    if isinstance(part, ToolReturnPart):
        yield f"The tool said: {part.content}"
        return
    text = str(part.content)
    if text.startswith("delete"):
        call = DeltaToolCall("delete_chapter", '{"chapter": 3}', tool_call_id=f"c{len(messages)}")
        yield {0: call}
        return
    yield {0: DeltaThinkingPart(content="Let me see.")}
    if text.startswith("much"):
        for number in range(3000):
            yield f"{number} "
    yield f"You said **{text}**"
    if text.startswith("fail"):
        raise RuntimeError("a secret reason")
    if text.startswith("wait"):
        while not Path("go").exists():
            await asyncio.sleep(0.01)
    yield " to me."


companion = Agent(
    FunctionModel(stream_function=stream),
    name="companion",
    output_type=[str, DeferredToolRequests],
)


@companion.tool
def delete_chapter(ctx: RunContext[None], chapter: int) -> str:
    if not ctx.tool_call_approved:
        raise ApprovalRequired()
    return f"deleted {chapter}"
'''
