"""Loads and saves that are one step of the store, and those that look before they leap."""

from __future__ import annotations

import copy
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai._conversation_marks import stored_boundary
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationStore

from mythline import open_store
from mythline.local import LocalStore
from mythline.testing.samples import agent, prompt, turn, turns


async def test_a_load_and_a_save_are_one_step_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with open_store(tmp_path / "store") as store:
        sessions = store.sessions("agent")
        await sessions.save(Conversation(messages=turn("a"), conversation_id="one"))
        steps: list[str] = []
        for name in ("get", "load", "line", "history", "save", "append"):
            original = getattr(LocalStore, name)

            def counted(
                self: LocalStore,
                *args: Any,
                name: str = name,
                original: Any = original,
                **named: Any,
            ) -> Any:
                steps.append(name)
                return original(self, *args, **named)

            monkeypatch.setattr(LocalStore, name, counted)
        for _ in range(2):
            conversation = await sessions.load("one", limit=2)
            result = await agent().run("b", conversation=conversation)
            await sessions.save(result)
            conversation = result.conversation
            conversation.messages += turn("c")
            await sessions.save(conversation)
        assert steps == ["load", "append", "append"] * 2


async def test_a_pydantic_ai_that_looks_at_more_gets_to_see_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What one step doesn't know is never made up: then it is read, as by any store."""
    load, save = ConversationStore.load, ConversationStore.save
    ids: list[str] = []
    requests: list[int] = []

    async def load_by_ids(
        self: ConversationStore, conversation_id: str, **named: Any
    ) -> Conversation | None:
        record = await self.read_record(conversation_id)
        assert record is not None
        ids[:] = [entry.id for entry in await self.read_history(record.head_id)]
        return await load(self, conversation_id, **named)

    async def save_with_usage(
        self: ConversationStore, conversation: Conversation, **named: Any
    ) -> Any:
        record = await self.read_record(conversation.conversation_id)
        assert record is not None
        requests.append(record.usage.requests)
        return await save(self, conversation, **named)

    async with open_store(tmp_path / "store") as store:
        sessions = store.sessions("agent")
        await sessions.save(await agent().run("a", conversation_id="one"))
        monkeypatch.setattr(ConversationStore, "load", load_by_ids)
        monkeypatch.setattr(ConversationStore, "save", save_with_usage)
        conversation = await sessions.load("one")
        assert conversation is not None
        assert ids == [entry.entry_id for entry in (await sessions.entries("one")).entries]
        conversation.messages += turns("b")
        assert len(await sessions.save(conversation)) == 2
        assert requests == [1]
        assert (await sessions.info("one")).message_count == 4


async def test_a_history_that_sqlite_does_not_join_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = LocalStore(tmp_path / "store")
    connect = store._database._connect

    def limited(*, migrate: bool = False) -> sqlite3.Connection:
        connection = connect(migrate=migrate)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 20_000)  # a gigabyte otherwise
        return connection

    monkeypatch.setattr(store._database, "_connect", limited)
    async with store:
        sessions = store.sessions("agent")
        for name, count in ("short", 5), ("long", 60):
            history = turns(*(f"{name} {number}" for number in range(count)))
            await sessions.save(Conversation(messages=history, conversation_id=name))
            details, data = await store.load(sessions._key(name)) or (None, None)
            assert details is not None
            assert (data is None) == (name == "long")
            loaded = await sessions.load(name)
            assert loaded is not None
            assert loaded.messages == history


async def test_pydantic_ai_finds_what_is_stored_where_it_looks(tmp_path: Path):
    """Its runs look there, and its stores: a conversation may be saved to another one next."""
    async with open_store(tmp_path / "store") as store:
        sessions = store.sessions("agent")
        await sessions.save(Conversation(messages=turns("a", "b"), conversation_id="one"))
        for limit in (None, 1):
            conversation = await sessions.load("one", limit=limit)
            assert conversation is not None
            for _ in range(2):
                count = len(conversation.messages)
                conversation.messages += turn("c")
                assert stored_boundary(conversation) == count
                await sessions.save(conversation)
                assert stored_boundary(conversation) == count + 2
            conversation.messages[0] = copy.copy(conversation.messages[0])
            assert stored_boundary(conversation) is None


def _pickled(conversation: Conversation) -> Any:
    return pickle.loads(pickle.dumps(conversation))


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, _pickled])
async def test_a_copy_keeps_what_is_stored(tmp_path: Path, copied: Any):
    async with open_store(tmp_path / "store") as store:
        sessions = store.sessions("agent")
        await sessions.save(Conversation(messages=turns("a"), conversation_id="one"))
        original = await sessions.load("one")
        assert original is not None
        for count in (2, 4):
            other = copied(original)
            other.messages = [*other.messages]
            original.messages += turn("b")
            await sessions.save(original)
            assert stored_boundary(other) == count
            other.messages += turn("c")
            other.revision = original.revision
            assert len(await sessions.save(other)) == 2
            assert stored_boundary(other) == count + 2
            assert stored_boundary(original) == count + 2
            original.revision = other.revision
        info = await sessions.info("one")
        assert (info.message_count, info.branches) == (10, ())


@pytest.mark.parametrize("saved_before", [False, True])
@pytest.mark.parametrize(
    ("change", "stored"),
    [
        (lambda messages: messages, "abcd"),
        (lambda messages: [copy.deepcopy(messages[0]), *messages[1:]], "abcd"),
        (lambda messages: [*turn("z"), *messages[2:]], "zbcd"),
        (lambda messages: messages[2:], "bcd"),
        (lambda messages: messages[:2] + turn("z") + messages[2:], "azbcd"),
        (lambda messages: messages[:2], "a"),
    ],
)
async def test_what_is_held_is_looked_at(
    tmp_path: Path, change: Any, stored: str, saved_before: bool
):
    async with open_store(tmp_path / "store") as store:
        sessions = store.sessions("agent")
        new = Conversation(messages=turns(*"abc"), conversation_id="one")
        await sessions.save(new)
        conversation = new if saved_before else await sessions.load("one")
        assert conversation is not None
        conversation.messages = change([*conversation.messages, *turn("d")])
        await sessions.save(conversation)
        after = await sessions.load("one")
        assert after is not None
        assert after.messages == conversation.messages
        assert after.messages[::2] == [prompt(text) for text in stored]
