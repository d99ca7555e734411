"""Damage of one session inside the database: it is told, typed, and all others go on."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from mythline import open_store
from mythline.archives import export_all
from mythline.errors import StoreCorrupt
from mythline.sessions import AgentSessions
from mythline.testing.samples import deferred, saved, turn, turns, usage
from tests.local.support import dump, in_time, said, view

ONE = "(SELECT n FROM sessions WHERE session_id = 'one' AND owner = '')"
LAST = "(SELECT line FROM sessions WHERE session_id = 'one' AND owner = '')"
"""The line that its history ends in, which follows another one."""

HISTORIES = {
    "a line that follows itself": f"UPDATE lines SET follows = line << 20 WHERE line = {LAST}",
    "lines that follow each other": (
        f"UPDATE lines SET follows = {LAST} << 20, base = 1 WHERE line <> {LAST}"
        f" AND line = (SELECT follows >> 20 FROM lines WHERE line = {LAST})"
    ),
    "a line that follows nothing": f"UPDATE lines SET follows = 0 WHERE line = {LAST}",
    "a line that begins before the first": f"UPDATE lines SET base = -1 WHERE line = {LAST}",
    "a line that isn't there": f"DELETE FROM lines WHERE line = {LAST}",
    "a message that isn't there": f"DELETE FROM entries WHERE n = {LAST} << 20",
    "no last message": (
        f"DELETE FROM entries WHERE n = (SELECT head FROM sessions WHERE n = {ONE})"
    ),
}
NO_JSON = {
    "usage": [b"", b"no", b"\xff", b"[]", b'{"a":'],
    "deferred": [b"", b"no", b"\xff", b"[]", b"null"],
    "metadata": ["", "no", "[1]", '{"a":'],
    "tags": ["", "no", "{}", "[1]", '["a'],
}


async def fill(root: Path, **options: Any) -> None:
    """One session whose history spans two lines, with a branch; another; an owner's."""
    async with open_store(root, **options) as store:
        sessions = store.sessions("agent")
        first = await saved(sessions, "a", "b")
        await sessions.branch("one", at=2, expected_revision=first.revision)
        again = await sessions.load("one")
        assert again is not None
        again.messages += turns("c", "d")
        again.usage, again.deferred_tool_requests = usage(), deferred()
        await sessions.save(again)
        await sessions.update("one", tags=["x", "y"], metadata={"k": 1})
        await saved(sessions, "else", conversation_id="two")
        await saved(store.sessions("agent", owner="al/ice"), "hers")
        await sessions.search("else")  # all is in the index


def damage(root: Path, statement: str, *values: object) -> None:
    database = sqlite3.connect(root / "sessions.sqlite3")
    with database:
        assert database.execute(statement, values).rowcount == 1
    database.close()


async def findings(root: Path, **options: Any) -> list[Any]:
    async with open_store(root, **options) as store:
        return [finding async for finding in store.check()]


async def fixed(root: Path, **options: Any) -> list[Any]:
    async with open_store(root, **options) as store:
        return [finding async for finding in store.check(fix=True)]


async def others_go_on(sessions: AgentSessions) -> None:
    """Lists have them all, and what isn't damaged is as it was."""
    for page in (await sessions.list(), await sessions.list(order="title")):
        assert {info.session_id for info in page} == {"one", "two"}
    records = await sessions.list_conversations()
    assert {record.conversation_id for record in records} == {"one", "two"}
    assert await sessions.count() == 2
    assert {hit.session_id for hit in await sessions.search("else")} == {"two"}
    for tag in ("x", None):
        await in_time(sessions.search("c", tag=tag), 10)
    assert (await sessions.history("two"))[:2] == turns("else")
    conversation = await sessions.load("two")
    assert conversation is not None
    conversation.messages += turn("more")
    await sessions.save(conversation)
    hers = sessions.store.sessions("agent", owner="al/ice")
    assert await hers.history("one") == turns("hers")
    [_ async for _ in export_all(sessions.store, owners=["al/ice"])]


async def check_refused(calls: dict[str, Callable[[], Awaitable[Any]]]) -> None:
    for name, call in calls.items():
        with pytest.raises(StoreCorrupt) as caught:
            await in_time(call(), 10)
        assert "doctor" in str(caught.value), name
        assert "\n" not in str(caught.value)


def all_of(sessions: AgentSessions) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What reads the whole history."""
    return {
        "load": lambda: sessions.load("one"),
        "load without": lambda: sessions.load("one", skip_unreadable=True),
        "load many": lambda: sessions.load("one", limit=6),
        "history": lambda: sessions.history("one"),
        "transcript": lambda: sessions.transcript("one"),
        "json": lambda: sessions.export("one", "json"),
        "jsonl": lambda: sessions.export("one", "jsonl"),
        "fork": lambda: sessions.fork("one"),
        "save": lambda: sessions.save_history("one", turns("a")),
    }


@pytest.mark.parametrize("what", HISTORIES)
async def test_a_history_that_is_damaged(tmp_path: Path, what: str) -> None:
    await fill(tmp_path, views=False)
    damage(tmp_path, HISTORIES[what])
    async with open_store(tmp_path, views=False) as store:
        sessions = store.sessions("agent")
        await others_go_on(sessions)
        assert (await sessions.info("one")).tags == ("x", "y")
        calls = all_of(sessions)
        if what == "no last message":
            with pytest.raises(LookupError):  # it is looked for first, and not found
                await calls.pop("fork")()
        await check_refused(calls)
    for find in (findings, fixed, findings):
        found = [one for one in await in_time(find(tmp_path, views=False)) if one.session_id]
        assert found[0].kind == "history"
        assert {(one.session_id, one.owner, one.is_fixed) for one in found} == {
            ("one", None, False)
        }
    async with open_store(tmp_path, views=False) as store:
        sessions = store.sessions("agent")
        await others_go_on(sessions)
        await sessions.delete("one")
        assert [info.session_id for info in await sessions.trash()] == ["one"]
        await sessions.purge("one")
        assert not await sessions.exists("one")


async def test_a_fork_of_a_session_without_its_last_message(tmp_path: Path) -> None:
    await fill(tmp_path)
    damage(tmp_path, HISTORIES["no last message"])
    async with open_store(tmp_path) as store:
        with pytest.raises(StoreCorrupt):
            await in_time(store.sessions("agent").fork_at("one"), 10)


@pytest.mark.parametrize("limit", [None, 3, 4, 5, 100])
async def test_a_message_is_missing_in_one_line(tmp_path: Path, limit: int | None) -> None:
    """A load that doesn't come to it is a load; another is none, rather than one without it."""
    async with open_store(tmp_path, views=False) as store:
        sessions = store.sessions("agent")
        await saved(sessions, *"abcd")
        damage(tmp_path, f"DELETE FROM entries WHERE n = {LAST} << 20 | 4")
        if limit == 3:
            conversation = await sessions.load("one", limit=3)
            assert conversation is not None
            assert conversation.messages == turns(*"abcd")[-3:]
        else:
            with pytest.raises(StoreCorrupt):
                await sessions.load("one", limit=limit)
        assert len((await sessions.entries("one", limit=2)).entries) == 2


async def test_one_can_go_on_before_what_is_missing(tmp_path: Path) -> None:
    async with open_store(tmp_path, views=False) as store:
        sessions = store.sessions("agent")
        await saved(sessions, *"abcd")
        kept = (await sessions.entries("one")).entries[3].entry_id
        damage(tmp_path, f"DELETE FROM entries WHERE n = {LAST} << 20 | 4")
        await sessions.branch_at("one", kept)
        assert await sessions.history("one") == turns("a", "b")
        await sessions.append("one", turn("e"))
        assert b'"e"' in b"".join(await sessions.export("one", "jsonl"))
        assert list(await sessions.branches("one")) == []
    (found,) = await fixed(tmp_path, views=False)
    assert (found.kind, found.session_id, found.can_fix) == ("branch", "one", False)


async def test_a_branch_that_is_damaged(tmp_path: Path) -> None:
    """The history isn't, and a branch that is left out of a list is told of by the check."""
    await fill(tmp_path)
    damage(tmp_path, "DELETE FROM entries WHERE n = 1 << 20 | 2")
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        assert await sessions.history("one") == turns("a", "c", "d")
        assert list(await sessions.branches("one")) == []
        await sessions.export("one", "jsonl")
        await others_go_on(sessions)
    found = [one for one in await fixed(tmp_path) if one.kind != "search"]
    assert [(one.kind, one.can_fix) for one in found] == [("branch", False)]


@pytest.mark.parametrize("what", HISTORIES)
async def test_one_can_go_on_from_a_copy(tmp_path: Path, what: str) -> None:
    await fill(tmp_path)
    copy = view(tmp_path, "agent", "one").read_bytes()
    damage(tmp_path, HISTORIES[what])
    async with open_store(tmp_path, views=False) as store:
        sessions = store.sessions("agent")
        await sessions.import_(copy, session_id="one", on_conflict="replace", trusted=True)
        assert await sessions.history("one") == turns("a", "c", "d")
        assert b'"c"' in b"".join(await sessions.export("one", "jsonl"))
        await others_go_on(sessions)


@pytest.mark.parametrize("count", [1, 2])
async def test_nothing_is_put_where_a_message_is_missing(tmp_path: Path, count: int) -> None:
    """It would come between the messages of the branch."""
    async with open_store(tmp_path, views=False) as store:
        sessions = store.sessions("agent")
        await saved(sessions, *"abcd")
        left, kept = [(await sessions.entries("one")).entries[at].entry_id for at in (7, 3)]
        damage(tmp_path, f"DELETE FROM entries WHERE n = {LAST} << 20 | 4")
        await sessions.branch_at("one", kept)
        await sessions.append("one", turn("e")[:count])
        assert await sessions.history("one") == turns("a", "b") + turn("e")[:count]
        with pytest.raises(StoreCorrupt):
            await sessions.entries("one", at=left)


@pytest.mark.parametrize("what", HISTORIES)
async def test_a_history_comes_back_from_its_view(tmp_path: Path, what: str) -> None:
    await fill(tmp_path)
    file = view(tmp_path, "agent", "one")
    before = json.loads(file.read_bytes())
    damage(tmp_path, HISTORIES[what])
    (found,) = [one for one in await findings(tmp_path) if one.kind == "history"]
    assert (found.session_id, found.can_fix, found.is_fixed) == ("one", True, False)
    assert ".json" in found.explanation
    (found,) = [one for one in await fixed(tmp_path) if one.kind == "history"]
    assert found.is_fixed
    left = {one.kind for one in await findings(tmp_path)}
    assert left <= {"branch", "orphan"}  # those of which something is missing
    assert json.loads(file.read_bytes()) == before
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        assert await sessions.history("one") == turns("a", "c", "d")
        await sessions.append("one", turn("e"))
        assert len(await sessions.history("one")) == 8
        await others_go_on(sessions)


async def test_a_view_that_shows_less_is_no_replacement(tmp_path: Path) -> None:
    await fill(tmp_path)
    async with open_store(tmp_path, views=False) as store:
        await store.sessions("agent").append("one", turn("e"))
    damage(tmp_path, HISTORIES["a message that isn't there"])
    for find in (findings, fixed):
        (found,) = [one for one in await find(tmp_path) if one.kind == "history"]
        assert not found.can_fix


async def test_what_another_program_writes_over_it_is_the_history(tmp_path: Path) -> None:
    await fill(tmp_path)
    damage(tmp_path, HISTORIES["a line that follows itself"])
    dump(view(tmp_path, "agent", "one"), turns("a", "new"))
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        assert {info.session_id for info in await sessions.list()} == {"one", "two"}
        assert said(await sessions.history("one")) == said(turns("a", "new"))


@pytest.mark.parametrize(
    ("column", "value"), [(name, value) for name, values in NO_JSON.items() for value in values]
)
async def test_what_a_session_carries_is_no_json(
    tmp_path: Path, column: str, value: str | bytes
) -> None:
    await fill(tmp_path)
    table = "sessions" if column == "tags" else "session_state"
    damage(tmp_path, f"UPDATE {table} SET {column} = ? WHERE n = {ONE}", value)
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        await others_go_on(sessions)
        (info,) = [info for info in await sessions.list() if info.session_id == "one"]
        assert info.tags == (() if column == "tags" else ("x", "y"))
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "info": lambda: sessions.info("one"),
            "rename": lambda: sessions.rename("one", "New"),
            "jsonl": lambda: sessions.export("one", "jsonl"),
        }
        if column in ("usage", "deferred"):
            calls["load"] = lambda: sessions.load("one")
        await check_refused(calls)
        assert await sessions.history("one") == turns("a", "c", "d")
    (found,) = await findings(tmp_path)
    assert (found.session_id, found.can_fix, found.is_fixed) == ("one", True, False)
    assert {"deferred": "waiting calls"}.get(column, column) in found.explanation
    (found,) = await fixed(tmp_path)
    assert found.is_fixed
    assert await findings(tmp_path) == []
    async with open_store(tmp_path) as store:
        details = await store.sessions("agent").info("one")
        assert details.title == "a"  # what was refused wasn't done
        assert details.tags == ("x", "y")
        assert details.metadata == ({} if column == "metadata" else {"k": 1})
        assert (details.usage == b"{}") == (column == "usage")
        assert (details.deferred_tool_requests is None) == (column == "deferred")
        assert await store.sessions("agent").load("one") is not None


@pytest.mark.parametrize(
    ("column", "value"), [("usage", b'{"requests": "x"}'), ("deferred", b'{"calls": 1}')]
)
async def test_what_pydantic_ai_cant_read_is_kept(
    tmp_path: Path, column: str, value: bytes
) -> None:
    """A newer one may have written it."""
    await fill(tmp_path)
    damage(tmp_path, f"UPDATE session_state SET {column} = ? WHERE n = {ONE}", value)
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        await others_go_on(sessions)
        await check_refused({"load": lambda: sessions.load("one")})
    for find in (findings, fixed):
        (found,) = await find(tmp_path)
        assert (found.kind, found.session_id, found.can_fix) == ("unreadable", "one", False)
    async with open_store(tmp_path) as store:
        details = await store.sessions("agent").info("one")
        assert value in (details.usage, details.deferred_tool_requests)


async def test_a_session_in_the_trash_that_cant_be_opened_stays_there(tmp_path: Path) -> None:
    await fill(tmp_path)
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        await sessions.delete("one")
        damage(tmp_path, f"UPDATE session_state SET metadata = 'no' WHERE n = {ONE}")
        with pytest.raises(StoreCorrupt):
            await sessions.restore("one")
        assert [info.session_id for info in await sessions.trash()] == ["one"]
        assert [finding.is_fixed async for finding in store.check(fix=True)] == [True]
        await sessions.restore("one")
        assert await sessions.history("one") == turns("a", "c", "d")


async def test_an_archive_tells_what_it_lacks(tmp_path: Path) -> None:
    await fill(tmp_path)
    damage(tmp_path, HISTORIES["a message that isn't there"])
    async with open_store(tmp_path) as store:
        with pytest.raises(StoreCorrupt):
            [_ async for _ in export_all(store)]
        left: list[str] = []
        written = [
            info
            async for info, _ in export_all(
                store, damaged=lambda info: left.append(info.session_id)
            )
            if info is not None
        ]
        assert left == ["one"]
        assert {(info.owner, info.session_id) for info in written} == {
            (None, "two"),
            ("al/ice", "one"),
        }
