"""Transcripts: what a person reads, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic_ai.messages import (
    BinaryContent,
    ImageUrl,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from ...errors import InvalidInput
from ...models import Transcript, TranscriptItem
from ...sessions import AgentSessions
from ...transcript import Include
from ..base import StoreRules
from ..samples import WHEN, answer, prompt, saved, turn


def _asks(*texts: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text, timestamp=WHEN) for text in texts])


def _says(*texts: str, calls: int = 0, thinks: str = "") -> ModelMessage:
    parts: list[Any] = [ThinkingPart(thinks)] if thinks else []
    parts += [TextPart(text) for text in texts]
    parts += [ToolCallPart("tool", {"n": number}, f"c{number}") for number in range(calls)]
    return ModelResponse(parts=parts, timestamp=WHEN)


def _returns(text: str) -> ModelMessage:
    return ModelRequest(parts=[ToolReturnPart("tool", text, "c0", timestamp=WHEN)])


HISTORY: Sequence[ModelMessage] = (
    _asks("one"),
    _says(calls=1),
    _returns("x"),
    _says("two", calls=1),
    _returns("y"),
    _says("three", "four", "five"),
    _asks("six", "seven"),
    _says(calls=1, thinks="hm"),
    _returns("z"),
)
SHOWN = ("one", "two", "three", "four", "five", "six", "seven")


class TranscriptRules(StoreRules):
    """Prompts and answers, oldest first; a page never cuts an entry."""

    @staticmethod
    async def _told(sessions: AgentSessions) -> list[str]:
        """A session of `HISTORY`; the ids of its entries."""
        await sessions.create("one")
        return list((await sessions.append("one", HISTORY)).entry_ids)

    async def test_prompts_and_answers(self, sessions: AgentSessions) -> None:
        """Every user prompt and every text of the model, and the entry each is part of."""
        ids = await self._told(sessions)
        items = await sessions.transcript("one")
        assert [item.content for item in items] == list(SHOWN)
        places = [ids.index(item.entry_id) for item in items]
        assert places == [0, 3, 5, 5, 5, 6, 6]
        roles = "user assistant assistant assistant assistant user user".split()
        assert [item.role for item in items] == roles
        assert items.history == await sessions.entries("one")
        assert isinstance(items[1:3], tuple)

    async def test_other_parts(self, sessions: AgentSessions) -> None:
        """The other parts are there for who asks for them, each in its place."""
        system = ModelRequest(parts=[SystemPromptPart("Be brief.", timestamp=WHEN)])
        await sessions.create("one")
        await sessions.append("one", [system, *HISTORY])
        wanted: list[tuple[list[Include], list[str]]] = [
            ([], ["one", "two"]),
            (["system"], ["Be brief.", "one", "two"]),
            (["tools"], ["one", '{"n": 0}', "x", "two", '{"n": 0}', "y"]),
            (["thinking", "system"], ["Be brief.", "one", "two"]),
        ]
        for include, start in wanted:
            items = await sessions.transcript("one", include=include)
            assert [item.content for item in items][: len(start)] == start
        items = await sessions.transcript("one", include=["thinking", "tools"])
        tools = [item for item in items if item.role.startswith("tool")]
        assert {item.tool_name for item in tools} == {"tool"}
        assert [item.role for item in tools[:2]] == ["tool-call", "tool-return"]
        assert [item.content for item in items if item.role == "thinking"] == ["hm"]
        with pytest.raises(InvalidInput):
            await sessions.transcript("one", include=["everything"])  # pyright: ignore[reportArgumentType]

    async def test_attachments(self, sessions: AgentSessions) -> None:
        """Files are described; the content is still text."""
        content = ["Look:", BinaryContent(b"12345", media_type="image/png"), "there"]
        link = ImageUrl("https://example.org/a.png")
        parts = [UserPromptPart(content), UserPromptPart([link])]
        await sessions.create("one")
        await sessions.append("one", [ModelRequest(parts=parts)])
        first, second = await sessions.transcript("one")
        assert first.content == "Look:\nthere"
        (file,) = first.attachments
        assert (file.kind, file.media_type, file.size) == ("binary", "image/png", 5)
        assert second.content == ""
        assert [file.url for file in second.attachments] == ["https://example.org/a.png"]

    async def test_empty_transcript(self, sessions: AgentSessions) -> None:
        """An empty session has an empty transcript."""
        await sessions.create("one")
        for limit in (None, 1, 50):
            items = await sessions.transcript("one", limit=limit)
            assert (len(items), items.history.total) == (0, 0)

    async def test_nothing_to_read(self, sessions: AgentSessions) -> None:
        """A history of which a person reads nothing has no items, however many messages."""
        await sessions.create("one")
        await sessions.append("one", [_returns(str(number)) for number in range(30)])
        for limit in (None, 1, 7):
            assert len(await sessions.transcript("one", limit=limit)) == 0

    @pytest.mark.parametrize("limit", [None, 1, 2, 3, 4, 7, 8, 100])
    async def test_pages_of_a_transcript(self, sessions: AgentSessions, limit: int | None) -> None:
        """Any window: whole entries, as many as fit from its end (or start, with `after`)."""
        ids = await self._told(sessions)
        whole = await sessions.transcript("one")
        of_entry = {entry: [item for item in whole if item.entry_id == entry] for entry in ids}
        places = [None, *range(len(ids))]
        for before in places:
            for after in places:
                page = await sessions.transcript(
                    "one",
                    limit=limit,
                    before=None if before is None else ids[before],
                    after=None if after is None else ids[after],
                )
                low = 0 if after is None else after + 1
                asked = ids[low : len(ids) if before is None else max(low, before)]
                forward = after is not None and before is None
                wanted = _fitting([of_entry[entry] for entry in asked], limit, forward)
                assert list(page) == wanted, (before, after)
                self._check_place(page, ids, asked)

    @staticmethod
    def _check_place(page: Transcript, ids: list[str], asked: list[str]) -> None:
        """The part of the history that the items come from is told right."""
        part = [entry.entry_id for entry in page.history.entries]
        assert page.history.total == len(ids)
        assert {item.entry_id for item in page} <= set(part)
        assert set(part) <= set(asked)
        if part:
            first = page.history.first
            assert part == ids[first : first + len(part)]

    async def test_walk_of_a_transcript(self, sessions: AgentSessions) -> None:
        """Backwards or forwards, page by page, every item comes once, in order."""
        ids = await self._told(sessions)
        whole = list(await sessions.transcript("one"))
        for limit in range(1, 9):
            back: list[TranscriptItem] = []
            page = await sessions.transcript("one", limit=limit)
            while True:
                back = list(page) + back
                if not page.history.has_before:
                    break
                edge = page.history.entries[0].entry_id
                page = await sessions.transcript("one", limit=limit, before=edge)
            assert back == whole
            forth = [item for item in whole if item.entry_id == ids[0]]
            edge = ids[0]
            while True:
                page = await sessions.transcript("one", limit=limit, after=edge)
                forth += page
                if not page.history.has_after:
                    break
                edge = page.history.entries[-1].entry_id
            assert forth == whole

    async def test_entry_with_more_than_the_limit(self, sessions: AgentSessions) -> None:
        """An entry is never cut: where the next one has more than the limit, it comes whole."""
        await sessions.create("one")
        quiet = [_returns(str(number)) for number in range(3)]
        await sessions.append("one", [answer("first"), *quiet, _asks("a", "b", "c"), *quiet])
        (first, *_) = (await sessions.entries("one")).entries
        for limit in (1, 2):
            page = await sessions.transcript("one", limit=limit)
            assert [item.content for item in page] == ["a", "b", "c"]
            page = await sessions.transcript("one", limit=limit, after=first.entry_id)
            assert [item.content for item in page] == ["a", "b", "c"]

    async def test_branches_are_not_read(self, sessions: AgentSessions) -> None:
        """A transcript is that of the current history."""
        first = await saved(sessions, "a", "b")
        branch = await sessions.branch("one", at=1, expected_revision=first.revision)
        branch.messages += [answer("Another."), prompt("c")]
        await sessions.save(branch)
        items = await sessions.transcript("one")
        assert [item.content for item in items] == ["a", "Another.", "c"]
        fork = await sessions.fork("one", at=2)
        items = await sessions.transcript(fork.conversation_id, limit=1)
        assert [item.content for item in items] == ["Another."]
        await sessions.append(fork.conversation_id, turn("d"))
        assert len(await sessions.transcript(fork.conversation_id)) == 4


def _fitting(
    entries: Sequence[Sequence[TranscriptItem]], limit: int | None, forward: bool
) -> list[TranscriptItem]:
    """The items of as many whole entries as fit, but of at least one that has any."""
    found: list[TranscriptItem] = []
    for items in entries if forward else reversed(entries):
        if limit is not None and found and len(found) + len(items) > limit:
            break
        found = [*found, *items] if forward else [*items, *found]
        if limit is not None and len(found) >= limit:
            break
    return found
