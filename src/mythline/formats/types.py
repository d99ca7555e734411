"""What formats are written from, and what they are read into.

Any store can fill an `ExportedSession`, and any store can take an `ImportedSession`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

from .. import ids, messages
from ..bounds import MAX_METADATA, MAX_TITLE
from ..models import SessionDetails, StoredEntry

Source = Literal["json", "jsonl", "openai", "chatgpt", "claude", "claude-code", "codex"]
"""What a session was read from."""

_ENTRY_ID: Final = re.compile(r"[!-~]{1,128}")


def is_entry_id(value: object) -> bool:
    """Whether `value` can name an entry: 1 to 128 printing ASCII characters."""
    return isinstance(value, str) and _ENTRY_ID.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class ExportedSession:
    """A session to be written in any format.

    Attributes:
        details: The session.
        entries: All entries that its head and its branches reach, each after its parent.
    """

    details: SessionDetails
    entries: Sequence[StoredEntry]

    @property
    def history(self) -> list[StoredEntry]:
        """The entries from the first to the head."""
        return line(self.entries, self.details.head_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSession:
    """A session that was read, checked and ready to be stored.

    Attributes:
        source: The format it was read from.
        session_id: The id that it had, if that can name a session here. A suggestion.
        agent_id: The agent it belonged to, if that can name one here. A suggestion.
        title: The title it was given, at most 200 characters.
        tags: Sorted, without repeats.
        pinned: Whether it stays on top and is never pruned.
        archived: Whether plain lists leave it out.
        metadata: Free data, at most 16 KiB as JSON.
        created: When it was made (UTC), if that is known; `last_modified` likewise.
        deleted: When it was deleted, if it was in the trash.
        usage: Usage accumulated over its runs, as `RunUsage` serializes, as JSON.
        deferred_tool_requests: The calls it waits on, as JSON, or `None`.
        head_id: The newest entry of its history, or `None` if that is empty.
        branches: The last entries of the branches it left, oldest first.
        forked_from: The session it was forked from, or `None`; `forked_at` its last shared entry.
        entries: All that head and branches reach, each after its parent.
        skipped: What was left out, by kind, with its number.
    """

    source: Source
    session_id: str | None = None
    agent_id: str | None = None
    title: str | None = None
    tags: tuple[str, ...] = ()
    pinned: bool = False
    archived: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    created: datetime | None = None
    last_modified: datetime | None = None
    deleted: datetime | None = None
    usage: bytes = b"{}"
    deferred_tool_requests: bytes | None = None
    head_id: str | None = None
    branches: tuple[str, ...] = ()
    forked_from: str | None = None
    forked_at: str | None = None
    entries: tuple[StoredEntry, ...] = ()
    skipped: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def history(self) -> list[StoredEntry]:
        """The entries from the first to the head."""
        return line(self.entries, self.head_id)

    def renewed(self) -> ImportedSession:
        """The same with new entry ids, for a store that has these already."""
        made = ids.new_entry_ids(len(self.entries))
        new = {entry.entry_id: made[place] for place, entry in enumerate(self.entries)}
        entries = tuple(
            StoredEntry(new[entry_id], None if parent is None else new[parent], body)
            for entry_id, parent, body in self.entries
        )
        return replace(
            self,
            entries=entries,
            head_id=None if self.head_id is None else new[self.head_id],
            branches=tuple(new[tip] for tip in self.branches),
            forked_at=None if self.forked_at is None else new.get(self.forked_at),
        )


def line(entries: Iterable[StoredEntry], tip: str | None) -> list[StoredEntry]:
    """The entries that lead to `tip`, itself the last, oldest first."""
    by_id = {entry.entry_id: entry for entry in entries}
    found: list[StoredEntry] = []
    while tip is not None:
        entry = by_id[tip]
        found.append(entry)
        tip = entry.parent_id
    found.reverse()
    return found


def clean_title(value: object) -> str | None:
    """A title of another program's, on one line, cut to what a title may have."""
    return messages.excerpt(_unicode(value), MAX_TITLE) or None if isinstance(value, str) else None


def clean_metadata(values: Mapping[str, Any]) -> dict[str, Any]:
    """The `values` that are set, as plain JSON; none of them if they are too much together."""
    body = messages.dump_plain({key: value for key, value in values.items() if value})
    return json.loads(body) if len(body) <= MAX_METADATA else {}


def clean_session_id(value: object) -> str | None:
    """`value` if it can name a session here."""
    return value if isinstance(value, str) and ids.is_session_id(value) else None


def named_after(value: object) -> str | None:
    """A session id for what another program calls `value`: the same each time, or `None`.

    One that can't be an id here is spelled so that it can, and never as another one is.
    """
    found = clean_session_id(value)
    if found is not None or not isinstance(value, str) or not value.strip():
        return found
    spelled = re.sub(r"[^A-Za-z0-9_-]+", "_", value).lstrip("-")[:100]
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{spelled}-{digest[:16]}" if spelled else digest[:16]


def _unicode(value: str) -> str:
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
