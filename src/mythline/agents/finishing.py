"""Work that is done to its end, though the task that began it is cancelled or thrown away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import anyio

T = TypeVar("T")

LOG: Final = logging.getLogger("mythline.agents")
_background: Final[set[asyncio.Task[None]]] = set()


async def settled(work: Coroutine[Any, Any, T]) -> T:
    """Do `work` to its end, then let a cancellation that came meanwhile go on.

    A cancel scope's is held back by a shield. `Task.cancel` goes through shields, so the work is
    a task of its own.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # it was seen
        try:
            raise cancelled
        finally:
            del cancelled
    return task.result()


def later(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> None:
    """Do `work` on `loop` soon, from whatever thread this is."""

    def begin() -> None:
        task = loop.create_task(work)
        _background.add(task)
        task.add_done_callback(_done)

    try:
        loop.call_soon_threadsafe(begin)
    except RuntimeError:  # the loop is closed
        work.close()
        LOG.error("A run was thrown away after its event loop, and could not be kept.")


def _done(task: asyncio.Task[None]) -> None:
    _background.discard(task)
    if not task.cancelled() and task.exception() is not None:
        LOG.error("A run that was thrown away could not be kept.", exc_info=task.exception())
