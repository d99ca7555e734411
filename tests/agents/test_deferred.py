"""Calls that wait for an answer survive a restart, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent, DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDenied
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.tools import RunContext

from mythline.agents import SessionMemory
from mythline.errors import InvalidInput
from mythline.local import LocalStore
from mythline.sessions import AgentSessions
from tests.agents.support import AGENT, ENTRIES, SESSION, Echo, Room, brief

ways = pytest.mark.parametrize("way", ENTRIES.values(), ids=ENTRIES)
CALLS = ("plain", "approve", "outside")


def _asks(messages: list[ModelMessage]) -> bool:
    return not any(isinstance(part, ToolReturnPart) for part in messages[-1].parts)


async def _answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    if _asks(messages):
        return ModelResponse([ToolCallPart(name, {}, tool_call_id=name) for name in CALLS])
    return ModelResponse([TextPart("done")])


async def _stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    if _asks(messages):
        for index, name in enumerate(CALLS):
            yield {index: DeltaToolCall(name, "{}", tool_call_id=name)}
    else:
        yield "done"


def an_agent(store: LocalStore, **options: Any) -> Any:
    agent: Any = Agent(
        FunctionModel(_answer, stream_function=_stream),
        output_type=[str, DeferredToolRequests],
        capabilities=[SessionMemory(store, agent_id=AGENT, **options)],
    )

    @agent.tool_plain
    def plain() -> str:
        return "plain"

    @agent.tool
    def approve(ctx: RunContext[None]) -> str:
        if not ctx.tool_call_approved:
            raise ApprovalRequired(metadata={"why": "costs"})
        return "approved"

    @agent.tool_plain
    def outside() -> str:
        raise CallDeferred(metadata={"job": 7})

    return agent


ANSWERS = DeferredToolResults(calls={"outside": "42"}, approvals={"approve": ToolApproved()})


@ways
async def test_a_restart_between_the_request_and_its_answer(tmp_path: Path, way: Any):
    async with LocalStore(tmp_path) as store:
        await way(an_agent(store), "go", conversation_id=SESSION)
    async with LocalStore(tmp_path) as store:
        record = await AgentSessions(store, AGENT).read_record(SESSION)
        assert record is not None
        waiting = record.deferred_tool_requests
        assert waiting is not None
        assert [call.tool_name for call in waiting.calls] == ["outside"]
        assert [call.tool_name for call in waiting.approvals] == ["approve"]
        assert waiting.metadata == {"approve": {"why": "costs"}, "outside": {"job": 7}}
    async with LocalStore(tmp_path) as store:
        agent = an_agent(store)
        output = await way(agent, conversation_id=SESSION, deferred_tool_results=ANSWERS)
        assert output == "done"
        sessions = AgentSessions(store, AGENT)
        history = await sessions.history(SESSION)
        returned = {
            part.tool_name: part.content
            for message in history
            for part in message.parts
            if isinstance(part, ToolReturnPart)
        }
        assert returned == {"plain": "plain", "approve": "approved", "outside": "42"}
        assert brief(history).count("return:plain") == 1
        record = await sessions.read_record(SESSION)
        assert record is not None
        assert record.deferred_tool_requests is None


@ways
async def test_calls_that_wait_are_not_closed_by_a_new_prompt_alone(room: Room, way: Any):
    agent = an_agent(room.store)
    model = FunctionModel(
        lambda messages, info: (
            ModelResponse([ToolCallPart("approve", {}, tool_call_id="approve")])
            if _asks(messages)
            else ModelResponse([TextPart("done")])
        ),
        stream_function=_stream_approval,
    )
    await way(agent, "go", conversation_id=SESSION, model=model)
    before = await room.brief()
    with pytest.raises(UserError, match="unprocessed tool calls"):
        await way(agent, "never mind", conversation_id=SESSION, model=model)
    assert await room.brief() == before
    record = await room.sessions.read_record(SESSION)
    assert record is not None
    assert record.deferred_tool_requests is not None
    denied = DeferredToolResults(approvals={"approve": ToolDenied("no")})
    await way(agent, conversation_id=SESSION, deferred_tool_results=denied, model=model)
    assert await room.brief() == [*before, "return:approve", "text:done"]


@ways
@pytest.mark.parametrize("prompt", ["never mind", None])
async def test_calls_that_wait_beside_one_that_returned_are_not_closed_either(
    room: Room, way: Any, prompt: str | None
):
    agent = an_agent(room.store)
    await way(agent, "go", conversation_id=SESSION)
    before = await room.brief()
    assert before[-1] == "return:plain"
    with pytest.raises(UserError, match="waits for answers to 'outside', 'approve'"):
        await way(agent, prompt, conversation_id=SESSION)
    assert await room.brief() == before
    assert await way(agent, conversation_id=SESSION, deferred_tool_results=ANSWERS) == "done"


async def test_a_session_that_went_on_after_calls_that_waited_takes_a_prompt(room: Room):
    """By another program, which knows nothing of what waits."""
    agent = an_agent(room.store)
    await agent.run("go", conversation_id=SESSION)
    record = await room.sessions.read_record(SESSION)
    assert record is not None
    await room.sessions.append(SESSION, [ModelResponse([TextPart("I went on")])])
    went_on = await room.sessions.read_record(SESSION)
    assert went_on is not None
    await room.sessions.write_record(
        replace(
            went_on,
            deferred_tool_requests=record.deferred_tool_requests,
            revision="01a00000-0000-7000-8000-000000000000",
        ),
        expected_revision=went_on.revision,
    )
    await agent.run("next", conversation_id=SESSION)
    assert "user:next" in await room.brief()


async def _stream_approval(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
    if _asks(messages):
        yield {0: DeltaToolCall("approve", "{}", tool_call_id="approve")}
    else:
        yield "done"


@ways
async def test_an_answer_with_a_new_prompt(room: Room, way: Any):
    agent = an_agent(room.store)
    await way(agent, "go", conversation_id=SESSION)
    await way(agent, "and hurry", conversation_id=SESSION, deferred_tool_results=ANSWERS)
    assert "user:and hurry" in await room.brief()
    assert (await room.brief())[-1] == "text:done"


async def test_an_answered_run_that_fails_leaves_nothing_waiting(room: Room):
    agent = an_agent(room.store)
    await agent.run("go", conversation_id=SESSION)

    async def fail(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await agent.run(
            conversation_id=SESSION, deferred_tool_results=ANSWERS, model=FunctionModel(fail)
        )
    record = await room.sessions.read_record(SESSION)
    assert record is not None
    assert record.deferred_tool_requests is None
    assert brief(await room.sessions.history(SESSION))[-2:] == ["return:approve", "return:outside"]
    await agent.run("next", conversation_id=SESSION)


async def test_a_session_that_ends_in_calls_nobody_waits_for_takes_a_prompt(room: Room, echo: Echo):
    """Another program's, say, which died between the call and its answer."""
    agent = room.agent(echo.model)
    await room.sessions.create(SESSION)
    await room.sessions.append(
        SESSION,
        [
            ModelRequest.user_text_prompt("old"),
            ModelResponse([ToolCallPart("look", {}, tool_call_id="l")]),
        ],
    )
    await agent.run("new", conversation_id=SESSION)
    assert brief(echo.seen[-1]) == ["user:old", "call:look", "return:look", "user:new"]
    assert await room.brief() == ["user:old", "call:look", "user:new", "text:You said new"]


async def test_a_suspended_response_is_replaced_by_what_it_became(room: Room, echo: Echo):
    agent = room.agent(echo.model)
    await room.sessions.create(SESSION)
    await room.sessions.append(
        SESSION,
        [
            ModelRequest.user_text_prompt("old"),
            ModelResponse([TextPart("I am thinking")], state="suspended"),
        ],
    )
    tip = (await room.sessions.info(SESSION)).head_id
    await agent.run(conversation_id=SESSION)
    stored = await room.sessions.history(SESSION)
    assert [message.kind for message in stored] == ["request", "response"]
    assert isinstance(stored[-1], ModelResponse)
    assert stored[-1].state == "complete"
    assert (await room.sessions.info(SESSION)).branches == (tip,)
    await agent.run("next", conversation_id=SESSION)
    assert len(await room.sessions.history(SESSION)) == 4


@ways
@pytest.mark.parametrize(
    "given",
    [
        DeferredToolResults(calls={"outside": "42"}),
        DeferredToolResults(calls={"outside": "42", "more": 1}, approvals={"approve": True}),
    ],
)
async def test_answers_to_other_calls_leave_the_session_waiting(
    room: Room, way: Any, given: DeferredToolResults
):
    agent = an_agent(room.store)
    await way(agent, "go", conversation_id=SESSION)
    before = await room.brief()
    with pytest.raises(InvalidInput, match="'outside', 'approve'"):
        await way(agent, conversation_id=SESSION, deferred_tool_results=given)
    assert await room.brief() == before
    assert await way(agent, conversation_id=SESSION, deferred_tool_results=ANSWERS) == "done"
