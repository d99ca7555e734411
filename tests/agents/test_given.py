"""A history passed beside the session is recognized or refused, and never doubled."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Conversation, DeferredToolResults
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

from mythline.errors import InvalidInput
from tests.agents.support import ENTRIES, SESSION, Echo, Room, brief

ways = pytest.mark.parametrize("way", ENTRIES.values(), ids=ENTRIES)
ONE = ["user:one", "text:You said one"]
TWO = ["user:two", "text:You said two"]
THREE = ["user:three", "text:You said three"]


@pytest.fixture
async def agent(room: Room, echo: Echo) -> Any:
    agent = room.agent(echo.model)
    for prompt in ("one", "two"):
        await agent.run(prompt, conversation_id=SESSION)
    return agent


@ways
async def test_the_whole_history(room: Room, echo: Echo, agent: Any, way: Any):
    history = await room.sessions.history(SESSION)
    await way(agent, "three", conversation_id=SESSION, message_history=history)
    assert await room.brief() == ONE + TWO + THREE
    assert brief(echo.seen[-1]) == [*ONE, *TWO, "user:three"]


@ways
async def test_the_conversation(room: Room, agent: Any, way: Any):
    conversation = await room.sessions.load(SESSION)
    await way(agent, "three", conversation=conversation)
    assert await room.brief() == ONE + TWO + THREE
    assert (await room.sessions.info(SESSION)).branches == ()


async def test_what_an_earlier_result_has(room: Room, agent: Any):
    result = await agent.run("three", conversation_id=SESSION)
    for number in range(3):
        result = await agent.run(f"{number}", message_history=result.all_messages())
        result = await agent.run(f"again {number}", conversation=result.conversation)
    prompts = [w for w in await room.brief() if w.startswith("user:")]
    assert prompts == [f"user:{p}" for p in ("one", "two", "three")] + [
        f"user:{p}" for n in range(3) for p in (f"{n}", f"again {n}")
    ]


async def test_a_dynamic_system_prompt_that_has_changed_since(room: Room, echo: Echo):
    agent = room.agent(echo.model)
    runs = iter(range(100))

    @agent.system_prompt(dynamic=True)
    def now() -> str:
        return f"It is {next(runs)} o'clock."

    result = await agent.run("0", conversation_id=SESSION)
    for number in range(1, 4):
        result = await agent.run(f"{number}", message_history=result.all_messages())
        assert result.conversation_id == SESSION
    result = await agent.run("4", conversation=result.conversation)
    prompts = [w for w in await room.brief() if w.startswith("user:")]
    assert prompts == [f"user:{number}" for number in range(5)]


async def test_the_end_of_the_history(room: Room, echo: Echo, agent: Any):
    end = await room.sessions.load(SESSION, limit=2)
    await agent.run("three", conversation=end)
    assert await room.brief() == ONE + TWO + THREE
    assert brief(echo.seen[-1]) == [*TWO, "user:three"]


@pytest.mark.parametrize("known", range(1, 5))
async def test_new_messages_after_the_end_of_the_history(
    room: Room, echo: Echo, agent: Any, known: int
):
    end = (await room.sessions.history(SESSION))[-known:]
    end += [ModelRequest([UserPromptPart("by hand")]), ModelResponse([TextPart("noted")])]
    await agent.run("three", conversation_id=SESSION, message_history=end)
    assert await room.brief() == [*ONE, *TWO, "user:by hand", "text:noted", *THREE]
    assert brief(echo.seen[-1])[-4:] == [TWO[-1], "user:by hand", "text:noted", "user:three"]


async def test_a_stale_history_is_refused_though_its_words_were_said_again(
    room: Room, echo: Echo, agent: Any
):
    stale = (await room.sessions.history(SESSION))[:2]
    await agent.run("one", conversation_id=SESSION)
    stale += [ModelRequest([UserPromptPart("by hand")]), ModelResponse([TextPart("noted")])]
    with pytest.raises(InvalidInput, match="is not what session"):
        await agent.run("three", conversation_id=SESSION, message_history=stale)
    assert await room.brief() == [*ONE, *TWO, *ONE]


async def test_new_messages_after_the_history_are_stored_with_the_turn(room: Room, agent: Any):
    history = await room.sessions.history(SESSION)
    history += [ModelRequest([UserPromptPart("by hand")]), ModelResponse([TextPart("noted")])]
    await agent.run("three", conversation_id=SESSION, message_history=history)
    assert await room.brief() == [*ONE, *TWO, "user:by hand", "text:noted", *THREE]


async def test_a_history_begins_a_session_that_is_not_there(room: Room, agent: Any):
    history = await room.sessions.history(SESSION)
    await agent.run("three", conversation_id="another", message_history=history)
    assert await room.brief("another") == ONE + TWO + THREE
    mine = Conversation(messages=history, conversation_id="mine")
    await agent.run("three", conversation=mine)
    assert await room.brief("mine") == ONE + TWO + THREE


async def test_a_history_that_a_run_repaired(room: Room, echo: Echo, agent: Any):
    """After a failure, what results carry has requests merged and calls answered."""

    @agent.tool_plain
    def look() -> str:
        raise RuntimeError

    for _ in range(2):
        echo.fail = RuntimeError()
        with pytest.raises(RuntimeError):
            await agent.run("lost", conversation_id=SESSION)
    echo.fail = None
    with pytest.raises(RuntimeError):
        await agent.run("use look", conversation_id=SESSION)
    result = await agent.run("three", conversation_id=SESSION)
    count = len(await room.sessions.history(SESSION))
    result = await agent.run("four", message_history=result.all_messages())
    assert len(await room.sessions.history(SESSION)) == count + 2
    await agent.run("five", message_history=result.all_messages())
    assert len(await room.sessions.history(SESSION)) == count + 4


class Place(BaseModel):
    name: str


async def test_values_that_json_changes_are_recognized(room: Room, echo: Echo):
    agent = room.agent(echo.model)

    @agent.tool_plain
    def look() -> tuple[Place, bytes]:
        return Place(name="well"), b"\x00\xff"

    result = await agent.run("use look", conversation_id=SESSION)
    await agent.run("three", message_history=result.all_messages())
    assert len(await room.sessions.history(SESSION)) == 6


@ways
@pytest.mark.parametrize("case", ["other", "earlier", "gap"])
async def test_another_history_is_refused(room: Room, echo: Echo, agent: Any, way: Any, case: str):
    history = await room.sessions.history(SESSION)
    given = {
        "other": [ModelRequest([UserPromptPart("else")]), ModelResponse([TextPart("else")])],
        "earlier": history[:2],
        "gap": [history[0], *history[2:]],
    }[case]
    seen = len(echo.seen)
    with pytest.raises(InvalidInput, match="Leave it out"):
        await way(agent, "three", conversation_id=SESSION, message_history=given)
    assert len(echo.seen) == seen
    assert await room.brief() == ONE + TWO


async def test_a_result_that_was_kept_cant_be_saved_again(room: Room, agent: Any):
    result = await agent.run("three", conversation_id=SESSION)
    with pytest.raises(ConversationConflict):
        await room.sessions.save(result)
    loaded = await agent.run("four", conversation=await room.sessions.load(SESSION))
    with pytest.raises(ConversationConflict):
        await room.sessions.save(loaded)
    assert len(await room.sessions.history(SESSION)) == 8


async def test_a_run_id_that_was_used_is_refused(room: Room, agent: Any):
    await agent.run("three", conversation_id=SESSION, run_id="mine")
    with pytest.raises(InvalidInput, match="run_id"):
        await agent.run("four", conversation_id=SESSION, run_id="mine")
    assert await room.brief() == ONE + TWO + THREE


async def test_a_session_another_program_wrote_goes_on(room: Room, echo: Echo):
    from mythline import messages

    bodies = messages.dump(
        [ModelRequest([UserPromptPart("old")]), ModelResponse([TextPart("reply")])]
    )
    await room.sessions.import_(messages.view(bodies), session_id=SESSION)
    agent = room.agent(echo.model)
    await agent.run("new", conversation_id=SESSION)
    assert await room.brief() == ["user:old", "text:reply", "user:new", "text:You said new"]


async def test_messages_that_came_with_a_run_that_did_nothing_are_not_stored(
    room: Room, agent: Any
):
    history = await room.sessions.history(SESSION)
    history += [ModelRequest([UserPromptPart("by hand")]), ModelResponse([TextPart("noted")])]
    with pytest.raises(UserError, match="unprocessed tool calls"):
        await agent.run(
            conversation_id=SESSION,
            message_history=history,
            deferred_tool_results=DeferredToolResults(calls={"nothing": 1}),
        )
    assert await room.brief() == ONE + TWO
