"""`/chat` and `/ag-ui`: an agent behind the protocols of front ends, by Pydantic AI's adapters.

A client of these stops a run by closing its connection, so that is what leaving does here. What
came until then is stored.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import fields
from typing import Any, ClassVar, Final, cast

from ag_ui.core import AssistantMessage, ReasoningMessage, ToolMessage, UserMessage
from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_ai.exceptions import RunCancelled, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolReturnPart, UserPromptPart
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults
from pydantic_ai.ui import NativeEvent, UIAdapter
from pydantic_ai.ui.ag_ui import AGUIAdapter
from pydantic_ai.ui.vercel_ai import VercelAIAdapter
from pydantic_ai.ui.vercel_ai.request_types import RegenerateMessage, TextUIPart, UIMessage
from pydantic_core import PydanticSerializationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..agents.adapters import AdapterStore, Resumed, resume, resuming
from ..agents.named import AnyAgent
from ..agents.turns import Start
from ..errors import InvalidInput
from ..sessions import AgentSessions
from ..store import SessionKey
from . import bodies, schemas
from .frontend import event_line, vercel_event
from .parameters import Agent, Deps, RunsHere, SessionId, Sessions
from .problems import problems
from .route import ProblemRoute, close_paths
from .running import RunResponse, Runs, Stream, shown

Adapter = UIAdapter[Any, Any, Any, Any, Any]

TAKES_STORES: Final = "conversation_store" in {field.name for field in fields(VercelAIAdapter)}
"""Whether adapters can be given a store, by which they tell clients the ids of what was stored.

Those of Pydantic AI 2.66 can't: they are given the history."""

chats = APIRouter(route_class=ProblemRoute)


class _Exchange(ABC):
    """One request of a front end: what it sent, and the run that answers it."""

    kind: ClassVar[type[Adapter]]
    user_role: ClassVar[type[Any]]

    def __init__(
        self, adapter: Adapter, sessions: AgentSessions, session_id: str, deps: Any
    ) -> None:
        self.adapter = adapter
        self._sessions = sessions
        self._session_id = session_id
        self._deps = deps
        self._form = adapter.build_event_stream()

    # What differs between the protocols

    @classmethod
    def read(cls, body: bytes) -> Any:
        """What the client sent.

        Raises:
            ValidationError: If it isn't as the protocol has it.
        """
        return cls.kind.build_run_input(body)

    @staticmethod
    @abstractmethod
    def message(identity: str) -> Any:
        """A user's message with this id."""

    @staticmethod
    @abstractmethod
    def is_answer(message: Any) -> bool:
        """Whether a message of the client's is an answer of the agent."""

    @property
    def regenerates(self) -> bool:
        """Whether the client asks for another answer to a message."""
        return False

    def answers(self, start: Start) -> bool:
        """Whether the client answers calls of the session, whatever prompt it repeats beside."""
        return False

    @abstractmethod
    def asks(self, awaited: Collection[str]) -> bool:
        """Whether the client has a prompt, or what one of these calls returned at its side."""

    def encoded(self, event: Any) -> str:
        """An event as it is sent."""
        try:
            return self._form.encode_event(event)
        except PydanticSerializationError:  # half of a surrogate pair, as models stream them
            return event_line(event)

    # The run

    async def pieces(self, has_begun: Callable[[], bool]) -> AsyncGenerator[str]:
        """The protocol's events, encoded."""
        async with aclosing(self._native()) as native:
            events: AsyncIterator[NativeEvent]
            try:
                first = await anext(native)
            except Exception as error:
                if not has_begun():
                    raise
                events = _failing(error)
            else:
                events = _chained(first, native)
            async for event in self.adapter.transform_stream(events):
                yield self.encoded(event)

    async def _native(self) -> AsyncGenerator[NativeEvent]:
        """The run's own events. Errors are what a client is told."""
        adapter = self.adapter
        has_begun = False
        try:
            async with resuming(adapter.agent, self._sessions, self._session_id, self._find) as (
                store,
                memory,
            ):
                history = await self._hand_over(store)
                self._check(store.waits_on)
                run = adapter.run_stream_native(
                    conversation_id=self._session_id,
                    message_history=history,
                    deps=self._deps,
                    capabilities=[memory],
                    infer_name=False,
                )
                async with aclosing(cast("AsyncGenerator[NativeEvent]", run)):  # and stored
                    async for event in run:
                        has_begun = True
                        yield event
        except (Exception, asyncio.CancelledError) as error:
            if has_begun and isinstance(error, RunCancelled):
                raise  # the protocol has a word for it
            raise shown(error, self._session_id) from error

    async def _hand_over(self, store: AdapterStore) -> Sequence[ModelMessage] | None:
        """Let the adapter have the session; also the history that its run must be given."""
        if TAKES_STORES:
            self.adapter.conversation_store = store
            self.adapter.conversation_scope = self._sessions.owner
            return None
        self.adapter.manage_message_history = "server"
        conversation = await store.load(self._session_id)
        return [] if conversation is None else conversation.messages

    def _find(self, start: Start) -> Resumed:
        """See what the client goes on with, and leave that of its messages."""
        messages: Sequence[Any] = self.adapter.run_input.messages
        answers = [index for index, each in enumerate(messages) if self.is_answer(each)]
        last = answers[-1] if answers else -1
        sent = [(each.id, each.role == "user") for each in messages[last + 1 :]]
        resumed = resume(start, sent, self._mark)
        if self.regenerates and resumed.resubmitted is None:
            raise InvalidInput(
                "The message to answer anew is not in this session. Send it as a new one, or load "
                "the session again."
            )
        if resumed.resubmitted is not None and self.answers(start):
            resumed = Resumed(start, resumed.new - 1, None)
        new = messages[len(messages) - resumed.new :]
        kept = [*(messages[last : last + 1] if last >= 0 else ()), *new]
        self.adapter.run_input = self.adapter.run_input.model_copy(update={"messages": kept})
        return resumed

    def _mark(self, identity: str) -> Mapping[str, Any]:
        (message,) = self.kind.load_messages([self.message(identity)])
        return message.metadata or {}

    def _check(self, waits: DeferredToolRequests | None) -> None:
        """Refuse what can't be run: nothing new, or answers that nobody waits for."""
        adapter = self.adapter
        try:
            given = adapter.deferred_tool_results
        except UserError as error:  # a malformed one
            raise InvalidInput(str(error)) from None
        if given is not None:
            _check_answers(given, waits or DeferredToolRequests())
            return
        awaited = set[str]() if waits is None else {call.tool_call_id for call in waits.calls}
        if not self.asks(awaited):
            raise InvalidInput("There is nothing to answer. Send a new message.")


def _check_answers(given: DeferredToolResults, waits: DeferredToolRequests) -> None:
    approvals = {call.tool_call_id for call in waits.approvals}
    calls = {call.tool_call_id for call in waits.calls}
    if given.approvals.keys() <= approvals and given.calls.keys() <= calls:
        return
    raise InvalidInput(
        "The session doesn't wait for all of these answers to tool calls. Load it again: they may "
        "have been given."
    )


async def _chained(
    first: NativeEvent, rest: AsyncIterator[NativeEvent]
) -> AsyncGenerator[NativeEvent]:
    yield first
    async for event in rest:
        yield event


async def _failing(error: Exception) -> AsyncGenerator[NativeEvent]:
    raise error
    yield


class _Vercel(_Exchange):
    kind = VercelAIAdapter

    @classmethod
    def read(cls, body: bytes) -> Any:
        try:
            return super().read(body)
        except ValidationError:
            changed = _without_unfinished(body)
            if changed is None:
                raise
            return super().read(changed)

    @staticmethod
    def message(identity: str) -> UIMessage:
        return UIMessage(id=identity, role="user", parts=[TextUIPart(text="-")])

    @staticmethod
    def is_answer(message: Any) -> bool:
        return message.role == "assistant"

    @property
    def regenerates(self) -> bool:
        return isinstance(self.adapter.run_input, RegenerateMessage)

    def asks(self, awaited: Collection[str]) -> bool:
        for message in reversed(self.adapter.messages):
            if isinstance(message, ModelResponse):
                break
            for part in message.parts:  # an answer carries what a tool returned
                if isinstance(part, UserPromptPart):
                    return True
                if isinstance(part, ToolReturnPart) and part.tool_call_id in awaited:
                    return True
        return False

    def encoded(self, event: Any) -> str:
        return vercel_event(event) or super().encoded(event)


def _without_unfinished(body: bytes) -> bytes | None:
    """The body without calls whose arguments had not all come when the client stopped the answer.

    Clients keep more with those than Pydantic AI reads. `None` if it can't be read.
    """
    try:
        sent = json.loads(body)
        for message in sent["messages"]:
            if message["role"] == "assistant":
                message["parts"] = [each for each in message["parts"] if not _is_unfinished(each)]
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return json.dumps(sent).encode()


def _is_unfinished(part: Any) -> bool:
    return isinstance(part, dict) and cast("Any", part).get("state") == "input-streaming"


class _AGUI(_Exchange):
    kind = AGUIAdapter

    @staticmethod
    def message(identity: str) -> UserMessage:
        return UserMessage(id=identity, content="-")

    @staticmethod
    def is_answer(message: Any) -> bool:
        return isinstance(message, (AssistantMessage, ReasoningMessage))

    def answers(self, start: Start) -> bool:
        run_input = self.adapter.run_input
        given = getattr(run_input, "resume", None)  # ag-ui-protocol has it from 0.1.19 on
        return bool(given) or any(
            isinstance(message, ToolMessage) and message.tool_call_id in start.waits_on
            for message in run_input.messages
        )

    def asks(self, awaited: Collection[str]) -> bool:
        return any(
            isinstance(message, UserMessage)
            or (isinstance(message, ToolMessage) and message.tool_call_id in awaited)
            for message in self.adapter.run_input.messages
        )


async def _converse(
    kind: type[_Exchange],
    request: Request,
    sessions: AgentSessions,
    session_id: str,
    agent: AnyAgent,
    deps: Any,
    runs: Runs,
    **options: Any,
) -> Response:
    try:
        run_input = kind.read(await request.body())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        if any(each["type"] == "json_invalid" for each in found):
            raise HTTPException(400) from None
        raise RequestValidationError(
            [{**each, "loc": ("body", *each["loc"])} for each in found]
        ) from None
    adapter = kind.kind(
        agent=agent, run_input=run_input, accept=request.headers.get("accept"), **options
    )
    exchange = kind(adapter, sessions, session_id, deps)
    key = SessionKey(sessions.owner, sessions.agent_id, session_id)
    await runs.settled(key)
    stream = Stream(runs, exchange.pieces, key)
    async with stream.ended_by_leaving(request.receive):
        pieces = await stream.begin()
    form = adapter.build_event_stream()
    return RunResponse(
        stream,
        pieces,
        stops=True,
        headers=form.response_headers,
        media_type=form.content_type,
    )


@chats.post(
    "/sessions/{session_id}/chat",
    response_class=Response,
    dependencies=[Depends(bodies.check_json)],
    openapi_extra=schemas.CHAT_BODY,
    responses=schemas.EVENTS | problems(400, 404, 409, 413, 415),
)
async def chat(
    request: Request,
    sessions: Sessions,
    session_id: SessionId,
    agent: Agent,
    deps: Deps,
    runs: RunsHere,
) -> Response:
    """Answer a front end that speaks the Vercel AI protocol (`useChat`), in this session.

    The session is made if it isn't there. It is the one of the path, whatever `id` the body has.
    A client that leaves stops the run; what came until then is stored.
    """
    return await _converse(_Vercel, request, sessions, session_id, agent, deps, runs, sdk_version=6)


@chats.post(
    "/sessions/{session_id}/ag-ui",
    response_class=Response,
    dependencies=[Depends(bodies.check_json)],
    openapi_extra=schemas.AG_UI_BODY,
    responses=schemas.EVENTS | problems(400, 404, 409, 413, 415),
)
async def ag_ui(
    request: Request,
    sessions: Sessions,
    session_id: SessionId,
    agent: Agent,
    deps: Deps,
    runs: RunsHere,
) -> Response:
    """Answer a front end that speaks AG-UI, in this session; as `chat` does."""
    return await _converse(_AGUI, request, sessions, session_id, agent, deps, runs)


close_paths(chats)
