"""`Store.check` over PostgreSQL: what is wrong is found, and put right where nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from mythline import open_store
from mythline.models import Finding, now_micros
from mythline.postgres import checking
from mythline.store import ANY, Append, SessionKey
from mythline.testing.samples import saved, turn, turns


async def findings(database: str, **options: bool) -> list[Finding]:
    async with open_store(database) as store:
        return [finding async for finding in store.check(**options)]


async def damage(database: str, statement: str, *values: object) -> None:
    connection = await asyncpg.connect(database)
    try:
        status = await connection.execute(statement, *values)
        assert not status.endswith(" 0")
    finally:
        await connection.close()


@pytest.fixture
async def filled(database: str) -> str:
    """Sessions with a branch, a fork, tags, an owner's, one in the trash, an empty one."""
    async with open_store(database) as store:
        sessions = store.sessions("agent")
        first = await saved(sessions, "a", "b")
        await sessions.branch("one", at=2, expected_revision=first.revision)
        await sessions.append("one", turn("c"))
        await sessions.update("one", tags=["x"])
        await sessions.fork("one", new_conversation_id="forked")
        await sessions.append("forked", turn("d"))
        await saved(store.sessions("agent", owner="al/ice"), "hers")
        await saved(sessions, "gone", conversation_id="two")
        await sessions.delete("two")
        await sessions.create("empty")
    return database


async def test_nothing_is_wrong(filled: str):
    assert await findings(filled) == []
    assert await findings(filled, fix=True) == []


async def test_an_empty_database(database: str):
    assert await findings(database) == []


async def test_counters(filled: str):
    await damage(
        filled,
        "UPDATE mythline.sessions SET message_count = 7, body_bytes = 1, head_id = 'x'"
        " WHERE session_id = 'one'",
    )
    await damage(filled, "DELETE FROM mythline.tags")
    found = await findings(filled)
    assert {(finding.kind, finding.owner, finding.session_id) for finding in found} == {
        ("counters", None, "one"),
        ("counters", "al/ice", "one"),
    }
    assert "body_bytes, head_id, message_count, tags" in found[0].explanation
    assert all(finding.can_fix and not finding.is_fixed for finding in found)
    assert all(finding.is_fixed for finding in await findings(filled, fix=True))
    assert await findings(filled) == []
    async with open_store(filled) as store:
        sessions = store.sessions("agent")
        info = (await sessions.list(tag="x"))[0]
        assert info.message_count == 4
        await sessions.append("one", turn("e"))
        assert len(await sessions.history("one")) == 6


async def test_the_bytes_up_to_a_message(filled: str):
    await damage(
        filled,
        "UPDATE mythline.entries SET total = total + 1 WHERE session_id = 'one' AND owner = ''",
    )
    found = await findings(filled, fix=True)
    assert {finding.kind for finding in found} == {"counters"}
    assert "total" in found[0].explanation
    assert await findings(filled) == []


async def test_a_message_is_missing(filled: str):
    await damage(
        filled,
        "DELETE FROM mythline.entries WHERE session_id = 'one' AND owner = 'al/ice' AND place = 0",
    )
    (found,) = await findings(filled, fix=True)
    assert (found.kind, found.session_id, found.is_fixed) == ("history", "one", False)
    assert "1 message(s)" in found.explanation


async def test_what_a_fork_shares_is_missing(filled: str):
    await damage(
        filled, "DELETE FROM mythline.lines WHERE session_id = 'one' AND owner = '' AND base > 0"
    )
    found = await findings(filled, fix=True)
    kinds = {(finding.kind, finding.session_id, finding.is_fixed) for finding in found}
    assert ("history", "one", False) in kinds
    assert ("history", "forked", False) in kinds


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("base = base + 1", "don't follow each other"),
        ("follows_home = 'forked', follows_line = line", "don't follow each other"),
        ("follows_line = NULL, follows_home = NULL, follows_place = NULL", "The start"),
    ],
)
async def test_parts_that_dont_follow_each_other(filled: str, change: str, says: str):
    await damage(
        filled, f"UPDATE mythline.lines SET {change} WHERE session_id = 'forked' AND base > 0"
    )
    found = [one for one in await findings(filled, fix=True) if one.kind == "history"]
    assert [one.session_id for one in found] == ["forked"]
    assert says in found[0].explanation


async def test_a_branch_without_an_end(filled: str):
    await damage(filled, "UPDATE mythline.branches SET place = place + 500")
    (found, orphan) = await findings(filled, fix=True)
    assert (found.kind, found.session_id, found.is_fixed) == ("branch", "one", True)
    assert (orphan.kind, orphan.is_fixed) == ("orphan", False)
    assert "2 message(s)" in orphan.explanation
    assert [finding.kind for finding in await findings(filled)] == ["orphan"]


async def test_a_branch_with_a_gap(filled: str):
    await damage(
        filled,
        "DELETE FROM mythline.entries USING mythline.branches AS b"
        " WHERE entries.line = b.line AND entries.place = b.place - 1",
    )
    (found,) = await findings(filled, fix=True)
    assert (found.kind, found.session_id, found.can_fix) == ("branch", "one", False)


async def test_messages_of_no_session(filled: str):
    await damage(filled, "DELETE FROM mythline.sessions WHERE session_id = 'two'")
    (found,) = await findings(filled, fix=True)
    assert (found.kind, found.is_fixed) == ("orphan", False)
    assert "2 message(s)" in found.explanation


async def test_unreadable_messages(filled: str):
    body = b'{"kind":"request","parts":[{"part_kind":"of-tomorrow"}]}'
    append = Append(
        revision="r", expected=ANY, entry_ids=["e"], bodies=[body], updated=now_micros()
    )
    async with open_store(filled) as store:
        await store.sessions("agent").create("new")
        await store.append(SessionKey(None, "agent", "new"), append)
    (found,) = await findings(filled, fix=True)
    assert (found.kind, found.session_id, found.can_fix) == ("unreadable", "new", False)


async def test_a_part_of_the_schema_is_missing(filled: str):
    connection = await asyncpg.connect(filled)
    await connection.execute("DROP INDEX mythline.sessions_key")
    await connection.close()
    (found,) = await findings(filled, fix=True)
    assert (found.kind, found.can_fix) == ("integrity", False)
    assert "sessions_key" in found.explanation


async def test_everything_is_looked_at(database: str):
    async with open_store(database) as store:
        sessions = store.sessions("agent")
        for number in range(2 * checking.SOME + 3):
            await sessions.create(f"s{number}")
            await sessions.append(f"s{number}", turns("a", "b"))
        await sessions.delete("s7")
    await damage(database, "UPDATE mythline.sessions SET message_count = 1")
    assert len(await findings(database, fix=True)) == 2 * checking.SOME + 3
    assert await findings(database) == []


async def test_a_long_history_is_read_in_parts(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checking, "MESSAGES", 3)
    monkeypatch.setattr(checking, "LINES", 1)
    read: list[int] = []
    unread: Callable[..., list[str]] = checking.findings.unread

    def noted(entries):
        read.append(len(entries))
        return unread(entries)

    monkeypatch.setattr(checking.findings, "unread", noted)
    async with open_store(database) as store:
        sessions = store.sessions("agent")
        await saved(sessions, "a", "b")
        await sessions.fork("one", new_conversation_id="two")
        await sessions.append("two", turns("c", "d"))
    assert await findings(database) == []
    assert sum(read) == 12
    assert max(read) == 3


async def test_saves_meanwhile_are_no_damage(filled: str):
    """Each session is seen as it is at one moment."""
    done = asyncio.Event()
    saved = 0

    async def save() -> None:
        nonlocal saved
        async with open_store(filled) as store:
            while not done.is_set():
                await store.sessions("agent").append("one", turn("more"))
                saved += 1

    saving = asyncio.create_task(save())
    async with open_store(filled) as store:
        while saved < 50:
            assert [finding async for finding in store.check()] == []
    done.set()
    await saving
    assert await findings(filled) == []


async def test_the_search_index(filled: str):
    async with open_store(filled) as store:
        assert len(await store.sessions("agent").search("a")) > 0
    await damage(filled, "DELETE FROM mythline.documents")
    (found,) = await findings(filled)
    assert (found.kind, found.can_fix, found.is_fixed) == ("search", True, False)
    (found,) = await findings(filled, fix=True)
    assert found.is_fixed
    assert await findings(filled) == []
    async with open_store(filled) as store:
        assert len(await store.sessions("agent").search("a")) > 0
