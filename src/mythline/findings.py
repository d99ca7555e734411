"""What is wrong with a session, looked for and told in the same words for every store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Final

from . import messages
from .models import StoredEntry

PART_MISSING: Final = "A part of the history is missing: the messages before it are kept."
NOT_FOLLOWING: Final = "The history's parts don't follow each other. All of them are kept."
START_MISSING: Final = "The start of the history is missing. The rest is kept."
NO_STATE: Final = "Its usage and metadata are missing. Without, it can't be opened."
NO_END: Final = "A branch ends with an entry that isn't there; there is nothing to go back to."
IN_VIEW: Final = "The .json file has all of it, which is stored anew."


def missing(count: int) -> str:
    """That so many messages of a history aren't there."""
    return f"{count} message(s) of the history are missing. The others are kept."


def miscounted(counters: Iterable[str]) -> str:
    """That these counters of a session are wrong."""
    return f"What lists show is not what is stored: {', '.join(sorted(counters))}."


def broken_branch(broken: str) -> str:
    """That a branch is broken, and why."""
    return f"A branch can't be read as a whole. {broken}"


def no_json(columns: Sequence[str]) -> str:
    """That these columns of a session's row don't hold the JSON that they should."""
    rest = "; its tags come back from where lists find them" if "tags" in columns else ""
    return (
        f"What is stored as its {_named(columns)} is no JSON, and keeps it from being opened. "
        f"That is emptied{rest}."
    )


def unknown(columns: Sequence[str]) -> str:
    """That the installed Pydantic AI can't read these columns of a session's row."""
    return (
        f"The installed Pydantic AI can't read its {_named(columns)}, so that it can't be loaded. "
        "What is stored is kept. Upgrade pydantic-ai-slim to read it."
    )


def _named(columns: Sequence[str]) -> str:
    return ", ".join("waiting calls" if name == "deferred" else name for name in columns)


def orphans(count: int, size: int) -> str:
    """That so many messages, of `size` bytes together, are reached by no session."""
    return (
        f"{count} message(s) of {size} bytes belong to no session. They are kept, and take up room."
    )


def outdated_search(problem: str) -> str:
    """What a problem of the search index means."""
    return f"{problem} Searches may miss messages until it is built anew."


def unreadable(entry_ids: Sequence[str]) -> str:
    """That these messages can't be read."""
    return (
        f"The installed Pydantic AI can't read {len(entry_ids)} message(s), "
        f"{', '.join(entry_ids[:3])}{', …' if len(entry_ids) > 3 else ''}. They are "
        "kept. Upgrade pydantic-ai-slim to read them."
    )


def unread(entries: Sequence[StoredEntry]) -> list[str]:
    """The ids of entries that the installed Pydantic AI can't read."""
    bodies = [entry.body for entry in entries]
    with contextlib.suppress(ValueError):
        if len(messages.read(bodies)) == len(bodies):
            return []
    read = messages.readable(bodies)
    return [entry.entry_id for entry, found in zip(entries, read, strict=True) if found is None]
