"""Reading a session before a run and writing its turn after it: one read, one durable step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationRecord,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from .. import ids
from ..errors import RevisionConflict, SessionExists
from ..sessions import AgentSessions

OnConflict = Literal["branch", "append", "raise"]


class RunConflict(RevisionConflict, ConversationConflict):
    """A run ended in a session that had moved on or was deleted, and its turn was not stored.

    Or no session of that name can be made (`is_taken`): a file that is none lies in its place.
    `messages` are those of the turn, oldest first.
    """

    def __init__(
        self, session_id: str, messages: Sequence[ModelMessage], *, is_taken: bool = False
    ) -> None:
        self.session_id = self.conversation_id = session_id
        self.messages = list(messages)
        what = (
            f"The session {session_id!r} can't be made, as something that is no session is in its "
            "place, and the run's turn was not stored. Repeat the run with another id."
            if is_taken
            else f"The session {session_id!r} was saved or deleted during the run, and the run's "
            "turn was not stored. Load it again, then repeat the run."
        )
        UserError.__init__(self, what)  # the one base that words no message of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedTurn:
    """What a run left in its session.

    Attributes:
        agent_id: The agent.
        owner: The session's owner, or `None`.
        session_id: The session.
        run_id: The run, as Pydantic AI names it.
        revision: The session's revision with this turn.
        entry_ids: The new entries, oldest first; none if only usage was added.
        branched: The turn is a branch beside the current history, as another run came first.
        failed: The run did not come to an output.
    """

    agent_id: str
    owner: str | None
    session_id: str
    run_id: str
    revision: str
    entry_ids: tuple[str, ...]
    branched: bool
    failed: bool


@dataclass(frozen=True)
class Start:
    """A session as a run found it; no record if there was none.

    `history` is what the run goes on from: all of the session's, or the beginning of it if the
    run is to replace the rest.
    """

    record: ConversationRecord | None
    history: Sequence[ConversationEntry] = ()

    @property
    def head_id(self) -> str | None:
        """The newest entry of the session."""
        return None if self.record is None else self.record.head_id

    @property
    def parent_id(self) -> str | None:
        """The entry that the run goes on from."""
        return self.history[-1].id if self.history else None

    @property
    def messages(self) -> list[ModelMessage]:
        """The history."""
        return [entry.message for entry in self.history]

    @property
    def waits_on(self) -> list[str]:
        """The calls of the last response that the session waits on, by their ids."""
        waits = None if self.record is None else self.record.deferred_tool_requests
        if waits is None:
            return []
        wanted = [call.tool_call_id for call in [*waits.calls, *waits.approvals]]
        for entry in reversed(self.history):
            if isinstance(entry.message, ModelResponse):
                made = {call.tool_call_id for call in entry.message.tool_calls}
                return [call_id for call_id in wanted if call_id in made]
        return []


async def read(sessions: AgentSessions, session_id: str) -> Start:
    """Read a session's record and, if it has any, its history.

    Raises:
        SessionExists: If the id is taken by a session that was saved with a `scope`.
    """
    while True:
        record = await sessions.read_record(session_id)
        if record is None:
            return Start(None)
        if record.scope != sessions.owner:
            raise SessionExists(session_id)
        if record.head_id is None:
            return Start(record)
        try:
            return Start(record, await sessions.read_history(record.head_id))
        except LookupError:
            again = await sessions.read_record(session_id)
            if again is not None and again.revision == record.revision:
                raise


@dataclass(frozen=True, slots=True)
class Turn:
    """What a run adds to its session: messages, usage, and the calls that it waits on.

    `replaces_head`: its first message completes the stored last one (a suspended response).
    """

    messages: Sequence[ModelMessage]
    used: RunUsage
    deferred: DeferredToolRequests | None
    replaces_head: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store."""
        used = self.used
        counted = used.requests or used.tool_calls or used.cost or used.has_values()
        return not self.messages and not counted


async def write(
    sessions: AgentSessions, session_id: str, start: Start, turn: Turn, on_conflict: OnConflict
) -> tuple[str, tuple[str, ...], bool]:
    """Store a turn in one durable step: its revision, its entries, and whether it is a branch.

    Raises:
        RunConflict: If the session was deleted, or moved on and `on_conflict` is `raise`; or if
            there is none, and none can be made.
        StoreError: If it could not be made durable.
    """
    record = start.record
    while True:
        moved = (None if record is None else record.head_id) != start.head_id
        if moved and turn.messages and on_conflict == "raise":
            raise RunConflict(session_id, turn.messages)
        updated, entries, branched = _next(session_id, record, start, turn, on_conflict, moved)
        try:
            await sessions.write_record(
                updated,
                new_entries=entries,
                expected_revision=None if record is None else record.revision,
            )
        except ConversationConflict as error:
            latest = await sessions.read_record(session_id)
            if latest is None and record is None:
                raise RunConflict(session_id, turn.messages, is_taken=True) from error
            is_gone = latest is None and start.record is not None
            is_same = (
                latest is not None and record is not None and latest.revision == record.revision
            )
            if is_gone or is_same:  # the same: what the run started from is gone
                raise RunConflict(session_id, turn.messages) from error
            record = latest
        else:
            return updated.revision, tuple(entry.id for entry in entries), branched


def _next(
    session_id: str,
    record: ConversationRecord | None,
    start: Start,
    turn: Turn,
    on_conflict: OnConflict,
    moved: bool,
) -> tuple[ConversationRecord, list[ConversationEntry], bool]:
    """The record with the turn in it, its entries, and whether they are a branch."""
    revision, *entry_ids = ids.new_entry_ids(1 + len(turn.messages))
    known = record or ConversationRecord(conversation_id=session_id, head_id=None)
    follows = moved and on_conflict == "append"  # what came meanwhile
    parent_id = known.head_id if follows else start.parent_id
    if turn.replaces_head and not follows:
        parent_id = start.history[-1].parent_id
    entries: list[ConversationEntry] = []
    for identity, message in zip(entry_ids, turn.messages, strict=True):
        entries.append(ConversationEntry(id=identity, parent_id=parent_id, message=message))
        parent_id = identity
    changed: dict[str, Any] = {}
    branched = moved and bool(entries) and on_conflict == "branch"
    if branched:
        changed["branches"] = [*known.branches, entry_ids[-1]]
    elif entries:
        changed["head_id"] = entry_ids[-1]
        changed["deferred_tool_requests"] = turn.deferred
        if known.head_id not in (None, entries[0].parent_id):  # it is left
            kept = [tip for tip in known.branches if tip != known.head_id]
            changed["branches"] = [*kept, known.head_id]
    updated = dataclasses.replace(
        known,
        usage=known.usage + turn.used,
        revision=revision,
        updated_at=datetime.now(UTC),
        **changed,
    )
    return updated, entries, branched
