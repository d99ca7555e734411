"""session_router: the routes of one agent, or of all, for an application to include."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request
from fastapi.params import Depends as DependsType
from fastapi.routing import APIRoute

from .. import ids
from ..errors import StoreClosed, StoreError
from ..store import SessionKey, Store
from . import schemas, table
from .problems import LOG
from .route import ProblemRoute

MAX_BODY_SIZE: Final = 64 << 20

Owner = Callable[..., Any] | DependsType


def session_router(
    store: Store,
    agent_id: str | None = None,
    *,
    prefix: str = "",
    owner: Owner | None = None,
    max_body_size: int = MAX_BODY_SIZE,
) -> APIRouter:
    """The session API as a router, for an application of your own.

        app.include_router(session_router(store, "researcher", prefix="/research"), prefix="/api")

    A store that is not open is opened when the application starts, or at the first request, and
    closed when it stops. All errors are problems (RFC 9457) without handlers of the application;
    what a dependency of its own raises is still its own, unless it is an `HTTPException`.

    Args:
        store: Where the sessions are.
        agent_id: The agent, for the routes `{prefix}/sessions…`. Without, every agent, for the
            routes `{prefix}/agents` and `{prefix}/agents/{agent_id}/sessions…`.
        prefix: Before all routes; starts with `/` unless it is empty.
        owner: A dependency that gives the owner of the sessions, as a string, or `None`:
            `Depends(current_user)` or the function itself. Without, sessions have no owner, and
            everyone who can reach the routes has them all.
        max_body_size: Bytes that a request may have.

    Raises:
        InvalidId: If `agent_id` is outside the grammar of `mythline.ids`.
    """
    opener = _Opener(store)
    router = APIRouter(
        prefix=prefix,
        route_class=ProblemRoute,
        tags=[agent_id or "sessions"],
        dependencies=[Depends(_bind_store(opener, owner))],
        lifespan=opener.lifespan,
        max_body_size=max_body_size,
        generate_unique_id_function=_named(agent_id),
    )
    if agent_id is None:
        router.include_router(table.of_all)
        router.include_router(
            table.of_agent, prefix="/agents/{agent_id}", dependencies=[Depends(_bind_agent_of_path)]
        )
    else:
        bind = _bind_agent(ids.check_agent_id(agent_id))
        router.include_router(table.of_agent, dependencies=[Depends(bind)])
    return router


def _named(agent_id: str | None) -> Callable[[APIRoute], str]:
    """Operation ids: a route's name, with the agent where there may be routers for others."""
    return lambda route: route.name if agent_id is None else f"{route.name}_{agent_id}"


async def _no_owner() -> None:
    return None


def _bind_store(opener: _Opener, owner: Owner | None) -> Callable[..., Any]:
    given = owner if isinstance(owner, DependsType) else Depends(owner or _no_owner)

    async def bind_store(request: Request, owner: Any = given) -> None:
        request.state.mythline_owner = ids.check_owner(owner)
        request.state.mythline_store = await opener.opened()

    return bind_store


def _bind(request: Request, agent_id: str) -> None:
    state = request.state
    state.mythline_sessions = state.mythline_store.sessions(agent_id, state.mythline_owner)


async def _bind_agent_of_path(
    request: Request,
    agent_id: Annotated[str, Path(description="The agent.", json_schema_extra=schemas.AGENT_ID)],
) -> None:
    _bind(request, agent_id)


def _bind_agent(agent_id: str) -> Callable[..., Any]:
    async def bind_agent(request: Request) -> None:
        _bind(request, agent_id)

    return bind_agent


class _Opener:
    """Opens a store that nobody has opened, and closes it then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._is_ready = False
        self._is_ours = False

    async def opened(self) -> Store:
        """The store, open.

        Raises:
            StoreError: If it can't be opened; the next call tries again.
        """
        if not self._is_ready:
            async with self._lock:
                if not self._is_ready:
                    if not await _is_open(self._store):
                        await self._store.open()
                        self._is_ours = True
                    self._is_ready = True
        return self._store

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncGenerator[None]:
        """While the application runs, the store is open."""
        try:
            await self.opened()
        except StoreError as error:  # each request tries again, and answers why not
            LOG.error("%s", error, exc_info=error)
        try:
            yield
        finally:
            self._is_ready = False
            if self._is_ours:
                self._is_ours = False
                await self._store.close()


async def _is_open(store: Store) -> bool:
    try:
        await store.get(SessionKey(None, "_", "_"))
    except StoreClosed:
        return False
    return True
