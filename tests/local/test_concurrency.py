"""Threads, tasks and processes at once: each acknowledged turn once, whole and in order."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.conversation_store import ConversationConflict

from mythline import open_store
from mythline.errors import RevisionConflict, SessionExists, StoreClosed, StoreError
from mythline.sessions import AgentSessions
from mythline.store import SessionKey

from . import programs
from .support import (
    LONG,
    ask,
    context,
    eventually,
    file_said,
    glob,
    in_time,
    leftovers,
    listed,
    output,
    process,
    program,
    read,
    said,
    said_in,
    shown_in,
    turn,
    view,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def results(target: Any, calls: Sequence[Sequence[Any]]) -> list[Any]:
    """What processes that run at the same time send back."""
    with ExitStack() as stack:
        pipes: list[Any] = []
        for arguments in calls:
            ours, theirs = context().Pipe(duplex=False)
            started = process(target, theirs, *arguments)
            started.start()
            theirs.close()
            pipes.append(ours)
            stack.callback(ours.close)
            stack.callback(started.join, LONG)
            stack.callback(started.kill)
        found: list[Any] = []
        for pipe in pipes:
            assert pipe.poll(LONG * 2), "a process hangs"
            found.append(pipe.recv())
        return found


def check_turns(history: list[str], acked: list[str]) -> None:
    """Each turn that was acknowledged is there once, whole, and each writer's in order."""
    prompts, answers = history[::2], history[1::2]
    assert [prompt + "!" for prompt in prompts] == answers, "a turn is torn apart"
    assert sorted(prompts) == sorted(acked)
    writers: dict[str, list[int]] = {}
    for prompt in prompts:
        writer, number = prompt.rsplit(" ", 1)
        writers.setdefault(writer, []).append(int(number))
    for numbers in writers.values():
        assert numbers == sorted(numbers)


async def check_all(root: Path, sessions: AgentSessions, acked: dict[str, list[str]]) -> None:
    assert await listed(sessions) == sorted(acked)
    for name, turns in acked.items():
        history = await said_in(sessions, name)
        check_turns(history, turns)

        async def shown(name: str = name) -> list[str]:
            return shown_in(view(root, "agent", name))

        assert await eventually(shown, history) == history


async def _mixed(root: Path, processes: int, rounds: int, views: bool = True) -> None:
    async with open_store(root) as store:
        for name in ("shared0", "shared1"):
            await store.sessions("agent").create(name)
    calls = [(str(root), f"p{number}", rounds, number, views) for number in range(processes)]
    acked: dict[str, list[str]] = {"shared0": [], "shared1": []}
    acked |= {f"own-p{number}": [] for number in range(processes)}
    for found, problems in results(programs.mixed_work, calls):
        assert problems == []
        for session, turns in found.items():
            acked[session] += turns
    assert sum(map(len, acked.values())) == processes * 3 * rounds
    async with open_store(root) as store:
        await check_all(root, store.sessions("agent"), acked)
    assert leftovers(root) == []


async def test_processes_on_the_same_sessions(root: Path) -> None:
    await _mixed(root, 5, 12)


async def test_processes_on_the_same_sessions_without_views(root: Path) -> None:
    await _mixed(root, 4, 12, views=False)


@pytest.mark.slow
async def test_many_processes_on_the_same_sessions(root: Path) -> None:
    await _mixed(root, 8, 40)


async def test_threads_with_loops_of_their_own_share_a_store(root: Path) -> None:
    acked: dict[str, list[str]] = {"one": [], "two": []}
    problems: list[str] = []

    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for name in acked:
            await sessions.create(name)

        async def writer(name: str, who: str) -> None:
            for number in range(9):
                text = f"{who} {number}"
                while True:
                    conversation = await sessions.load(name)
                    assert conversation is not None
                    conversation.messages += turn(text)
                    try:
                        if number % 3:
                            await sessions.append(name, turn(text))
                        else:
                            await sessions.save(conversation)
                    except ConversationConflict:
                        continue
                    break
                acked[name].append(text)
                assert {"one", "two"} <= set(await listed(sessions))

        async def in_thread(thread: int) -> None:
            await asyncio.gather(
                *(writer("one" if task % 2 else "two", f"{thread}.{task}") for task in range(4))
            )

        def run(thread: int) -> None:
            try:
                asyncio.run(in_thread(thread))
            except BaseException as error:
                problems.append(f"{type(error).__name__}: {error}")

        threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join, LONG)
            assert not thread.is_alive()
        assert problems == []
        assert sum(map(len, acked.values())) == 4 * 4 * 9
        await check_all(root, sessions, acked)


async def test_two_who_save_the_same_revision(root: Path) -> None:
    async with open_store(root) as store, open_store(root) as other:
        a, b = store.sessions("agent"), other.sessions("agent")
        await a.create("one")
        for number in range(20):
            first, second = await a.load("one"), await b.load("one")
            assert first is not None
            assert second is not None
            first.messages += turn(f"first {number}")
            second.messages += turn(f"second {number}")
            outcome = await asyncio.gather(a.save(first), b.save(second), return_exceptions=True)
            assert sum(isinstance(found, ConversationConflict) for found in outcome) == 1
            assert len(await said_in(a, "one")) == 2 * (number + 1)
        revision = (await a.info("one")).revision
        outcome = await asyncio.gather(
            *(s.append("one", turn("x"), expected_revision=revision) for s in (a, b) * 5),
            return_exceptions=True,
        )
        assert sum(isinstance(found, RevisionConflict) for found in outcome) == 9


async def test_many_create_the_same_session(root: Path) -> None:
    async with open_store(root) as store, open_store(root) as other:
        for number in range(10):
            outcome = await asyncio.gather(
                *(
                    each.sessions("agent").create(f"s{number}")
                    for each in (store, other)
                    for _ in range(10)
                ),
                return_exceptions=True,
            )
            assert sum(isinstance(found, SessionExists) for found in outcome) == 19
            assert sum(not isinstance(found, Exception) for found in outcome) == 1


async def test_what_one_process_saves_the_other_sees_at_once(root: Path) -> None:
    async with open_store(root) as store, open_store(root) as other:
        a, b = store.sessions("agent"), other.sessions("agent")
        for number in range(30):
            await a.create(f"s{number}")
            assert await b.exists(f"s{number}")
            assert len(await b.list()) == number + 1
            await a.append(f"s{number}", turn("hello"))
            assert await said_in(b, f"s{number}") == ["hello", "hello!"]
            await b.append(f"s{number}", turn("back"))
            found = await a.latest()
            assert found is not None
            assert (found.session_id, found.message_count) == (f"s{number}", 4)
            assert (await b.info(f"s{number}")).branches == ()
        await b.delete("s0")
        assert not await a.exists("s0")


def test_processes_open_a_fresh_folder_at_once(tmp_path: Path) -> None:
    barrier = context().Barrier(3)
    rounds = 20
    calls = [(barrier, str(tmp_path), rounds, f"p{number}") for number in range(3)]
    for problems in results(programs.open_together, calls):
        assert problems == []

    async def check() -> None:
        for number in range(rounds):
            async with open_store(tmp_path / str(number)) as store:
                assert await listed(store.sessions("agent")) == ["p0", "p1", "p2"]

    asyncio.run(check())


async def test_tasks_open_a_store_once(root: Path) -> None:
    store = open_store(root)
    before = set(threading.enumerate())
    await asyncio.gather(*(store.open() for _ in range(5)))
    await in_time(store.sessions("agent").create("one"))
    await asyncio.gather(*(store.close() for _ in range(5)))
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if thread.name.startswith("mythline")] == []


# Forks of the process


def test_a_store_that_was_opened_before_a_fork(root: Path) -> None:
    found = json.loads(output("fork_with_open_store", str(root)))
    child = found["child"]
    assert child.pop("close") == "nothing"
    assert set(child.values()) == {"StoreClosed"}, child
    assert found["status"] == 0
    assert found["count"] == 12


def test_a_child_that_closes_the_store_leaves_its_parent_the_turn(root: Path) -> None:
    assert json.loads(output("fork_while_writing", str(root))) == [False]


async def test_a_child_of_a_killed_process_keeps_no_lock_of_it(root: Path) -> None:
    with program("killed_beside_a_child", str(root)) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == "forked\n"
        killed.kill()
        killed.wait()
        store = open_store(root)
        await in_time(store.open())
        try:
            sessions = store.sessions("agent")
            release = await store.hold(SessionKey(None, "agent", "one"), wait=0)
            await in_time(sessions.append("one", turn("after")))
            release()
        finally:
            await store.close()
        assert glob(root, "*.lock") == []


# Cancelled, and closed


async def test_a_save_that_is_cancelled_is_whole_or_nothing(root: Path) -> None:
    stored = cancelled = 0
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        expected: list[str] = []
        for number in range(60):
            text = f"t{number}"
            messages = [*turn(text), *turn(text + "b")]
            if number % 2:
                conversation = await sessions.load("one")
                assert conversation is not None
                conversation.messages += messages
                task = asyncio.ensure_future(sessions.save(conversation))
            else:
                task = asyncio.ensure_future(sessions.append("one", messages))
            for _ in range(number // 4):
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
                is_acked = True
            except asyncio.CancelledError:
                is_acked = False
                cancelled += 1
            await sessions.append("one", turn(f"after {number}"))  # behind it in the queue
            history = await said_in(sessions, "one")
            added = history[len(expected) :]
            whole = [*said(messages), *said(turn(f"after {number}"))]
            assert added == whole or (not is_acked and added == said(turn(f"after {number}")))
            stored += added == whole
            expected = history
        assert cancelled
        assert stored
        await store.settle(sessions._key("one"))
        assert file_said(view(root, "agent", "one")) == expected


async def test_a_creation_that_is_cancelled_is_whole_or_nothing(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for number in range(30):
            task = asyncio.ensure_future(sessions.create(f"s{number}"))
            for _ in range(number // 3):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await sessions.create(f"behind{number}")
            if await sessions.exists(f"s{number}"):
                await sessions.append(f"s{number}", turn("on"))
            else:
                await sessions.create(f"s{number}")
        assert len(await sessions.list()) == 60
    assert all(isinstance(read(file), list) for file in glob(root, "agent/context_memory/*.json"))


async def test_a_close_lets_running_saves_finish_and_refuses_later_ones(root: Path) -> None:
    for attempt in range(15):
        acked: list[str] = []
        other: list[BaseException] = []
        store = open_store(root)
        await store.open()
        sessions = store.sessions(f"agent{attempt}")
        await sessions.create("one")
        started = asyncio.Event()

        async def writer(
            who: int,
            sessions: AgentSessions = sessions,
            acked: list[str] = acked,
            other: list[BaseException] = other,
            started: asyncio.Event = started,
        ) -> None:
            number = 0
            while True:
                try:
                    await sessions.append("one", turn(f"{who} {number}"))
                    acked.append(f"{who} {number}")
                    if who % 3 == 0:
                        await sessions.history("one")
                    if who % 3 == 1:
                        await sessions.list()
                except StoreClosed:
                    return
                except Exception as error:
                    other.append(error)
                    return
                number += 1
                started.set()

        tasks = [asyncio.ensure_future(writer(who)) for who in range(12)]
        await started.wait()
        await in_time(store.close())
        done, pending = await asyncio.wait(tasks, timeout=LONG)
        for task in pending:
            task.cancel()
        assert other == []
        assert not pending, "a save hangs"
        assert len(done) == 12
        shown = file_said(view(root, f"agent{attempt}", "one"))
        async with open_store(root) as again:
            found = await said_in(again.sessions(f"agent{attempt}"), "one")
            assert set(acked) <= set(found[::2])
            assert len(found[::2]) == len(set(found[::2]))
            assert shown == found, "a view was behind after the close"


async def test_nothing_that_is_stored_is_an_error_of_the_store(root: Path) -> None:
    """Readers beside many writers see snapshots: whole turns, and never an error."""
    stop = asyncio.Event()
    seen = 0
    async with open_store(root) as store, open_store(root) as other:
        a, b = store.sessions("agent"), other.sessions("agent")
        await a.create("one")

        async def reader() -> None:
            nonlocal seen
            while not stop.is_set():
                try:
                    history = await said_in(b, "one")
                    page = await b.entries("one", limit=3)
                    info = await b.info("one")
                except StoreError as error:  # pragma: no cover
                    pytest.fail(f"{error} {error.__cause__!r}")
                assert [prompt + "!" for prompt in history[::2]] == history[1::2]
                assert len(page.entries) <= 3
                assert page.total <= info.message_count
                seen += 1

        reading = [asyncio.ensure_future(reader()) for _ in range(3)]
        for start in range(0, 200, 20):
            await asyncio.gather(
                *(a.append("one", turn(f"{number}")) for number in range(start, start + 20))
            )
        stop.set()
        await asyncio.gather(*reading)
    assert seen > 5


async def _with_a_file_program(root: Path, rounds: int) -> None:
    """Writers of ours and one that rewrites the file, all at once, on one session.

    Such a program writes what it read with a turn more. Where a turn of ours came in between, its
    history becomes the current one and ours is on a branch; nothing that was written is nowhere.
    """
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        written: list[str] = []

        def rewrite() -> None:
            with program("file_program", str(file), "same") as other:
                for number in range(rounds):
                    assert ask(other, f"theirs {number}").isdigit()
                    written.append(f"theirs {number}")

        async def append(who: int) -> None:
            for number in range(rounds * 3):
                await sessions.append("one", turn(f"ours {who}.{number}"))
                written.append(f"ours {who}.{number}")

        await asyncio.gather(asyncio.to_thread(rewrite), append(0), append(1))
        found = set(await said_in(sessions, "one"))
        for tip in (await sessions.info("one")).branches:
            found |= set(said(entry.message for entry in await sessions.read_history(tip)))
        assert set(written) - found == set()
        history = await said_in(sessions, "one")
        assert len(history) == len(set(history)), "something is there twice"

        async def shown() -> list[str]:
            return file_said(file)

        assert await eventually(shown, history) == history


async def test_a_file_program_and_writers_at_once(root: Path) -> None:
    await _with_a_file_program(root, 30)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(10))
async def test_a_file_program_and_writers_at_once_often(root: Path, attempt: int) -> None:
    await _with_a_file_program(root, 100)


async def _opening_and_closing(root: Path, processes: int, rounds: int) -> None:
    async with open_store(root) as store:
        await store.sessions("agent").create("one")
    calls = [(str(root), rounds, f"p{number}") for number in range(processes)]
    for problems in results(programs.open_and_close, calls):
        assert problems == []
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        acked = [f"p{who} {number}" for who in range(processes) for number in range(rounds)]
        await check_all(root, sessions, {"one": acked})
        assert (await sessions.info("one")).branches == ()
    assert leftovers(root) == []


async def test_processes_that_open_and_close_all_the_time(root: Path) -> None:
    await _opening_and_closing(root, 4, 12)


@pytest.mark.slow
async def test_processes_that_open_and_close_all_the_time_for_long(root: Path) -> None:
    await _opening_and_closing(root, 6, 150)
