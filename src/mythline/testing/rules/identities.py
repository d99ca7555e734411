"""Making sessions, finding them, and which ids are let in."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_ai.conversation import Conversation

from ... import ids
from ...errors import InvalidId, InvalidInput, SessionExists, SessionNotFound, StoreClosed
from ...sessions import AgentSessions
from ...store import SessionKey, Store
from ..base import OpenStore, StoreRules
from ..samples import UNKNOWN, deferred, prompt, saved, turn, turns, usage

BAD_IDS = (
    *("", ".", "..", "../x", "a/b", "a\\b", "/etc/passwd", ".hidden", "a.json", "-a", "-", "--"),
    *("a b", " a", "a\n", "a\x00", "a%2fb", "a:b", "a~", "~", "*", "é", "а", "ａ", "a\u200b", "١"),
    "x" * 129,
    *sorted(ids.RESERVED),
)
GOOD_IDS = ("a", "0", "_", "a-", "A_b-9", "x" * 128, "Latest", "latest-1", "CON", "con")

Call = Callable[[AgentSessions, str], Awaitable[Any]]
BY_ID: dict[str, Call] = {
    "create": lambda sessions, name: sessions.create(name),
    "exists": lambda sessions, name: sessions.exists(name),
    "info": lambda sessions, name: sessions.info(name),
    "entries": lambda sessions, name: sessions.entries(name),
    "history": lambda sessions, name: sessions.history(name),
    "transcript": lambda sessions, name: sessions.transcript(name),
    "append": lambda sessions, name: sessions.append(name, turn("a")),
    "save_history": lambda sessions, name: sessions.save_history(name, turn("a")),
    "export": lambda sessions, name: sessions.export(name),
    "import": lambda sessions, name: sessions.import_(b"[]", session_id=name),
    "purge": lambda sessions, name: sessions.purge(name),
    "load": lambda sessions, name: sessions.load(name),
    "load_entries": lambda sessions, name: sessions.load_entries(name),
    "save": lambda sessions, name: sessions.save(Conversation(conversation_id=name)),
    "branch": lambda sessions, name: sessions.branch(name, at=0, expected_revision=None),
    "fork": lambda sessions, name: sessions.fork(name),
    "delete": lambda sessions, name: sessions.delete(name),
    "read_record": lambda sessions, name: sessions.read_record(name),
    "delete_record": lambda sessions, name: sessions.delete_record(name, expected_revision="x"),
}
"""Every method that takes the id of a session."""


class IdentityRules(StoreRules):
    """`create`, `exists`, `info`, `latest`, `agents`; the grammar of ids; opening and closing."""

    async def test_empty_store(self, store: Store, sessions: AgentSessions) -> None:
        """An empty store has nothing, and says so without an error."""
        assert await store.agents(None) == []
        assert await sessions.latest() is None
        assert list(await sessions.list()) == []
        assert not await sessions.exists("one")
        assert await sessions.delete_all() == 0

    async def test_generated_ids(self, sessions: AgentSessions) -> None:
        """Without an id, a session gets a new one that says when it was made."""
        made = [await sessions.create() for _ in range(5)]
        names = [info.session_id for info in made]
        assert len(set(names)) == 5
        for name in names:
            assert re.fullmatch(r"session_\d{8}_\d{6}_[a-z0-9]{6}", name)
            assert await sessions.exists(name)

    async def test_created_session(self, sessions: AgentSessions) -> None:
        """A session that was just made is there: empty, listed, loadable, ready to be saved."""
        second = timedelta(seconds=1)
        before = datetime.now(UTC) - second
        info = await sessions.create("one")
        assert (info.session_id, info.agent_id, info.owner) == ("one", self.agent_id, None)
        assert (info.message_count, info.head_id, info.branches) == (0, None, ())
        assert (
            before < info.created <= info.last_modified < datetime.now(UTC) + timedelta(seconds=1)
        )
        assert await sessions.exists("one")
        assert [listed.session_id for listed in await sessions.list()] == ["one"]
        assert await sessions.info("one") == info
        conversation = await sessions.load("one")
        assert conversation is not None
        assert (conversation.messages, conversation.revision) == ([], info.revision)
        conversation.messages += turn("a")
        assert len(await sessions.save(conversation)) == 2

    async def test_described(self, sessions: AgentSessions) -> None:
        """Title, tags and metadata are kept; tags sorted, without repeats."""
        metadata = {"nested": {"list": [1, None, "ü"]}, "n": 0.5}
        info = await sessions.create("one", title="Ümläut", tags=["b", "a", "b"], metadata=metadata)
        assert (info.title, info.tags, info.metadata) == ("Ümläut", ("a", "b"), metadata)
        conversation = await sessions.load("one")
        assert conversation is not None
        conversation.messages += turn("Another text")
        await sessions.save(conversation)
        again = await sessions.info("one")
        assert (again.title, again.tags, again.metadata) == ("Ümläut", ("a", "b"), metadata)

    async def test_bounds_of_a_description(self, sessions: AgentSessions) -> None:
        """What is out of bounds is refused, and makes nothing."""
        bad: list[dict[str, Any]] = [
            {"title": "x" * 201},
            {"tags": [""]},
            {"tags": ["x" * 65]},
            {"tags": [str(number) for number in range(51)]},
            {"metadata": {"x": "y" * (16 << 10)}},
            {"metadata": {"x": object()}},
        ]
        for arguments in bad:
            with pytest.raises(InvalidInput):
                await sessions.create("one", **arguments)
        assert not await sessions.exists("one")
        await sessions.create("one", title="x" * 200, tags=["x" * 64], metadata={"x": "y" * 16000})

    async def test_created_twice(self, sessions: AgentSessions) -> None:
        """An id that is taken is refused, and the session with it stays as it is."""
        await saved(sessions, "a")
        before = await sessions.info("one")
        with pytest.raises(SessionExists):
            await sessions.create("one", title="Mine")
        assert await sessions.info("one") == before

    async def test_titles(self, sessions: AgentSessions) -> None:
        """Without a title, the start of the first prompt is one; the preview is the last text."""
        assert (await sessions.create("empty")).title is None
        await saved(sessions, "First  prompt\nof two lines", "second")
        info = await sessions.info("one")
        assert info.title == "First prompt of two lines"
        assert info.preview == "Answer to second"
        await saved(sessions, "word " * 1000, conversation_id="long")
        info = await sessions.info("long")
        assert info.title is not None
        assert len(info.title) <= 200
        assert len(info.preview) <= 200

    async def test_info(self, sessions: AgentSessions) -> None:
        """What is known of a session is what was saved."""
        first = await saved(sessions, "a", "b", usage=usage(), deferred_tool_requests=deferred())
        info = await sessions.info("one")
        record = await sessions.read_record("one")
        assert record is not None
        assert (info.revision, info.head_id, info.message_count) == (
            first.revision,
            record.head_id,
            4,
        )
        assert info.last_modified == record.updated_at
        assert json.loads(info.usage)["requests"] == usage().requests
        assert info.deferred_tool_requests is not None
        assert len(json.loads(info.deferred_tool_requests)["calls"]) == 1
        await sessions.branch("one", at=1, expected_revision=first.revision)
        again = await sessions.info("one")
        assert (again.branches, again.message_count) == ((record.head_id,), 1)
        assert again.created == info.created
        assert again.last_modified > info.last_modified
        fork = await sessions.fork("one")
        forked = await sessions.info(fork.conversation_id)
        assert (forked.forked_from, forked.forked_at) == ("one", again.head_id)

    async def test_size(self, sessions: AgentSessions) -> None:
        """The size of a session is that of its history as a JSON array, exported."""
        await saved(sessions)
        await saved(sessions, "a", "Grüße " * 100, "c", conversation_id="two")
        fork = await sessions.fork("two", at=3)
        for name in ("one", "two", fork.conversation_id):
            data = b"".join(await sessions.export(name))
            assert (await sessions.info(name)).size == len(data)

    async def test_latest(self, sessions: AgentSessions) -> None:
        """The latest session is the one that was saved last."""
        for name in ("a", "b", "c"):
            await saved(sessions, "x", conversation_id=name)
        await sessions.append("a", turn("y"))
        latest = await sessions.latest()
        assert latest is not None
        assert latest == (await sessions.list(limit=1))[0]
        assert latest.session_id == "a"

    async def test_agents(self, store: Store, sessions: AgentSessions) -> None:
        """Agents that have sessions are listed in the order of their ids, with their numbers."""
        for agent_id, count in (("zoe", 1), ("adam", 3), ("none", 0)):
            for _ in range(count):
                await store.sessions(agent_id).create()
        found = await store.agents(None)
        assert [(info.agent_id, info.session_count) for info in found] == [("adam", 3), ("zoe", 1)]
        for info in found:
            latest = await store.sessions(info.agent_id).latest()
            assert latest is not None
            assert info.last_modified == latest.last_modified
        await store.sessions("zoe").delete_all()
        assert [info.agent_id for info in await store.agents(None)] == ["adam"]

    async def test_agents_are_apart(self, store: Store, sessions: AgentSessions) -> None:
        """The same id of two agents is two sessions."""
        other = store.sessions("other")
        await saved(sessions, "a")
        await saved(other, "b")
        assert await sessions.history("one") == turn("a")
        assert await other.history("one") == turn("b")
        (entry, *_) = (await other.entries("one")).entries
        with pytest.raises(LookupError):
            await sessions.read_entry(entry.entry_id)
        await other.purge("one")
        assert await sessions.history("one") == turn("a")

    async def test_good_ids(self, sessions: AgentSessions) -> None:
        """Every id of the grammar names a session of its own, capital letters included."""
        for name in GOOD_IDS:
            await sessions.create(name)
            await sessions.append(name, [prompt(name)])
        for name in GOOD_IDS:
            assert await sessions.history(name) == [prompt(name)]
        assert {info.session_id for info in await sessions.list()} == set(GOOD_IDS)

    async def test_bad_ids(self, sessions: AgentSessions) -> None:
        """No method lets an id in that is outside the grammar, and none makes anything of it."""
        for method in BY_ID.values():
            for name in BAD_IDS:
                with pytest.raises(InvalidId):
                    await method(sessions, name)
        assert list(await sessions.list()) == []

    async def test_bad_ids_of_forks(self, sessions: AgentSessions) -> None:
        """A fork's id is of the same grammar."""
        await saved(sessions, "a")
        for name in BAD_IDS:
            with pytest.raises(InvalidId):
                await sessions.fork("one", new_conversation_id=name)
        assert len(await sessions.list()) == 1

    async def test_bad_agents_and_owners(self, store: Store) -> None:
        """Nor does a store let in an agent or an owner that can't be one."""
        for agent_id in (*(set(BAD_IDS) - ids.RESERVED), "x" * 65):
            with pytest.raises(InvalidId):
                store.sessions(agent_id)
        for owner in ("", "x" * 257, "\ud800"):
            with pytest.raises(InvalidId):
                store.sessions(self.agent_id, owner=owner)
        store.sessions("x" * 64, owner="x" * 256)

    async def test_unknown_session(self, sessions: AgentSessions) -> None:
        """What isn't there is not found, and isn't made by asking for it."""
        for name in ("info", "entries", "history", "transcript", "append", "export", "purge"):
            with pytest.raises(SessionNotFound):
                await BY_ID[name](sessions, "one")
        assert list(await sessions.list()) == []

    async def test_unknown_to_the_store(self, store: Store) -> None:
        """The store's own methods say so by what they return."""
        key = SessionKey(None, self.agent_id, "one")
        assert await store.get(key) is None
        assert await store.history(key) is None
        assert await store.line(None, self.agent_id, UNKNOWN) is None
        assert await store.delete(key) is False
        await store.settle(key)

    async def test_closed_store(self, open_store: OpenStore) -> None:
        """A store that isn't open says so; opening and closing can be repeated."""
        store = open_store()
        sessions = store.sessions(self.agent_id)
        with pytest.raises(StoreClosed):
            await sessions.exists("one")
        await store.open()
        await store.open()
        await sessions.create("one")
        await store.close()
        await store.close()
        for name in ("exists", "load", "append", "create"):
            with pytest.raises(StoreClosed):
                await BY_ID[name](sessions, "one")
        await store.open()
        assert await sessions.exists("one")
        await store.close()

    async def test_settled(self, store: Store, sessions: AgentSessions) -> None:
        """Waiting for what other programs read changes nothing of what is stored."""
        await saved(sessions, *map(str, range(200)))
        before = await sessions.info("one")
        await store.settle(SessionKey(None, self.agent_id, "one"))
        assert await sessions.history("one") == turns(*map(str, range(200)))
        assert await sessions.info("one") == before
