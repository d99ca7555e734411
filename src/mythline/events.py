"""Events as rows tell of them, for every store."""

from __future__ import annotations

from typing import Any, Literal

from .errors import InvalidCursor
from .models import SessionEvent, from_micros, now_micros


def number_of(event_id: str) -> int:
    """The number of the event with this id.

    Raises:
        InvalidCursor: If no event has such an id.
    """
    if not (event_id.isascii() and event_id.isdigit() and len(event_id) < 19):
        raise InvalidCursor("Not the id of an event. Listen without one.")
    return int(event_id)


def about_itself(kind: Literal["ready", "reset"], number: int) -> SessionEvent:
    """An event about the events: what is read after it comes after this number."""
    return SessionEvent(
        event_id=str(number),
        type=kind,
        agent_id=None,
        session_id=None,
        revision=None,
        time=from_micros(now_micros()),
    )


def of_row(row: Any) -> SessionEvent:
    """The event of a row: `n, type, agent_id, session_id, revision, time`."""
    return SessionEvent(
        event_id=str(row["n"]),
        type=row["type"],
        agent_id=row["agent_id"],
        session_id=row["session_id"],
        revision=row["revision"],
        time=from_micros(row["time"]),
    )
