"""Searching: from a query to the index, and from what it finds to the sessions that have it.

One statement finds what matches, best first, and the session of each that it is shown in, as far
as the page goes, with the messages. They are looked through again where the index isn't exact.
"""

from __future__ import annotations

import asyncio
import math
import re
import struct
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final, NamedTuple

from ..errors import InvalidCursor
from ..hits import Found, hit
from ..models import SearchHit, SearchPage
from ..operations import Search
from . import documents
from .connections import Connections, Row
from .statements import SQL
from .texts import storable

AT_ONCE: Final = 4 << 20
"""Bytes of messages that are read with what is found, and then with each further statement."""
BESIDE: Final = 64 << 10
"""Bytes of messages from which on they are looked through in a thread."""
_MORE: Final = 100
_MOST: Final = 1_000_000
"""Documents that are ranked for a page at the most, before it goes on from the last of them."""
_END: Final = 1 << 62
_CURSOR: Final = re.compile(r"([0-9a-f]{8})\.([0-9]{1,18})\.([0-9]{1,9})", re.ASCII)


class Places(NamedTuple):
    """The places of an owner that a search is about, and their agents."""

    numbers: Sequence[int]
    agents: Sequence[str]


class _Key(NamedTuple):
    """Where a document is in the order of a search."""

    rank: float
    line: int
    place: int


_START: Final = _Key(math.inf, 0, 0)


async def page(connections: Connections, owner: str, asked: Search, places: Places) -> SearchPage:
    """The hits of a search, as `Store.search` says."""
    after = decode(asked.cursor) or _START
    wanted = documents.expressions(asked.query, places.numbers, asked.roles)
    hits: list[SearchHit] = []
    last = after
    most = 4 * asked.limit + 100
    while wanted.texts:
        found = await _matching(connections, owner, asked, places, wanted.texts, after, most)
        there = [row for row in found if row["rank"] is not None]
        async for some in _with_bodies(connections, owner, there):
            for (row, _), one in zip(some, await _shown(some, asked), strict=True):
                is_sure = wanted.is_exact and row["whole"]
                if one is None or not (is_sure or one.is_whole):
                    continue
                if len(hits) == asked.limit:
                    return SearchPage(tuple(hits), _encode(last))
                last = _key(row)
                hits.append(one.hit)
        if len(there) > asked.limit:
            after = _key(there[-1])
        elif found and found[0]["matches"] == most:
            after = _Key(*(found[0][f"last_{name}"] for name in _Key._fields))
        else:
            break
        most = min(most * _MORE, _MOST)
    return SearchPage(tuple(hits), None)


async def _matching(
    connections: Connections,
    owner: str,
    asked: Search,
    places: Places,
    texts: Sequence[str],
    after: _Key,
    most: int,
) -> list[Row]:
    tag = asked.tag if asked.tag is None or storable(asked.tag) else ""  # which no session has
    values: list[Any] = [
        owner,
        texts,
        *after,
        asked.limit + 1,
        -_END if asked.since is None else max(-_END, asked.since),
        _END if asked.until is None else min(_END, asked.until),
        asked.archived,
        tag,
        AT_ONCE,
        most,
    ]
    is_few = tag is not None or asked.archived is True
    if is_few:
        values.append(places.agents)
    statement = SQL["matching"].format(
        few=SQL["few"] if is_few else "",
        source=SQL["asked_once" if len(texts) == 1 else "asked_often"],
        among=SQL["among_few"] if is_few else "",
    )
    return await connections.read(statement, *values)


async def _with_bodies(
    connections: Connections, owner: str, found: Sequence[Row]
) -> AsyncGenerator[list[tuple[Row, bytes]]]:
    """What was found with its messages, in parts that aren't too large."""
    read = 0
    while read < len(found) and found[read]["body"] is not None:
        read += 1
    if read:
        yield [(row, row["body"]) for row in found[:read]]
    while read < len(found):
        size = 0
        some: list[Row] = []
        for row in found[read:]:
            size += row["size"]
            if some and size > AT_ONCE:
                break
            some.append(row)
        read += len(some)
        columns = [[row[name] for row in some] for name in ("agent_id", "home", "line", "place")]
        bodies = {
            row["ord"] - 1: row["body"]
            for row in await connections.read(SQL["bodies"], owner, *columns)
        }
        yield [(row, bodies[at]) for at, row in enumerate(some) if at in bodies]


async def _shown(some: Sequence[tuple[Row, bytes]], asked: Search) -> list[Found | None]:
    def shown() -> list[Found | None]:
        return [hit(row["entry_id"], body, row, asked) for row, body in some]

    if sum(len(body) for _, body in some) > BESIDE:
        return await asyncio.to_thread(shown)
    return shown()


def _key(row: Row) -> _Key:
    return _Key(row["rank"], row["line"], row["place"])


def _encode(key: _Key) -> str:
    return f"{struct.pack('>f', key.rank).hex()}.{key.line}.{key.place}"


def decode(cursor: str | None) -> _Key | None:
    """What a page begins after.

    Raises:
        InvalidCursor: If no search gave it.
    """
    if cursor is None:
        return None
    found = _CURSOR.fullmatch(cursor)
    rank = struct.unpack(">f", bytes.fromhex(found[1]))[0] if found else math.nan
    if not found or not math.isfinite(rank):
        raise InvalidCursor("No search gave this cursor. Start again without one.")
    return _Key(rank, int(found[2]), int(found[3]))
