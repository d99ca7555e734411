"""Whole histories: `save_history`, `export` and `import_`."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
from collections import deque
from typing import cast

import pytest
from pydantic_ai.messages import (
    DocumentUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    SystemPromptPart,
    UserPromptPart,
)

from ...archives import export_all, import_archive
from ...errors import InvalidInput, InvalidMessages, SessionExists
from ...sessions import AgentSessions, OnConflict
from ...store import Save, SessionKey, Store
from ...transfer import BulkConflict
from ..base import StoreRules
from ..samples import (
    branches_of,
    deferred,
    entries_of,
    ids,
    messages_in,
    prompt,
    record_of,
    saved,
    turn,
    turns,
    usage,
)
from .turns import NO_MESSAGES, ODD_BODIES


def _array(*texts: str) -> bytes:
    return ModelMessagesTypeAdapter.dump_json(turns(*texts))


class TransferRules(StoreRules):
    """Histories that come and go as a whole."""

    async def test_save_history_makes_a_session(self, sessions: AgentSessions) -> None:
        """A session that isn't there is made."""
        new = await sessions.save_history("one", turns("a", "b"))
        assert messages_in(new) == turns("a", "b")
        assert await entries_of(sessions) == new
        await sessions.save_history("two", [])
        assert await sessions.history("two") == []

    async def test_save_history_appends(self, sessions: AgentSessions) -> None:
        """What goes on after the stored history is appended; entries keep their ids."""
        await saved(sessions, "a", usage=usage())
        before = await entries_of(sessions)
        new = await sessions.save_history("one", turns("a", "b"))
        assert messages_in(new) == turn("b")
        assert await entries_of(sessions) == [*before, *new]
        record = await record_of(sessions)
        assert (record.branches, record.usage) == ([], usage())

    async def test_save_history_again(self, sessions: AgentSessions) -> None:
        """The history that is stored already stores nothing."""
        await saved(sessions, "a", "b")
        before = await entries_of(sessions)
        assert await sessions.save_history("one", turns("a", "b")) == []
        assert await entries_of(sessions) == before

    @pytest.mark.parametrize("kept", range(4))
    async def test_save_history_that_is_shorter(self, sessions: AgentSessions, kept: int) -> None:
        """A shorter history is the current one then, and the old one a branch."""
        await saved(sessions, "a", "b")
        before = await entries_of(sessions)
        assert await sessions.save_history("one", turns("a", "b")[:kept]) == []
        assert await entries_of(sessions) == before[:kept]
        assert await branches_of(sessions) == [turns("a", "b")]

    async def test_save_history_that_differs(self, sessions: AgentSessions) -> None:
        """A rewritten history branches off the last message that both share."""
        await saved(sessions, "a", "b", usage=usage(), deferred_tool_requests=deferred())
        before = await entries_of(sessions)
        wanted = [*turn("a"), prompt("instead")]
        new = await sessions.save_history("one", wanted)
        assert messages_in(new) == [prompt("instead")]
        assert ids(await entries_of(sessions)) == [*ids(before[:2]), new[0].id]
        assert await branches_of(sessions) == [turns("a", "b")]
        record = await record_of(sessions)
        assert (record.usage, record.deferred_tool_requests) == (usage(), None)

    async def test_save_history_at_once(self, sessions: AgentSessions) -> None:
        """Of several at once none is lost: each is the history or a branch."""
        await saved(sessions, "a")
        wanted = [turns("a", text) for text in "bcd"]
        await asyncio.gather(*(sessions.save_history("one", history) for history in wanted))
        found = [await sessions.history("one"), *await branches_of(sessions)]
        assert all(history in found for history in wanted)

    async def test_save_history_of_any_sequence(self, sessions: AgentSessions) -> None:
        """What is no list is stored as one: a deque that keeps the last messages, say."""
        last = deque(turns("a", "b"), maxlen=4)
        assert messages_in(await sessions.save_history("one", last)) == turns("a", "b")
        last.extend(turn("c"))
        assert messages_in(await sessions.save_history("one", last)) == turns("b", "c")
        assert await sessions.history("one") == turns("b", "c")

    async def test_export(self, sessions: AgentSessions) -> None:
        """An export is the JSON array of the current history, one message a line."""
        first = await saved(sessions, "a", "b")
        await sessions.branch("one", at=3, expected_revision=first.revision)
        data = b"".join(await sessions.export("one"))
        assert ModelMessagesTypeAdapter.validate_json(data) == turns("a", "b")[:3]
        assert len(data.splitlines()) == 5
        await sessions.create("empty")
        assert json.loads(b"".join(await sessions.export("empty"))) == []

    async def test_export_of_much(self, sessions: AgentSessions) -> None:
        """A large export comes in pieces, none of them empty."""
        await saved(sessions, *("word " * 2000 for _ in range(60)))
        pieces = list(await sessions.export("one"))
        assert len(pieces) > 1
        assert all(pieces)
        found = ModelMessagesTypeAdapter.validate_json(b"".join(pieces))
        assert found == await sessions.history("one")

    async def test_import_what_was_exported(self, sessions: AgentSessions) -> None:
        """An export can be imported; the copy has entries of its own."""
        await saved(sessions, "a", "b")
        data = b"".join(await sessions.export("one"))
        info = await sessions.import_(data, session_id="two", trusted=True)
        assert (info.session_id, info.message_count) == ("two", 4)
        assert b"".join(await sessions.export("two")) == data
        one, two = await entries_of(sessions), await entries_of(sessions, "two")
        assert not set(ids(one)) & set(ids(two))

    async def test_import_under_a_new_id(self, sessions: AgentSessions) -> None:
        """Without an id, one is generated."""
        one = await sessions.import_(_array("a"))
        two = await sessions.import_(_array("a"))
        assert one.session_id != two.session_id
        assert await sessions.history(one.session_id) == turn("a")

    async def test_import_goes_on(self, sessions: AgentSessions) -> None:
        """An imported session is one like any other."""
        await sessions.import_(_array("a"), session_id="one")
        conversation = await sessions.load("one")
        assert conversation is not None
        conversation.messages += turn("b")
        assert len(await sessions.save(conversation)) == 2

    async def test_import_of_nothing(self, sessions: AgentSessions) -> None:
        """An empty array is an empty session."""
        info = await sessions.import_(b"[]", session_id="one")
        assert (info.message_count, info.head_id) == (0, None)

    async def test_import_where_the_id_is_taken(self, sessions: AgentSessions) -> None:
        """By default an id that is taken is an error, and nothing changes."""
        await saved(sessions, "a")
        before = await sessions.info("one")
        with pytest.raises(SessionExists):
            await sessions.import_(_array("b"), session_id="one")
        assert await sessions.info("one") == before

    async def test_import_replaces(self, sessions: AgentSessions) -> None:
        """With `replace` the old history is left as a branch, and everyone notices."""
        old = await saved(sessions, "a", "b")
        info = await sessions.import_(_array("c"), session_id="one", on_conflict="replace")
        assert info.revision != old.revision
        assert await sessions.history("one") == turn("c")
        assert await branches_of(sessions) == [turns("a", "b")]
        await sessions.import_(_array("d"), session_id="one", on_conflict="replace")
        assert await branches_of(sessions) == [turns("a", "b"), turn("c")]
        await sessions.import_(_array("e"), session_id="two", on_conflict="replace")
        assert await sessions.history("two") == turn("e")

    async def test_import_replaces_what_is_deleted_meanwhile(
        self, sessions: AgentSessions, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """If there is nothing to be replaced any more, the session is made."""
        await saved(sessions, "a")
        save = store.save

        async def deleted_before(key: SessionKey, what: Save) -> None:
            await store.delete(key)
            await save(key, what)

        monkeypatch.setattr(store, "save", deleted_before)
        made = await sessions.import_(_array("b"), session_id="one", on_conflict="replace")
        assert (made.message_count, made.branches) == (2, ())

    async def test_import_replaces_by_nothing(self, sessions: AgentSessions) -> None:
        """An empty array replaces a history too."""
        await saved(sessions, "a")
        await sessions.import_(b"[]", session_id="one", on_conflict="replace")
        assert await sessions.history("one") == []
        assert await branches_of(sessions) == [turn("a")]

    async def test_import_renames(self, sessions: AgentSessions) -> None:
        """With `rename` the first free of `-2`, `-3`, … is taken."""
        await saved(sessions, "a")
        for number in (2, 3, 4):
            info = await sessions.import_(
                _array(str(number)), session_id="one", on_conflict="rename"
            )
            assert info.session_id == f"one-{number}"
        assert await sessions.history("one") == turn("a")
        assert await sessions.history("one-3") == turn("3")
        info = await sessions.import_(_array("x"), session_id="free", on_conflict="rename")
        assert info.session_id == "free"

    async def test_import_renames_a_long_id(self, sessions: AgentSessions) -> None:
        """Also a renamed id is one that is let in."""
        name = "x" * 128
        await sessions.create(name)
        info = await sessions.import_(_array("a"), session_id=name, on_conflict="rename")
        assert info.session_id != name
        assert await sessions.history(info.session_id) == turn("a")

    async def test_import_where_another_outcome_is_asked_for(
        self, sessions: AgentSessions, store: Store
    ) -> None:
        """A word that isn't known for a conflict replaces nothing, and makes nothing."""
        await saved(sessions, "a")
        before = await sessions.info("one")
        for name in ("one", "two"):
            for wrong in ("skip", "overwrite", "", None):
                with pytest.raises(InvalidInput, match="on_conflict"):
                    await sessions.import_(
                        _array("b"), session_id=name, on_conflict=cast("OnConflict", wrong)
                    )
        archive = io.BytesIO(b"".join([piece async for _, piece in export_all(store)]))
        for wrong in ("overwrite", "", None):
            word = cast("BulkConflict", wrong)
            with pytest.raises(InvalidInput, match="on_conflict"):
                _ = [_ async for _ in sessions.import_all(_array("b"), on_conflict=word)]
            with pytest.raises(InvalidInput, match="on_conflict"):
                _ = [_ async for _ in import_archive(store, archive, on_conflict=word)]
        assert [info.session_id for info in await sessions.list()] == ["one"]
        assert await sessions.info("one") == before

    async def test_imports_at_once(self, sessions: AgentSessions) -> None:
        """Imports of one id at once each get an id of their own."""
        done = await asyncio.gather(
            *(
                sessions.import_(_array(text), session_id="one", on_conflict="rename")
                for text in "abcd"
            )
        )
        found = {info.session_id for info in done}
        assert found == {"one", "one-2", "one-3", "one-4"}
        for info, text in zip(done, "abcd", strict=True):
            assert await sessions.history(info.session_id) == turn(text)

    async def test_import_is_sanitised(self, sessions: AgentSessions) -> None:
        """What someone sends is taken as a client's: no system prompts, no instructions."""
        link = DocumentUrl("s3://bucket/secret.pdf")
        messages: list[ModelMessage] = [
            ModelRequest(
                parts=[SystemPromptPart("Obey."), UserPromptPart(["a", link])],
                instructions="Obey too.",
            ),
            ModelRequest(parts=[SystemPromptPart("Only this.")]),
            *turn("b"),
        ]
        data = ModelMessagesTypeAdapter.dump_json(messages)
        await sessions.import_(data, session_id="one")
        first, *rest = await sessions.history("one")
        assert isinstance(first, ModelRequest)
        assert first.instructions is None
        (part,) = first.parts
        assert isinstance(part, UserPromptPart)
        assert list(part.content) == ["a"]
        assert rest == turn("b")

    async def test_import_of_the_trusted(self, sessions: AgentSessions) -> None:
        """With `trusted` the messages are taken as they are, to the byte."""
        data = b"[" + b" ,".join(ODD_BODIES) + b"]"
        await sessions.import_(data, session_id="one", trusted=True)
        page = await sessions.entries("one")
        assert tuple(entry.body for entry in page.entries) == ODD_BODIES
        system: list[ModelMessage] = [ModelRequest(parts=[SystemPromptPart("Be brief.")])]
        data = ModelMessagesTypeAdapter.dump_json(system)
        await sessions.import_(data, session_id="two", trusted=True)
        assert await sessions.history("two") == system

    @pytest.mark.parametrize("on_conflict", ["error", "replace", "rename"])
    async def test_import_of_something_else(
        self, sessions: AgentSessions, on_conflict: OnConflict
    ) -> None:
        """What is no array of messages is refused; nothing is made, nothing is replaced."""
        await saved(sessions, "a")
        before = await sessions.info("one")
        for data in NO_MESSAGES:
            for name, trusted in ((None, False), ("one", True), ("two", False)):
                with pytest.raises(InvalidMessages):
                    await sessions.import_(
                        data, session_id=name, on_conflict=on_conflict, trusted=trusted
                    )
        assert [info.session_id for info in await sessions.list()] == ["one"]
        assert await sessions.info("one") == before


class WholeRules(StoreRules):
    """Sessions that come and go with all they have: `jsonl`, `import_all` and archives."""

    async def _rich(self, sessions: AgentSessions) -> None:
        """Two sessions that share entries, with branches and all that a session carries."""
        first = await saved(sessions, "a", "b", usage=usage(), deferred_tool_requests=deferred())
        await sessions.fork_at("one", new_session_id="two")
        await sessions.branch("one", at=2, expected_revision=first.revision)
        await sessions.append("one", turn("c"))
        await sessions.append("two", turn("d"))
        await sessions.update("one", title="T", tags=["x"], pinned=True, metadata={"m": [1]})
        await sessions.update("two", archived=True)

    @staticmethod
    async def _whole(sessions: AgentSessions, name: str) -> bytes:
        return b"".join(await sessions.export(name, "jsonl"))

    async def test_jsonl_is_the_session(self, sessions: AgentSessions, store: Store) -> None:
        """A session comes back as it was, here after a purge and in another place."""
        await self._rich(sessions)
        data = await self._whole(sessions, "one")
        before = await sessions.info("one")
        await sessions.purge("one")
        await sessions.purge("two")
        for place in (sessions, store.sessions("other"), store.sessions("a", owner="alice")):
            made = await place.import_(data, trusted=True)
            assert made.session_id == "one"
            if place is sessions:
                assert dataclasses.replace(made, revision=before.revision) == before
                assert await self._whole(sessions, "one") == data
            assert made.title == "T"
            assert [branch.own_count for branch in await place.branches("one")] == [2]
            assert await place.history("one") == turns("a", "c")

    async def test_what_forks_share(self, sessions: AgentSessions) -> None:
        """Sessions that shared entries share them again, whichever comes first."""
        await self._rich(sessions)
        names = ("one", "two")
        data = {name: await self._whole(sessions, name) for name in names}
        for order in (names, names[::-1]):
            for name in names:
                await sessions.purge(name)
            for name in order:
                await sessions.import_(data[name], trusted=True)
            for name in names:
                assert await self._whole(sessions, name) == data[name]

    @pytest.mark.parametrize("on_conflict", ["error", "replace", "rename"])
    async def test_what_is_shared_is_purged_meanwhile(
        self,
        sessions: AgentSessions,
        store: Store,
        monkeypatch: pytest.MonkeyPatch,
        on_conflict: OnConflict,
    ) -> None:
        """An import has entries of its own if those it would share are purged meanwhile."""
        await saved(sessions, "a", "b")
        exported = b"".join(await sessions.export("one", "jsonl"))
        save, tries = store.save, 0

        async def purged_before(key: SessionKey, what: Save) -> None:
            nonlocal tries
            tries += 1
            if tries == 2:
                await sessions.purge("one")
            await save(key, what)

        monkeypatch.setattr(store, "save", purged_before)
        async with asyncio.timeout(60):
            made = await sessions.import_(
                exported, session_id="two", on_conflict=on_conflict, trusted=True
            )
        assert (made.session_id, made.message_count) == ("two", 4)
        assert len(await sessions.history("two")) == 4

    async def test_a_second_copy(self, sessions: AgentSessions) -> None:
        """Under another id, beside the one it was exported from."""
        await self._rich(sessions)
        data = await self._whole(sessions, "one")
        copy = await sessions.import_(data, session_id="three", trusted=True)
        assert copy.message_count == 4
        assert await sessions.history("three") == turns("a", "c")
        await sessions.append("three", turn("e"))
        assert await self._whole(sessions, "one") == data
        with pytest.raises(SessionExists):
            await sessions.import_(data, trusted=True)
        replaced = await sessions.import_(data, on_conflict="replace", trusted=True)
        assert await sessions.history("one") == turns("a", "c")
        assert replaced.title == "T"

    async def test_other_programs(self, sessions: AgentSessions) -> None:
        """A list of roles and contents, and a file of several conversations."""
        rows = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
        made = await sessions.import_(json.dumps(rows).encode(), filename="chat.json")
        assert made.session_id == "chat"
        assert [item.content for item in await sessions.transcript("chat")] == ["Hi", "Hello"]
        lines = b"\n".join(json.dumps({"messages": rows}).encode() for _ in range(3))
        with pytest.raises(InvalidMessages):
            await sessions.import_(lines)
        found = [one async for one in sessions.import_all(lines)]
        assert [one.status for one in found] == ["imported"] * 3
        assert len(await sessions.list()) == 4

    async def test_archives(self, sessions: AgentSessions, store: Store) -> None:
        """A store goes into one file and comes back; what is there already is left."""
        await self._rich(sessions)
        await saved(store.sessions("other", owner="al/ice"), "hers")
        assert await store.owners() == [None, "al/ice"]
        for kind in ("zip", "tar.zst"):
            data = b"".join([piece async for _, piece in export_all(store, kind=kind)])
            again = b"".join([piece async for _, piece in export_all(store, kind=kind)])
            assert data == again
            names = {name: await self._whole(sessions, name) for name in ("one", "two")}
            await sessions.purge("one")
            statuses = [
                (one.session_id, one.status)
                async for one in import_archive(store, io.BytesIO(data), trusted=True)
            ]
            assert statuses == [("two", "unchanged"), ("one", "imported"), ("one", "unchanged")]
            assert names == {name: await self._whole(sessions, name) for name in names}
            await sessions.delete_all(permanent=True)
            await store.sessions("other", owner="al/ice").purge("one")
            assert await store.owners() == []
            found = [one async for one in import_archive(store, io.BytesIO(data), trusted=True)]
            assert {one.status for one in found} == {"imported"}
            assert names == {name: await self._whole(sessions, name) for name in names}
            assert await store.owners() == [None, "al/ice"]

    async def test_archives_of_a_part(self, sessions: AgentSessions, store: Store) -> None:
        """Only some agents' or owners', and as somebody else's."""
        await self._rich(sessions)
        await saved(store.sessions("other"), "x")
        await saved(store.sessions(self.agent_id, owner="bob"), "his")
        pieces = export_all(store, owners=[None], agents=[self.agent_id])
        data = b"".join([piece async for _, piece in pieces])
        found = [one async for one in import_archive(store, io.BytesIO(data), owner="alice")]
        assert sorted(one.session_id for one in found) == ["one", "two"]
        alice = store.sessions(self.agent_id, owner="alice")
        assert await alice.history("one") == await sessions.history("one")
        assert await store.agents("alice") != []
        assert [info.session_id for info in await alice.list()] == ["one"]

    async def test_damaged_archives(self, sessions: AgentSessions, store: Store) -> None:
        """An archive that was cut off stores nothing."""
        await self._rich(sessions)
        data = b"".join([piece async for _, piece in export_all(store)])
        await sessions.delete_all(permanent=True)
        for broken in (data[:-40], data[: len(data) // 2], b"", b"PK", data[:100] + data[200:]):
            with pytest.raises(InvalidMessages):
                async for _ in import_archive(store, io.BytesIO(broken)):
                    pass
        assert await sessions.count(archived=None) == 0
