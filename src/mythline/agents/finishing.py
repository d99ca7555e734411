"""Work that is done to its end, though the task that began it is cancelled or thrown away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Generator, Iterable
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


def drivers() -> list[asyncio.Task[Any]]:
    """The tasks one of which drives the run that is prepared here: this one, or who began it.

    Where there are several capabilities, Pydantic AI asks them in a task group of anyio's.
    """
    here, parent = asyncio.current_task(), anyio.get_current_task().parent_id
    return [task for task in asyncio.all_tasks() if task is here or id(task) == parent]


@contextlib.contextmanager
def ending_with(tasks: Iterable[asyncio.Task[Any]], still: Callable[[], bool]) -> Generator[None]:
    """Cancel this task if one of `tasks` fails or is cancelled, as long as `still` is true.

    A run whose task is cancelled just before its first node is forgotten by Pydantic AI: nothing
    would ever end the wait for it, nor free the session that it holds.
    """
    waits = asyncio.current_task()

    def end(done: asyncio.Task[Any]) -> None:
        if waits is not None and still() and (done.cancelled() or done.exception() is not None):
            waits.cancel()

    watched = [task for task in tasks if task is not waits]
    for task in watched:
        task.add_done_callback(end)
    try:
        yield
    finally:
        for task in watched:
            task.remove_done_callback(end)


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
