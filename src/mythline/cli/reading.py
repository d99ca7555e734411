"""`mythline show` and `mythline info`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from ..errors import EntryNotFound, SessionNotFound
from .listing import marks
from .options import SessionArgument
from .output import (
    ago,
    clean,
    console,
    fields_of,
    has_colour,
    local,
    number,
    plain,
    print_json,
    print_line,
    size,
)
from .paging import paged
from .place import Place
from .texts import parse_words
from .verbs import After, verb

if TYPE_CHECKING:
    from ..models import Attachment, SessionDetails, SessionInfo, Transcript, TranscriptItem

ROLES = {
    "user": "bold green",
    "assistant": "bold cyan",
    "system": "bold yellow",
    "thinking": "bold magenta",
    "tool-call": "bold blue",
    "tool-return": "bold blue",
    "unreadable": "bold red",
}
DETAILS = (
    "session_id",
    "agent_id",
    "owner",
    "title",
    "preview",
    "tags",
    "pinned",
    "archived",
    "created",
    "last_modified",
    "message_count",
    "size",
    "revision",
    "head_id",
    "branches",
    "forked_from",
    "forked_at",
    "metadata",
)


@verb()
async def show(
    place: Place,
    session: SessionArgument,
    last: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only the last this many, or some more.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="ENTRY", help="Only up to this entry, of the history or a branch."),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT", help="Also tools, thinking, system; with commas between."),
    ] = None,
    no_pager: Annotated[bool, typer.Option("--no-pager", help="Print it all at once.")] = False,
) -> After:
    """Show a session as a person reads it, in a pager where it is longer than the screen.

    The pager is MYTHLINE_PAGER, else PAGER, else less.

    Example: mythline show latest --last 10 --include tools,thinking
    """
    info = await place.find(session)
    wanted = parse_words(include, ("tools", "thinking", "system"), "--include")
    transcript = await _transcript(place, info, at, last, wanted)
    if place.as_json:
        names = ("session_id", "agent_id", "title")
        page = transcript.history
        print_json(
            {
                **fields_of(info, names),
                "revision": page.revision,
                "messages": [_item_json(item) for item in transcript],
                "has_before": page.has_before,
                "has_after": page.has_after,
            }
        )
        return None

    def read() -> None:
        is_long = _lines(transcript.items) > _rows()
        with paged(is_long and not no_pager) as out:
            if sys.stdout.isatty():
                _write_coloured(out, info, transcript.items)
            else:
                for line in _as_lines(info, transcript.items):
                    out.write(line + "\n")

    return read


async def _transcript(
    place: Place, info: SessionInfo, at: str | None, last: int | None, include: Sequence[str]
) -> Transcript:
    """What is to be shown, by the store itself: Pydantic AI would take longer to come."""
    from ..models import HistoryPage
    from ..transcript import page

    key = place.key(info)

    async def fetch(
        *, limit: int | None = None, before: str | None = None, after: str | None = None
    ) -> HistoryPage:
        if at is None:
            found = await place.store.history(key, limit=limit, before=before, after=after)
            if found is None:
                raise SessionNotFound(info.session_id)
            return found
        located = await place.store.locate(key, at)
        tip = at if before is None else before
        line = await place.store.line(
            place.owner, info.agent_id, tip, limit=limit and limit + (before is not None)
        )
        if located is None or line is None:
            raise EntryNotFound(at)
        if before is None:
            return HistoryPage(info.revision, located.count, located.count - len(line), tuple(line))
        edge = await place.store.locate(key, before)
        ends = located.count if edge is None else edge.count
        return HistoryPage(info.revision, located.count, ends - len(line), tuple(line[:-1]))

    return await page(fetch, last, None, None, include)


def _item_json(item: TranscriptItem) -> dict[str, Any]:
    names = ("role", "content", "entry_id", "timestamp", "tool_name", "tool_call_id")
    files = ("kind", "media_type", "size", "url", "name")
    attachments = [fields_of(file, files) for file in item.attachments]
    return {**fields_of(item, names), "attachments": attachments}


# For people


def _head(info: SessionInfo) -> Iterator[str]:
    """What stands above a transcript."""
    yield plain(info.title or info.session_id)
    what = [info.session_id, info.agent_id, number(info.message_count, "message")]
    yield "  ".join([*what, f"{local(info.last_modified)} ({ago(info.last_modified)})"])
    if words := marks(info):
        yield plain(words)


def _speaker(item: TranscriptItem) -> str:
    words = {"tool-call": "calls", "tool-return": "returned"}
    if item.tool_name is not None:
        return plain(f"{item.tool_name} {words[item.role]}" if item.role in words else item.role)
    return item.role


def _time(item: TranscriptItem) -> str:
    try:
        return local(datetime.fromisoformat(item.timestamp or ""))
    except (ValueError, OverflowError):
        return plain(item.timestamp or "")


def _body(item: TranscriptItem) -> Iterator[str]:
    """The lines of what was said, and of the files that came with it."""
    if item.content:
        yield from clean(item.content).rstrip("\n").split("\n")
    yield from map(_file, item.attachments)


def _file(file: Attachment) -> str:
    known = [file.name, file.media_type, None if file.size is None else size(file.size), file.url]
    return plain(f"[{file.kind}: {', '.join(word for word in known if word)}]")


def _as_lines(info: SessionInfo, items: Iterable[TranscriptItem]) -> Iterator[str]:
    yield from _head(info)
    for item in items:
        yield ""
        yield f"{_speaker(item)}  {_time(item)}".rstrip()
        for line in _body(item):
            yield f"  {line}" if line else ""


def _write_coloured(out: IO[str], info: SessionInfo, items: Iterable[TranscriptItem]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    paper = console(out, coloured=has_colour(sys.stdout))
    title, *more = _head(info)
    paper.print(Text(title, "bold"))
    for line in more:
        paper.print(Text(line, "dim"))
    for item in items:
        paper.print()
        speaker = Text(_speaker(item), ROLES[item.role])
        paper.print(speaker.append(f"  {_time(item)}", "not bold dim"))
        style = "" if item.role in ("user", "assistant") else "dim"
        paper.print(Padding(Text("\n".join(_body(item)), style), (0, 0, 0, 2), expand=False))


def _rows() -> int:
    from shutil import get_terminal_size

    return get_terminal_size().lines - 1


def _lines(items: Iterable[TranscriptItem]) -> int:
    """About how many lines the items take, at least."""
    return 2 + sum(2 + item.content.count("\n") + len(item.content) // 400 for item in items)


@verb()
async def info(place: Place, session: SessionArgument) -> None:
    """Show all that is known of a session, without its messages.

    Example: mythline info session_2026 --json
    """
    print_details(place, await details_of(place, await place.find(session)))


async def details_of(place: Place, found: SessionInfo) -> SessionDetails:
    """A session with all that is known of it."""
    details = await place.store.get(place.key(found))
    if details is None:
        raise SessionNotFound(found.session_id)
    return details


def details_json(details: SessionDetails) -> dict[str, Any]:
    """A session as JSON has it, with all that an info over HTTP has."""
    waits = details.deferred_tool_requests
    return {
        **fields_of(details, DETAILS),
        "file_size": details.size,
        "usage": json.loads(details.usage),
        "deferred_tool_requests": None if waits is None else json.loads(waits),
    }


def print_details(place: Place, details: SessionDetails) -> None:
    """Print a session: what isn't empty, a line each."""
    known = details_json(details)
    if place.as_json:
        print_json(known)
        return
    known["size"] = size(known.pop("file_size"))
    for name in ("created", "last_modified"):
        moment = getattr(details, name)
        known[name] = f"{local(moment)} ({ago(moment)})"
    for name in ("usage", "metadata", "deferred_tool_requests"):
        known[name] = json.dumps(known[name], ensure_ascii=False) if known[name] else ""
    for name in ("tags", "branches"):
        known[name] = ", ".join(known[name])
    for name, value in known.items():
        if value not in (None, "", False):
            print_line(f"{name:<14} {plain('yes' if value is True else str(value))}")
