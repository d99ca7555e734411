"""Rows of sessions: making, moving and removing them inside a transaction, and reading them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from .. import messages
from ..models import SessionDetails, SessionInfo, from_micros
from ..store import SessionKey
from . import lines
from .database import SQL, Connection

EXCERPT: Final = 200
TITLE: Final = 80
LOOK_BACK: Final = 50

Place = tuple[str, str, str]
"""Owner (`''` for none), agent and session."""
Row = Any


def place_of(key: SessionKey) -> Place:
    """Where a session is."""
    return key.owner or "", key.agent_id, key.session_id


def session(connection: Connection, place: Place) -> Row | None:
    """The row of a living session with its state."""
    names = {"owner": place[0], "agent_id": place[1], "session_id": place[2]}
    return connection.execute(SQL["session"], names).fetchone()


def shared(connection: Connection, key: SessionKey) -> Row | None:
    """The row of a living session that an ownerless caller finds by its id alone."""
    names = {"agent_id": key.agent_id, "session_id": key.session_id}
    return connection.execute(SQL["shared_session"], names).fetchone()


def add(
    connection: Connection,
    place: Place,
    revision: str,
    created: int,
    updated: int,
    **fields: Any,
) -> int:
    """Make an empty session; its number."""
    values = {
        "owner": place[0],
        "agent_id": place[1],
        "session_id": place[2],
        "shared_id": 0,
        "revision": revision,
        "created": created,
        "updated": updated,
        "title": None,
        "tags": "[]",
        "forked_from": None,
        "forked_at": None,
        "pending": 0,
        "metadata": "{}",
    } | fields
    metadata = values.pop("metadata")
    number = connection.execute(SQL["add_session"], values).lastrowid
    assert number is not None
    connection.execute(SQL["add_state"], (number, metadata))
    return number


def move(
    connection: Connection,
    row: Row,
    head: int,
    *,
    revision: str,
    updated: int,
    head_id: str | None = None,
    added: Sequence[bytes] | None = None,
    **fields: Any,
) -> int:
    """Let a session's history end with `head`; the bytes of its messages then.

    `added` are the bodies after the old head, where it only grew; without, all is counted anew.
    """
    if added is None:
        count = lines.count(connection, head)
        size = lines.body_bytes(connection, head)
        opening, preview = _texts(connection, head)
    else:
        count = row["message_count"] + len(added)
        size = row["body_bytes"] + sum(map(len, added))
        opening = row["opening"] or _opening(added)
        preview = _preview(reversed(added)) or row["preview"]
    values = {
        "n": row["n"],
        "revision": revision,
        "head": head,
        "head_id": head_id or lines.entry_id(connection, head),
        "message_count": count,
        "body_bytes": size,
        "updated": updated,
        "opening": opening,
        "preview": preview,
        "forked_from": row["forked_from"],
        "forked_at": row["forked_at"],
    } | fields
    connection.execute(SQL["set_history"], values)
    return size


def grow(
    connection: Connection,
    row: Row,
    head: int,
    *,
    head_id: str,
    revision: str,
    updated: int,
    added: Sequence[bytes],
) -> int:
    """As `move`, where the history only gets longer by the bodies `added`."""
    size: int = row["body_bytes"] + sum(map(len, added))
    values = (
        revision,
        head,
        head_id,
        row["message_count"] + len(added),
        size,
        updated,
        row["opening"] or _opening(added),
        _preview(reversed(added)) or row["preview"],
        row["n"],
    )
    connection.execute(SQL["grow"], values)
    return size


def _texts(connection: Connection, head: int) -> tuple[str, str]:
    count = lines.count(connection, head)
    start = [entry.body for entry in lines.read(connection, head, 0, LOOK_BACK)]
    end = [entry.body for entry in lines.read(connection, head, max(0, count - LOOK_BACK), count)]
    return _opening(start), _preview(reversed(end))


def _opening(bodies: Iterable[bytes]) -> str:
    texts = (messages.prompt(body) for body in bodies)
    return messages.excerpt(next((text for text in texts if text.strip()), ""), TITLE)


def _preview(bodies: Iterable[bytes]) -> str:
    texts = (messages.text(body) for body in bodies)
    return messages.excerpt(next((text for text in texts if text.strip()), ""), EXCERPT)


def add_branch(connection: Connection, number: int, tip: int) -> None:
    """Note the end of a history that the session left, as its newest branch."""
    last: int = connection.execute(SQL["last_branch"], (number,)).fetchone()[0]
    connection.execute(SQL["add_branch"], (number, last + 1, tip))


def purge(connection: Connection, number: int) -> None:
    """Remove a session, and the entries that no other one shares."""
    row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
    tips = [row["head"], *(tip for (tip,) in connection.execute(SQL["branch_tips"], (number,)))]
    connection.execute(SQL["drop_session"], (number,))
    lines.release(connection, [*tips, max(0, row["view_head"] or 0)])


def branches(row: Row) -> tuple[str, ...]:
    """The last entries of the branches a session left, oldest first."""
    return tuple(json.loads(row["branches"])) if row["branches"] != "[]" else ()


def info(row: Row) -> SessionInfo:
    """A row as lists show it."""
    return SessionInfo(**_fields(row))


def details(row: Row) -> SessionDetails:
    """A row with its state and branches."""
    return SessionDetails(
        **_fields(row),
        head_id=row["head_id"],
        usage=row["usage"],
        deferred_tool_requests=row["deferred"],
        branches=branches(row),
        forked_from=row["forked_from"],
        forked_at=row["forked_at"],
        metadata=json.loads(row["metadata"]),
    )


def _fields(row: Row) -> dict[str, Any]:
    return {
        "agent_id": row["agent_id"],
        "session_id": row["session_id"],
        "owner": row["owner"] or None,
        "title": row["title"] or row["opening"] or None,
        "preview": row["preview"],
        "tags": tuple(json.loads(row["tags"])) if row["tags"] != "[]" else (),
        "pinned": bool(row["pinned"]),
        "archived": bool(row["archived"]),
        "created": from_micros(row["created"]),
        "last_modified": from_micros(row["updated"]),
        "message_count": row["message_count"],
        "size": row["view_size"]
        if row["view_head"] == row["head"] and row["view_size"] is not None
        else messages.view_size(row["message_count"], row["body_bytes"]),
        "revision": row["revision"],
    }
