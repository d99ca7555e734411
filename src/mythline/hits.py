"""What a search shows of a message that it found, in any store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from . import search, texts
from .models import SearchHit, from_micros
from .operations import Search, SearchRole


class Found(NamedTuple):
    """A hit, and whether the message really has all that is looked for."""

    hit: SearchHit
    is_whole: bool


def hit(entry_id: str, body: bytes, session: Mapping[str, Any], asked: Search) -> Found | None:
    """A hit of an entry in a session, of which these columns are known; `None` without a text.

    `session_id`, `agent_id`, `title`, `opening`, `updated`, `is_current`.
    """
    found, time = texts.told(entry_id, body)
    wanted: dict[SearchRole, str] = {
        role: found[role] for role in texts.ROLES if role in found and role in asked.roles
    }
    if not wanted:
        return None
    role, snippet, is_whole = search.shown(wanted, asked.query)
    shown = SearchHit(
        session_id=session["session_id"],
        agent_id=session["agent_id"],
        title=session["title"] or session["opening"] or None,
        entry_id=entry_id,
        role=role,
        snippet=snippet.text,
        marks=snippet.marks,
        last_modified=from_micros(session["updated"]),
        timestamp=from_micros(time),
        is_current=bool(session["is_current"]),
    )
    return Found(shown, is_whole)
