"""Where a transaction is made: on the event loop, or in the thread that writes."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from mythline.errors import StoreClosed
from mythline.local import writer
from mythline.local.database import Connection, Database

LOOP = threading.main_thread().name
THREAD = "mythline-write"
NOTES = "CREATE TABLE notes (text TEXT)"


def thread_name(_connection: Connection) -> str:
    return threading.current_thread().name


def note(text: str) -> Callable[[Connection], str]:
    def function(connection: Connection) -> str:
        connection.execute("INSERT INTO notes VALUES (?)", (text,))
        return threading.current_thread().name

    return function


def notes(database: Database) -> list[str]:
    found = database.read(lambda c: c.execute("SELECT text FROM notes ORDER BY rowid").fetchall())
    return [row[0] for row in found]


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Database]:
    """One that takes its syncs for quick, however busy the machine is."""
    monkeypatch.setattr(writer, "QUICK", 60)
    opened = Database(tmp_path)
    opened.open()
    await opened.write(lambda c: c.execute(NOTES) and None)
    yield opened
    opened.close()


async def test_what_is_brief_and_alone_is_done_at_once(database: Database):
    assert await database.write(thread_name, brief=True) == LOOP
    assert await database.write(thread_name) == THREAD


async def test_nothing_is_known_of_syncs_before_the_first(tmp_path: Path):
    database = Database(tmp_path)
    database.open()
    assert await database.write(thread_name, brief=True) == THREAD
    database.close()


async def test_a_slow_sync_sends_those_that_follow_to_the_thread(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    clock = iter(range(1000))
    monkeypatch.setattr(writer, "perf_counter", lambda: next(clock))  # each takes a second
    monkeypatch.setattr(writer, "QUICK", 0.5)
    await database.write(thread_name)
    assert await database.write(thread_name, brief=True) == THREAD
    monkeypatch.setattr(writer, "perf_counter", lambda: 0.0)
    where = [await database.write(thread_name, brief=True) for _ in range(30)]
    assert where.index(LOOP) > 10
    assert set(where[where.index(LOOP) :]) == {LOOP}


async def test_those_that_come_together_are_one_transaction(database: Database):
    commits: list[str] = []

    def count(connection: Connection) -> str:
        connection.set_trace_callback(lambda sql: commits.append(sql))
        return thread_name(connection)

    for _ in range(2):
        commits.clear()
        where = await asyncio.gather(*(database.write(count, brief=True) for _ in range(20)))
        assert where == [LOOP, *[THREAD] * 19]  # of the first it can't be known
        assert 2 <= commits.count("COMMIT") < 6


async def test_others_get_their_turn_between_two(database: Database):
    order: list[str] = []

    async def write(name: str) -> None:
        for _ in range(3):
            await database.write(lambda _: order.append(name), brief=True)

    async def other() -> None:
        for _ in range(3):
            order.append("other")
            await asyncio.sleep(0)

    await asyncio.gather(write("write"), other())
    assert order == ["write", "other"] * 3


async def test_an_error_undoes_what_it_is_of(database: Database):
    def fail(connection: Connection) -> None:
        note("half")(connection)
        raise LookupError

    with pytest.raises(LookupError):
        await database.write(fail, brief=True)
    assert await database.write(note("next"), brief=True) == LOOP
    assert notes(database) == ["next"]


def _turn_of_another(directory: Path) -> Callable[[], None]:
    descriptor = os.open(directory, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return lambda: os.close(descriptor)


def _transaction_of_another(directory: Path) -> Callable[[], None]:
    connection = sqlite3.connect(directory / "sessions.sqlite3", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection.close


@pytest.mark.parametrize("take", [_turn_of_another, _transaction_of_another])
async def test_the_loop_waits_for_nobody(
    database: Database, tmp_path: Path, take: Callable[[Path], Callable[[], None]]
):
    give_back = take(tmp_path)
    writing = asyncio.create_task(database.write(note("late"), brief=True))
    for _ in range(100):
        await asyncio.sleep(0)  # would not come back if the loop waited
    assert not writing.done()
    give_back()
    assert await writing == THREAD
    assert notes(database) == ["late"]


@pytest.mark.parametrize("is_opened_again", [False, True])
async def test_the_loop_makes_no_checkpoints(
    database: Database, tmp_path: Path, is_opened_again: bool
):
    if is_opened_again:
        assert await database.write(thread_name, brief=True) == LOOP
        database.close()
        database.open()
    log = tmp_path / "sessions.sqlite3-wal"
    for _ in range(3):
        where = await database.write(note("x" * (4096 * writer.CHECKPOINT_PAGES)), brief=True)
        assert where == LOOP
    assert log.stat().st_size > 3 * 4096 * writer.CHECKPOINT_PAGES
    assert await database.write(note("x")) == THREAD  # that makes one,
    grown = log.stat().st_size
    assert await database.write(note("x")) == THREAD  # and the log begins anew
    assert log.stat().st_size == grown


@pytest.mark.parametrize("brief", [True, False])
async def test_a_caller_that_is_cancelled_takes_nothing_back(database: Database, brief: bool):
    writing = asyncio.create_task(database.write(note("kept"), brief=brief))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await database.write(thread_name)
    assert notes(database) == ["kept"]


async def test_nothing_is_taken_after_an_end(database: Database):
    database.end()
    for brief in True, False:
        with pytest.raises(StoreClosed):
            await database.write(note("after"), brief=brief)
    assert notes(database) == []


async def test_what_waits_is_stored_before_a_close(database: Database, tmp_path: Path):
    give_back = _turn_of_another(tmp_path)
    writing = asyncio.create_task(database.write(note("late"), brief=True))
    await asyncio.sleep(0)
    closing = asyncio.create_task(asyncio.to_thread(database.close))
    give_back()
    await asyncio.gather(writing, closing)
    database.open()
    assert notes(database) == ["late"]


async def test_a_forked_process_leaves_the_parents_database_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as forked:
        forked.setattr(database, "_pid", 0)
        for brief in True, False:
            with pytest.raises(StoreClosed):
                await database.write(note("twice"), brief=brief)
    assert notes(database) == []


def test_ctrl_c_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writer, "QUICK", 60)
    database = Database(tmp_path)
    database.open()

    def pressed(connection: Connection) -> None:
        note("half")(connection)
        raise KeyboardInterrupt

    async def after() -> str:
        return await database.write(note("next"))

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        loop.run_until_complete(database.write(lambda c: c.execute(NOTES) and None))
        writing = loop.create_task(database.write(pressed, brief=True))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(writing)
        assert loop.run_until_complete(after()) == THREAD
    assert notes(database) == ["next"]
    database.close()
