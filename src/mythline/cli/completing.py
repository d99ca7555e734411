"""What a shell offers for ids and agents: read quickly, and silent whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import typer

Completions = list[tuple[str, str]]
"""Words, and what each is."""
OFFERED = 1000
"""The newest sessions of an agent that are looked at."""


def complete_agent(context: typer.Context, incomplete: str) -> Completions:
    """Agents that have sessions."""
    from .place import Place

    async def look(place: Place) -> Completions:
        place.agent = None
        return [(name, "") for name in await place.agents() if name.startswith(incomplete)]

    return _looked_up(context, look)


def complete_session(context: typer.Context, incomplete: str) -> Completions:
    """Sessions, the one saved last first, with their titles."""
    return _sessions(context, incomplete, trash=False)


def complete_deleted(context: typer.Context, incomplete: str) -> Completions:
    """Sessions in the trash."""
    return _sessions(context, incomplete, trash=True)


def _sessions(context: typer.Context, incomplete: str, *, trash: bool) -> Completions:
    from ..operations import Listing
    from .output import plain
    from .place import Place

    async def look(place: Place) -> Completions:
        listing = Listing(limit=OFFERED, archived=None, trash=trash)
        found = [
            info
            for agent_id in await place.agents()
            for info in await place.store.list(place.owner, agent_id, listing)
            if info.session_id.startswith(incomplete)
        ]
        found.sort(key=lambda info: info.last_modified, reverse=True)
        return [(info.session_id, plain(info.title or "")) for info in found]

    return _looked_up(context, look)


def _looked_up(context: typer.Context, look: Callable[..., Awaitable[Completions]]) -> Completions:
    from .place import Place, store_at

    async def work() -> Completions:
        given = context.params
        async with store_at(given.get("store")) as store:
            return await look(Place(store, given.get("owner"), given.get("agent"), as_json=False))

    with contextlib.suppress(Exception):
        return asyncio.run(work())
    return []
