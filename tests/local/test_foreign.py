"""Files of other programs: read, continued, noticed, and written in turn."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_jsonable_python

from mythline import open_store
from mythline.errors import SessionNotFound, StoreClosed, StoreUnavailable
from mythline.local import LocalStore, foreign, layout, taking_in, watch

from .support import (
    FIXTURES,
    LONG,
    ask,
    dump,
    entry_ids,
    eventually,
    exported,
    file_said,
    glob,
    in_time,
    listed,
    messages_in,
    program,
    read,
    said,
    said_in,
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


# A folder that only file-based code has written


def test_the_fixtures_are_there() -> None:
    assert len({path.stem.split("-")[0] for path in WRITTEN}) == 19


async def test_a_folder_of_files_is_a_list_of_sessions_at_once(root: Path) -> None:
    for path in WRITTEN:
        target = view(root, "weather", id_of(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    before = snapshot(root)
    async with open_store(root) as store:
        sessions = store.sessions("weather")
        assert await listed(sessions) == sorted(map(id_of, WRITTEN))
        (agent,) = await store.agents(None)
        assert (agent.agent_id, agent.session_count) == ("weather", len(WRITTEN))
        for path in WRITTEN:
            messages = read(path)
            info = await sessions.info(id_of(path))
            assert info.message_count == len(messages)
            assert info.title
            assert info.preview
            history = await sessions.history(id_of(path))
            assert [message.kind for message in history] == [item["kind"] for item in messages]
            assert json.loads(await exported(sessions, id_of(path))) == messages
            transcript = await sessions.transcript(id_of(path))
            prompts = [
                part
                for item in messages
                for part in item["parts"]
                if part["part_kind"] == "user-prompt"
            ]
            assert [item.role for item in transcript].count("user") == len(prompts) >= 2
    after = snapshot(root)
    assert {name: after[name] for name in before} == before, "reading converted a file"


@pytest.mark.parametrize("path", WRITTEN, ids=id_of)
async def test_a_file_of_any_version_goes_on(root: Path, path: Path) -> None:
    target = view(root, "weather", "old")
    target.parent.mkdir(parents=True)
    shutil.copyfile(path, target)
    before = read(path)
    async with open_store(root) as store:
        sessions = store.sessions("weather")
        conversation = await sessions.load("old")  # no list before: found by its id alone
        assert conversation is not None
        conversation.messages += turn("And tomorrow?")
        await sessions.save(conversation)
        await sessions.append("old", turn("And after?"))
        assert (await sessions.info("old")).message_count == len(before) + 4
        assert json.loads(await exported(sessions, "old"))[: len(before)] == before
    assert read(target)[: len(before)] == before
    assert file_said(target)[-4:] == [
        "And tomorrow?",
        "And tomorrow?!",
        "And after?",
        "And after?!",
    ]
    async with open_store(root) as store:
        again = await store.sessions("weather").history("old")
        assert said(again)[-1] == "And after?!"
        assert len(again) == len(before) + 4


@pytest.mark.parametrize(
    "owner",
    ["alice", "a@b.example", "a/b", "..", ".", "%41", " ", "Ünïcode 漢字 🐉", "\x00", "a\nb", "@"],
)
async def test_owners_have_folders_by_their_percent_encoded_names(root: Path, owner: str) -> None:
    dump(view(root, "agent", "one", owner), turn("hello"))
    dump(view(root, "agent", "one"), turn("mine"))
    async with open_store(root) as store:
        theirs = store.sessions("agent", owner=owner)
        assert await listed(theirs) == ["one"]
        assert await said_in(theirs, "one") == ["hello", "hello!"]
        assert [agent.agent_id for agent in await store.agents(owner)] == ["agent"]
        await theirs.append("one", turn("again"))
        await theirs.create("two")
        assert await said_in(store.sessions("agent"), "one") == ["mine", "mine!"]
        assert await listed(store.sessions("agent", owner="someone else")) == []
    assert file_said(view(root, "agent", "one", owner)) == ["hello", "hello!", "again", "again!"]
    assert read(view(root, "agent", "two", owner)) == []
    assert {path.name for path in glob(root, "*") if path.is_dir()} == {
        "agent",
        view(root, "agent", "one", owner).relative_to(root).parts[0],
    }


@pytest.mark.usefixtures("hasty")
async def test_very_long_owners_are_told_apart_and_their_files_are_taken_in(root: Path) -> None:
    owners = ["漢" * 255 + last for last in "ab"]
    async with open_store(root) as store:
        for owner in owners:
            sessions = store.sessions("agent", owner=owner)
            await sessions.create("one")
            await sessions.append("one", turn(owner[-1]))
            await sessions.list()
    files = glob(root, "@*/agent/context_memory/one.json")
    assert len(files) == 2
    async with open_store(root) as store:
        for owner in owners:
            assert await said_in(store.sessions("agent", owner=owner), "one") == [
                owner[-1],
                owner[-1] + "!",
            ]
            assert await listed(store.sessions("agent", owner=owner)) == ["one"]
        for file in files:
            dump(file, [*messages_in(file), *turn("more")])
            dump(file.with_name("two.json"), turn("two"))
        for owner in owners:
            sessions = store.sessions("agent", owner=owner)
            assert (await said_in(sessions, "one"))[-1] == "more!"
            found = await eventually(lambda s=sessions: listed(s), ["one", "two"])
            assert found == ["one", "two"]


# Noticed while the store is open


async def test_what_another_program_does_is_noticed_at_once_by_id(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert not await sessions.exists("one")
        dump(file, turn("hello"))
        assert await sessions.exists("one")
        assert (await sessions.info("one")).message_count == 2
        dump(file, [*messages_in(file), *turn("more")])
        assert (await sessions.info("one")).message_count == 4
        dump(file, turns(3, "a"))
        assert await said_in(sessions, "one") == said(turns(3, "a"))
        dump(file, turns(4, "b"))
        assert json.loads(await exported(sessions, "one")) == read(file)
        dump(file, turns(5, "c"))
        assert len(await sessions.transcript("one")) == 10
        dump(file, turns(6, "d"))
        conversation = await sessions.load("one")
        assert conversation is not None
        assert said(conversation.messages) == said(turns(6, "d"))
        dump(file, turns(7, "e"))
        await sessions.append("one", turn("appended"))
        assert await said_in(sessions, "one") == said(turns(7, "e") + turn("appended"))
        await sessions.store.settle(sessions._key("one"))
        file.unlink()
        assert not await sessions.exists("one")
        with pytest.raises(SessionNotFound):
            await sessions.append("one", turn("x"))


@pytest.mark.parametrize("owner", [None, "alice", "alice@example.com"])
async def test_what_another_program_does_is_in_lists_within_a_second(
    root: Path, owner: str | None
) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent", owner=owner)
        assert await listed(sessions) == []
        assert list(await store.agents(owner)) == []

        async def latest() -> str | None:
            found = await sessions.latest()
            return None if found is None else found.session_id

        async def count() -> int:
            agents = await store.agents(owner)
            return sum(agent.session_count for agent in agents)

        async def messages_of_one() -> int:
            return {info.session_id: info.message_count for info in await sessions.list()}["one"]

        dump(view(root, "agent", "one", owner), turn("hello"))  # with its folders
        assert await eventually(lambda: listed(sessions), ["one"]) == ["one"]
        assert await eventually(count, 1) == 1
        dump(view(root, "agent", "two", owner), turn("hello"))
        assert await eventually(latest, "two") == "two"
        assert await listed(sessions) == ["one", "two"]
        dump(view(root, "agent", "one", owner), turns(2))
        assert await eventually(latest, "one") == "one"
        assert await eventually(messages_of_one, 4) == 4
        view(root, "agent", "one", owner).unlink()
        assert await eventually(lambda: listed(sessions), ["two"]) == ["two"]
        assert await eventually(count, 1) == 1
        dump(view(root, "other", "three", owner), turn("hello"))
        assert await eventually(count, 2) == 2


@pytest.mark.usefixtures("hasty")
async def test_the_store_may_be_reached_by_a_link(tmp_path: Path) -> None:
    real, linked = tmp_path / "real", tmp_path / "linked"
    real.mkdir()
    linked.symlink_to(real)
    async with open_store(linked) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        assert await listed(sessions) == ["one"]
        dump(view(real, "agent", "two"), turn("hello"))
        assert await eventually(lambda: listed(sessions), ["one", "two"]) == ["one", "two"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "owner", ["alice", "alice@example.com", "漢" * 256], ids=["a", "dot", "long"]
)
async def test_an_owners_folder_that_another_program_made_or_replaced(
    root: Path, tmp_path: Path, owner: str
) -> None:
    folder = root / layout.owner_folder(owner)
    views = folder / "agent" / "context_memory"
    async with open_store(root) as store:
        sessions = store.sessions("agent", owner=owner)
        dump(views / "one.json", turn("hello"))
        assert await eventually(lambda: listed(sessions), ["one"]) == ["one"]
        dump(views / "two.json", turn("hello"))
        assert await eventually(lambda: listed(sessions), ["one", "two"]) == ["one", "two"]
        dump(tmp_path / folder.name / "agent" / "context_memory" / "three.json", turn("hello"))
        folder.rename(tmp_path / "away")
        (tmp_path / folder.name).rename(folder)
        every = ["one", "three", "two"]
        assert await eventually(lambda: listed(sessions), every) == every
    assert file_said(views / "one.json") == ["hello", "hello!"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("which", ["two.json", "context_memory"])
@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO])
async def test_what_could_not_be_read_when_it_was_noticed_is_looked_at_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, code: int
) -> None:
    dump(view(root, "agent", "one"), turn("hello"))
    dump(tmp_path / "two.json", turn("hello"))
    failed: list[str] = []

    def failing(path: Any, *arguments: Any, **named: Any) -> int:
        if path == which and not failed and threading.current_thread().name == "mythline-watch":
            failed.append(which)
            raise OSError(code, os.strerror(code))
        return original(path, *arguments, **named)

    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await listed(sessions) == ["one"]
        dump(view(root, "agent", "more"), turn("hello"))
        assert await eventually(lambda: listed(sessions), ["more", "one"]) == ["more", "one"]
        original = os.open
        monkeypatch.setattr(os, "open", failing)
        (tmp_path / "two.json").rename(view(root, "agent", "two"))  # in one step: it is told once
        every = ["more", "one", "two"]
        assert await eventually(lambda: listed(sessions), every) == every
        assert failed == [which]


@pytest.mark.usefixtures("hasty")
async def test_a_file_that_the_disk_does_not_give_hides_no_other(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = ["a", "one", "two"]
    for name in (*others, "bad"):
        dump(view(root, "agent", name), turn("hello"))
    original = os.open

    def failing(path: Any, *arguments: Any, **named: Any) -> int:
        if path == "bad.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(path, *arguments, **named)

    monkeypatch.setattr(os, "open", failing)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert {hit.session_id for hit in await sessions.search("hello")} == set(others)
        assert [info.session_id for info in await sessions.list(order="title")] == others
        with pytest.raises(StoreUnavailable):
            await sessions.delete_all()
        assert await listed(sessions) == others
        monkeypatch.undo()
        every = sorted([*others, "bad"])
        assert await eventually(lambda: listed(sessions), every) == every


# In turn


@pytest.mark.parametrize("form", ["same", "older"])
async def test_a_file_program_and_mythline_write_in_turn(root: Path, form: str) -> None:
    file = view(root, "agent", "shared")
    expected: list[str] = []
    with program("file_program", str(file), form) as other:
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            ids: list[str] = []
            for number in range(25):
                assert ask(other, f"theirs {number}") == str(len(expected))
                expected += said(turn(f"theirs {number}"))
                conversation = await sessions.load("shared")
                assert conversation is not None
                assert said(conversation.messages) == expected
                if number % 2:
                    conversation.messages += turn(f"ours {number}")
                    await sessions.save(conversation)
                else:
                    await sessions.append("shared", turn(f"ours {number}"))
                expected += said(turn(f"ours {number}"))
                await store.settle(sessions._key("shared"))
                assert file_said(file) == expected
                found = await entry_ids(sessions, "shared")
                assert found[: len(ids)] == ids, "a message that stayed lost its entry"
                ids = found
            assert (await sessions.info("shared")).branches == ()
    assert file_said(file) == expected
    assert len(expected) == 100


@pytest.mark.parametrize("way", ["append", "save"])
async def test_a_file_program_in_the_same_process_writes_in_turn(root: Path, way: str) -> None:
    """What a save stored is in the file when it returns, as another program goes on from that."""
    file = view(root, "agent", "one")
    expected: list[str] = []
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("start"))
        expected += said(turn("start"))
        for number in range(30):
            seen = messages_in(file)
            assert said(seen) == expected
            dump(file, [*seen, *turn(f"theirs {number}")])
            if way == "save":
                conversation = await sessions.load("one")
                assert conversation is not None
                conversation.messages += turn(f"ours {number}")
                await sessions.save(conversation)
            else:
                await sessions.append("one", turn(f"ours {number}"))
            expected += said(turn(f"theirs {number}") + turn(f"ours {number}"))
        assert await said_in(sessions, "one") == expected
        assert (await sessions.info("one")).branches == ()


async def test_a_save_does_not_wait_for_long_for_a_view_that_is_being_written(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        dump(file, turn("theirs 0"))
        assert await sessions.exists("one")
        with file.open("w") as opened:  # the file is empty from here on
            for number in range(3):
                await in_time(sessions.append("one", turn(f"ours {number}")))
            history = turn("theirs 0") + turn("theirs 1")
            json.dump(to_jsonable_python(history), opened)
        everything = said(turn("theirs 0")) + said(m for n in range(3) for m in turn(f"ours {n}"))
        assert await said_in(sessions, "one") == everything + said(turn("theirs 1"))
        assert (await sessions.info("one")).branches == ()


@pytest.mark.parametrize("slowly", [False, True])
async def test_in_turn_without_waiting_for_the_view(root: Path, slowly: bool) -> None:
    """A program that adds to a view which is behind loses nothing, nor does the session."""
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for number in range(5):
            name = f"big{number}"
            file = view(root, "agent", name)
            await sessions.create(name)
            await sessions.append(name, turn("start", "x" * 100_000))
            await store.settle(sessions._key(name))
            seen = messages_in(file)
            await sessions.append(name, turn("ours"))  # the view follows later
            theirs = json.dumps(to_jsonable_python([*seen, *turn("theirs")]), indent=2)
            with file.open("w") as opened:
                if slowly:
                    opened.write(theirs[:1000])
                    opened.flush()
                    assert await said_in(sessions, name) == said([*seen, *turn("ours")])
                    theirs = theirs[1000:]
                opened.write(theirs)
            history = await said_in(sessions, name)
            assert history == said([*seen, *turn("ours"), *turn("theirs")])
            await store.settle(sessions._key(name))
            assert file_said(file) == history
            assert (await sessions.info(name)).branches == ()


# Being written


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
@pytest.mark.parametrize("cut", [0, 1, 2, 40, -3])
async def test_a_file_that_is_half_written(root: Path, known: bool, cut: int) -> None:
    file = view(root, "agent", "one")
    whole = json.dumps(to_jsonable_python(turns(3)), indent=2)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("other")
        if known:
            dump(file, turns(2))
            assert await listed(sessions) == ["one", "other"]
            assert await said_in(sessions, "one") == said(turns(2))
        with file.open("w") as opened:
            opened.write(whole[:cut])
            opened.flush()
            assert await sessions.exists("one") == known
            assert ("one" in await listed(sessions)) == known
            if known:
                assert await said_in(sessions, "one") == said(turns(2))
            opened.write(whole[cut:] if cut else whole)
        assert await said_in(sessions, "one") == said(turns(3))
        assert await eventually(lambda: listed(sessions), ["one", "other"]) == ["one", "other"]
        assert (await sessions.info("one")).branches == ()
    assert json.loads(file.read_bytes()) == json.loads(whole)


async def test_a_file_that_is_written_slowly_is_never_lost(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await store.settle(sessions._key("one"))
        await sessions.list()
        for number in range(10):
            whole = json.dumps(
                to_jsonable_python([*messages_in(file), *turn(f"more {number}")]), indent=2
            )
            with file.open("w") as opened:
                for start in range(0, len(whole), 500):
                    opened.write(whole[start : start + 500])
                    opened.flush()
                    assert len(await said_in(sessions, "one")) in (4 + 2 * number, 6 + 2 * number)
            assert (await said_in(sessions, "one"))[-1] == f"more {number}!"
        assert (await sessions.info("one")).branches == ()
        assert len(await entry_ids(sessions, "one")) == 24


async def test_a_turn_that_is_saved_while_another_program_writes_is_kept(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await store.settle(sessions._key("one"))
        theirs = json.dumps(to_jsonable_python([*turns(2), *turn("theirs")]))
        with file.open("w") as opened:  # the file is empty from here on
            await sessions.append("one", turn("ours"))
            await in_time(store.settle(sessions._key("one")))
            opened.write(theirs)
        history = await said_in(sessions, "one")
        assert "theirs!" in history
        everything = history + [
            text
            for tip in (await sessions.info("one")).branches
            for text in said(e.message for e in await sessions.read_history(tip))
        ]
        assert "ours!" in everything

        async def shown() -> list[str]:
            return file_said(file)

        assert await eventually(shown, history) == history


# Many


async def test_a_list_of_many_files_is_whole_at_once(root: Path) -> None:
    folder = view(root, "agent", "x").parent
    folder.mkdir(parents=True)
    data = json.dumps(to_jsonable_python(turn("hello")), indent=2)
    for number in range(1500):
        (folder / f"s{number}.json").write_text(data)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        page = await sessions.list(limit=1000)
        assert len(page) == 1000
        assert all(info.message_count == 2 for info in page)
        seen = [info.session_id for info in page]
        while page.next_cursor is not None:
            page = await sessions.list(limit=1000, cursor=page.next_cursor)
            seen += [info.session_id for info in page]
        assert len(seen) == len(set(seen)) == 1500
        (agent,) = await store.agents(None)
        assert agent.session_count == 1500


async def test_a_first_list_does_not_wait_for_files_of_others(root: Path) -> None:
    data = json.dumps(to_jsonable_python(turns(20)), indent=2)
    for agent in ("large", "larger", "largest"):
        folder = view(root, agent, "x").parent
        folder.mkdir(parents=True)
        for number in range(1000):
            (folder / f"s{number}.json").write_text(data)
    dump(view(root, "small", "one"), turn("hello"))
    async with open_store(root) as store:
        for agent in ("large", "larger", "largest"):
            assert len(await store.sessions(agent).list(limit=5)) == 5
        assert await listed(store.sessions("small")) == ["one"]


async def test_a_list_of_a_large_folder_waits_for_its_names_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New files are listed though no mark was looked at; what that takes ends with the store."""
    async with open_store(root) as store:
        for number in range(3):
            await store.sessions("agent").create(f"s{number}")
    dump(view(root, "agent", "new"), turn("hello"))
    store = open_store(root)
    assert isinstance(store, LocalStore)
    looked: list[str] = []
    original = foreign._file_states

    def when_it_closes(*arguments: Any) -> Any:
        assert store._watch._stop.wait(LONG)
        looked.append(arguments[-1])
        return original(*arguments)

    monkeypatch.setattr(foreign, "_file_states", when_it_closes)
    monkeypatch.setattr(foreign, "STEP", 1)
    monkeypatch.setattr(watch, "FEW", 2)
    async with store:
        assert await listed(store.sessions("agent")) == ["new", "s0", "s1", "s2"]
        assert looked == []
    assert set(looked) == {""}  # the first of four steps


async def test_a_list_of_a_folder_that_nothing_is_known_of_is_not_empty(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes to find the newest files, and though the rest takes longer."""
    for number in range(3):
        dump(view(root, "agent", f"s{number}"), turn("hello"))
        os.utime(view(root, "agent", f"s{number}"), (number, number))
    store = open_store(root)
    assert isinstance(store, LocalStore)
    original = taking_in.add

    def slow(connection: Any, place: tuple[str, str, str], mark: Any) -> Any:
        if place[2] == "s2":
            store._watch._stop.wait(0.3)
        elif place[2] == "s0":
            store._watch._stop.wait(0.6)
        return original(connection, place, mark)

    monkeypatch.setattr(taking_in, "add", slow)
    monkeypatch.setattr(foreign, "STEP", 1)
    monkeypatch.setattr(watch, "PATIENCE", 0.1)
    async with store:
        assert [agent.agent_id for agent in await store.agents(None)] == ["agent"]
        assert "s2" in await listed(store.sessions("agent"))


async def test_lists_wait_for_a_folder_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a folder takes long, all lists together lose no more than one may."""
    async with open_store(root) as store:
        await store.sessions("agent").create("known")
    dump(view(root, "agent", "one"), turn("hello"))
    store = open_store(root)
    assert isinstance(store, LocalStore)

    def never(*_: Any) -> None:
        assert store._watch._stop.wait(LONG)

    monkeypatch.setattr(foreign.Foreign, "find_new", never)
    monkeypatch.setattr(watch, "PATIENCE", 0.3)
    async with store:
        start = time.monotonic()
        assert [agent.session_count for agent in await store.agents(None)] == [1]
        waited = time.monotonic() - start
        assert waited >= 0.3
        for _ in range(10):
            assert await listed(store.sessions("agent")) == ["known"]
        assert time.monotonic() - start < waited + 1.5


async def test_a_close_lets_nobody_wait_for_a_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for agent in ("one", "two"):
        dump(view(root, agent, "one"), turn("hello"))
    store = open_store(root)
    assert isinstance(store, LocalStore)

    def never(*_: Any) -> None:
        assert store._watch._stop.wait(LONG)

    monkeypatch.setattr(foreign.Foreign, "find_new", never)
    await store.open()
    waiting = [asyncio.ensure_future(store.delete_all(None, agent)) for agent in ("one", "two")]
    await asyncio.sleep(0)
    await store.close()
    outcomes = await in_time(asyncio.gather(*waiting, return_exceptions=True))
    assert all(isinstance(outcome, StoreClosed) for outcome in outcomes)
    assert len(messages_in(view(root, "one", "one"))) == 2


async def test_two_turns_of_another_program_before_the_view_follows(root: Path) -> None:
    """It added to a view that was behind, and again to what it wrote: each turn is there once."""
    file = view(root, "agent", "big")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("big")
        await sessions.append("big", turn("start", "x" * 100_000))
        await store.settle(sessions._key("big"))
        seen = messages_in(file)
        await sessions.append("big", turn("ours"))  # a large view follows later
        wanted = [*seen, *turn("ours")]
        for number in range(3):
            seen += turn(f"theirs {number}")
            wanted += turn(f"theirs {number}")
            dump(file, seen)
            assert (await said_in(sessions, "big"))[2:] == said(wanted)[2:]
        await store.settle(sessions._key("big"))
        assert file_said(file) == said(wanted)
        assert (await sessions.info("big")).branches == ()


async def test_a_program_that_was_upgraded_only_adds(root: Path) -> None:
    """It writes old messages in its new version's form: they are still the same messages."""
    branched: list[str] = []
    async with open_store(root) as store:
        sessions = store.sessions("weather")
        for path in WRITTEN:
            file = view(root, "weather", id_of(path))
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, file)
            history = await sessions.history(id_of(path))
            before = await entry_ids(sessions, id_of(path))
            dump(file, [*history, *turn("on")])
            after = await sessions.info(id_of(path))
            assert after.message_count == len(history) + 2
            assert (await said_in(sessions, id_of(path)))[-2:] == ["on", "on!"]
            if after.branches or (await entry_ids(sessions, id_of(path)))[:-2] != before:
                branched.append(path.stem)
    assert branched == []
