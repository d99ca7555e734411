"""A store that counts, models that say what they are told, and the ways to run an agent."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel

from mythline.agents import SavedTurn, SessionMemory
from mythline.local import LocalStore
from mythline.sessions import AgentSessions

AGENT = "story_researcher"
SESSION = "tale"
LONG = 60.0
"""Seconds after which something hangs."""


class CountingStore(LocalStore):
    """Counts the calls of the contract's methods, and can be made to stop or fail a save."""

    def __init__(self, path: Any, **options: Any) -> None:
        super().__init__(path, **options)
        self.calls: Counter[str] = Counter()
        self.before_save: Callable[[], Awaitable[None]] | None = None

    async def get(self, *args: Any, **named: Any) -> Any:
        self.calls["get"] += 1
        return await super().get(*args, **named)

    async def history(self, *args: Any, **named: Any) -> Any:
        self.calls["history"] += 1
        return await super().history(*args, **named)

    async def line(self, *args: Any, **named: Any) -> Any:
        self.calls["line"] += 1
        return await super().line(*args, **named)

    async def append(self, *args: Any, **named: Any) -> Any:
        self.calls["append"] += 1
        return await super().append(*args, **named)

    async def save(self, *args: Any, **named: Any) -> Any:
        self.calls["save"] += 1
        if self.before_save is not None:
            await self.before_save()
        return await super().save(*args, **named)


async def until(condition: Callable[[], object]) -> None:
    """Let others go on until `condition` holds, where they have no way to tell."""
    ends = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < ends, "it doesn't come to be"
        await asyncio.sleep(0)


async def reached(event: asyncio.Event, *runs: asyncio.Future[Any]) -> None:
    """Wait until one of `runs` sets `event`; what ends one of them before that is raised."""
    waiting = asyncio.ensure_future(event.wait())
    await asyncio.wait({waiting, *runs}, timeout=LONG, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not event.is_set():
        ended = [run.result() for run in runs if run.done()]
        raise AssertionError(f"ended with {ended[0]!r} before" if ended else "it hangs")


def prompts(messages: list[ModelMessage]) -> list[str]:
    return [
        str(part.content)
        for message in messages
        if isinstance(message, ModelRequest)
        for part in message.parts
        if isinstance(part, UserPromptPart)
    ]


def last_prompt(messages: list[ModelMessage]) -> str:
    return prompts(messages)[-1]


def brief(messages: list[ModelMessage]) -> list[str]:
    """Each part as a word or two: `user:Hi`, `text:Hello`, `call:look`, `return:look`."""
    words: list[str] = []
    for message in messages:
        for part in message.parts:
            match part:
                case UserPromptPart():
                    words.append(f"user:{part.content}")
                case TextPart():
                    words.append(f"text:{part.content}")
                case ToolCallPart():
                    words.append(f"call:{part.tool_name}")
                case ToolReturnPart():
                    words.append(f"return:{part.tool_name}")
                case _:
                    words.append(part.part_kind)
    return words


class Echo:
    """A model that answers `You said <prompt>`; a prompt `use <tool>` calls that tool first.

    `seen` are the messages of each request; `fail` is raised instead of an answer; with `hold`
    it answers when that is set, and sets `reached` before it waits.
    """

    def __init__(self) -> None:
        self.seen: list[list[ModelMessage]] = []
        self.fail: BaseException | None = None
        self.hold: asyncio.Event | None = None
        self.reached = asyncio.Event()
        self.model = FunctionModel(self._answer, stream_function=self._stream)

    async def _next(self, messages: list[ModelMessage]) -> str | ToolCallPart:
        self.seen.append(messages)
        self.reached.set()
        if self.hold is not None:
            await self.hold.wait()
        if self.fail is not None:
            raise self.fail
        prompt = last_prompt(messages)
        if prompt.startswith("use ") and not any(
            isinstance(part, ToolReturnPart) for part in messages[-1].parts
        ):
            tool = prompt.removeprefix("use ")
            return ToolCallPart(tool, {}, tool_call_id=f"call_{len(self.seen)}_{tool}")
        return f"You said {prompt}"

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = await self._next(messages)
        return ModelResponse(parts=[said if isinstance(said, ToolCallPart) else TextPart(said)])

    async def _stream(
        self, messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str | DeltaToolCalls]:
        hold, self.hold = self.hold, None
        fail, self.fail = self.fail, None
        said = await self._next(messages)
        self.hold, self.fail = hold, fail
        if isinstance(said, ToolCallPart):
            yield {0: DeltaToolCall(said.tool_name, "{}", tool_call_id=said.tool_call_id)}
            return
        for index, word in enumerate(said.split(" ")):
            yield word if index == 0 else f" {word}"
            if index == 0:
                if hold is not None:
                    await hold.wait()
                if fail is not None:
                    raise fail


async def by_run(agent: Agent[Any, Any], prompt: Any = None, **named: Any) -> Any:
    return (await agent.run(prompt, **named)).output


async def by_stream(agent: Agent[Any, Any], prompt: Any = None, **named: Any) -> Any:
    async with agent.run_stream(prompt, **named) as stream:
        async for _ in stream.stream_output(debounce_by=None):
            pass
        return await stream.get_output()


async def by_events(agent: Agent[Any, Any], prompt: Any = None, **named: Any) -> Any:
    async with agent.run_stream_events(prompt, **named) as events:
        async for _ in events:
            pass
        assert events.result is not None
        return events.result.output


async def by_iter(agent: Agent[Any, Any], prompt: Any = None, **named: Any) -> Any:
    async with agent.iter(prompt, **named) as run:
        async for _ in run:
            pass
        assert run.result is not None
        return run.result.output


async def by_nodes(agent: Agent[Any, Any], prompt: Any = None, **named: Any) -> Any:
    """`iter`, streaming each node before the run goes over it, as the documentation shows."""
    async with agent.iter(prompt, **named) as run:
        async for node in run:
            if Agent.is_model_request_node(node) or Agent.is_call_tools_node(node):
                async with node.stream(run.ctx) as stream:
                    async for _ in stream:
                        pass
        assert run.result is not None
        return run.result.output


async def by_sync(agent: Agent[Any, Any], prompt: Any = None, **named: Any) -> Any:
    """`run_sync`, in a thread of its own: it runs an event loop itself."""

    def run() -> Any:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            return agent.run_sync(prompt, **named).output
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    return await asyncio.to_thread(run)


ENTRIES = {
    "run": by_run,
    "run_sync": by_sync,
    "run_stream": by_stream,
    "run_stream_events": by_events,
    "iter": by_iter,
    "iter with streams": by_nodes,
}


class Room:
    """A store, its sessions, and agents that remember in it."""

    def __init__(self, store: CountingStore) -> None:
        self.store = store
        self.sessions = AgentSessions(store, AGENT)
        self.saved: list[SavedTurn] = []
        self.saving = asyncio.Event()

    def on_save(self, turn: SavedTurn) -> None:
        self.saved.append(turn)
        self.saving.set()

    def memory(self, **options: Any) -> SessionMemory:
        options = {"agent_id": AGENT, "on_save": self.on_save} | options
        return SessionMemory(self.store, **options)

    def agent(self, model: Any, *capabilities: Any, memory: Any = None, **named: Any) -> Any:
        return Agent(model, capabilities=[*capabilities, memory or self.memory()], **named)

    async def brief(self, session_id: str = SESSION) -> list[str]:
        return brief(await self.sessions.history(session_id))
