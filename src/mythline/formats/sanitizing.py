"""What was imported from someone who isn't trusted, made fit for an agent to go on with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import messages
from ..models import StoredEntry
from .types import ImportedSession

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage


def sanitized(session: ImportedSession) -> ImportedSession:
    """The session with what Pydantic AI strips of a client's messages taken out of each branch.

    A message of which nothing is left is gone, what followed it follows the one before. So are
    calls that nothing answers, and what the session waited on: an agent would run them. A message
    of which nothing is taken keeps its bytes. See `pydantic_ai.messages.sanitize_messages`.

    Raises:
        InvalidMessages: If the installed Pydantic AI can't read a message.
    """
    found = messages.parsed([entry.body for entry in session.entries])
    kept: dict[str, ModelMessage | None] = {}
    parents = {entry.entry_id: entry.parent_id for entry in session.entries}

    def nearest(entry_id: str | None) -> str | None:
        """The entry, or the last before it that is kept."""
        while entry_id is not None and kept[entry_id] is None:
            entry_id = parents[entry_id]
        return entry_id

    followers: Counter[str | None] = Counter()
    for entry, message in zip(session.entries, found, strict=True):
        kept[entry.entry_id] = _inside(message)
        if kept[entry.entry_id] is not None:
            followers[nearest(entry.parent_id)] += 1
    for entry_id, message in reversed(kept.items()):
        if message is not None and not followers[entry_id] and _has_calls(message):
            kept[entry_id] = next(iter(messages.sanitize([message])), None)
            if kept[entry_id] is None:
                followers[nearest(parents[entry_id])] -= 1
    entries = tuple(
        StoredEntry(entry.entry_id, nearest(entry.parent_id), _body(entry.body, before, left))
        for entry, before in zip(session.entries, found, strict=True)
        if (left := kept[entry.entry_id]) is not None
    )
    return replace(session, entries=entries, **_ends(session, kept, parents, nearest))


def _ends(
    session: ImportedSession,
    kept: dict[str, ModelMessage | None],
    parents: dict[str, str | None],
    nearest: Callable[[str | None], str | None],
) -> dict[str, str | tuple[str, ...] | None]:
    """The head and branches; none ends with calls that only another branch answers."""

    def end(tip: str | None) -> str | None:
        place = nearest(tip)
        while place is not None and (message := kept[place]) is not None and _has_calls(message):
            place = nearest(parents[place])
        return place

    head = end(session.head_id)
    tips = dict.fromkeys(end(tip) for tip in session.branches)
    forked_at = session.forked_at
    return {
        "head_id": head,
        "branches": tuple(tip for tip in tips if tip is not None and tip != head),
        "deferred_tool_requests": None,
        "forked_at": nearest(forked_at) if forked_at in kept else forked_at,
    }


def _inside(message: ModelMessage) -> ModelMessage | None:
    """What is left of a message that others follow, or `None`."""
    from pydantic_ai.messages import ModelRequest, UserPromptPart

    # calls are only stripped at the end of a history
    after = ModelRequest(parts=[UserPromptPart("")])
    clean = messages.sanitize([message, after])
    return clean[0] if len(clean) > 1 else None


def _body(body: bytes, before: ModelMessage, left: ModelMessage) -> bytes:
    was, now = messages.dump([before, left])
    return body if was == now else now


def _has_calls(message: ModelMessage) -> bool:
    return any(part.part_kind == "tool-call" for part in message.parts)
