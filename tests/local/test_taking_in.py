"""What a session carries through other programs' changes: state, branches, forks, times."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import RunUsage

from mythline import open_store

from .support import (
    dump,
    entry_ids,
    eventually,
    file_said,
    glob,
    listed,
    messages_in,
    said,
    said_in,
    turn,
    turns,
    view,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


async def test_a_save_over_another_programs_turn_is_a_conflict(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await store.settle(sessions._key("one"))
        conversation = await sessions.load("one")
        assert conversation is not None
        dump(file, [*messages_in(file), *turn("theirs")])
        conversation.messages += turn("ours")
        with pytest.raises(ConversationConflict):
            await sessions.save(conversation)
        conversation = await sessions.load("one")
        assert conversation is not None
        conversation.messages += turn("ours")
        await sessions.save(conversation)
        assert await said_in(sessions, "one") == said(turns(2) + turn("theirs") + turn("ours"))
        dump(view(root, "agent", "two"), turn("theirs"))
        with pytest.raises(ConversationConflict):
            await sessions.save(Conversation(messages=turn("ours"), conversation_id="two"))
        assert await said_in(sessions, "two") == said(turn("theirs"))


@pytest.mark.parametrize("change", ["touched", "added", "rewritten"])
async def test_what_a_session_carries_beside_its_messages(root: Path, change: str) -> None:
    file = view(root, "agent", "one")
    deferred = DeferredToolRequests(approvals=[ToolCallPart("pay", {"x": 1}, tool_call_id="c")])
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one", title="Mine", tags=["a"], metadata={"k": [1]})
        conversation = await sessions.load("one")
        assert conversation is not None
        conversation.messages += turns(2)
        conversation.usage = RunUsage(requests=3, input_tokens=7)
        conversation.deferred_tool_requests = deferred
        await sessions.save(conversation)
        await store.settle(sessions._key("one"))
        if change == "touched":
            os.utime(file)
        elif change == "added":
            dump(file, [*messages_in(file), *turn("theirs")])
        else:
            dump(file, turn("theirs"))
        info = await sessions.info("one")
        assert (info.title, info.tags, info.metadata) == ("Mine", ("a",), {"k": [1]})
        again = await sessions.load("one")
        assert again is not None
        assert again.usage == RunUsage(requests=3, input_tokens=7)
        waits = again.deferred_tool_requests is not None
        assert waits == (change == "touched"), "the turn that was taken in answers it"


async def test_each_rewrite_leaves_a_branch_and_each_can_be_gone_back_to(root: Path) -> None:
    file = view(root, "agent", "one")
    versions = [[*turn("start"), *turn(f"version {number}")] for number in range(5)]
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for version in versions:
            dump(file, version)
            assert await said_in(sessions, "one") == said(version)
        branches = (await sessions.info("one")).branches
        assert len(branches) == 4
        for tip, version in zip(branches, versions, strict=False):
            assert said(e.message for e in await sessions.read_history(tip)) == said(version)
        dump(file, versions[0])  # the first again: what is said counts, not who said it before
        assert await said_in(sessions, "one") == said(versions[0])
        first = (await entry_ids(sessions, "one"))[0]
        revision = (await sessions.info("one")).revision
        back = await sessions.branch("one", from_entry=branches[2], expected_revision=revision)
        assert said(back.messages) == said(versions[2])
        assert (await entry_ids(sessions, "one"))[0] == first


async def test_forks_keep_what_another_program_rewrites_in_their_origin(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        dump(file, turns(3))
        await sessions.fork("one", new_conversation_id="fork")
        dump(file, turn("other"))
        assert await said_in(sessions, "one") == ["other", "other!"]
        assert await said_in(sessions, "fork") == said(turns(3))
        file.unlink()
        assert not await sessions.exists("one")
        assert await said_in(sessions, "fork") == said(turns(3))
        dump(view(root, "agent", "fork"), [*turns(3), *turn("on")])
        assert await said_in(sessions, "fork") == said(turns(3) + turn("on"))
        assert (await sessions.info("fork")).branches == ()


async def test_a_purge_leaves_nothing_behind(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for number in range(4):
            dump(file, [*turns(number), *turn(f"different {number}")])
            await sessions.append("one", turn(f"ours {number}"))
            await store.settle(sessions._key("one"))
        await sessions.fork("one", at=3, new_conversation_id="fork")
        await sessions.append("fork", turn("more"))
        file.unlink()
        assert not await sessions.exists("one")
        dump(file, turn("back"))
        assert await said_in(sessions, "one") == ["back", "back!"]
        await sessions.purge("one")
        assert len(await said_in(sessions, "fork")) == 5
        await sessions.purge("fork")
        assert glob(root, "agent/context_memory/*") == []
    connection = sqlite3.connect(root / "sessions.sqlite3")
    try:
        for table in ("sessions", "session_state", "entries", "lines", "branches"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


async def test_times_of_files(root: Path) -> None:
    made = datetime(2024, 2, 3, 4, 5, 6, tzinfo=UTC)
    stamps = {f"s{number}": made + timedelta(days=(number * 7) % 10) for number in range(10)}
    for name, stamp in stamps.items():
        dump(view(root, "agent", name), turn("hello"))
        os.utime(view(root, "agent", name), (stamp.timestamp(), stamp.timestamp()))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        page = await sessions.list()
        newest_first = sorted(stamps, key=lambda name: stamps[name], reverse=True)
        assert [info.session_id for info in page] == newest_first
        assert {info.session_id: info.last_modified for info in page} == stamps
        first = messages_in(view(root, "agent", "s3"))[0]
        (part,) = first.parts
        assert (await sessions.info("s3")).created == getattr(part, "timestamp", None)
        dump(view(root, "agent", "s3"), turns(2))
        stamp = stamps["s9"] + timedelta(days=100)
        os.utime(view(root, "agent", "s3"), (stamp.timestamp(), stamp.timestamp()))
        info = await sessions.info("s3")
        assert info.last_modified == stamp
        latest = await sessions.latest()
        assert latest is not None
        assert latest.session_id == "s3"
        before = datetime.now(UTC)
        await sessions.append("s5", turn("on"))
        assert (await sessions.info("s5")).last_modified >= before


async def test_a_file_of_the_future_is_not_newest_for_ever(root: Path) -> None:
    dump(view(root, "agent", "future"), turn("hello"))
    os.utime(view(root, "agent", "future"), (4_102_444_800, 4_102_444_800))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert (await sessions.info("future")).last_modified <= datetime.now(UTC)
        await sessions.create("now")
        latest = await sessions.latest()
        assert latest is not None
        assert latest.session_id == "now"
        assert await said_in(sessions, "future") == ["hello", "hello!"]


@pytest.mark.usefixtures("hasty")
async def test_where_nothing_tells_of_changes_they_are_found_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the system's limit of watches is used up."""
    import watchfiles

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watchfiles, "watch", refuse)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        assert await listed(sessions) == ["one"]
        dump(view(root, "agent", "two"), turn("hello"))
        assert await eventually(lambda: listed(sessions), ["one", "two"]) == ["one", "two"]
        view(root, "agent", "two").unlink()
        assert await eventually(lambda: listed(sessions), ["one"]) == ["one"]


@pytest.mark.usefixtures("hasty")
async def test_an_accident_of_the_watch_is_not_its_end(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One change that can't be handled, whatever the reason, doesn't hide all that follow."""
    from mythline.local import foreign

    original = foreign.Foreign.notice
    accidents: list[object] = []

    def notice(self: Any, place: Any) -> None:
        if place[2] == "bad":
            accidents.append(place)
            raise OverflowError("something that nobody thought of")
        original(self, place)

    monkeypatch.setattr(foreign.Foreign, "notice", notice)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.list()
        dump(view(root, "agent", "two"), turn("hello"))
        assert await eventually(lambda: listed(sessions), ["one", "two"]) == ["one", "two"]
        dump(view(root, "agent", "bad"), turn("hello"))

        async def count() -> bool:
            return len(accidents) > 0

        assert await eventually(count)
        dump(view(root, "agent", "three"), turn("hello"))

        async def is_listed() -> bool:
            return "three" in await listed(sessions)

        assert await eventually(is_listed)


@pytest.mark.usefixtures("hasty")
async def test_a_folder_of_any_name_can_hold_a_store(tmp_path: Path) -> None:
    names = ["we?ird #1 %41 [x] *", os.fsdecode(b"raw\xff"), "file:x?mode=ro"]
    for name in names:
        root = tmp_path / name
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            await sessions.list()
            dump(view(root, "agent", "two"), turn("hello"))
            found = await eventually(lambda s=sessions: listed(s), ["one", "two"])
            assert found == ["one", "two"], ascii(name)


async def test_nothing_is_left_open(root: Path) -> None:
    async def use() -> None:
        async with open_store(root) as store:
            sessions = store.sessions("agent", owner="alice")
            dump(view(root, "agent", "theirs", "alice"), turn("hello"))
            await sessions.list()
            await asyncio.gather(*(said_in(sessions, "theirs") for _ in range(8)))
            await sessions.append("theirs", turn("more"))
            view(root, "agent", "theirs", "alice").unlink()
            await sessions.exists("theirs")
            (root / "file").mkdir(exist_ok=True)
            (root / "file/context_memory").write_text("")
            with pytest.raises(Exception, match="folder"):
                await store.sessions("file").create("one")

    await use()
    descriptors = set(glob(Path("/proc/self/fd"), "*"))
    threads = set(threading.enumerate())
    for _ in range(5):
        await use()
    left = {thread for thread in threading.enumerate() if thread.name.startswith("mythline")}
    assert left - threads == set()
    assert len(set(glob(Path("/proc/self/fd"), "*")) - descriptors) <= 1  # listing opens one


async def test_one_with_views_and_one_without(root: Path) -> None:
    """A store without views beside one with: what it saves is shown by the other's next write."""
    async with open_store(root) as store, open_store(root, views=False) as plain:
        a, b = store.sessions("agent"), plain.sessions("agent")
        await a.create("one")
        for number in range(5):
            await b.append("one", turn(f"plain {number}"))
            await a.append("one", turn(f"shown {number}"))
            await store.settle(a._key("one"))
            assert file_said(view(root, "agent", "one")) == await said_in(b, "one")
        await b.create("two")
        await b.append("two", turn("hello"))
        assert await said_in(a, "two") == ["hello", "hello!"]


@pytest.mark.parametrize("how", ["delete", "purge", "delete_all"])
async def test_a_session_that_is_deleted_without_views_doesnt_come_back(
    root: Path, how: str
) -> None:
    """Its view is no other program's file, though this store doesn't write views."""
    async with open_store(root) as store:
        await store.sessions("agent").create("one")
        await store.sessions("agent").append("one", turn("hello"))
    async with open_store(root, views=False) as store:
        sessions = store.sessions("agent")
        await (sessions.delete_all() if how == "delete_all" else getattr(sessions, how)("one"))
        assert await listed(sessions) == []
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert not await sessions.exists("one")
        assert await listed(sessions) == []
