"""Lists of sessions, searches in their messages, and what happens to them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from datetime import datetime
from typing import get_args

from . import search
from .bounds import MAX_LIMIT, check_known, check_limit, looked_for
from .conversations import StoredConversations
from .models import SearchPage, SessionEvent, SessionInfo, SessionPage, to_micros
from .operations import Listing, Order, Search, SearchRole


class Lists(StoredConversations):
    """What `AgentSessions` tells of many sessions."""

    async def list(
        self,
        *,
        limit: int = 100,
        cursor: str | None = None,
        order: Order = "recent",
        archived: bool | None = False,
        tag: str | None = None,
        text: str | None = None,
        pinned_first: bool = False,
    ) -> SessionPage:
        """A page of sessions, the one saved last first.

        Args:
            limit: At most this many, 1 to 1000.
            cursor: The `next_cursor` of the page before, of a list with the same arguments.
            order: `recent`, saved last first; `created`, made last first; or `title`, A to Z.
            archived: Only sessions that aren't archived; with `True` only those that are, with
                `None` both.
            tag: Only sessions with this tag.
            text: Only sessions whose title or preview has this text in it, whatever the case.
            pinned_first: Pinned sessions before the others, each of the two in `order`.

        Raises:
            InvalidInput: If `limit` is out of its bounds, or there is no such order.
            InvalidCursor: If no list of this order gave `cursor`.
        """
        check_limit(limit, MAX_LIMIT)
        check_known("order", [order], get_args(Order))
        listing = Listing(
            limit=limit,
            cursor=cursor,
            order=order,
            archived=archived,
            tag=looked_for(tag),
            text=looked_for(text or None),
            pinned_first=pinned_first,
        )
        return await self.store.list(self.owner, self.agent_id, listing)

    async def count(
        self, *, archived: bool | None = False, tag: str | None = None, text: str | None = None
    ) -> int:
        """How many sessions a list with these arguments has on all its pages."""
        listing = Listing(
            limit=1, archived=archived, tag=looked_for(tag), text=looked_for(text or None)
        )
        return await self.store.count(self.owner, self.agent_id, listing)

    async def latest(self) -> SessionInfo | None:
        """The session that was saved last and isn't archived, or `None` if there is none."""
        page = await self.list(limit=1)
        return page.sessions[0] if page.sessions else None

    async def search(
        self,
        query: str,
        *,
        limit: int = 20,
        cursor: str | None = None,
        roles: Collection[SearchRole] = ("user", "assistant"),
        since: datetime | None = None,
        until: datetime | None = None,
        tag: str | None = None,
        archived: bool | None = None,
    ) -> SearchPage:
        """Messages with all the words of a query, in the histories and branches of sessions.

        Args:
            query: Words, `"words in a row"` and `begin*`; see `mythline.search`. Any string is
                a query, and one without words finds nothing.
            limit: At most this many hits, 1 to 1000.
            cursor: The `next_cursor` of the page before, for the same query.
            roles: Whose words: `user` (prompts), `assistant`, `tool` (what tools returned).
            since: Only messages of this time or later.
            until: Only messages before this time, exclusive.
            tag: Only in sessions with this tag.
            archived: Only in sessions that are archived, or aren't; `None` for all.

        Raises:
            InvalidInput: If `limit` is out of its bounds, or there is no such role.
            InvalidCursor: If no search gave `cursor`.
        """
        check_limit(limit, MAX_LIMIT)
        check_known("roles", roles, get_args(SearchRole))
        asked = Search(
            query=search.parse(query),
            limit=limit,
            cursor=cursor,
            roles=tuple(roles),
            agents=(self.agent_id,),
            since=None if since is None else to_micros(since),
            until=None if until is None else to_micros(until),
            tag=looked_for(tag),
            archived=archived,
        )
        return await self.store.search(self.owner, asked)

    def events(self, *, after: str | None = None) -> AsyncGenerator[SessionEvent]:
        """What happens to these sessions from now on, whoever does it, as `Store.events`.

        Args:
            after: The `event_id` to go on from.
        """
        return self.store.events(self.owner, self.agent_id, after=after)
