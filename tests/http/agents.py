"""What the tests that run agents over HTTP share: an application with agents, and its events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI
from pydantic_ai import Agent, DeferredToolRequests, RunContext
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from mythline.http import create_app
from tests.http.support import Client

BOT = "/api/agents/bot"
STREAM = {"Accept": "text/event-stream"}


def events(response: Any) -> list[tuple[str, Any]]:
    """The events of a stream, each with its name and data."""
    assert response.headers["content-type"].startswith("text/event-stream")
    found: list[tuple[str, Any]] = []
    for block in response.text.split("\n\n"):
        lines = dict(
            line.split(": ", 1) for line in block.splitlines() if line[:1] not in ("", ":")
        )
        if lines:
            data = lines["data"]
            found.append((lines.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return found


def named(found: list[tuple[str, Any]], name: str) -> list[Any]:
    return [data for event, data in found if event == name]


def said(client: Client, session_id: str, base: str = BOT) -> list[tuple[str, str]]:
    """A session's transcript as pairs of role and content."""
    response = client.get(f"{base}/sessions/{session_id}")
    assert response.status_code == 200, response.text
    return [(item["role"], item["content"]) for item in response.json()["messages"]]


@asynccontextmanager
async def asking(app: FastAPI) -> AsyncGenerator[httpx.AsyncClient]:
    """A client for several requests at a time, in the test's event loop."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


def serving(place: Any, agent: Any, **options: Any) -> FastAPI:
    return create_app(place, agents={"bot": agent}, **options)


async def halves(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    """A model that streams half of a surrogate pair, as some servers of models do."""
    for word in ("one \ud83d", "two"):
        yield word


CALLS = ("approve", "outside")


def _asks(messages: list[ModelMessage]) -> bool:
    return not any(isinstance(part, ToolReturnPart) for part in messages[-1].parts)


async def _answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if _asks(messages):
        return ModelResponse([ToolCallPart(name, {"n": 1}, tool_call_id=name) for name in CALLS])
    return ModelResponse([TextPart("done")])


async def _stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    if _asks(messages):
        for index, name in enumerate(CALLS):
            yield {index: DeltaToolCall(name, '{"n": 1}', tool_call_id=name)}
    else:
        yield "done"


def an_asking_agent() -> Any:
    """An agent whose first answer is a call to be approved and one to be run elsewhere."""
    agent: Any = Agent(
        FunctionModel(_answer, stream_function=_stream), output_type=[str, DeferredToolRequests]
    )

    @agent.tool
    def approve(ctx: RunContext[None], n: int) -> str:
        if not ctx.tool_call_approved:
            raise ApprovalRequired(metadata={"why": "costs"})
        return f"approved {n}"

    @agent.tool_plain
    def outside(n: int) -> str:
        raise CallDeferred

    return agent
