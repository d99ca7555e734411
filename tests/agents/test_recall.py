"""SessionSearch: an agent that looks into earlier sessions of its owner."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mythline import SessionMemory, SessionSearch
from mythline.errors import InvalidId, StoreClosed, StoreUnavailable
from mythline.local import LocalStore
from tests.agents.support import AGENT, Room


def says(*texts: str) -> list[ModelMessage]:
    """Prompts and answers in turn."""
    return [
        ModelRequest([UserPromptPart(text)]) if number % 2 == 0 else ModelResponse([TextPart(text)])
        for number, text in enumerate(texts)
    ]


class Caller:
    """A model that calls one tool after the other; `info` is what it was told of them."""

    def __init__(self, *calls: tuple[str, dict[str, Any]]) -> None:
        self.calls = list(calls)
        self.got: list[ToolReturnPart] = []
        self.info: AgentInfo | None = None
        self.model = FunctionModel(self._answer)

    async def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.info = info
        last = messages[-1].parts[-1]
        if isinstance(last, ToolReturnPart):
            self.got.append(last)
        if self.calls:
            name, args = self.calls.pop(0)
            return ModelResponse([ToolCallPart(name, args)])
        return ModelResponse([TextPart("done")])


async def use(search: SessionSearch, *calls: tuple[str, dict[str, Any]], **options: Any) -> Any:
    """What the last of these calls gave."""
    caller = Caller(*calls)
    deps = options.pop("deps", None)
    agent: Any = Agent(caller.model, toolsets=[search], deps_type=object, **options)
    await agent.run("Look.", deps=deps)
    return caller.got[-1].content


@pytest.fixture
async def library(room: Room) -> Room:
    for name, texts in {
        "dragon": [
            "Tell me of dragons",
            "Dragons sleep under Shadowglen.",
            "Why?",
            "They like it.",
        ],
        "tea": ["How long does tea take?", "Three minutes."],
    }.items():
        await room.sessions.create(name, title=name.title())
        await room.sessions.append(name, says(*texts))
    return room


@pytest.fixture
def search(library: Room) -> SessionSearch:
    return SessionSearch(library.store, agent_id=AGENT)


async def test_an_agent_finds_a_message_and_reads_around_it(library: Room, search: SessionSearch):
    found = await use(search, ("search_sessions", {"query": "shadowglen"}))
    entries = (await library.sessions.entries("dragon")).entries
    (hit,) = found.pop("found")
    assert found == {}
    assert hit.pop("time").endswith("Z")
    assert hit == {
        "session_id": "dragon",
        "title": "Dragon",
        "entry_id": entries[1].entry_id,
        "role": "assistant",
        "said": "Dragons sleep under Shadowglen.",
    }
    call = {"session_id": "dragon", "around": hit["entry_id"]}
    read = await use(search, ("read_session", call))
    assert (read["session_id"], read["title"]) == ("dragon", "Dragon")
    assert [(each["role"], each["said"]) for each in read["messages"]] == [
        ("user", "Tell me of dragons"),
        ("assistant", "Dragons sleep under Shadowglen."),
        ("user", "Why?"),
        ("assistant", "They like it."),
    ]
    assert [each["entry_id"] for each in read["messages"]] == [e.entry_id for e in entries]
    assert "note" not in read


async def test_the_model_is_told_of_the_tools(search: SessionSearch):
    caller = Caller()
    await Agent(caller.model, toolsets=[search]).run("Look.")
    assert caller.info is not None
    tools = {tool.name: tool for tool in caller.info.function_tools}
    assert set(tools) == {"search_sessions", "read_session"}
    for tool in tools.values():
        assert tool.description
        properties = tool.parameters_json_schema["properties"]
        assert all(each["description"] for each in properties.values())
    assert "search_sessions" in (caller.info.instructions or "")


async def test_nothing_found_says_what_to_do(search: SessionSearch):
    found = await use(search, ("search_sessions", {"query": "unicorn"}))
    assert found["found"] == []
    assert "try fewer" in found["note"]


async def test_results_are_bounded(room: Room):
    search = SessionSearch(room.store, agent_id=AGENT)
    await room.sessions.create("long")
    await room.sessions.append("long", says(*[f"whale {n} " + "x" * 9000 for n in range(60)]))
    for asked, given in ((3, 3), (0, 1), (1000, 20)):
        found = await use(search, ("search_sessions", {"query": "whale", "limit": asked}))
        assert len(found["found"]) == given
        assert "There is more" in found["note"]
        assert all(len(hit["said"]) <= 200 for hit in found["found"])
        read = await use(search, ("read_session", {"session_id": "long", "limit": asked}))
        assert len(read["messages"]) == given
        assert read["messages"][-1]["said"].startswith("whale 59 ")
        assert all(len(each["said"]) < 1050 for each in read["messages"])
    first = read["messages"][0]
    assert first["said"].endswith("[8009 more characters]")
    asked = {"session_id": "long", "around": first["entry_id"], "limit": 5}
    read = await use(search, ("read_session", asked))
    assert [len(each["said"]) > 6000 for each in read["messages"]] == [0, 0, 1, 0, 0]


async def test_a_session_is_read_to_both_ends_by_what_the_notes_say(room: Room):
    search = SessionSearch(room.store, agent_id=AGENT)
    await room.sessions.create("s")
    await room.sessions.append("s", says(*map(str, range(40))))
    read = await use(search, ("read_session", {"session_id": "s"}))
    seen = texts(read)
    assert seen == [*map(str, range(30, 40))]
    while "note" in read and "before" in read["note"]:
        around = read["messages"][0]["entry_id"]
        assert f"before: read around {around}" in read["note"]
        read = await use(search, ("read_session", {"session_id": "s", "around": around}))
        assert len(read["messages"]) == 10
        seen = [text for text in texts(read) if text not in seen] + seen
    assert seen == [*map(str, range(40))]
    seen = texts(read)
    while "after" in read["note"]:
        around = read["messages"][-1]["entry_id"]
        assert read["note"].endswith(f"after: read around {around}.")
        read = await use(search, ("read_session", {"session_id": "s", "around": around}))
        seen += [text for text in texts(read) if text not in seen]
    assert seen == [*map(str, range(40))]


def texts(read: Any) -> list[str]:
    return [each["said"] for each in read["messages"]]


async def test_what_a_session_left_is_found_and_read(library: Room, search: SessionSearch):
    entries = (await library.sessions.entries("dragon")).entries
    await library.sessions.branch_at("dragon", entries[1].entry_id)
    await library.sessions.append("dragon", says("And where?", "North."))
    call = {"session_id": "dragon", "around": entries[3].entry_id}
    read = await use(search, ("read_session", call))
    assert texts(read)[-2:] == ["Why?", "They like it."]
    assert "branch" in read["note"]
    read = await use(search, ("read_session", {"session_id": "dragon"}))
    assert texts(read)[-2:] == ["And where?", "North."]


async def test_files_are_told_of_and_not_read_out(room: Room):
    picture = BinaryContent(b"x" * 90_000, media_type="image/png")
    await room.sessions.create("s")
    await room.sessions.append("s", [ModelRequest([UserPromptPart(["See this map", picture])])])
    search = SessionSearch(room.store, agent_id=AGENT)
    (said,) = texts(await use(search, ("read_session", {"session_id": "s"})))
    assert said.startswith("See this map [file image/png")
    assert len(said) < 100


# Whose sessions


async def test_the_running_session_is_left_out(library: Room):
    search = SessionSearch(library.store, agent_id=AGENT)
    caller = Caller(("search_sessions", {"query": "dragons"}))
    agent = Agent(caller.model, toolsets=[search], capabilities=[library.memory()])
    await agent.run("What did we say of dragons?", conversation_id="now")
    await agent.run("More dragons", conversation_id="now")
    caller.calls = [("search_sessions", {"query": "dragons"})]
    await agent.run("Again: dragons", conversation_id="now")
    content: Any = caller.got[-1].content
    assert {hit["session_id"] for hit in content["found"]} == {"dragon"}


async def test_a_long_running_session_does_not_hide_the_others(library: Room):
    await library.sessions.create("now")
    await library.sessions.append("now", says(*["dragons dragons"] * 90))
    caller = Caller(("search_sessions", {"query": "dragons"}))
    search = SessionSearch(library.store, agent_id=AGENT)
    await Agent(caller.model, toolsets=[search]).run("Look.", conversation_id="now")
    content: Any = caller.got[-1].content
    assert {hit["session_id"] for hit in content["found"]} == {"dragon"}


async def test_other_owners_and_agents_are_out_of_reach(library: Room):
    store = library.store
    ann = store.sessions(AGENT, "ann")
    await ann.create("dragon")
    await ann.append("dragon", says("My dragons are secret"))
    other = store.sessions("other")
    await other.create("elsewhere")
    await other.append("elsewhere", says("dragons of another agent"))
    secret = (await ann.entries("dragon")).entries[0].entry_id
    calls = [
        ("search_sessions", {"query": "dragons"}),
        ("read_session", {"session_id": "elsewhere"}),
        ("read_session", {"session_id": "dragon", "around": secret}),
        ("read_session", {"session_id": "tea"}),
        ("read_session", {"session_id": "../tea"}),
    ]
    bob = SessionSearch(store, agent_id=AGENT, owner="bob")
    for search, mine in ((bob, []), (SessionSearch(store, agent_id=AGENT), ["dragon", "tea"])):
        seen = repr([await use(search, call) for call in calls])
        assert "secret" not in seen
        assert "another agent" not in seen
        assert ("Three minutes." in seen) is ("tea" in mine)


async def test_each_run_has_its_own_owner(library: Room):
    for owner in ("ann", "bob"):
        sessions = library.store.sessions(AGENT, owner)
        await sessions.create("s")
        await sessions.append("s", says(f"dragons of {owner}"))

    async def owner_of(ctx: Any) -> str:
        return ctx.deps

    search = SessionSearch(library.store, agent_id=AGENT, owner=owner_of)
    for owner in ("ann", "bob"):
        found = await use(search, ("search_sessions", {"query": "dragons"}), deps=owner)
        assert [hit["said"] for hit in found["found"]] == [f"dragons of {owner}"]


async def test_without_a_store_the_sessions_are_those_of_the_memory(library: Room):
    memory = SessionMemory(library.store, agent_id=AGENT, owner=lambda ctx: ctx.deps)
    bob = library.store.sessions(AGENT, "bob")
    await bob.create("s")
    await bob.append("s", says("dragons of bob"))
    call = ("search_sessions", {"query": "dragons"})
    search = SessionSearch()
    found = await use(search, call, deps="bob", capabilities=[memory])
    assert [hit["said"] for hit in found["found"]] == ["dragons of bob"]
    with pytest.raises(UserError, match="needs a SessionMemory"):
        await use(search, call)


def test_half_of_where_the_sessions_are_is_refused(tmp_path: Path):
    store = LocalStore(tmp_path)
    halves: Iterable[dict[str, Any]] = ({"store": store}, {"agent_id": "a"}, {"owner": "ann"})
    for half in halves:
        with pytest.raises(UserError, match="or neither"):
            SessionSearch(**half)
    with pytest.raises(InvalidId):
        SessionSearch(store, agent_id="../a")


# What goes wrong


async def test_ids_that_are_not_there_are_told_and_end_no_run(library: Room):
    search = SessionSearch(library.store, agent_id=AGENT)
    wrong = [
        ("read_session", {"session_id": "nothing"}),
        ("read_session", {"session_id": "not an id"}),
        ("read_session", {"session_id": "tea", "around": "nothing"}),
    ]
    caller = Caller(*wrong, *wrong)
    result = await Agent(caller.model, toolsets=[search]).run("Look.")
    assert result.output == "done"
    assert [part.outcome for part in caller.got] == ["failed"] * 6
    assert "search_sessions" in str(caller.got[0].content)
    assert "leave `around` out" in str(caller.got[2].content)


async def test_a_store_that_fails_is_told_without_its_reasons(
    library: Room, search: SessionSearch, caplog: pytest.LogCaptureFixture
):
    async def fail(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("reasons")

    library.store.search = fail
    library.store.get = fail
    caller = Caller(("search_sessions", {"query": "x"}), ("read_session", {"session_id": "tea"}))
    with caplog.at_level(logging.ERROR):
        await Agent(caller.model, toolsets=[search]).run("Look.")
    assert ["Go on without them" in str(part.content) for part in caller.got] == [True, True]
    assert "reasons" not in str(caller.got)
    assert len(caplog.records) == 2


async def test_a_store_that_was_not_opened_is_a_fault(tmp_path: Path):
    search = SessionSearch(LocalStore(tmp_path), agent_id=AGENT)
    with pytest.raises(StoreClosed):
        await use(search, ("search_sessions", {"query": "x"}))
