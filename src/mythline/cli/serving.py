"""`mythline serve`."""

from __future__ import annotations

import os
import signal
import sys
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from ..errors import InvalidInput
from .options import JsonOption, StoreOption
from .output import plain, print_json, print_line


def serve(
    store: StoreOption = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to bind.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="N", help="The port to bind.")
    ] = 8000,
    agent: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=]MODULE:AGENT",
            help="An agent that can be run, by its name or the id. Repeatable.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A host name to answer to, besides localhost. Repeatable."
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option(help="Bind another address than loopback, open to all who reach it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Serve the page and the HTTP API over a directory of sessions.

    Example: mythline serve --store ./sessions --agent my_agents:researcher
    """
    if not _is_loopback(host) and not insecure:
        raise InvalidInput(
            f"There is no authentication yet, and {host} can be reached by others. "
            "Bind 127.0.0.1, or say --insecure if whoever reaches it may read and delete all."
        )
    from granian.constants import Interfaces
    from granian.server import Server

    from ..opening import default_location
    from ..settings import read_settings

    if agent:
        os.environ["MYTHLINE_AGENTS"] = ",".join(agent)
    settings = read_settings()  # what can't be is told here, not by a process that ends
    if settings.agents:
        from ..agents.named import import_agents

        import_agents(settings.agents)
    os.environ["MYTHLINE_STORE"] = store or default_location()
    if allow_host:
        os.environ["MYTHLINE_ALLOWED_HOSTS"] = ",".join(allow_host)
    shown = f"[{host}]" if ":" in host else host
    where, url = os.environ["MYTHLINE_STORE"], f"http://{shown}:{port}/"
    if as_json:
        print_json({"store": where, "url": url})
    else:
        print_line(f"Mythline serves {plain(where)} at {url}")
    sys.stdout.flush()  # who started it may wait for it, in a pipe
    # The process that serves is a fork of this one, and would be deaf to a signal to stop until it
    # has handlers of its own: both would then run for ever.
    os.register_at_fork(after_in_child=_stop_when_told)
    Server(
        "mythline.http.app:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=host,
        port=port,
        log_dictconfig=LOGGING,
    ).serve()


def _stop_when_told() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


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
