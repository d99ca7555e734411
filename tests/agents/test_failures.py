"""Runs that don't end well keep what had happened, and the next prompt works."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest
from pydantic_ai import CancellationToken, RunContext, ToolOutput, ToolReturn
from pydantic_ai.exceptions import RunCancelled, RunTimedOut, UsageLimitExceeded
from pydantic_ai.messages import (
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.usage import UsageLimits

from mythline.agents import SavedTurn
from mythline.agents.recorder import Recorder
from mythline.errors import StoreFull
from tests.agents.support import (
    ENTRIES,
    SESSION,
    Echo,
    Room,
    brief,
    by_run,
    by_stream,
    reached,
)

ASYNC = {name: way for name, way in ENTRIES.items() if name != "run_sync"}
ways = pytest.mark.parametrize("way", ENTRIES.values(), ids=ENTRIES)
async_ways = pytest.mark.parametrize("way", ASYNC.values(), ids=ASYNC)
STREAMS = [ENTRIES[name] for name in ("run_stream", "run_stream_events", "iter with streams")]


class Down(Exception):
    pass


class Scene:
    """An agent whose tool `look` does what it is told, in a session that has a turn already."""

    def __init__(self, room: Room, echo: Echo) -> None:
        self.room = room
        self.echo = echo
        self.agent = room.agent(echo.model)
        self.in_tool: Callable[[RunContext[None]], Awaitable[str]] | None = None
        self.reached = asyncio.Event()
        self.ended = asyncio.Event()

        @self.agent.tool
        async def look(ctx: RunContext[None]) -> str:
            self.reached.set()
            if self.in_tool is not None:
                return await self.in_tool(ctx)
            return "a well"

    async def forever(self, ctx: RunContext[None] | None = None) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        return ""

    async def stored(self) -> list[str]:
        """What came after the first turn."""
        return (await self.room.brief())[2:]

    async def check_next(self, way: Any) -> None:
        """The next prompts work; the model is sent a history that any provider takes."""
        self.in_tool = self.echo.fail = self.echo.hold = None
        before = await self.room.brief()
        for prompt in ("next", "use look"):
            await way(self.agent, prompt, conversation_id=SESSION)
            _check_paired(self.echo.seen[-1])
        turn = ["user:next", "text:You said next"]
        again = ["user:use look", "call:look", "return:look", "text:You said use look"]
        assert await self.room.brief() == before + turn + again
        assert self.room.saved[-1].failed is False


def _check_paired(sent: list[Any]) -> None:
    """Every call is answered in the request after it, as providers ask."""
    for message, following in zip(sent, [*sent[1:], None], strict=True):
        if isinstance(message, ModelResponse) and message.tool_calls:
            assert isinstance(following, ModelRequest)
            answered = {p.tool_call_id for p in following.parts if isinstance(p, ToolReturnPart)}
            assert {call.tool_call_id for call in message.tool_calls} <= answered


@pytest.fixture
async def scene(room: Room, echo: Echo) -> Scene:
    scene = Scene(room, echo)
    await by_run(scene.agent, "first", conversation_id=SESSION)
    room.saved.clear()
    room.saving.clear()
    echo.reached.clear()
    return scene


# Errors


@ways
async def test_the_model_raises(scene: Scene, way: Any):
    scene.echo.fail = Down()
    with pytest.raises(Down):
        await way(scene.agent, "two words", conversation_id=SESSION)
    (turn,) = scene.room.saved
    assert turn.failed
    stored = await scene.stored()
    assert stored == ["user:two words", *(["text:You"] if way in STREAMS else [])]
    if way in STREAMS:
        last = (await scene.room.sessions.history(SESSION))[-1]
        assert isinstance(last, ModelResponse)
        assert last.state == "interrupted"
    await scene.check_next(way)


@ways
async def test_a_tool_raises(scene: Scene, way: Any):
    async def fail(ctx: RunContext[None]) -> str:
        raise Down

    scene.in_tool = fail
    with pytest.raises(Down):
        await way(scene.agent, "use look", conversation_id=SESSION)
    assert await scene.stored() == ["user:use look", "call:look"]
    last = (await scene.room.sessions.history(SESSION))[-1]
    assert isinstance(last, ModelRequest)
    assert last.state == "interrupted"
    await scene.check_next(way)


@ways
async def test_the_first_run_of_a_session_fails(room: Room, echo: Echo, way: Any):
    scene = Scene(room, echo)
    echo.fail = Down()
    with pytest.raises(Down):
        await way(scene.agent, "one", conversation_id=SESSION)
    assert (await room.brief())[0] == "user:one"
    await scene.check_next(way)


@ways
@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (UsageLimits(request_limit=1), ["user:use look", "call:look", "return:look"]),
        (UsageLimits(tool_calls_limit=0), ["user:use look", "call:look"]),
        (UsageLimits(output_tokens_limit=1), ["user:use look", "call:look"]),
        (UsageLimits(request_limit=0), ["user:use look"]),
    ],
    ids=["requests", "tool calls", "tokens", "nothing"],
)
async def test_a_usage_limit(scene: Scene, way: Any, limits: UsageLimits, kept: list[str]):
    with pytest.raises(UsageLimitExceeded):
        await way(scene.agent, "use look", conversation_id=SESSION, usage_limits=limits)
    stored = await scene.stored()
    if limits.output_tokens_limit and way in STREAMS:  # not counted for a call that is streamed
        kept = ["user:use look", "call:look", "return:look", "text:You"]
    assert stored == kept
    await scene.check_next(way)


@ways
async def test_an_error_before_anything_was_said_leaves_the_session_as_it_is(
    scene: Scene, way: Any
):
    revision = (await scene.room.sessions.info(SESSION)).revision

    @scene.agent.system_prompt(dynamic=True)
    def broken() -> str:
        raise Down

    with pytest.raises(Down):
        await way(scene.agent, "one", conversation_id="another")
    assert not await scene.room.sessions.exists("another")
    assert (await scene.room.sessions.info(SESSION)).revision == revision


@ways
async def test_the_time_of_the_run_is_up(scene: Scene, way: Any):
    scene.in_tool = scene.forever
    with pytest.raises(RunTimedOut):
        await way(scene.agent, "use look", conversation_id=SESSION, timeout=0.4)
    assert await scene.stored() == ["user:use look", "call:look"]
    await scene.check_next(way)


@ways
async def test_a_token_cancels(scene: Scene, way: Any):
    token = CancellationToken()

    async def cancel(ctx: RunContext[None]) -> str:
        token.cancel()
        return await scene.forever()

    scene.in_tool = cancel
    with pytest.raises(RunCancelled):
        await way(scene.agent, "use look", conversation_id=SESSION, cancellation_token=token)
    assert await scene.stored() == ["user:use look", "call:look"]
    await scene.check_next(way)


# Cancellation from outside


@async_ways
@pytest.mark.parametrize("place", ["model", "tool"])
@pytest.mark.parametrize("how", ["task", "twice", "scope", "timeout"])
async def test_cancelled(scene: Scene, way: Any, place: str, how: str):
    scene.in_tool = scene.forever
    scene.echo.hold = asyncio.Event() if place == "model" else None
    prompt = "two words" if place == "model" else "use look"
    there = scene.echo.reached if place == "model" else scene.reached
    going = asyncio.Event()
    finish = asyncio.Event()

    async def slowly() -> None:  # it is cancelled again while it saves
        going.set()
        await finish.wait()

    async def run() -> None:
        await way(scene.agent, prompt, conversation_id=SESSION)

    if how == "scope":
        async with anyio.create_task_group() as group:
            group.start_soon(run)
            await reached(there)
            group.cancel_scope.cancel()
    elif how == "timeout":

        async def in_time() -> None:
            async with asyncio.timeout(None) as timeout:
                task = asyncio.ensure_future(there.wait())
                task.add_done_callback(lambda _: timeout.reschedule(0))
                await run()

        with pytest.raises(TimeoutError):
            await in_time()
    else:
        scene.room.store.before_save = slowly if how == "twice" else None
        task = asyncio.ensure_future(run())
        await reached(there, task)
        task.cancel()
        if how == "twice":
            await reached(going, task)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            finish.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        scene.room.store.before_save = None
    assert len(scene.room.saved) == 1
    assert scene.room.saved[0].failed
    stored = await scene.stored()
    if place == "tool":
        assert stored == ["user:use look", "call:look"]
    else:
        assert stored[0] == "user:two words"
        assert len(stored) <= 2
    await scene.check_next(way)


async def test_a_tool_that_had_returned_keeps_its_return(scene: Scene):
    async def two(messages: list[Any], info: Any) -> ModelResponse:
        return ModelResponse(
            [
                ToolCallPart("quick", {}, tool_call_id="q"),
                ToolCallPart("look", {}, tool_call_id="l"),
            ]
        )

    quick_is_done = asyncio.Event()

    async def after_quick(ctx: RunContext[None]) -> str:
        await quick_is_done.wait()
        raise Down

    @scene.agent.tool_plain
    async def quick() -> str:
        asyncio.get_running_loop().call_soon(quick_is_done.set)
        return "quick"

    scene.in_tool = after_quick
    with pytest.raises(Down):
        await scene.agent.run("go", conversation_id=SESSION, model=FunctionModel(two))
    assert (await scene.stored())[-1] == "return:quick"
    await scene.check_next(by_run)


@async_ways
@pytest.mark.parametrize("text", ["", "One moment."])
async def test_a_tool_that_had_returned_when_the_run_was_cancelled_keeps_its_return(
    scene: Scene, way: Any, text: str
):
    names = ("quick", "look")

    async def two(messages: list[Any], info: Any) -> ModelResponse:
        calls = [ToolCallPart(name, {}, tool_call_id=name) for name in names]
        return ModelResponse([TextPart(text), *calls] if text else calls)

    async def stream(messages: list[Any], info: Any) -> AsyncIterator[Any]:
        if text:  # which `run_stream` takes for the output before the calls come
            yield text
        yield {at: DeltaToolCall(name, "{}", tool_call_id=name) for at, name in enumerate(names, 1)}

    waits, returned = asyncio.Event(), asyncio.Event()

    async def wait(ctx: RunContext[None]) -> str:
        waits.set()
        await asyncio.Event().wait()
        return ""

    @scene.agent.tool_plain
    async def quick() -> ToolReturn:
        asyncio.get_running_loop().call_soon(returned.set)
        return ToolReturn("found", metadata={"how": "quickly"})

    scene.in_tool = wait
    model = FunctionModel(two, stream_function=stream)
    going = asyncio.ensure_future(way(scene.agent, "go", conversation_id=SESSION, model=model))
    await waits.wait()
    await returned.wait()
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
    assert (await scene.stored())[-3:] == ["call:quick", "call:look", "return:quick"]
    last = (await scene.room.sessions.history(SESSION))[-1]
    assert isinstance(last, ModelRequest)
    assert last.state == "interrupted"
    (answer,) = last.parts
    assert isinstance(answer, ToolReturnPart)
    assert (answer.content, answer.metadata) == ("found", {"how": "quickly"})
    await scene.check_next(way)


# Streams and runs that are left


async def _leave_stream(scene: Scene) -> None:
    async with scene.agent.run_stream("two words", conversation_id=SESSION) as stream:
        async for _ in stream.stream_text(delta=True, debounce_by=None):
            break


async def _leave_stream_by_error(scene: Scene) -> None:
    with contextlib.suppress(Down):
        async with scene.agent.run_stream("two words", conversation_id=SESSION) as stream:
            async for _ in stream.stream_text(delta=True, debounce_by=None):
                raise Down


async def _leave_events(scene: Scene) -> None:
    async with scene.agent.run_stream_events("two words", conversation_id=SESSION) as events:
        async for event in events:
            if event.event_kind == "part_start":
                break


async def _leave_iter(scene: Scene) -> None:
    async with scene.agent.iter("two words", conversation_id=SESSION) as run:
        async for node in run:
            if scene.agent.is_model_request_node(node):
                async with node.stream(run.ctx) as stream:
                    async for _ in stream:
                        break
                break


async def _close_generator(scene: Scene) -> None:
    texts = _texts(scene)
    async for _ in texts:
        break
    await texts.aclose()


async def _forget_generator(scene: Scene) -> None:
    """The loop closes it in a task of its own, which Pydantic AI reports as an error."""

    async def consume() -> None:
        async for _ in _texts(scene):
            break

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        scene.echo.hold = asyncio.Event()
        await asyncio.create_task(consume())
        gc.collect()
        await reached(saved)

    saved = asyncio.Event()
    scene.room.saving = saved
    await asyncio.to_thread(asyncio.run, run())


async def _forget_generator_of_events(scene: Scene) -> None:
    async def kinds() -> AsyncIterator[str]:
        async with scene.agent.run_stream_events("two words", conversation_id=SESSION) as events:
            async for event in events:
                yield event.event_kind

    async for kind in kinds():
        if kind == "part_start":
            break
    gc.collect()
    await reached(scene.room.saving)


async def _texts(scene: Scene) -> AsyncGenerator[str]:
    async with scene.agent.run_stream("two words", conversation_id=SESSION) as stream:
        async for text in stream.stream_text(delta=True, debounce_by=None):
            yield text


LEFT = [
    _leave_stream,
    _leave_stream_by_error,
    _leave_events,
    _leave_iter,
    _close_generator,
    _forget_generator,
    _forget_generator_of_events,
]


@pytest.mark.parametrize("leave", LEFT)
async def test_a_stream_that_is_left_keeps_what_had_come(scene: Scene, leave: Any):
    # The rest of the answer never comes: what leaves the stream does not wait for it.
    scene.echo.hold = asyncio.Event()
    async with asyncio.timeout(20):
        await leave(scene)
    assert len(scene.room.saved) == 1
    assert await scene.stored() == ["user:two words", "text:You"]
    last = (await scene.room.sessions.history(SESSION))[-1]
    assert isinstance(last, ModelResponse)
    assert last.state == ("incomplete" if leave in (_leave_stream, _leave_iter) else "interrupted")
    await scene.check_next(by_stream)


@ways
async def test_a_stream_that_is_left_within_a_call_takes_a_prompt(scene: Scene, way: Any):
    async def stream(messages: list[Any], info: Any) -> AsyncIterator[Any]:
        yield {0: DeltaToolCall("final_result", '{"response": "a', tool_call_id="f")}
        await asyncio.Event().wait()

    model = FunctionModel(stream_function=stream)
    async with scene.agent.run_stream(
        "go", conversation_id=SESSION, model=model, output_type=ToolOutput(list[str])
    ) as left:
        assert left.response.tool_calls
    last = (await scene.room.sessions.history(SESSION))[-1]
    assert isinstance(last, ModelResponse)
    assert last.state == "incomplete"
    await scene.check_next(way)


async def test_iter_that_is_left_before_its_tools_run(scene: Scene):
    async with scene.agent.iter("use look", conversation_id=SESSION) as run:
        async for node in run:
            if scene.agent.is_call_tools_node(node):
                break
    assert await scene.stored() == ["user:use look", "call:look"]
    last = (await scene.room.sessions.history(SESSION))[-1]
    assert isinstance(last, ModelResponse)
    assert last.state == "interrupted"
    assert scene.room.saved[-1].failed
    await scene.check_next(by_run)


async def test_iter_that_is_left_at_once_adds_nothing(scene: Scene):
    async with scene.agent.iter("two words", conversation_id=SESSION):
        pass
    assert await scene.stored() == []
    assert scene.room.saved == []
    await scene.check_next(by_run)


async def test_a_run_thrown_away_with_its_task_is_kept_by_the_loop(scene: Scene):
    """A coroutine that is closed can't wait for anything, so its turn is stored a little later."""
    memory = await scene.room.memory().for_run(None)  # type: ignore[arg-type]
    context = _context(scene)

    async def handler() -> Any:
        context.messages.append(ModelRequest([UserPromptPart("lost?")], run_id="a run"))
        memory._recorder.look(context.messages)
        await asyncio.Event().wait()

    going = memory.wrap_run(context, handler=handler)
    step = going.send(None)
    while memory._recorder.new == []:  # over the reads of the store
        assert asyncio.isfuture(step)
        step._asyncio_future_blocking = False
        await asyncio.wait([step])
        step = going.send(None)
    going.close()
    await reached(scene.room.saving)
    assert await scene.stored() == ["user:lost?"]


def _context(scene: Scene) -> RunContext[Any]:
    from pydantic_ai.models.test import TestModel
    from pydantic_ai.usage import RunUsage

    return RunContext(
        deps=None,
        agent=scene.agent,
        model=TestModel(),
        usage=RunUsage(),
        run_id="a run",
        conversation_id=SESSION,
    )


# When keeping fails too


async def test_an_error_of_a_run_is_not_hidden_by_one_of_keeping_it(
    scene: Scene, caplog: pytest.LogCaptureFixture
):
    async def full() -> None:
        raise StoreFull

    scene.room.store.before_save = full
    scene.echo.fail = Down()
    with pytest.raises(Down) as raised:
        await scene.agent.run("one", conversation_id=SESSION)
    assert "could not be stored" in raised.value.__notes__[0]
    assert "could not be kept" in caplog.text


async def test_a_failed_run_that_is_stored_is_not_called_lost_for_its_on_save(
    room: Room, echo: Echo, caplog: pytest.LogCaptureFixture
):
    def on_save(turn: SavedTurn) -> None:
        raise LookupError("nobody listens")

    echo.fail = Down()
    with pytest.raises(Down) as raised:
        await room.agent(echo.model, memory=room.memory(on_save=on_save)).run(
            "one", conversation_id=SESSION
        )
    assert await room.brief() == ["user:one"]
    assert raised.value.__notes__ == ["The turn is stored, but `on_save` failed: nobody listens"]
    assert "could not be kept" not in caplog.text


async def test_cancelled_while_a_good_turn_is_stored(scene: Scene):
    going, finish = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        going.set()
        await finish.wait()

    scene.room.store.before_save = slowly
    task = asyncio.ensure_future(scene.agent.run("one", conversation_id=SESSION))
    await reached(going, task)
    task.cancel()
    await asyncio.sleep(0)
    finish.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.room.store.before_save = None
    assert await scene.stored() == ["user:one", "text:You said one"]
    await scene.check_next(by_run)


async def test_a_nested_run_that_fails_is_kept_with_the_outer_one(scene: Scene):
    inner_echo = Echo()
    inner_echo.fail = Down()
    inner = scene.room.agent(inner_echo.model, memory=scene.room.memory(agent_id="helper"))

    async def ask(ctx: RunContext[None]) -> str:
        return (await inner.run("inner", conversation_id="side", usage=ctx.usage)).output

    scene.in_tool = ask
    with pytest.raises(Down):
        await scene.agent.run("use look", conversation_id=SESSION)
    assert await scene.stored() == ["user:use look", "call:look"]
    helper = scene.room.store.sessions("helper")
    assert brief(await helper.history("side")) == ["user:inner"]
    await scene.check_next(by_run)


def test_prompts_for_one_request_are_not_kept_unanswered():
    """Pydantic AI takes them out of the history of a run that fails, but not of the request."""
    hint = SystemPromptPart("only now", scope="request")
    request = ModelRequest([hint, UserPromptPart("one")], run_id="r")
    recorder = Recorder("r")
    recorder.look([request])
    assert brief(recorder.finish(ended=False)) == ["user:one"]
    assert request.parts[0] is hint


def test_a_prompt_that_came_with_the_history_is_kept_once_it_was_sent():
    """As front ends send it; the run may be cancelled before anything of the answer is known."""
    prompt = ModelRequest([UserPromptPart("one")])
    recorder = Recorder("r", [], [prompt])
    recorder.look([prompt])
    assert recorder.finish(ended=False) == []
    recorder.sending()
    assert recorder.finish(ended=False) == [prompt]
