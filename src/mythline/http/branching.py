"""Routes that fork a session and go back and forth in it."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from ..models import Branch
from . import answers, bodies, life_schemas, schemas
from .parameters import IfMatch, SessionId, Sessions
from .problems import problems
from .route import ProblemRoute

routes = APIRouter(route_class=ProblemRoute)


@routes.post(
    "/sessions/{session_id}/fork",
    status_code=201,
    dependencies=[Depends(bodies.check_json)],
    responses=problems(400, 404, 409, 413, 415),
)
async def fork_session(
    request: Request,
    response: Response,
    sessions: Sessions,
    session_id: SessionId,
    body: life_schemas.ForkSession | None = None,
) -> schemas.CreatedSession:
    """Make a session that starts from this one's history, up to an entry of it or of a branch."""
    asked = body or life_schemas.ForkSession()
    made = await sessions.fork_at(
        session_id, asked.entry_id, new_session_id=asked.session_id, title=asked.title
    )
    response.headers.update(answers.tagged(made.revision))
    response.headers["Location"] = answers.path_to(request, made.session_id, above=2)
    return schemas.CreatedSession(session_id=made.session_id)


@routes.post(
    "/sessions/{session_id}/branch",
    dependencies=[Depends(bodies.check_json)],
    responses=problems(400, 404, 412, 413, 415),
)
async def branch_session(
    request: Request,
    response: Response,
    sessions: Sessions,
    session_id: SessionId,
    body: life_schemas.BranchSession,
    if_match: IfMatch = None,
) -> schemas.SessionInfo:
    """Go on after an entry of the history, or on the branch that the entry ends.

    What the session leaves by that is a branch. Nothing that was said is lost.
    """
    expected = await answers.expected(request, sessions, session_id)
    details = await sessions.branch_at(session_id, body.entry_id, expected_revision=expected)
    response.headers.update(answers.tagged(details.revision))
    return schemas.SessionInfo.of(details)


@routes.get(
    "/sessions/{session_id}/branches",
    response_model=list[life_schemas.Branch],
    responses=problems(404),
)
async def list_branches(sessions: Sessions, session_id: SessionId) -> Sequence[Branch]:
    """The branches that the session left, oldest first."""
    return await sessions.branches(session_id)
