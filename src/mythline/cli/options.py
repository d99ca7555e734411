"""Options and arguments that verbs share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .completing import complete_agent, complete_deleted, complete_session

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="MYTHLINE_STORE",
        metavar="PATH",
        help="The directory of the sessions, or postgresql://….  [default: .mythline]",
        show_default=False,
    ),
]
AgentOption = Annotated[
    str | None,
    typer.Option(
        "--agent",
        metavar="AGENT",
        help="Only this agent's sessions.",
        autocompletion=complete_agent,
    ),
]
OwnerOption = Annotated[
    str | None,
    typer.Option("--owner", metavar="OWNER", help="Whose sessions; without, those of no owner."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]

_ID: dict[str, Any] = {"metavar": "ID", "show_default": False}
_ABOUT = "The session: its id, the start of it, or `latest`."

SessionArgument = Annotated[
    str, typer.Argument(help=_ABOUT, autocompletion=complete_session, **_ID)
]
SessionsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID",
        show_default=False,
        help="Sessions: their ids, the start of each, or `latest`.",
        autocompletion=complete_session,
    ),
]
DeletedArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID",
        show_default=False,
        help="Deleted sessions: their ids, or the start of each.",
        autocompletion=complete_deleted,
    ),
]
