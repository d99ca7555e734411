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
        revision: Changes on every save; opaque.
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
    """

    head_id: str | None
    usage: bytes
    deferred_tool_requests: bytes | None
    branches: tuple[str, ...]
    forked_from: str | None
    forked_at: str | None
    metadata: Mapping[str, Any]


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
    """A picture, file or link in a message: its kind, media type, and size in bytes or URL."""

    kind: str
    media_type: str | None = None
    size: int | None = None
    url: str | None = None
    name: str | None = None


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
    """

    role: Role
    content: str
    entry_id: str
    timestamp: str | None = None
    attachments: tuple[Attachment, ...] = field(default=())
    tool_name: str | None = None
    tool_call_id: str | None = None


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
