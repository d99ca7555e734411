"""The routes of one agent's sessions. Each function's name is its operation id.

Which store, owner and agent they serve is in the request's state: see `router.session_router`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from .. import ids
from ..models import Appended
from ..store import Store
from . import answers, bodies, frontend, life_schemas, schemas
from .parameters import After, At, Before, IfMatch, IfNoneMatch, Limit, SessionId, Sessions
from .problems import problems
from .route import ProblemRoute

_ONE: Final = "/sessions/{session_id}"
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "Not Modified"}}

agents = APIRouter(route_class=ProblemRoute)
fixed = APIRouter(route_class=ProblemRoute)
routes = APIRouter(route_class=ProblemRoute)


@agents.get("/agents", response_model=list[schemas.Agent], responses=problems())
async def list_agents(request: Request) -> Sequence[schemas.Agent]:
    """The agents that have sessions or can be run here, ordered by their ids."""
    store: Store = request.state.mythline_store
    known = {info.agent_id: info for info in await store.agents(request.state.mythline_owner)}
    runnable: Collection[str] = request.state.mythline_runnable
    return [
        schemas.Agent.of(known.get(agent_id), agent_id, runnable=agent_id in runnable)
        for agent_id in sorted({*known, *runnable})
    ]


# Paths without an id, which are tried first: see `table`.


@fixed.get("/sessions/latest", responses=problems(404))
async def get_latest_session(sessions: Sessions) -> schemas.LatestSession:
    """The session that was saved last."""
    latest = await sessions.latest()
    if latest is None:
        raise HTTPException(404, "There are no sessions yet. Create one.")
    return schemas.LatestSession(session_id=latest.session_id)


@fixed.post(
    "/sessions/create",
    status_code=201,
    dependencies=[Depends(bodies.check_json)],
    responses=problems(400, 409, 413, 415),
)
async def create_session(
    request: Request,
    response: Response,
    sessions: Sessions,
    body: life_schemas.CreateSession | None = None,
) -> schemas.CreatedSession:
    """Make an empty session, with a generated id unless one is given. It is listed at once."""
    asked = body or life_schemas.CreateSession()
    made = await sessions.create(
        asked.session_id, title=asked.title, tags=asked.tags or (), metadata=asked.metadata
    )
    response.headers.update(answers.tagged(made.revision))
    response.headers["Location"] = answers.path_to(request, made.session_id)
    return schemas.CreatedSession(session_id=made.session_id)


@routes.get(_ONE, response_model=schemas.Transcript, responses=_UNCHANGED | problems(404))
async def get_session(
    request: Request,
    sessions: Sessions,
    session_id: SessionId,
    limit: Limit = None,
    before: Before = None,
    after: After = None,
    at: At = None,
    include: Annotated[
        list[str] | None,
        Query(description="What else to show: `tools`, `thinking`, `system`; commas between."),
    ] = None,
    render: Annotated[
        Literal["html"] | None,
        Query(description="`content` as HTML: its Markdown, without anything that could do harm."),
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """What a person reads of a session, oldest first.

    With `limit`, the last ones, or the first with `after`; `Link` leads to the rest.
    """
    if same := await answers.unchanged(request, sessions, session_id):
        return same
    wanted: Any = {word.strip() for value in include or () for word in value.split(",")} - {""}
    found = await sessions.transcript(
        session_id, limit=limit, before=before, after=after, at=at, include=wanted
    )
    title = (await sessions.info(session_id)).title
    page = found.history
    headers = answers.tagged(page.revision) | answers.page_links(request, page)
    parts = answers.transcript_parts(session_id, title, found, as_html=render == "html")
    if render is None:
        return answers.in_pieces(parts, headers)
    return await asyncio.to_thread(answers.in_pieces, parts, headers)  # it takes its time


@routes.get(
    "/sessions/{session_id}/files/{entry_id}/{number}",
    response_class=Response,
    responses=problems(404) | {200: {"content": {"application/octet-stream": schemas.BYTES}}},
)
async def get_file(
    sessions: Sessions,
    session_id: SessionId,
    entry_id: Annotated[str, Path(description="The entry of the message it is in.")],
    number: Annotated[int, Path(ge=0, description="`file` of the attachment.")],
) -> Response:
    """A picture or file that is kept in a message. Entries never change, so browsers keep it."""
    found = await sessions.file(session_id, entry_id, number)
    if found is None:
        raise HTTPException(404, "The message has no such file.")
    return answers.file(found)


@routes.get("/sessions/{session_id}/exists", responses=problems())
async def session_exists(
    sessions: Sessions, session_id: Annotated[str, Path(description="The session.")]
) -> schemas.Existence:
    """Whether there is such a session."""
    exists = ids.is_session_id(session_id) and await sessions.exists(session_id)
    return schemas.Existence(exists=exists)


@routes.get(
    "/sessions/{session_id}/info",
    response_model=schemas.SessionInfo,
    responses=_UNCHANGED | problems(404),
)
async def get_session_info(
    request: Request,
    response: Response,
    sessions: Sessions,
    session_id: SessionId,
    if_none_match: IfNoneMatch = None,
) -> schemas.SessionInfo | Response:
    """A session with all that is known of it, without its messages."""
    if same := await answers.unchanged(request, sessions, session_id):
        return same
    details = await sessions.info(session_id)
    response.headers.update(answers.tagged(details.revision))
    return schemas.SessionInfo.of(details)


@routes.get(
    "/sessions/{session_id}/messages",
    response_model=schemas.Messages,
    responses=_UNCHANGED | problems(404),
)
async def get_messages(
    request: Request,
    sessions: Sessions,
    session_id: SessionId,
    limit: Limit = None,
    before: Before = None,
    after: After = None,
    format: Annotated[  # noqa: A002
        frontend.Format | None,
        Query(description="As the messages of a front end's protocol; their ids name the entries."),
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Messages of a session as they are stored, oldest first, each with its `entry_id`.

    With `limit`, the last ones, or the first with `after`; `Link` leads to the rest.
    """
    if same := await answers.unchanged(request, sessions, session_id):
        return same
    page = await sessions.entries(session_id, limit=limit, before=before, after=after)
    headers = answers.tagged(page.revision) | answers.page_links(request, page)
    if format is not None:
        shown = await frontend.messages_as(format, sessions, session_id, page)
        return answers.in_pieces(answers.shown_parts(session_id, page, shown), headers)
    return answers.in_pieces(answers.message_parts(session_id, page), headers)


@routes.post(
    "/sessions/{session_id}/messages",
    status_code=201,
    response_model=schemas.Appended,
    openapi_extra=schemas.APPEND_BODY,
    dependencies=[Depends(bodies.check_json)],
    responses=problems(400, 404, 412, 413, 415),
)
async def append_messages(
    request: Request,
    response: Response,
    sessions: Sessions,
    session_id: SessionId,
    if_match: IfMatch = None,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="A repeat within a day stores nothing."),
    ] = None,
) -> Appended:
    """Add one turn after the newest message."""
    data = bodies.member(await request.body(), "messages")
    done = await sessions.append(
        session_id,
        data,
        expected_revision=await answers.expected(request, sessions, session_id),
        idempotency_key=idempotency_key,
    )
    response.headers.update(answers.tagged(done.revision))
    return done
