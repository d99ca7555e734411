"""Searching: from a query to the index, and from what it finds to the sessions that have it."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Collection, Sequence
from typing import Any, Final

from .. import search
from ..errors import InvalidCursor
from ..hits import Found, hit
from ..models import SearchHit, SearchPage
from ..operations import Search, SearchRole
from ..texts import ROLES
from . import documents
from .database import SQL, Connection

_CURSOR: Final = re.compile(r"([0-9a-f]{16})\.([0-9]{1,18})")
_END: Final = 1 << 62
_MORE: Final = 8


def page(connection: Connection, owner: str, asked: Search) -> SearchPage:
    """The hits of a search, as `Store.search` says.

    Reads the index in the order of its ranks, and of messages only those it shows. What is left
    out because no living session has it, or none that is asked for, makes it read on.
    """
    after = decode(asked.cursor)
    expression = _expression(asked.query, _places(connection, owner, asked.agents), asked.roles)
    hits: list[SearchHit] = []
    if expression is None:
        return SearchPage((), None)
    lines = _lines(connection, owner, asked)
    limit = asked.limit + 1
    last: tuple[float, int] | None = None
    while True:
        names = {
            "expression": expression,
            "lines": lines,
            "all_times": asked.since is None and asked.until is None,
            "since": -_END if asked.since is None else asked.since,
            "until": _END if asked.until is None else asked.until,
            "rank": after[0] if after else None,
            "entry": after[1] if after else None,
            "limit": limit,
        }
        found = connection.execute(SQL["matching"], names).fetchall()
        for entry, rank in found:
            after = rank, entry
            session = _having(connection, owner, entry, asked)
            shown = None if session is None else _shown(connection, entry, session, asked)
            if shown is None:
                continue
            if len(hits) == asked.limit:
                assert last is not None
                return SearchPage(tuple(hits), _encode(*last))
            last = after
            hits.append(shown.hit)
        if len(found) < limit:
            return SearchPage(tuple(hits), None)
        limit *= _MORE


def _places(connection: Connection, owner: str, agents: Sequence[str] | None) -> list[int]:
    found = connection.execute(SQL["places_of"], (owner,)).fetchall()
    return [place for place, agent_id in found if agents is None or agent_id in agents]


def _expression(
    query: search.Query, places: Sequence[int], roles: Collection[SearchRole]
) -> str | None:
    """The query in the index's own language; `None` for one that finds nothing."""
    columns = [role for role in ROLES if role in roles]
    if not query.terms or not places or not columns:
        return None
    wanted = " OR ".join(
        "(" + " AND ".join(_term(term, place) for term in query.terms) + ")" for place in places
    )
    return wanted if len(columns) == len(ROLES) else f"{{{' '.join(columns)}}} : ({wanted})"


def _term(term: search.Term, place: int) -> str:
    phrase = " ".join(documents.token(place, word) for word in term.words)
    written = f'"{phrase}"' + " *" * term.prefix
    forms = [f'"{documents.token(place, form)}"' for form in term.forms]
    return f"({' OR '.join([written, *forms])})" if forms else written


def _lines(connection: Connection, owner: str, asked: Search) -> str | None:
    """Where messages are looked for, as JSON; `None` for everywhere."""
    if asked.tag is not None:
        names = {"owner": owner, "tag": asked.tag}
        return connection.execute(SQL["lines_tagged"], names).fetchone()[0]
    if asked.archived:
        return connection.execute(SQL["lines_archived"], {"owner": owner}).fetchone()[0]
    return None


def _having(connection: Connection, owner: str, entry: int, asked: Search) -> Any | None:
    """The session that a hit is shown in."""
    names = {"entry": entry, "owner": owner, "tag": asked.tag, "archived": asked.archived}
    return connection.execute(SQL["having"], names).fetchone()


def _shown(connection: Connection, entry: int, session: Any, asked: Search) -> Found | None:
    row = connection.execute(SQL["entry"], (entry,)).fetchone()
    if row is None:
        return None  # a message that is missing is no hit
    return hit(row["id"], row["body"], session, asked)


def _encode(rank: float, entry: int) -> str:
    return f"{struct.pack('>d', rank).hex()}.{entry}"


def decode(cursor: str | None) -> tuple[float, int] | None:
    """Rank and entry after which a page begins.

    Raises:
        InvalidCursor: If no search gave it.
    """
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor)
    rank = struct.unpack(">d", bytes.fromhex(found[1]))[0] if found else math.nan
    if not found or not math.isfinite(rank):
        raise InvalidCursor("No search gave this cursor. Start again without one.")
    return rank, int(found[2])
