"""`mythline create`, `rename`, `tag` and `update`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, cast

import typer

from ..errors import InvalidInput, RevisionConflict
from ..operations import KEEP
from .options import SessionArgument
from .output import plain, print_json, print_line
from .place import Place
from .reading import details_json, details_of, print_details
from .verbs import verb

MetadataOption = Annotated[
    str | None, typer.Option(metavar="JSON", help="Free data, as a JSON object.")
]
TITLE = typer.Option("--title", metavar="TITLE", help="Its title.")
TAGS = typer.Option("--tag", metavar="TAG", help="A tag of it. Repeatable.")


@verb(makes=True)
async def create(
    place: Place,
    session_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Its id; generated without.", show_default=False),
    ] = None,
    title: Annotated[str | None, TITLE] = None,
    tag: Annotated[list[str] | None, TAGS] = None,
    metadata: MetadataOption = None,
) -> None:
    """Make an empty session, and print its id.

    The agent can be a new one; it has to be named unless there is exactly one.

    Example: mythline create --agent story_researcher --title "The old road"
    """
    sessions = place.sessions(await place.one_agent())
    details = await sessions.create(
        session_id, title=title, tags=tag or (), metadata=_object(metadata)
    )
    print_json(details_json(details)) if place.as_json else print_line(details.session_id)


@verb()
async def rename(
    place: Place,
    session: SessionArgument,
    title: Annotated[
        str, typer.Argument(metavar="TITLE", help="The title; '' for the first prompt again.")
    ],
) -> None:
    """Give a session a title.

    Example: mythline rename latest "The old road"
    """
    found = await place.find(session)
    details = await place.sessions(found.agent_id).rename(found.session_id, title or None)
    if place.as_json:
        print_json(details_json(details))
    else:
        print_line(f"{details.session_id}: {plain(details.title or 'no title')}")


@verb()
async def tag(
    place: Place,
    session: SessionArgument,
    add: Annotated[
        list[str] | None,
        typer.Argument(metavar="TAG", help="Tags to add.", show_default=False),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="TAG", help="A tag to take away. Repeatable."),
    ] = None,
) -> None:
    """Add tags to a session and take tags away; print those that it has then, one a line.

    Example: mythline tag latest lore draft --remove idea
    """
    found = await place.find(session)
    sessions = place.sessions(found.agent_id)
    while True:
        details = await details_of(place, found)
        tags = sorted((set(details.tags) | set(add or ())) - set(remove or ()))
        if not add and not remove:
            break
        try:
            details = await sessions.update(
                found.session_id, tags=tags, expected_revision=details.revision
            )
        except RevisionConflict:  # saved or tagged by someone else meanwhile
            continue
        break
    if place.as_json:
        print_json(details_json(details))
    else:
        for name in details.tags:
            print_line(plain(name))


@verb()
async def update(
    place: Place,
    session: SessionArgument,
    title: Annotated[str | None, TITLE] = None,
    pinned: Annotated[
        bool | None, typer.Option("--pin/--unpin", help="Keep it on top, and never prune it.")
    ] = None,
    archived: Annotated[
        bool | None, typer.Option("--archive/--unarchive", help="Leave it out of plain lists.")
    ] = None,
    metadata: MetadataOption = None,
) -> None:
    """Change what describes a session; what isn't named stays.

    Example: mythline update latest --pin --metadata '{"project": "Shadowglen"}'
    """
    found = await place.find(session)
    details = await place.sessions(found.agent_id).update(
        found.session_id,
        title=KEEP if title is None else title,
        pinned=KEEP if pinned is None else pinned,
        archived=KEEP if archived is None else archived,
        metadata=KEEP if metadata is None else _object(metadata),
    )
    print_details(place, details)


def _object(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidInput('--metadata must be a JSON object, such as \'{"project": "x"}\'.')
    return cast("dict[str, Any]", value)
