"""The route that changes what describes a session."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from . import answers, bodies, life_schemas, schemas
from .parameters import IfMatch, SessionId, Sessions
from .problems import problems
from .route import ProblemRoute

routes = APIRouter(route_class=ProblemRoute)


@routes.patch(
    "/sessions/{session_id}",
    dependencies=[Depends(bodies.check_json)],
    responses=problems(400, 404, 412, 413, 415),
)
async def update_session(
    request: Request,
    response: Response,
    sessions: Sessions,
    session_id: SessionId,
    body: life_schemas.DescribeSession,
    if_match: IfMatch = None,
) -> schemas.SessionInfo:
    """Change a session's title, tags, metadata, whether it is pinned or archived.

    What is left out stays. The history and `last_modified` aren't touched, and a run that has
    loaded the session goes on.
    """
    fields: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    expected = await answers.expected(request, sessions, session_id)
    details = await sessions.update(session_id, expected_revision=expected, **fields)
    response.headers.update(answers.tagged(details.revision))
    return schemas.SessionInfo.of(details)
