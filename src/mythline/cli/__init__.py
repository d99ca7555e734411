"""The command line: `mythline serve`, `mythline list`, `mythline agents`.

What a command needs is imported when it runs, so that a list is there in a blink.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from .errors import InvalidInput, MythlineError, exit_code

if TYPE_CHECKING:
    from .models import AgentInfo, SessionInfo
    from .store import Store

T = TypeVar("T")

app = typer.Typer(
    name="mythline",
    help="Sessions for Pydantic AI agents.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="MYTHLINE_STORE",
        metavar="PATH",
        help="The directory of the sessions.  [default: .mythline]",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command()
def serve(
    store: StoreOption = None,
    host: Annotated[str, typer.Option(help="The address to bind.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to bind.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A host name to answer to, besides localhost. Repeatable."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option(help="Bind another address than loopback, open to all who reach it.")
    ] = False,
) -> None:
    """Serve the HTTP API over a directory of sessions.

    Example: mythline serve --store ./sessions --port 8080
    """
    if not _is_loopback(host) and not insecure:
        raise InvalidInput(
            f"There is no authentication yet, and {host} can be reached by others. "
            "Bind 127.0.0.1, or say --insecure if whoever reaches it may read and delete all."
        )
    from granian.constants import Interfaces
    from granian.server import Server

    from .opening import default_location

    os.environ["MYTHLINE_STORE"] = store or default_location()
    if allow_host:
        os.environ["MYTHLINE_ALLOWED_HOSTS"] = ",".join(allow_host)
    shown = f"[{host}]" if ":" in host else host
    typer.echo(f"Mythline serves {os.environ['MYTHLINE_STORE']} at http://{shown}:{port}/docs")
    Server(
        "mythline.http.app:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=host,
        port=port,
        log_dictconfig=LOGGING,
    ).serve()


def _is_loopback(host: str) -> bool:
    """Whether an address to bind is reached from this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


LOGGING: dict[str, Any] = {
    "loggers": {
        "_granian": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        "mythline": {"handlers": ["console"], "level": "INFO", "propagate": False},
    }
}


@app.command(name="list")
def list_sessions(
    store: StoreOption = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's sessions.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List sessions, the one saved last first.

    Example: mythline list --agent story_researcher --limit 10
    """
    found = _run(_newest(store, agent, limit))
    if as_json:
        _print_json([_as_json(info) for info in found])
        return
    if not found:
        typer.echo("No sessions yet.")
        return
    columns = ["session", "agent", "messages", "modified", "title"]
    _print_table(
        columns,
        [
            [
                info.session_id,
                info.agent_id,
                str(info.message_count),
                _local(info.last_modified),
                info.title or "",
            ]
            for info in found
        ],
    )


@app.command()
def agents(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the agents that have sessions.

    Example: mythline agents --json
    """
    found = _run(_agents(store))
    if as_json:
        _print_json(
            [
                {
                    "agent_id": info.agent_id,
                    "session_count": info.session_count,
                    "last_modified": _utc(info.last_modified),
                }
                for info in found
            ]
        )
        return
    if not found:
        typer.echo("No sessions yet.")
        return
    _print_table(
        ["agent", "sessions", "modified"],
        [[info.agent_id, str(info.session_count), _local(info.last_modified)] for info in found],
    )


async def _newest(location: str | None, agent: str | None, limit: int) -> list[SessionInfo]:
    from .ids import check_agent_id
    from .operations import Listing

    async with _existing(location) as store:
        if agent is not None:
            names = [check_agent_id(agent)]
        else:
            names = [info.agent_id for info in await store.agents(None)]
        pages = [await store.list(None, name, Listing(limit=limit)) for name in names]
        found = [info for page in pages for info in page]
        return sorted(found, key=lambda info: info.last_modified, reverse=True)[:limit]


async def _agents(location: str | None) -> list[AgentInfo]:
    async with _existing(location) as store:
        return list(await store.agents(None))


def _existing(location: str | None) -> Store:
    """The store, for commands that only read and don't make one where none is."""
    from .opening import default_location, open_store

    where = location or default_location()
    if not Path(where).is_dir():
        raise InvalidInput(f"There is no directory {where!r}. Name the sessions' with --store.")
    return open_store(where)


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _as_json(info: SessionInfo) -> dict[str, Any]:
    return {
        "session_id": info.session_id,
        "agent_id": info.agent_id,
        "last_modified": _utc(info.last_modified),
        "message_count": info.message_count,
        "title": info.title,
        "preview": info.preview,
        "tags": list(info.tags),
        "pinned": info.pinned,
        "archived": info.archived,
        "size": info.size,
    }


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _local(moment: datetime | None) -> str:
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _print_table(columns: list[str], lines: list[list[str]]) -> None:
    """A table for people; in a pipe, one line a row with tabs between."""
    if not sys.stdout.isatty():
        for line in lines:
            typer.echo("\t".join(_plain(cell) for cell in line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(
            column,
            overflow="ellipsis" if column == "title" else "fold",
            no_wrap=column != "session",
        )
    for line in lines:
        table.add_row(*(Text(_plain(cell)) for cell in line))
    Console().print(table)


def _plain(text: str) -> str:
    """Text without what would steer a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def main() -> None:
    """Run the command line; exits 0, 1 (not found, refused) or 2 (usage)."""
    try:
        app()
    except MythlineError as error:
        _fail(str(error), exit_code(error))


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"mythline: {message}", err=True)
    sys.exit(code)
