"""Runs that are ended from more than one side."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.function import FunctionModel

from mythline import open_store
from mythline.agents import SessionMemory
from mythline.http.running import PATIENCE, Runs
from tests.http.agents import asking, serving
from tests.http.test_protocols import AG_UI, VERCEL, Protocol

both = pytest.mark.parametrize("front", [VERCEL, AG_UI], ids=["vercel", "ag-ui"])


@pytest.mark.parametrize("steps", range(12))
async def test_a_run_that_is_ended_twice_keeps_what_was_said(tmp_path, steps):
    """A client that leaves and a server that stops, some steps of the event loop apart."""
    waits = asyncio.Event()

    async def stream(_messages, _info):
        yield "So far"
        waits.set()
        await asyncio.Event().wait()

    async with open_store(tmp_path, views=False) as store:
        memory = SessionMemory(store, agent_id="teller")
        agent = Agent(FunctionModel(stream_function=stream), capabilities=[memory])

        async def run():
            async with agent.run_stream_events("Go on.", conversation_id="s") as events:
                async for _event in events:
                    pass

        runs = Runs()
        task = runs.start(run())
        await waits.wait()
        runs.cancel(task)
        for _ in range(steps):
            await asyncio.sleep(0)
        await runs.stop()
        assert task.cancelled()
        found = await store.sessions("teller").load("s")
        assert found is not None
        said = found.messages[-1]
        assert isinstance(said, ModelResponse)
        assert (said.text, said.state) == ("So far", "interrupted")


async def leave(app: Any, front: Protocol, message: Any, left: asyncio.Event) -> None:
    """Send a request to the application, and close its connection once `left` is set."""
    body = [json.dumps(front.body(message)).encode()]

    async def receive() -> dict[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        pass

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": front.path,
        "raw_path": front.path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)


@both
async def test_what_is_said_just_after_a_stop_follows_what_was_stopped(tmp_path, front):
    waits, ends, may_end, left = (asyncio.Event() for _ in range(4))

    async def stream(messages, _info):
        yield f"To {messages[-1].parts[-1].content}"
        if not waits.is_set():
            waits.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.set()
                await may_end.wait()
                raise

    app = serving(tmp_path, Agent(FunctionModel(stream_function=stream)))
    async with asking(app) as client:
        first = asyncio.create_task(leave(app, front, front.user("u1", "one"), left))
        await waits.wait()
        left.set()
        await ends.wait()
        messages = front.user("u1", "one"), front.answer("To one"), front.user("u2", "two")
        next_one = asyncio.create_task(client.post(front.path, json=front.body(*messages)))
        await asyncio.wait({next_one}, timeout=0.3)
        assert not next_one.done()
        may_end.set()
        assert front.read(await next_one).text == "To two"
        await first
        found = (await client.get(front.path.rpartition("/")[0])).json()["messages"]
        assert [item["content"] for item in found] == ["one", "To one", "two", "To two"]


@both
async def test_a_run_is_stopped_also_before_it_said_anything(tmp_path, front):
    waits, left = asyncio.Event(), asyncio.Event()

    async def stream(_messages, _info):
        waits.set()
        await asyncio.Event().wait()
        yield "Never."

    app = serving(tmp_path, Agent(FunctionModel(stream_function=stream)))
    async with asking(app) as client:
        asked = asyncio.create_task(leave(app, front, front.user("u1", "one"), left))
        await waits.wait()
        left.set()
        await asyncio.wait_for(asked, PATIENCE / 2)
        found = (await client.get(front.path.rpartition("/")[0])).json()["messages"]
        assert [item["content"] for item in found if item["role"] == "user"] == ["one"]
