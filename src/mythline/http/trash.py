"""Routes that delete sessions, and get them back out of the trash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..bounds import MAX_LIMIT
from ..errors import SessionExists, SessionNotFound
from ..models import SessionInfo
from ..operations import Listing
from ..store import ANY, SessionKey
from . import answers, bodies, life_schemas, schemas
from .closed import CLOSED
from .parameters import Cursor, IfMatch, SessionId, Sessions
from .problems import problem, problems
from .route import ProblemRoute

Confirm = Annotated[bool, Query(description="Must be true.")]
Permanent = Annotated[
    bool, Query(description="For good; of one session, also if it is in the trash already.")
]

fixed = APIRouter(route_class=ProblemRoute)
routes = APIRouter(route_class=ProblemRoute)


@fixed.delete("/sessions", dependencies=[CLOSED], responses=problems(400))
async def delete_all_sessions(
    sessions: Sessions, confirm: Confirm = False, permanent: Permanent = False
) -> schemas.DeletedSessions:
    """Delete all sessions of this agent. Without `confirm=true`, says how many it would delete."""
    if not confirm:
        count = await sessions.count(archived=None)
        raise HTTPException(
            400, f"This would delete {count} session(s). Say `?confirm=true` to do so."
        )
    return schemas.DeletedSessions(deleted=await sessions.delete_all(permanent=permanent))


@fixed.get(
    "/sessions/trash",
    response_model=list[life_schemas.DeletedSummary],
    dependencies=[CLOSED],
    responses=problems(),
)
async def list_trash(
    request: Request,
    response: Response,
    sessions: Sessions,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="At most this many.")] = 100,
    cursor: Cursor = None,
) -> Sequence[SessionInfo]:
    """The deleted sessions, the one deleted last first, and when they will be purged.

    Where there are more, `Link` leads to the next page (`rel="next"`).
    """
    page = await sessions.trash(limit=limit, cursor=cursor)
    response.headers.update(answers.next_link(request, page.next_cursor))
    return page.sessions


@fixed.delete("/sessions/trash", dependencies=[CLOSED], responses=problems(400))
async def empty_trash(sessions: Sessions, confirm: Confirm = False) -> life_schemas.PurgedSessions:
    """Purge all deleted sessions. Without `confirm=true`, says how many it would purge."""
    if not confirm:
        trashed = Listing(limit=1, archived=None, trash=True)
        count = await sessions.store.count(sessions.owner, sessions.agent_id, trashed)
        raise HTTPException(
            400, f"This would purge {count} session(s) for good. Say `?confirm=true` to do so."
        )
    return life_schemas.PurgedSessions(purged=await sessions.empty_trash())


@routes.delete("/sessions/{session_id}", dependencies=[CLOSED], responses=problems(404, 412))
async def delete_session(
    request: Request,
    sessions: Sessions,
    session_id: SessionId,
    permanent: Permanent = False,
    if_match: IfMatch = None,
) -> schemas.DeletedSession:
    """Delete a session: to the trash, from where it can be restored."""
    expected = await answers.expected(request, sessions, session_id)
    if (expected is not None or not permanent) and not await sessions.exists(session_id):
        raise SessionNotFound(session_id)
    key = SessionKey(sessions.owner, sessions.agent_id, session_id)
    if not await sessions.store.delete(
        key, expected=ANY if expected is None else expected, permanent=permanent
    ):
        raise SessionNotFound(session_id)
    return schemas.DeletedSession(session_id=session_id)


@routes.post(
    "/sessions/{session_id}/restore",
    response_model=schemas.SessionInfo,
    dependencies=[Depends(bodies.check_json)],
    responses=problems(400, 404, 409, 413, 415),
)
async def restore_session(
    response: Response,
    sessions: Sessions,
    session_id: SessionId,
    body: life_schemas.RestoreSession | None = None,
) -> schemas.SessionInfo | Response:
    """Take a session out of the trash, with all that it had; of several, the last deleted."""
    new_id = None if body is None else body.session_id
    try:
        details = await sessions.restore(session_id, new_session_id=new_id)
    except SessionNotFound:
        return problem(
            404,
            f"There is no session {session_id!r} in the trash. List the trash.",
            kind="SessionNotFound",
        )
    except SessionExists as error:
        return problem(
            409,
            f"There is a session {error.session_id!r} again. Restore this one under another id, "
            'with {"session_id": …} as the body.',
            kind="SessionExists",
        )
    response.headers.update(answers.tagged(details.revision))
    return schemas.SessionInfo.of(details)
