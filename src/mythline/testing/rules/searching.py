"""Searching: what is found, for whom, in which session, and what is no longer."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from ...errors import InvalidCursor, InvalidInput
from ...models import SearchHit
from ...operations import Search
from ...search import parse
from ...sessions import AgentSessions
from ...store import Store
from ..base import StoreRules
from ..samples import WHEN, answer, entries_of, prompt, saved, turn, turns

EVERYTHING: tuple[Any, ...] = ("user", "assistant", "tool")
TYPED = st.text(
    st.one_of(st.sampled_from("a Dra*\"'()-:^{}+,日龍😀é\x00\ud800\n"), st.characters())
)


async def _said(sessions: AgentSessions, query: str, **asked: Any) -> list[str]:
    """The snippets that a search finds, sorted."""
    return sorted(hit.snippet for hit in await sessions.search(query, **asked))


async def _where(sessions: AgentSessions, query: str, **asked: Any) -> list[str]:
    """The sessions that a search finds, sorted, one for each hit."""
    return sorted(hit.session_id for hit in await sessions.search(query, **asked))


async def _store_some(sessions: AgentSessions, name: str, *messages: ModelMessage) -> None:
    await sessions.create(name)
    await sessions.append(name, list(messages))


def _prompt(text: str, when: datetime) -> ModelRequest:
    return ModelRequest(parts=[UserPromptPart(content=text, timestamp=when)], timestamp=when)


class SearchRules(StoreRules):
    """`search`, over all that sessions have."""

    async def test_hit(self, sessions: AgentSessions) -> None:
        """A hit tells which message it is, where, whose words, and where the query is in them."""
        await saved(sessions, "Tell me of Shadowglen", "And its dragons?", conversation_id="one")
        entries = await entries_of(sessions)
        info = await sessions.info("one")
        (hit,) = await sessions.search("and its dragon", roles=["user"])
        assert hit == SearchHit(
            session_id="one",
            agent_id=self.agent_id,
            title="Tell me of Shadowglen",
            entry_id=entries[2].id,
            role="user",
            snippet="And its dragons?",
            marks=((0, 3), (4, 7), (8, 15)),
            last_modified=info.last_modified,
            timestamp=WHEN,
            is_current=True,
        )

    async def test_nothing(self, store: Store, sessions: AgentSessions) -> None:
        """Where there is nothing, nothing is found; nor by a query without words."""
        assert list(await sessions.search("dragon")) == []
        await saved(sessions, "a dragon")
        for query in ("", " ", '"', "*", "…", "fog", "drag", '"dragon a"'):
            page = await sessions.search(query)
            assert (list(page), page.next_cursor) == ([], None)
        asked = Search(query=parse("dragon"), limit=5, agents=())
        assert list(await store.search(None, asked)) == []
        assert list(await sessions.search("dragon", roles=[])) == []

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("dragon", ["one dragon", "two dragons, one story"]),
            ("DRAGONS", ["one dragon", "two dragons, one story"]),
            ("stories", ["two dragons, one story"]),
            ("story dragon", ["two dragons, one story"]),
            ('"dragons one"', ["two dragons, one story"]),
            ('"one dragon"', ["one dragon"]),
            ('"dragon"', ["one dragon"]),
            ("dra*", ["one dragon", "two dragons, one story"]),
            ('"one sto"*', ["two dragons, one story"]),
            ("dragon fog", []),
            ("dragon AND story", []),
            ("cafe", ["Zürich: le Café"]),
            ("ZURICH Café", ["Zürich: le Café"]),
            ("本屋", ["東京の本屋さん"]),
            ("東京 さん", ["東京の本屋さん"]),
            ("東屋", []),
            ("ドラゴン", ["ﾄﾞﾗｺﾞﾝ"]),
            ("龙", ["龙与地下城"]),
            ("地下城", ["龙与地下城"]),
            ("국", ["한국어를 배운다"]),
            ("한국어", ["한국어를 배운다"]),
            ("ไทย", ["ภาษาไทย"]),
            ("🐉", ["a 🐉 emoji"]),
            ("🐉 emoji", ["a 🐉 emoji"]),
            ("🐲", []),
            ("snake_case", ["a snake_case name", "snake-case"]),
            ("дракон", ["Дракон"]),
        ],
    )
    async def test_queries(self, sessions: AgentSessions, query: str, expected: list[str]) -> None:
        """Words, phrases and beginnings, in any script, whatever the case and accents."""
        texts = (
            "one dragon",
            "two dragons, one story",
            "Zürich: le Café",
            "東京の本屋さん",
            "ﾄﾞﾗｺﾞﾝ",
            "龙与地下城",
            "한국어를 배운다",
            "ภาษาไทย",
            "a 🐉 emoji",
            "a snake_case name",
            "snake-case",
            "Дракон",
        )
        await _store_some(sessions, "one", *map(prompt, texts))
        assert await _said(sessions, query) == sorted(expected)

    async def test_roles(self, sessions: AgentSessions) -> None:
        """Prompts, the model's text, and on request what tools returned; nothing else."""
        call = ToolCallPart("look", {"for": "dragon call"}, "1")
        await _store_some(
            sessions,
            "one",
            prompt("dragon prompt"),
            ModelResponse(
                parts=[ThinkingPart("dragon thought"), TextPart("dragon answer"), call],
                timestamp=WHEN,
            ),
            ModelRequest(
                parts=[
                    ToolReturnPart("look", {"found": ["dragon result"]}, "1", timestamp=WHEN),
                    UserPromptPart("dragon too", timestamp=WHEN),
                ],
                instructions="dragon instructions",
                timestamp=WHEN,
            ),
        )
        found = await sessions.search("dragon")
        assert sorted((hit.role, hit.snippet) for hit in found) == [
            ("assistant", "dragon answer"),
            ("user", "dragon prompt"),
            ("user", "dragon too"),
        ]
        assert await _said(sessions, "dragon", roles=["tool"]) == ["found dragon result"]
        assert await _said(sessions, "dragon", roles=["assistant"]) == ["dragon answer"]
        found = await sessions.search("result dragon", roles=EVERYTHING)
        assert [(hit.role, hit.snippet) for hit in found] == [("tool", "found dragon result")]
        for query in ("thought", "call", "instructions", "look", "result"):
            assert await _said(sessions, query) == []

    async def test_best_first(self, sessions: AgentSessions) -> None:
        """What has more of the query, in fewer words, comes first."""
        filling = "of other things that are told at some length " * 5
        texts = (f"dragon {filling}", "dragon dragon dragon", f"dragon dragon {filling}")
        await _store_some(sessions, "one", *map(prompt, texts))
        found = [hit.snippet[:20] for hit in await sessions.search("dragon")]
        assert found == [text[:20] for text in (texts[1], texts[2], texts[0])]

    async def test_pages(self, sessions: AgentSessions) -> None:
        """Pages have every hit once, in one order, however long they are."""
        for name in ("one", "two", "three"):
            messages = [
                prompt("dragon " * (number % 3 + 1) + f"{name}{number}") for number in range(7)
            ]
            await _store_some(sessions, name, *messages, answer("fog"))
        whole = list(await sessions.search("dragon", limit=1000))
        assert len({hit.entry_id for hit in whole}) == 21
        for limit in (1, 2, 20, 21, 22):
            found: list[SearchHit] = []
            cursor: str | None = None
            while True:
                page = await sessions.search("dragon", limit=limit, cursor=cursor)
                assert len(page) <= limit
                found += page
                cursor = page.next_cursor
                if cursor is None:
                    break
                assert len(page) == limit
            assert found == whole

    @pytest.mark.parametrize(
        "cursor",
        ["", "x", "1.2", "0.0.0", "nan.1", "7ff8000000000000.1", "0" * 16 + ".", "０" * 16 + ".1"],
    )
    async def test_other_cursors(self, sessions: AgentSessions, cursor: str) -> None:
        """A cursor that no search gave is refused, also where nothing is found."""
        with pytest.raises(InvalidCursor):
            await sessions.search("dragon", cursor=cursor)

    @pytest.mark.parametrize("limit", [0, -1, 1001])
    async def test_limits(self, sessions: AgentSessions, limit: int) -> None:
        """A limit out of its bounds is refused."""
        with pytest.raises(InvalidInput):
            await sessions.search("dragon", limit=limit)

    async def test_other_roles(self, sessions: AgentSessions) -> None:
        """A role that there isn't is refused, with those there are."""
        with pytest.raises(InvalidInput, match="user, assistant, tool"):
            await sessions.search("dragon", roles=("user", "wizard"))  # pyright: ignore[reportArgumentType]

    async def test_any_query(self, sessions: AgentSessions) -> None:
        """Nothing that is typed is an error."""
        await saved(sessions, "a dragon")
        for query in (
            'a" OR "b',
            "NEAR(a dragon)",
            "user:dragon",
            "{user} : a",
            "a AND (b OR NOT c",
            "-a +b ^c",
            "'; --",
            "\x00\ud800",
            "x" * 10_000,
            "日" * 10_000,
            "a* " * 5000,
            '"' * 10_001,
            " ".join(f"w{number}*" for number in range(2000)),
        ):
            assert len(await sessions.search(query, roles=EVERYTHING)) <= 2

    @settings(
        max_examples=30,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(typed=TYPED)
    async def test_any_text(self, sessions: AgentSessions, typed: str) -> None:
        """Nothing that could be typed is an error, and what was said is found by its own words."""
        if not await sessions.exists("one"):
            await saved(sessions, "a dragon", "日本の龍 😀 café")
        for query in (typed, f'"{typed}"', f"{typed}*", f"dragon {typed}"):
            for hit in await sessions.search(query, roles=EVERYTHING):
                assert all(0 <= start < end <= len(hit.snippet) for start, end in hit.marks)

    async def test_owners(self, store: Store, sessions: AgentSessions) -> None:
        """Nobody finds another owner's messages, in sessions of the same id neither."""
        alice = store.sessions(self.agent_id, owner="alice")
        bob = store.sessions(self.agent_id, owner="bob")
        for owner, name in ((sessions, "nobody"), (alice, "alice"), (bob, "bob")):
            await saved(owner, f"the dragon of {name}")
        for owner, name in ((sessions, "nobody"), (alice, "alice"), (bob, "bob")):
            assert await _said(owner, "dragon", roles=["user"]) == [f"the dragon of {name}"]
            asked = Search(query=parse("dragon"), limit=100)
            found = await store.search(owner.owner, asked)
            assert {hit.snippet.rpartition(" ")[2] for hit in found} == {name}
        carol = store.sessions(self.agent_id, owner="carol")
        assert await _said(carol, "dragon") == []

    async def test_several_agents(self, store: Store, sessions: AgentSessions) -> None:
        """An agent's messages are found by itself, or by a search over several or all agents."""
        others = [store.sessions(name) for name in ("other", "third")]
        for agent in (sessions, *others):
            await saved(agent, f"the dragon of {agent.agent_id}")
        assert await _said(sessions, "dragon", roles=["user"]) == [f"the dragon of {self.agent_id}"]

        async def agents(names: list[str] | None) -> list[str]:
            asked = Search(query=parse("dragon"), limit=9, agents=names, roles=("user",))
            return sorted(hit.agent_id for hit in await store.search(None, asked))

        assert await agents(["other", "third"]) == ["other", "third"]
        assert await agents(["third", "none"]) == ["third"]
        assert await agents(["none"]) == []
        assert await agents(None) == sorted([self.agent_id, "other", "third"])

    async def test_grown_session(self, sessions: AgentSessions) -> None:
        """Each search finds what was saved until then, and what is said now is found once."""
        await sessions.create("one")
        for number in range(5):
            await sessions.append("one", turn(f"dragon {number}"))
            assert len(await sessions.search("dragon", roles=["user"])) == number + 1
        conversation = await sessions.load("one")
        assert conversation is not None
        conversation.messages += turn("a last dragon")
        await sessions.save(conversation)
        assert await _where(sessions, "last", roles=["user"]) == ["one"]

    async def test_shared_messages(self, sessions: AgentSessions) -> None:
        """What forks share is one hit, in the session made first; what each adds is its own."""
        await saved(sessions, "dragon", "fog")
        for name in ("two", "three"):
            fork = await sessions.fork("one", at=2, new_conversation_id=name)
            fork.messages += turn(f"dragon of {name}")
            await sessions.save(fork)
        assert await _where(sessions, "dragon", roles=["user"]) == ["one", "three", "two"]
        assert await _where(sessions, "fog", roles=["user"]) == ["one"]
        await sessions.delete("one")
        assert await _where(sessions, "dragon", roles=["user"]) == ["three", "two", "two"]
        assert await _where(sessions, "fog", roles=["user"]) == []
        await sessions.purge("one")
        await sessions.purge("two")
        assert await _where(sessions, "dragon", roles=["user"]) == ["three", "three"]

    async def test_branches(self, sessions: AgentSessions) -> None:
        """What a session left is found, and told apart from its history."""
        first = await saved(sessions, "dragon", "left behind")
        await sessions.branch("one", at=2, expected_revision=first.revision)
        (hit,) = await sessions.search("left behind", roles=["user"])
        assert (hit.session_id, hit.is_current) == ("one", False)
        (hit,) = await sessions.search("dragon", roles=["user"])
        assert hit.is_current
        await sessions.branch_at("one", (await sessions.info("one")).branches[0])
        (hit,) = await sessions.search("left behind", roles=["user"])
        assert hit.is_current

    async def test_history_rather_than_branch(self, sessions: AgentSessions) -> None:
        """A message is shown in a session that has it now, rather than in one that left it."""
        first = await saved(sessions, "dragon", "left behind")
        await sessions.fork("one", new_conversation_id="two")
        await sessions.branch("one", at=2, expected_revision=first.revision)
        (hit,) = await sessions.search("left behind", roles=["user"])
        assert (hit.session_id, hit.is_current) == ("two", True)
        await sessions.delete("two")
        (hit,) = await sessions.search("left behind", roles=["user"])
        assert (hit.session_id, hit.is_current) == ("one", False)

    async def test_deleted_and_restored(self, sessions: AgentSessions) -> None:
        """What is deleted isn't found, and is again when it was restored, in its branches too."""
        first = await saved(sessions, "dragon", "left dragon")
        await sessions.branch("one", at=2, expected_revision=first.revision)
        assert len(await sessions.search("dragon", roles=["user"])) == 2
        await sessions.delete("one")
        assert await _where(sessions, "dragon") == []
        await saved(sessions, "fog")
        assert await _where(sessions, "dragon") == []
        await sessions.restore("one", new_session_id="two")
        assert await _where(sessions, "dragon", roles=["user"]) == ["two", "two"]

    async def test_purged(self, sessions: AgentSessions) -> None:
        """What is purged isn't found, though what comes after it takes its place."""
        for _ in range(3):
            await saved(sessions, "dragon", "fog")
            assert await _where(sessions, "dragon", roles=["user"]) == ["one"]
            await sessions.purge("one")
            assert await _where(sessions, "dragon") == []
        await saved(sessions, "fire")
        assert await _where(sessions, "dragon") == []
        assert await _where(sessions, "fire", roles=["user"]) == ["one"]

    async def test_times(self, sessions: AgentSessions) -> None:
        """`since` is inclusive and `until` exclusive; what counts is when it was said."""
        hours = [WHEN + timedelta(hours=number) for number in range(4)]
        await _store_some(
            sessions, "one", *(_prompt(f"dragon {number}", at) for number, at in enumerate(hours))
        )
        some = await sessions.search("dragon", since=hours[1], until=hours[3])
        assert sorted((hit.snippet, hit.timestamp) for hit in some) == [
            ("dragon 1", hours[1]),
            ("dragon 2", hours[2]),
        ]
        assert await _said(sessions, "dragon", since=hours[3]) == ["dragon 3"]
        assert await _said(sessions, "dragon", until=hours[1]) == ["dragon 0"]
        assert await _said(sessions, "dragon", since=hours[3] + timedelta(microseconds=1)) == []
        assert await _said(sessions, "dragon", until=hours[0].replace(tzinfo=None)) == []

    async def test_tags_and_archived(self, sessions: AgentSessions) -> None:
        """Tag and archive are those of the session now; a fork's don't matter to the original."""
        await sessions.create("one", tags=["red"])
        await sessions.append("one", turns("dragon"))
        await sessions.fork("one", new_conversation_id="two")
        await sessions.update("two", archived=True, tags=["blue"])
        asked: dict[str, Any] = {"roles": ["user"]}
        assert await _where(sessions, "dragon", **asked) == ["one"]
        assert await _where(sessions, "dragon", tag="red", **asked) == ["one"]
        assert await _where(sessions, "dragon", tag="blue", **asked) == ["two"]
        assert await _where(sessions, "dragon", tag="r", **asked) == []
        assert await _where(sessions, "dragon", archived=True, **asked) == ["two"]
        assert await _where(sessions, "dragon", archived=False, **asked) == ["one"]
        assert await _where(sessions, "dragon", archived=True, tag="red", **asked) == []
        await sessions.update("one", archived=True, title="Fire")
        (hit,) = await sessions.search("dragon", archived=True, tag="red", **asked)
        assert hit.title == "Fire"
        assert await _where(sessions, "dragon", archived=False, **asked) == []

    async def test_few_among_many(self, sessions: AgentSessions) -> None:
        """Pages are full though most of what matches is left out."""
        await _store_some(sessions, "much", *(prompt(f"dragon {n}") for n in range(60)))
        await sessions.create("few", tags=["t"])
        await sessions.append("few", [prompt(f"dragon of the few {n}") for n in range(3)])
        page = await sessions.search("dragon", tag="t", limit=2)
        assert [hit.session_id for hit in page] == ["few", "few"]
        page = await sessions.search("dragon", tag="t", limit=2, cursor=page.next_cursor)
        assert [hit.session_id for hit in page] == ["few"]
        assert page.next_cursor is None

    async def test_long_messages(self, sessions: AgentSessions) -> None:
        """Of a very long message a short part is shown; its far end isn't searched."""
        text = "before " * 5000 + "dragon" + " after" * 200_000 + " farend"
        await _store_some(sessions, "one", prompt(text))
        (hit,) = await sessions.search("dragon")
        assert len(hit.snippet) <= 200
        assert [hit.snippet[start:end] for start, end in hit.marks] == ["dragon"]
        assert await _said(sessions, "farend") == []
