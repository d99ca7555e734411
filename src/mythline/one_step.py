"""A load and a save of a conversation in one step of the store each.

`ConversationStore` reads the record of a conversation, reads its history or writes, each a step of
the store. Most loads and saves need one step only: a load can read both at once, and a save that
appends finds out in its transaction whether the revision still holds. The logic stays Pydantic
AI's: these are conversation stores that it runs over for a single call. Where it asks for what
one step doesn't give (to compare a rewritten history, say), they raise `ReadFirst` before anything
was changed, and the caller goes the longer way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import is_
from typing import Any, Final, NoReturn, cast

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

from . import messages
from .errors import RevisionConflict, SessionNotFound
from .models import to_micros
from .records import deferred_json, record_of, usage_json
from .store import Append, AppendResult, SessionKey, Store


class ReadFirst(Exception):
    """This takes more than one step."""


async def load(
    store: Store, key: SessionKey, *, shared: bool, limit: int | None
) -> Conversation | None:
    """As `ConversationStore.load`, by `Store.load`.

    Raises:
        ReadFirst: If a message must be put right or left out before it is read.
    """
    conversation = await _Whole(store, key, shared, limit).load(key.session_id, limit=limit)
    if conversation is not None:
        _hold(conversation, list(conversation.messages), like=conversation)
    return conversation


async def save(
    store: Store,
    key: SessionKey,
    saved: Conversation | AgentRunResult[Any],
    conversation: Conversation,
    *,
    revision: str,
    shared: bool,
) -> list[ConversationEntry]:
    """As `ConversationStore.save` of what has this conversation and revision, by `Store.append`.

    It costs what is new. `ConversationStore.save` looks at every message that the conversation
    holds and copies them twice, so it is given a conversation of the new ones alone.

    Raises:
        ReadFirst: If nothing is appended, or the history may have been rewritten.
    """
    held = _held(conversation)
    advance = getattr(saved, "_conversation_saved", None)  # of a run's result
    if held is None or (advance is None and saved is not conversation):
        raise ReadFirst
    count = len(held)
    tail = dataclasses.replace(
        conversation, messages=conversation.messages[count:], new_message_index=0
    )
    turn = _Turn(store, key, shared, revision)
    first, *others = await turn.save(tail)
    conversation.revision = tail.revision
    if advance is not None:
        advance(tail.revision)
    if len(held) > count:  # a copy of the conversation was saved meanwhile
        held = held[:count]
    held += tail.messages
    _hold(conversation, held, like=tail)
    return [dataclasses.replace(first, parent_id=turn.parent_id), *others]


_HELD: Final = "_stored_messages"
"""Where a conversation has the messages that are stored, before those that are not, beside its
fields: Pydantic AI's `mark_stored` puts a tuple there, of which `stored_boundary` takes the length
and each message."""
ENDS: Final = 256
"""Messages at either end of the stored ones that have to be the same objects."""


class _Stored:
    """In place of that tuple: the messages that a list has now. It may only grow from now on.

    So a save adds what is new to it, and a copy of the conversation keeps what it had.
    """

    def __init__(self, held: list[ModelMessage]) -> None:
        self._held = held
        self._count = len(held)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ModelMessage]:
        return islice(self._held, self._count)

    def __reduce__(self) -> tuple[type, tuple[list[ModelMessage]]]:
        return tuple, ([*self],)  # what Pydantic AI puts there

    def held(self) -> list[ModelMessage]:
        """That list, or one like it if it has grown."""
        return self._held if len(self._held) == self._count else [*self]


def _held(conversation: Conversation) -> list[ModelMessage] | None:
    """The messages that are stored, if the conversation still begins with them.

    As Pydantic AI's `stored_boundary`, a hundred times as fast: lists are compared item by item
    up to the first two that aren't the same object, and then by `==`. That misses a message that
    was changed in place before an equal one took its place, so near the ends, where histories are
    edited, only the same object will do.
    """
    index = conversation.new_message_index
    if index == 0:
        return []
    mark = conversation.__dict__.get(_HELD, ())
    held = cast("list[Any]", mark.held() if isinstance(mark, _Stored) else list(mark))
    found = cast("list[Any]", conversation.messages)
    count = len(held)
    try:
        if count != index or not held <= found:
            return None
    except TypeError:  # two of them differ, and messages have no order
        return None
    for end in slice(ENDS), slice(max(count - ENDS, 0), count):
        if not all(map(is_, held[end], found[end])):
            return None
    return held


def _hold(conversation: Conversation, held: list[ModelMessage], *, like: Conversation) -> None:
    """Let the conversation have these as the stored ones, if Pydantic AI marked `like` so."""
    conversation.new_message_index = len(held)
    if _HELD in like.__dict__:
        conversation.__dict__[_HELD] = _Stored(held)


class _OneStep(ConversationStore):
    """All that takes another step."""

    def __init__(self, store: Store, key: SessionKey, shared: bool) -> None:
        self._store = store
        self._key = key
        self._shared = shared

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        raise ReadFirst

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        raise ReadFirst

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        raise ReadFirst

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        raise ReadFirst

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        raise ReadFirst

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        raise ReadFirst


class _Message:
    """An entry of which only the message is known: all that a load takes of it."""

    message: ModelMessage

    def __getattr__(self, name: str) -> NoReturn:
        raise ReadFirst


class _Whole(_OneStep):
    """Has the messages read with the record, and makes no object of an entry beside its message."""

    def __init__(self, store: Store, key: SessionKey, shared: bool, limit: int | None) -> None:
        super().__init__(store, key, shared)
        self._limit = limit
        self._messages: list[ModelMessage] = []

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        found = await self._store.load(self._key, limit=self._limit, shared=self._shared)
        if found is None:
            return None
        details, data = found
        if data is None:
            raise ReadFirst
        try:
            self._messages = messages.read_array(data)
        except pydantic.ValidationError:
            raise ReadFirst from None
        return record_of(details)

    async def read_history(
        self, head_id: str | None, *, limit: int | None = None
    ) -> list[ConversationEntry]:
        entry = _Message()  # one for all: a load takes the message of each and is done with it
        entries = (entry for entry.message in self._messages)
        return cast("list[ConversationEntry]", entries)


class _Unread:
    """A record of which only the revision is known.

    What a save that appends hands on unchanged is empty here, and not looked at when it comes
    back: `Store.append` leaves it as it is stored.
    """

    head_id = None
    branches = ()
    scope = None
    forked_from = None
    forked_at = None

    def __init__(self, revision: str) -> None:
        self.revision = revision

    def __getattr__(self, name: str) -> NoReturn:
        raise ReadFirst


class _Turn(_OneStep):
    """Appends, provided that the stored revision is the one that the conversation has."""

    parent_id: str | None = None

    def __init__(self, store: Store, key: SessionKey, shared: bool, revision: str) -> None:
        super().__init__(store, key, shared)
        self._revision = revision

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        return cast("ConversationRecord", _Unread(self._revision))

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        if not new_entries:
            raise ReadFirst
        append = Append(
            revision=record.revision,
            expected=self._revision,
            entry_ids=[entry.id for entry in new_entries],
            bodies=messages.dump(entry.message for entry in new_entries),
            updated=to_micros(record.updated_at),
            usage=usage_json(record),
            deferred_tool_requests=deferred_json(record),
        )
        try:
            self.parent_id = (await self._append(append)).parent_id
        except (RevisionConflict, SessionNotFound) as error:
            raise ConversationConflict(record.conversation_id) from error

    async def _append(self, append: Append) -> AppendResult:
        try:
            return await self._store.append(self._key, append)
        except SessionNotFound:
            found = await self._store.get(self._key, shared=True) if self._shared else None
            if found is None:
                raise
        return await self._store.append(dataclasses.replace(self._key, owner=found.owner), append)
