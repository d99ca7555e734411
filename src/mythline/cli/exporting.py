"""`mythline export`."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Generator, Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal, cast, get_args

import typer

from ..errors import InvalidInput
from ..formats import EXPORTS, ExportFormat
from .asking import confirm, interruptible, progress
from .options import SessionsArgument, YesOption
from .output import clean, escaped, note, number, print_json, print_line
from .place import Place
from .verbs import verb

if TYPE_CHECKING:
    from ..models import SessionInfo

ArchiveFormat = Literal["zip", "tar.zst"]
Format = Literal["json", "jsonl", "markdown", "html", "zip", "tar.zst"]
PIPE = "-"


@verb()
async def export(
    place: Place,
    sessions: SessionsArgument = None,
    form: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            help="json: the messages; jsonl: all there is; markdown, html: for people; zip and "
            "tar.zst, with --all: archives of jsonl.  [default: by the file's name, or json, zip]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="A file, a directory, or - for stdout, which a pipe gets anyway.",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all", help="An archive of all sessions, of all owners unless one is named."
        ),
    ] = False,
    yes: YesOption = False,
) -> None:
    """Write sessions to files, or one to a pipe; or all of a store or an agent to an archive.

    Without --output, on a terminal, it goes to a file here, named after the session, or agent.
    With --json, the files that were written are told; in a pipe, the session itself is JSON.

    Example: mythline export latest --format markdown --output latest.md
    """
    if bool(sessions) == everything:
        raise InvalidInput("Name the sessions to export, or say --all; one of the two.")
    if output is None:
        output = "." if sys.stdout.isatty() else PIPE
    if output == PIPE and place.as_json and (everything or form not in (None, "json")):
        raise InvalidInput("--json tells which files were written. Name one with --output.")
    if everything:
        await _export_all(place, form, output, yes=yes)
    else:
        await _export_some(place, sessions or [], form, output, yes=yes)


# Sessions


async def _export_some(
    place: Place, texts: Sequence[str], form: Format | None, output: str, *, yes: bool
) -> None:
    if form in get_args(ArchiveFormat):
        raise InvalidInput(f"{form} is an archive of all sessions: say --all.")
    wanted = cast("ExportFormat", form or _by_name(output, "json"))
    if output == PIPE and len(texts) > 1:
        raise InvalidInput("Only one session goes to a pipe. Name a directory with --output.")
    each = [await place.find(text) for text in texts]
    found = list({(one.agent_id, one.session_id): one for one in each}.values())
    if output == PIPE:
        _to_stdout(await _pieces(place, found[0], wanted), is_json="json" in wanted)
        return
    targets = _targets(output, found, wanted)
    _check_free(targets, yes=yes)
    with progress("Exporting", len(found)) as advance:
        for info, path in zip(found, targets, strict=True):
            with _written(path) as file:
                file.writelines(await _pieces(place, info, wanted))
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
            if not _passes_on(path):  # it may be the same that this line goes to
                print_line(clean(str(path)))


async def _pieces(place: Place, info: SessionInfo, form: ExportFormat) -> Iterable[bytes]:
    return await place.sessions(info.agent_id).export(info.session_id, form)


def _to_stdout(pieces: Iterable[bytes], *, is_json: bool) -> None:
    """Write an export to stdout: byte for byte, but nothing that would steer a terminal."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.writelines(pieces)
        return
    text = b"".join(pieces).decode()
    sys.stdout.write(escaped(text) if is_json else clean(text))


def _by_name(output: str, otherwise: str) -> str:
    """The format that a file's name tells."""
    suffixes = {kind.suffix: name for name, kind in EXPORTS.items()}
    suffixes |= {f".{name}": name for name in get_args(ArchiveFormat)}
    found = [name for suffix, name in suffixes.items() if output.endswith(suffix)]
    return found[0] if found else otherwise


def _targets(output: str, found: Sequence[SessionInfo], form: ExportFormat) -> list[Path]:
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


def _check_free(targets: Sequence[Path], *, yes: bool) -> None:
    if taken := [str(path) for path in targets if path.exists() and not _passes_on(path)]:
        confirm(f"Write over {', '.join(taken)}?", yes=yes)


def _passes_on(path: Path) -> bool:
    """Whether what is written there goes on to somewhere: a pipe, `/dev/stdout`, `/dev/null`."""
    mode = path.stat().st_mode if path.exists() else 0
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


@contextlib.contextmanager
def _written(path: Path) -> Generator[IO[bytes]]:
    """A file that is there whole or not at all; or what passes on what is written there."""
    if _passes_on(path):
        with interruptible(), path.open("wb") as passing:
            yield passing
        return
    target = Path(os.path.realpath(path))  # a link stays one
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        error.filename = str(path)  # what was asked for, not the file beside it
        raise
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        beside.chmod(0o666 & ~umask)
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


# Archives


async def _export_all(place: Place, form: Format | None, output: str, *, yes: bool) -> None:
    from ..archives import export_all

    kind = form or _by_name(output, "zip")
    if kind not in get_args(ArchiveFormat):
        raise InvalidInput(f"All sessions go to an archive, zip or tar.zst; not to {kind}.")
    damaged: list[SessionInfo] = []
    pieces = export_all(
        place.store,
        kind=cast("ArchiveFormat", kind),
        owners=None if place.owner is None else [place.owner],
        agents=None if place.agent is None else [place.agent],
        damaged=damaged.append,
    )
    if output == PIPE:
        if sys.stdout.isatty():
            raise InvalidInput("An archive is nothing for a terminal. Name a file with --output.")
        await _write_archive(pieces, sys.stdout.buffer, await _total(place))
        _tell_damaged(damaged)
        return
    path = _archive(output, f"{place.agent or 'mythline'}.{kind}")
    _check_free([path], yes=yes)
    with _written(path) as file:
        count = await _write_archive(pieces, file, await _total(place))
    if place.as_json:
        print_json({"file": str(path), "sessions": count})
    else:
        if not _passes_on(path):
            print_line(clean(str(path)))
        note(f"{number(count, 'session')} exported.")
    _tell_damaged(damaged)


def _tell_damaged(damaged: Sequence[SessionInfo]) -> None:
    """Tell which sessions aren't in an archive; it is no whole one then."""
    if damaged:
        ids = ", ".join(f"{info.agent_id}/{info.session_id}" for info in damaged)
        note(f"Damaged, and left out: {ids}. `mythline doctor` tells what is wrong.")
        raise typer.Exit(1)


def _archive(output: str, name: str) -> Path:
    """The file to write, which is called `name` in a directory."""
    path = Path(output)
    return path / name if path.is_dir() else path


async def _total(place: Place) -> int:
    """How many sessions there are to export."""
    owners = await place.store.owners() if place.owner is None else [place.owner]
    agents = [agent for owner in owners for agent in await place.store.agents(owner)]
    return sum(a.session_count for a in agents if place.agent in (None, a.agent_id))


async def _write_archive(
    pieces: AsyncIterator[tuple[SessionInfo | None, bytes]], file: IO[bytes], total: int
) -> int:
    """Write an archive; how many sessions it has."""
    count = 0
    with progress("Exporting", total) as advance:
        async for info, piece in pieces:
            file.write(piece)
            if info is not None:
                count += 1
                advance(1)
    return count
