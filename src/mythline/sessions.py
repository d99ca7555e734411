"""AgentSessions: the sessions of one agent, which is the API that everyone calls."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from pydantic_ai.conversation_store import ConversationEntry
from pydantic_ai.messages import ModelMessage

from . import ids, messages, transcript
from .conversations import StoredConversations, read_entries
from .errors import (
    InvalidInput,
    InvalidMessages,
    RevisionConflict,
    SessionExists,
    SessionNotFound,
)
from .models import (
    Appended,
    HistoryPage,
    SessionDetails,
    SessionInfo,
    SessionPage,
    StoredEntry,
    Transcript,
    now_micros,
)
from .store import ANY, Append, Save

MAX_LIMIT: Final = 1000
MAX_METADATA: Final = 16 << 10
ASIDE: Final = 64 << 10
"""Bytes of JSON from which on it is looked through beside the event loop."""

T = TypeVar("T")

OnConflict = Literal["error", "replace", "rename"]


class AgentSessions(StoredConversations):
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

    async def _details(self, session_id: str) -> SessionDetails:
        found = await self.store.get(self._key(session_id))
        if found is None:
            raise SessionNotFound(session_id)
        return found

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
        checked = _described(title, tags, metadata)
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

    async def latest(self) -> SessionInfo | None:
        """The session that was saved last, or `None` if there is none."""
        page = await self.list(limit=1)
        return page.sessions[0] if page.sessions else None

    async def list(self, *, limit: int = 100, cursor: str | None = None) -> SessionPage:
        """A page of sessions, the one saved last first.

        Args:
            limit: At most this many, 1 to 1000.
            cursor: The `next_cursor` of the page before.

        Raises:
            InvalidInput: If `limit` is out of its bounds.
            InvalidCursor: If no list gave `cursor`.
        """
        _check_limit(limit, MAX_LIMIT)
        return await self.store.list(self.owner, self.agent_id, limit=limit, cursor=cursor)

    async def delete_all(self, *, permanent: bool = False) -> int:
        """Delete all sessions of this agent and owner; how many. As `purge` if `permanent`."""
        return await self.store.delete_all(self.owner, self.agent_id, permanent=permanent)

    async def purge(self, session_id: str) -> None:
        """Delete a session for good, with the entries that no other session shares.

        Raises:
            SessionNotFound: If there is none.
        """
        if not await self.store.delete(self._key(session_id), permanent=True):
            raise SessionNotFound(session_id)

    # Messages

    async def entries(
        self,
        session_id: str,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> HistoryPage:
        """Messages of the current history as stored, oldest first, each with its entry id.

        Args:
            session_id: The session.
            limit: At most this many, from 1: the last of those asked for, the first with `after`.
            before: Only those before this entry, exclusive.
            after: Only those after this entry, exclusive.

        Raises:
            SessionNotFound: If there is no session.
            EntryNotFound: If `before` or `after` is not in the current history.
        """
        if limit is not None:
            _check_limit(limit)
        page = await self.store.history(
            self._key(session_id), limit=limit, before=before, after=after
        )
        if page is None:
            raise SessionNotFound(session_id)
        return page

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
        include: Collection[transcript.Include] = (),
    ) -> Transcript:
        """What a person reads of a session, oldest first; an item names the entry it is part of.

        Args:
            session_id: The session.
            limit: At most this many items, from 1; but an entry is never cut, so one that has
                more comes whole. The last of those asked for, the first with `after`.
            before: Only what comes before this entry, exclusive.
            after: Only what comes after this entry, exclusive.
            include: What else than prompts and answers: `tools`, `thinking`, `system`.

        Raises:
            SessionNotFound: If there is no session.
            EntryNotFound: If `before` or `after` is not in the current history.
        """
        if limit is not None:
            _check_limit(limit)

        async def fetch(**window: Any) -> HistoryPage:
            return await self.entries(session_id, **window)

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
            idempotency_key: 1 to 255 characters. A repeat within a day stores nothing, and gives
                what the first one gave.

        Raises:
            SessionNotFound: If there is no session.
            InvalidMessages: If `new` is empty, or not messages.
            RevisionConflict: If `expected_revision` is not the stored one.
            IdempotencyMismatch: If the key was used for other messages.
        """
        key = self._key(session_id)
        if isinstance(new, bytes):
            bodies = await _aside(len(new), lambda: messages.checked(new))
        else:
            bodies = messages.dump(new)
        if not bodies:
            raise InvalidMessages("No messages. A turn has at least one.")
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= 255:
            raise InvalidInput("An Idempotency-Key has 1 to 255 characters.")
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

    async def save_history(
        self, session_id: str, history: Sequence[ModelMessage]
    ) -> Sequence[ConversationEntry]:
        """Make `history` the session's, for callers that hold all of it and nothing else.

        What it adds to the stored history is appended. Where it differs, it becomes the current
        history and leaves the old one as a branch. A session that isn't there is made.

        Returns:
            The entries that were new.

        Raises:
            SessionExists: If something that is no session lies where its view would be.
        """
        key = self._key(session_id)
        bodies = messages.dump(history)
        while True:
            details = await self.store.get(key)
            page = None if details is None else await self.store.history(key)
            if details is not None and (page is None or page.revision != details.revision):
                continue  # it was saved in between
            stored = () if page is None else page.entries
            kept, parent_id = _common(stored, bodies, history)
            is_whole = details is None or parent_id == details.head_id
            if details is not None and is_whole and kept == len(bodies):
                return []
            save = self._goes_on(bodies[kept:], parent_id, details, is_whole=is_whole)
            try:
                await self.store.save(key, save)
            except RevisionConflict:
                if details is None and not await self.exists(session_id):
                    raise SessionExists(session_id) from None  # a file that is none is there
                continue
            return [
                ConversationEntry(id=entry.entry_id, parent_id=entry.parent_id, message=message)
                for entry, message in zip(save.entries, history[kept:], strict=True)
            ]

    def _goes_on(
        self,
        bodies: Sequence[bytes],
        parent_id: str | None,
        details: SessionDetails | None,
        *,
        is_whole: bool,
    ) -> Save:
        """A save in which `bodies` follow an entry of the history; the rest of it is a branch."""
        revision, *entry_ids = ids.new_entry_ids(1 + len(bodies))
        parents = [parent_id, *entry_ids]
        branches = (
            [] if details is None else [tip for tip in details.branches if tip != parents[-1]]
        )
        if details is not None and details.head_id and not is_whole:
            branches.append(details.head_id)
        return Save(
            revision=revision,
            expected=None if details is None else details.revision,
            head_id=parents[-1],
            entries=[
                StoredEntry(identity, parent, body)
                for identity, parent, body in zip(entry_ids, parents, bodies, strict=False)
            ],
            branches=branches,
            usage=b"{}" if details is None else details.usage,
            forked_from=None if details is None else details.forked_from,
            forked_at=None if details is None else details.forked_at,
            updated=now_micros(),
            reach=self.owner,
        )

    async def export(self, session_id: str) -> Iterator[bytes]:
        """The current history as a JSON array of messages, one a line, in pieces of bytes.

        Raises:
            SessionNotFound: If there is no session.
        """
        page = await self.entries(session_id)
        return messages.pieces([entry.body for entry in page.entries])

    async def import_(
        self,
        data: bytes,
        *,
        session_id: str | None = None,
        on_conflict: OnConflict = "error",
        trusted: bool = False,
    ) -> SessionDetails:
        """Make a session of a JSON array of messages, as `export` gives.

        Args:
            data: The array.
            session_id: The id of the session; generated if `None`.
            on_conflict: If the id is taken: `error`; `replace`, which leaves the old history as
                a branch; or `rename`, which takes the first free of `{id}-2`, `{id}-3`, ….
            trusted: Take the messages as they are. Otherwise they are sanitized as Pydantic AI
                does it for those of a client (`pydantic_ai.messages.sanitize_messages`).

        Raises:
            InvalidMessages: If it is no array of messages that Pydantic AI can read.
            SessionExists: If the id is taken and `on_conflict` is `error`.
        """
        identity = ids.new_session_id() if session_id is None else session_id
        self._key(identity)
        bodies = await _aside(len(data), lambda: messages.incoming(data, trusted=trusted))
        number = 1
        while True:
            renamed = identity if number == 1 else f"{identity[:120]}-{number}"
            details = await self.store.get(self._key(renamed))
            if details is not None and on_conflict == "rename":
                number += 1
                continue
            if details is not None and on_conflict == "error":
                raise SessionExists(renamed)
            save = self._goes_on(bodies, None, details, is_whole=details is None)
            try:
                await self.store.save(self._key(renamed), save)
            except RevisionConflict:
                if await self.exists(renamed):
                    continue
                if on_conflict == "rename":
                    number += 1
                    continue
                raise SessionExists(renamed) from None
            return await self._details(renamed)


async def _aside(size: int, function: Callable[[], T]) -> T:
    """What `function` returns, run beside the event loop if it has `size` bytes to look through."""
    return await asyncio.to_thread(function) if size > ASIDE else function()


def _common(
    stored: Sequence[StoredEntry], bodies: Sequence[bytes], history: Sequence[ModelMessage]
) -> tuple[int, str | None]:
    """How many messages of `history` are stored from the start, and the entry they end with.

    What can't be read is in no history that someone holds: it is passed over, and kept.
    """
    same = 0
    for entry, body in zip(stored, bodies, strict=False):
        if entry.body != body:
            break
        same += 1
    rest = messages.readable([entry.body for entry in stored[same:]])
    kept, parent_id = same, stored[same - 1].entry_id if same else None
    for entry, message in zip(stored[same:], rest, strict=True):
        if message is not None:
            if kept == len(history) or not (
                message == history[kept] or messages.same(entry.body, bodies[kept])
            ):
                break
            kept += 1
        parent_id = entry.entry_id
    return kept, parent_id


def _check_limit(limit: int, most: int | None = None) -> None:
    if limit < 1 or (most is not None and limit > most):
        raise InvalidInput(f"`limit` must be 1 {f'to {most}' if most else 'or more'}.")


def _described(
    title: str | None, tags: Sequence[str], metadata: Mapping[str, Any] | None
) -> dict[str, Any]:
    data = dict(metadata or {})
    if title is not None and len(title) > 200:
        raise InvalidInput("A title has at most 200 characters.")
    if isinstance(tags, str) or len(tags) > 50 or not all(1 <= len(tag) <= 64 for tag in tags):
        raise InvalidInput("A session has at most 50 tags of 1 to 64 characters each.")
    try:
        plain = messages.dump_plain({"title": title, "tags": sorted(set(tags)), "metadata": data})
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput("`metadata` must be a JSON object.") from None
    if len(plain) > MAX_METADATA:
        raise InvalidInput("`metadata` has at most 16 KiB as JSON.")
    described: dict[str, Any] = json.loads(plain)
    return described | {"title": described["title"] or None}
