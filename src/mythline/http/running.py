"""Runs of agents behind requests: each in a task of its own, so that a client may leave.

What a run gives is sent as it comes. A request doesn't end before its run has: what it depends on
(a database session of the application's, say) is there as long as the run needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, TypeVar

import anyio
from pydantic_ai.exceptions import ModelAPIError
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ..errors import MythlineError
from ..store import SessionKey
from .problems import LOG, AgentFailed
from .stopping import when_stopped

T = TypeVar("T")

PATIENCE: Final = 10.0
"""Seconds of silence after which a stream begins, or sends a comment that keeps it open."""
COMMENT: Final = ": still running\n\n"


class Stopped(HTTPException):
    """The server stops, and has ended a run."""

    def __init__(self) -> None:
        super().__init__(503, "The server stops. What the agent did is in the session; try again.")

    def __str__(self) -> str:
        return self.detail


def shown(error: Exception | asyncio.CancelledError, session_id: str) -> Exception:
    """What a client is told of an error of a run; the rest is logged."""
    if isinstance(error, asyncio.CancelledError):  # or the client left, and hears nothing
        return Stopped()
    if isinstance(error, MythlineError):
        return error
    LOG.error("A run in session %s failed.", session_id, exc_info=error)
    return AgentFailed(session_id, is_model=isinstance(error, ModelAPIError))


class Runs:
    """The runs that are going on. They are ended when the server stops, and stored then."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], SessionKey | None] = {}
        self._cancelled: set[asyncio.Task[Any]] = set()

    def start(
        self, work: Coroutine[Any, Any, T], session: SessionKey | None = None
    ) -> asyncio.Task[T]:
        """Do `work`, in a session, in a task that goes on when its request is cancelled."""
        task = asyncio.create_task(work)
        self._tasks[task] = session
        task.add_done_callback(lambda _: self._tasks.pop(task))
        task.add_done_callback(self._cancelled.discard)
        forget = when_stopped(lambda: self.cancel(task))
        task.add_done_callback(lambda _: forget())
        return task

    def cancel(self, task: asyncio.Task[Any]) -> None:
        """End a run: by one cancellation, whoever asks for it again.

        Another would cut off what the first has Pydantic AI do, which is to add what the model
        has said so far to the history.
        """
        if task in self._tasks and task not in self._cancelled:
            self._cancelled.add(task)
            task.cancel()

    async def settled(self, session: SessionKey) -> None:
        """Wait until runs in a session that were ended are stored, for `PATIENCE` at most.

        Who stops an answer and goes on at once goes on from what it had come to.
        """
        here = asyncio.get_running_loop()
        ending = [
            task
            for task in tuple(self._cancelled)
            if self._tasks.get(task) == session and task.get_loop() is here
        ]
        if ending:
            await asyncio.wait(ending, timeout=PATIENCE)

    async def whole(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` to its end, whether or not the client waits.

        Raises:
            Stopped: If the server stops before.
        """
        task = self.start(work)
        await finished(task)
        if task.cancelled():
            raise Stopped
        return task.result()

    async def stop(self) -> None:
        """Cancel what still runs, and wait until it is stored."""
        going_on = [*self._tasks]
        for task in going_on:
            self.cancel(task)
        await asyncio.gather(*going_on, return_exceptions=True)


async def finished(task: asyncio.Task[Any]) -> None:
    """Wait until a run has ended, however it ends, also in a request that was cancelled."""
    with anyio.CancelScope(shield=True):
        await asyncio.wait({task})


class Stream:
    """What a run gives, piece by piece, whether or not someone takes it.

    Args:
        runs: Where the run is to be known.
        pieces: Makes the generator of the pieces, which the run is in. It is given a function
            that tells whether the answer has begun: until then an error is to be raised, and
            becomes the answer; from then on it must be a piece.
        session: Where the run is.
    """

    def __init__(
        self,
        runs: Runs,
        pieces: Callable[[Callable[[], bool]], AsyncGenerator[str]],
        session: SessionKey | None = None,
    ) -> None:
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._has_begun = False
        self._runs = runs
        self.task = runs.start(self._take(pieces(lambda: self._has_begun)), session)

    def cancel(self) -> None:
        """End the run."""
        self._runs.cancel(self.task)

    @asynccontextmanager
    async def ended_by_leaving(self, receive: Receive) -> AsyncGenerator[None]:
        """End the run if the client leaves within the block: nobody else listens yet."""

        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.cancel()

        listening = asyncio.create_task(listen())
        try:
            yield
        finally:
            listening.cancel()
            await finished(listening)

    async def _take(self, pieces: AsyncGenerator[str]) -> None:
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    self._queue.put_nowait(piece)
        finally:
            self._queue.put_nowait(None)

    async def begin(self) -> AsyncIterator[str]:
        """The pieces, once there is a first. Where there is none for long, `COMMENT`s.

        Raises:
            Exception: What the run ended with, if there was nothing before.
        """
        first = await self._next()
        self._has_begun = True
        if first is None:
            await finished(self.task)
            if self.task.cancelled():
                raise Stopped
            self.task.result()
        return self._from(first)

    async def _from(self, piece: str | None) -> AsyncIterator[str]:
        while piece is not None:
            yield piece
            piece = await self._next()

    async def _next(self) -> str | None:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._queue.get()
        except TimeoutError:
            return COMMENT


class RunResponse(StreamingResponse):
    """Sends a stream. When the client leaves, the run is finished, or cancelled if it `stops`."""

    def __init__(
        self,
        stream: Stream,
        pieces: AsyncIterator[str],
        *,
        stops: bool = False,
        headers: Mapping[str, str] | None = None,
        media_type: str = "text/event-stream",
    ) -> None:
        sent = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **(headers or {})}
        super().__init__(pieces, headers=sent, media_type=media_type)
        self._stream = stream
        self._stops = stops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and see the run to its end."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._stops:
                self._stream.cancel()
            await finished(self._stream.task)
