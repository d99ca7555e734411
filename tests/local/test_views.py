"""Views: valid JSON with one message a line at all times, and what is stored once it is quiet."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    UserPromptPart,
)

from mythline import open_store
from mythline.local import foreign, layout, views
from mythline.sessions import AgentSessions

from .support import (
    LONG,
    ask,
    dump,
    eventually,
    exported,
    file_said,
    glob,
    in_time,
    leftovers,
    lines_of,
    listed,
    messages_in,
    program,
    read,
    said,
    said_in,
    turn,
    turns,
    view,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


async def settled(sessions: AgentSessions, session_id: str) -> None:
    await in_time(sessions.store.settle(sessions._key(session_id)))


async def test_a_view_is_the_history_one_message_a_line(root: Path) -> None:
    odd: list[ModelMessage] = [
        *turn("a\nb\r\n\u2028\u2029\x85\x00", '"quotes" \\ [1, {"a": ]}'),
        ModelRequest(
            parts=[
                UserPromptPart(["see", BinaryContent(bytes(range(256)), media_type="image/png")])
            ]
        ),
        *turn("", "漢字 🐉"),
    ]
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        assert file.read_bytes() == b"[]\n" == await exported(sessions, "one")
        await sessions.append("one", odd)
        await settled(sessions, "one")
        found = lines_of(file.read_bytes())
        assert len(found) == 5
        assert found == read(file) == json.loads(await exported(sessions, "one"))
        assert file.read_bytes() == await exported(sessions, "one")
        assert (await sessions.info("one")).size == file.stat().st_size
        image: Any = (await sessions.history("one"))[2].parts[0]
        assert image.content[1].data == bytes(range(256))
        assert said((await sessions.history("one"))[:2]) == said(odd[:2])


async def test_a_foreign_file_becomes_one_message_a_line_when_it_goes_on(root: Path) -> None:
    file = view(root, "agent", "one")
    dump(file, turns(3))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert (await sessions.info("one")).size == file.stat().st_size
        await sessions.append("one", turn("on"))
        await settled(sessions, "one")
        assert len(lines_of(file.read_bytes())) == 8
        assert file.read_bytes() == await exported(sessions, "one")


async def test_a_view_of_any_size_shows_everything_after_a_settle_and_a_close(root: Path) -> None:
    large = view(root, "agent", "large")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("large")
        for number in range(4):
            await sessions.append("large", turn(f"{number}", "x" * 50_000))
        await settled(sessions, "large")
        assert large.read_bytes() == await exported(sessions, "large")
        await sessions.append("large", turn("later"))

        async def shown() -> str:
            return file_said(large)[-1]

        assert await eventually(shown, "later!") == "later!"  # without being asked to
        await sessions.append("large", turn("last"))
    assert file_said(large)[-1] == "last!"
    assert len(lines_of(large.read_bytes())) == 12
    assert leftovers(root) == []


async def test_a_view_follows_a_save_that_its_caller_gave_up_on(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        saving = asyncio.ensure_future(sessions.append("one", turn("a")))
        await asyncio.sleep(0)
        saving.cancel()
        await asyncio.wait([saving])
        assert saving.cancelled()

        async def shown() -> tuple[list[str], list[str]]:
            return await said_in(sessions, "one"), file_said(view(root, "agent", "one"))

        wanted = said(turn("a")), said(turn("a"))
        assert await eventually(shown, wanted) == wanted


async def test_a_view_follows_after_another_one_was_settled(root: Path) -> None:
    """Of two large sessions whose views wait a while, one is asked to be written at once."""
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        long = [*turn("long"), *turn("x" * 100_000)]
        for name in ("one", "two"):
            await sessions.create(name)
        await sessions.append("one", long)
        await store.settle(sessions._key("one"))
        await sessions.append("two", long)

        async def shown() -> list[str]:
            return file_said(view(root, "agent", "two"))

        assert await eventually(shown, said(long)) == said(long)


async def test_forks_branches_and_deletions_are_shown(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(3))
        fork = await sessions.fork("one", at=2, new_conversation_id="fork")
        assert file_said(view(root, "agent", "fork")) == said(turns(1)) == said(fork.messages)
        revision = (await sessions.info("one")).revision
        await sessions.branch("one", at=4, expected_revision=revision)
        assert file_said(view(root, "agent", "one")) == said(turns(2))
        await sessions.append("fork", turn("on"))
        await sessions.delete("one")
        assert not view(root, "agent", "one").exists()
        await settled(sessions, "fork")
        assert file_said(view(root, "agent", "fork")) == said(turns(1) + turn("on"))
        await sessions.purge("fork")
        assert not view(root, "agent", "fork").exists()
        array = ModelMessagesTypeAdapter.dump_json(turns(2))
        await sessions.import_(array, session_id="three")
        assert file_said(view(root, "agent", "three")) == said(turns(2))
        await sessions.import_(b"[]", session_id="three", on_conflict="replace")
        assert read(view(root, "agent", "three")) == []
        assert await sessions.delete_all() == 1
        assert not view(root, "agent", "three").exists()


async def test_a_fork_of_a_long_session_does_not_wait_for_its_view(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    write = views.Views._write

    def late(self: views.Views, session: int) -> views.Outcome:
        gate.wait(LONG)
        return write(self, session)

    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("long " * 20_000))
        monkeypatch.setattr(views.Views, "_write", late)
        try:
            await in_time(sessions.fork_at("one", new_session_id="two"), within=LONG / 4)
        finally:
            gate.set()
        await settled(sessions, "two")
        assert view(root, "agent", "two").read_bytes() == await exported(sessions, "one")


@pytest.mark.parametrize(
    ("saves", "text"), [(500, "small"), (60, "large " * 15_000)], ids=["small", "large"]
)
async def test_a_reader_never_sees_half_a_view(root: Path, saves: int, text: str) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("first", text))
        await settled(sessions, "one")
        with program("watch_view", str(file)) as reader:
            assert ask(reader, "start") == "started"
            for number in range(saves):
                await sessions.append("one", turn(f"{number}"))
                if number % 20 == 0:
                    await settled(sessions, "one")
            await settled(sessions, "one")
            result = json.loads(ask(reader, "stop"))
        assert result["problems"] == []
        assert result["reads"] > 50
        assert result["versions"] > 2
        assert len(lines_of(file.read_bytes())) == 2 + 2 * saves


# Off


async def test_without_views_there_are_no_files_and_none_is_read(root: Path) -> None:
    dump(view(root, "agent", "theirs"), turn("hello"))
    async with open_store(root, views=False) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await settled(sessions, "one")
        assert await listed(sessions) == ["one"]
        assert not await sessions.exists("theirs")
        await sessions.create("theirs-2")
        await sessions.delete("theirs-2")
    assert [path.name for path in glob(root, "**/*.json")] == ["theirs.json"]
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await listed(sessions) == ["one", "theirs"]

        async def shown() -> bool:
            return view(root, "agent", "one").exists()

        assert await eventually(shown)
        assert file_said(view(root, "agent", "one")) == said(turns(2))


async def test_a_session_of_both_is_joined_when_views_are_on_again(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
    file = view(root, "agent", "one")
    async with open_store(root, views=False) as store:
        await store.sessions("agent").append("one", turn("ours"))
    dump(file, [*messages_in(file), *turn("theirs")])
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        expected = said(turns(2) + turn("ours") + turn("theirs"))
        assert await said_in(sessions, "one") == expected
        await settled(sessions, "one")
        assert file_said(file) == expected


# Behind, and caught up


async def test_stale_views_are_brought_up_to_date_at_the_next_open(root: Path) -> None:
    count = 1200
    async with open_store(root, views=False) as store:
        sessions = store.sessions("agent")

        async def make(number: int) -> None:
            await sessions.create(f"s{number}")
            await sessions.append(f"s{number}", turn(f"{number}"))

        for start in range(0, count, 100):
            await asyncio.gather(*(make(number) for number in range(start, start + 100)))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await settled(sessions, "s700")
        assert file_said(view(root, "agent", "s700")) == ["700", "700!"]
        await sessions.append("s1199", turn("more"))

        async def missing() -> int:
            return count - len(list((root / "agent/context_memory").glob("*.json")))

        assert await eventually(missing, 0, within=LONG / 2) == 0
        await settled(sessions, "s1199")
        assert file_said(view(root, "agent", "s1199")) == ["1199", "1199!", "more", "more!"]
    for number in range(0, count - 1, 97):
        assert file_said(view(root, "agent", f"s{number}")) == [f"{number}", f"{number}!"]
    assert leftovers(root) == []


async def test_a_close_at_once_after_an_open_leaves_valid_views(root: Path) -> None:
    async with open_store(root, views=False) as store:
        for number in range(50):
            await store.sessions("agent").create(f"s{number}")
    for _ in range(10):
        async with open_store(root):
            pass
    for file in (root / "agent").rglob("*.json"):
        assert read(file) == []


async def test_a_store_can_be_opened_again(root: Path) -> None:
    store = open_store(root)
    for number in range(3):
        async with store:
            sessions = store.sessions("agent")
            await in_time(sessions.create(f"s{number}"), 10)
            await in_time(sessions.append(f"s{number}", turn("hello")), 10)
            await settled(sessions, f"s{number}")
            assert file_said(view(root, "agent", f"s{number}")) == ["hello", "hello!"]
            dump(view(root, "agent", f"theirs{number}"), turn("hello"))
            assert len(await listed(sessions)) == 2 * number + 2
    await store.close()


async def test_every_method_of_a_store_that_is_not_open_says_so(root: Path) -> None:
    from mythline.errors import StoreClosed

    store = open_store(root)
    sessions = store.sessions("agent")
    before = {thread.ident for thread in threading.enumerate()}
    for state in ("never opened", "closed"):
        if state == "closed":
            async with store:
                await sessions.create("one")
        for make in (
            lambda: sessions.create("two"),
            lambda: sessions.create(),
            lambda: sessions.exists("one"),
            lambda: sessions.info("one"),
            lambda: sessions.latest(),
            lambda: sessions.list(),
            lambda: sessions.entries("one"),
            lambda: sessions.transcript("one"),
            lambda: sessions.append("one", turn("x")),
            lambda: sessions.load("one"),
            lambda: sessions.save_history("one", turn("x")),
            lambda: sessions.export("one"),
            lambda: sessions.import_(b"[]"),
            lambda: sessions.delete("one"),
            lambda: sessions.purge("one"),
            lambda: sessions.delete_all(),
            lambda: sessions.list_conversations(),
            lambda: store.agents(None),
        ):
            with pytest.raises(StoreClosed):
                await in_time(make(), 10)
        assert bool(glob(root, "*")) == (state == "closed"), "something was made"
    await store.close()
    left = [
        thread.name
        for thread in threading.enumerate()
        if thread.ident not in before and thread.name.startswith("mythline")
    ]
    assert left == []


# In the moment of a publication


async def test_a_file_that_appears_in_the_moment_of_publication_is_not_lost(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program makes the file between the store's look at the place and its rename."""
    file = view(root, "agent", "one")
    name = "remember_folder"
    original = getattr(views, name)
    done = threading.Event()

    def racing(*arguments: Any) -> Any:
        found = original(*arguments)
        if not done.is_set():
            done.set()
            dump(file, turn("theirs"))
        return found

    monkeypatch.setattr(views, name, racing)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        with contextlib.suppress(Exception):
            await in_time(sessions.create("one"))
        assert done.is_set()
        await sessions.append("one", turn("ours"))
        await settled(sessions, "one")
        assert await said_in(sessions, "one") == said(turn("theirs") + turn("ours"))
        assert file_said(file) == said(turn("theirs") + turn("ours"))


@pytest.mark.parametrize("how", ["in place", "renamed over", "removed", "link"])
async def test_a_view_that_changes_in_the_moment_of_publication_is_taken_in(
    root: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Another program writes between the store's look at a view and the change of places."""
    file = view(root, "agent", "one")
    secret = root.parent / "secret.json"
    original = views.exchange
    done = threading.Event()
    armed = threading.Event()

    def racing(folder: int, one: str, other: str) -> bool:
        if armed.is_set() and not done.is_set():
            done.set()
            if how == "in place":
                dump(file, [*turn("first"), *turn("theirs")])
            elif how == "renamed over":
                beside = root / "new.json"
                dump(beside, [*turn("first"), *turn("theirs")])
                beside.replace(file)
            elif how == "removed":
                file.unlink()
            else:
                dump(secret, turn("secret"))
                file.unlink()
                file.symlink_to(secret)
        return original(folder, one, other)

    monkeypatch.setattr(views, "exchange", racing)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("first"))
        await settled(sessions, "one")
        armed.set()
        await sessions.append("one", turn("ours"))
        await settled(sessions, "one")
        assert done.is_set()
        if how == "removed":
            if await sessions.exists("one"):
                assert await said_in(sessions, "one") == said(turn("first") + turn("ours"))
        elif how == "link":
            assert await said_in(sessions, "one") == said(turn("first") + turn("ours"))
            assert file_said(secret) == said(turn("secret"))
        else:
            info = await sessions.info("one")
            everything = await said_in(sessions, "one") + [
                text
                for tip in info.branches
                for text in said(e.message for e in await sessions.read_history(tip))
            ]
            assert {"first!", "ours!", "theirs!"} <= set(everything)

            async def shown() -> list[str]:
                return file_said(file)

            wanted = await said_in(sessions, "one")
            assert await eventually(shown, wanted) == wanted
    assert [name for name in leftovers(root) if name.endswith(".tmp")] == []


@pytest.mark.parametrize("missing", ["exchange", "identity", "both"])
async def test_it_works_where_the_system_has_no_such_call(
    root: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing != "identity":
        monkeypatch.setattr(views, "exchange", lambda *_: False)
    if missing != "exchange":
        for module in (views, foreign, layout):
            monkeypatch.setattr(module, "identity", lambda _: None)
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await settled(sessions, "one")
        assert file_said(file) == said(turns(2))
        dump(file, turns(3))
        assert await said_in(sessions, "one") == said(turns(3))
        await sessions.append("one", turn("on"))
        await settled(sessions, "one")
        assert file_said(file) == said(turns(3) + turn("on"))
        await sessions.list()
        file.unlink()
        if missing == "exchange":
            assert not await sessions.exists("one")
        else:  # in doubt it is written again

            async def back() -> bool:
                assert await sessions.exists("one")
                return file.exists()

            assert await eventually(back)
            assert file_said(file) == said(turns(3) + turn("on"))
            assert await listed(sessions) == ["one"]
    assert leftovers(root) == []


@pytest.mark.parametrize("kind", ["hard link", "link", "fifo", "directory"])
@pytest.mark.usefixtures("hasty")
async def test_what_lies_where_a_view_is_prepared_is_not_written_to(
    root: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Even where someone guesses the name that a file beside a view will have."""
    name = ".one.guessed.tmp"
    monkeypatch.setattr(views, "name_beside", lambda _: name)
    secret = root.parent / "secret.txt"
    secret.write_text("secret")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        beside = root / "agent/context_memory" / name
        if kind == "hard link":
            beside.hardlink_to(secret)
        elif kind == "link":
            beside.symlink_to(secret)
        elif kind == "fifo":
            os.mkfifo(beside)
        else:
            beside.mkdir()
        await in_time(sessions.append("one", turn("hello")), 10)
        await settled(sessions, "one")
        assert await said_in(sessions, "one") == ["hello", "hello!"]
    assert secret.read_text() == "secret"
    if kind == "link":
        assert beside.is_symlink()


@pytest.mark.usefixtures("hasty")
async def test_what_a_view_could_not_be_written_to_is_removed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk, say, where each try would take more of what becomes free."""
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")

        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        async def shown() -> list[str]:
            return file_said(view(root, "agent", "one"))

        with monkeypatch.context() as patched:
            patched.setattr(os, "utime", full)
            await sessions.append("one", turn("hello"))
            await settled(sessions, "one")  # that is, after more than one try
            assert file_said(view(root, "agent", "one")) == []
            assert leftovers(root) == []
        assert await eventually(shown, said(turn("hello")), within=5) == said(turn("hello"))


async def go_on_with(root: Path, file: Path) -> None:
    """Have Mythline write the view of a session that another program wrote."""
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.append("one", turn("more"))
        await settled(sessions, "one")
        assert file_said(file) == said(turn("hello") + turn("more"))


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o444])
async def test_a_view_has_the_permissions_of_the_file_it_replaces(root: Path, mode: int) -> None:
    file = view(root, "agent", "one")
    dump(file, turn("hello"))
    file.chmod(mode)
    other = os.geteuid() or 12345, os.getegid() or 12345  # only root may give files away
    os.chown(file, *other)
    await go_on_with(root, file)
    found = file.stat()
    assert stat.S_IMODE(found.st_mode) == mode
    assert (found.st_uid, found.st_gid) == other


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize(("mode", "kept"), [(0o660, 0o600), (0o664, 0o644)])
async def test_a_group_that_a_view_can_not_have_is_not_replaced_by_another(
    root: Path, monkeypatch: pytest.MonkeyPatch, mode: int, kept: int
) -> None:
    file = view(root, "agent", "one")
    dump(file, turn("hello"))
    file.chmod(mode)
    os.chown(file, 0, 12345)

    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refuse)
    await go_on_with(root, file)
    found = file.stat()
    assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (os.getegid(), kept)
