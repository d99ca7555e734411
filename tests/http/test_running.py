"""Runs that are ended from more than one side."""

from __future__ import annotations

import asyncio

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse
from pydantic_ai.models.function import FunctionModel

from mythline import open_store
from mythline.agents import SessionMemory
from mythline.http.running import Runs


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
