"""`append`: one turn more, whatever happened meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import pytest
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)

from ...errors import (
    InvalidMessages,
    RevisionConflict,
    SessionNotFound,
)
from ...sessions import AgentSessions
from ...store import Store
from ..base import OpenStore, StoreRules
from ..samples import (
    UNKNOWN,
    conflict,
    deferred,
    loaded,
    messages_in,
    prompt,
    record_of,
    saved,
    serialised,
    turn,
    turns,
    usage,
)

_STAMP = b'"timestamp" : "2026-03-01T12:30:15.5+02:00"'
ODD_BODIES = (
    b'{"kind":"request","parts":[{"part_kind":"user-prompt","content":"a", %b}]}' % _STAMP,
    b'{ "parts" : [ {"content" : "b", "part_kind" : "text"} ] , "kind" : "response", %b }' % _STAMP,
    b'{"kind":"request","parts":[{"part_kind":"user-prompt","content":"\\u00e9\\/\\u0000",%b}]'
    b',"x":1e2}' % _STAMP,
    b'{"x-later":{"b":1,"a":[]},"kind":"response","parts":[{"part_kind":"text","content":"\xc3\xa9"}'
    b"],%b}" % _STAMP,
)
"""Messages that no writer of Pydantic AI's would write just so."""

NO_MESSAGES = (
    b"",
    b"no json",
    b"{}",
    b"null",
    b"[",
    b"[]]",
    b"[1]",
    b'["text"]',
    b"[{}]",
    b'[{"kind":"request"}]',
    b'[{"kind":"request","parts":[{}]}]',
    b'[{"kind":"request","parts":[{"part_kind":"hologram"}]}]',
    b'[{"kind":"letter","parts":[]}]',
    b'[{"kind":"request","parts":[{"part_kind":"user-prompt","content":"\\ud800"}]}]',
    b'[{"kind":"request","parts":[],"metadata":{"n":NaN}}]',
    b'[{"kind":"request","parts":[{"part_kind":"user-prompt","content":"\xff"}]}]',
    b'[{"kind":"request","parts":[],"metadata":' + b"[" * 300 + b"]" * 300 + b"}]",
    b"[" * 5000,
    ODD_BODIES[0],
    b"[" + ODD_BODIES[0] + b"] []",
    b"[" + ODD_BODIES[0] + b",]",
    b"\xff\xfe[]",
)
"""What is no array of messages."""


def calls_in(messages: Sequence[ModelMessage]) -> list[ToolCallPart | ToolReturnPart]:
    """The calls and their answers."""
    parts = (part for message in messages for part in message.parts)
    return [part for part in parts if isinstance(part, ToolCallPart | ToolReturnPart)]


class TurnRules(StoreRules):
    """An append is stored once, whole, after the newest message."""

    async def test_append(self, sessions: AgentSessions) -> None:
        """It tells what it stored: revision, count and entry ids."""
        await saved(sessions, "a")
        done = await sessions.append("one", turn("b"))
        assert (done.session_id, done.message_count) == ("one", 4)
        page = await sessions.entries("one")
        assert page.revision == done.revision == (await sessions.info("one")).revision
        assert tuple(entry.entry_id for entry in page.entries[2:]) == done.entry_ids
        assert page.entries[2].parent_id == page.entries[1].entry_id
        assert await sessions.history("one") == turns("a", "b")

    async def test_bytes_are_kept(self, sessions: AgentSessions) -> None:
        """A JSON array's messages are kept as they came, to the byte."""
        await sessions.create("one")
        await sessions.append("one", b"[" + b", ".join(ODD_BODIES) + b"]")
        bodies = tuple(entry.body for entry in (await sessions.entries("one")).entries)
        assert bodies == ODD_BODIES
        assert len(await sessions.history("one")) == len(ODD_BODIES)
        lines = b"".join(await sessions.export("one")).splitlines()
        assert [line.removesuffix(b",") for line in lines[1:-1]] == list(ODD_BODIES)

    async def test_bytes_on_one_line(self, sessions: AgentSessions) -> None:
        """Line breaks between tokens are left out; those in texts are escapes, and kept."""
        body = (
            b'{\n  "kind": "request",\r\n  "parts": [\n'
            b'{"part_kind": "user-prompt", "content": "a\\nb"}]}'
        )
        await sessions.create("one")
        await sessions.append("one", b"[\n" + body + b"\n]\n")
        (entry,) = (await sessions.entries("one")).entries
        assert b"\n" not in entry.body
        assert b"\r" not in entry.body
        assert json.loads(entry.body) == json.loads(body)

    async def test_messages_without_a_time(self, sessions: AgentSessions) -> None:
        """Messages that came without a time are the same at every load, and not new later."""
        bodies = (
            b'{"kind":"request","parts":[{"part_kind":"user-prompt","content":"a"}]}',
            b'{"kind":"response","parts":[{"part_kind":"text","content":"b"}]}',
        )
        await sessions.create("one")
        await sessions.append("one", b"[" + b",".join(bodies) + b"]")
        first, second = await sessions.load("one"), await sessions.load("one")
        assert first is not None
        assert first == second
        conversation = serialised(first)
        assert await sessions.save(conversation) == []
        assert (await record_of(sessions)).branches == []
        assert await sessions.save_history("one", first.messages) == []

    async def test_ways_to_load(self, sessions: AgentSessions) -> None:
        """Whole or a window, messages are the same however they are loaded, also strange ones.

        Here without a time; of Pydantic AI 0.0.20, whose calls had no ids; and some as ever.
        """
        call = b'{"part_kind":"tool-call","tool_name":"f","args":{"args_json":"{}"},%b}'
        found = b'{"part_kind":"tool-return","tool_name":"f","content":"x",%b,%b}'
        no_id = b'"tool_call_id":null'
        bodies = (
            ODD_BODIES[0],
            b'{"kind":"response","parts":[{"part_kind":"text","content":"b"}]}',
            b'{"kind":"response","parts":[%b],%b}' % (call % no_id, _STAMP),
            b'{"kind":"request","parts":[%b]}' % (found % (no_id, _STAMP)),
            ODD_BODIES[1],
        )
        await sessions.create("one")
        await sessions.append("one", b"[" + b",".join(bodies) + b"]")
        await sessions.append("one", turn("c"))
        for limit in (None, *range(1, 8)):
            history = await sessions.history("one", limit=limit)
            entries = await sessions.load_entries("one", limit=limit)
            assert entries is not None
            assert messages_in(entries) == history
            assert (await loaded(sessions, limit=limit)).messages == history
        whole = await loaded(sessions)
        assert len({part.tool_call_id for part in calls_in(whole.messages)}) == 1

    async def test_continue_after_an_append(self, sessions: AgentSessions) -> None:
        """What was appended is part of the conversation that is loaded next."""
        old = await saved(sessions, "a")
        await sessions.append("one", turn("b"))
        with conflict():
            await sessions.save(old)
        conversation = await sessions.load("one")
        assert conversation is not None
        conversation.messages += turn("c")
        assert len(await sessions.save(conversation)) == 2
        assert await sessions.history("one") == turns("a", "b", "c")

    async def test_on_a_branch(self, sessions: AgentSessions) -> None:
        """It goes on where the session is now."""
        first = await saved(sessions, "a", "b")
        await sessions.branch("one", at=2, expected_revision=first.revision)
        await sessions.append("one", turn("c"))
        assert await sessions.history("one") == turns("a", "c")
        assert len((await sessions.info("one")).branches) == 1
        fork = await sessions.fork("one", at=2)
        await sessions.append(fork.conversation_id, turn("d"))
        assert await sessions.history(fork.conversation_id) == turns("a", "d")
        assert await sessions.history("one") == turns("a", "c")

    async def test_what_is_kept(self, sessions: AgentSessions) -> None:
        """Usage stays; what the session waited on is answered, and gone."""
        await saved(sessions, "a", usage=usage(), deferred_tool_requests=deferred())
        await sessions.append("one", turn("b"))
        record = await record_of(sessions)
        assert (record.usage, record.deferred_tool_requests) == (usage(), None)

    async def test_append_to_nothing(self, sessions: AgentSessions) -> None:
        """A session that isn't there isn't made."""
        with pytest.raises(SessionNotFound):
            await sessions.append("one", turn("a"))
        await saved(sessions, "a")
        await sessions.delete("one")
        with pytest.raises(SessionNotFound):
            await sessions.append("one", turn("b"))
        assert not await sessions.exists("one")

    async def test_no_messages(self, sessions: AgentSessions) -> None:
        """What is empty, or no array of messages, is refused whole."""
        await saved(sessions, "a")
        before = await sessions.info("one")
        for data in (*NO_MESSAGES, b"[]"):
            with pytest.raises(InvalidMessages):
                await sessions.append("one", data)
        with pytest.raises(InvalidMessages):
            await sessions.append("one", [])
        assert await sessions.info("one") == before

    async def test_one_bad_message(self, sessions: AgentSessions) -> None:
        """One message that can't be read refuses the whole turn."""
        await saved(sessions, "a")
        bad = b'{"kind":"request","parts":[{"part_kind":"hologram","content":"x"}]}'
        for bodies in ([ODD_BODIES[0], bad], [bad, ODD_BODIES[0]]):
            with pytest.raises(InvalidMessages):
                await sessions.append("one", b"[" + b",".join(bodies) + b"]")
        assert await sessions.history("one") == turn("a")

    async def test_expected_revision(self, sessions: AgentSessions) -> None:
        """With a revision, it is stored only if the session still has that one."""
        first = await saved(sessions, "a")
        done = await sessions.append("one", turn("b"), expected_revision=first.revision)
        for revision in (first.revision, UNKNOWN):
            with pytest.raises(RevisionConflict):
                await sessions.append("one", turn("c"), expected_revision=revision)
        await sessions.append("one", turn("c"), expected_revision=done.revision)
        assert await sessions.history("one") == turns("a", "b", "c")

    async def test_concurrent_appends(self, sessions: AgentSessions) -> None:
        """Appends of many tasks are stored once each, whole and in order, none refused."""
        await sessions.create("one")
        tasks, rounds = 12, 3

        def said(task: int, number: int) -> list[ModelMessage]:
            return [prompt(f"{task}.{number}.{part}") for part in range(1 + task % 3)]

        async def write(task: int) -> None:
            for number in range(rounds):
                await sessions.append("one", said(task, number))

        await asyncio.gather(*(write(task) for task in range(tasks)))
        page = await sessions.entries("one")
        found = await sessions.history("one")
        assert page.total == len(found) == sum(rounds * len(said(task, 0)) for task in range(tasks))
        place = 0
        rounds_of: dict[int, list[int]] = {}
        while place < len(found):
            (part,) = found[place].parts
            task, number, _ = map(int, str(getattr(part, "content", "")).split("."))
            assert found[place : place + len(said(task, number))] == said(task, number)
            place += len(said(task, number))
            rounds_of.setdefault(task, []).append(number)
        assert rounds_of == {task: list(range(rounds)) for task in range(tasks)}
        assert [entry.parent_id for entry in page.entries[1:]] == [
            entry.entry_id for entry in page.entries[:-1]
        ]

    async def test_two_open_stores(self, store: Store, open_store: OpenStore) -> None:
        """Whoever opened the same place sees, and goes on from, what another stored."""
        async with open_store() as second:
            one, two = store.sessions(self.agent_id), second.sessions(self.agent_id)
            mine = await saved(one, "a")
            theirs = await loaded(two)
            assert theirs == mine
            theirs.messages += turn("b")
            await two.save(theirs)
            with conflict():
                await one.save(mine)
            appends = [sessions.append("one", turn("c")) for sessions in (one, two) * 6]
            done = await asyncio.gather(*appends)
            assert sorted(result.message_count for result in done) == list(range(6, 30, 2))
            assert await one.history("one") == await two.history("one")
            assert await one.history("one") == turns("a", "b", *"c" * 12)
            await one.purge("one")
            assert not await two.exists("one")

    async def test_appends_and_saves(self, sessions: AgentSessions) -> None:
        """Appends never conflict with saves: a save that came too late does."""
        await saved(sessions, "a")

        async def save(number: int) -> bool:
            conversation = await sessions.load("one")
            assert conversation is not None
            conversation.messages += turn(f"save {number}")
            try:
                await sessions.save(conversation)
            except ConversationConflict:
                return False
            return True

        saves = asyncio.gather(*(save(number) for number in range(5)))
        appends = asyncio.gather(
            *(sessions.append("one", turn(f"append {number}")) for number in range(5))
        )
        won = sum(await saves)
        await appends
        found = await sessions.history("one")
        assert len(found) == 2 + 2 * (5 + won)
        assert all(prompt(f"append {number}") in found for number in range(5))
        assert (await record_of(sessions)).branches == []

    async def test_lone_surrogates(self, sessions: AgentSessions) -> None:
        """A text that is no Unicode doesn't lose the turn: half a pair becomes U+FFFD."""
        await sessions.create("one")
        await sessions.append("one", [ModelResponse(parts=[TextPart("a\ud800b")])])
        await sessions.append("one", [ModelRequest(parts=[], metadata={"n": float("nan")})])
        first, second = await sessions.history("one")
        assert getattr(first.parts[0], "content", "") == "a\ufffdb"
        assert second.metadata == {"n": None}
