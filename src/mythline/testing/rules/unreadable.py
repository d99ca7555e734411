"""Messages that the installed Pydantic AI can't read: kept, shown as a placeholder, named."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage
from pydantic_ai.tools import DeferredToolRequests

from ... import ids, messages
from ...errors import InvalidInput, InvalidMessages, UnreadableMessages
from ...models import StoredEntry, now_micros
from ...sessions import AgentSessions
from ...store import ANY, Append, SessionKey, Store
from ..base import StoreRules
from ..samples import agent, branches_of, loaded, prompt, saved, turn, turns

HOLOGRAM = b'{"kind":"request", "parts":[{"part_kind":"hologram","content":"\\u0000","x":[1, 2]}]}'
LETTER = b'{"parts":[{"part_kind":"text","content":"Dear all"}],"kind":"letter"}'
MIXED = (
    b'{"kind":"response","parts":[{"part_kind":"text","content":"Look:"},'
    b'{"part_kind":"hologram"}],"timestamp":"2031-01-01T00:00:00Z"}'
)


def _nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


class UnreadableRules(StoreRules):
    """A newer version's messages lose nothing, and don't make a session unreadable."""

    @staticmethod
    async def _store(sessions: AgentSessions, *bodies: bytes) -> tuple[StoredEntry, ...]:
        """A session of these messages, as a newer version would have stored them."""
        await sessions.create("one")
        revision, *entry_ids = ids.new_entry_ids(1 + len(bodies))
        key = SessionKey(None, sessions.agent_id, "one")
        append = Append(
            revision=revision,
            expected=ANY,
            entry_ids=entry_ids,
            bodies=bodies,
            updated=now_micros(),
        )
        await sessions.store.append(key, append)
        return (await sessions.entries("one")).entries

    @classmethod
    async def _mixed(cls, sessions: AgentSessions) -> tuple[StoredEntry, ...]:
        first, second = messages.dump(turn("a"))
        return await cls._store(sessions, first, HOLOGRAM, second, MIXED, LETTER)

    async def test_kept_byte_for_byte(self, sessions: AgentSessions) -> None:
        """What is stored, exported and counted is all of it, as it came."""
        entries = await self._mixed(sessions)
        assert [entries[place].body for place in (1, 3, 4)] == [HOLOGRAM, MIXED, LETTER]
        exported = b"".join(await sessions.export("one"))
        assert all(body in exported for body in (HOLOGRAM, MIXED, LETTER))
        assert (await sessions.info("one")).message_count == 5
        assert (await sessions.list())[0].message_count == 5

    async def test_placeholders(self, sessions: AgentSessions) -> None:
        """A transcript has a placeholder in its place, and the rest as ever."""
        entries = await self._mixed(sessions)
        items = await sessions.transcript("one")
        roles = [(item.role, item.entry_id) for item in items]
        ids = [entry.entry_id for entry in entries]
        assert roles == [
            ("user", ids[0]),
            ("unreadable", ids[1]),
            ("assistant", ids[2]),
            ("assistant", ids[3]),
            ("unreadable", ids[3]),
            ("unreadable", ids[4]),
        ]
        assert all(item.content for item in items)

    async def test_named_in_the_error(self, sessions: AgentSessions) -> None:
        """Whoever needs the messages as objects is told which ones can't be read."""
        entries = await self._mixed(sessions)
        wanted = tuple(entries[place].entry_id for place in (1, 3, 4))
        for method in (sessions.load, sessions.load_entries, sessions.history):
            with pytest.raises(UnreadableMessages) as caught:
                await method("one")
            assert caught.value.entry_ids == wanted
        with pytest.raises(UnreadableMessages) as caught:
            await sessions.read_entry(wanted[0])
        assert caught.value.entry_ids == wanted[:1]

    async def test_windows_without_them(self, sessions: AgentSessions) -> None:
        """A window that has none of them loads."""
        await self._mixed(sessions)
        await sessions.append("one", turn("b"))
        assert await sessions.history("one", limit=2) == turn("b")
        conversation = await sessions.load("one", limit=2)
        assert conversation is not None
        assert conversation.messages == turn("b")
        conversation.messages += turn("c")
        assert len(await sessions.save(conversation)) == 2
        assert (await sessions.info("one")).message_count == 9

    async def test_skipped(self, sessions: AgentSessions) -> None:
        """Without them a session loads, goes on, and keeps them where they are."""
        entries = await self._mixed(sessions)
        assert await sessions.history("one", skip_unreadable=True) == turn("a")
        conversation = await sessions.load("one", skip_unreadable=True)
        assert conversation is not None
        assert conversation.messages == turn("a")
        conversation.messages += turn("b")
        assert len(await sessions.save(conversation)) == 2
        page = await sessions.entries("one")
        assert page.entries[:5] == entries
        assert page.entries[5].parent_id == entries[4].entry_id
        assert (await sessions.info("one")).branches == ()

    async def test_run_without_them(self, sessions: AgentSessions) -> None:
        """A run from a session that was loaded without them adds to the whole."""
        entries = await self._mixed(sessions)
        conversation = await sessions.load("one", skip_unreadable=True)
        result = await agent().run("b", conversation=conversation)
        assert len(await sessions.save(result)) == 2
        assert (await sessions.entries("one")).entries[:5] == entries

    async def test_window_skipped(self, sessions: AgentSessions) -> None:
        """A window counts them among its messages, and leaves them out."""
        await self._mixed(sessions)
        conversation = await sessions.load("one", limit=3, skip_unreadable=True)
        assert conversation is not None
        assert conversation.messages == turn("a")[1:]
        conversation.messages += turn("b")
        assert len(await sessions.save(conversation)) == 2
        assert (await sessions.info("one")).message_count == 7

    async def test_append_after_them(self, sessions: AgentSessions) -> None:
        """An append needs nothing of what is stored."""
        await self._mixed(sessions)
        await sessions.append("one", turn("b"))
        assert (await sessions.info("one")).message_count == 7

    @pytest.mark.parametrize("last", [True, False])
    async def test_save_history_over_them(self, sessions: AgentSessions, last: bool) -> None:
        """A caller that only knows the readable ones adds to them, and loses none."""
        first, second = messages.dump(turn("a"))
        bodies = [first, second, HOLOGRAM] if last else [first, HOLOGRAM, second]
        entries = await self._store(sessions, *bodies)
        known: list[ModelMessage] = await sessions.history("one", skip_unreadable=True)
        await sessions.save_history("one", [*known, prompt("b")])
        assert await sessions.history("one", skip_unreadable=True) == [*known, prompt("b")]
        info = await sessions.info("one")
        reached: set[str] = set()
        for tip in (info.head_id, *info.branches):
            assert tip is not None
            line = await sessions.store.line(None, self.agent_id, tip)
            assert line is not None
            reached |= {entry.entry_id for entry in line}
        assert {entry.entry_id for entry in entries} <= reached

    async def test_in_a_branch(self, sessions: AgentSessions) -> None:
        """In a branch that was left they don't matter to the history."""
        await self._mixed(sessions)
        await sessions.import_(
            b"".join([b"[", b",".join(messages.dump(turn("b"))), b"]"]),
            session_id="one",
            on_conflict="replace",
        )
        conversation = await sessions.load("one")
        assert conversation is not None
        assert conversation.messages == turn("b")
        conversation.messages += turn("c")
        await sessions.save(conversation)
        assert await sessions.history("one") == turns("b", "c")
        with pytest.raises(UnreadableMessages):
            await branches_of(sessions)

    async def test_remove_all_the_same(self, sessions: AgentSessions) -> None:
        """A session with such messages is listed, deleted and purged as any other."""
        await self._mixed(sessions)
        assert [record.conversation_id for record in await sessions.list_conversations()] == ["one"]
        await sessions.delete("one")
        await self._mixed(sessions)
        await sessions.purge("one")
        assert not await sessions.exists("one")

    @pytest.mark.parametrize("body", [HOLOGRAM, LETTER, MIXED])
    async def test_not_let_in(self, store: Store, sessions: AgentSessions, body: bytes) -> None:
        """From outside they are refused: their sender can put them right."""
        await sessions.create("one")
        with pytest.raises(InvalidMessages):
            await sessions.append("one", b"[" + body + b"]")
        with pytest.raises(InvalidMessages):
            await sessions.import_(b"[" + body + b"]", session_id="two", trusted=True)
        assert (await sessions.info("one")).message_count == 0
        assert len(await sessions.list()) == 1

    @pytest.mark.parametrize(
        "value",
        [object(), b"\xff", 10**5000, _nested(230), _nested(900)],
        ids=["object", "bytes", "number", "deep", "deeper"],
    )
    async def test_what_waits_is_not_let_in(self, sessions: AgentSessions, value: Any) -> None:
        """What no load could read is refused where a conversation carries it; nothing is stored."""
        waits = DeferredToolRequests(metadata={"call": {"x": value}})
        with pytest.raises(InvalidInput):
            await saved(sessions, "a", deferred_tool_requests=waits)
        assert not await sessions.exists("one")
        mine = await saved(sessions, "a")
        mine.messages += turn("b")
        mine.deferred_tool_requests = waits
        with pytest.raises(InvalidInput):
            await sessions.save(mine)
        assert await sessions.history("one") == turns("a")

    async def test_what_waits_is_no_json(self, sessions: AgentSessions) -> None:
        """What JSON doesn't have is put right as in messages, rather than losing the turn."""
        waits = DeferredToolRequests(metadata={"call": {"x": "a\ud800", "y": float("nan")}})
        await saved(sessions, "a", deferred_tool_requests=waits)
        found = (await loaded(sessions)).deferred_tool_requests
        assert found is not None
        assert found.metadata == {"call": {"x": "a\ufffd", "y": None}}

    @pytest.mark.parametrize(
        "carried", [{"usage": {"requests": "x"}}, {"deferred_tool_requests": {"calls": 5}}]
    )
    async def test_what_a_file_carries_is_not_let_in(
        self, sessions: AgentSessions, carried: dict[str, Any]
    ) -> None:
        """What no load could read is refused where a file says it of a session."""
        await saved(sessions, "a")
        header, *entries, _ = b"".join(await sessions.export("one", "jsonl")).splitlines()
        lines = [json.dumps(json.loads(header) | carried).encode(), *entries]
        digest = hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
        end = {"end": True, "entries": len(entries), "sha256": digest}
        data = b"\n".join([*lines, json.dumps(end).encode()])
        with pytest.raises(InvalidMessages):
            await sessions.import_(data, session_id="two", trusted=True)
        await sessions.purge("one")
        done = [one.status async for one in sessions.import_all(data, trusted=True)]
        assert done == ["failed"]
        assert len(await sessions.list()) == 0
