"""The command line: `mythline VERB`.

What a verb needs is imported when it runs, so that a list is there in a blink.
"""

from __future__ import annotations

import os
import sys
from io import RawIOBase, TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final, cast

import typer

from ..errors import MythlineError, exit_code
from . import (
    branching,
    describing,
    exporting,
    finding,
    importing,
    listing,
    reading,
    removing,
    serving,
    upkeep,
)
from .output import note
from .verbs import ReaderGone

app = typer.Typer(
    name="mythline",
    help="Sessions for Pydantic AI agents.",
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help is there twice as fast, and can be copied
)

VERBS: Final[dict[str, tuple[Any, str]]] = {
    "agents": (listing.agents, "List the agents that have sessions."),
    "list": (listing.list_sessions, "List sessions, the one saved last first."),
    "show": (reading.show, "Show a session as a person reads it."),
    "info": (reading.info, "Show what is known of a session."),
    "search": (finding.search, "Find messages."),
    "create": (describing.create, "Make an empty session."),
    "rename": (describing.rename, "Give a session a title."),
    "tag": (describing.tag, "Add tags to a session, or take some away."),
    "update": (describing.update, "Pin or archive a session, and the like."),
    "fork": (branching.fork, "Start a session from another's history."),
    "branches": (branching.branches, "List the branches that a session left."),
    "branch": (branching.branch, "Let a session go on after an entry."),
    "delete": (removing.delete, "Delete sessions: to the trash, or for good."),
    "restore": (removing.restore, "Take sessions out of the trash."),
    "purge": (removing.purge, "Remove sessions from the trash for good."),
    "prune": (removing.prune, "Move old sessions to the trash."),
    "export": (exporting.export, "Write sessions to files or a pipe."),
    "import": (importing.import_, "Make sessions of files or a pipe."),
    "doctor": (upkeep.doctor, "Look for what is wrong, and repair it."),
    "migrate": (upkeep.migrate, "Bring a store up to date."),
    "serve": (serving.serve, "Serve the HTTP API."),
}
"""Each verb, and what the list of all says of it."""

for _name, (_verb, _about) in VERBS.items():
    app.command(name=_name, short_help=_about)(_verb)

_UsageError: Final = cast("type[Exception]", typer.BadParameter.__mro__[1])
"""What Typer raises for all wrong usage; it has no public name."""

INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mythline {version('mythline')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Sessions for Pydantic AI agents."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main() -> None:
    """Run the command line.

    Exits with 0; 1 for what wasn't found or was refused; 2 for wrong usage; 130 when
    interrupted; 141 when who reads the output is gone. An error is one line on stderr.
    """
    _prepare_streams()
    code = _run()
    try:
        sys.stdout.flush()
    except OSError:  # as was told; what is left would be tried again, and end with 120
        _leave_stdout()
    sys.exit(code)


def _prepare_streams() -> None:
    """Make the standard streams such that verbs can count on them."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed when we were started
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - as long as we run
    out = sys.stdout
    if isinstance(getattr(out, "buffer", None), RawIOBase):
        # Unbuffered, half a write passes for a whole one, also if the reader is gone.
        sys.stdout = os.fdopen(out.fileno(), "w", 1, out.encoding, closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal of another encoding


def _run() -> int:
    try:
        code = app(prog_name="mythline", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except MythlineError as error:
        return _fail(str(error), exit_code(error))
    except _UsageError as error:
        return _fail(_usage(error), 2)
    except (ReaderGone, BrokenPipeError):
        _leave_stdout()
        return PIPE_CLOSED
    except OSError as error:
        name = "" if error.filename is None else f" ({error.filename})"
        return _fail(f"{error.strerror or error}{name}.", 1)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED


def _leave_stdout() -> None:
    """Have what is still to be written to stdout go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: Any) -> str:
    """What was wrong, and where help is."""
    path = "mythline" if error.ctx is None else error.ctx.command_path
    return f"{error.format_message().rstrip('.')}. Try `{path} --help`."


def _fail(message: str, code: int) -> int:
    note(f"mythline: {message}")
    return code
