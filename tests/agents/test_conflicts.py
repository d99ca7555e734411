"""Two runs at once in one session: nothing is lost, and the caller chooses what becomes of it."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.conversation_store import ConversationConflict

from mythline.agents import RunConflict, SessionMemory
from mythline.agents.locks import Locks
from mythline.errors import InvalidInput, RevisionConflict, SessionBusy
from mythline.store import SessionKey
from tests.agents.support import (
    AGENT,
    ENTRIES,
    SESSION,
    CountingStore,
    Echo,
    Room,
    brief,
    by_run,
    reached,
    until,
)

FIRST = ["user:first", "text:You said first"]
ASYNC = {name: way for name, way in ENTRIES.items() if name != "run_sync"}


async def two_at_once(room: Room, echo: Echo, way: Any = by_run, **options: Any) -> Any:
    """What `slow` came to, where `quick` ran to its end while `slow` waited for its model."""
    agent = room.agent(echo.model, memory=room.memory(**options))
    echo.reached.clear()
    hold = echo.hold = asyncio.Event()
    slow = asyncio.ensure_future(way(agent, "slow", conversation_id=SESSION))
    await reached(echo.reached, slow)
    echo.hold = None
    await by_run(agent, "quick", conversation_id=SESSION)
    hold.set()
    (outcome,) = await asyncio.gather(slow, return_exceptions=True)
    return outcome


@pytest.mark.parametrize("way", ASYNC.values(), ids=ASYNC)
@pytest.mark.parametrize("is_new", [False, True], ids=["", "new"])
async def test_the_later_one_is_kept_as_a_branch(room: Room, echo: Echo, way: Any, is_new: bool):
    if not is_new:
        await by_run(room.agent(echo.model), "first", conversation_id=SESSION)
    assert await two_at_once(room, echo, way) == "You said slow"
    first = [] if is_new else FIRST
    assert await room.brief() == [*first, "user:quick", "text:You said quick"]
    info = await room.sessions.info(SESSION)
    assert info.branches == (room.saved[-1].entry_ids[-1],)
    assert [turn.branched for turn in room.saved[-2:]] == [False, True]
    record = await room.sessions.read_record(SESSION)
    assert record is not None
    assert record.usage.requests == len(room.saved)
    branch = await room.sessions.branch(
        SESSION, from_entry=info.branches[0], expected_revision=info.revision
    )
    assert brief(branch.messages) == [*first, "user:slow", "text:You said slow"]
    await by_run(room.agent(echo.model), "on", conversation_id=SESSION)
    assert (await room.brief())[-2:] == ["user:on", "text:You said on"]
    assert brief(echo.seen[-1]) == [*first, "user:slow", "text:You said slow", "user:on"]


async def test_the_later_one_is_appended(room: Room, echo: Echo):
    await by_run(room.agent(echo.model), "first", conversation_id=SESSION)
    await two_at_once(room, echo, on_conflict="append")
    said = [w for p in ("first", "quick", "slow") for w in (f"user:{p}", f"text:You said {p}")]
    assert await room.brief() == said
    assert (await room.sessions.info(SESSION)).branches == ()
    record = await room.sessions.read_record(SESSION)
    assert record is not None
    assert record.usage.requests == 3


async def test_the_later_one_raises_and_has_its_messages(room: Room, echo: Echo):
    error = await two_at_once(room, echo, on_conflict="raise")
    assert isinstance(error, RunConflict)
    assert isinstance(error, ConversationConflict)
    assert isinstance(error, RevisionConflict)
    assert error.session_id == error.conversation_id == SESSION
    assert brief(error.messages) == ["user:slow", "text:You said slow"]
    assert await room.brief() == ["user:quick", "text:You said quick"]
    assert str(error) == (
        "The session 'tale' was saved or deleted during the run, and the run's turn was not "
        "stored. Load it again, then repeat the run."
    )


@pytest.mark.parametrize("on_conflict", ["branch", "append"])
async def test_many_at_once_lose_nothing(room: Room, echo: Echo, on_conflict: Any):
    agent = room.agent(echo.model, memory=room.memory(on_conflict=on_conflict))
    echo.hold = hold = asyncio.Event()
    runs = [asyncio.ensure_future(agent.run(f"{n}", conversation_id=SESSION)) for n in range(12)]
    while len(echo.seen) < 12:
        echo.reached.clear()
        await reached(echo.reached, *runs)
    hold.set()
    await asyncio.gather(*runs)
    info = await room.sessions.info(SESSION)
    lines = [await room.sessions.read_history(tip) for tip in (info.head_id, *info.branches)]
    said = [word for line in lines for word in brief([entry.message for entry in line])]
    assert sorted(said) == sorted(w for n in range(12) for w in (f"user:{n}", f"text:You said {n}"))
    assert len(info.branches) == (11 if on_conflict == "branch" else 0)
    record = await room.sessions.read_record(SESSION)
    assert record is not None
    assert record.usage.requests == 12


async def test_a_save_that_moves_nothing_is_no_conflict(room: Room, echo: Echo):
    """An empty session that is made meanwhile, and a branch beside the history, are no turn."""
    agent = room.agent(echo.model, memory=room.memory(on_conflict="raise"))
    hold = echo.hold = asyncio.Event()
    slow = asyncio.ensure_future(agent.run("slow", conversation_id=SESSION))
    await reached(echo.reached, slow)
    await room.sessions.create(SESSION, title="A title")
    hold.set()
    await slow
    assert await room.brief() == ["user:slow", "text:You said slow"]
    assert (await room.sessions.info(SESSION)).title == "A title"


@pytest.mark.parametrize("on_conflict", ["branch", "append", "raise"])
async def test_a_session_that_was_deleted_meanwhile_is_not_made_again(
    room: Room, echo: Echo, on_conflict: Any
):
    agent = room.agent(echo.model, memory=room.memory(on_conflict=on_conflict))
    await agent.run("first", conversation_id=SESSION)
    for again in (False, True):
        echo.reached.clear()
        hold = echo.hold = asyncio.Event()
        slow = asyncio.ensure_future(agent.run("slow", conversation_id=SESSION))
        await reached(echo.reached, slow)
        await room.sessions.purge(SESSION)
        if again:
            await room.sessions.create(SESSION)
        hold.set()
        if again and on_conflict == "append":
            await slow
            assert await room.brief() == ["user:slow", "text:You said slow"]
            continue
        with pytest.raises(RunConflict) as raised:
            await slow
        assert brief(raised.value.messages) == ["user:slow", "text:You said slow"]
        assert await room.sessions.exists(SESSION) is again
        if not again:
            echo.hold = None
            await agent.run("first", conversation_id=SESSION)


@pytest.mark.parametrize("on_conflict", ["branch", "append", "raise"])
async def test_a_session_that_cant_be_made_ends_the_run_with_its_messages(
    room: Room, echo: Echo, tmp_path: Path, on_conflict: Any
):
    folder = tmp_path / "store" / AGENT / "context_memory"
    folder.mkdir(parents=True)
    (folder / f"{SESSION}.json").write_bytes(b'[{"kind": "requ')
    attempts = iter(range(3))

    async def attempt() -> None:
        assert next(attempts, None) is not None, "it is tried for ever"

    room.store.before_save = attempt
    agent = room.agent(echo.model, memory=room.memory(on_conflict=on_conflict))
    with pytest.raises(RunConflict, match="can't be made") as raised:
        await agent.run("first", conversation_id=SESSION)
    assert brief(raised.value.messages) == FIRST
    assert not await room.sessions.exists(SESSION)
    assert (folder / f"{SESSION}.json").read_bytes() == b'[{"kind": "requ'


# exclusive=True


@pytest.mark.parametrize("way", ENTRIES.values(), ids=ENTRIES)
async def test_the_second_waits(room: Room, echo: Echo, way: Any):
    agent = room.agent(echo.model, memory=room.memory(exclusive=True))
    other = room.agent(echo.model, memory=room.memory(exclusive=True))
    hold = echo.hold = asyncio.Event()
    slow = asyncio.ensure_future(by_run(agent, "slow", conversation_id=SESSION))
    await reached(echo.reached, slow)
    echo.hold = None
    quick = asyncio.ensure_future(way(other, "quick", conversation_id=SESSION))
    await by_run(agent, "elsewhere", conversation_id="other")  # which is not held
    assert not quick.done()
    hold.set()
    await asyncio.gather(slow, quick)
    assert [w for w in await room.brief() if w.startswith("user")] == ["user:slow", "user:quick"]
    assert (await room.sessions.info(SESSION)).branches == ()
    assert brief(echo.seen[-1]) == ["user:slow", "text:You said slow", "user:quick"]


async def test_the_second_waits_no_longer_than_it_is_told(room: Room, echo: Echo):
    agent = room.agent(echo.model, memory=room.memory(exclusive=True, wait=0))
    hold = echo.hold = asyncio.Event()
    slow = asyncio.ensure_future(by_run(agent, "slow", conversation_id=SESSION))
    await reached(echo.reached, slow)
    with pytest.raises(SessionBusy) as raised:
        await agent.run("quick", conversation_id=SESSION)
    assert raised.value.retry_after > 0
    echo.hold = None
    hold.set()
    await slow
    await agent.run("later", conversation_id=SESSION)
    assert [w for w in await room.brief() if w.startswith("user")] == ["user:slow", "user:later"]


async def test_a_run_that_waits_can_be_cancelled(room: Room, echo: Echo):
    agent = room.agent(echo.model, memory=room.memory(exclusive=True))
    hold = echo.hold = asyncio.Event()
    slow = asyncio.ensure_future(by_run(agent, "slow", conversation_id=SESSION))
    await reached(echo.reached, slow)
    waiting = asyncio.ensure_future(by_run(agent, "never", conversation_id=SESSION))
    await until(lambda: _line(room))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hold.set()
    await slow
    echo.hold = None
    await by_run(agent, "next", conversation_id=SESSION)
    assert [w for w in await room.brief() if w.startswith("user")] == ["user:slow", "user:next"]


@pytest.mark.parametrize("way", ENTRIES.values(), ids=ENTRIES)
async def test_another_store_of_the_same_directory_waits_too(room: Room, echo: Echo, way: Any):
    async with CountingStore(room.store.path) as store:
        agent = room.agent(echo.model, memory=room.memory(exclusive=True))
        other = Agent(
            echo.model, capabilities=[SessionMemory(store, agent_id=AGENT, exclusive=True)]
        )
        hold = echo.hold = asyncio.Event()
        slow = asyncio.ensure_future(by_run(agent, "slow", conversation_id=SESSION))
        await reached(echo.reached, slow)
        echo.hold = None
        quick = asyncio.ensure_future(way(other, "quick", conversation_id=SESSION))
        await by_run(other, "elsewhere", conversation_id="other")  # which is not held
        hasty = SessionMemory(store, agent_id=AGENT, exclusive=True, wait=0)
        with pytest.raises(SessionBusy):
            await Agent(echo.model, capabilities=[hasty]).run("no", conversation_id=SESSION)
        assert not quick.done()
        hold.set()
        await asyncio.gather(slow, quick)
    said = [words for words in await room.brief() if words.startswith("user")]
    assert said == ["user:slow", "user:quick"]
    assert (await room.sessions.info(SESSION)).branches == ()
    assert not [*room.store.path.glob("*.lock")]


async def test_who_waits_for_another_store_can_be_cancelled(room: Room, echo: Echo):
    key = SessionKey(None, AGENT, SESSION)
    async with CountingStore(room.store.path) as store:
        let_go = await store.hold(key)
        agent = room.agent(echo.model, memory=room.memory(exclusive=True))
        waiting = asyncio.ensure_future(by_run(agent, "never", conversation_id=SESSION))
        await until(lambda: _is_first(room))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        let_go()
        await by_run(agent, "next", conversation_id=SESSION)
    assert await room.brief() == ["user:next", "text:You said next"]


def _is_first(room: Room) -> bool:
    from mythline.agents import locks

    return room.store in locks._LOCKS and bool(locks._LOCKS[room.store]._lines)


async def test_what_a_killed_process_held_is_free(room: Room, echo: Echo):
    program = (
        "import asyncio, sys\n"
        "from mythline.local import LocalStore\n"
        "from mythline.store import SessionKey\n"
        "async def main():\n"
        "    async with LocalStore(sys.argv[1]) as store:\n"
        "        await store.hold(SessionKey(None, *sys.argv[2:]))\n"
        "        print('held', flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(room.store.path), AGENT, SESSION),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"held\n"
        hasty = room.agent(echo.model, memory=room.memory(exclusive=True, wait=0))
        with pytest.raises(SessionBusy):
            await hasty.run("no", conversation_id=SESSION)
        patient = room.agent(echo.model, memory=room.memory(exclusive=True))
        waiting = asyncio.ensure_future(by_run(patient, "later", conversation_id=SESSION))
        await until(lambda: _is_first(room))
    finally:
        process.kill()
    await process.wait()
    async with asyncio.timeout(20):
        await waiting
    assert await room.brief() == ["user:later", "text:You said later"]
    assert not [*room.store.path.glob("*.lock")]


def _line(room: Room) -> int:
    from mythline.agents import locks

    return sum(len(line) for line in locks._LOCKS[room.store]._lines.values())


async def test_a_failed_run_lets_go(room: Room, echo: Echo):
    agent = room.agent(echo.model, memory=room.memory(exclusive=True))
    echo.fail = RuntimeError("down")
    with pytest.raises(RuntimeError):
        await agent.run("one", conversation_id=SESSION)
    echo.fail = None
    async with asyncio.timeout(20):
        await agent.run("two", conversation_id=SESSION)


async def test_a_run_that_is_cancelled_at_whatever_step_lets_go(room: Room, echo: Echo):
    agent = room.agent(echo.model, memory=room.memory(exclusive=True))
    for steps in range(40):
        going = asyncio.ensure_future(agent.run("one", conversation_id=SESSION))
        for _ in range(steps):
            await asyncio.sleep(0)
        going.cancel()
        await asyncio.wait({going})
        async with asyncio.timeout(20):
            await agent.run("two", conversation_id=SESSION)


async def test_a_run_inside_one_that_holds_its_session_is_refused(room: Room, echo: Echo):
    agent = room.agent(echo.model, memory=room.memory(exclusive=True))

    @agent.tool_plain
    async def again() -> str:
        return (await agent.run("inner", conversation_id=SESSION)).output

    with pytest.raises(InvalidInput, match="inside one that holds it"):
        await agent.run("use again", conversation_id=SESSION)


async def test_locks_serve_several_loops_in_turn_and_pass_over_closed_ones():
    locks = Locks()
    await locks.acquire("key", None)
    order: list[int] = []

    def wait_elsewhere(number: int) -> None:
        async def wait() -> None:
            await locks.acquire("key", None)
            order.append(number)
            locks.release("key")

        asyncio.run(wait())

    threads: list[threading.Thread] = []
    for number in range(3):
        threads.append(threading.Thread(target=wait_elsewhere, args=(number,)))
        threads[-1].start()
        await until(lambda: len(locks._lines["key"]) == len(threads))
    loop = asyncio.new_event_loop()
    locks._lines["key"].appendleft(loop.create_future())
    loop.close()
    locks.release("key")
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert order == [0, 1, 2]
    assert not locks._lines


async def test_a_lock_that_is_handed_over_just_as_its_waiter_leaves_goes_on():
    locks = Locks()
    await locks.acquire("key", None)
    leaves = asyncio.ensure_future(locks.acquire("key", None))
    stays = asyncio.ensure_future(locks.acquire("key", None))
    await asyncio.sleep(0)
    locks.release("key")
    leaves.cancel()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await leaves
        await stays
    locks.release("key")
    assert not locks._lines
