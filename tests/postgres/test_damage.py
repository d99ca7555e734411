"""Damage of one session inside the database: it is told, typed, and all others go on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from mythline import open_store
from mythline.errors import StoreCorrupt
from mythline.models import Finding
from mythline.sessions import AgentSessions
from mythline.testing.samples import deferred, saved, turn, turns, usage
from tests.local.support import in_time

OWN = "session_id = 'one' AND owner = '' AND base > 0"
"""The line that its history ends in, which follows another one."""
LINE = "(SELECT line FROM mythline.lines WHERE session_id = 'one' AND owner = '' AND base > 0)"
BEFORE = "(SELECT follows_line FROM mythline.lines WHERE session_id = 'one' AND base > 0)"

HISTORIES = {
    "a line that follows itself": (
        f"UPDATE mythline.lines SET follows_line = line, follows_place = 0 WHERE {OWN}"
    ),
    "lines that follow each other": (
        f"UPDATE mythline.lines SET follows_home = 'one', follows_line = {LINE},"
        f" follows_place = 0, base = 1 WHERE line = {BEFORE}"
    ),
    "a line that isn't there": f"DELETE FROM mythline.lines WHERE line = {BEFORE}",
    "a message that isn't there": (
        f"DELETE FROM mythline.entries WHERE line = {LINE} AND place = 1"
    ),
    "a message before that isn't there": (
        f"DELETE FROM mythline.entries WHERE line = {BEFORE} AND place = 1"
    ),
    "no last message": f"DELETE FROM mythline.entries WHERE line = {LINE} AND place = 3",
}
NO_JSON = {
    "usage": [b"", b"no", b"\xff", b"[]"],
    "deferred": [b"no", b"\xff", b"null"],
    "metadata": ["", "no", "[1]"],
    "tags": ["", "no", "{}", "[1]"],
}


async def damage(database: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert (await connection.execute(statement, *values)).endswith(" 1")
    finally:
        await connection.close()


async def findings(database: str, **options: bool) -> list[Finding]:
    async with open_store(database) as store:
        return [finding async for finding in store.check(**options)]


@pytest.fixture
async def filled(database: str) -> str:
    """One session whose history spans two lines, with a branch; another; an owner's."""
    async with open_store(database) as store:
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
        await saved(store.sessions("agent", owner="alice"), "hers")
        await sessions.search("else")  # all is in the index
    return database


async def others_go_on(sessions: AgentSessions) -> None:
    """Lists have them all, and what isn't damaged is as it was."""
    assert {info.session_id for info in await sessions.list()} == {"one", "two"}
    records = await sessions.list_conversations()
    assert {record.conversation_id for record in records} == {"one", "two"}
    assert {hit.session_id for hit in await sessions.search("else")} == {"two"}
    for tag in ("x", None):
        await in_time(sessions.search("c", tag=tag), 10)
    conversation = await sessions.load("two")
    assert conversation is not None
    conversation.messages += turn("more")
    await sessions.save(conversation)
    hers = sessions.store.sessions("agent", owner="alice")
    assert await hers.history("one") == turns("hers")


async def check_refused(calls: dict[str, Callable[[], Awaitable[Any]]]) -> None:
    for name, call in calls.items():
        with pytest.raises(StoreCorrupt) as caught:
            await in_time(call(), 10)
        assert "doctor" in str(caught.value), name


@pytest.mark.parametrize("what", HISTORIES)
async def test_a_history_that_is_damaged(filled: str, what: str) -> None:
    await damage(filled, HISTORIES[what])
    async with open_store(filled) as store:
        sessions = store.sessions("agent")
        await others_go_on(sessions)
        assert (await sessions.info("one")).tags == ("x", "y")
        await check_refused(
            {
                "load": lambda: sessions.load("one"),
                "load many": lambda: sessions.load("one", limit=6),
                "history": lambda: sessions.history("one"),
                "transcript": lambda: sessions.transcript("one"),
                "json": lambda: sessions.export("one", "json"),
                "jsonl": lambda: sessions.export("one", "jsonl"),
                "save": lambda: sessions.save_history("one", turns("a")),
            }
        )
        await in_time(sessions.branches("one"), 10)
    for fix in (False, True, False):
        found = [one for one in await in_time(findings(filled, fix=fix), 30) if one.session_id]
        assert "history" in {one.kind for one in found}
        assert {(one.session_id, one.owner) for one in found} == {("one", None)}
    async with open_store(filled) as store:
        sessions = store.sessions("agent")
        await others_go_on(sessions)
        await in_time(sessions.purge("one"), 10)
        assert not await sessions.exists("one")


async def test_a_load_that_does_not_come_to_it(filled: str) -> None:
    await damage(filled, HISTORIES["a message that isn't there"])
    async with open_store(filled) as store:
        conversation = await store.sessions("agent").load("one", limit=2)
        assert conversation is not None
        assert conversation.messages == turn("d")


async def test_a_count_that_is_wrong_alone_hides_nothing(filled: str) -> None:
    await damage(
        filled,
        "UPDATE mythline.sessions SET message_count = 9 WHERE session_id = 'one' AND owner = ''",
    )
    async with open_store(filled) as store:
        conversation = await store.sessions("agent").load("one")
        assert conversation is not None
        assert conversation.messages == turns("a", "c", "d")
        assert len(await store.sessions("agent").history("one")) == 6
    assert [one.is_fixed for one in await findings(filled, fix=True)] == [True]


@pytest.mark.parametrize(
    ("column", "value"), [(name, value) for name, values in NO_JSON.items() for value in values]
)
async def test_what_a_session_carries_is_no_json(
    filled: str, column: str, value: str | bytes
) -> None:
    where = "session_id = 'one' AND owner = ''"
    await damage(filled, f"UPDATE mythline.sessions SET {column} = $1 WHERE {where}", value)
    async with open_store(filled) as store:
        sessions = store.sessions("agent")
        await others_go_on(sessions)
        (info,) = [info for info in await sessions.list() if info.session_id == "one"]
        assert info.tags == (() if column == "tags" else ("x", "y"))
        calls: dict[str, Callable[[], Awaitable[Any]]] = {
            "info": lambda: sessions.info("one"),
            "rename": lambda: sessions.rename("one", "New"),
        }
        if column in ("usage", "deferred"):
            calls["load"] = lambda: sessions.load("one")
        await check_refused(calls)
        assert await sessions.history("one") == turns("a", "c", "d")
    (found,) = await findings(filled)
    assert (found.session_id, found.can_fix, found.is_fixed) == ("one", True, False)
    (found,) = await findings(filled, fix=True)
    assert found.is_fixed
    assert await findings(filled) == []
    async with open_store(filled) as store:
        details = await store.sessions("agent").info("one")
        assert details.title == "a"  # what was refused wasn't done
        assert details.tags == ("x", "y")
        assert details.metadata == ({} if column == "metadata" else {"k": 1})
        assert (details.usage == b"{}") == (column == "usage")
        assert (details.deferred_tool_requests is None) == (column == "deferred")
        assert await store.sessions("agent").load("one") is not None


async def test_what_pydantic_ai_cant_read_is_kept(filled: str) -> None:
    """A newer one may have written it."""
    value = b'{"requests": "x"}'
    await damage(
        filled,
        "UPDATE mythline.sessions SET usage = $1 WHERE session_id = 'one' AND owner = ''",
        value,
    )
    for fix in (False, True):
        (found,) = await findings(filled, fix=fix)
        assert (found.kind, found.session_id, found.can_fix) == ("unreadable", "one", False)
    async with open_store(filled) as store:
        sessions = store.sessions("agent")
        await others_go_on(sessions)
        await check_refused({"load": lambda: sessions.load("one")})
        assert (await sessions.info("one")).usage == value
