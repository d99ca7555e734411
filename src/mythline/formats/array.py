"""The `json` format: the current history as an array of messages, as every program reads it."""

from __future__ import annotations

from collections.abc import Iterator

from .. import ids, messages
from ..models import StoredEntry
from .types import ExportedSession, ImportedSession


def pieces(session: ExportedSession) -> Iterator[bytes]:
    """The array in pieces, one message a line."""
    return messages.pieces([entry.body for entry in session.history])


def read(data: bytes) -> ImportedSession:
    """The session of an array.

    Raises:
        InvalidMessages: If it is no array of messages that the installed Pydantic AI can read.
    """
    bodies = messages.checked(data.removeprefix(b"\xef\xbb\xbf"))
    entry_ids = ids.new_entry_ids(len(bodies))
    entries = tuple(
        StoredEntry(entry_ids[place], entry_ids[place - 1] if place else None, body)
        for place, body in enumerate(bodies)
    )
    head_id = entry_ids[-1] if entry_ids else None
    return ImportedSession(source="json", head_id=head_id, entries=entries)
