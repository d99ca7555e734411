"""The life of a session: describe, branch, fork, delete, restore, prune."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from . import damage, ids
from .bounds import MAX_LIMIT, check_described, check_limit
from .errors import (
    EntryNotFound,
    InvalidInput,
    RevisionConflict,
    SessionExists,
    SessionNotFound,
)
from .lists import Lists
from .models import (
    Branch,
    Pruned,
    SessionDetails,
    SessionInfo,
    SessionPage,
    now_micros,
)
from .operations import ANY, KEEP, Describe, Kept, Listing
from .store import Save

TOGETHER: Final = 64
"""Deletes that wait together, and share their syncs."""


class Lifecycle(Lists):
    """What `AgentSessions` does with sessions as wholes."""

    # Description

    async def rename(
        self, session_id: str, title: str | None, *, expected_revision: str | None = None
    ) -> SessionDetails:
        """Give a session a title; with `None`, it is offered from the first prompt again.

        Raises:
            SessionNotFound: If there is no session.
            InvalidInput: If the title has more than 200 characters.
            RevisionConflict: If `expected_revision` is not the stored one.
        """
        return await self.update(session_id, title=title, expected_revision=expected_revision)

    async def update(
        self,
        session_id: str,
        *,
        title: str | Kept | None = KEEP,
        tags: Sequence[str] | Kept = KEEP,
        pinned: bool | Kept = KEEP,
        archived: bool | Kept = KEEP,
        metadata: Mapping[str, Any] | Kept = KEEP,
        expected_revision: str | None = None,
    ) -> SessionDetails:
        """Change what describes a session; what is left out stays as it is.

        It does not touch the history, and a run that loaded the session before can save after it.

        Args:
            session_id: The session.
            title: At most 200 characters; `None` to have it offered from the first prompt.
            tags: All of them, at most 50, each 1 to 64 characters.
            pinned: Whether it stays on top and is never pruned.
            archived: Whether plain lists leave it out.
            metadata: All of it, at most 16 KiB as JSON.
            expected_revision: Only change it at this revision.

        Raises:
            SessionNotFound: If there is no session.
            InvalidInput: If an argument is out of its bounds.
            RevisionConflict: If `expected_revision` is not the stored one.
        """
        given = {
            "title": title,
            "tags": tags,
            "pinned": pinned,
            "archived": archived,
            "metadata": metadata,
        }
        fields = check_described({name: given[name] for name in given if given[name] is not KEEP})
        key = self._key(session_id)
        if not fields:
            details = await self._details(session_id)
            if expected_revision not in (None, details.revision):
                raise RevisionConflict(session_id)
            return details
        expected = ANY if expected_revision is None else expected_revision
        change = Describe(mark=ids.new_entry_ids(1)[0], expected=expected, **fields)
        return await self.store.describe(key, change)

    # Branches and forks

    async def branches(self, session_id: str) -> Sequence[Branch]:
        """The branches that a session left, oldest first.

        Raises:
            SessionNotFound: If there is no session.
        """
        found = await self.store.branches(self._key(session_id))
        if found is None:
            raise SessionNotFound(session_id)
        return found

    async def branch_at(
        self, session_id: str, entry_id: str, *, expected_revision: str | None = None
    ) -> SessionDetails:
        """Go on after an entry of the history or of a branch; what that leaves is a branch.

        As `branch`, without loading a message.

        Args:
            session_id: The session.
            entry_id: Its newest entry from now on. The last one of a branch switches to it.
            expected_revision: Only do it at this revision.

        Raises:
            SessionNotFound: If there is no session.
            EntryNotFound: If the session doesn't reach `entry_id`.
            RevisionConflict: If `expected_revision` is not the stored one.
        """
        key = self._key(session_id)
        while True:
            details = await self._details(session_id)
            if expected_revision not in (None, details.revision):
                raise RevisionConflict(session_id)
            located = await self.store.locate(key, entry_id)
            if located is None:
                raise EntryNotFound(entry_id)
            if entry_id == details.head_id:
                return details
            branches = list(details.branches)
            if details.head_id and not located.has_head:
                branches = [*(tip for tip in branches if tip != details.head_id), details.head_id]
            save = Save(
                revision=ids.new_entry_ids(1)[0],
                expected=details.revision,
                head_id=entry_id,
                branches=[tip for tip in branches if tip != entry_id],
                usage=details.usage,
                forked_from=details.forked_from,
                forked_at=details.forked_at,
                updated=now_micros(),
                reach=self.owner,
            )
            try:
                await self.store.save(key, save)
            except RevisionConflict:
                if expected_revision is not None:
                    raise
                continue
            return await self._details(session_id)

    async def fork_at(
        self,
        session_id: str,
        entry_id: str | None = None,
        *,
        new_session_id: str | None = None,
        title: str | None = None,
    ) -> SessionDetails:
        """Start a session from another one's history, which the two share from then on.

        As `fork`, without loading a message.

        Args:
            session_id: The session to fork.
            entry_id: The last entry of the fork, in the history or a branch; all without.
            new_session_id: The fork's id; generated if `None`.
            title: The fork's title, at most 200 characters.

        Raises:
            SessionNotFound: If there is no session.
            EntryNotFound: If the session doesn't reach `entry_id`.
            SessionExists: If `new_session_id` is taken.
        """
        checked = check_described({"title": title})
        if new_session_id is not None:
            ids.check_session_id(new_session_id)
        key = self._key(session_id)
        while True:
            details = await self._details(session_id)
            head_id = details.head_id if entry_id is None else entry_id
            if head_id is not None and await self.store.locate(key, head_id) is None:
                if entry_id is not None:
                    raise EntryNotFound(head_id)
                if (await self._details(session_id)).revision == details.revision:
                    raise damage.of_history()
                continue  # it was saved in between
            identity = ids.new_session_id() if new_session_id is None else new_session_id
            if await self.store.get(self._key(identity)) is not None:
                raise SessionExists(identity)
            is_whole = head_id == details.head_id
            save = Save(
                revision=ids.new_entry_ids(1)[0],
                expected=None,
                head_id=head_id,
                usage=details.usage if is_whole else b"{}",
                deferred_tool_requests=details.deferred_tool_requests if is_whole else None,
                forked_from=session_id,
                forked_at=head_id,
                updated=now_micros(),
                reach=self.owner,
                **checked,
            )
            try:
                await self.store.save(self._key(identity), save)
            except RevisionConflict:  # one of the two came or went in between; or a file is there
                reached = head_id is None or await self.store.locate(key, head_id) is not None
                if new_session_id is not None and reached:
                    raise SessionExists(identity) from None
                continue
            return await self._details(identity)

    # Trash

    async def delete_all(self, *, permanent: bool = False) -> int:
        """Delete all sessions of this agent and owner; how many. As `purge` if `permanent`."""
        return await self.store.delete_all(self.owner, self.agent_id, permanent=permanent)

    async def trash(self, *, limit: int = 100, cursor: str | None = None) -> SessionPage:
        """A page of deleted sessions, the one deleted last first, with when they will be purged.

        Raises:
            InvalidInput: If `limit` is not 1 to 1000.
            InvalidCursor: If no such list gave `cursor`.
        """
        check_limit(limit, MAX_LIMIT)
        listing = Listing(limit=limit, cursor=cursor, archived=None, trash=True)
        return await self.store.list(self.owner, self.agent_id, listing)

    async def restore(
        self, session_id: str, *, new_session_id: str | None = None
    ) -> SessionDetails:
        """Take a session out of the trash, with all that it had; of several, the last deleted.

        Args:
            session_id: Its id.
            new_session_id: Its id from now on, where its own is taken again.

        Raises:
            SessionNotFound: If none with this id is in the trash.
            SessionExists: If its id is taken.
        """
        if new_session_id is not None:
            ids.check_session_id(new_session_id)
        return await self.store.restore(self._key(session_id), session_id=new_session_id)

    async def purge(self, session_id: str) -> None:
        """Delete a session for good, or else those with this id in the trash.

        What no other session shares is removed from every file of the store.

        Raises:
            SessionNotFound: If there is none.
        """
        if not await self.store.delete(self._key(session_id), permanent=True):
            raise SessionNotFound(session_id)

    async def empty_trash(self) -> int:
        """Purge all deleted sessions of this agent and owner; how many."""
        return await self.store.empty_trash(self.owner, self.agent_id)

    # Retention

    async def prune(
        self,
        *,
        older_than: timedelta | None = None,
        keep: int | None = None,
        max_bytes: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Move old sessions to the trash: those that one of the bounds tells, or say which.

        Pinned sessions stay, whatever the bounds, and don't count for `keep`. A session that is
        saved meanwhile stays.

        Args:
            older_than: Sessions that were last saved longer ago.
            keep: All but this many, saved last; from 0.
            max_bytes: The oldest, until all that stay have at most so many bytes together; from 0.
            dry_run: Only say what would be done.

        Raises:
            InvalidInput: If no bound is given, or one is negative.
        """
        if older_than is None and keep is None and max_bytes is None:
            raise InvalidInput("Say what to prune: `older_than`, `keep` or `max_bytes`.")
        if (older_than or timedelta()) < timedelta() or min(keep or 0, max_bytes or 0) < 0:
            raise InvalidInput("`older_than`, `keep` and `max_bytes` can't be negative.")
        before = None if older_than is None else _ago(older_than)
        found = await self._outside(before, keep, max_bytes)
        if not dry_run:
            done: list[SessionInfo] = []
            for start in range(0, len(found), TOGETHER):
                some = found[start : start + TOGETHER]
                deleted = await asyncio.gather(*map(self._delete_unless_saved, some))
                done += [info for info, was in zip(some, deleted, strict=True) if was]
            found = done
        return Pruned(
            pruned=len(found),
            bytes=sum(info.size for info in found),
            sessions=tuple(info.session_id for info in found),
            dry_run=dry_run,
        )

    async def _outside(
        self, before: datetime | None, keep: int | None, max_bytes: int | None
    ) -> list[SessionInfo]:
        """The sessions outside the bounds, the oldest first."""
        everything: list[SessionInfo] = []
        cursor: str | None = None
        while True:
            page = await self.list(limit=MAX_LIMIT, cursor=cursor, archived=None)
            everything += page.sessions
            cursor = page.next_cursor
            if cursor is None:
                break
        candidates = [info for info in everything if not info.pinned]
        total = sum(info.size for info in everything)
        found: list[SessionInfo] = []
        for place, info in reversed(list(enumerate(candidates))):
            if (
                (before is not None and info.last_modified < before)
                or (keep is not None and place >= keep)
                or (max_bytes is not None and total > max_bytes)
            ):
                found.append(info)
                total -= info.size
        return found

    async def _delete_unless_saved(self, info: SessionInfo) -> bool:
        try:
            return await self.store.delete(self._key(info.session_id), expected=info.revision)
        except RevisionConflict:
            return False


def _ago(age: timedelta) -> datetime:
    """The time `age` ago, or the first that there is."""
    now = datetime.now(UTC)
    return now - min(age, now - datetime.min.replace(tzinfo=UTC))
