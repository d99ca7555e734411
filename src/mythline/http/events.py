"""Routes that tell what happens to sessions, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from ..models import SessionEvent
from ..sessions import AgentSessions
from ..store import Store
from . import life_schemas
from .closed import CLOSED
from .parameters import bound
from .problems import EXPECTED, LOG, problems
from .route import ProblemRoute
from .stopping import until_stopped

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment shows proxies that the connection is alive."""
PATIENCE: Final = 0.1
"""Seconds that the first event, or what is wrong with the request, is waited for."""
RETRY: Final = 2000
"""Milliseconds after which a browser connects again."""
AHEAD: Final = 64
"""Events that are read before the client took those before them."""

HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

fixed = APIRouter(route_class=ProblemRoute)
everywhere = APIRouter(route_class=ProblemRoute)

After = Annotated[
    str | None, Query(description="The id of an event, to go on after it. Now, if left out.")
]
LastEventId = Annotated[
    str | None, Header(description="As `after`, and before it: what a browser sends by itself.")
]


class Feed:
    """The events of a store, read by a task of its own, so that the wait for one can end early."""

    def __init__(self, events: AsyncGenerator[SessionEvent], stopped: asyncio.Event) -> None:
        self._error: Exception | None = None
        self._queue: asyncio.Queue[SessionEvent | None] = asyncio.Queue(AHEAD)
        self._reader = asyncio.create_task(self._read(events))
        self._stop = asyncio.create_task(stopped.wait())
        self._next = asyncio.create_task(self._queue.get())

    async def _read(self, events: AsyncGenerator[SessionEvent]) -> None:
        """Put events in the queue, and `None` after the last."""
        try:
            async with aclosing(events):
                async for event in events:
                    await self._queue.put(event)
        except Exception as error:
            self._error = error
        await self._queue.put(None)

    async def begin(self) -> None:
        """Wait a moment for the first event.

        Raises:
            MythlineError: If the store refuses to give events.
            HTTPException: 500, if something else goes wrong; it is logged.
        """
        await self._wait(PATIENCE)
        if isinstance(self._error, EXPECTED):
            raise self._error
        if self._error is not None:
            self._log()
            raise HTTPException(500)

    async def frames(self) -> AsyncGenerator[bytes]:
        """The stream, until the client leaves, the store is closed or the server stops."""
        yield format_sse_event(comment="Events of Mythline", retry=RETRY)
        while not self._stop.done():
            await self._wait(HEARTBEAT)
            if self._next.done():
                event = self._next.result()
                if event is None:
                    self._log()
                    return
                self._next = asyncio.create_task(self._queue.get())
                yield _frame(event)
            elif not self._stop.done():
                yield format_sse_event(comment="")

    async def _wait(self, seconds: float) -> None:
        waiting = {self._next, self._stop}
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)

    def _log(self) -> None:
        if self._error is not None:  # the client connects again, and is told then
            LOG.error("Events ended: %s", self._error, exc_info=self._error)

    def end(self) -> None:
        """Let go of everything, in whatever state it is."""
        for task in (self._next, self._stop, self._reader):
            task.cancel()


def _frame(event: SessionEvent) -> bytes:
    data = life_schemas.Event.model_validate(event).model_dump_json()
    return format_sse_event(id=event.event_id, event=event.type, data_str=data)


async def _of_agent(
    request: Request, after: After = None, last_event_id: LastEventId = None
) -> AsyncGenerator[Feed | None]:
    sessions: AgentSessions | None = bound(request, "sessions")
    if sessions is None:
        yield None
        return
    async with _feed(sessions.events(after=last_event_id or after or None)) as feed:
        yield feed


async def _of_all(
    request: Request, after: After = None, last_event_id: LastEventId = None
) -> AsyncGenerator[Feed | None]:
    store: Store | None = bound(request, "store")
    if store is None:
        yield None
        return
    owner = request.state.mythline_owner
    async with _feed(store.events(owner, None, after=last_event_id or after or None)) as feed:
        yield feed


@asynccontextmanager
async def _feed(events: AsyncGenerator[SessionEvent]) -> AsyncGenerator[Feed]:
    with until_stopped() as stopped:
        feed = Feed(events, stopped)
        try:
            await feed.begin()
            yield feed
        finally:
            feed.end()


_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events, each with `id`, `event` and, as JSON, `data`.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": "event: appended\ndata: "
                '{"type":"appended","agent_id":"researcher","session_id":"x","revision":"r",'
                '"time":"2026-01-31T12:00:00Z"}\nid: 42\n\n',
            }
        },
    }
}


# Before the streams, which would answer HEAD as well, and never end.


@fixed.head("/sessions/events", include_in_schema=False)
@everywhere.head("/events", include_in_schema=False)
async def events_head() -> Response:
    """What a stream starts with: it has no end that could be waited for."""
    return Response(headers=HEADERS, media_type=EventSourceResponse.media_type)


@fixed.get(
    "/sessions/events",
    response_class=StreamingResponse,
    dependencies=[CLOSED],
    responses=_ANSWER | problems(),
)
async def session_events(feed: Annotated[Feed, Depends(_of_agent)]) -> EventSourceResponse:
    """What happens to this agent's sessions, as it happens: server-sent events.

    It starts with `ready`, or after the event that is named; with `reset` if some were missed.
    """
    return EventSourceResponse(feed.frames(), headers=HEADERS)


@everywhere.get(
    "/events",
    response_class=StreamingResponse,
    dependencies=[CLOSED],
    responses=_ANSWER | problems(),
)
async def events(feed: Annotated[Feed, Depends(_of_all)]) -> EventSourceResponse:
    """As `session_events`, of all agents."""
    return EventSourceResponse(feed.frames(), headers=HEADERS)
