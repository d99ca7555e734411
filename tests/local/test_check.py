"""`Store.check`: what is wrong is found and explained, and put right where nothing is lost."""

import errno
import json
import os
import sqlite3

import pytest

from mythline import open_store
from mythline.errors import UnreadableMessages
from mythline.local import foreign
from mythline.testing.samples import saved, turn, turns


async def findings(root, **options):
    async with open_store(root) as store:
        return [finding async for finding in store.check(**options)]


@pytest.fixture
async def root(tmp_path):
    async with open_store(tmp_path) as store:
        sessions = store.sessions("agent")
        first = await saved(sessions, "a", "b")
        await sessions.branch("one", at=2, expected_revision=first.revision)
        await sessions.append("one", turn("c"))
        await sessions.update("one", tags=["x"])
        await saved(store.sessions("agent", owner="al/ice"), "hers")
        await saved(sessions, "gone", conversation_id="two")
        await sessions.delete("two")
    return tmp_path


def damage(root, statement, *values):
    database = sqlite3.connect(root / "sessions.sqlite3")
    with database:
        assert database.execute(statement, values).rowcount
    database.close()


async def test_nothing_is_wrong(root):
    assert await findings(root) == []
    assert await findings(root, fix=True) == []


async def test_counters(root):
    damage(root, "UPDATE sessions SET message_count = 7, body_bytes = 1 WHERE session_id = 'one'")
    damage(root, "DELETE FROM tags")
    found = await findings(root)
    assert {(finding.kind, finding.owner, finding.session_id) for finding in found} == {
        ("counters", None, "one"),
        ("counters", "al/ice", "one"),
    }
    assert all(finding.can_fix and not finding.is_fixed for finding in found)
    assert all(finding.is_fixed for finding in await findings(root, fix=True))
    assert await findings(root) == []
    async with open_store(root) as store:
        info = (await store.sessions("agent").list(tag="x"))[0]
        assert info.message_count == 4


async def test_a_message_is_missing(root):
    damage(root, "DELETE FROM entries WHERE n = (SELECT min(n) FROM entries)")
    found = [finding for finding in await findings(root, fix=True) if finding.kind == "history"]
    assert [(finding.session_id, finding.is_fixed) for finding in found] == [("one", True)]
    assert "1 message(s)" in found[0].explanation
    (left,) = await findings(root)
    assert (left.kind, left.can_fix) == ("branch", False)
    async with open_store(root) as store:
        assert await store.sessions("agent").history("one") == turns("a", "c")


async def test_a_branch_without_an_end(root):
    damage(root, "UPDATE branches SET entry = entry + 500")
    (found, orphan) = await findings(root, fix=True)
    assert (found.kind, found.is_fixed) == ("branch", True)
    assert (orphan.kind, orphan.is_fixed) == ("orphan", False)
    assert "2 message(s)" in orphan.explanation


async def test_a_view_that_was_changed_behind_its_mark(root):
    path = root / "agent" / "context_memory" / "one.json"
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b'"c"', b'"X"'))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (found,) = await findings(root)
    assert (found.kind, found.can_fix, found.is_fixed) == ("view", True, False)
    (found,) = await findings(root, fix=True)
    assert found.is_fixed
    assert await findings(root) == []
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert len(await sessions.history("one")) == 4
        previews = {branch.preview for branch in await sessions.branches("one")}
        assert len(previews) == 2


async def test_unreadable_messages(root):
    path = root / "agent" / "context_memory" / "new.json"
    parts = [{"part_kind": "of-tomorrow", "content": "x"}]
    path.write_text(json.dumps([{"kind": "request", "parts": parts}]))
    (found,) = await findings(root, fix=True)
    assert (found.kind, found.session_id, found.can_fix) == ("unreadable", "new", False)


async def test_strange_files(root):
    folder = root / "agent" / "context_memory"
    (folder / "with space.json").write_text("[]")
    (folder / "broken.json").write_text('[{"kind": ')
    (folder / "link.json").symlink_to(folder / "one.json")
    (folder / "notes.txt").write_text("not ours")
    found = await findings(root)
    assert {finding.kind for finding in found} == {"file"}
    told = " ".join(finding.explanation for finding in found)
    assert len(found) == 3
    for name in ("with space", "broken", "link"):
        assert name in told
    assert str(root) not in told


async def test_a_file_that_the_disk_does_not_give(root, monkeypatch):
    folder = root / "agent" / "context_memory"
    (folder / "new.json").write_bytes((folder / "one.json").read_bytes())
    original = os.open

    def failing(path, *arguments, **named):
        if path in ("new.json", "one.json"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return original(path, *arguments, **named)

    monkeypatch.setattr(os, "open", failing)
    found = await findings(root)
    assert {finding.kind for finding in found} == {"file"}
    assert len(found) == 3
    assert all("can't be read" in finding.explanation for finding in found)


def old(path):
    """A file that nobody writes any more."""
    os.utime(path, (1_700_000_000, 1_700_000_000))


async def test_files_without_messages_are_kept_aside(root):
    folder = root / "agent" / "context_memory"
    for name, data in (("broken.json", '[{"kind": '), ("x.json.unreadable-1", "?")):
        (folder / name).write_text(data)
        old(folder / name)
    (folder / "with space.json").write_text("[]")
    (folder / "link.json").symlink_to(folder / "one.json")
    (folder / "unreadable").mkdir()
    (folder / "unreadable" / "broken.json").write_text("an earlier one")
    assert [found.can_fix for found in await findings(root)] == [True, False, False, True]
    found = await findings(root, fix=True)
    assert [one.is_fixed for one in found] == [True, False, False, True]
    assert len(await findings(root)) == 2
    kept = folder / "unreadable"
    assert (kept / "broken.json").read_text() == "an earlier one"
    assert (kept / "broken.json-2").read_text() == '[{"kind": '
    assert (kept / "x.json.unreadable-1").read_text() == "?"
    assert (folder / "link.json").is_symlink()


@pytest.mark.parametrize("age", ["old", "new"])
@pytest.mark.usefixtures("hasty")
async def test_a_view_that_holds_no_messages_any_more(root, age, monkeypatch):
    """It is kept, and the view is written again; moved aside by itself or by the check."""
    view = root / "agent" / "context_memory" / "one.json"
    before = view.read_bytes()
    view.write_bytes(before[:40])
    if age == "old":
        old(view)
    else:
        monkeypatch.setattr(foreign, "SETTLED_AFTER", 600.0)  # whatever time the test takes
    found = await findings(root)
    assert [(one.can_fix, one.is_fixed) for one in found] == [(True, False)]
    if age == "new":
        assert (found[0].kind, found[0].session_id) == ("view", "one")
    assert [one.is_fixed for one in await findings(root, fix=True)] == [True]
    assert await findings(root) == []
    assert view.read_bytes() == before
    (kept,) = (view.parent / "unreadable").iterdir()
    assert kept.read_bytes() == before[:40]


async def test_a_file_that_is_changed_meanwhile_stays(root, monkeypatch):
    path = root / "agent" / "context_memory" / "new.json"
    path.write_text("[")
    monkeypatch.setattr("time.sleep", lambda _seconds: path.write_text('["more'))
    (found,) = await findings(root, fix=True)
    assert not found.is_fixed
    assert path.read_text() == '["more'


async def test_a_damaged_file(root):
    path = root / "sessions.sqlite3"
    database = sqlite3.connect(path)
    query = "SELECT rootpage FROM sqlite_master WHERE name = 'sessions_pinned'"
    (page,) = database.execute(query).fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 200)
    found = await findings(root)
    assert {finding.kind for finding in found} == {"integrity"}
    assert not any(finding.can_fix for finding in found)


def drop(root, *statements):
    database = sqlite3.connect(root / "sessions.sqlite3")
    with database:
        for statement in statements:
            database.execute(statement)
    database.close()


async def test_what_the_schema_has_lost_is_made_again(root):
    drop(
        root,
        "DROP INDEX sessions_newest",
        "DROP TABLE words",
        "DROP TABLE search_state",
        "DROP TABLE events",
        "DROP TABLE tags",
        "DROP TABLE session_state",
    )
    found = await findings(root)
    assert {finding.kind for finding in found} == {"schema"}
    assert all(finding.can_fix and not finding.is_fixed for finding in found)
    assert all(finding.is_fixed for finding in await findings(root, fix=True))
    assert await findings(root) == []
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert [info.session_id for info in await sessions.list(tag="x")] == ["one"]
        assert await sessions.history("one") == turns("a", "c")
        await sessions.append("one", turn("wanted"))
        assert {hit.session_id for hit in await sessions.search("wanted")} == {"one"}


async def test_a_database_without_its_messages_is_not_filled_up(root):
    drop(root, "DROP TABLE entries")
    for fix in (False, True):
        (found,) = await findings(root, fix=fix)
        assert (found.kind, found.can_fix) == ("integrity", False)
        assert "moved out of it" in found.explanation


async def test_a_session_without_its_state(root):
    damage(root, "DELETE FROM session_state WHERE n IN (SELECT n FROM sessions WHERE owner = '')")
    assert {finding.session_id for finding in await findings(root)} == {"one", "two"}
    assert all(finding.is_fixed for finding in await findings(root, fix=True))
    assert await findings(root) == []
    async with open_store(root) as store:
        assert await store.sessions("agent").history("one") == turns("a", "c")


async def test_everything_is_looked_at(tmp_path):
    async with open_store(tmp_path) as store:
        for number in range(130):
            await store.sessions("agent").append(
                (await store.sessions("agent").create(f"s{number}")).session_id, turns("a", "b")
            )
    damage(tmp_path, "UPDATE sessions SET message_count = 1")
    assert len(await findings(tmp_path, fix=True)) == 130
    assert await findings(tmp_path) == []


@pytest.mark.parametrize("body", [b"", b"garbage", b'{"kind":"request","parts":[{', b"\xff\xfe"])
async def test_a_message_that_the_disk_gave_back_otherwise(root, body):
    """It is shown as what it is, and comes back from the view, which has it."""
    damage(
        root,
        "UPDATE entries SET body = ? WHERE n = (SELECT head FROM sessions WHERE session_id = 'one'"
        " AND owner = '')",
        body,
    )
    async with open_store(root) as store:
        items = await store.sessions("agent").transcript("one")
        assert [item.role for item in items] == ["user", "assistant", "user", "unreadable"]
        sessions = store.sessions("agent")
        assert b"damaged" in b"".join(await sessions.export("one", "markdown"))
        for read in (sessions.load, sessions.history, sessions.load_entries, sessions.fork):
            with pytest.raises(UnreadableMessages):
                await read("one")
        whole = await sessions.load("one", skip_unreadable=True)
        assert whole is not None
        assert len(whole.messages) == 3
    found = await findings(root)
    assert {"unreadable", "view"} <= {finding.kind for finding in found}
    assert "view" in {finding.kind for finding in await findings(root, fix=True)}
    assert await findings(root) == []
    async with open_store(root) as store:
        assert await store.sessions("agent").history("one") == turns("a", "c")
