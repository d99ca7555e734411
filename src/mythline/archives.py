"""Whole agents and stores as one file, and back: also from one kind of store to another.

Both work session by session: of a large store no more than a session is held at a time, and what
was interrupted goes on where it stopped when it is begun again.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Collection
from typing import IO

from .bounds import aside
from .errors import InvalidMessages, SessionNotFound, StoreCorrupt
from .formats import sanitized
from .formats.archive import ArchiveKind, ArchiveWriter
from .formats.unpacking import Archive
from .models import Imported, SessionInfo
from .operations import KEEP, Kept
from .sessions import AgentSessions
from .store import Store
from .transfer import BulkConflict


async def export_all(
    store: Store,
    *,
    kind: ArchiveKind = "zip",
    owners: Collection[str | None] | None = None,
    agents: Collection[str] | None = None,
    damaged: Callable[[SessionInfo], object] | None = None,
) -> AsyncGenerator[tuple[SessionInfo | None, bytes]]:
    """An archive of sessions, in pieces, to be written one after the other.

    Ordered by owner and agent and, in each, made last first. Sessions that are deleted meanwhile
    are left out, and so is what is in the trash.

    Args:
        store: Where they are.
        kind: `zip` or `tar.zst`.
        owners: Only those of these owners, `None` for those of no owner.
        agents: Only those of these agents.
        damaged: Called with each session that is damaged, which is left out.

    Yields:
        A session with the first piece of it, then `None` with each other piece.

    Raises:
        StoreCorrupt: If a session is damaged, without `damaged`.
    """
    writer = ArchiveWriter(kind)
    for owner in await store.owners() if owners is None else owners:
        for agent in await store.agents(owner):
            if agents is not None and agent.agent_id not in agents:
                continue
            sessions = store.sessions(agent.agent_id, owner)
            async for info in every_session(sessions):
                try:
                    exported = await sessions.exported(info.session_id)
                except SessionNotFound:
                    continue
                except StoreCorrupt:
                    if damaged is None:
                        raise
                    damaged(info)
                    continue
                first: SessionInfo | None = info
                add = functools.partial(list[bytes], writer.add(exported))
                for piece in await aside(info.size, add):
                    yield first, piece
                    first = None
    for piece in writer.finish():
        yield None, piece


async def every_session(sessions: AgentSessions) -> AsyncGenerator[SessionInfo]:
    """All sessions of an agent and owner, archived ones as well, made last first."""
    cursor: str | None = None
    while True:
        page = await sessions.list(limit=1000, cursor=cursor, archived=None, order="created")
        for info in page:
            yield info
        cursor = page.next_cursor
        if cursor is None:
            return


async def import_archive(
    store: Store,
    file: IO[bytes] | Archive,
    *,
    owner: str | Kept | None = KEEP,
    on_conflict: BulkConflict = "skip",
    trusted: bool = False,
) -> AsyncGenerator[Imported]:
    """Store all sessions of an archive, and tell of each when it is stored, in its order.

    Each is stored whole or not at all. Those that are here as they are in the archive are left,
    so an import that was interrupted goes on when it is begun again.

    Args:
        store: Where to.
        file: The archive, which can seek; or one that is looked through already. It is checked as
            a whole before anything is stored.
        owner: Whose the sessions will be; whose they were without a word on it.
        on_conflict: If another session has the id: `skip`, `error`, `replace` or `rename`.
        trusted: Take the messages as they are, as of an archive that one wrote oneself; otherwise
            they are sanitized as those of a client.

    Raises:
        InvalidMessages: If it is no archive, or not whole, or its sessions aren't.
        InvalidInput: If `on_conflict` is none of those.
    """
    archive = file if isinstance(file, Archive) else await asyncio.to_thread(Archive, file)
    found = archive.sessions()
    while True:
        one = await asyncio.to_thread(next, found, None)
        if one is None:
            return
        place, session = one
        if not trusted:
            try:
                session = await asyncio.to_thread(sanitized, session)
            except InvalidMessages as error:
                yield Imported(place.agent_id, place.session_id, "failed", 0, str(error))
                continue
        whose = place.owner if owner is KEEP else owner
        yield await store.sessions(place.agent_id, whose).take(session, on_conflict)
