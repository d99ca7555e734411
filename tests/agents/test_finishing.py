"""Work that is begun is done, whatever becomes of the task that waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from mythline.agents import finishing
from tests.agents.support import reached, until


class Work:
    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.done = False

    async def do(self) -> str:
        self.begun.set()
        await self.may_end.wait()
        self.done = True
        return "done"


async def test_it_gives_what_the_work_gives_or_raises():
    work = Work()
    work.may_end.set()
    assert await finishing.settled(work.do()) == "done"

    async def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        await finishing.settled(fail())


async def test_a_cancellation_goes_on_after_the_work():
    work = Work()
    task = asyncio.ensure_future(finishing.settled(work.do()))
    await reached(work.begun, task)
    for _ in range(3):
        task.cancel("enough")
        await asyncio.sleep(0)
        assert not task.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert work.done


async def test_a_cancelled_scope_is_held_back_not_fought(monkeypatch: pytest.MonkeyPatch):
    waits = 0

    async def wait(tasks: Any) -> Any:
        nonlocal waits
        waits += 1
        return await original(tasks)

    original = asyncio.wait
    monkeypatch.setattr(finishing.asyncio, "wait", wait)
    work = Work()

    async def cancel(scope: anyio.CancelScope) -> None:
        await work.begun.wait()
        scope.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        work.may_end.set()

    scope = anyio.CancelScope()
    helper = asyncio.ensure_future(cancel(scope))
    with scope:
        await finishing.settled(work.do())
        await anyio.lowlevel.checkpoint()  # where the cancellation goes on
    assert scope.cancelled_caught
    await helper
    assert work.done
    assert waits <= 2


async def test_later_says_what_went_wrong(caplog: pytest.LogCaptureFixture):
    failed = asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise ValueError("no room")

    finishing.later(asyncio.get_running_loop(), fail())
    await reached(failed)
    await until(lambda: not finishing._background)
    assert "could not be kept" in caplog.text
    assert "no room" in caplog.text
    loop = asyncio.new_event_loop()
    loop.close()
    finishing.later(loop, Work().do())  # type: ignore[arg-type]
    assert "after its event loop" in caplog.text
