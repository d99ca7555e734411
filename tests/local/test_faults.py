"""Disks that are full, files that are damaged, folders that can't be written: typed, and whole."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mythline import open_store
from mythline.errors import (
    MythlineError,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
)
from mythline.local import LocalStore
from mythline.sessions import AgentSessions

from .support import (
    LONG,
    REPOSITORY,
    bodies_said,
    dump,
    eventually,
    file_said,
    glob,
    in_time,
    leftovers,
    listed,
    output,
    read,
    said,
    said_in,
    snapshot,
    turn,
    turns,
    view,
    write,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def run(*command: object) -> bool:
    found = subprocess.run(list(map(str, command)), check=False, capture_output=True)
    return found.returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of eight megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if not run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place):
        pytest.skip("no file system can be mounted here")
    yield place
    assert run("umount", "-l", place)


@pytest.fixture
def freeze(tmp_path: Path) -> Iterator[Callable[[Path, bool], None]]:
    """Makes files unchangeable, also for root, and changeable again."""
    probe = tmp_path / "probe"
    probe.touch()
    if not run("chattr", "+i", probe):
        pytest.skip("no file can be made immutable here")
    run("chattr", "-i", probe)
    frozen: set[Path] = set()

    def change(path: Path, on: bool) -> None:
        assert run("chattr", "+i" if on else "-i", path)
        (frozen.add if on else frozen.discard)(path)

    yield change
    for path in frozen:
        run("chattr", "-i", path)


def check_error(error: BaseException, root: Path, kind: Any = MythlineError) -> None:
    """Typed, says what to do, and names nothing of the server's."""
    assert isinstance(error, kind), repr(error)
    text = str(error)
    for secret in (str(root), root.name + "/", "sqlite3", "SELECT", "INSERT", "Errno", "context_"):
        assert secret not in text
    assert len(text) > 20


def fill(disk: Path, leave: int = 0) -> Path:
    """Use up a file system's space, but for some bytes."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1 << 10, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    if leave:
        os.truncate(filler, filler.stat().st_size - leave)
    return filler


async def append_until_full(sessions: AgentSessions, session: str) -> list[str]:
    """Append until it fails; the turns that were acknowledged."""
    acked: list[str] = []
    for number in range(10_000):
        try:
            await sessions.append(session, turn(f"{session} {number}", "x" * 20_000))
        except Exception as error:
            check_error(error, Path("disk"), StoreFull | StoreUnavailable)
            return acked
        acked.append(f"{session} {number}")
    raise AssertionError("it never fills up")


# A full disk


async def test_a_full_disk(small_disk: Path) -> None:
    root = small_disk / "store"
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.create("two")
        await sessions.append("two", turns(2))
        await store.settle(sessions._key("two"))
        filler = small_disk / "filler"
        filler.write_bytes(b"x" * (1 << 20))
        acked = await append_until_full(sessions, "one")
        assert len(acked) > 3
        fill(small_disk)
        for make in (
            lambda: sessions.append("one", turn("no", "x" * 100_000)),
            lambda: sessions.create("three", metadata={"a": "x" * 10_000}),
            lambda: sessions.import_(json.dumps([]).encode(), session_id="four"),
            lambda: sessions.save_history("five", turn("no", "x" * 100_000)),
            lambda: sessions.fork("two", new_conversation_id="six"),
        ):
            try:
                await in_time(make())
            except Exception as error:
                check_error(error, root)
        for file in glob(root, "agent/context_memory/*.json"):
            read(file)  # valid
        history = await said_in(sessions, "one")
        assert history[::2] == acked, "half-written, or lost"
        assert await said_in(sessions, "two") == said(turns(2))
        assert {"one", "two"} <= set(await listed(sessions))
        filler.unlink()
        await sessions.delete("two")
        await in_time(store.settle(sessions._key("one")))
        history = await said_in(sessions, "one")
        assert history[::2] == acked
    filler.unlink(missing_ok=True)
    shutil.copytree(root, small_disk.parent / "bigger")
    async with open_store(small_disk.parent / "bigger") as store:
        sessions = store.sessions("agent")
        assert (await said_in(sessions, "one"))[::2] == acked
        await sessions.append("one", turn("again"))
        await store.settle(sessions._key("one"))
        assert file_said(view(small_disk.parent / "bigger", "agent", "one"))[-1] == "again!"


async def test_it_works_again_when_there_is_space(small_disk: Path) -> None:
    root = small_disk / "store"
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(3))
        for _ in range(3):
            filler = fill(small_disk, leave=100 << 10)
            before = await said_in(sessions, "one")
            acked = await append_until_full(sessions, "one")
            filler.unlink()
            await sessions.append("one", turn("works"))
            found = await said_in(sessions, "one")
            assert found[: len(before)] == before
            assert found[len(before) :: 2] == [*acked, "works"]
            await in_time(store.settle(sessions._key("one")))

            async def shown() -> list[str]:
                return file_said(view(root, "agent", "one"))

            assert await eventually(shown, found) == found
    assert leftovers(root) == []


async def test_a_deletion_that_fails_deletes_nothing(small_disk: Path) -> None:
    root = small_disk / "store"
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for number in range(40):
            await sessions.create(f"s{number}")
            await sessions.append(f"s{number}", turn("hello"))
            await store.settle(sessions._key(f"s{number}"))
        filler = fill(small_disk)
        failed: list[str] = []
        for number in range(40):
            try:
                await sessions.delete(f"s{number}")
            except StoreError as error:
                check_error(error, root)
                failed.append(f"s{number}")
        if not failed:
            pytest.skip("deleting needs no space here")
        filler.unlink()
        assert await listed(sessions) == sorted(failed)
        for name in failed:
            assert await said_in(sessions, name) == ["hello", "hello!"]


def test_a_file_that_may_not_grow(root: Path) -> None:
    """The same by a limit on the size of files, which needs no mount."""
    found = json.loads(output("save_with_a_limit", str(root), 600_000))
    assert found["error"] in ("StoreFull", "StoreUnavailable")
    assert found["again"] in ("StoreFull", "StoreUnavailable")
    assert found["read"] == found["acked"]
    assert str(root) not in found["text"]

    async def check() -> None:
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            assert (await said_in(sessions, "one"))[::2] == found["acked"]
            await sessions.append("one", turn("works"))
        assert file_said(view(root, "agent", "one"))[::2] == [*found["acked"], "works"]
        assert leftovers(root) == []

    asyncio.run(check())


# What can't be written


async def test_a_store_whose_place_is_a_file(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("mine")
    for root in (place, place / "inside"):
        with pytest.raises(StoreUnavailable) as caught:
            await open_store(root).open()
        check_error(caught.value, root)
    assert place.read_text() == "mine"


async def test_an_agents_folder_that_is_a_file(root: Path) -> None:
    write(root / "agent", "mine")
    write(root / "deeper/context_memory", "mine")
    async with open_store(root) as store:
        for agent in ("agent", "deeper"):
            sessions = store.sessions(agent)
            for make in (
                lambda sessions=sessions: sessions.create("one"),
                lambda sessions=sessions: sessions.create(),
                lambda sessions=sessions: sessions.import_(b"[]"),
                lambda sessions=sessions: sessions.save_history("one", turn("x")),
            ):
                with pytest.raises(StoreUnavailable, match="folder") as caught:
                    await in_time(make(), 10)
                check_error(caught.value, root)
            assert await listed(sessions) == []
            assert not await sessions.exists("one")
        await store.sessions("other").create("one")
        assert [agent.agent_id for agent in await store.agents(None)] == ["other"]
        assert (root / "agent").read_text() == "mine"
        (root / "agent").unlink()
        await store.sessions("agent").create("one")
        assert read(view(root, "agent", "one")) == []


@pytest.mark.usefixtures("hasty")
async def test_a_folder_that_becomes_a_file(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("hello"))
        await store.settle(sessions._key("one"))
        await sessions.list()
        (root / "agent").rename(root / "away")
        (root / "agent").write_text("mine")
        await sessions.append("one", turn("more"))
        await in_time(store.settle(sessions._key("one")))
        assert await said_in(sessions, "one") == ["hello", "hello!", "more", "more!"]
        assert await listed(sessions) == ["one"]
        (root / "agent").unlink()

        async def shown() -> bool:
            return view(root, "agent", "one").exists()

        assert await eventually(shown)
        assert file_said(view(root, "agent", "one")) == ["hello", "hello!", "more", "more!"]
        assert await listed(sessions) == ["one"]


@pytest.mark.usefixtures("hasty")
async def test_a_folder_of_views_that_cant_be_written(
    root: Path, freeze: Callable[[Path, bool], None]
) -> None:
    folder = root / "agent/context_memory"
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("hello"))
        await store.settle(sessions._key("one"))
        freeze(folder, True)
        await sessions.append("one", turn("more"))
        await in_time(store.settle(sessions._key("one")))
        assert file_said(view(root, "agent", "one")) == ["hello", "hello!"]
        assert await said_in(sessions, "one") == ["hello", "hello!", "more", "more!"]
        assert await listed(sessions) == ["one"]
        with pytest.raises(StoreUnavailable) as caught:
            await sessions.delete("one")
        check_error(caught.value, root)
        assert await sessions.exists("one")
        await in_time(sessions.create("two"), 10)
        assert await listed(sessions) == ["one", "two"]
        freeze(folder, False)

        async def shown() -> list[str]:
            return file_said(view(root, "agent", "one"))

        assert len(await eventually(shown, ["hello", "hello!", "more", "more!"])) == 4

        async def second() -> bool:
            return view(root, "agent", "two").exists()

        assert await eventually(second)
        assert await listed(sessions) == ["one", "two"]


async def test_a_folder_that_cant_be_written_at_all(
    root: Path, freeze: Callable[[Path, bool], None]
) -> None:
    async with open_store(root) as store:
        await store.sessions("agent").create("one")
    for path in (root / "sessions.sqlite3", root):
        freeze(path, True)
    with pytest.raises(StoreUnavailable) as caught:
        async with open_store(root) as store:
            await store.sessions("agent").create("two")
    check_error(caught.value, root)
    for path in (root, root / "sessions.sqlite3"):
        freeze(path, False)
    async with open_store(root) as store:
        assert await listed(store.sessions("agent")) == ["one"]


@pytest.mark.usefixtures("hasty")
async def test_a_view_that_cant_be_read(root: Path, freeze: Callable[[Path, bool], None]) -> None:
    file = view(root, "agent", "one")
    dump(file, turn("hello"))
    freeze(file, True)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await in_time(sessions.append("one", turn("more")))
        await in_time(store.settle(sessions._key("one")))
        assert await said_in(sessions, "one") == ["hello", "hello!", "more", "more!"]
        with pytest.raises(StoreUnavailable) as caught:
            await sessions.delete("one")
        check_error(caught.value, root)
        assert await sessions.exists("one")
        freeze(file, False)

        async def shown() -> list[str]:
            return file_said(file)

        assert len(await eventually(shown, ["hello", "hello!", "more", "more!"])) == 4


async def test_a_store_whose_folder_is_removed_while_it_is_open(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("hello"))
        await sessions.list()
        shutil.rmtree(root)
        makes: list[Callable[[], Any]] = [
            lambda: sessions.info("one"),
            lambda: sessions.history("one"),
            lambda: sessions.list(),
            lambda: store.agents(None),
            lambda: sessions.append("one", turn("x")),
            lambda: sessions.create("two"),
            lambda: sessions.exists("three"),
            lambda: sessions.delete("one"),
            lambda: sessions.delete_all(),
        ]
        for make in makes:
            try:
                await in_time(make(), 10)
            except TimeoutError:
                raise
            except Exception as error:
                check_error(error, root)


@pytest.mark.parametrize("views", [True, False])
@pytest.mark.parametrize("is_made_anew", [False, True])
async def test_nothing_is_stored_in_a_database_that_was_removed(
    root: Path, views: bool, is_made_anew: bool
) -> None:
    """It would be acknowledged, and gone."""
    async with open_store(root, views=views) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("hello"))
        shutil.move(root / "sessions.sqlite3", root.parent)
        shutil.move(root / "sessions.sqlite3-wal", root.parent)
        if is_made_anew:
            async with open_store(root, views=views) as other:
                await other.sessions("agent").create("another")
        for make in (
            lambda: sessions.append("one", turn("more")),
            lambda: sessions.create("two"),
            lambda: sessions.exists("two"),
            lambda: sessions.history("one"),
        ):
            with pytest.raises(StoreUnavailable, match="removed or replaced"):
                await in_time(make(), 10)
    async with open_store(root, views=views) as store:
        found = await said_in(store.sessions("agent"), "one") if views else []
        assert found == (["hello", "hello!"] if views else [])


def test_without_file_descriptors(root: Path) -> None:
    """An error of the system beside the database is typed as well."""
    found = json.loads(output("use_without_descriptors", str(root)))
    assert found["wrong"] == []
    assert found["after"] == 4


# What is damaged


def _database(root: Path) -> Path:
    return root / "sessions.sqlite3"


async def _make(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(50))


@pytest.mark.parametrize("what", ["garbage", "text", "cut", "header", "names"])
async def test_a_database_that_is_garbage(root: Path, what: str) -> None:
    await _make(root)
    data = _database(root).read_bytes()
    damaged = {
        "garbage": bytes(range(256)) * 100,
        "text": b"this is no database, but it is longer than a header of one would be " * 5,
        "cut": data[: len(data) // 2],
        "header": b"\xff" * 100 + data[100:],
        "names": data.replace(b"tableentriesentries", b"table\xcdntriesentries"),
    }[what]
    _database(root).write_bytes(damaged)
    before = snapshot(root)

    async def use() -> None:
        async with open_store(root) as store:
            for _ in range(2):
                await said_in(store.sessions("agent"), "one")

    with pytest.raises(StoreCorrupt) as caught:
        await use()
    check_error(caught.value, root)
    file = "agent/context_memory/one.json"
    assert snapshot(root)[file] == before[file]
    for part in glob(root, "sessions.sqlite3*"):  # as the message says
        part.rename(root.parent / part.name)
    async with open_store(root) as store:
        assert await said_in(store.sessions("agent"), "one") == said(turns(50))


async def test_a_database_that_is_damaged_inside(root: Path) -> None:
    await _make(root)
    data = bytearray(_database(root).read_bytes())
    for start in range(4096, len(data), 4096):
        data[start : start + 64] = b"\xee" * 64
    _database(root).write_bytes(data)
    store = open_store(root)

    async def use() -> None:
        await store.open()
        try:
            sessions = store.sessions("agent")
            for make in (
                lambda: sessions.history("one"),
                lambda: sessions.append("one", turn("x")),
                lambda: sessions.create("two"),
                lambda: sessions.delete("one"),
            ):
                with pytest.raises(StoreCorrupt):
                    await in_time(make(), 10)
            await sessions.history("one")
        finally:
            await in_time(store.close(), 10)

    with pytest.raises(StoreCorrupt) as caught:
        await use()
    check_error(caught.value, root)


@pytest.mark.parametrize("seed", range(12))
async def test_a_database_with_wrong_pages_answers_or_says_so(root: Path, seed: int) -> None:
    """Nothing but typed errors, whichever pages are torn or lost."""
    await _make(root)
    chance = random.Random(seed)
    data = bytearray(_database(root).read_bytes())
    for start in range(4096, len(data), 4096):
        if chance.random() < 0.3:
            length = chance.choice([32, 2048, 4096])
            data[start : start + length] = chance.choice([bytes(length), chance.randbytes(length)])
    _database(root).write_bytes(data)
    try:
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            for make in (
                lambda: sessions.history("one"),
                lambda: sessions.transcript("one"),
                lambda: sessions.list(),
                lambda: sessions.info("one"),
                lambda: sessions.append("one", turn("x")),
                lambda: sessions.create("two"),
                lambda: store.agents(None),
                lambda: sessions.delete("one"),
            ):
                try:
                    await in_time(make(), 10)
                except TimeoutError:
                    raise
                except Exception as error:
                    check_error(error, root)
    except MythlineError as error:
        check_error(error, root)


async def test_a_database_that_is_a_directory(root: Path) -> None:
    _database(root).mkdir(parents=True)
    with pytest.raises(StoreUnavailable) as caught:
        await open_store(root).open()
    check_error(caught.value, root)
    (_database(root)).rmdir()
    async with open_store(root) as store:
        await store.sessions("agent").create("one")


async def test_an_empty_database_is_built_from_the_views(root: Path) -> None:
    await _make(root)
    _database(root).write_bytes(b"")
    async with open_store(root) as store:
        assert await listed(store.sessions("agent")) == ["one"]
        assert await said_in(store.sessions("agent"), "one") == said(turns(50))


@pytest.mark.parametrize("mode", ["wal", "delete", "wal with a log"])
async def test_a_newer_database_is_refused_and_left_as_it_is(root: Path, mode: str) -> None:
    await _make(root)
    connection = sqlite3.connect(_database(root), isolation_level=None)
    try:
        if mode == "delete":
            connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA user_version = 999")
        connection.execute("CREATE TABLE of_the_future (a)")
        if mode == "wal with a log":
            before = snapshot(root)
        else:
            connection.close()
            before = snapshot(root)
        for _ in range(2):
            with pytest.raises(StoreTooNew, match="999") as caught:
                await open_store(root).open()
            check_error(caught.value, root)
        after = snapshot(root)
        for name in before:
            if not name.endswith("-shm"):
                assert after[name] == before[name], name
        if mode != "wal with a log":
            assert after.keys() == before.keys()
    finally:
        connection.close()
    connection = sqlite3.connect(_database(root))
    try:
        assert connection.execute("PRAGMA user_version").fetchone() == (999,)
    finally:
        connection.close()


async def test_a_database_of_something_else_is_not_taken_for_a_store(root: Path) -> None:
    write(_database(root), "")
    connection = sqlite3.connect(_database(root))
    try:
        connection.execute("CREATE TABLE sessions (somebody TEXT)")
        connection.execute("INSERT INTO sessions VALUES ('else')")
        connection.commit()
    finally:
        connection.close()
    with pytest.raises(StoreError) as caught:
        await open_store(root).open()
    check_error(caught.value, root)
    connection = sqlite3.connect(_database(root))
    try:
        assert connection.execute("SELECT * FROM sessions").fetchall() == [("else",)]
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
        assert tables == [("sessions",)]
    finally:
        connection.close()


async def test_a_database_that_is_removed_while_it_is_open(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await store.settle(sessions._key("one"))
        for file in glob(root, "sessions.sqlite3*"):
            file.unlink()
        try:
            await sessions.append("one", turn("more"))
            acked = ["more", "more!"]
        except StoreError as error:
            check_error(error, root)
            acked = []
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await said_in(sessions, "one") == said(turns(2)) + acked
        assert bodies_said(e.body for e in (await sessions.entries("one")).entries)[:1] == [
            "turn 0"
        ]


async def test_a_store_that_can_no_longer_write_can_be_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())
    store = LocalStore(root)
    await store.open()
    await store.sessions("agent").create("one")

    def fail(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(store._database, "_transact", fail)
    await in_time(store.close())
    left = set(threading.enumerate()) - before
    assert [thread.name for thread in left if thread.name.startswith("mythline")] == []


# A sync that fails


async def _make_empty(root: Path) -> None:
    async with open_store(root):
        pass


@pytest.mark.parametrize("when", [1, 3, 5])
def test_a_sync_that_fails_is_told_and_what_was_stored_stays(root: Path, when: int) -> None:
    """By `strace`, which lets the system's call fail."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("there is no strace")
    asyncio.run(_make_empty(root))
    inject = f"inject=fsync,fdatasync:error=EIO:when={when}"
    injecting = [strace, "-f", "-qq", "-o", "/dev/null", "-e", inject]
    code = "import sys; from tests.local.programs import save_some as f; f(sys.argv[1])"
    running = subprocess.run(
        [*injecting, sys.executable, "-c", code, str(root)],
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
        capture_output=True,
        text=True,
        timeout=LONG,
    )
    if "ptrace" in running.stderr:
        pytest.skip("strace can't be used here")
    found = json.loads(running.stdout)
    assert len(found["failed"]) in (1, 2), found  # it counts for each thread, and two may sync
    assert set(found["failed"].values()) <= {"StoreUnavailable", "StoreFull"}
    assert len(found["acked"]) == 10 - len(found["failed"])
    assert set(found["acked"]) <= set(found["read"])
    assert found["read"] == sorted(set(found["read"]), key=int)

    async def check() -> None:
        async with open_store(root) as store:
            history = (await said_in(store.sessions("agent"), "one"))[::2]
            assert set(found["acked"]) <= set(history)
            assert history == sorted(set(history), key=int)

    asyncio.run(check())
