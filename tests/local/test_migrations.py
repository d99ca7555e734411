"""Stores that an earlier version made, opened by this one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from pydantic_ai.messages import ModelMessage, ToolCallPart, ToolReturnPart

from mythline import messages, open_store, queries
from mythline.errors import StoreError
from mythline.ids import new_entry_ids

from .support import file_said, said, turn, view

T = TypeVar("T")

STAMP = b'"timestamp":"2025-01-02T03:04:05Z"'
PROMPT = b'{"kind":"request","parts":[{"part_kind":"user-prompt","content":"old",%b}]}' % STAMP
BARE = b'{"kind":"response","parts":[{"part_kind":"text","content":"no time"}]}'
CALL = (
    b'{"kind":"response","parts":[{"part_kind":"tool-call","tool_name":"look",'
    b'"args":{"args_json":"{\\"a\\": 1}"},"tool_call_id":null}],%b}' % STAMP
)
RETURN = (
    b'{"kind":"request","parts":[{"part_kind":"tool-return","tool_name":"look","content":"x",'
    b'"tool_call_id":null,%b}]}' % STAMP
)
STRANGE = [PROMPT, BARE, CALL, RETURN]


def make(root: Path, version: int, sessions: dict[str, list[bytes]]) -> Path:
    """A store as the version of Mythline left it whose last migration has this number."""
    root.mkdir()
    path = root / "sessions.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.create_function("is_odd", 1, messages.is_odd, deterministic=True)
        for number, script in queries.migrations("mythline.local"):
            if number <= version:
                connection.executescript(script)
        connection.execute(f"PRAGMA user_version = {version}")
        for n, (session_id, bodies) in enumerate(sessions.items(), 1):
            revision, *entry_ids = new_entry_ids(1 + len(bodies))
            connection.execute("INSERT INTO lines (line) VALUES (?)", (n,))
            connection.executemany(
                "INSERT INTO entries (n, id, body) VALUES (?, ?, ?)",
                [
                    (place, identity, body)
                    for place, (identity, body) in enumerate(
                        zip(entry_ids, bodies, strict=True), n << 20
                    )
                ],
            )
            connection.execute(
                "INSERT INTO sessions (n, owner, agent_id, session_id, revision, head, head_id,"
                " message_count, body_bytes, created, updated)"
                " VALUES (?, '', 'agent', ?, ?, ?, ?, ?, ?, 1, 1)",
                (
                    n,
                    session_id,
                    revision,
                    (n << 20) + len(bodies) - 1,
                    entry_ids[-1],
                    len(bodies),
                    sum(map(len, bodies)),
                ),
            )
            connection.execute("INSERT INTO session_state (n) VALUES (?)", (n,))
    return path


def schema(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()


def parts(found: list[ModelMessage], kind: type[T]) -> list[T]:
    return [part for message in found for part in message.parts if isinstance(part, kind)]


async def test_messages_of_a_store_from_before_are_read_as_ever(tmp_path: Path) -> None:
    """What the first schema didn't know about messages is found out for those it holds."""
    plain = messages.dump(turn("a"))
    root = tmp_path / "store"
    make(root, 1, {"plain": plain, "strange": STRANGE, "mixed": [*plain, *STRANGE]})
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        for name in ("strange", "mixed", "strange"):
            conversation = await sessions.load(name)
            assert conversation is not None
            found = conversation.messages
            (call,) = parts(found, ToolCallPart)
            (answer,) = parts(found, ToolReturnPart)
            assert call.args == '{"a": 1}'
            assert call.tool_call_id == answer.tool_call_id
            assert found == await sessions.history(name)
            again = await sessions.load(name)  # with the same times, also where there was none
            assert again is not None
            assert again.messages == found
            conversation.messages += turn("more")
            assert len(await sessions.save(conversation)) == 2
        conversation = await sessions.load("plain")
        assert conversation is not None
        assert said(conversation.messages) == said(turn("a"))
        await store.settle(sessions._key("plain"))
    assert file_said(view(root, "agent", "plain")) == said(turn("a"))


async def test_only_strange_messages_take_the_longer_way(tmp_path: Path) -> None:
    plain = messages.dump(turn("a"))
    path = make(tmp_path / "store", 1, {"mixed": [*plain, *STRANGE, *plain]})
    async with open_store(path.parent) as store:
        sessions = store.sessions("agent")
        await sessions.append("mixed", b"[" + b",".join([*STRANGE, *plain]) + b"]")
    with closing(sqlite3.connect(path)) as connection:
        odd = connection.execute("SELECT odd FROM entries ORDER BY n").fetchall()
    assert [row[0] for row in odd] == [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("version", [0, 1])
async def test_every_way_leads_to_the_same_schema(tmp_path: Path, version: int) -> None:
    path = make(tmp_path / "old", version, {})
    async with open_store(path.parent), open_store(tmp_path / "new"):
        pass
    assert schema(path) == schema(tmp_path / "new/sessions.sqlite3")


async def test_a_migration_that_fails_leaves_the_store_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "store", 1, {"strange": STRANGE})
    before = schema(path)

    def fail(_body: bytes) -> bool:
        raise OSError

    with monkeypatch.context() as patched:
        patched.setattr(messages, "is_odd", fail)
        with pytest.raises(StoreError):
            await open_store(path.parent).open()
    assert schema(path) == before
    async with open_store(path.parent) as store:
        assert len(await store.sessions("agent").history("strange")) == len(STRANGE)


async def test_heads_and_stale_views_of_a_store_from_before_are_found(tmp_path: Path) -> None:
    """Views follow, a session goes on, entries are in reach, and what is purged goes, as ever."""
    root = tmp_path / "store"
    path = make(root, 5, {"stale": messages.dump(turn("a")), "other": messages.dump(turn("b"))})
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await store.settle(sessions._key("other"))
        entries = await sessions.load_entries("stale")
        assert entries is not None
        fork = await sessions.fork("stale", from_entry=entries[0].id)
        assert said(fork.messages) == said(turn("a"))[:1]
        fork.messages += turn("c")
        await sessions.save(fork)
        assert {hit.session_id for hit in (await sessions.search("b")).hits} == {"other"}
        await sessions.purge("other")
        async for finding in store.check():
            pytest.fail(finding.explanation)
    assert file_said(view(root, "agent", "stale")) == said(turn("a"))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone()[0] == 4
        stale = "SELECT count(*) FROM sessions WHERE stale = 1 OR line IS NOT head >> 20"
        assert connection.execute(stale).fetchone()[0] == 0
