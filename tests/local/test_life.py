"""What the local store does of itself in a session's life: events of others, expiry, migration."""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from mythline import open_store, queries
from mythline.errors import InvalidInput, SessionNotFound
from mythline.local import LocalStore, rows, trash
from mythline.models import to_micros
from mythline.testing.samples import saved, turn

from .support import SOON


async def take(events, count):
    return [await asyncio.wait_for(anext(events), SOON) for _ in range(count)]


async def test_events_of_another_process(tmp_path):
    code = (
        "import asyncio, sys, mythline\n"
        "async def main():\n"
        "    async with mythline.open_store(sys.argv[1]) as store:\n"
        "        await store.sessions('agent').create('one')\n"
        "        await store.sessions('agent').delete('one')\n"
        "asyncio.run(main())\n"
    )
    async with (
        open_store(tmp_path) as store,
        contextlib.aclosing(store.events(None, None)) as events,
    ):
        await take(events, 1)
        command = [sys.executable, "-c", code, str(tmp_path)]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=60)
        found = await take(events, 2)
        assert [event.type for event in found] == ["created", "deleted"]


@pytest.mark.parametrize("agent_id", ["agent", None])
@pytest.mark.usefixtures("hasty")
async def test_events_of_a_file_program(tmp_path, agent_id):
    """A file that another program writes, changes and removes, in a folder it made."""
    async with (
        open_store(tmp_path) as store,
        contextlib.aclosing(store.events(None, agent_id)) as events,
    ):
        await take(events, 1)
        folder = tmp_path / "agent" / "context_memory"
        folder.mkdir(parents=True)
        path = folder / "one.json"
        message = {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "a"}]}
        path.write_text(json.dumps([message], indent=2))
        assert [event.type for event in await take(events, 1)] == ["created"]
        path.write_text(json.dumps([message, message], indent=2))
        assert [event.type for event in await take(events, 1)] == ["appended"]
        path.unlink()
        assert [event.type for event in await take(events, 1)] == ["deleted"]


async def test_events_are_kept_for_an_hour(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "EVENTS_KEPT", 10)
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        async with contextlib.aclosing(sessions.events()) as events:
            (ready,) = await take(events, 1)
        await saved(sessions, "a")
        for _ in range(600):
            await sessions.append("one", turn("b"))
        async with contextlib.aclosing(sessions.events(after=ready.event_id)) as events:
            found = await take(events, 601)
        assert found[0].type == "created"
    database = sqlite3.connect(tmp_path / "sessions.sqlite3")
    with database:
        database.execute("UPDATE events SET time = time - 3600000000 WHERE n < 200")
    database.close()
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        for _ in range(256):
            await sessions.append("one", turn("b"))
        async with contextlib.aclosing(sessions.events(after=ready.event_id)) as events:
            assert (await take(events, 1))[0].type == "reset"
        async with contextlib.aclosing(sessions.events(after=found[198].event_id)) as events:
            assert (await take(events, 1))[0].event_id == found[199].event_id


async def test_what_is_old_in_the_trash_is_purged(tmp_path, monkeypatch):
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        for name in ("old", "new"):
            await saved(sessions, name, conversation_id=name)
            await sessions.delete(name)
    database = sqlite3.connect(tmp_path / "sessions.sqlite3")
    long_ago = to_micros(datetime.now(UTC) - timedelta(days=30, hours=1))
    with database:
        database.execute("UPDATE sessions SET deleted = ? WHERE session_id = 'old'", (long_ago,))
    database.close()
    monkeypatch.setattr(trash, "HEAD_START", 0)
    async with open_store(tmp_path, trash_days=31) as store:
        assert len(await store.sessions("agent").trash()) == 2
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        async with contextlib.aclosing(sessions.events(after="1")) as events:
            event = await anext(events)
            while event.type != "purged":
                event = await asyncio.wait_for(anext(events), SOON)
        assert event.session_id == "old"
        assert [info.session_id for info in await sessions.trash()] == ["new"]


async def test_a_delete_that_is_a_purge(tmp_path):
    async with open_store(tmp_path, trash_days=0) as store:
        sessions = store.sessions("agent")
        for name in ("one", "two", "three"):
            await saved(sessions, "a", conversation_id=name)
        await sessions.delete("one")
        assert await sessions.delete_all() == 2
        assert list(await sessions.trash()) == []
        with pytest.raises(SessionNotFound):
            await sessions.restore("one")


async def test_a_trash_that_is_never_emptied(tmp_path):
    async with open_store(tmp_path, trash_days="never") as store:
        await saved(store.sessions("agent"), "a")
        await store.sessions("agent").delete("one")
        (info,) = await store.sessions("agent").trash()
        assert info.purges is None


@pytest.mark.parametrize(("value", "days"), [("never", None), ("0", 0), ("1.5", 1.5), ("", 30)])
def test_days_of_the_environment(tmp_path, monkeypatch, value, days):
    monkeypatch.setenv("MYTHLINE_TRASH_DAYS", value)
    store = open_store(tmp_path)
    assert isinstance(store, LocalStore)
    assert store.trash_days == days


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "1e9"])
def test_no_days(tmp_path, monkeypatch, value):
    monkeypatch.setenv("MYTHLINE_TRASH_DAYS", value)
    with pytest.raises(InvalidInput):
        open_store(tmp_path)


async def test_a_store_of_the_first_schema(tmp_path):
    """Sessions that were stored before there were tags to list by, and a trash, have them."""
    (number, script) = queries.migrations("mythline.local")[0]
    assert number == 1
    database = sqlite3.connect(tmp_path / "sessions.sqlite3")
    database.executescript(script + "PRAGMA user_version = 1;")
    with database:
        for n, name, deleted in ((1, "kept", None), (2, "gone", 5)):
            database.execute(
                "INSERT INTO sessions (n, owner, agent_id, session_id, revision, created, updated,"
                " tags, deleted) VALUES (?, '', 'agent', ?, 'r', 1, 1, ?, ?)",
                (n, name, json.dumps(["ä", "b"]), deleted),
            )
            database.execute("INSERT INTO session_state (n) VALUES (?)", (n,))
    database.close()
    async with open_store(tmp_path, trash_days="never") as store:
        sessions = store.sessions("agent")
        assert [info.session_id for info in await sessions.list(tag="ä")] == ["kept"]
        assert (await sessions.info("kept")).revision == "r"
        assert [info.session_id for info in await sessions.trash()] == ["gone"]
        await sessions.restore("gone")
        await sessions.append("gone", turn("x"))
        assert [finding async for finding in store.check()] == []


def expire(folder):
    """Let all that is in the trash have been deleted long ago."""
    database = sqlite3.connect(folder / "sessions.sqlite3")
    with database:
        database.execute("UPDATE sessions SET deleted = 1 WHERE deleted IS NOT NULL")
    database.close()


async def test_what_is_old_is_purged_by_processes_that_run_for_a_moment(tmp_path, monkeypatch):
    monkeypatch.setattr(trash, "HEAD_START", 1000)
    async with open_store(tmp_path) as store:
        for name in ("one", "two"):
            await saved(store.sessions("agent"), f"Shadowglen {name}", conversation_id=name)
        await store.sessions("agent").delete("one")
        await store.sessions("agent").delete("two")
        await store.sessions("agent").restore("two")
    expire(tmp_path)
    async with open_store(tmp_path, trash_days="never"):
        pass
    async with open_store(tmp_path) as store:
        assert len(await store.sessions("agent").trash()) == 1
    async with open_store(tmp_path, trash_days="never") as store:
        assert list(await store.sessions("agent").trash()) == []
        assert len(await store.sessions("agent").list()) == 1
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or b"Shadowglen one" not in path.read_bytes()


async def test_what_was_deleted_before_nothing_is_kept(tmp_path):
    async with open_store(tmp_path) as store:
        await saved(store.sessions("agent"), "a")
        await store.sessions("agent").delete("one")
    expire(tmp_path)
    async with open_store(tmp_path, trash_days=0):
        pass
    async with open_store(tmp_path) as store:
        assert list(await store.sessions("agent").trash()) == []
