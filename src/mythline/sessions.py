"""AgentSessions: the sessions of one agent, which is the API that everyone calls.

It *is* Pydantic AI's `ConversationStore`. That class works out which messages are new, where a
history branches and what a fork shares; here are its storage primitives over a `Store`, and what
it has no name for. Its methods call a session's id `conversation_id` and the owner `scope`.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal

import pydantic
from pydantic import TypeAdapter
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.messages import ModelMessage
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from . import ids, messages, transcript
from .errors import (
    EntryNotFound,
    InvalidInput,
    InvalidMessages,
    RevisionConflict,
    SessionExists,
    SessionNotFound,
    UnreadableMessages,
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
    to_micros,
)
from .store import ANY, Append, Save, SessionKey, Store

MAX_LIMIT: Final = 1000
_CHUNK: Final = 256 << 10

OnConflict = Literal["error", "replace", "rename"]


@cache
def _usage_adapter() -> TypeAdapter[RunUsage]:
    return TypeAdapter(RunUsage)


@cache
def _deferred_adapter() -> TypeAdapter[DeferredToolRequests]:
    return TypeAdapter(DeferredToolRequests)


class AgentSessions(ConversationStore):
    """The sessions of one agent, of one owner or of none.

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

    def __init__(self, store: Store, agent_id: str, *, owner: str | None = None) -> None:
        self.store = store
        self.agent_id = ids.check_agent_id(agent_id)
        self.owner = ids.check_owner(owner)
        self._scope: str | None = None
        self._skip_unreadable = False

    def __repr__(self) -> str:
        return f"AgentSessions({self.agent_id!r}, owner={self.owner!r})"

    def _key(self, session_id: str) -> SessionKey:
        return SessionKey(self.owner, self.agent_id, ids.check_session_id(session_id))

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
        return [message for _, message in _read(page.entries, skip_unreadable)]

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
        unknown = set(include) - transcript.INCLUDES
        if unknown:
            known = ", ".join(sorted(transcript.INCLUDES))
            raise InvalidInput(f"Can't include {', '.join(sorted(unknown))}. Known are: {known}.")
        if limit is None:
            page = await self.entries(session_id, before=before, after=after)
            return Transcript(tuple(transcript.items(page.entries, include)), page)
        _check_limit(limit)
        forward = after is not None and before is None
        kept: list[tuple[StoredEntry, list[Any]]] = []
        count = 0
        edge = after if forward else before
        step = limit
        while True:
            page = await self.entries(
                session_id,
                limit=step,
                before=None if forward else edge,
                after=edge if forward else after,
            )
            found = [(e, list(transcript.items([e], include))) for e in page.entries]
            taken = 0
            for entry, shown in found if forward else reversed(found):
                if kept and count + len(shown) > limit:
                    break
                kept.append((entry, shown))
                count += len(shown)
                taken += 1
            is_last = len(page.entries) < step or not (
                page.has_after if forward else page.has_before
            )
            if taken < len(found) or is_last or not found:
                break
            edge = found[-1 if forward else 0][0].entry_id
            step = min(step * 2, MAX_LIMIT)
        if not forward:
            kept.reverse()
        first = page.first
        if kept:
            ids_of_page = [entry.entry_id for entry in page.entries]
            if forward:
                first = page.first + ids_of_page.index(kept[-1][0].entry_id) + 1 - len(kept)
            else:
                first = page.first + ids_of_page.index(kept[0][0].entry_id)
        history = HistoryPage(page.revision, page.total, first, tuple(entry for entry, _ in kept))
        return Transcript(tuple(item for _, shown in kept for item in shown), history)

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
        bodies = _checked(new) if isinstance(new, bytes) else messages.dump(new)
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
        """
        key = self._key(session_id)
        new = messages.dump(history)
        while True:
            details = await self.store.get(key)
            page = None if details is None else await self.store.history(key)
            if details is not None and page is not None and page.revision == details.revision:
                stored = [entry.body for entry in page.entries]
                if stored == new:
                    return []
                if stored == new[: len(stored)]:
                    added = history[len(stored) :]
                    try:
                        done = await self.append(
                            session_id, added, expected_revision=details.revision
                        )
                    except (RevisionConflict, SessionNotFound):
                        continue
                    parents = [details.head_id, *done.entry_ids]
                    return [
                        ConversationEntry(id=identity, parent_id=parent, message=message)
                        for identity, parent, message in zip(
                            done.entry_ids, parents, added, strict=False
                        )
                    ]
            conversation = Conversation(
                messages=list(history),
                conversation_id=session_id,
                revision=None if details is None else details.revision,
                usage=RunUsage() if details is None else _usage(details),
            )
            try:
                return await self._skipping_unreadable().save(conversation)
            except ConversationConflict:
                continue

    async def export(self, session_id: str) -> Iterator[bytes]:
        """The current history as a JSON array of messages, one a line, in pieces of bytes.

        Raises:
            SessionNotFound: If there is no session.
        """
        page = await self.entries(session_id)
        return _pieces([entry.body for entry in page.entries])

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
        bodies = messages.split(data, strict=True)
        found = _readable(bodies)
        if not trusted:
            bodies = messages.dump(messages.sanitize(found))
        number = 1
        while True:
            renamed = identity if number == 1 else f"{identity[:120]}-{number}"
            details = await self.store.get(self._key(renamed))
            if details is not None and on_conflict == "rename":
                number += 1
                continue
            if details is not None and on_conflict == "error":
                raise SessionExists(renamed)
            try:
                await self.store.save(self._key(renamed), _whole(bodies, details))
            except RevisionConflict:
                if await self.exists(renamed):
                    continue
                if on_conflict == "rename":
                    number += 1
                    continue
                raise SessionExists(renamed) from None
            return await self._details(renamed)

    # ConversationStore: its public methods, where an ownerless caller names a scope

    def _in_scope(self, scope: str | None) -> AgentSessions:
        """These sessions, but an ownerless caller who names a scope reads exactly that owner's."""
        if scope is None or self.owner is not None:
            return self
        scoped = copy.copy(self)
        scoped._scope = ids.check_owner(scope)
        return scoped

    async def _find(self, session_id: str) -> SessionDetails | None:
        if self._scope is not None:
            key = SessionKey(self._scope, self.agent_id, ids.check_session_id(session_id))
            return await self.store.get(key)
        return await self.store.get(self._key(session_id), shared=self.owner is None)

    def _skipping_unreadable(self) -> AgentSessions:
        skipping = copy.copy(self)
        skipping._skip_unreadable = True
        return skipping

    async def load(
        self,
        conversation_id: str,
        *,
        limit: int | None = None,
        scope: str | None = None,
        skip_unreadable: bool = False,
    ) -> Conversation | None:
        """As `ConversationStore.load`: the conversation, or `None` if there is none.

        Raises:
            UnreadableMessages: If the installed Pydantic AI can't read a message; with
                `skip_unreadable` it is left out instead, and stays stored.
        """
        bound = self._in_scope(scope)
        if skip_unreadable:
            bound = bound._skipping_unreadable()
        return await ConversationStore.load(bound, conversation_id, limit=limit, scope=scope)

    async def load_entries(
        self, conversation_id: str, *, limit: int | None = None, scope: str | None = None
    ) -> list[ConversationEntry] | None:
        """As `ConversationStore.load_entries`: the history with the entry of each message."""
        bound = self._in_scope(scope)
        return await ConversationStore.load_entries(
            bound, conversation_id, limit=limit, scope=scope
        )

    async def save(
        self, conversation: Conversation | AgentRunResult[Any], *, scope: str | None = None
    ) -> list[ConversationEntry]:
        """As `ConversationStore.save`: append what is new, in one durable step.

        Raises:
            ConversationConflict: If the session was saved or deleted since it was loaded.
            StoreError: If it could not be made durable; it was not stored.
        """
        if self.owner is not None and scope not in (None, self.owner):
            raise InvalidInput("These sessions belong to another owner than `scope`. Leave it out.")
        carried = (
            conversation.conversation if isinstance(conversation, AgentRunResult) else conversation
        )
        bound = self._in_scope(scope)
        if bound is not self and await bound._find(carried.conversation_id) is None:
            bound = self  # a new one, unless the id is taken in another scope
        return await ConversationStore.save(bound, conversation, scope=scope)

    async def branch(
        self,
        conversation_id: str,
        *,
        at: int | None = None,
        from_entry: str | None = None,
        expected_revision: str | None,
        scope: str | None = None,
    ) -> Conversation:
        """As `ConversationStore.branch`: go on from an earlier point; what it leaves is kept."""
        return await ConversationStore.branch(
            self._in_scope(scope),
            conversation_id,
            at=at,
            from_entry=from_entry,
            expected_revision=expected_revision,
            scope=scope,
        )

    async def fork(
        self,
        conversation_id: str,
        *,
        at: int | None = None,
        from_entry: str | None = None,
        new_conversation_id: str | None = None,
        scope: str | None = None,
        source_scope: str | None = None,
    ) -> Conversation:
        """As `ConversationStore.fork`: a new session that shares entries with this one.

        Its id is generated in Mythline's form unless `new_conversation_id` gives one.
        """
        return await ConversationStore.fork(
            self._in_scope(source_scope),
            conversation_id,
            at=at,
            from_entry=from_entry,
            new_conversation_id=new_conversation_id or ids.new_session_id(),
            scope=scope,
            source_scope=source_scope,
        )

    async def list_conversations(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> list[ConversationRecord]:
        """As `ConversationStore.list_conversations`: the one saved last first."""
        return await ConversationStore.list_conversations(self, scope=scope, limit=limit)

    async def delete(self, conversation_id: str, *, scope: str | None = None) -> None:
        """As `ConversationStore.delete`. Its entries stay, out of reach; `purge` removes them."""
        await ConversationStore.delete(self._in_scope(scope), conversation_id, scope=scope)

    # ConversationStore: its storage primitives

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record of a session, or `None`."""
        found = await self._find(conversation_id)
        return None if found is None else _record(found)

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """The records, the one saved last first."""
        if self.owner is not None and scope not in (None, self.owner):
            return []
        owner = scope if self.owner is None else self.owner
        found = await self.store.records(owner, self.agent_id, limit=limit)
        return [_record(details) for details in found]

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """The entries from the first up to `head_id`, in order, or the last `limit`."""
        if head_id is None:
            return []
        found = await self.store.line(self.owner, self.agent_id, head_id, limit=limit)
        if found is None:
            raise EntryNotFound(head_id)
        return [
            ConversationEntry(id=entry.entry_id, parent_id=entry.parent_id, message=message)
            for entry, message in _read(found, self._skip_unreadable)
        ]

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """The entry with this id.

        Raises:
            EntryNotFound: A `LookupError`, if no session here reaches it.
        """
        found = await self.store.line(self.owner, self.agent_id, entry_id, limit=1)
        if not found:
            raise EntryNotFound(entry_id)
        ((entry, message),) = _read(found, False)
        return ConversationEntry(id=entry.entry_id, parent_id=entry.parent_id, message=message)

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and the entries its history adds, in one durable step."""
        identity = record.conversation_id
        if self.owner is not None and record.scope not in (None, self.owner):
            raise InvalidInput("These sessions belong to another owner than the record's scope.")
        owner = record.scope if self.owner is None else self.owner
        key = SessionKey(ids.check_owner(owner), self.agent_id, ids.check_session_id(identity))
        shared = self.owner is None
        if expected_revision is None and shared and await self.store.get(key, shared=True):
            raise ConversationConflict(identity)
        bodies = messages.dump(entry.message for entry in new_entries)
        deferred = record.deferred_tool_requests
        save = Save(
            revision=record.revision,
            expected=expected_revision,
            head_id=record.head_id,
            entries=[
                StoredEntry(entry.id, entry.parent_id, body)
                for entry, body in zip(new_entries, bodies, strict=True)
            ],
            branches=record.branches,
            usage=_usage_adapter().dump_json(record.usage),
            deferred_tool_requests=None
            if deferred is None
            else _deferred_adapter().dump_json(deferred),
            forked_from=record.forked_from,
            forked_at=record.forked_at,
            updated=to_micros(record.updated_at),
            reach=self.owner,
            shared_id=shared and record.scope is not None,
        )
        try:
            await self.store.save(key, save)
        except RevisionConflict as error:
            raise ConversationConflict(identity) from error

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Delete a session with this revision; its entries stay, out of reach."""
        found = await self._find(conversation_id)
        if found is None:
            raise ConversationConflict(conversation_id)
        key = SessionKey(found.owner, self.agent_id, conversation_id)
        try:
            if not await self.store.delete(key, expected=expected_revision):
                raise RevisionConflict(conversation_id)
        except RevisionConflict as error:
            raise ConversationConflict(conversation_id) from error


def _usage(details: SessionDetails) -> RunUsage:
    return _usage_adapter().validate_json(details.usage)


def _record(details: SessionDetails) -> ConversationRecord:
    deferred = details.deferred_tool_requests
    return ConversationRecord(
        conversation_id=details.session_id,
        head_id=details.head_id,
        usage=_usage(details),
        deferred_tool_requests=None
        if deferred is None
        else _deferred_adapter().validate_json(deferred),
        scope=details.owner,
        forked_from=details.forked_from,
        forked_at=details.forked_at,
        branches=list(details.branches),
        revision=details.revision,
        updated_at=details.last_modified,
    )


def _read(
    entries: Sequence[StoredEntry], skip_unreadable: bool
) -> list[tuple[StoredEntry, ModelMessage]]:
    bodies = [entry.body for entry in entries]
    try:
        return list(zip(entries, messages.read(bodies), strict=True))
    except pydantic.ValidationError as error:
        found = list(zip(entries, messages.readable(bodies), strict=True))
        unreadable = [entry.entry_id for entry, message in found if message is None]
        if unreadable and not skip_unreadable:
            raise UnreadableMessages(unreadable) from error
        return [(entry, message) for entry, message in found if message is not None]


def _readable(bodies: Sequence[bytes]) -> list[ModelMessage]:
    """The messages as objects, which someone sent and must be able to put right."""
    try:
        return messages.read(bodies)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = " → ".join(str(step) for step in first["loc"])
        raise InvalidMessages(
            f"Pydantic AI can't read these messages: {first['msg']} (at {where})."
        ) from error


def _checked(data: bytes) -> list[bytes]:
    bodies = messages.split(data, strict=True)
    _readable(bodies)
    return bodies


def _whole(bodies: Sequence[bytes], details: SessionDetails | None) -> Save:
    """A save that makes `bodies` the whole history, of a new session or of an old one."""
    revision, *entry_ids = ids.new_entry_ids(1 + len(bodies))
    parents = [None, *entry_ids]
    branches: list[str] = []
    if details is not None:
        branches += [*details.branches, *([details.head_id] if details.head_id else [])]
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
    )


def _pieces(bodies: Sequence[bytes]) -> Iterator[bytes]:
    piece = bytearray(b"[")
    for index, body in enumerate(bodies):
        piece += b",\n" if index else b"\n"
        piece += body
        if len(piece) >= _CHUNK:
            yield bytes(piece)
            piece.clear()
    piece += b"\n]\n" if bodies else b"]\n"
    yield bytes(piece)


def _check_limit(limit: int, most: int | None = None) -> None:
    if limit < 1 or (most is not None and limit > most):
        raise InvalidInput(f"`limit` must be 1 {f'to {most}' if most else 'or more'}.")


def _described(
    title: str | None, tags: Sequence[str], metadata: Mapping[str, Any] | None
) -> dict[str, Any]:
    if title is not None and len(title) > 200:
        raise InvalidInput("A title has at most 200 characters.")
    if isinstance(tags, str) or len(tags) > 50 or not all(1 <= len(tag) <= 64 for tag in tags):
        raise InvalidInput("A session has at most 50 tags of 1 to 64 characters each.")
    data = dict(metadata or {})
    try:
        size = len(messages.dump_plain(data))
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput("`metadata` must be a JSON object.") from None
    if size > 16 << 10:
        raise InvalidInput("`metadata` has at most 16 KiB as JSON.")
    return {"title": title or None, "tags": sorted(set(tags)), "metadata": data}
