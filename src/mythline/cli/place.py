"""Where a verb works: an open store, whose sessions, and which one an abbreviated id means."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import InvalidInput, MythlineError, SessionNotFound
from ..ids import RESERVED, check_agent_id, check_owner, check_session_id, is_session_id
from ..operations import Listing
from ..store import SessionKey, Store

if TYPE_CHECKING:
    from ..models import SessionInfo
    from ..sessions import AgentSessions

LATEST: Final = "latest"
SHOWN: Final = 10
"""Candidates that a message names."""
PAGE: Final = 1000


class Refused(MythlineError):
    """What was asked for isn't there, or isn't unique. Nothing was changed."""


def store_at(location: str | None, *, make: bool = False) -> Store:
    """The store at a location, or where `mythline.open_store` looks.

    Raises:
        Refused: If there is no directory, unless it may be made.
    """
    from ..opening import default_location, open_store

    where = location or default_location()
    if not make and "://" not in where and not Path(where).is_dir():
        raise Refused(f"There is no directory {where!r}. Name the sessions' with --store.")
    return open_store(where)


@dataclass
class Place:
    """An open store, and what the options of a verb said.

    Attributes:
        store: The store.
        owner: Whose sessions, or `None` for those of no owner.
        agent: The agent that was named, if one was.
        as_json: Whether a program reads what is printed.
        location: Where the store is, if that was said.
    """

    store: Store
    owner: str | None
    agent: str | None
    as_json: bool
    location: str | None = None
    _known: dict[bool, list[SessionInfo]] = field(default_factory=dict["bool", "list[SessionInfo]"])

    def __post_init__(self) -> None:
        check_owner(self.owner)
        if self.agent is not None:
            check_agent_id(self.agent)

    async def agents(self, *, trash: bool = False) -> list[str]:
        """The agent that was named, or all that have sessions; with `trash`, deleted ones too."""
        if self.agent is not None:
            return [self.agent]
        return [info.agent_id for info in await self.store.agents(self.owner, trash=trash)]

    async def one_agent(self) -> str:
        """The agent that was named, or the only one that has sessions.

        Raises:
            InvalidInput: If none was named, and there isn't exactly one.
        """
        found = await self.agents()
        if len(found) == 1:
            return found[0]
        if not found:
            raise InvalidInput("No agent has sessions here yet. Name one with --agent.")
        raise InvalidInput(f"Name one of the agents with --agent: {_listed(found)}.")

    def key(self, info: SessionInfo) -> SessionKey:
        """What identifies a session in the store."""
        return SessionKey(self.owner, info.agent_id, info.session_id)

    def sessions(self, agent_id: str) -> AgentSessions:
        """The sessions of an agent."""
        return self.store.sessions(agent_id, owner=self.owner)

    async def one(self, agent_id: str, session_id: str) -> SessionInfo:
        """A session by its whole id.

        Raises:
            SessionNotFound: If there is none.
        """
        found = await self.store.get(SessionKey(self.owner, agent_id, session_id))
        if found is None:
            raise SessionNotFound(session_id)
        return found

    async def pages(
        self, agent_id: str, listing: Listing, most: int | None = None
    ) -> AsyncGenerator[SessionInfo]:
        """All sessions of a list, or the first `most`, a page at a time."""
        from dataclasses import replace

        count = 0
        while True:
            page = await self.store.list(self.owner, agent_id, listing)
            for info in page:
                yield info
            count += len(page)
            if page.next_cursor is None or (most is not None and count >= most):
                return
            listing = replace(listing, cursor=page.next_cursor)

    async def find(self, text: str) -> SessionInfo:
        """The session that an id, the start of one, or `latest` means.

        A whole id comes before the start of others.

        Raises:
            InvalidId: If no id looks like it.
            Refused: If it means no session, or several.
        """
        if text == LATEST:
            return await self._latest()
        exact: list[SessionInfo] = []
        if is_session_id(text):
            for agent_id in await self.agents():
                info = await self.store.get(SessionKey(self.owner, agent_id, text))
                if info is not None:
                    exact.append(info)
        elif text not in RESERVED:
            check_session_id(text)
        return self._only(text, exact or await self._starting(text))

    async def find_deleted(self, text: str) -> SessionInfo:
        """The session in the trash that an id or the start of one means; as `find`.

        Of several that were deleted under one id, the one deleted last.
        """
        if text not in RESERVED:
            check_session_id(text)
        found = await self._starting(text, trash=True)
        found = [info for info in found if info.session_id == text] or found
        newest: dict[tuple[str, str], SessionInfo] = {}
        for info in found:
            newest.setdefault((info.agent_id, info.session_id), info)
        return self._only(text, list(newest.values()), trash=True)

    async def _latest(self) -> SessionInfo:
        newest = [
            info
            for agent_id in await self.agents()
            for info in await self.store.list(self.owner, agent_id, Listing(limit=1))
        ]
        if not newest:
            raise Refused("There are no sessions yet.")
        return max(newest, key=lambda info: info.last_modified)

    async def _starting(self, text: str, *, trash: bool = False) -> list[SessionInfo]:
        """The sessions whose ids start with `text`; stores look ids up whole, so all are listed."""
        if trash not in self._known:
            listing = Listing(limit=PAGE, archived=None, trash=trash)
            self._known[trash] = [
                info
                for agent_id in await self.agents(trash=trash)
                async for info in self.pages(agent_id, listing)
            ]
        return [info for info in self._known[trash] if info.session_id.startswith(text)]

    def _only(self, text: str, found: Sequence[SessionInfo], *, trash: bool = False) -> SessionInfo:
        if len(found) == 1:
            return found[0]
        if not found:
            of_agent = f" of the agent {self.agent!r}" if self.agent else ""
            where = f"in the trash{of_agent}" if trash else f"here{of_agent}"
            hint = f"`mythline list{' --trash' if trash else ''}` shows all."
            raise Refused(f"There is no session {text!r} {where}. {hint}")
        names = _listed([f"{info.session_id} ({info.agent_id})" for info in found])
        if len({info.session_id for info in found}) == 1:
            raise Refused(f"Several agents have {text!r}: {names}. Name one with --agent.")
        raise Refused(f"{text!r} is the start of {len(found)} sessions: {names}. Give more of it.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
