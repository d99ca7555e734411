"""Routes that find sessions: lists, and searches in their messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BeforeValidator
from starlette.responses import Response

from .. import ids
from .. import search as searching
from ..bounds import MAX_LIMIT, check_limit
from ..models import SearchHit, SearchPage, SessionInfo, to_micros
from ..operations import Order, Search, SearchRole
from ..store import Store
from . import answers, life_schemas, schemas
from .closed import CLOSED
from .parameters import Cursor, Sessions
from .problems import problems
from .route import ProblemRoute

Archived = Literal["true", "false", "any"]
_ARCHIVED: Final[dict[Archived, bool | None]] = {"true": True, "false": False, "any": None}
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d))?", re.ASCII
)


def _check_time(value: object) -> object:
    """Refuse what isn't RFC 3339, or a date alone: numbers, say, and times without a zone."""
    if isinstance(value, str) and not _TIME.fullmatch(value):
        raise ValueError("use RFC 3339, 2026-01-31T00:00:00Z say, with `+` as `%2B`; or a date")
    return value


Moment = Annotated[datetime, BeforeValidator(_check_time)]
Tag = Annotated[str | None, Query(description="Only sessions with this tag.")]
Words = Annotated[
    str,
    Query(
        description='Words, `"words in a row"` and `begin*`. Any text is a query.',
        examples=["shadowglen"],
    ),
]
Roles = Annotated[list[SearchRole] | None, Query(description="Whose words. [user, assistant]")]
Agents = Annotated[list[str] | None, Query(description="Only in these agents' sessions.")]
Since = Annotated[Moment | None, Query(description="Only messages of this time or later.")]
Until = Annotated[Moment | None, Query(description="Only messages before this time.")]
SearchLimit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="At most this many.")]
WhichArchived = Annotated[Archived, Query(description="Archived sessions, the others, or both.")]

fixed = APIRouter(route_class=ProblemRoute)
everywhere = APIRouter(route_class=ProblemRoute)


@fixed.get(
    "/sessions",
    response_model=list[schemas.SessionSummary],
    dependencies=[CLOSED],
    responses=problems(),
)
async def list_sessions(
    request: Request,
    response: Response,
    sessions: Sessions,
    limit: SearchLimit = 100,
    cursor: Cursor = None,
    q: Annotated[str | None, Query(description="Only with this in the title or preview.")] = None,
    tag: Tag = None,
    archived: WhichArchived = "false",
    order: Annotated[
        Order, Query(description="Saved last first, made last first, or A to Z.")
    ] = "recent",
    pinned_first: Annotated[bool, Query(description="Pinned sessions before the others.")] = False,
    count: Annotated[
        bool, Query(description="Say in `X-Total-Count` how many there are on all pages.")
    ] = False,
) -> Sequence[SessionInfo]:
    """The sessions, the one saved last first.

    Where there are more, `Link` leads to the next page (`rel="next"`).
    """
    wanted: dict[str, Any] = {"tag": tag, "text": q, "archived": _ARCHIVED[archived]}
    page = await sessions.list(
        limit=limit, cursor=cursor, order=order, pinned_first=pinned_first, **wanted
    )
    response.headers.update(answers.next_link(request, page.next_cursor))
    if count:
        response.headers["X-Total-Count"] = str(await sessions.count(**wanted))
    return page.sessions


@fixed.get(
    "/sessions/search",
    response_model=list[life_schemas.SearchHit],
    dependencies=[CLOSED],
    responses=problems(),
)
async def search_sessions(
    request: Request,
    response: Response,
    sessions: Sessions,
    q: Words,
    limit: SearchLimit = 20,
    cursor: Cursor = None,
    role: Roles = None,
    since: Since = None,
    until: Until = None,
    tag: Tag = None,
    archived: WhichArchived = "any",
) -> Sequence[SearchHit]:
    """Messages with all the words of a query, best first.

    Where there are more, `Link` leads to the next page (`rel="next"`).
    """
    found = await sessions.search(
        q,
        limit=limit,
        cursor=cursor,
        roles=_roles(role),
        since=since,
        until=until,
        tag=tag,
        archived=_ARCHIVED[archived],
    )
    return _page(request, response, found)


@everywhere.get(
    "/search",
    response_model=list[life_schemas.SearchHit],
    dependencies=[CLOSED],
    responses=problems(),
)
async def search(
    request: Request,
    response: Response,
    q: Words,
    agent: Agents = None,
    limit: SearchLimit = 20,
    cursor: Cursor = None,
    role: Roles = None,
    since: Since = None,
    until: Until = None,
    tag: Tag = None,
    archived: WhichArchived = "any",
) -> Sequence[SearchHit]:
    """As `search_sessions`, in the sessions of all agents, or of some."""
    check_limit(limit, MAX_LIMIT)
    store: Store = request.state.mythline_store
    asked = Search(
        query=searching.parse(q),
        limit=limit,
        cursor=cursor,
        agents=agent and tuple(map(ids.check_agent_id, agent)),
        roles=_roles(role),
        since=None if since is None else to_micros(since),
        until=None if until is None else to_micros(until),
        tag=tag,
        archived=_ARCHIVED[archived],
    )
    return _page(request, response, await store.search(request.state.mythline_owner, asked))


def _roles(asked: list[SearchRole] | None) -> tuple[SearchRole, ...]:
    return tuple(dict.fromkeys(asked or ("user", "assistant")))


def _page(request: Request, response: Response, found: SearchPage) -> Sequence[SearchHit]:
    response.headers.update(answers.next_link(request, found.next_cursor))
    return found.hits
