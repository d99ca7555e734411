"""What lies in a store's folder and is no session, or a strange one: left alone, not followed."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from mythline import open_store
from mythline.errors import InvalidId, SessionExists, SessionNotFound
from mythline.local import beside, rows

from .support import (
    FIXTURES,
    dump,
    eventually,
    exported,
    file_said,
    glob,
    in_time,
    listed,
    said,
    said_in,
    shown_in,
    snapshot,
    turn,
    turns,
    view,
)

WRITTEN = sorted(FIXTURES.glob("*.json"))


def id_of(path: Path) -> str:
    return path.stem.replace(".", "_")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


# What is no session


BAD_CONTENT = {
    "empty": b"",
    "blank": b"  \n",
    "half": b'[{"kind": "request", "pa',
    "null": b"null",
    "object": b"{}",
    "text": b'"text"',
    "numbers": b"[1, 2]",
    "other objects": b'[{"a": 1}]',
    "roles": b'[{"role": "user", "content": "0.0.12 and others"}]',
    "parts": b'[{"kind": "request", "parts": {}}]',
    "part": b'[{"kind": "request", "parts": [{}]}]',
    "kind": b'[{"kind": 1, "parts": []}]',
    "latin": '[{"kind": "request", "parts": [], "x": "é"}]'.encode("latin-1"),
    "utf16": '[{"kind": "request", "parts": []}]'.encode("utf-16"),
    "comma": b'[{"kind": "request", "parts": []},]',
    "two": b"[] []",
    "deep": b"[" * 100_000,
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("name", BAD_CONTENT)
async def test_a_file_that_is_no_session_is_left_alone(root: Path, name: str) -> None:
    bad, good = view(root, "agent", "bad"), view(root, "agent", "good")
    dump(good, turn("hello"))
    bad.write_bytes(BAD_CONTENT[name])
    os.utime(bad, (1_700_000_000, 1_700_000_000))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await listed(sessions) == ["good"]
        assert not await sessions.exists("bad")
        assert await sessions.load("bad") is None
        with pytest.raises(SessionNotFound):
            await sessions.append("bad", turn("x"))
        with pytest.raises(SessionExists):
            await sessions.create("bad")
        (agent,) = await store.agents(None)
        assert agent.session_count == 1
        assert await said_in(sessions, "good") == ["hello", "hello!"]
        await sessions.append("good", turn("more"))
        assert await listed(sessions) == ["good"]
        assert bad.read_bytes() == BAD_CONTENT[name]
        dump(bad, turn("put right"))
        assert await said_in(sessions, "bad") == ["put right", "put right!"]


async def test_a_list_never_shows_a_file_that_is_no_session(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while another thread of the store's has just found out that it is none."""
    original = rows.purge
    is_found, is_listed = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> None:
        is_found.set()
        is_listed.wait(0.5)
        original(*arguments)

    monkeypatch.setattr(rows, "purge", slow)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("good")
        view(root, "agent", "bad").write_bytes(BAD_CONTENT["half"])
        first = asyncio.ensure_future(listed(sessions))
        await asyncio.to_thread(is_found.wait, 5)
        second = await listed(sessions)
        is_listed.set()
        assert (await first, second) == (["good"], ["good"])
        (agent,) = await store.agents(None)
        assert agent.session_count == 1


BAD_NAMES = [
    "latest",
    "search",
    "run",
    ".hidden",
    "two words",
    "ünïcode",
    "ａｂｃ",
    "a.b",
    "-dash",
    "x" * 129,
    "new\nline",
    "back\\slash",
]


@pytest.mark.usefixtures("hasty")
async def test_names_outside_the_grammar_are_no_sessions(root: Path) -> None:
    dump(view(root, "agent", "good"), turn("hello"))
    dump(view(root, "agent", "x" * 128), turn("hello"))
    folder = view(root, "agent", "good").parent
    for name in BAD_NAMES:
        dump(folder / f"{name}.json", turn(name))
    for name in ("good.JSON", "good.json.bak", "good.json~", ".good.json.swp", "good", ".json"):
        dump(folder / name, turn(name))
    (folder / os.fsdecode(b"bad\xff.json")).write_bytes(b"[]")
    for agent in (".hidden", "two words", "-dash", "x" * 65, "not.an.agent"):
        dump(view(root, agent, "one"), turn(agent))
    before = snapshot(root)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await listed(sessions) == ["good", "x" * 128]
        assert [agent.agent_id for agent in await store.agents(None)] == ["agent"]
        for name in [*BAD_NAMES, "../good", "good.json", "", "a/b", "a\x00b"]:
            with pytest.raises(InvalidId):
                await sessions.load(name)
        dump(folder / "two more.json", turn("x"))
        dump(folder / "more.json", turn("x"))
        wanted = ["good", "more", "x" * 128]
        assert await eventually(lambda: listed(sessions), wanted) == wanted
    after = snapshot(root)
    assert {name: after[name] for name in before} == before


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the store that looks like part of one."""
    folder = tmp_path / "outside"
    dump(folder / "agent/context_memory/one.json", turn("secret"))
    dump(folder / "context_memory/one.json", turn("secret"))
    dump(folder / "one.json", turn("secret"))
    return folder


@pytest.mark.parametrize("target", ["one.json", "missing.json", "."])
async def test_a_link_in_place_of_a_view_is_not_followed(
    root: Path, outside: Path, target: str
) -> None:
    file = view(root, "agent", "one")
    dump(view(root, "agent", "good"), turn("hello"))
    file.symlink_to(outside / target)
    before = snapshot(outside)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await listed(sessions) == ["good"]
        assert not await sessions.exists("one")
        with pytest.raises(SessionExists):
            await sessions.create("one")
        with pytest.raises(SessionExists):
            await sessions.import_(b"[]", session_id="one", on_conflict="replace")
        assert (await sessions.import_(b"[]", session_id="one", on_conflict="rename")).session_id
        assert not await sessions.exists("one")
        await sessions.delete("one")
        assert await sessions.delete_all() == 2
    assert snapshot(outside) == before
    assert file.is_symlink()


async def test_a_view_that_a_link_replaced_is_not_written_through(
    root: Path, outside: Path
) -> None:
    file = view(root, "agent", "one")
    before = snapshot(outside)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("hello"))
        await store.settle(sessions._key("one"))
        await sessions.list()
        file.unlink()
        file.symlink_to(outside / "one.json")
        await sessions.append("one", turn("more"))
        await in_time(store.settle(sessions._key("one")))
        assert await said_in(sessions, "one") == said(turn("hello") + turn("more"))
        assert await listed(sessions) == ["one"]
    assert snapshot(outside) == before
    async with open_store(root) as store:
        assert await said_in(store.sessions("agent"), "one") == said(turn("hello") + turn("more"))
        assert await listed(store.sessions("agent")) == ["one"]
    assert snapshot(outside) == before


@pytest.mark.parametrize("place", ["agent", "agent/context_memory", "@alice"])
async def test_a_link_in_place_of_a_folder_is_not_followed(
    root: Path, outside: Path, place: str
) -> None:
    owner = "alice" if place.startswith("@") else None
    link = root / place
    link.parent.mkdir(parents=True)
    goal = outside / "agent" if place == "agent" else outside
    if place == "agent/context_memory":
        goal = outside / "context_memory"
    link.symlink_to(goal)
    before = snapshot(outside)
    async with open_store(root) as store:
        sessions = store.sessions("agent", owner=owner)
        assert await listed(sessions) == []
        assert list(await store.agents(owner)) == []
        assert not await sessions.exists("one")
        for make in (sessions.create("one"), sessions.create("two"), sessions.create()):
            with pytest.raises(Exception, match="folder") as caught:
                await make
            assert type(caught.value).__name__ == "StoreUnavailable"
            assert str(root) not in str(caught.value)
        assert await listed(sessions) == []
        await store.sessions("other").create("works")
    assert snapshot(outside) == before
    assert link.is_symlink()


@pytest.mark.usefixtures("hasty")
async def test_a_folder_that_a_link_replaced_is_not_written_through(
    root: Path, outside: Path
) -> None:
    folder = root / "agent/context_memory"
    before = snapshot(outside)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("hello"))
        await store.settle(sessions._key("one"))
        await sessions.list()
        folder.rename(root.parent / "away")
        folder.symlink_to(outside / "context_memory")
        await sessions.append("one", turn("more"))
        await in_time(store.settle(sessions._key("one")))
        assert await said_in(sessions, "one") == said(turn("hello") + turn("more"))
        assert await listed(sessions) == ["one"]
        await sessions.delete("one")
    assert snapshot(outside) == before


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "inside.json").write_text("[]")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("make", [_directory, _fifo])
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
async def test_what_is_no_file_in_a_views_place(
    root: Path, make: Callable[[Path], None], is_open: bool
) -> None:
    dump(view(root, "agent", "good"), turn("hello"))
    if not is_open:
        make(view(root, "agent", "one"))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await in_time(listed(sessions)) == ["good"]
        if is_open:
            make(view(root, "agent", "one"))
        assert not await in_time(sessions.exists("one"))
        with pytest.raises(SessionExists):
            await in_time(sessions.create("one"))
        with pytest.raises(SessionExists):
            await in_time(sessions.import_(b"[]", session_id="one", on_conflict="replace"))
        assert await in_time(listed(sessions)) == ["good"]
        await in_time(sessions.append("good", turn("more")))
    assert view(root, "agent", "one").exists()


@pytest.mark.parametrize("make", [_directory, _fifo])
async def test_what_is_no_file_takes_a_views_place(
    root: Path, make: Callable[[Path], None]
) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("hello"))
        await store.settle(sessions._key("one"))
        await sessions.list()
        file.unlink()
        make(file)
        await in_time(sessions.append("one", turn("more")))
        await in_time(store.settle(sessions._key("one")))
        assert await said_in(sessions, "one") == said(turn("hello") + turn("more"))
        assert await in_time(listed(sessions)) == ["one"]
    async with open_store(root) as store:
        assert await in_time(listed(store.sessions("agent"))) == ["one"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "invalid", "link"])
async def test_save_history_where_something_else_lies_says_so(root: Path, kind: str) -> None:
    file = view(root, "agent", "one")
    file.parent.mkdir(parents=True)
    if kind == "directory":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "invalid":
        file.write_text("{")
    else:
        file.symlink_to(root / "elsewhere")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        with pytest.raises(Exception, match="one") as caught:
            await in_time(sessions.save_history("one", turn("x")), 5)
        assert not isinstance(caught.value, TimeoutError)
        assert str(root) not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        ".one.99999999999999999999-1.tmp",
        ".one.²-1.tmp",
        ".one.4194000-1.tmp/",
        ".tmp",
        ".one.tmp",
        ".one.-.tmp",
    ],
)
@pytest.mark.usefixtures("hasty")
async def test_strange_names_beside_the_views_do_no_harm(root: Path, name: str) -> None:
    dump(view(root, "agent", "good"), turn("hello"))
    strange = root / "agent/context_memory" / name
    if name.endswith("/"):
        strange.mkdir()
    else:
        strange.write_text("x")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await listed(sessions) == ["good"]
        dump(view(root, "agent", "more"), turn("hello"))
        assert await eventually(lambda: listed(sessions), ["good", "more"]) == ["good", "more"]


async def test_what_killed_processes_left_is_removed_whatever_has_their_numbers(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump(view(root, "agent", "one"), turn("hello"))
    left = [
        view(root, "agent", "one").with_name(f".one.{number}-0123456789ab.tmp")
        for number in (os.getpid(), os.getppid())
    ]
    for file in (*left, root / f"{'0' * 32}.lock"):
        file.write_text("[")
    async with open_store(root) as store:
        assert await listed(store.sessions("agent")) == ["one"]
    assert glob(root, "**/*.tmp") == left[1:]
    assert glob(root, "*.lock") == []
    monkeypatch.setattr(beside, "LONG", -1.0)  # as if it had been there for so long
    async with open_store(root) as store:
        assert await listed(store.sessions("agent")) == ["one"]
    assert glob(root, "**/*.tmp") == []


# Strange times


@pytest.mark.usefixtures("hasty")
async def test_a_file_that_is_no_session_and_of_a_time_to_come_makes_room(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        await store.sessions("agent").save_history("one", turn("hello"))
    file.write_text("[")
    os.utime(file, (4e9, 4e9))
    async with open_store(root) as store:
        assert await said_in(store.sessions("agent"), "one") == ["hello", "hello!"]

        async def shown() -> list[str]:
            return shown_in(file)

        assert await eventually(shown, ["hello", "hello!"]) == ["hello", "hello!"]


@pytest.mark.parametrize("year", [1960, 1970, 2100, 2400])
@pytest.mark.usefixtures("hasty")
async def test_files_of_any_time_are_listed_page_by_page(root: Path, year: int) -> None:
    for number in range(3):
        dump(view(root, "agent", f"s{number}"), turn("hello"))
        seconds = (year - 1970) * 31_556_952
        os.utime(view(root, "agent", f"s{number}"), (seconds, seconds))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await listed(sessions) == ["s0", "s1", "s2"]
        found: list[str] = []
        page = await sessions.list(limit=1)
        while True:
            found += [info.session_id for info in page]
            if page.next_cursor is None:
                break
            page = await sessions.list(limit=1, cursor=page.next_cursor)
        assert sorted(found) == ["s0", "s1", "s2"]
        assert await said_in(sessions, "s1") == ["hello", "hello!"]
        dump(view(root, "agent", "new"), turn("hello"))
        latest = await eventually(lambda: listed(sessions), ["new", "s0", "s1", "s2"])
        assert "new" in latest
        await sessions.create("newer")
        found_latest = await sessions.latest()
        assert found_latest is not None
        assert found_latest.session_id == "newer"


@pytest.mark.parametrize(
    "stamp",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2020-01-01",
        "no time",
        "2020-01-01T00:00:00",
        1,
        None,
    ],
)
async def test_messages_with_any_timestamp_are_listed(root: Path, stamp: object) -> None:
    messages = to_jsonable_python(turn("hello"))
    for message in messages:
        message["timestamp"] = stamp
        message["parts"][0]["timestamp"] = stamp
    file = view(root, "agent", "one")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(messages))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await listed(sessions) == ["one"]
        assert (await sessions.info("one")).message_count == 2
        assert [item.content for item in await sessions.transcript("one")] == ["hello", "hello!"]
        assert json.loads(await exported(sessions, "one")) == messages


@pytest.mark.usefixtures("hasty")
async def test_a_view_that_another_program_left_half_written_is_made_whole(root: Path) -> None:
    """It died over it, say. What is stored is shown again, without a save; its part is kept."""
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await store.settle(sessions._key("one"))
        await sessions.list()
        half = file.read_bytes()[:-40]
        file.write_bytes(half)
        assert await said_in(sessions, "one") == said(turns(2))

        async def is_whole() -> bool:
            try:
                return file.read_bytes() != half
            except FileNotFoundError:  # it is moved aside before the view is there
                return False

        assert await eventually(is_whole)
        assert file_said(file) == said(turns(2))
        assert await listed(sessions) == ["one"]
        assert half in [path.read_bytes() for path in glob(root, "agent/context_memory/*")]
