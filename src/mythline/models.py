"""The frozen types that Mythline's API gives.

Times are aware `datetime`s in UTC, sizes are bytes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_micros() -> int:
    """Microseconds from the Unix epoch to now."""
    return time.time_ns() // 1000


def from_micros(value: int) -> datetime:
    """The UTC time `value` microseconds after the Unix epoch."""
    return _EPOCH + timedelta(microseconds=value)


def to_micros(value: datetime) -> int:
    """Microseconds from the Unix epoch to `value`; a naive `value` is taken as UTC."""
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A session as lists show it.

    Attributes:
        agent_id: The agent it belongs to.
        session_id: Its id, unique for its owner and agent.
        owner: The tenant or user it belongs to, or `None`.
        title: The title someone gave, else the start of the first prompt, else `None`.
        preview: The start of the last text in its history, one line, at most 200 characters.
        tags: Sorted, without repeats.
        pinned: Whether it stays on top and is never pruned.
        archived: Whether plain lists leave it out.
        created: When it was made; for a foreign file, when its first message was.
        last_modified: When it was last saved.
        message_count: Messages in its history.
        size: Bytes of its history as a JSON array, the size of its view.
        revision: Changes on every save, and when it is described anew; opaque.
        deleted: When it was deleted; `None` for one that isn't in the trash.
        purges: When it will be gone from the trash; `None` for never, or if it isn't there.
    """

    agent_id: str
    session_id: str
    owner: str | None
    title: str | None
    preview: str
    tags: tuple[str, ...]
    pinned: bool
    archived: bool
    created: datetime
    last_modified: datetime
    message_count: int
    size: int
    revision: str
    deleted: datetime | None = None
    purges: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDetails(SessionInfo):
    """A session with what the list leaves out.

    Attributes:
        head_id: The newest entry of its history, or `None` while it is empty.
        usage: Usage accumulated over its runs, as `RunUsage` serializes, as JSON.
        deferred_tool_requests: The calls it waits on, as `DeferredToolRequests` serializes, as
            JSON, or `None`.
        branches: The last entries of the branches it left, oldest first.
        forked_from: The session it was forked from, or `None`.
        forked_at: The last entry that the fork kept, or `None`.
        metadata: Free data of the application's.
        given_title: The title someone gave, or `None` if `title` is only offered.
    """

    head_id: str | None
    usage: bytes
    deferred_tool_requests: bytes | None
    branches: tuple[str, ...]
    forked_from: str | None
    forked_at: str | None
    metadata: Mapping[str, Any]
    given_title: str | None = None


class SessionState(NamedTuple):
    """The part of `SessionDetails` that a history is gone on from."""

    session_id: str
    owner: str | None
    revision: str
    last_modified: datetime
    head_id: str | None
    usage: bytes
    deferred_tool_requests: bytes | None
    branches: tuple[str, ...]
    forked_from: str | None
    forked_at: str | None


@dataclass(frozen=True)
class SessionPage(Sequence[SessionInfo]):
    """A page of a list: its sessions, and the cursor of the next page, `None` on the last."""

    sessions: tuple[SessionInfo, ...]
    next_cursor: str | None

    @overload
    def __getitem__(self, index: int) -> SessionInfo: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SessionInfo, ...]: ...
    def __getitem__(self, index: int | slice) -> SessionInfo | tuple[SessionInfo, ...]:
        return self.sessions[index]

    def __len__(self) -> int:
        return len(self.sessions)


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """An agent that has sessions, how many, and when the newest was saved (UTC)."""

    agent_id: str
    session_count: int
    last_modified: datetime | None


class StoredEntry(NamedTuple):
    """A stored message: its entry id, the entry before it, and the message's JSON, one line."""

    entry_id: str
    parent_id: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Part of a history, oldest first.

    Attributes:
        revision: The session's revision when this was read.
        total: Messages in the whole history.
        first: How many messages of the history come before this page.
        entries: The page.
    """

    revision: str
    total: int
    first: int
    entries: tuple[StoredEntry, ...]

    @property
    def has_before(self) -> bool:
        """Whether the history has older messages than this page."""
        return self.first > 0

    @property
    def has_after(self) -> bool:
        """Whether the history has newer messages than this page."""
        return self.first + len(self.entries) < self.total


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append stored: the new revision, the count after it, and the new entries' ids."""

    session_id: str
    revision: str
    message_count: int
    entry_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A picture, file or link in a message: its kind, media type, and size in bytes or URL.

    `file` counts those of an entry that are kept with it, from 0: see `AgentSessions.file`.
    """

    kind: str
    media_type: str | None = None
    size: int | None = None
    url: str | None = None
    name: str | None = None
    file: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A picture or file that is kept in a message; `name` may be anything."""

    data: bytes
    media_type: str | None
    name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What is known of a model's response: which model, its tokens, and how it ended.

    `state` is `complete`, `interrupted`, `incomplete` or `suspended`, and `finish_reason` one of
    OpenTelemetry's, as Pydantic AI has them.
    """

    model_name: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    state: str | None = None
    finish_reason: str | None = None


Role = Literal["user", "assistant", "system", "thinking", "tool-call", "tool-return", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptItem:
    """One thing that a person reads in a transcript.

    Attributes:
        role: Who said it, or what it is.
        content: Always text; empty where there are only attachments.
        entry_id: The entry it is part of.
        timestamp: As the message has it (RFC 3339), or `None`.
        attachments: Pictures and files of it.
        tool_name: For tool calls and returns.
        tool_call_id: Pairs a return with its call.
        outcome: For tool returns, `failed`, `denied`, `interrupted` or `retried`; `None` for a
            success.
        reply: At the last item of a model's response, what is known of the whole.
    """

    role: Role
    content: str
    entry_id: str
    timestamp: str | None = None
    attachments: tuple[Attachment, ...] = field(default=())
    tool_name: str | None = None
    tool_call_id: str | None = None
    outcome: str | None = None
    reply: Reply | None = None


@dataclass(frozen=True)
class Transcript(Sequence[TranscriptItem]):
    """A page of a transcript, oldest first.

    Attributes:
        items: What a person reads.
        history: The part of the history that `items` come from, with its place in the whole.
    """

    items: tuple[TranscriptItem, ...]
    history: HistoryPage

    @overload
    def __getitem__(self, index: int) -> TranscriptItem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[TranscriptItem, ...]: ...
    def __getitem__(self, index: int | slice) -> TranscriptItem | tuple[TranscriptItem, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Located:
    """Where an entry is in a session.

    Attributes:
        count: Messages that lead to it, itself included.
        is_current: Whether it is in the current history; else it is in a branch.
        has_head: Whether the newest entry of the current history leads to it, or is it.
    """

    count: int
    is_current: bool
    has_head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A line of entries that a session left.

    Attributes:
        entry_id: Its last entry.
        parts_at: The last entry that it shares with the current history, or `None`.
        message_count: Messages that lead to its end, from the first.
        own_count: How many of them the current history doesn't have.
        preview: The start of the last text in it, one line, at most 200 characters.
        last_modified: When its last entry was stored.
    """

    entry_id: str
    parts_at: str | None
    message_count: int
    own_count: int
    preview: str
    last_modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A message that a search found.

    Attributes:
        session_id: The session that has it, of `agent_id`.
        agent_id: The agent.
        title: The session's title.
        entry_id: The message's entry.
        role: Whose words: `user`, `assistant` or `tool`.
        snippet: A part of the text, plain, one line, around what was found.
        marks: Where in `snippet` that is: start and end (exclusive), in characters, in order.
        last_modified: When the session was last saved.
        timestamp: When the message was said, or else stored.
        is_current: Whether it is in the session's current history; else it is in a branch.
    """

    session_id: str
    agent_id: str
    title: str | None
    entry_id: str
    role: Literal["user", "assistant", "tool"]
    snippet: str
    marks: tuple[tuple[int, int], ...]
    last_modified: datetime
    timestamp: datetime
    is_current: bool


@dataclass(frozen=True)
class SearchPage(Sequence[SearchHit]):
    """A page of what a search found, best first, and the cursor of the next page."""

    hits: tuple[SearchHit, ...]
    next_cursor: str | None

    @overload
    def __getitem__(self, index: int) -> SearchHit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SearchHit, ...]: ...
    def __getitem__(self, index: int | slice) -> SearchHit | tuple[SearchHit, ...]:
        return self.hits[index]

    def __len__(self) -> int:
        return len(self.hits)


EventType = Literal[
    "ready",
    "reset",
    "created",
    "appended",
    "changed",
    "renamed",
    "updated",
    "deleted",
    "restored",
    "purged",
]
"""What happened. `appended`: the history only grew; `changed`: it went another way (a branch, a
rewrite); `renamed`: the title changed; `updated`: tags, pinned, archived or metadata did.
`ready` and `reset` are about the events themselves and name no session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvent:
    """One change of a session.

    Attributes:
        event_id: To go on from, after this one.
        type: What happened.
        agent_id: The agent, or `None` for `ready` and `reset`.
        session_id: The session, or `None` likewise.
        revision: The session's revision after it, or `None` if it is gone.
        time: When it happened.
    """

    event_id: str
    type: EventType
    agent_id: str | None
    session_id: str | None
    revision: str | None
    time: datetime


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a session that was read from a file.

    Attributes:
        agent_id: The agent it is of now.
        session_id: Its id now.
        status: `imported`; `unchanged`, it was here as it is in the file; `skipped`, another one
            has its id; or `failed`.
        message_count: Messages in its history.
        error: Why it failed.
    """

    agent_id: str
    session_id: str
    status: Literal["imported", "unchanged", "skipped", "failed"]
    message_count: int
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What a prune moved to the trash, or would: how many sessions, their bytes, and which."""

    pruned: int
    bytes: int
    sessions: tuple[str, ...]
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that a check of a store found wrong.

    Attributes:
        kind: What it is, for programs: `integrity`, `schema`, `history`, `counters`, `branch`,
            `view`, `search`, `file`, `unreadable`, `orphan`.
        explanation: What it is and what it means, for people.
        agent_id: Where it was found, if in one agent's sessions; likewise `owner`, `session_id`.
        is_fixed: Whether it was put right.
        can_fix: Whether it can be, without a loss.
    """

    kind: str
    explanation: str
    owner: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    is_fixed: bool = False
    can_fix: bool = False
