"""Rows of sessions: keys and values as they are stored, and what the API makes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from .. import damage, messages
from ..models import SessionDetails, SessionInfo, SessionState, from_micros
from ..store import SessionKey
from .connections import Row
from .texts import escaped, storable, unescaped

Place = tuple[str, str, str]
"""Owner (`''` for none), agent and session, as they are stored."""


def owner_of(owner: str | None) -> str:
    """An owner as it is stored."""
    return escaped(owner or "")


def place_of(key: SessionKey) -> Place:
    """Where a session is."""
    return owner_of(key.owner), key.agent_id, key.session_id


def lock_on_id(key: SessionKey) -> int:
    """The number of a lock on a session's id, whoever owns it."""
    name = f"{key.agent_id}/{key.session_id}".encode()
    return int.from_bytes(hashlib.sha256(name).digest()[:8], "big", signed=True)


def as_json(value: Mapping[str, Any] | Sequence[str]) -> str:
    """JSON text, as tags and metadata are stored."""
    return json.dumps(value, ensure_ascii=False)


def revision(row: Row) -> str:
    """The revision of a session, with the mark of its description."""
    return f"{row['revision']}.{row['described']}" if row["described"] else row["revision"]


def before_mark(expected: str) -> list[str]:
    """The stored revisions that a save may go on from which expects one.

    The mark of a description doesn't matter: it leaves the history as it is.
    """
    return [one for one in (expected, expected.rpartition(".")[0]) if storable(one)]


def info(row: Row, trash_days: float | None = None) -> SessionInfo:
    """A row as lists show it."""
    return SessionInfo(**_fields(row, trash_days))


def details(row: Row) -> SessionDetails:
    """A row with its state and branches.

    Raises:
        StoreCorrupt: If what it carries can't be read.
    """
    unreadable = damage.unreadable(row)
    if unreadable:
        raise damage.of_row()
    return _details(row, unreadable)


def listed(row: Row) -> SessionDetails:
    """As `details`, for lists: without what can't be read."""
    return _details(row, damage.unreadable(row))


def _details(row: Row, unreadable: Collection[str]) -> SessionDetails:
    return SessionDetails(
        **_fields(row, None),
        head_id=row["head_id"],
        usage=b"{}" if "usage" in unreadable else row["usage"],
        deferred_tool_requests=None if "deferred" in unreadable else row["deferred"],
        branches=tuple(row["branches"]),
        forked_from=row["forked_from"],
        forked_at=row["forked_at"],
        metadata=damage.metadata(row["metadata"]),
        given_title=row["title"],
    )


def state(key: SessionKey, row: Row) -> SessionState:
    """What a row tells of the session with this agent and id that a history is gone on from."""
    return SessionState(
        key.session_id,
        unescaped(row["owner"]) or None,
        revision(row),
        from_micros(row["updated"]),
        row["head_id"],
        row["usage"],
        row["deferred"],
        tuple(row["branches"]),
        row["forked_from"],
        row["forked_at"],
    )


def _fields(row: Row, trash_days: float | None) -> dict[str, Any]:
    deleted = None if row["deleted"] is None else from_micros(row["deleted"])
    stays = None if trash_days is None else timedelta(days=trash_days)
    return {
        "agent_id": row["agent_id"],
        "session_id": row["session_id"],
        "owner": unescaped(row["owner"]) or None,
        "title": row["title"] or row["opening"] or None,
        "preview": row["preview"],
        "tags": damage.tags(row["tags"]),
        "pinned": row["pinned"],
        "archived": row["archived"],
        "created": from_micros(row["created"]),
        "last_modified": from_micros(row["updated"]),
        "message_count": row["message_count"],
        "size": messages.view_size(row["message_count"], row["body_bytes"]),
        "revision": revision(row),
        "deleted": deleted,
        "purges": None if deleted is None or stays is None else deleted + stays,
    }
