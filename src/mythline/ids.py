"""Grammar and generation of agent, session and owner ids.

Checked here and nowhere else, before any path or query is built. An id is never an authorisation.
"""

from __future__ import annotations

import re
import secrets
import time
from datetime import UTC, datetime
from uuid import UUID

from .errors import InvalidId

RESERVED = frozenset(
    "latest create import export search events trash prune run".split()  # they are routes
)
MAX_SESSION_ID = 128
MAX_AGENT_ID = 64
MAX_OWNER = 256

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*", re.ASCII)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


def _is_name(value: object, longest: int) -> bool:
    return isinstance(value, str) and len(value) <= longest and bool(_NAME.fullmatch(value))


def is_session_id(value: object) -> bool:
    """Whether `value` can name a session: the grammar of `check_session_id`, and not reserved."""
    return _is_name(value, MAX_SESSION_ID) and value not in RESERVED


def is_agent_id(value: object) -> bool:
    """Whether `value` can name an agent: the grammar of `check_agent_id`."""
    return _is_name(value, MAX_AGENT_ID)


def check_session_id(value: str) -> str:
    """Return `value` if it can name a session.

    1 to 128 of the ASCII letters, digits, `_` and `-`, not starting with `-`, and none of
    `RESERVED`.

    Raises:
        InvalidId: If it can't.
    """
    if is_session_id(value):
        return value
    if isinstance(value, str) and value in RESERVED:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidId(f"The session id {value!r} is reserved. Choose another.")
    raise InvalidId(
        f"Not a session id: {_shown(value)}. Use 1 to {MAX_SESSION_ID} of A-Z a-z 0-9 _ -, "
        "not starting with '-'."
    )


def check_agent_id(value: str) -> str:
    """Return `value` if it can name an agent: as a session id, up to 64 characters, none reserved.

    Raises:
        InvalidId: If it can't.
    """
    if is_agent_id(value):
        return value
    raise InvalidId(
        f"Not an agent id: {_shown(value)}. Use 1 to {MAX_AGENT_ID} of A-Z a-z 0-9 _ -, "
        "not starting with '-'."
    )


def check_owner(value: str | None) -> str | None:
    """Return `value` if it can name an owner: `None`, or 1 to 256 characters of valid Unicode.

    Raises:
        InvalidId: If it can't.
    """
    if value is None:
        return None
    valid = isinstance(value, str) and 1 <= len(value) <= MAX_OWNER  # pyright: ignore[reportUnnecessaryIsInstance]
    if valid and is_unicode(value):
        return value
    raise InvalidId(f"Not an owner: {_shown(value)}. Use 1 to {MAX_OWNER} characters, or none.")


def is_unicode(value: str) -> bool:
    """Whether `value` can be written in UTF-8: it has no half of a surrogate pair."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def new_session_id(now: datetime | None = None) -> str:
    """A new `session_YYYYMMDD_HHMMSS_xxxxxx`: UTC, then six characters of a CSPRNG.

    Sorts by time to the second. Callers retry the rare collision.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    tail = "".join(secrets.choice(_ALPHABET) for _ in range(6))
    return f"session_{moment:%Y%m%d_%H%M%S}_{tail}"


def new_entry_ids(count: int) -> list[str]:
    """`count` new ids for entries or revisions: UUIDs of version 7 (RFC 9562), in their order."""
    moment = time.time_ns() // 1_000_000
    first = secrets.randbits(73)  # 74 bits are free; the top one is left for counting on
    made: list[str] = []
    for counter in range(first, first + count):
        high, low = counter >> 62, counter & (1 << 62) - 1
        made.append(str(UUID(int=moment << 80 | 7 << 76 | high << 64 | 2 << 62 | low)))
    return made


def time_of(entry_id: str) -> int | None:
    """When an id of `new_entry_ids` was made, to the millisecond, in microseconds since 1970, UTC.

    `None` for ids that don't tell.
    """
    try:
        found = UUID(entry_id)
    except ValueError:
        return None
    return (found.int >> 80) * 1000 if found.version == 7 else None


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
