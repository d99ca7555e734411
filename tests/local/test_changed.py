"""What other programs do to views, compared with what was there; and views that are gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic_ai.messages import ModelMessage

from mythline import open_store

from .support import (
    FIXTURES,
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

WRITTEN = sorted(FIXTURES.glob("*.json"))


def id_of(path: Path) -> str:
    return path.stem.replace(".", "_")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


# What it wrote, compared with what was there


async def test_what_is_added_keeps_the_entries_before(root: Path) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(3))
        await store.settle(sessions._key("one"))
        before = await entry_ids(sessions, "one")
        revision = (await sessions.info("one")).revision
        dump(file, [*messages_in(file), *turn("more")])
        after = await sessions.info("one")
        assert await said_in(sessions, "one") == said(turns(3) + turn("more"))
        assert (await entry_ids(sessions, "one"))[:6] == before
        assert after.revision != revision
        assert after.branches == ()
        assert after.preview == "more!"


@pytest.mark.parametrize(
    ("index", "field", "value"),
    [
        (0, "metadata", {"seen": True}),
        (1, "metadata", {"rating": "up"}),
        (1, "metadata", None),
        (1, "model_name", "another"),
        (1, "finish_reason", "length"),
        (0, "instructions", "Be brief."),
    ],
)
async def test_what_it_says_beside_the_parts_is_taken_in(
    root: Path, index: int, field: str, value: object
) -> None:
    file = view(root, "agent", "one")
    first, second = turn("one")
    first = replace(first, instructions="Be kind.")
    second = replace(second, metadata={"rating": "down"}, model_name="a", finish_reason="stop")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", [first, second, *turn("two")])
        await store.settle(sessions._key("one"))
        history = messages_in(file)
        history[index] = replace(history[index], **{field: value})
        dump(file, history)
        assert await sessions.history("one") == history
        await sessions.append("one", turn("three"))
        await store.settle(sessions._key("one"))
        assert messages_in(file)[:4] == history
        assert len((await sessions.info("one")).branches) == 1


def _truncated(history: list[ModelMessage]) -> list[ModelMessage]:
    return history[:2]


def _edited(history: list[ModelMessage]) -> list[ModelMessage]:
    return [*turn("edited"), *history[2:]]


def _other(_history: list[ModelMessage]) -> list[ModelMessage]:
    return turn("other")


def _nothing(_history: list[ModelMessage]) -> list[ModelMessage]:
    return []


def _regenerated(history: list[ModelMessage]) -> list[ModelMessage]:
    return [*history[:-2], *turn("asked again"), *turn("and on")]


REWRITES = [_truncated, _edited, _other, _nothing, _regenerated]


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("rewrite", REWRITES)
async def test_a_rewritten_view_is_the_history_and_the_old_one_a_branch(
    root: Path, rewrite: Callable[[list[ModelMessage]], list[ModelMessage]], is_open: bool
) -> None:
    file = view(root, "agent", "one")
    old = turns(4)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", old)
        await store.settle(sessions._key("one"))
        old_head = (await sessions.info("one")).head_id
        assert old_head
        new = rewrite(messages_in(file))
        if is_open:
            dump(file, new)
            await sessions.info("one")
    if not is_open:
        dump(file, new)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        info = await sessions.info("one")
        assert await said_in(sessions, "one") == said(new)
        assert info.message_count == len(new)
        assert info.branches == (old_head,)
        assert said(e.message for e in await sessions.read_history(old_head)) == said(old)
        (row,) = await sessions.list()
        assert row.message_count == len(new)
        await sessions.append("one", turn("on"))
        await store.settle(sessions._key("one"))
        assert file_said(file) == [*said(new), "on", "on!"]
        back = await sessions.branch(
            "one", from_entry=old_head, expected_revision=(await sessions.info("one")).revision
        )
        assert said(back.messages) == said(old)
        assert file_said(file) == said(old)


async def test_an_older_copy_that_is_restored_is_the_history_again(root: Path) -> None:
    file = view(root, "agent", "one")
    copy = root.parent / "backup.json"
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await store.settle(sessions._key("one"))
        shutil.copy2(file, copy)
        await sessions.append("one", turn("later"))
        await store.settle(sessions._key("one"))
        head = (await sessions.info("one")).head_id
        shutil.copy2(copy, file)
        assert await said_in(sessions, "one") == said(turns(2))
        assert (await sessions.info("one")).branches == (head,)


def _touch(file: Path) -> None:
    os.utime(file)


def _touch_past(file: Path) -> None:
    os.utime(file, (1_000_000_000, 1_000_000_000))


def _copy_over(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data)


def _replace(file: Path) -> None:
    beside = file.with_suffix(".new")
    shutil.copy(file, beside)
    beside.replace(file)


def _keep_stamp(file: Path) -> None:
    beside = file.with_suffix(".new")
    shutil.copy2(file, beside)
    beside.replace(file)


def _indented(file: Path) -> None:
    dump(file, messages_in(file))


UNCHANGED = [_touch, _touch_past, _copy_over, _replace, _keep_stamp, _indented]


@pytest.mark.parametrize("how", ["id", "list", "closed"])
@pytest.mark.parametrize("change", UNCHANGED)
@pytest.mark.usefixtures("hasty")
async def test_a_view_that_says_the_same_changes_nothing(
    root: Path, change: Callable[[Path], None], how: str
) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for name in ("one", "two"):
            await sessions.create(name)
            await sessions.append(name, turns(2))
            await store.settle(sessions._key(name))
        page = await sessions.list()
        before = (await sessions.info("one"), await entry_ids(sessions, "one"))
        rows = [(info.session_id, info.last_modified, info.revision) for info in page]
        if how != "closed":
            change(view(root, "agent", "one"))
        if how == "list":
            dump(view(root, "agent", "zero"), [])  # once this is listed, so is the change before
            await eventually(lambda: listed(sessions), ["one", "two", "zero"])
            view(root, "agent", "zero").unlink()
            await eventually(lambda: listed(sessions), ["one", "two"])
        if how == "id":
            info = replace(await sessions.info("one"), size=before[0].size)
            assert (info, await entry_ids(sessions, "one")) == before
    if how == "closed":
        change(view(root, "agent", "one"))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        page = await sessions.list()
        assert [(info.session_id, info.last_modified, info.revision) for info in page] == rows
        info = await sessions.info("one")
        assert info.branches == ()
        assert await entry_ids(sessions, "one") == before[1]
        page = await sessions.list()
        assert [(info.session_id, info.last_modified, info.revision) for info in page] == rows


# Removed, and in doubt


@pytest.mark.parametrize("how", ["id", "list", "closed"])
@pytest.mark.usefixtures("hasty")
async def test_a_removed_view_takes_its_session_along_until_it_comes_back(
    root: Path, how: str
) -> None:
    file, kept = view(root, "agent", "one"), root.parent / "kept.json"
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for name in ("one", "two"):
            await sessions.create(name)
            await sessions.append(name, turns(2))
            await store.settle(sessions._key(name))
        await sessions.list()
        before = await entry_ids(sessions, "one")
        if how != "closed":
            file.rename(kept)
        if how == "list":
            assert await eventually(lambda: listed(sessions), ["two"]) == ["two"]
        if how == "id":
            assert not await sessions.exists("one")
    if how == "closed":
        file.rename(kept)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert not await sessions.exists("one")
        assert await listed(sessions) == ["two"]
        assert not file.exists()
        kept.rename(file)
        if how == "list":
            await eventually(lambda: listed(sessions), ["one", "two"])
        assert await said_in(sessions, "one") == said(turns(2))
        assert await entry_ids(sessions, "one") == before
        assert await listed(sessions) == ["one", "two"]


async def test_a_deleted_session_stays_deleted_and_its_file_returns_as_a_new_one(
    root: Path,
) -> None:
    file = view(root, "agent", "one")
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(2))
        await store.settle(sessions._key("one"))
        before = await entry_ids(sessions, "one")
        await sessions.delete("one")
        assert not file.exists()
        assert not await sessions.exists("one")
        dump(file, turns(2))  # by a program that still had it open
        assert await said_in(sessions, "one") == said(turns(2))
        assert not set(before) & set(await entry_ids(sessions, "one"))


def _without_agent(root: Path) -> None:
    shutil.rmtree(root / "agent")


def _without_folder(root: Path) -> None:
    shutil.rmtree(root / "agent/context_memory")


def _anew(root: Path) -> None:
    shutil.rmtree(root / "agent/context_memory")
    (root / "agent/context_memory").mkdir()


def _moved_away(root: Path) -> None:
    (root / "agent").rename(root.parent / "away")


def _replaced_with_others(root: Path) -> None:
    shutil.rmtree(root / "agent")
    dump(view(root, "agent", "new"), turn("new"))


IN_DOUBT = [_without_agent, _without_folder, _anew, _moved_away, _replaced_with_others]


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("loss", IN_DOUBT)
async def test_a_folder_that_is_lost_loses_no_session(
    root: Path, loss: Callable[[Path], None], is_open: bool
) -> None:
    names = [f"s{number}" for number in range(12)]
    expected = sorted([*names, "new"]) if loss is _replaced_with_others else sorted(names)

    async def check(root: Path) -> None:
        async def all_views() -> list[str]:
            return sorted(path.stem for path in glob(root, "agent/context_memory/*.json"))

        assert await eventually(lambda: listed(sessions), expected) == expected
        assert await said_in(sessions, "s3") == said(turn("s3"))
        assert await eventually(all_views, expected) == expected
        for name in names:
            assert file_said(view(root, "agent", name)) == said(turn(name))
        assert await listed(sessions) == expected

    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for name in names:
            await sessions.create(name)
            await sessions.append(name, turn(name))
            await store.settle(sessions._key(name))
        await sessions.list()
        ids = await entry_ids(sessions, "s3")
        if is_open:
            loss(root)
            await check(root)
    if not is_open:
        loss(root)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await check(root)
        assert await entry_ids(sessions, "s3") == ids


@pytest.mark.parametrize("how", ["copy", "copy with stamps", "database alone", "moved"])
async def test_a_store_that_is_copied_is_the_same_store(root: Path, how: str) -> None:
    other = root.parent / "other"
    async with open_store(root) as store:
        for owner in (None, "alice"):
            sessions = store.sessions("agent", owner=owner)
            for number in range(5):
                await sessions.create(f"s{number}")
                if number:
                    await sessions.append(f"s{number}", turns(number))
            await sessions.append("s2", turn("last"))
    async with open_store(root) as store:
        before = [
            (info.session_id, info.last_modified, info.revision, info.message_count)
            for owner in (None, "alice")
            for info in await store.sessions("agent", owner=owner).list()
        ]
    if how == "moved":
        os.rename(root, other)  # noqa: PTH104
    elif how == "database alone":
        other.mkdir()
        shutil.copy(root / "sessions.sqlite3", other)
    else:
        copy = shutil.copy2 if "stamps" in how else shutil.copy
        shutil.copytree(root, other, copy_function=copy)
    async with open_store(other) as store:

        async def views() -> list[str]:
            return sorted(str(path.relative_to(other)) for path in other.rglob("s*.json"))

        for attempt in ("at once", "later"):
            after = [
                (info.session_id, info.last_modified, info.revision, info.message_count)
                for owner in (None, "alice")
                for info in await store.sessions("agent", owner=owner).list()
            ]
            assert after == before, attempt
            assert len(await eventually(views, 10, within=0.2)) <= 10
            for owner in (None, "alice"):
                sessions = store.sessions("agent", owner=owner)
                for number in range(5):
                    wanted = said(turns(number)) + (said(turn("last")) if number == 2 else [])
                    assert await said_in(sessions, f"s{number}") == wanted

        async def missing() -> int:
            return 10 - len(await views())

        assert await eventually(missing, 0) == 0
        # A copy is a store of its own: removing a view there removes the session there.
        await store.sessions("agent").append("s1", turn("more"))
        await store.settle(store.sessions("agent")._key("s1"))
    assert file_said(view(other, "agent", "s1"))[-1] == "more!"


@pytest.mark.parametrize("parts", ["database", "everything of it"])
async def test_a_lost_database_comes_back_from_the_views(root: Path, parts: str) -> None:
    async with open_store(root) as store:
        for owner in (None, "alice", "漢" * 200):
            sessions = store.sessions("agent", owner=owner)
            for number in range(5):
                await sessions.create(f"s{number}")
                if number:
                    await sessions.append(f"s{number}", turns(number))
    assert {path.name for path in glob(root, "sessions.sqlite3*")} >= {"sessions.sqlite3"}
    for file in glob(root, "sessions.sqlite3*"):
        if parts != "database" or file.name == "sessions.sqlite3":
            file.unlink()
    async with open_store(root) as store:
        for owner in (None, "alice", "漢" * 200):
            sessions = store.sessions("agent", owner=owner)
            assert await listed(sessions) == [f"s{number}" for number in range(5)]
            for number in range(5):
                assert await said_in(sessions, f"s{number}") == said(turns(number))
            await sessions.append("s4", turn("on"))
    assert file_said(view(root, "agent", "s4", "alice")) == [*said(turns(4)), "on", "on!"]


async def test_a_folder_that_is_being_removed_trashes_no_session(root: Path) -> None:
    """The files of a folder go one by one, and a session that is asked for meanwhile stays."""
    names = [f"s{number}" for number in range(6)]
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for name in names:
            await sessions.create(name)
            await sessions.append(name, turn(name))
            await store.settle(sessions._key(name))
        await sessions.list()
        folder = root / "agent/context_memory"
        for name in names:
            (folder / f"{name}.json").unlink()
            if name == "s3":
                await sessions.exists("s3")  # a request, in the middle of `rm -r`
        folder.rmdir()
        (root / "agent").rmdir()
        assert await eventually(lambda: listed(sessions), names) == names
