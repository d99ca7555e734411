"""AgentSessions: the sessions of one agent, which is the API that everyone calls."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic_ai.messages import ModelMessage

from . import ids, messages, transcript
from .bounds import aside, check_described, check_limit
from .conversations import read_entries
from .errors import (
    EntryNotFound,
    InvalidInput,
    InvalidMessages,
    RevisionConflict,
    SessionExists,
    SessionNotFound,
)
from .lifecycle import Lifecycle
from .models import Appended, File, HistoryPage, SessionDetails, Transcript, now_micros
from .store import ANY, Append, Save
from .transfer import OnConflict as OnConflict
from .transfer import Transfers


class AgentSessions(Transfers, Lifecycle):
    """The sessions of one agent, of one owner or of none.

    It *is* a Pydantic AI `ConversationStore`: whatever takes one takes it.

    With an owner, everything else is out of reach, and a `scope` that is passed must be the
    owner. Without one, the methods of `ConversationStore` keep to its contract, where an id is
    unique whatever its scope: they reach the sessions of no owner and those that were saved here
    with a `scope`; with a `scope` passed, exactly that owner's. All other methods reach the
    sessions of no owner alone.

    Args:
        store: An open store.
        agent_id: The agent.
        owner: The tenant or user, or `None`.

    Raises:
        InvalidId: If an id is outside the grammar of `mythline.ids`.
    """

    # Sessions

    async def create(
        self,
        session_id: str | None = None,
        *,
        title: str | None = None,
        tags: Sequence[str] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> SessionDetails:
        """Make an empty session; it is listed at once.

        Args:
            session_id: Its id; generated if `None`.
            title: Its title, at most 200 characters.
            tags: At most 50, each 1 to 64 characters.
            metadata: Free data, at most 16 KiB as JSON.

        Raises:
            SessionExists: If the id is taken.
            InvalidInput: If an argument is out of its bounds.
        """
        checked = check_described({"title": title, "tags": tags, "metadata": metadata or {}})
        while True:
            identity = ids.new_session_id() if session_id is None else session_id
            save = Save(
                revision=ids.new_entry_ids(1)[0],
                expected=None,
                head_id=None,
                updated=now_micros(),
                **checked,
            )
            try:
                await self.store.save(self._key(identity), save)
            except RevisionConflict:
                if session_id is None:
                    continue
                raise SessionExists(identity) from None
            return await self._details(identity)

    async def exists(self, session_id: str) -> bool:
        """Whether there is a session with this id."""
        return await self.store.get(self._key(session_id)) is not None

    async def info(self, session_id: str) -> SessionDetails:
        """A session with all that is known of it, without its messages.

        Raises:
            SessionNotFound: If there is none.
        """
        return await self._details(session_id)

    # Messages

    async def entries(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
        at: str | None = None,
    ) -> HistoryPage:
        """Messages of the current history as stored, oldest first, each with its entry id.

        Args:
            session_id: The session.
            limit: At most this many, from 1: the last of those asked for; with `after` and no
                `before`, the first.
            before: Only those before this entry, exclusive.
            after: Only those after this entry, exclusive.
            at: Another history: that which ends with this entry, of a branch, say. It can't be
                asked for with `after`.

        Raises:
            SessionNotFound: If there is no session.
            EntryNotFound: If `before` or `after` is not in the history, or `at` in the session.
            InvalidInput: If `at` comes with `after`.
        """
        if limit is not None:
            check_limit(limit)
        if at is not None:
            if after is not None:
                raise InvalidInput("A history that is asked for with `at` goes back by `before`.")
            return await self._entries_at(session_id, at, limit, before)
        page = await self.store.history(
            self._key(session_id), limit=limit, before=before, after=after
        )
        if page is None:
            raise SessionNotFound(session_id)
        return page

    async def _entries_at(
        self, session_id: str, at: str, limit: int | None, before: str | None
    ) -> HistoryPage:
        key = self._key(session_id)
        revision = (await self.info(session_id)).revision
        whole = await self.store.locate(key, at)
        end = whole if before is None else await self.store.locate(key, before)
        if whole is None or end is None:
            raise EntryNotFound(at if whole is None else before or at)
        if end.count > whole.count:  # it comes after the history that was asked for
            raise EntryNotFound(before or at)
        more = 0 if before is None else 1
        found = await self.store.line(
            self.owner, self.agent_id, before or at, limit=None if limit is None else limit + more
        )
        entries = tuple(found or ())[: -more or None]
        return HistoryPage(revision, whole.count, end.count - more - len(entries), entries)

    async def file(self, session_id: str, entry_id: str, number: int) -> File | None:
        """A picture or file that is kept in a message of the history or a branch.

        `None` if the message has no such.

        Args:
            session_id: The session.
            entry_id: The message.
            number: Which of them, from 0: `Attachment.file`.

        Raises:
            SessionNotFound: If there is no session.
            EntryNotFound: If the session doesn't have the entry.
        """
        (entry,) = (await self.entries(session_id, limit=1, at=entry_id)).entries
        return transcript.file_of(entry, number)

    async def history(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
        skip_unreadable: bool = False,
    ) -> list[ModelMessage]:
        """Messages of the current history as `ModelMessage`s, oldest first; as `entries`.

        Raises:
            UnreadableMessages: If the installed Pydantic AI can't read one; with
                `skip_unreadable` it is left out instead.
        """
        page = await self.entries(session_id, limit=limit, before=before, after=after)
        return [message for _, message in read_entries(page.entries, skip_unreadable)]

    async def transcript(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
        at: str | None = None,
        include: Collection[transcript.Include] = (),
    ) -> Transcript:
        """What a person reads of a session, oldest first; an item names the entry it is part of.

        Args:
            session_id: The session.
            limit: At most this many items, from 1; but an entry is never cut, so one that has
                more comes whole. The last of those asked for; with `after` and
                no `before`, the first.
            before: Only what comes before this entry, exclusive.
            after: Only what comes after this entry, exclusive.
            at: Another history: that which ends with this entry, as in `entries`.
            include: What else than prompts and answers: `tools`, `thinking`, `system`.

        Raises:
            SessionNotFound: If there is no session.
            EntryNotFound: If `before` or `after` is not in the current history.
        """
        if limit is not None:
            check_limit(limit)

        async def fetch(**window: Any) -> HistoryPage:
            return await self.entries(session_id, at=at, **window)

        return await transcript.page(fetch, limit, before, after, include)

    async def append(
        self,
        session_id: str,
        new: Sequence[ModelMessage] | bytes,
        *,
        expected_revision: str | None = None,
        idempotency_key: str | None = None,
    ) -> Appended:
        """Add one turn after the newest message, whatever was added meanwhile; one durable step.

        What the session waited on (deferred tool requests) is dropped: the turn answers it.

        Args:
            session_id: The session.
            new: Its messages, or a JSON array of them, whose bytes are kept.
            expected_revision: Only go on from this revision.
            idempotency_key: 1 to 255 characters of valid Unicode. A repeat within a day stores
                nothing, and gives what the first one gave.

        Raises:
            SessionNotFound: If there is no session.
            InvalidMessages: If `new` is empty, or not messages.
            RevisionConflict: If `expected_revision` is not the stored one.
            IdempotencyMismatch: If the key was used for other messages.
        """
        key = self._key(session_id)
        if isinstance(new, bytes):
            bodies = await aside(len(new), lambda: messages.checked(new))
        else:
            bodies = messages.dump(new)
        if not bodies:
            raise InvalidMessages("No messages. A turn has at least one.")
        if idempotency_key is not None and not (
            1 <= len(idempotency_key) <= 255 and ids.is_unicode(idempotency_key)
        ):
            raise InvalidInput("An Idempotency-Key has 1 to 255 characters of valid Unicode.")
        revision, *entry_ids = ids.new_entry_ids(1 + len(bodies))
        result = await self.store.append(
            key,
            Append(
                revision=revision,
                expected=ANY if expected_revision is None else expected_revision,
                entry_ids=entry_ids,
                bodies=bodies,
                updated=now_micros(),
                idempotency_key=idempotency_key,
                digest=hashlib.sha256(b"\n".join(bodies)).digest(),
            ),
        )
        return Appended(session_id, result.revision, result.message_count, result.entry_ids)
