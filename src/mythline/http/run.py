"""`POST /run`: a run of the agent in a session, whole or as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.sse import format_sse_event
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StrictBool
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
)
from pydantic_ai.run import AgentRunResult, AgentRunResultEvent
from pydantic_ai.tools import (
    DeferredToolRequests,
    DeferredToolResults,
    ToolApproved,
    ToolDenied,
)
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.responses import Response

from .. import ids
from ..agents.named import AnyAgent, memory_for
from ..agents.turns import SavedTurn
from ..errors import InvalidInput, MythlineError
from ..messages import dump_plain
from ..sessions import AgentSessions
from ..store import SessionKey
from . import bodies, schemas
from .parameters import Agent, Deps, RunsHere, Sessions
from .problems import problem_of, problems
from .route import ProblemRoute, close_paths
from .running import RunResponse, Stream, shown

run = APIRouter(route_class=ProblemRoute)


class Approval(BaseModel):
    """An answer to a call that waits for approval."""

    model_config = ConfigDict(extra="forbid")

    approved: StrictBool
    message: Annotated[
        str | None, Field(description="What the model is told of a call that is not approved.")
    ] = None
    override_args: Annotated[
        dict[str, JsonValue] | None,
        Field(description="Arguments to call the tool with, in place of the model's."),
        AfterValidator(schemas.check_strict),
    ] = None


class ToolResults(BaseModel):
    """Answers to the calls that a session waits on, by `tool_call_id`."""

    model_config = ConfigDict(extra="forbid")

    calls: Annotated[
        dict[str, JsonValue],
        Field(description="What tools returned that are run elsewhere."),
        AfterValidator(schemas.check_strict),
    ] = {}
    approvals: Annotated[
        dict[str, StrictBool | Approval],
        Field(description="Whether a call may be run."),
    ] = {}

    def results(self) -> DeferredToolResults:
        """The same for Pydantic AI."""
        return DeferredToolResults(
            calls=dict(self.calls),
            approvals={
                call_id: _approval(given) if isinstance(given, Approval) else given
                for call_id, given in self.approvals.items()
            },
        )


def _approval(given: Approval) -> ToolApproved | ToolDenied:
    if given.approved:
        return ToolApproved(override_args=given.override_args)
    return ToolDenied(given.message) if given.message else ToolDenied()


class RunBody(BaseModel):
    """What to say to the agent, and in which session: a new one if none is named."""

    model_config = ConfigDict(extra="forbid")

    message: Annotated[
        str | None,
        Field(min_length=1, description="Needed unless `deferred_tool_results` are sent."),
    ] = None
    session_id: Annotated[str | None, Field(json_schema_extra=schemas.SESSION_ID)] = None
    deferred_tool_results: ToolResults | None = None


class WaitingCall(BaseModel):
    """A call that waits for an answer."""

    tool_call_id: str
    tool_name: str
    args: Any
    metadata: dict[str, Any] | None


class WaitingCalls(BaseModel):
    """What the session waits on: calls to be run elsewhere, and calls to be approved."""

    calls: list[WaitingCall]
    approvals: list[WaitingCall]


class RunAnswer(BaseModel):
    """What the agent answered, and what was stored of it.

    `response` is its output: a string, or what its output type is as JSON; `null` if it waits for
    answers to the calls in `deferred_tool_requests`.
    """

    session_id: str
    response: Any
    deferred_tool_requests: WaitingCalls | None
    revision: str | None
    entry_ids: list[str]
    branched: bool
    usage: dict[str, int]


_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "string",
                    "description": "Events `session`, `delta`, `saved`, `done` and `error`.",
                }
            }
        }
    }
}


@run.post(
    "/run",
    response_model=RunAnswer,
    dependencies=[Depends(bodies.check_json)],
    responses=_STREAM | problems(400, 404, 409, 413, 415),
)
async def run_agent(
    request: Request, body: RunBody, sessions: Sessions, agent: Agent, deps: Deps, runs: RunsHere
) -> Response:
    """Run the agent in a session, which is made if it isn't there, and keep the turn.

    With `Accept: text/event-stream` the answer is streamed. A client that leaves does not stop
    the run.
    """
    if body.message is None and body.deferred_tool_results is None:
        raise InvalidInput("Send a `message`, or `deferred_tool_results`.")
    session_id = (
        ids.new_session_id() if body.session_id is None else ids.check_session_id(body.session_id)
    )
    await runs.settled(SessionKey(sessions.owner, sessions.agent_id, session_id))
    turn = _Turn(agent, sessions, session_id, body, deps)
    if not _wants_stream(request):
        answer = await runs.whole(turn.whole())
        return Response(_json(answer.model_dump(mode="json")), media_type="application/json")
    stream = Stream(runs, lambda has_begun: turn.pieces(request, has_begun))
    return RunResponse(stream, await stream.begin())


def _wants_stream(request: Request) -> bool:
    """Whether `Accept` names a stream of events, and not JSON before it."""
    accepted = ",".join(request.headers.getlist("accept")).lower()
    stream, whole = accepted.find("text/event-stream"), accepted.find("application/json")
    return stream >= 0 and not 0 <= whole < stream


class _Turn:
    """One run, and what came of it."""

    def __init__(
        self, agent: AnyAgent, sessions: AgentSessions, session_id: str, body: RunBody, deps: Any
    ) -> None:
        self._agent = agent
        self._sessions = sessions
        self._session_id = session_id
        self._message = body.message
        given = body.deferred_tool_results
        self._saved: SavedTurn | None = None
        self._options: dict[str, Any] = {
            "conversation_id": session_id,
            "deferred_tool_results": None if given is None else given.results(),
            "deps": deps,
            "capabilities": [memory_for(agent, sessions, self._note)],
            "infer_name": False,
        }

    def _note(self, saved: SavedTurn) -> None:
        self._saved = saved

    async def whole(self) -> RunAnswer:
        """Run to the end."""
        try:
            return self._answer(await self._agent.run(self._message, **self._options))
        except Exception as error:
            raise await self._shown(error) from error

    async def pieces(self, request: Request, has_begun: Callable[[], bool]) -> AsyncGenerator[str]:
        """Run, as server-sent events."""
        text = -1
        try:
            async with self._agent.run_stream_events(self._message, **self._options) as events:
                async for event in events:
                    if text < 0:
                        text = 0
                        yield _event("session", {"session_id": self._session_id})
                    match event:
                        case PartStartEvent(part=TextPart(content=said)):
                            text += 1
                        case PartDeltaEvent(delta=TextPartDelta(content_delta=said)):
                            pass
                        case AgentRunResultEvent(result=result):
                            done = self._answer(result).model_dump(mode="json")
                            yield self._stored()
                            yield _event("done", done)
                            continue
                        case _:
                            continue
                    if said:
                        yield _event("delta", {"delta": said, "index": text - 1})
        except (Exception, asyncio.CancelledError) as error:
            told = await self._shown(error)
            if text < 0 and not has_begun():
                raise told from error
            if self._saved is not None:
                yield self._stored()
            yield _event("error", json.loads(bytes(problem_of(told, request).body)))

    def _stored(self) -> str:
        saved = self._saved
        return _event(
            "saved",
            {
                "session_id": self._session_id,
                "revision": None if saved is None else saved.revision,
                "entry_ids": [] if saved is None else [*saved.entry_ids],
                "branched": saved is not None and saved.branched,
            },
        )

    def _answer(self, result: AgentRunResult[Any]) -> RunAnswer:
        output, saved, usage = result.output, self._saved, result.usage
        waits = output if isinstance(output, DeferredToolRequests) else None
        return RunAnswer(
            session_id=self._session_id,
            response=None if waits else _plain(output),
            deferred_tool_requests=None if waits is None else _waiting(waits),
            revision=None if saved is None else saved.revision,
            entry_ids=[] if saved is None else [*saved.entry_ids],
            branched=saved is not None and saved.branched,
            usage={
                "requests": usage.requests,
                "tool_calls": usage.tool_calls,
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
            },
        )

    async def _shown(self, error: Exception | asyncio.CancelledError) -> Exception:
        """What the client is told of an error."""
        is_theirs = isinstance(error, UserError) and not isinstance(error, MythlineError)
        if is_theirs and self._saved is None:
            record = await self._sessions.read_record(self._session_id)
            waits = None if record is None else record.deferred_tool_requests
            if waits is not None:
                named = [repr(call.tool_call_id) for call in [*waits.calls, *waits.approvals]]
                return HTTPException(
                    409,
                    "The session waits for answers to tool calls. Send `deferred_tool_results` "
                    f"for {', '.join(named)}.",
                )
            if self._options["deferred_tool_results"] is not None:
                return HTTPException(
                    409, "The session waits for no answers to tool calls. Send a `message`."
                )
        return shown(error, self._session_id)


def _event(name: str, data: Any) -> str:
    return format_sse_event(event=name, data_str=_json(data)).decode()


def _json(data: Any) -> str:
    return dump_plain(data).decode()


def _plain(output: Any) -> Any:
    if isinstance(output, str):
        return output
    try:
        return to_jsonable_python(output, fallback=str)
    except ValueError:  # there are bytes in it that are no text
        return to_jsonable_python(output, fallback=str, bytes_mode="base64")


def _waiting(requests: DeferredToolRequests) -> WaitingCalls:
    def described(call: ToolCallPart) -> WaitingCall:
        return WaitingCall(
            tool_call_id=call.tool_call_id,
            tool_name=call.tool_name,
            args=call.args_as_dict(),
            metadata=requests.metadata.get(call.tool_call_id),
        )

    return WaitingCalls(
        calls=[described(call) for call in requests.calls],
        approvals=[described(call) for call in requests.approvals],
    )


close_paths(run)
