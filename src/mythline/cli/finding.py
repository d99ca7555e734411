"""`mythline search`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from ..bounds import looked_for
from ..models import to_micros
from ..opening import is_database
from ..operations import Search, SearchRole
from .output import (
    console,
    fields_of,
    local,
    marked,
    note,
    plain,
    print_json,
    print_table,
    when,
)
from .place import Place
from .texts import parse_time, parse_words
from .verbs import verb

if TYPE_CHECKING:
    from ..models import SearchHit

FOUND = (
    "session_id",
    "agent_id",
    "title",
    "entry_id",
    "role",
    "snippet",
    "marks",
    "last_modified",
    "timestamp",
    "is_current",
)
AROUND = 6
"""Items of the conversation up to a hit that the command to open it shows."""


@verb()
async def search(
    place: Place,
    query: Annotated[
        list[str],
        typer.Argument(metavar="QUERY", help='Words, "words in a row" and begin*.'),
    ],
    role: Annotated[
        list[str] | None,
        typer.Option(metavar="WHOSE", help="Whose words: user,assistant (both without), tool."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From this time on: 2026-11-23, or 7d for a week ago."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Before this time; likewise.")
    ] = None,
    tag: Annotated[
        str | None, typer.Option(metavar="TAG", help="Only in sessions with this tag.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=1000, metavar="N", help="At most this many.")
    ] = 20,
) -> None:
    """Find messages with all the words of a query, the best first, in branches too.

    Example: mythline search shadowglen '"old road"' --role user --since 30d
    """
    from ..search import parse

    roles = parse_words(role, get_args(SearchRole), "--role")
    asked = Search(
        query=parse(" ".join(query)),
        limit=limit,
        roles=cast("list[SearchRole]", roles or ["user", "assistant"]),
        agents=None if place.agent is None else (place.agent,),
        since=None if since is None else to_micros(parse_time(since)),
        until=None if until is None else to_micros(parse_time(until)),
        tag=looked_for(tag),
    )
    page = await place.store.search(place.owner, asked)
    if place.as_json:
        print_json([fields_of(hit, FOUND) for hit in page])
    elif not page:
        note("Nothing was found.")
    elif sys.stdout.isatty():
        _print_hits(place, page.hits)
    else:
        print_table(
            [],
            [
                [
                    hit.session_id,
                    hit.agent_id,
                    hit.role,
                    local(hit.timestamp),
                    hit.entry_id,
                    hit.title or "",
                    hit.snippet,
                ]
                for hit in page
            ],
        )


def _print_hits(place: Place, hits: tuple[SearchHit, ...]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    paper = console()
    for number, hit in enumerate(hits):
        if number:
            paper.print()
        head = Text(plain(hit.title or hit.session_id), "bold")
        where = [hit.agent_id, hit.role, when(hit.timestamp)]
        where += [] if hit.is_current else ["in a branch"]
        paper.print(head.append("  " + "  ".join(where), "not bold dim"))
        paper.print(
            Padding(marked(hit.snippet, hit.marks, "bold yellow"), (0, 0, 0, 2), expand=False)
        )
        paper.print(Text(f"  {_opening(place, hit)}", "dim"), soft_wrap=True)


def _opening(place: Place, hit: SearchHit) -> str:
    """The command that shows the conversation up to a hit."""
    words = ["mythline", "show", hit.session_id, "--agent", hit.agent_id]
    words += ["--at", hit.entry_id, "--last", str(AROUND)]
    words += ["--include", "tools"] if hit.role == "tool" else []
    words += [] if place.owner is None else ["--owner", place.owner]
    if place.location is not None and not is_database(place.location):  # may have a password
        words += ["--store", place.location]
    return plain(shlex.join(words))
