"""Pages of lists by keyset: read in the order of an index, from where the page before ended."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .. import keysets
from ..keysets import END
from ..operations import Listing
from .connections import Connections, Row
from .statements import SQL
from .texts import shown, storable

FREQUENT: Final = 1000
"""Sessions with a tag from which on they aren't sorted for a page."""
_TAGS: Final = (
    "t.owner = s.owner AND t.agent_id = s.agent_id AND t.session_id = s.session_id AND t.n = s.n"
)
_ONE: Final = f"SELECT * FROM mythline.sessions AS s WHERE {_TAGS} OFFSET 0"  # noqa: S608 - of ours
"""The session of a tag. By the offset each is looked up: a plan for any tag might read them all."""
_TITLE: Final = 'lower(coalesce(s.title, s.opening) COLLATE "C")'


class _Way(NamedTuple):
    """An order: what it sorts by, and what comes after a row of key `$3` and number `$4`."""

    order: str
    after: str
    start: int | str


_WAYS: Final = {
    "recent": _Way("s.updated DESC, s.n DESC", "(s.updated, s.n) < ($3::bigint, $4::bigint)", END),
    "created": _Way("s.created DESC, s.n DESC", "(s.created, s.n) < ($3::bigint, $4::bigint)", END),
    "trash": _Way("s.deleted DESC, s.n DESC", "(s.deleted, s.n) < ($3::bigint, $4::bigint)", END),
    "title": _Way(
        f"{_TITLE}, s.n DESC",
        f'{_TITLE} >= lower($3::text COLLATE "C") '
        f'AND ({_TITLE} > lower($3::text COLLATE "C") OR s.n < $4::bigint)',
        "",
    ),
}


async def page(
    connections: Connections, owner: str, agent_id: str, listing: Listing
) -> tuple[list[Row], str | None]:
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
    found: list[tuple[str, Row]] = []
    for current in groups[groups.index(group) :]:
        wanted = listing.limit + 1 - len(found)
        rows = await _some(connections, owner, agent_id, listing, current, way, key, number, wanted)
        found += [(current, row) for row in rows]
        if len(found) > listing.limit:
            break
        key, number = way.start, END
    if len(found) <= listing.limit:
        return [row for _, row in found], None
    found.pop()
    group, last = found[-1]
    return [row for _, row in found], keysets.encode(name, group, _key(name, last), last["n"])


def _key(name: str, row: Row) -> int | str:
    if name == "title":
        return row["opening"] if row["title"] is None else row["title"]
    return row[{"recent": "updated", "created": "created", "trash": "deleted"}[name]]


async def _some(
    connections: Connections,
    owner: str,
    agent_id: str,
    listing: Listing,
    group: str,
    way: _Way,
    key: int | str,
    number: int,
    limit: int,
) -> list[Row]:
    """At most `limit` rows of a group.

    Archived sessions and the others are two ranges of an index: where both are asked for, the
    first of each are read, and the first of those taken.
    """
    values: list[Any] = [owner, agent_id, key, number]
    source, conditions = await _filters(connections, listing, group, values)
    both: list[str] = [""] if listing.trash else ["NOT s.archived", "s.archived"]
    if listing.archived is not None:
        both = ["s.archived" if listing.archived else "NOT s.archived"]
    values.append(limit)
    parts = [
        SQL["page"].format(
            source=source,
            condition=" AND ".join([*conditions, *([half] if half else []), way.after]),
            order=way.order,
            limit=f"${len(values)}",
        )
        for half in both
    ]
    if len(parts) == 1:
        return await connections.read(parts[0], *values)
    joined = " UNION ALL ".join(f"({part})" for part in parts)
    order = way.order
    return await connections.read(
        f"SELECT * FROM ({joined}) AS s ORDER BY {order} LIMIT ${len(values)}",  # noqa: S608 - of ours
        *values,
    )


async def count(connections: Connections, owner: str, agent_id: str, listing: Listing) -> int:
    """How many sessions a list shows on all its pages."""
    values: list[Any] = [owner, agent_id]
    source, conditions = await _filters(connections, listing, "all", values)
    if listing.archived is not None:
        conditions.append("s.archived" if listing.archived else "NOT s.archived")
    statement = SQL["count"].format(source=source, condition=" AND ".join(conditions))
    return (await connections.read(statement, *values))[0]["count"]


async def _filters(
    connections: Connections, listing: Listing, group: str, values: list[Any]
) -> tuple[str, list[str]]:
    """Where the rows come from, and what they must be; what that names is put to `values`.

    What few sessions have is gathered and sorted; for the rest, an index in the order of the list
    is read until the page is full.
    """

    def named(value: Any) -> str:
        values.append(value)
        return f"${len(values)}"

    source = "mythline.sessions AS s"
    conditions = ["s.deleted IS NOT NULL" if listing.trash else "s.deleted IS NULL"]
    if group != "all":
        conditions.append("s.pinned" if group == "pinned" else "NOT s.pinned")
    if listing.tag is not None:
        tag = listing.tag if storable(listing.tag) else ""  # which no session has
        names = values[0], values[1], tag, FREQUENT
        (row,) = await connections.read(SQL["is_frequent"], *names)
        name = named(tag)
        if row["is_frequent"]:
            match = f"{_TAGS} AND t.tag = {name}"
            conditions.append(f"EXISTS (SELECT FROM mythline.tags AS t WHERE {match})")
        else:
            source = f"mythline.tags AS t CROSS JOIN LATERAL ({_ONE}) AS s"
            conditions.append(f"t.owner = $1 AND t.agent_id = $2 AND t.tag = {name}")
    if listing.text is not None:
        text = named(shown(listing.text).casefold())
        conditions.append(
            f"(strpos(s.title_folded, {text}) > 0 OR strpos(s.preview_folded, {text}) > 0)"
        )
    return source, conditions
