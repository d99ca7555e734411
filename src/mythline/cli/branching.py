"""`mythline fork`, `branches` and `branch`."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import SessionNotFound
from .options import SessionArgument
from .output import fields_of, note, print_json, print_line, print_table, when
from .place import Place
from .reading import details_json
from .verbs import verb

BRANCH = ("entry_id", "parts_at", "message_count", "own_count", "preview", "last_modified")


@verb()
async def fork(
    place: Place,
    session: SessionArgument,
    at: Annotated[
        str | None,
        typer.Option(metavar="ENTRY", help="The fork ends with this entry; has all without."),
    ] = None,
    session_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The fork's id; generated without.")
    ] = None,
    title: Annotated[str | None, typer.Option(metavar="TITLE", help="The fork's title.")] = None,
) -> None:
    """Start a session from another one's history, and print its id.

    Example: mythline fork latest --title "Another way"
    """
    found = await place.find(session)
    details = await place.sessions(found.agent_id).fork_at(
        found.session_id, at, new_session_id=session_id, title=title
    )
    print_json(details_json(details)) if place.as_json else print_line(details.session_id)


@verb()
async def branches(place: Place, session: SessionArgument) -> None:
    """List the branches that a session left, oldest first.

    `mythline show ID --at ENTRY` shows one, `mythline branch ID ENTRY` goes on there.

    Example: mythline branches latest
    """
    found = await place.find(session)
    listed = await place.store.branches(place.key(found))
    if listed is None:
        raise SessionNotFound(found.session_id)
    if place.as_json:
        print_json([fields_of(branch, BRANCH) for branch in listed])
    elif not listed:
        note("The session has no branches.")
    else:
        print_table(
            ["entry", "messages", "own", "modified", "preview"],
            [
                [
                    one.entry_id,
                    str(one.message_count),
                    str(one.own_count),
                    when(one.last_modified),
                    one.preview,
                ]
                for one in listed
            ],
            shorten="preview",
            spare=("own", "messages"),
        )


@verb()
async def branch(
    place: Place,
    session: SessionArgument,
    entry: Annotated[
        str,
        typer.Argument(metavar="ENTRY", help="An entry of the history, or the end of a branch."),
    ],
) -> None:
    """Let a session go on after an entry; what that leaves becomes a branch, and stays.

    Entries are in `mythline show --json` and `mythline branches`.

    Example: mythline branch latest 0199c2f4-5c1e-7d3a-9b52-0f6a1c2d3e4f
    """
    found = await place.find(session)
    details = await place.sessions(found.agent_id).branch_at(found.session_id, entry)
    if place.as_json:
        print_json(details_json(details))
    else:
        print_line(f"{details.session_id}: {details.message_count} messages up to {entry}")
