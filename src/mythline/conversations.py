"""Sessions as Pydantic AI's `ConversationStore`: its storage primitives over a `Store`.

That class works out which messages are new, where a history branches and what a fork shares. Its
methods call a session's id `conversation_id`, and the owner `scope`.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from typing import Any, Self

import pydantic
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.messages import ModelMessage
from pydantic_ai.run import AgentRunResult

from . import ids, messages, one_step
from .errors import (
    EntryNotFound,
    InvalidInput,
    RevisionConflict,
    SessionNotFound,
    UnreadableMessages,
)
from .models import SessionDetails, StoredEntry, to_micros
from .records import deferred_json, listed, record_of, usage_json
from .store import Save, SessionKey, Store


class StoredConversations(ConversationStore):
    """The conversations of one agent, of one owner or of none; see `AgentSessions`."""

    def __init__(self, store: Store, agent_id: str, *, owner: str | None = None) -> None:
        self.store = store
        self.agent_id = ids.check_agent_id(agent_id)
        self.owner = ids.check_owner(owner)
        self._scope: str | None = None
        self._skip_unreadable = False
        self._expected: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.agent_id!r}, owner={self.owner!r})"

    def _key(self, session_id: str) -> SessionKey:
        return SessionKey(self.owner, self.agent_id, ids.check_session_id(session_id))

    async def _details(self, session_id: str) -> SessionDetails:
        found = await self.store.get(self._key(session_id))
        if found is None:
            raise SessionNotFound(session_id)
        return found

    # What users call, where an ownerless caller may name a scope

    def _in_scope(self, scope: str | None) -> Self:
        """These sessions, but an ownerless caller who names a scope reads exactly that owner's."""
        if scope is None or self.owner is not None:
            return self
        scoped = copy.copy(self)
        scoped._scope = ids.check_owner(scope)
        return scoped

    def _going_on_from(self, revision: str | None) -> Self:
        """The same, but a session that was only described since has this revision.

        `Store.save` goes on from it; `ConversationStore` compares revisions to the letter.
        """
        going = copy.copy(self)
        going._expected = revision
        return going

    async def _find(self, session_id: str) -> SessionDetails | None:
        if self._scope is not None:
            key = SessionKey(self._scope, self.agent_id, ids.check_session_id(session_id))
            return await self.store.get(key)
        return await self.store.get(self._key(session_id), shared=self.owner is None)

    @property
    def _reach(self) -> str | None:
        """Whose entries are within reach."""
        return self.owner if self._scope is None else self._scope

    def skipping_unreadable(self) -> Self:
        """The same, leaving out what the installed Pydantic AI can't read."""
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
        if scope in (None, self.owner):
            key, shared = self._key(conversation_id), self.owner is None
            with contextlib.suppress(one_step.ReadFirst):
                return await one_step.load(self.store, key, shared=shared, limit=limit)
        bound = self._in_scope(scope)
        if skip_unreadable:
            bound = bound.skipping_unreadable()
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
        if (revision := carried.revision) is not None and scope in (None, self.owner):
            key, shared = self._key(carried.conversation_id), self.owner is None
            with contextlib.suppress(one_step.ReadFirst):
                return await one_step.save(
                    self.store, key, conversation, carried, revision=revision, shared=shared
                )
        bound = self._in_scope(scope)
        if bound is not self and await bound._find(carried.conversation_id) is None:
            bound = self  # a new one, unless the id is taken in another scope
        return await ConversationStore.save(
            bound._going_on_from(revision), conversation, scope=scope
        )

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
            self._in_scope(scope)._going_on_from(expected_revision),
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
        if new_conversation_id is None:
            new_conversation_id = ids.new_session_id()
            while await self._find(new_conversation_id) is not None:
                new_conversation_id = ids.new_session_id()
        return await ConversationStore.fork(
            self._in_scope(source_scope),
            conversation_id,
            at=at,
            from_entry=from_entry,
            new_conversation_id=new_conversation_id,
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

    # The storage primitives

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record of a session, or `None`."""
        found = await self._find(conversation_id)
        if found is None:
            return None
        record = record_of(found)
        if self._expected and _history_of(self._expected) == _history_of(record.revision):
            record.revision = self._expected
        return record

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """The records, the one saved last first."""
        if self.owner is not None and scope not in (None, self.owner):
            return []
        owner = ids.check_owner(scope) if self.owner is None else self.owner
        found = await self.store.records(owner, self.agent_id, limit=limit)
        return [listed(details) for details in found]

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        """The entries from the first up to `head_id`, in order, or the last `limit`."""
        if head_id is None:
            return []
        found = await self.store.line(self._reach, self.agent_id, head_id, limit=limit)
        if found is None:
            raise EntryNotFound(head_id)
        return [
            ConversationEntry(id=entry.entry_id, parent_id=entry.parent_id, message=message)
            for entry, message in read_entries(found, self._skip_unreadable)
        ]

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """The entry with this id.

        Raises:
            EntryNotFound: A `LookupError`, if no session here reaches it.
        """
        found = await self.store.line(self._reach, self.agent_id, entry_id, limit=1)
        if not found:
            raise EntryNotFound(entry_id)
        ((entry, message),) = read_entries(found, False)
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
        bodies = messages.dump(entry.message for entry in new_entries)
        save = Save(
            revision=record.revision,
            expected=expected_revision,
            head_id=record.head_id,
            entries=[
                StoredEntry(entry.id, entry.parent_id, body)
                for entry, body in zip(new_entries, bodies, strict=True)
            ],
            branches=record.branches,
            usage=usage_json(record),
            deferred_tool_requests=deferred_json(record),
            forked_from=record.forked_from,
            forked_at=record.forked_at,
            updated=to_micros(record.updated_at),
            reach=self._reach,
            shared_id=shared and record.scope is not None,
            id_alone=shared,
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


def _history_of(revision: str) -> str:
    """A revision without the mark of a description."""
    return revision.partition(".")[0]


def read_entries(
    entries: Sequence[StoredEntry], skip_unreadable: bool
) -> list[tuple[StoredEntry, ModelMessage]]:
    """The message of each entry; those that can't be read are an error, or left out."""
    bodies = [messages.stamped(entry.body, entry.entry_id) for entry in entries]
    try:
        return list(zip(entries, messages.read(bodies), strict=True))
    except pydantic.ValidationError as error:
        found = list(zip(entries, messages.readable(bodies), strict=True))
        unreadable = [entry.entry_id for entry, message in found if message is None]
        if unreadable and not skip_unreadable:
            raise UnreadableMessages(unreadable) from error
        return [(entry, message) for entry, message in found if message is not None]
