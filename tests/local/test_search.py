"""The index of the local store: behind the saves, through crashes, and clean of what is purged."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import ModelRequest, ToolReturnPart, UserPromptPart

from mythline import messages, open_store, queries
from mythline.local import LocalStore, documents, indexing
from mythline.sessions import AgentSessions
from mythline.store import Save, SessionKey

from . import programs
from .support import LONG, dump, eventually, turn, turns, view
from .test_crash import running

pytestmark = pytest.mark.anyio


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def _query(root: Path, statement: str, *values: Any) -> list[Any]:
    with sqlite3.connect(root / "sessions.sqlite3") as connection:
        found = connection.execute(statement, values).fetchall()
    connection.close()
    return found


async def _found(sessions: AgentSessions, query: str, **asked: Any) -> list[str]:
    return sorted(hit.snippet for hit in await sessions.search(query, limit=1000, **asked))


def _files_with(root: Path, *words: bytes) -> list[str]:
    """The files below a store that have one of some words, in capital or small letters."""
    found: list[str] = []
    for path in root.rglob("*"):
        if path.is_file():
            with contextlib.suppress(FileNotFoundError):  # a view of another session
                data = path.read_bytes().lower()
                found += [path.name for word in words if word.lower() in data]
    assert (root / "sessions.sqlite3").exists()
    return found


def _findings(store: LocalStore, *, fix: bool = False) -> list[Any]:
    return store._indexing.check(fix=fix)


# Behind the saves


async def test_indexed_without_a_search(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is saved is indexed soon, and nothing is written when there is nothing to do."""
    monkeypatch.setattr(indexing, "PAUSE", 0.01)
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(3))

        async def counts() -> list[tuple[int, int]]:
            unindexed = "SELECT count(*) FROM sessions WHERE unindexed"
            return _query(root, f"SELECT (SELECT count(*) FROM documents), ({unindexed})")

        assert await eventually(counts, [(6, 0)]) == [(6, 0)]
        assert _findings(store) == []


async def test_killed_before_it_was_indexed(root: Path) -> None:
    """What was saved just before a crash is found."""
    with running(programs.write_turns, str(root), {"one": 10}, 0, 10_000, False) as (writer, pipe):
        for _ in range(5):
            assert pipe.poll(LONG)
            pipe.recv()
        writer.kill()
        writer.join()
    assert _query(root, "SELECT unindexed FROM sessions") == [(1,)]
    async with open_store(root) as store:
        found = await _found(store.sessions("agent"), "one", roles=["user"])
        assert {f"one {number}" for number in range(5)} <= set(found)


@pytest.mark.parametrize("seed", range(3))
async def test_killed_while_indexing(root: Path, seed: int) -> None:
    """Wherever a process is killed, the index is whole, and has each message once."""
    last, start = -1, 0
    found: list[str] = []
    for kill in range(3):
        with running(programs.say_and_search, str(root), start) as (writer, pipe):
            for _ in range(10 + 13 * seed + 5 * kill):
                assert pipe.poll(LONG)
                last = pipe.recv()
            writer.kill()
            writer.join()
        start = last + 2  # the one after the last may be stored or not
        async with LocalStore(root) as store:
            sessions = store.sessions("agent")
            found = await _found(sessions, "word*", roles=["user"])
            assert len(found) == len(set(found))
            assert f"word{last}" in found
            assert _findings(store) == []
    assert len(found) >= last - 3


async def test_two_processes(root: Path) -> None:
    """Two stores that index the same sessions at once put each message in once."""
    async with LocalStore(root) as one, LocalStore(root) as two:
        here, there = one.sessions("agent"), two.sessions("agent")
        await here.create("one")
        for number in range(20):
            await (here if number % 2 else there).append("one", turn(f"dragon {number}"))
            lists = await asyncio.gather(
                *(_found(sessions, "dragon", roles=["user"]) for sessions in (here, there) * 2)
            )
            assert [len(found) for found in lists] == [number + 1] * 4
        assert _findings(one) == []


def _before_there_was_an_index(root: Path) -> None:
    """Make a store of the first schema with two sessions of 1,400 messages each."""
    root.mkdir()
    number, script = queries.migrations("mythline.local")[0]
    assert number == 1
    bodies = messages.dump([message for n in range(700) for message in turn(f"old dragon {n}")])
    with sqlite3.connect(root / "sessions.sqlite3") as connection:
        connection.executescript(f"{script}\nPRAGMA user_version = 1;")
        for line in (1, 2):
            last = (line << 20) + len(bodies) - 1
            connection.execute("INSERT INTO lines (line) VALUES (?)", (line,))
            connection.executemany(
                "INSERT INTO entries (n, id, body) VALUES (?, ?, ?)",
                [((line << 20) + n, f"{line}-{n}", body) for n, body in enumerate(bodies)],
            )
            connection.execute(
                "INSERT INTO sessions (n, owner, agent_id, session_id, revision, head, head_id,"
                " message_count, created, updated)"
                " VALUES (?, '', 'agent', ?, 'r', ?, ?, 1400, 0, 0)",
                (line, f"s{line}", last, f"{line}-{len(bodies) - 1}"),
            )
            connection.execute("INSERT INTO session_state (n) VALUES (?)", (line,))
    connection.close()


async def test_sessions_from_before(root: Path) -> None:
    """What was stored before there was an index is found after the migration, wholly."""
    _before_there_was_an_index(root)
    async with LocalStore(root, views=False) as store:
        sessions = store.sessions("agent")
        assert len(await _found(sessions, "old dragon", roles=["user"])) == 1000
        assert len(await sessions.search('"old dragon 699"', roles=["user"])) == 2
        assert _findings(store) == []


async def test_forks_index_nothing_anew(root: Path) -> None:
    """A fork shares the documents of what it shares."""
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(50))
        await sessions.search("turn")
        for number in range(5):
            fork = await sessions.fork("one", new_conversation_id=f"fork{number}")
            fork.messages += turn("of its own")
            await sessions.save(fork)
        await sessions.search("turn")
        assert _query(root, "SELECT count(*) FROM documents") == [(110,)]
        assert _findings(store) == []


async def test_entries_of_two_owners(root: Path) -> None:
    """What a session of no owner took over from an owner's is a hit of each, and stays one's."""
    async with LocalStore(root) as store:
        nobody, alice = store.sessions("agent"), store.sessions("agent", owner="alice")
        shared = Conversation(messages=turn("a shared Xyzzydragon"), conversation_id="one")
        await nobody.save(shared, scope="alice")  # which an ownerless caller may go on from
        assert await _found(alice, "shared", roles=["user"]) == ["a shared Xyzzydragon"]
        assert await _found(nobody, "shared") == []
        head = (await alice.info("one")).head_id
        took = Save(revision="r", expected=None, head_id=head, updated=1)
        await store.save(SessionKey(None, "agent", "two"), took)
        for name, sessions in (("two", nobody), ("one", alice)):
            hits = await sessions.search("shared", roles=["user"])
            assert [(hit.session_id, hit.snippet) for hit in hits] == [
                (name, "a shared Xyzzydragon")
            ]
        await nobody.append("two", turn("more"))
        assert await _found(alice, "more") == []
        assert len(await _found(nobody, "more")) == 2
        assert _findings(store) == []
        await alice.purge("one")
        assert await _found(alice, "shared") == []
        assert await _found(nobody, "shared", roles=["user"]) == ["a shared Xyzzydragon"]
        await nobody.purge("two")
        assert _findings(store) == []
        assert _files_with(root, *SECRETS) == []


async def test_files_of_other_programs(root: Path) -> None:
    """What another program wrote, and what it adds, is found like anything else."""
    path = view(root, "agent", "theirs")
    dump(path, turn("their dragon"))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        assert await _found(sessions, "dragon", roles=["user"]) == ["their dragon"]
        dump(path, [*turn("their dragon"), *turn("their second dragon")])

        async def found() -> int:
            return len(await sessions.search("dragon", roles=["user"]))

        assert await eventually(found, 2) == 2


async def test_strange_messages(root: Path) -> None:
    """A message that can't be understood is in nobody's way."""
    async with LocalStore(root, views=False) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("a dragon"))
        with sqlite3.connect(root / "sessions.sqlite3") as connection:
            connection.execute("UPDATE entries SET body = x'5b5d' WHERE n % 2")
        connection.close()
        assert await _found(sessions, "dragon") == ["a dragon"]


async def test_broken_history(root: Path) -> None:
    """Where a part of a history is missing, the rest is found, and so is everything else."""
    async with LocalStore(root, views=False) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(3, "dragon"))
        entries = (await sessions.entries("one")).entries
        await sessions.branch_at("one", entries[1].entry_id)
        await sessions.append("one", turn("another dragon"))
        await sessions.create("two")
        await sessions.append("two", turn("a dragon of two"))
        _query(root, "DELETE FROM lines WHERE line = 1")
        assert "another dragon" in await _found(sessions, "dragon", roles=["user"])
        assert await _found(sessions, "two", roles=["user"]) == ["a dragon of two"]


# What is purged


def _secret(n: int) -> list[Any]:
    returned = ToolReturnPart("look", {"it": ["Xyzzytool quux"]}, "1")
    prompt = UserPromptPart(f"Xyzzyprompt {n} " + "Xyzzylong " * (n % 3) * 300)
    return [ModelRequest(parts=[returned, prompt]), *turn(f"xyzzyturn {n}", "Xyzzyanswer")]


SECRETS = b"xyzzy", b"quux"


async def _delete(sessions: AgentSessions) -> None:
    for name in ("one", "two"):
        await sessions.purge(name)


async def _trash(sessions: AgentSessions) -> None:
    for name in ("one", "two"):
        await sessions.delete(name)
    await sessions.search("xyzzyprompt")
    assert await sessions.empty_trash() == 2


async def _delete_all(sessions: AgentSessions) -> None:
    assert await sessions.delete_all(permanent=True) == 2


@pytest.mark.parametrize("remove", [_delete, _trash, _delete_all])
@pytest.mark.parametrize("views", [True, False])
async def test_purged_from_every_file(
    root: Path, remove: Callable[[AgentSessions], Any], views: bool
) -> None:
    """When a purge has returned, no file has a word of it: text, words, title, tags, branches."""
    async with LocalStore(root, views=views) as store:
        sessions = store.sessions("agent")
        other = store.sessions("other")
        await other.create("stays")
        await sessions.create("one", title="Xyzzytitle", tags=["xyzzytag"], metadata={"x": "xyzzy"})
        for n in range(30):
            await sessions.append("one", _secret(n))
            await other.append("stays", turn(f"stays {n}"))
            if n % 4 == 0:
                await sessions.search("xyzzyprompt")
        await sessions.fork("one", new_conversation_id="two")
        await sessions.update("one", title="Xyzzyother", tags=[])
        entries = (await sessions.entries("one")).entries
        await sessions.branch_at("one", entries[10].entry_id)
        await sessions.append("one", _secret(99))
        assert len(await sessions.search("xyzzyprompt")) == 20
        assert _files_with(root, *SECRETS)
        await remove(sessions)
        assert _files_with(root, *SECRETS) == []
        assert len(await _found(other, "stays", roles=["user"])) == 30
        assert _findings(store) == []
    assert _files_with(root, *SECRETS) == []


async def test_purge_of_a_part(root: Path) -> None:
    """What another session shares stays, and can be found; the rest is gone."""
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", [*turns(5, "shared"), *_secret(0)])
        entries = (await sessions.entries("one")).entries
        await sessions.fork_at("one", entries[9].entry_id, new_session_id="two")
        await sessions.search("shared")
        await sessions.purge("one")
        assert _files_with(root, *SECRETS) == []
        assert len(await _found(sessions, "shared", roles=["user"])) == 5
        await sessions.append("two", turn("new dragon"))
        assert len(await _found(sessions, "dragon", roles=["user"])) == 1
        assert _findings(store) == []


async def test_purge_before_it_was_indexed(root: Path) -> None:
    """Nothing of a purged session comes into the index after it."""
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        for n in range(10):
            await sessions.create("one")
            await sessions.append("one", _secret(n))
            searching = asyncio.gather(*(sessions.search("xyzzyturn") for _ in range(3)))
            await sessions.purge("one")
            await searching
            assert list(await sessions.search("xyzzyturn")) == []
        await store._erase()
        assert _files_with(root, *SECRETS) == []
        assert _findings(store) == []


async def test_purge_while_others_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads an older state keeps it in the log; it is gone soon after."""
    monkeypatch.setattr(indexing, "ERASE_TRIES", 2)
    monkeypatch.setattr(indexing, "RETRY", 0.05)
    monkeypatch.setattr(indexing, "PAUSE", 0.01)
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", _secret(0))
        reader = sqlite3.connect(root / "sessions.sqlite3", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sessions").fetchall()
        await sessions.purge("one")
        assert _files_with(root, *SECRETS)
        reader.close()

        async def left() -> list[str]:
            return _files_with(root, *SECRETS)

        assert await eventually(left, [], within=LONG) == []


async def test_killed_before_it_was_erased(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process purged and left in the log is removed by the next one."""
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", _secret(0))
        await sessions.search("xyzzyturn")
        monkeypatch.setattr(indexing.Indexing, "_erase_once", lambda _self: True)
        monkeypatch.setattr(indexing.Indexing, "erase", lambda _self: None)
        reader = sqlite3.connect(root / "sessions.sqlite3", isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM sessions").fetchall()
        await sessions.purge("one")
    assert _files_with(root, *SECRETS)
    reader.close()
    monkeypatch.undo()
    monkeypatch.setattr(indexing, "PAUSE", 0.01)
    async with LocalStore(root):

        async def left() -> list[str]:
            return _files_with(root, *SECRETS)

        assert await eventually(left, [], within=LONG) == []


# A damaged index

DAMAGES = {
    "leaves": "UPDATE words_data SET block = zeroblob(length(block)) WHERE id > 10",
    "structure": "UPDATE words_data SET block = x'ffffffffffffffffff' WHERE id = 10",
    "nothing": "DELETE FROM words_data",
    "sizes": "DELETE FROM words_docsize WHERE id % 2",
    "documents": "DELETE FROM documents WHERE entry % 2",
    "ends": "DELETE FROM indexed",
    "version": "UPDATE search_state SET version = -1",
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_index(root: Path, damage: str) -> None:
    """A damaged index is in no save's or purge's way; a check finds it, and builds it anew."""
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        for name in ("one", "two"):
            await sessions.create(name)
            await sessions.append(name, turns(20, f"dragon {name}"))
        await sessions.search("dragon")
    with sqlite3.connect(root / "sessions.sqlite3") as connection:
        connection.execute(DAMAGES[damage])
    connection.close()
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.append("one", turn("one more dragon"))
        await sessions.purge("two")
        found = _findings(store, fix=True)
        assert [(finding.kind, finding.is_fixed) for finding in found] in ([], [("search", True)])
        assert _findings(store) == []
        assert len(await _found(sessions, "dragon", roles=["user"])) == 21
        await sessions.append("one", turn("the last dragon"))
        assert len(await _found(sessions, "dragon", roles=["user"])) == 22


@pytest.mark.parametrize("damage", ["structure", "nothing"])
async def test_search_of_a_damaged_index(root: Path, damage: str) -> None:
    """A search that meets a damaged index builds it anew."""
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(20, "dragon"))
        await sessions.search("dragon")
    with sqlite3.connect(root / "sessions.sqlite3") as connection:
        connection.execute(DAMAGES[damage])
    connection.close()
    async with LocalStore(root) as store:
        assert len(await _found(store.sessions("agent"), "dragon", roles=["user"])) == 20


async def test_damage_is_found(root: Path) -> None:
    """A check names what is wrong, and changes nothing unless it is told to."""
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turns(20, "dragon"))
        await sessions.search("dragon")
        assert _findings(store) == []
        for damage in ("sizes", "documents", "ends"):
            with sqlite3.connect(root / "sessions.sqlite3") as connection:
                connection.execute(DAMAGES[damage])
            connection.close()
            for _ in range(2):
                (finding,) = _findings(store)
                assert (finding.kind, finding.is_fixed, finding.can_fix) == ("search", False, True)
            (finding,) = _findings(store, fix=True)
            assert finding.is_fixed
            assert _findings(store) == []
            assert len(await _found(sessions, "dragon", roles=["user"])) == 20


async def test_words_of_another_version(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When words are made in another way, the index is built anew."""
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", turn("dragon"))
        await sessions.search("dragon")
    monkeypatch.setattr("mythline.search.VERSION", 1000)
    monkeypatch.setattr(documents.search, "plain_words", lambda text: ["fire"] * bool(text))
    async with LocalStore(root) as store:
        sessions = store.sessions("agent")
        assert len(await sessions.search("fire")) == 2
        assert list(await sessions.search("dragon")) == []


async def test_a_store_that_is_closed_just_as_its_index_wakes_is_closed(
    root: Path, monkeypatch: pytest.MonkeyPatch
):
    async with open_store(root) as store:
        assert isinstance(store, LocalStore)
        index = store._indexing

        class Wake(threading.Event):
            """Closes the index where the word of that would be lost."""

            def clear(self) -> None:
                index._stop.set()
                self.set()
                super().clear()

        index.close()
        monkeypatch.setattr(index, "_wake", Wake())
        index.open()
        assert index._thread is not None
        await asyncio.to_thread(index._thread.join, 20)
        assert not index._thread.is_alive()
