"""Runs that end well: loaded before, appended after, whatever the way to run."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext
from pydantic_ai.capabilities import ProcessHistory
from pydantic_ai.exceptions import ToolFailed, UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolReturn,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel

from mythline import ids
from mythline.agents import SessionMemory
from mythline.agents.recorder import Recorder
from mythline.errors import InvalidId, InvalidInput, StoreFull
from mythline.sessions import AgentSessions
from tests.agents.support import AGENT, ENTRIES, SESSION, CountingStore, Echo, Room, brief

ways = pytest.mark.parametrize("way", ENTRIES.values(), ids=ENTRIES)


@ways
async def test_each_way_to_run_goes_on_from_the_session(room: Room, echo: Echo, way: Any):
    agent = room.agent(echo.model)
    assert await way(agent, "one", conversation_id=SESSION) == "You said one"
    assert await way(agent, "two", conversation_id=SESSION) == "You said two"
    assert brief(echo.seen[1]) == ["user:one", "text:You said one", "user:two"]
    assert await room.brief() == [
        *("user:one", "text:You said one"),
        *("user:two", "text:You said two"),
    ]
    assert [turn.failed for turn in room.saved] == [False, False]
    entries = (await room.sessions.entries(SESSION)).entries
    assert [e.entry_id for e in entries] == [e for turn in room.saved for e in turn.entry_ids]
    assert room.saved[-1].revision == (await room.sessions.info(SESSION)).revision


@ways
async def test_one_read_and_one_durable_append_and_nothing_for_a_token(
    room: Room, echo: Echo, way: Any
):
    agent = room.agent(echo.model)

    @agent.tool_plain
    def look() -> str:
        return "seen"

    await way(agent, "first", conversation_id=SESSION)
    for prompt in ("word " * 300, "use look"):
        room.store.calls.clear()
        await way(agent, prompt, conversation_id=SESSION)
        calls = room.store.calls
        assert calls == {"get": 1, "line": 1, "save": 1}


@ways
async def test_tools_and_their_returns_are_kept(room: Room, echo: Echo, way: Any):
    agent = room.agent(echo.model)

    @agent.tool_plain
    def look() -> str:
        return "a well"

    await way(agent, "use look", conversation_id=SESSION)
    assert await room.brief() == [
        "user:use look",
        "call:look",
        "return:look",
        "text:You said use look",
    ]
    await way(agent, "next", conversation_id=SESSION)
    assert len(echo.seen[-1]) == 5


class Answer(BaseModel):
    a: int


@ways
async def test_an_output_tool_is_answered_so_that_the_next_prompt_works(room: Room, way: Any):
    agent = room.agent(TestModel(call_tools=[]), output_type=Answer)
    for prompt in ("one", "two"):
        assert await way(agent, prompt, conversation_id=SESSION) == Answer(a=0)
    turn = ["call:final_result", "return:final_result"]
    assert await room.brief() == ["user:one", *turn, "user:two", *turn]
    (returned,) = (await room.sessions.history(SESSION))[-1].parts
    assert isinstance(returned, ToolReturnPart)
    assert returned.content == "Final result processed."


async def test_a_stream_keeps_what_tools_returned_beside_its_output(room: Room):
    from pydantic_ai.models.function import DeltaToolCall, FunctionModel

    async def both(messages: list[ModelMessage], info: Any):
        yield {0: DeltaToolCall("final_result", '{"a": 1}', tool_call_id="f")}
        yield {1: DeltaToolCall("look", "{}", tool_call_id="l")}

    agent = room.agent(
        FunctionModel(stream_function=both), output_type=Answer, end_strategy="exhaustive"
    )

    @agent.tool_plain
    def look() -> str:
        return "a well"

    await ENTRIES["run_stream"](agent, "go", conversation_id=SESSION)
    last = (await room.sessions.history(SESSION))[-1]
    assert {p.tool_name: p.content for p in last.parts if isinstance(p, ToolReturnPart)} == {
        "final_result": "Final result processed.",
        "look": "a well",
    }


async def test_a_stream_keeps_whatever_came_of_the_tools_beside_its_output(room: Room):
    from pydantic_ai.models.function import DeltaToolCall, FunctionModel

    async def all_of_them(messages: list[ModelMessage], info: Any):
        yield {0: DeltaToolCall("final_result", '{"a": 1}', tool_call_id="f")}
        for at, name in enumerate(("draw", "again", "broken"), 1):
            yield {at: DeltaToolCall(name, "{}", tool_call_id=name)}

    agent = room.agent(
        FunctionModel(stream_function=all_of_them), output_type=Answer, end_strategy="exhaustive"
    )

    @agent.tool_plain
    def draw() -> ToolReturn:
        page = BinaryContent(data=b"%PDF", media_type="application/pdf")
        return ToolReturn("drawn", content=["See:", page], metadata={"pen": 1})

    @agent.tool_plain
    def again() -> str:
        raise ModelRetry("another pen")

    @agent.tool_plain
    def broken() -> str:
        raise ToolFailed("no ink")

    async with agent.run_stream("go", conversation_id=SESSION) as stream:
        await stream.get_output()
    stored, said = (await room.sessions.history(SESSION))[-1], stream.all_messages()[-1]
    assert [replace(part, timestamp=None) for part in stored.parts] == [
        replace(part, timestamp=None) for part in said.parts
    ]


async def test_a_tool_that_a_stream_skips_is_not_said_to_have_returned(room: Room):
    from pydantic_ai.models.function import DeltaToolCall, FunctionModel

    async def twice(messages: list[ModelMessage], info: Any):
        yield {0: DeltaToolCall("look", "{}", tool_call_id="same")}
        if len(messages) > 1:
            yield {1: DeltaToolCall("final_result", '{"a": 1}', tool_call_id="f")}

    agent = room.agent(
        FunctionModel(stream_function=twice), output_type=Answer, end_strategy="early"
    )

    @agent.tool_plain
    def look() -> str:
        return "a well"

    await ENTRIES["run_stream"](agent, "go", conversation_id=SESSION)
    returned = [
        part.content
        for message in await room.sessions.history(SESSION)
        for part in message.parts
        if isinstance(part, ToolReturnPart) and part.tool_name == "look"
    ]
    assert returned == ["a well", "Tool not executed - a final result was already processed."]


def test_a_history_that_was_copied_behind_the_hooks_is_not_taken_for_new():
    first = ModelRequest([UserPromptPart("one")], run_id="r")
    recorder = Recorder("r")
    recorder.look([first])
    answer = ModelResponse([TextPart("two")], run_id="r")
    recorder.look([deepcopy(first), answer])
    assert recorder.finish(ended=True) == [first, answer]


async def test_an_id_is_generated_and_readable_on_the_result(room: Room, echo: Echo):
    agent = room.agent(echo.model)
    result = await agent.run("hello")
    assert result.conversation_id.startswith("session_")
    ids.check_session_id(result.conversation_id)
    assert await room.brief(result.conversation_id) == ["user:hello", "text:You said hello"]
    other = await agent.run("hello", conversation_id="new")
    assert other.conversation_id != result.conversation_id
    assert len(await room.sessions.list()) == 2


async def test_an_id_that_cant_name_a_session_is_refused(room: Room, echo: Echo):
    with pytest.raises(InvalidId):
        await room.agent(echo.model).run("hello", conversation_id="../etc")
    assert not echo.seen


@ways
async def test_the_system_prompt_opens_a_session_once(room: Room, echo: Echo, way: Any):
    agent = room.agent(echo.model, system_prompt="Be kind.", instructions="Be brief.")
    for prompt in ("one", "two"):
        await way(agent, prompt, conversation_id=SESSION)
    history = await room.sessions.history(SESSION)
    systems = [p for m in history for p in m.parts if isinstance(p, SystemPromptPart)]
    assert len(systems) == 1
    assert [m.instructions for m in history if isinstance(m, ModelRequest)] == ["Be brief."] * 2


# What the model saw is not what is stored


def _last_only(messages: list[ModelMessage]) -> list[ModelMessage]:
    return messages[-1:]


def _copied(messages: list[ModelMessage]) -> list[ModelMessage]:
    return deepcopy(messages)


def _summed_up(messages: list[ModelMessage]) -> list[ModelMessage]:
    return [ModelRequest([UserPromptPart("Summary")]), *messages[-1:]]


def _summed_up_in_the_request(messages: list[ModelMessage]) -> list[ModelMessage]:
    assert isinstance(messages[-1], ModelRequest)
    return [ModelRequest([UserPromptPart("Summary"), *messages[-1].parts])]


def _edited(messages: list[ModelMessage]) -> list[ModelMessage]:
    def edit(message: ModelMessage) -> ModelMessage:
        if isinstance(message, ModelRequest):
            return ModelRequest(
                [
                    UserPromptPart("***") if isinstance(p, UserPromptPart) else p
                    for p in message.parts
                ]
            )
        return message

    return [edit(message) for message in messages]


@ways
@pytest.mark.parametrize(
    "processor", [_last_only, _copied, _summed_up, _summed_up_in_the_request, _edited]
)
async def test_only_new_messages_are_appended_whatever_the_model_saw(
    room: Room, way: Any, processor: Any
):
    from pydantic_ai.models.function import DeltaToolCall, FunctionModel

    left = 0

    async def stream(messages: list[ModelMessage], info: Any):
        nonlocal left
        left -= 1
        if left > 0:
            yield {0: DeltaToolCall("look", "{}", tool_call_id=f"c{left}")}
        else:
            yield "done"

    async def answer(messages: list[ModelMessage], info: Any) -> ModelResponse:
        from pydantic_ai.messages import TextPart, ToolCallPart

        nonlocal left
        left -= 1
        called = ToolCallPart("look", {}, tool_call_id=f"c{left}")
        return ModelResponse([called if left > 0 else TextPart("done")])

    model = FunctionModel(answer, stream_function=stream)
    agent = room.agent(model, ProcessHistory(processor), instructions="Be brief.")

    @agent.tool_plain
    def look() -> str:
        return "seen"

    expected: list[str] = []
    for prompt in ("one", "two", "three"):
        left = 4
        await way(agent, prompt, conversation_id=SESSION)
        expected += [f"user:{prompt}", *["call:look", "return:look"] * 3, "text:done"]
        assert await room.brief() == expected


async def test_messages_enqueued_by_a_tool_are_kept_in_their_place(room: Room, echo: Echo):
    agent = room.agent(echo.model, ProcessHistory(_copied))

    @agent.tool
    def look(ctx: RunContext[None]) -> str:
        ctx.enqueue("and a note")
        return "seen"

    result = await agent.run("use look", conversation_id=SESSION)
    assert await room.brief() == brief(result.all_messages())
    assert "user:and a note" in await room.brief()


async def test_a_retry_is_kept(room: Room, echo: Echo):
    agent = room.agent(echo.model)
    rejected: list[str] = []

    @agent.output_validator
    def check(output: str) -> str:
        if not rejected:
            rejected.append(output)
            raise ModelRetry("Again.")
        return output

    result = await agent.run("one", conversation_id=SESSION)
    stored = await room.sessions.history(SESSION)
    assert brief(stored) == brief(result.all_messages())
    assert len(stored) == 4


async def test_without_a_prompt_the_last_request_is_sent_again_and_not_doubled(
    room: Room, echo: Echo
):
    agent = room.agent(echo.model)
    echo.fail = RuntimeError("down")
    with pytest.raises(RuntimeError):
        await agent.run("one", conversation_id=SESSION)
    with pytest.raises(RuntimeError):
        await agent.run(conversation_id=SESSION)
    assert await room.brief() == ["user:one"]
    echo.fail = None
    await agent.run(conversation_id=SESSION)
    assert await room.brief() == ["user:one", "text:You said one"]


# What the capability is given


async def test_owners_are_apart_and_come_from_the_run(room: Room, echo: Echo):
    async def whose(ctx: RunContext[str]) -> str:
        return ctx.deps

    for owner in (lambda ctx: ctx.deps, whose):
        agent = room.agent(echo.model, memory=room.memory(owner=owner), deps_type=str)
        await agent.run("mine", conversation_id=SESSION, deps="alice")
        await agent.run("his", conversation_id=SESSION, deps="bob")
        assert brief(echo.seen[-1])[-1] == "user:his"
        assert "user:mine" not in brief(echo.seen[-1])
    alice = AgentSessions(room.store, AGENT, owner="alice")
    assert brief(await alice.history(SESSION)) == ["user:mine", "text:You said mine"] * 2
    assert not await room.sessions.exists(SESSION)
    assert {turn.owner for turn in room.saved} == {"alice", "bob"}


async def test_a_capability_of_the_run_takes_the_place_of_the_agents(room: Room, echo: Echo):
    agent = room.agent(echo.model)
    await agent.run("one", conversation_id=SESSION, capabilities=[room.memory(owner="alice")])
    assert not await room.sessions.exists(SESSION)
    assert [turn.owner for turn in room.saved] == ["alice"]
    with pytest.raises(UserError, match="one SessionMemory"):
        room.agent(echo.model, room.memory())


def test_arguments_are_checked(tmp_path: Any):
    store = CountingStore(tmp_path)
    with pytest.raises(InvalidId):
        SessionMemory(store, agent_id="a/b")
    with pytest.raises(InvalidId):
        SessionMemory(store, agent_id="a", owner="")
    with pytest.raises(InvalidInput):
        SessionMemory(store, agent_id="a", on_conflict="overwrite")  # type: ignore[arg-type]


async def test_a_turn_that_could_not_be_stored_raises(room: Room, echo: Echo):
    async def full() -> None:
        raise StoreFull

    room.store.before_save = full
    with pytest.raises(StoreFull):
        await room.agent(echo.model).run("one", conversation_id=SESSION)


# Usage


async def test_a_fifty_first_turn_works_and_usage_adds_up(room: Room, echo: Echo):
    agent = room.agent(echo.model)
    tokens = 0
    for number in range(52):
        result = await agent.run(f"{number}", conversation_id=SESSION)
        tokens += result.usage.output_tokens
    record = await room.sessions.read_record(SESSION)
    assert record is not None
    assert record.usage.requests == 52
    assert record.usage.output_tokens == tokens
    assert len(await room.brief()) == 104


async def test_usage_that_was_passed_in_is_not_counted_again(room: Room, echo: Echo):
    from pydantic_ai.usage import RunUsage

    agent = room.agent(echo.model)
    shared = RunUsage(requests=7, input_tokens=1000)
    await agent.run("one", conversation_id=SESSION, usage=shared)
    conversation = await room.sessions.load(SESSION)
    assert conversation is not None
    assert conversation.usage.requests == 1
    await agent.run("two", conversation=conversation)
    record = await room.sessions.read_record(SESSION)
    assert record is not None
    assert record.usage.requests == 2
    assert shared.requests == 8


# Several at a time


async def test_one_agent_in_many_sessions_at_once(room: Room, echo: Echo):
    agent = room.agent(echo.model)
    for turn in range(3):
        await asyncio.gather(
            *(agent.run(f"{turn} in {n}", conversation_id=f"s{n}") for n in range(8))
        )
    for n in range(8):
        assert await room.brief(f"s{n}") == [
            word for t in range(3) for word in (f"user:{t} in {n}", f"text:You said {t} in {n}")
        ]


@pytest.mark.parametrize("way", ["run", "run_stream", "run_stream_events", "iter"])
async def test_nested_agents_have_sessions_of_their_own(room: Room, way: str):
    inner_model, outer_model = Echo(), Echo()
    inner = Agent(inner_model.model, capabilities=[SessionMemory(room.store, agent_id="helper")])
    agent = room.agent(outer_model.model)

    @agent.tool
    async def ask(ctx: RunContext[None]) -> str:
        return await ENTRIES[way](inner, "inner", conversation_id="side", usage=ctx.usage)

    for _ in range(2):
        await ENTRIES[way](agent, "use ask", conversation_id=SESSION)
    turn = ["user:use ask", "call:ask", "return:ask", "text:You said use ask"]
    assert await room.brief() == turn * 2
    helper = AgentSessions(room.store, "helper")
    assert brief(await helper.history("side")) == ["user:inner", "text:You said inner"] * 2
    record = await helper.read_record("side")
    assert record is not None
    assert record.usage.requests == 2
