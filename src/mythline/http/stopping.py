"""Answers that may never end by themselves, and end when the server is asked to stop.

Servers wait for open answers first and tell the application that it stops afterwards: nothing in
the protocol between the two ends a stream or a run. So the signals that stop a process are heard
here as well while the application runs, and handed on to the server's own handler. Servers also
answer requests that came just before: what begins then ends at once.
"""

from __future__ import annotations

import asyncio
import math
import signal
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_Handler = Callable[[int, FrameType | None], Any]

_open: set[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = set()
"""What is to be called, and where."""
_handlers: dict[int, tuple[_Handler, _Handler]] = {}
"""Ours, and the one of the server, which it calls."""
LATE: Final = 30.0
"""Seconds after a signal in which something that begins is taken to be too late. One that has not
stopped the process by then (a notebook's interrupt) did not mean the server."""
_asked = -math.inf
"""When the process was last asked to stop."""


def when_stopped(call: Callable[[], object]) -> Callable[[], None]:
    """Have `call` called in this event loop when the process is asked to stop, or just was.

    Only noticed by a server that runs in the main thread, as all do that take signals.

    Returns:
        What takes that back.
    """
    one = (asyncio.get_running_loop(), call)
    _forget_closed()
    _open.add(one)
    _hear()
    if time.monotonic() - _asked < LATE:
        one[0].call_soon(call)

    def forget() -> None:
        _open.discard(one)
        if not _open:
            _leave()

    return forget


def keep_hearing() -> None:
    """Hear signals as long as this event loop is there. Repeating it does nothing.

    For an application that nobody tells when it starts and stops, as one that is mounted in
    another: what begins just after a signal would not know of it.
    """
    if (asyncio.get_running_loop(), _nothing) not in _open:
        when_stopped(_nothing)


def _nothing() -> None:
    pass


@contextmanager
def until_stopped() -> Generator[asyncio.Event]:
    """An event that is set when the process is asked to stop, as `when_stopped` notices it.

    A block for as long as the application runs has what begins after a signal know of it.
    """
    stopped = asyncio.Event()
    forget = when_stopped(stopped.set)
    try:
        yield stopped
    finally:
        forget()


def _hear() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        handler = signal.getsignal(number)
        # Without a handler the process just ends; and one that came after ours calls ours.
        if callable(handler) and number not in _handlers:
            ours = _before(handler)
            _handlers[number] = ours, handler
            signal.signal(number, ours)


def _forget_closed() -> None:
    """Let go of what event loops left behind; a server that comes next is heard anew."""
    closed = [one for one in tuple(_open) if one[0].is_closed()]
    _open.difference_update(closed)
    if closed and not _open:
        _leave()


def _leave() -> None:
    global _asked
    _asked = -math.inf
    if threading.current_thread() is not threading.main_thread():
        return
    for number, (ours, handler) in tuple(_handlers.items()):
        if signal.getsignal(number) is ours:  # or the server has put back what was there before
            signal.signal(number, handler)
        del _handlers[number]


def _before(handler: _Handler) -> _Handler:
    """A handler that tells all that is open, and then calls the server's."""

    def tell(number: int, frame: FrameType | None) -> None:
        global _asked
        _asked = time.monotonic()
        for loop, call in tuple(_open):
            with suppress(RuntimeError):  # the loop was closed before its answer was
                loop.call_soon_threadsafe(call)
        handler(number, frame)

    return tell
