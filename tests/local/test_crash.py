"""What is left when a process is killed: every acknowledged turn once, and only valid views."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mythline import open_store
from mythline.sessions import AgentSessions

from . import programs
from .support import (
    LONG,
    context,
    dump,
    eventually,
    file_said,
    glob,
    in_time,
    leftovers,
    lines_of,
    listed,
    messages_in,
    process,
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


@contextmanager
def running(target: Any, *arguments: Any) -> Iterator[tuple[Any, Any]]:
    """A process, and the end of a pipe on which its acknowledgements arrive."""
    ours, theirs = context().Pipe(duplex=False)
    started = process(target, theirs, *arguments)
    started.start()
    theirs.close()
    try:
        yield started, ours
    finally:
        started.kill()
        started.join(LONG)
        ours.close()
        started.close()


def received(pipe: Any) -> list[Any]:
    """Everything that was sent before the sender died."""
    found: list[Any] = []
    try:
        while pipe.poll(LONG):
            found.append(pipe.recv())
    except EOFError:
        pass
    return found


async def check(
    sessions: AgentSessions, root: Path, acked: dict[str, list[int]], begun: dict[str, set[int]]
) -> None:
    """Every acknowledged turn is there once, whole and in order, in the truth and in the view."""
    assert await listed(sessions) == sorted(begun)
    for name, turns in acked.items():
        history = await said_in(sessions, name)
        prompts, answers = history[::2], history[1::2]
        numbers = [int(prompt.removeprefix(name + " ")) for prompt in prompts]
        assert len(prompts) == len(answers), "half a turn"
        assert numbers == sorted(set(numbers)), "doubled, or out of order"
        assert set(turns) <= set(numbers), "lost"
        assert set(numbers) <= begun[name]
        assert len(set(answers)) <= 1
        begun[name] = set(numbers)  # what was stored stays stored
        acked[name] = numbers

        async def shown(name: str = name) -> list[str]:
            return shown_in(view(root, "agent", name))

        assert await eventually(shown, history) == history
    assert leftovers(root) == []


async def _kill_at_random(root: Path, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    names = {"small": 10, "other": 500, "third": 10, "large": 9000}
    acked: dict[str, list[int]] = {name: [] for name in names}
    begun: dict[str, set[int]] = {name: set() for name in names}
    start = 0
    for kill in range(kills):
        batch = kill % 2 == 0
        wanted = chance.randrange(1, 60)
        arguments = (str(root), names, start, 10_000, batch)
        with running(programs.write_turns, *arguments) as (writer, pipe):
            for _ in range(wanted):
                assert pipe.poll(LONG)
                name, number = pipe.recv()
                acked[name].append(number)
            writer.kill()
            for name, number in received(pipe):
                acked[name].append(number)
            writer.join(LONG)
            assert writer.exitcode == -9
        for name in names:
            begun[name].update(range(start, start + 10_000))
        for file in glob(root, "agent/context_memory/*.json"):
            read(file)  # valid right after the kill
        if kill % 3 == 0:  # else several kills on end
            async with open_store(root) as store:
                await check(store.sessions("agent"), root, acked, begun)
            for name in names:
                assert len(lines_of(view(root, "agent", name).read_bytes())) == 2 * len(acked[name])
        start = max((max(numbers, default=0) for numbers in acked.values()), default=0) + 1000
    async with open_store(root) as store:
        await check(store.sessions("agent"), root, acked, begun)
    assert sum(map(len, acked.values())) > kills


async def test_killed_writers_lose_no_acknowledged_turn(root: Path) -> None:
    await _kill_at_random(root, 24, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
async def test_killed_writers_lose_no_acknowledged_turn_often(root: Path, seed: int) -> None:
    await _kill_at_random(root, 60, seed=seed + 100)


async def test_two_writers_one_killed(root: Path) -> None:
    """What a killed process leaves behind doesn't stop those that go on."""
    with (
        running(programs.write_turns, str(root), {"a": 10, "large": 9000}, 0, 100, True) as first,
        running(programs.write_turns, str(root), {"b": 10, "c": 10}, 0, 10_000, True) as second,
    ):
        for _ in range(30):
            assert second[1].poll(LONG)
            second[1].recv()
        second[0].kill()
        acked = received(first[1])
        assert acked[-1] is None, "the other one hangs or failed"
        assert len(acked) == 201
        first[0].join(LONG)
        assert first[0].exitcode == 0
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert (await sessions.info("a")).message_count == 200
        assert (await sessions.info("large")).message_count == 200
        assert await listed(sessions) == ["a", "b", "c", "large"]
    assert leftovers(root) == []


@pytest.mark.parametrize("acks", [0, 1, 5])
async def test_killed_while_stores_are_made(tmp_path: Path, acks: int) -> None:
    chance = random.Random(acks)
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        with running(programs.open_stores, str(folder), 1000) as (maker, pipe):
            for _ in range(acks + chance.randrange(3)):
                assert pipe.poll(LONG)
                pipe.recv()
            maker.kill()
            made = received(pipe)
            maker.join(LONG)
        for made_one in [*made, str(len(list(folder.glob("*"))) - 1)]:
            if made_one == "-1":
                continue
            async with open_store(folder / made_one) as store:
                sessions = store.sessions("agent")
                found = await listed(sessions)
                assert found == ["one"] or made_one not in made
                if not found:
                    await sessions.create("one")
                await sessions.append("one", turn("hello"))


POINTS = [
    (point, when, nth)
    for point, whens, nths in [
        ("_render", ("before", "after"), (1,)),
        ("_write_beside", ("before", "after"), (1,)),
        ("os.open", ("after",), (1, 2, 3, 4, 5)),
        ("os.utime", ("before", "after"), (1,)),
        ("os.fstat", ("before",), (1,)),
        ("_publish", ("before", "after"), (1,)),
        ("look", ("after",), (1, 2)),
        ("remember_folder", ("before", "after"), (1,)),
        ("exchange", ("before", "after"), (1,)),
        ("os.rename", ("before", "after"), (1,)),
        ("os.unlink", ("before", "after"), (1, 2)),
    ]
    for when in whens
    for nth in nths
]


@pytest.mark.parametrize("then", ["opened", "added to"])
@pytest.mark.parametrize("scenario", ["first", "changed", "delete"])
async def test_death_at_each_step_of_a_publication(
    tmp_path: Path, scenario: str, then: str
) -> None:
    died = 0
    roots = [tmp_path / str(number) for number in range(len(POINTS))]
    for start in range(0, len(POINTS), 4):
        some = list(zip(roots, POINTS, strict=True))[start : start + 4]
        with ExitStack() as stack:
            children = [
                stack.enter_context(running(programs.die_at, str(root), *point, scenario))
                for root, point in some
            ]
            for (root, point), (child, pipe) in zip(some, children, strict=True):
                acked = received(pipe)
                child.join(LONG)
                assert child.exitcode in (0, 9)
                died += child.exitcode == 9
                await _after_death(root, f"{point}, {acked}", acked, scenario, then)
    assert died > len(POINTS) / 2


async def _after_death(root: Path, where: str, acked: list[Any], scenario: str, then: str) -> None:
    file = view(root, "agent", "one")
    is_there = file.exists()
    if is_there:  # valid right after the death
        assert file_said(file) in ([], said(turn("first")), said(turn("first") + turn("second")))
    added = then == "added to" and is_there
    if added:
        dump(file, [*messages_in(file), *turn("theirs")])
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        names = await listed(sessions)
        if "deleted" in acked:
            assert names == [], where
            return
        if not names:  # nothing was acknowledged, or it was being deleted
            assert not {"created", "first"} & set(acked) or scenario == "delete", where
            return
        found = await said_in(sessions, "one")
        ours = [text for text in found if not text.startswith("theirs")]
        first, second = turn("first"), turn("second")
        assert ours in ([], said(first), said(first + second)), where
        for name in ("first", "second"):
            assert name in found or name not in acked, where
        if added:
            assert found[-2:] == said(turn("theirs")), where
            assert (await sessions.info("one")).branches == (), where

        async def shown() -> list[str]:
            return shown_in(file)

        assert await eventually(shown, found) == found, where
        await sessions.append("one", turn("on"))
        await in_time(store.settle(sessions._key("one")))
        assert file_said(file) == found + said(turn("on")), where
        assert leftovers(root) == [], where


def test_the_points_are_where_they_were() -> None:
    """The names that the test above wraps; a renamed one would test nothing."""
    from mythline.local import views

    for point, _, _ in POINTS:
        assert point.startswith("os.") or callable(getattr(views, point)), point
