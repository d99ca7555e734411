"""Parameters that routes share, and the sessions a request is about."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request
from starlette.exceptions import HTTPException

from .. import ids
from ..agents.named import AnyAgent
from ..sessions import AgentSessions
from . import schemas
from .running import Runs


def bound(request: Request, name: str) -> Any:
    """What the router has bound to a request.

    It is `None` where the request lacks what the application's dependencies take, the owner's
    say: FastAPI refuses it only when it has called all other dependencies.
    """
    return getattr(request.state, f"mythline_{name}", None)


async def current_sessions(request: Request) -> AgentSessions:
    """The sessions that this request is about."""
    return bound(request, "sessions")


async def current_agent(request: Request) -> AnyAgent:
    """The agent that this request is to run."""
    return bound(request, "agent")


async def current_deps(request: Request) -> Any:
    """What the agent depends on in this run."""
    return bound(request, "deps")


async def current_runs(request: Request) -> Runs:
    """The runs that are going on."""
    return bound(request, "runs")


async def session_id_of(
    session_id: Annotated[
        str, Path(description="The session.", json_schema_extra=schemas.SESSION_ID)
    ],
) -> str:
    """The session that the path names, which is none where a route would be."""
    if session_id in ids.RESERVED:
        raise HTTPException(
            404, f"There is nothing at this path; {session_id!r} can't be a session."
        )
    return ids.check_session_id(session_id)


Sessions = Annotated[AgentSessions, Depends(current_sessions)]
Agent = Annotated[AnyAgent, Depends(current_agent)]
Deps = Annotated[Any, Depends(current_deps)]
RunsHere = Annotated[Runs, Depends(current_runs)]
SessionId = Annotated[str, Depends(session_id_of)]
Limit = Annotated[int | None, Query(ge=1, description="At most this many; all if left out.")]
Cursor = Annotated[str | None, Query(description="Where a page ended, from its `Link` header.")]
Before = Annotated[str | None, Query(description="Only what comes before this entry.")]
After = Annotated[str | None, Query(description="Only what comes after this entry.")]
At = Annotated[
    str | None,
    Query(description="Another history: the one that ends with this entry, of a branch say."),
]
IfMatch = Annotated[
    str | None, Header(description="Only if the session has this revision: an `ETag`, or several.")
]
IfNoneMatch = Annotated[
    str | None, Header(description="Answer 304 if the session still has this `ETag`.")
]
