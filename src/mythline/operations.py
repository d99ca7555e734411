"""What a store is asked to list, describe and search."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal

from .search import Query, SearchRole


class Keep(Enum):
    """`KEEP`: leave a field of a session as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP
Kept = Literal[Keep.KEEP]


class AnyRevision(Enum):
    """`ANY`: whatever the revision is now."""

    ANY = "any"


ANY: Final = AnyRevision.ANY
Expected = str | None | Literal[AnyRevision.ANY]
"""The revision that a change goes on from; `None` where there must be no session yet."""

Order = Literal["recent", "created", "title"]
"""Saved last first; made last first; by title, A to Z whatever the case, then as `recent`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Describe:
    """A change of what describes a session; its history and `last_modified` stay.

    Attributes:
        mark: What the session's revision gets after a dot, until its next save.
        expected: The revision that must be stored, with its mark, or `ANY`.
        title: The title, `None` to have it offered from the first prompt again.
        tags: Sorted, without repeats.
        pinned: Whether it stays on top and is never pruned.
        archived: Whether plain lists leave it out.
        metadata: All of it; what is not in it is removed.
    """

    mark: str
    expected: str | Literal[AnyRevision.ANY] = ANY
    title: str | Kept | None = KEEP
    tags: Sequence[str] | Kept = KEEP
    pinned: bool | Kept = KEEP
    archived: bool | Kept = KEEP
    metadata: Mapping[str, Any] | Kept = KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which sessions a list shows, and in which order.

    Attributes:
        limit: At most this many.
        cursor: Where the page before ended.
        order: See `Order`. Ties are broken by when sessions were made, newest first.
        archived: Only those that are archived, only those that aren't, or both (`None`).
        tag: Only those with this tag.
        text: Only those whose title or preview has this text in it, whatever the case.
        pinned_first: Pinned sessions before all others, each of the two in `order`.
        trash: The deleted ones instead, deleted last first; `order` and `pinned_first` don't
            matter then.
    """

    limit: int
    cursor: str | None = None
    order: Order = "recent"
    archived: bool | None = False
    tag: str | None = None
    text: str | None = None
    pinned_first: bool = False
    trash: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which messages a search finds.

    Attributes:
        query: What they have in their text. One without terms finds nothing.
        limit: At most this many hits.
        cursor: Where the page before ended.
        roles: In whose words.
        agents: Only in these agents' sessions; `None` for all of the owner's.
        since: Only messages of this time or later; microseconds since 1970, UTC.
        until: Only messages before this time, exclusive; likewise.
        tag: Only in sessions with this tag.
        archived: As in `Listing`.
    """

    query: Query
    limit: int
    cursor: str | None = None
    roles: Collection[SearchRole] = ("user", "assistant")
    agents: Sequence[str] | None = None
    since: int | None = None
    until: int | None = None
    tag: str | None = None
    archived: bool | None = None
