"""The route that moves old sessions to the trash."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from ..ages import parse_age
from ..models import Pruned
from . import bodies, life_schemas
from .closed import CLOSED
from .parameters import Sessions
from .problems import problems
from .route import ProblemRoute

fixed = APIRouter(route_class=ProblemRoute)


@fixed.post(
    "/sessions/prune",
    response_model=life_schemas.PrunedSessions,
    dependencies=[CLOSED, Depends(bodies.check_json)],
    responses=problems(400, 413, 415),
)
async def prune_sessions(sessions: Sessions, body: life_schemas.PruneSessions) -> Pruned:
    """Move old sessions to the trash, or say which with `dry_run`. Pinned ones stay."""
    return await sessions.prune(
        older_than=None if body.older_than is None else parse_age(body.older_than),
        keep=body.keep,
        max_bytes=body.max_bytes,
        dry_run=body.dry_run,
    )
