"""Sessions behind the UI adapters of Pydantic AI (Vercel AI, AG-UI).

An adapter with a `conversation_store` works out what of a client's messages is new, and what is
resubmitted, as a regenerate or an edit does. But it stores a run that comes to its end only, and
counts all that a conversation ever used against the limits of one run. So here it is given an
`AdapterStore`, from which it takes the history, and its run a `SessionMemory`, which stores the
turn: also when the run fails or is cancelled.

A message of a client's is known by the id that the client gave it, which the adapter keeps with
it, or by the id of its entry, under which a client sees it that loaded the session.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import DeferredToolRequests

from ..errors import InvalidInput
from ..sessions import AgentSessions
from .memory import SessionMemory
from .named import AnyAgent, memory_for
from .turns import SavedTurn, Start, read

Mark = Callable[[str], Mapping[str, Any]]
"""The metadata that an adapter gives a message which a client sent with this id."""


@dataclass(frozen=True)
class Resumed:
    """A session that a client goes on with.

    Attributes:
        start: The session, with as much of its history as the client keeps.
        new: How many of the client's last messages are news to the session.
        resubmitted: The message that the first of those takes the place of, marked with its id.
    """

    start: Start
    new: int
    resubmitted: ModelMessage | None


def resume(start: Start, sent: Sequence[tuple[str, bool]], mark: Mark) -> Resumed:
    """See what a client goes on with.

    Args:
        start: The session.
        sent: The client's messages after the last answer that it has: their ids, and whether
            they are prompts.
        mark: How the adapter marks messages.
    """
    known = [
        _place(start.history, identity, mark) if is_prompt else None for identity, is_prompt in sent
    ]
    last = max((index for index, place in enumerate(known) if place is not None), default=-1)
    if last < 0:
        return Resumed(start, len(sent), None)
    after = sent[last + 1 :]
    if any(is_prompt for _, is_prompt in after):  # it was stored, though nothing answered it
        return Resumed(start, len(after), None)
    place = cast("int", known[last])
    message = start.history[place].message
    metadata = dict(message.metadata or {})
    for name, value in mark(sent[last][0]).items():
        metadata[name] = {**metadata.get(name, {}), **value}
    marked = dataclasses.replace(message, metadata=metadata)
    kept = Start(start.record, start.history[:place])
    return Resumed(kept, len(sent) - last, marked)


def _place(history: Sequence[ConversationEntry], identity: str, mark: Mark) -> int | None:
    """Where in a history the prompt is that a client knows by this id."""
    wanted = mark(identity)
    for place in range(len(history) - 1, -1, -1):
        entry = history[place]
        message = entry.message
        if not isinstance(message, ModelRequest):
            continue
        if entry.id == identity or _has(message.metadata or {}, wanted):
            is_prompt = any(isinstance(part, UserPromptPart) for part in message.parts)
            return place if is_prompt else None
    return None


def _has(metadata: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(
        _has(metadata.get(name) or {}, cast("Mapping[str, Any]", value))
        if isinstance(value, Mapping)
        else metadata.get(name) == value
        for name, value in wanted.items()
    )


class AdapterStore(ConversationStore):
    """What an adapter takes for its store: one session, as it was read for this run.

    `save` stores nothing. It tells what `SessionMemory` has stored.
    """

    def __init__(self, session_id: str, resumed: Resumed) -> None:
        self._session_id = session_id
        self._resumed = resumed
        self.saved: SavedTurn | None = None

    @property
    def waits_on(self) -> DeferredToolRequests | None:
        """The calls that the session waits on."""
        record = self._resumed.start.record
        return None if record is None else record.deferred_tool_requests

    async def load(
        self, conversation_id: str, *, limit: int | None = None, scope: str | None = None
    ) -> Conversation | None:
        """The conversation, without the usage of its earlier runs."""
        start = self._resumed.start
        if start.record is None:
            return None
        resubmitted = self._resumed.resubmitted
        return Conversation(
            messages=[*start.messages, *([] if resubmitted is None else [resubmitted])],
            conversation_id=self._session_id,
            deferred_tool_requests=start.record.deferred_tool_requests,
            revision=start.record.revision,
        )

    async def save(
        self, conversation: Conversation | AgentRunResult[Any], *, scope: str | None = None
    ) -> list[ConversationEntry]:
        """What was stored of the run, as far as it is told to clients: the ids."""
        if isinstance(conversation, AgentRunResult):
            conversation = conversation.conversation
        return [
            ConversationEntry(id=entry_id, parent_id=None, message=conversation.messages[-1])
            for entry_id in (() if self.saved is None else self.saved.entry_ids)
        ]

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The session's record."""
        return self._resumed.start.record

    async def read_records(
        self, *, scope: str | None = None, limit: int | None = None
    ) -> Sequence[ConversationRecord]:
        """The session's record, alone."""
        record = self._resumed.start.record
        return [] if record is None else [record]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Refused: the run's memory writes."""
        raise InvalidInput("This store is one run's, to be read only.")

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Refused: the run's memory writes."""
        raise InvalidInput("This store is one run's, to be read only.")

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """An entry of the history."""
        for entry in self._resumed.start.history:
            if entry.id == entry_id:
                return entry
        raise LookupError(entry_id)


@contextlib.asynccontextmanager
async def resuming(
    agent: AnyAgent, sessions: AgentSessions, session_id: str, find: Callable[[Start], Resumed]
) -> AsyncGenerator[tuple[AdapterStore, SessionMemory]]:
    """What an adapter and its run need to go on with a session, which is read here.

    Args:
        agent: The agent that will run.
        sessions: Where the session is.
        session_id: The session.
        find: Sees what the client goes on with.

    Raises:
        SessionBusy: If another run holds the session (the agent's memory is `exclusive`).
        SessionExists: If another owner has it, whom these sessions can't tell from theirs.
        UnreadableMessages: If the installed Pydantic AI can't read a stored message.
    """

    def note(turn: SavedTurn) -> None:
        store.saved = turn

    memory = memory_for(agent, sessions, note)
    async with memory.held(sessions, session_id):
        memory.exclusive = False  # it is held until the adapter has told what was stored
        resumed = find(await read(sessions, session_id))
        memory.go_on_from(resumed.start)
        store = AdapterStore(session_id, resumed)
        yield store, memory
