"""session_router: the routes of one agent, or of all, for an application to include."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Depends, Path, Request
from fastapi.params import Depends as DependsType
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from .. import ids
from ..agents.named import AnyAgent, by_id
from ..errors import InvalidInput, StoreClosed, StoreError
from ..sessions import AgentSessions
from ..store import SessionKey, Store
from . import schemas, table
from .parameters import bound
from .problems import LOG
from .protocols import chats
from .route import ProblemRoute
from .run import run
from .running import Runs
from .stopping import keep_hearing, until_stopped

MAX_BODY_SIZE: Final = 64 << 20

Dependency = Callable[..., Any] | DependsType


def session_router(
    store: Store,
    agent_id: str | None = None,
    *,
    prefix: str = "",
    owner: Dependency | None = None,
    agent: AnyAgent | None = None,
    agents: Mapping[str, AnyAgent] | Sequence[AnyAgent] = (),
    deps: Dependency | None = None,
    max_body_size: int = MAX_BODY_SIZE,
) -> APIRouter:
    """The session API as a router, for an application of your own.

        app.include_router(session_router(store, "researcher", prefix="/research"), prefix="/api")

    A store that is not open is opened when the application starts, or at the first request, and
    closed when it stops. All errors are problems (RFC 9457) without handlers of the application;
    what a dependency of its own raises is still its own, unless it is an `HTTPException`.

    Args:
        store: Where the sessions are.
        agent_id: The agent, for the routes `{prefix}/sessions…`; the name of `agent` will do.
            Without, every agent, for the routes `{prefix}/agents` and
            `{prefix}/agents/{agent_id}/sessions…`.
        prefix: Before all routes; starts with `/` unless it is empty.
        owner: A dependency that gives the owner of the sessions, as a string, or `None`:
            `Depends(current_user)` or the function itself. Without, sessions have no owner, and
            everyone who can reach the routes has them all.
        agent: The agent itself, for the routes that run it: `{prefix}/run` and more. If it
            carries a `SessionMemory`, that one's options hold, but the sessions are these.
        agents: The agents that can be run where the router is for every agent, by their ids, or
            those whose names are their ids.
        deps: A dependency that gives the `deps` of a run, as `owner` gives the owner.
        max_body_size: Bytes that a request may have.

    Raises:
        InvalidId: If an agent's id is outside the grammar of `mythline.ids`.
        InvalidInput: If what is to be run is no agent, has no id or the id of another.
    """
    if agent is not None:
        ((agent_id, agent),) = by_id({agent_id: agent} if agent_id else [agent]).items()
        agents = {agent_id: agent}
    runnable = by_id(agents)
    if agent is None and agent_id is not None and runnable:
        raise InvalidInput("A router of one agent runs one: pass `agent`.")
    runs = Runs()
    opener = _Opener(store, runs)
    router = APIRouter(
        prefix=prefix,
        route_class=ProblemRoute,
        tags=[agent_id or "sessions"],
        dependencies=[Depends(_bind_store(opener, owner, runnable))],
        lifespan=opener.lifespan,
        max_body_size=max_body_size,
        generate_unique_id_function=_named(agent_id),
    )
    if agent_id is None:
        router.include_router(table.of_all)
        place, bind = "/agents/{agent_id}", _bind_agent_of_path
    else:
        place, bind = "", _bind_agent(ids.check_agent_id(agent_id))
    if runnable:
        to_run = _bind_run(runnable, runs, deps)
        for each in (run, chats):
            router.include_router(each, prefix=place, dependencies=[Depends(bind), Depends(to_run)])
    router.include_router(table.of_agent, prefix=place, dependencies=[Depends(bind)])
    return router


def _named(agent_id: str | None) -> Callable[[APIRoute], str]:
    """Operation ids: a route's name, with the agent where there may be routers for others."""
    return lambda route: route.name if agent_id is None else f"{route.name}_{agent_id}"


async def _nothing() -> None:
    return None


def _dependency(given: Dependency | None) -> Any:
    return given if isinstance(given, DependsType) else Depends(given or _nothing)


def _bind_store(
    opener: _Opener, owner: Dependency | None, runnable: Collection[str]
) -> Callable[..., Any]:
    given = _dependency(owner)

    async def bind_store(request: Request, owner: Any = given) -> None:
        request.state.mythline_runnable = runnable
        request.state.mythline_owner = ids.check_owner(owner)
        request.state.mythline_store = await opener.opened()

    return bind_store


def _bind(request: Request, agent_id: str) -> None:
    state = request.state
    store: Store | None = bound(request, "store")
    if store is not None:
        state.mythline_sessions = store.sessions(agent_id, state.mythline_owner)


async def _bind_agent_of_path(
    request: Request,
    agent_id: Annotated[str, Path(description="The agent.", json_schema_extra=schemas.AGENT_ID)],
) -> None:
    _bind(request, agent_id)


def _bind_agent(agent_id: str) -> Callable[..., Any]:
    async def bind_agent(request: Request) -> None:
        _bind(request, agent_id)

    return bind_agent


def _bind_run(
    runnable: Mapping[str, AnyAgent], runs: Runs, deps: Dependency | None
) -> Callable[..., Any]:
    given = _dependency(deps)

    async def bind_run(request: Request, deps: Any = given) -> None:
        state = request.state
        sessions: AgentSessions | None = bound(request, "sessions")
        if sessions is None:
            return
        agent_id = sessions.agent_id
        if agent_id not in runnable:
            raise HTTPException(
                404,
                f"No agent {agent_id!r} can be run here. Those that can are `runnable` in the "
                "list of agents.",
            )
        state.mythline_agent = runnable[agent_id]
        state.mythline_deps = deps
        state.mythline_runs = runs

    return bind_run


class _Opener:
    """Opens a store that nobody has opened, and closes it then, after the last run."""

    def __init__(self, store: Store, runs: Runs) -> None:
        self._store = store
        self._runs = runs
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            WeakKeyDictionary()
        )
        self._is_told = False  # when the application starts and stops
        self._is_ready = False
        self._is_ours = False

    async def opened(self) -> Store:
        """The store, open.

        Raises:
            StoreError: If it can't be opened; the next call tries again.
        """
        if not self._is_told:
            keep_hearing()
        if not self._is_ready:
            # A lock is of one event loop; a store may be opened from several at a time.
            async with self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                if not self._is_ready:
                    if not await _is_open(self._store):
                        await self._store.open()
                        self._is_ours = True
                    self._is_ready = True
        return self._store

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncGenerator[None]:
        """While the application runs, the store is open."""
        self._is_told = True
        try:
            await self.opened()
        except StoreError as error:  # each request tries again, and answers why not
            LOG.error("%s", error, exc_info=error)
        try:
            with until_stopped():
                yield
        finally:
            await self._runs.stop()
            self._is_ready = self._is_told = False
            if self._is_ours:
                self._is_ours = False
                await self._store.close()


async def _is_open(store: Store) -> bool:
    try:
        await store.get(SessionKey(None, "_", "_"))
    except StoreClosed:
        return False
    return True
