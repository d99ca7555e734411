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

_open: set[tuple[asyncio.AbstractEventLoop, Callable[[], object]]] = set()
"""What is to be called, and where."""
_handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
"""Those of the server, which are called after ours."""
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
    _open.add(one)
    _hear()
    if time.monotonic() - _asked < LATE:
        one[0].call_soon(call)

    def forget() -> None:
        _open.discard(one)
        if not _open:
            _leave()

    return forget


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
            _handlers[number] = handler
            signal.signal(number, _tell)


def _leave() -> None:
    global _asked
    _asked = -math.inf
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        if number in _handlers and signal.getsignal(number) is _tell:
            signal.signal(number, _handlers.pop(number))


def _tell(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = time.monotonic()
    for loop, call in tuple(_open):
        with suppress(RuntimeError):  # the loop was closed before its answer was
            loop.call_soon_threadsafe(call)
    _handlers[number](number, frame)
