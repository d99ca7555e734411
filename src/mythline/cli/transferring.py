"""`mythline export` and `mythline import`."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import InvalidInput, MythlineError, SessionNotFound
from ..formats import EXPORTS, ExportedSession, ExportFormat
from ..formats import export as exported
from ..ids import is_session_id
from .asking import confirm, progress
from .options import SessionsArgument, YesOption
from .output import clean, escaped, note, print_json, print_line
from .place import Place, Refused
from .reading import details_json
from .verbs import verb

if TYPE_CHECKING:
    from ..models import SessionInfo

PIPE = "-"
OnConflict = Literal["error", "replace", "rename"]


@verb()
async def export(
    place: Place,
    sessions: SessionsArgument = None,
    form: Annotated[
        ExportFormat,
        typer.Option(
            "--format",
            "-f",
            help="json: the messages; jsonl: all that it has; markdown and html: to be read.",
        ),
    ] = "json",
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file, a directory, or - for stdout, which a pipe gets anyway.",
        ),
    ] = None,
    yes: YesOption = False,
) -> None:
    """Write sessions to files, or one to a pipe.

    Without --output, on a terminal, each goes to a file here, named after it.

    Example: mythline export latest --format json --output latest.json
    """
    if not sessions:
        raise InvalidInput("Name the sessions to export. `mythline list` shows them.")
    if output is None:
        output = "." if sys.stdout.isatty() else PIPE
    if output == PIPE and len(sessions) > 1:
        raise InvalidInput("Only one session goes to a pipe. Name a directory with --output.")
    if output == PIPE and place.as_json:
        raise InvalidInput("--json tells which files were written. Name one with --output.")
    found = list(
        {
            (one.agent_id, one.session_id): one
            for one in [await place.find(text) for text in sessions]
        }.values()
    )
    if output == PIPE:
        _to_stdout(await _pieces(place, found[0], form), is_json="json" in form)
        return
    targets = _targets(output, found, form)
    taken = [path for path in targets if path.exists()]
    if taken:
        confirm(f"Write over {', '.join(map(str, taken))}?", yes=yes)
    with progress("Exporting", len(found)) as advance:
        for info, path in zip(found, targets, strict=True):
            with _written(path) as file:
                for piece in await _pieces(place, info, form):
                    file.write(piece)
            advance(1)
    if place.as_json:
        print_json(
            [
                {"session_id": info.session_id, "agent_id": info.agent_id, "file": str(path)}
                for info, path in zip(found, targets, strict=True)
            ]
        )
    else:
        for path in targets:
            print_line(clean(str(path)))


async def _pieces(place: Place, info: SessionInfo, form: ExportFormat) -> Iterable[bytes]:
    return exported(await _whole(place, info), form)


async def _whole(place: Place, info: SessionInfo) -> ExportedSession:
    """A session with the entries of its history and its branches."""
    key = place.key(info)
    while True:
        details = await place.store.get(key)
        page = await place.store.history(key)
        if details is None or page is None:
            raise SessionNotFound(info.session_id)
        entries = {entry.entry_id: entry for entry in page.entries}
        for tip in details.branches:
            line = await place.store.line(place.owner, info.agent_id, tip)
            entries |= {entry.entry_id: entry for entry in line or ()}
        ends = [details.head_id, *details.branches]
        if all(end is None or end in entries for end in ends):
            return ExportedSession(details, list(entries.values()))
        # It was saved in between, so that what was read doesn't fit together.


def _to_stdout(pieces: Iterable[bytes], *, is_json: bool) -> None:
    """Write an export to stdout: byte for byte, but nothing that would steer a terminal."""
    if not sys.stdout.isatty():
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        return
    text = b"".join(pieces).decode()
    sys.stdout.write(escaped(text) if is_json else clean(text))


def _targets(output: str, found: list[SessionInfo], form: ExportFormat) -> list[Path]:
    """The files to write, which are different ones."""
    folder = Path(output)
    if len(found) == 1 and not folder.is_dir() and not output.endswith(os.sep):
        return [folder]
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{output!r} is a file. Several sessions go to a directory.")
    folder.mkdir(parents=True, exist_ok=True)
    targets = [folder / f"{info.session_id}{EXPORTS[form].suffix}" for info in found]
    if len(set(targets)) < len(targets):
        raise InvalidInput("Two of the sessions have the same id. Export them one by one.")
    return targets


@contextlib.contextmanager
def _written(path: Path) -> Generator[Any]:
    """A file that is there whole or not at all."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@verb(makes=True)
async def import_(
    place: Place,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE", help="Files, or - for stdin, as without.", show_default=False
        ),
    ] = None,
    session_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The session's id; without, the file's name."),
    ] = None,
    on_conflict: Annotated[
        OnConflict,
        typer.Option(help="If the id is taken: stop, replace (a branch stays), or take another."),
    ] = "error",
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Take messages as they are, without sanitizing them.")
    ] = False,
) -> None:
    """Make sessions of files, each an array of messages, and print their ids.

    The agent can be a new one; it has to be named unless there is exactly one.

    Example: mythline import my-session.json --agent story_researcher
    """
    names = list(files or ())
    if not names:
        if sys.stdin.isatty():
            raise InvalidInput("Name the files to import, or send one to stdin.")
        names = [PIPE]
    if session_id is not None and len(names) > 1:
        raise InvalidInput("--session-id is for one file.")
    sessions = place.sessions(await place.one_agent())
    results: list[dict[str, Any]] = []
    has_failed = False
    with progress("Importing", len(names)) as advance:
        for name in names:
            try:
                details = await sessions.import_(
                    _read(name),
                    session_id=session_id or _id_of(name),
                    on_conflict=on_conflict,
                    trusted=trusted,
                )
            except (MythlineError, OSError) as error:
                if len(names) == 1:
                    raise
                has_failed = True
                why = error.strerror if isinstance(error, OSError) else str(error)
                note(f"mythline: {name}: {why}")
                results.append({"file": name, "status": "failed", "detail": why})
            else:
                if not place.as_json:
                    print_line(details.session_id)
                results.append({"file": name, "status": "imported", **details_json(details)})
            advance(1)
    if place.as_json:
        print_json(results)
    if has_failed:
        raise typer.Exit(1)


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == PIPE else Path(name).read_bytes()


def _id_of(name: str) -> str | None:
    """The id that a file's name gives; none for stdin."""
    if name == PIPE:
        return None
    stem = Path(name).name.removesuffix(".json")
    if not is_session_id(stem):
        raise Refused(f"The name of {name!r} can't be a session's id. Give one with --session-id.")
    return stem
