"""`mythline serve`."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from ..errors import InvalidInput, MythlineError, StoreNotSetUp, StoreUnavailable
from .options import JsonOption, StoreOption
from .output import note, plain, print_json, print_line

if TYPE_CHECKING:
    import threading

_PATIENCE: Final = 3.0
"""Seconds that a server which is just ending gets to give its port back."""
_STOPPING: Final = 20
"""Seconds that open requests get to end by themselves when the server stops. Runs and streams are
ended at once; what is left then is a client that neither sends nor takes anything."""
_STOPS: Final = (signal.SIGINT, signal.SIGTERM)
_SET_PARENT_DEATH_SIGNAL: Final = 1  # `PR_SET_PDEATHSIG` of Linux's prctl


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
    """Serve the page and the HTTP API over a directory or a database of sessions.

    Example: mythline serve --store ./sessions --agent my_agents:researcher
    """
    if not _is_loopback(host) and not insecure:
        raise InvalidInput(
            f"There is no authentication yet, and {host} can be reached by others. "
            "Bind 127.0.0.1, or say --insecure if whoever reaches it may read and delete all."
        )
    from granian.constants import Interfaces
    from granian.server import Server

    from ..opening import default_location, is_database
    from ..settings import read_settings

    if agent:
        os.environ["MYTHLINE_AGENTS"] = ",".join(agent)
    settings = read_settings()  # what can't be is told here, not by a process that ends
    if settings.agents:
        from ..agents.named import import_agents

        import_agents(settings.agents)
    where = store or default_location()
    if is_database(where):
        _hide(where)
        asyncio.run(_try(where))
    _check_port(host, port)
    os.environ["MYTHLINE_STORE"] = where
    if allow_host:
        os.environ["MYTHLINE_ALLOWED_HOSTS"] = ",".join(allow_host)
    shown = f"[{host}]" if ":" in host else host
    told = "a PostgreSQL database" if is_database(where) else where  # no password
    url = f"http://{shown}:{port}/"
    if as_json:
        print_json({"store": told, "url": url})
    else:
        print_line(f"Mythline serves {plain(told)} at {url}")
    sys.stdout.flush()  # who started it may wait for it, in a pipe
    # The process that serves is a fork of this one, and would be deaf to a signal to stop until it
    # has handlers of its own: both would then run for ever. One that comes meanwhile has to wait.
    # It would also outlive this one where that is killed, and keep the port.
    process, libc = os.getpid(), ctypes.CDLL(None)

    def begin() -> None:
        for number in _STOPS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
        if os.getppid() == process and hasattr(libc, "prctl"):
            libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)

    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS),
        after_in_child=begin,
    )
    server = Server(
        "mythline.http.app:create_app",
        factory=True,
        interface=Interfaces.ASGI,
        address=host,
        port=port,
        workers_kill_timeout=_STOPPING,
        log_dictconfig=LOGGING,
    )
    server.main_loop_interrupt = cast("threading.Event", Wakeup())
    server.serve()


class Wakeup:
    """What the first process waits on until it is to stop, in place of a `threading.Event`.

    A signal's handler sets it, in the very thread that waits. An event has a lock, and that thread
    may hold it right then: where the process that serves has just ended, of a signal to both. It
    would wait for itself for ever. `SimpleQueue.put` may be called at any moment, as Python says.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Have `wait` return, now or when it is called."""
        self._calls.put(None)

    def wait(self) -> None:
        """Return when `set` was called since the last time."""
        self._calls.get()

    def clear(self) -> None:
        """Forget calls of `set`."""
        with suppress(Empty):
            while True:
                self._calls.get_nowait()


def _check_port(host: str, port: int) -> None:
    """See that an address can be bound, alone: servers of one user would share it unnoticed.

    Raises:
        MythlineError: If it can't.
    """
    patience = time.monotonic() + _PATIENCE
    while True:
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise MythlineError(f"Can't bind {host}, port {port}: {error.strerror}.") from error
            if time.monotonic() > patience:
                raise MythlineError(
                    f"Port {port} of {host} is in use by another program. Choose one with --port."
                ) from error
        time.sleep(0.1)


def _hide(where: str) -> None:
    """Begin anew without an address among the words of the command, if its password is there.

    They are to be read by everyone on the machine as long as the process lives.
    """
    words = sys.orig_argv[1:]
    if "@" not in where or not any(where in word for word in words):
        return
    left = [word for word in words if where not in word and word != "--store"]
    os.environ["MYTHLINE_STORE"] = where
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *left])  # noqa: S606


async def _try(where: str) -> None:
    """Open a database once, which makes the schema of an empty one.

    One that can't be reached now may be in a moment: servers wait for that.

    Raises:
        MythlineError: If waiting won't help.
    """
    from ..opening import open_store

    try:
        async with open_store(where):
            pass
    except StoreNotSetUp:
        raise
    except StoreUnavailable as error:
        note(f"mythline: {error}")


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
