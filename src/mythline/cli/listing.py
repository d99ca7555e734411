"""`mythline agents` and `mythline list`."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..bounds import looked_for
from ..operations import Listing, Order
from .output import fields_of, note, print_json, print_line, print_table, when
from .place import PAGE, Place
from .verbs import verb

if TYPE_CHECKING:
    from ..models import SessionInfo

LISTED = (
    "session_id",
    "agent_id",
    "last_modified",
    "message_count",
    "title",
    "preview",
    "tags",
    "pinned",
    "archived",
    "size",
    "created",
)
NOTHING = "No sessions yet."
LIMIT = 50


@verb()
async def agents(place: Place) -> None:
    """List the agents that have sessions.

    Example: mythline agents --json
    """
    found = [
        info
        for info in await place.store.agents(place.owner)
        if place.agent in (None, info.agent_id)
    ]
    if place.as_json:
        names = ("agent_id", "session_count", "last_modified")
        print_json([fields_of(info, names) for info in found])
    elif not found:
        note(NOTHING)
    else:
        lines = [[one.agent_id, str(one.session_count), when(one.last_modified)] for one in found]
        print_table(["agent", "sessions", "modified"], lines)


@verb()
async def list_sessions(
    place: Place,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Only sessions with this tag.")
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only sessions with this in their title or preview."),
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Only archived sessions.")] = False,
    order: Annotated[
        Order, typer.Option(help="Saved last first, made last first, or by title.")
    ] = "recent",
    pinned_first: Annotated[
        bool, typer.Option("--pinned-first", help="Pinned sessions before the others.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help=f"At most this many.  [default: {LIMIT}]", show_default=False
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Archived ones too, and all of them unless --limit is given."),
    ] = False,
    trash: Annotated[bool, typer.Option("--trash", help="Deleted sessions instead.")] = False,
    count: Annotated[
        bool, typer.Option("--count", help="Only say how many there are, whatever the limit.")
    ] = False,
) -> None:
    """List sessions, the one saved last first.

    Example: mythline list --agent story_researcher --limit 10
    """
    most = limit if limit is not None else None if everything else LIMIT
    listing = Listing(
        limit=PAGE if most is None else min(most, PAGE),
        order=order,
        archived=True if archived else None if everything or trash else False,
        tag=looked_for(tag),
        text=looked_for(text or None),
        pinned_first=pinned_first,
        trash=trash,
    )
    if count:
        await _print_count(place, listing)
        return
    found = await _found(place, listing, most)
    if place.as_json:
        names = (*LISTED, "deleted", "purges") if trash else LISTED
        print_json([fields_of(info, names) for info in found])
    elif not found:
        note(_nothing(listing))
    elif trash:
        print_table(
            ["session", "agent", "messages", "deleted", "purged", "title"],
            [
                [*_named(one), when(one.deleted), when(one.purges) or "never", one.title or ""]
                for one in found
            ],
            shorten="title",
            spare=("messages", "purged", "agent"),
        )
    else:
        print_table(
            ["session", "agent", "messages", "modified", "title", "tags"],
            [[*_named(one), when(one.last_modified), one.title or "", marks(one)] for one in found],
            shorten="title",
            spare=("tags", "messages", "agent"),
        )


def _nothing(listing: Listing) -> str:
    """What a list without sessions tells: beside the result, as no row of a pipe is an id."""
    if listing.tag is not None or listing.text is not None or listing.archived:
        return "Nothing was found."
    return "Nothing is in the trash." if listing.trash else NOTHING


async def _print_count(place: Place, listing: Listing) -> None:
    """Print how many sessions a list of all agents together has."""
    agents = await place.agents(trash=listing.trash)
    total = sum([await place.store.count(place.owner, agent, listing) for agent in agents])
    if place.as_json:
        print_json({"count": total})
    else:
        print_line(str(total))


def _named(info: SessionInfo) -> list[str]:
    return [info.session_id, info.agent_id, str(info.message_count)]


def marks(info: SessionInfo) -> str:
    """Its tags, and what is special about it."""
    words = [f"#{tag}" for tag in info.tags]
    return "  ".join(words + [name for name in ("pinned", "archived") if getattr(info, name)])


async def _found(place: Place, listing: Listing, most: int | None) -> list[SessionInfo]:
    """The first `most` sessions of all agents together, each list being in order."""
    lists = [
        [info async for info in place.pages(agent_id, listing, most)]
        for agent_id in await place.agents(trash=listing.trash)
    ]
    merged = list(heapq.merge(*lists, key=lambda info: _rank(info, listing)))
    return merged[:most]


def _rank(info: SessionInfo, listing: Listing) -> tuple[Any, ...]:
    """What lists are ordered by, the first having the least."""
    zero = datetime.min.replace(tzinfo=UTC)
    recent = zero - max(info.last_modified, zero)
    if listing.trash:
        return (zero - (info.deleted or zero),)
    first = listing.pinned_first and not info.pinned
    if listing.order == "created":
        return first, zero - info.created
    if listing.order == "title":
        return first, (info.title or "").casefold(), recent
    return first, recent
