"""`mythline import`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from ..errors import InvalidInput, MythlineError, SessionExists
from .asking import Advance, interruptible, progress
from .output import fields_of, note, number, print_json, print_line
from .place import Place
from .verbs import verb

if TYPE_CHECKING:
    from io import BufferedReader

    from ..models import Imported

PIPE = "-"
Conflict = Literal["skip", "error", "replace", "rename"]
DONE = ("agent_id", "session_id", "status", "message_count", "error")


@verb(makes=True)
async def import_(
    place: Place,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="Files, or - for stdin, as without."),
    ] = None,
    session_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="The session's id; without, what the file or its name tells."
        ),
    ] = None,
    on_conflict: Annotated[
        Conflict | None,
        typer.Option(
            help="If an id is taken: leave what is there, fail, replace it (it stays as a "
            "branch), or take another id.  [default: error for one session, skip for more]",
            show_default=False,
        ),
    ] = None,
    trusted: Annotated[
        bool, typer.Option("--trusted", help="Take messages as they are, without sanitizing them.")
    ] = False,
) -> None:
    """Make sessions of files, and print their ids.

    A file is an export of Mythline (json, jsonl, an archive), a list of OpenAI messages, what
    ChatGPT or Claude export (the zip, or conversations.json in it), or a session of Claude Code
    or Codex. The agent can be a new one; it has to be named unless there is exactly one, or an
    archive tells. What was interrupted goes on when it is begun again.

    Example: mythline import my-session.json --agent story_researcher
    """
    names = list(files or ())
    if not names:
        if sys.stdin.isatty():
            raise InvalidInput("Name the files to import, or send one to stdin.")
        names = [PIPE]
    if session_id is not None and len(names) > 1:
        raise InvalidInput("--session-id is for one file.")
    results: list[dict[str, Any]] = []
    with progress("Importing", None) as advance:
        for name in names:
            try:
                with _opened(name) as file:
                    found = _imported(place, file, name, session_id, on_conflict, trusted, advance)
                    await _tell(place, name, found, advance, results)
            except (MythlineError, OSError) as error:
                if len(names) == 1 and not results:
                    raise
                why = str(error) if isinstance(error, MythlineError) else error.strerror
                note(f"mythline: {name}: {why}")
                unknown = dict.fromkeys(DONE)
                results.append({"file": name, **unknown, "status": "failed", "error": why})
    if on_conflict is None and len(results) == 1 and results[0]["status"] == "skipped":
        raise SessionExists(results[0]["session_id"])
    _finish(place, results)


@contextlib.contextmanager
def _opened(name: str) -> Generator[IO[bytes]]:
    """A file that can seek, also of stdin."""
    if name != PIPE:
        with Path(name).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        with interruptible():
            stdin = cast("BufferedReader", sys.stdin.buffer)
            while piece := stdin.read1():  # a terminal tells its end just once
                file.write(piece)
        file.seek(0)
        yield file


async def _imported(
    place: Place,
    file: IO[bytes],
    name: str,
    session_id: str | None,
    on_conflict: Conflict | None,
    trusted: bool,
    advance: Advance,
) -> AsyncGenerator[Imported]:
    """What becomes of each session of a file."""
    from ..formats.unpacking import Archive, is_data_export, is_packed

    packed = is_packed(file.read(2))
    file.seek(0)
    if packed and not is_data_export(file):
        from ..archives import import_archive
        from ..operations import KEEP

        if session_id is not None or place.agent is not None:
            raise InvalidInput("An archive tells agents and ids: leave --agent and --session-id.")
        archive = await asyncio.to_thread(Archive, file)
        advance(0, len(archive.places))
        found = import_archive(
            place.store,
            archive,
            owner=KEEP if place.owner is None else place.owner,
            on_conflict=on_conflict or "skip",
            trusted=trusted,
        )
    elif packed:
        if session_id is not None:
            raise InvalidInput("A data export has many sessions: leave --session-id.")
        found = _from_data_export(place, file, on_conflict or "skip", trusted)
    else:
        sessions = place.sessions(await place.one_agent())
        if session_id is not None:
            from ..models import Imported

            try:
                made = await sessions.import_(
                    file.read(),
                    session_id=session_id,
                    on_conflict="error" if on_conflict in (None, "skip") else on_conflict,
                    trusted=trusted,
                )
            except SessionExists:
                if on_conflict != "skip":
                    raise
                there = await sessions.info(session_id)
                yield Imported(there.agent_id, session_id, "skipped", there.message_count)
                return
            yield Imported(made.agent_id, made.session_id, "imported", made.message_count)
            return
        found = sessions.import_all(
            file.read(),
            filename=None if name == PIPE else Path(name).name,
            on_conflict=on_conflict or "skip",
            trusted=trusted,
        )
    async with contextlib.aclosing(found):
        async for one in found:
            yield one


async def _from_data_export(
    place: Place, file: IO[bytes], on_conflict: Conflict, trusted: bool
) -> AsyncGenerator[Imported]:
    from ..formats import sanitized
    from ..formats.unpacking import conversations

    sessions = place.sessions(await place.one_agent())
    for session in conversations(file):
        yield await sessions.take(session if trusted else sanitized(session), on_conflict)


async def _tell(
    place: Place,
    name: str,
    found: AsyncGenerator[Imported],
    advance: Advance,
    results: list[dict[str, Any]],
) -> None:
    """Tell of each session of a file, and add it to the results: also if the next one fails."""
    async with contextlib.aclosing(found):
        async for one in found:
            advance(1)
            if one.status == "failed":
                note(f"mythline: {one.session_id}: {one.error}")
            elif one.status == "imported" and not place.as_json:
                print_line(one.session_id)
            results.append({"file": name, **fields_of(one, DONE)})


def _finish(place: Place, results: Sequence[dict[str, Any]]) -> None:
    """Print the results, or what there is to say of many; exit with 1 if one failed."""
    counts = {
        status: sum(one["status"] == status for one in results)
        for status in ("imported", "unchanged", "skipped", "failed")
    }
    if place.as_json:
        print_json(results)
    elif len(results) > 1 or counts["unchanged"]:
        told = ", ".join(f"{count:,} {status}" for status, count in counts.items() if count)
        note(f"{number(len(results), 'session')}: {told}.")
    if counts["failed"]:
        raise typer.Exit(1)
