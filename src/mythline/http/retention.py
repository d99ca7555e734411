"""The server's schedule of pruning: what is set, when it ran, and what it would do.

It prunes the sessions of no owner, agent by agent: those of owners are in the hands of the
application that knows them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from ..ages import format_age
from ..errors import MythlineError
from ..models import Pruned
from ..settings import Settings
from ..store import Store
from .problems import LOG, problems
from .route import ProblemRoute

FIRST: Final = timedelta(minutes=1)
"""How long after its start a server prunes first, if it is told to more seldom than that."""


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Schedule(_Answer):
    """What is pruned, and how often."""

    older_than: str | None
    keep: int | None
    max_bytes: int | None
    every: str
    next_run: datetime | None


class PrunedAgent(_Answer):
    """What of one agent a run moved to the trash, or would."""

    agent_id: str
    pruned: int
    bytes: int


class Run(_Answer):
    """What the last run did. `error` says why it ended early, if it did."""

    started: datetime
    pruned: int
    bytes: int
    agents: list[PrunedAgent]
    error: str | None


class Retention(_Answer):
    """How long sessions are kept: `trash_days` after they were deleted (`null`: for ever)."""

    trash_days: float | None
    schedule: Schedule | None
    last_run: Run | None
    would_prune: list[PrunedAgent]


class Keeper:
    """Prunes on a schedule, while the server runs.

    Args:
        store: An open store.
        settings: The bounds, and how often.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._bounds: dict[str, Any] = {
            "older_than": settings.prune_older_than,
            "keep": settings.prune_keep,
            "max_bytes": settings.prune_max_bytes,
        }
        self._every = settings.prune_every
        self._next: datetime | None = None
        self._last: Run | None = None

    @property
    def is_set(self) -> bool:
        """Whether there is anything to prune by."""
        return any(bound is not None for bound in self._bounds.values())

    @asynccontextmanager
    async def lifespan(self, _app: Any) -> AsyncGenerator[None]:
        """While the application runs, prune on schedule; it is announced at the start."""
        if not self.is_set:
            yield
            return
        LOG.warning("%s", self._announcement())
        task = asyncio.create_task(self._run_on())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def _announcement(self) -> str:
        trash = self._store.trash_days
        where = "for good, as MYTHLINE_TRASH_DAYS is 0" if trash == 0 else "to the trash"
        return (
            f"Every {format_age(self._every)}, sessions without an owner go {where}: "
            f"{', '.join(self._in_words())}. Pinned ones stay. "
            "GET /api/retention says which it would be."
        )

    def _in_words(self) -> list[str]:
        older_than, keep, max_bytes = self._bounds.values()
        words = {
            "older_than": older_than and f"those not saved for {format_age(older_than)}",
            "keep": f"all but the last {keep} of an agent",
            "max_bytes": f"the oldest of an agent beyond {max_bytes} bytes",
        }
        return [words[name] for name, bound in self._bounds.items() if bound is not None]

    async def _run_on(self) -> None:
        wait = min(self._every, FIRST)
        while True:
            self._next = datetime.now(UTC) + wait
            await asyncio.sleep(wait.total_seconds())
            await self.run()
            wait = self._every

    async def run(self) -> None:
        """Prune now, every agent; what goes wrong is logged, and tried again next time."""
        started, done, error = datetime.now(UTC), list[PrunedAgent](), None
        try:
            async for agent in self._prune(dry_run=False):
                done.append(agent)
        except MythlineError as failure:
            error = str(failure)
            LOG.error("Pruning ended early: %s", failure, exc_info=failure)
        except Exception as failure:  # the schedule goes on, whatever it is
            error = "Something went wrong in the server. It was logged."
            LOG.error("Pruning ended early", exc_info=failure)
        self._last = Run(
            started=started,
            pruned=sum(agent.pruned for agent in done),
            bytes=sum(agent.bytes for agent in done),
            agents=done,
            error=error,
        )
        if self._last.pruned:
            LOG.info("Pruned %s session(s), %s bytes", self._last.pruned, self._last.bytes)

    async def state(self) -> Retention:
        """What is set, what was done and what a run would do now."""
        older_than, keep, max_bytes = self._bounds.values()
        schedule = Schedule(
            older_than=None if older_than is None else format_age(older_than),
            keep=keep,
            max_bytes=max_bytes,
            every=format_age(self._every),
            next_run=self._next,
        )
        return Retention(
            trash_days=self._store.trash_days,
            schedule=schedule if self.is_set else None,
            last_run=self._last,
            would_prune=[agent async for agent in self._prune(dry_run=True)] if self.is_set else [],
        )

    async def _prune(self, *, dry_run: bool) -> AsyncGenerator[PrunedAgent]:
        for agent in await self._store.agents(None):
            sessions = self._store.sessions(agent.agent_id)
            pruned: Pruned = await sessions.prune(**self._bounds, dry_run=dry_run)
            if pruned.pruned:
                yield PrunedAgent(agent_id=agent.agent_id, pruned=pruned.pruned, bytes=pruned.bytes)


async def _keeper(request: Request) -> Keeper:
    return request.app.state.mythline_keeper


routes = APIRouter(route_class=ProblemRoute)


@routes.get("/api/retention", responses=problems())
async def get_retention(keeper: Annotated[Keeper, Depends(_keeper)]) -> Retention:
    """How long sessions are kept, when the server prunes, and what it would prune now."""
    return await keeper.state()
