"""Pages of lists by keyset: read in the order of an index, from where the page before ended."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .. import keysets
from ..keysets import END
from ..operations import Listing
from .database import SQL, Connection

FREQUENT: Final = 1000
"""Sessions with a tag from which on they aren't sorted for a page."""
_TAGGED: Final = "EXISTS (SELECT 1 FROM tags WHERE tag = :tag AND session = sessions.n)"


class _Way(NamedTuple):
    """An order: what it sorts by, what comes after a row of a key and number, and where it starts.

    `key` is the expression whose value a cursor carries.
    """

    key: str
    order: str
    after: str
    start: int | str


_NEWEST_FIRST = "{0} DESC, sessions.n DESC"
_BEFORE = "({0}, sessions.n) < (:key, :n)"
_TITLE = "coalesce(title, opening) COLLATE NOCASE"
_WAYS: Final = {
    "recent": _Way("updated", _NEWEST_FIRST.format("updated"), _BEFORE.format("updated"), END),
    "created": _Way("created", _NEWEST_FIRST.format("created"), _BEFORE.format("created"), END),
    "trash": _Way("deleted", _NEWEST_FIRST.format("deleted"), _BEFORE.format("deleted"), END),
    "title": _Way(
        "coalesce(title, opening)",
        f"{_TITLE}, sessions.n DESC",
        f"{_TITLE} >= :key AND ({_TITLE} > :key OR sessions.n < :n)",
        "",
    ),
}


def page(
    connection: Connection, owner: str, agent_id: str, listing: Listing
) -> tuple[list[Any], str | None]:
    """The rows of a page, and the cursor of the next one.

    Raises:
        InvalidCursor: If no list of this order gave the cursor.
    """
    name = "trash" if listing.trash else listing.order
    way = _WAYS[name]
    groups = ["pinned", "other"] if listing.pinned_first and not listing.trash else ["all"]
    group, key, number = groups[0], way.start, END
    if listing.cursor is not None:
        group, key, number = keysets.decode(listing.cursor, name, groups, type(way.start))
    found: list[Any] = []
    for current in groups[groups.index(group) :]:
        source, condition, names = _filters(connection, listing, current)
        statement = SQL["page"].format(
            source=source, condition=f"{condition} AND {way.after}", order=way.order
        )
        names |= {
            "owner": owner,
            "agent_id": agent_id,
            "key": key,
            "n": number,
            "limit": listing.limit + 1 - len(found),
        }
        rows = connection.execute(statement, names).fetchall()
        found += [(current, row) for row in rows]
        if len(found) > listing.limit:
            break
        key, number = way.start, END
    if len(found) <= listing.limit:
        return [row for _, row in found], None
    found.pop()
    group, last = found[-1]
    value = last["title"] if name == "title" and last["title"] is not None else None
    if value is None:
        value = last["opening"] if name == "title" else last[way.key]
    return [row for _, row in found], keysets.encode(name, group, value, last["n"])


def count(connection: Connection, owner: str, agent_id: str, listing: Listing) -> int:
    """How many sessions a list shows on all its pages."""
    source, condition, names = _filters(connection, listing, "all")
    statement = SQL["count"].format(source=source, condition=condition)
    names |= {"owner": owner, "agent_id": agent_id}
    return connection.execute(statement, names).fetchone()[0]


def _filters(
    connection: Connection, listing: Listing, group: str
) -> tuple[str, str, dict[str, Any]]:
    """Where the rows come from, what they must be, and the values for it.

    What few sessions have is gathered and sorted; for the rest, an index in the order of the list
    is read until the page is full.
    """
    source = "sessions INDEXED BY sessions_pinned" if group == "pinned" else "sessions"
    conditions = ["deleted IS NOT NULL" if listing.trash else "deleted IS NULL"]
    names: dict[str, Any] = {}
    if group != "all":
        conditions.append("pinned = 1" if group == "pinned" else "pinned = 0")
    if listing.archived is not None:
        conditions.append("archived = :archived")
        names["archived"] = int(listing.archived)
    if listing.tag is not None:
        names["tag"] = listing.tag
        if connection.execute(SQL["is_frequent"], (listing.tag, FREQUENT)).fetchone():
            conditions.append(_TAGGED)
        else:
            source = "tags CROSS JOIN sessions ON sessions.n = tags.session"
            conditions.append("tag = :tag")
    if listing.text is not None:
        conditions.append(
            "(instr(casefold(coalesce(title, opening)), :text) OR instr(casefold(preview), :text))"
        )
        names["text"] = listing.text.casefold()
    return source, " AND ".join(conditions), names
