"""`POST /run`: whole and streamed, in one session, with what a run can end with."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI, Header
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel

from mythline import SessionMemory, SessionSearch, open_store, session_router
from mythline.errors import InvalidId, InvalidInput
from mythline.local import LocalStore
from tests.agents.support import Echo, reached
from tests.http.agents import (
    BOT,
    STREAM,
    an_asking_agent,
    asking,
    events,
    halves,
    named,
    said,
    serving,
)
from tests.http.support import JSON, Client


def streamed(client: Client, body: dict[str, Any], base: str = BOT) -> list[tuple[str, Any]]:
    response = client.post(f"{base}/run", json=body, headers=STREAM)
    assert response.status_code == 200, response.text
    return events(response)


def whole(client: Client, body: dict[str, Any], base: str = BOT) -> dict[str, Any]:
    response = client.post(f"{base}/run", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def by_stream(client: Client, body: dict[str, Any], base: str = BOT) -> dict[str, Any]:
    (done,) = named(streamed(client, body, base), "done")
    return done


ways = pytest.mark.parametrize("way", [whole, by_stream])
Way = Callable[..., dict[str, Any]]


@ways
def test_a_run_without_a_session_makes_one_and_the_next_goes_on_in_it(
    bot: Client, echo: Echo, way: Way
):
    first = way(bot, {"message": "one"})
    assert first["response"] == "You said one"
    session_id = first["session_id"]
    assert session_id.startswith("session_")
    second = way(bot, {"message": "two", "session_id": session_id})
    assert second["session_id"] == session_id
    assert len(echo.seen[1]) == 3
    assert said(bot, session_id) == [
        *(("user", "one"), ("assistant", "You said one")),
        *(("user", "two"), ("assistant", "You said two")),
    ]
    stored = bot.get(f"{BOT}/sessions/{session_id}/messages").json()
    assert stored["revision"] == second["revision"]
    ids = [message["entry_id"] for message in stored["messages"]]
    assert ids == first["entry_ids"] + second["entry_ids"]
    assert first["usage"]["requests"] == 1
    assert not first["branched"]
    assert first["deferred_tool_requests"] is None


def test_a_stream_has_the_session_the_deltas_the_entries_and_the_end(bot: Client):
    found = streamed(bot, {"message": "tell me", "session_id": "tale"})
    names = [name for name, _ in found]
    assert names == ["session", "delta", "delta", "delta", "delta", "saved", "done"]
    assert found[0][1] == {"session_id": "tale"}
    assert "".join(delta["delta"] for delta in named(found, "delta")) == "You said tell me"
    assert {delta["index"] for delta in named(found, "delta")} == {0}
    (saved,), (done,) = named(found, "saved"), named(found, "done")
    stored = bot.get(f"{BOT}/sessions/tale/messages").json()["messages"]
    assert saved["entry_ids"] == [message["entry_id"] for message in stored]
    assert saved["entry_ids"] == done["entry_ids"]


def test_each_text_of_a_run_has_its_index(place: Path):
    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        if len(messages) == 1:
            yield "Let me "
            yield "look."
            yield {1: DeltaToolCall("look", "{}", tool_call_id="l")}
        else:
            yield "A well."

    agent: Any = Agent(FunctionModel(stream_function=stream))

    @agent.tool_plain
    def look() -> str:
        return "a well"

    with Client(serving(place, agent)) as client:
        found = streamed(client, {"message": "go", "session_id": "s"})
    assert [(d["index"], d["delta"]) for d in named(found, "delta")] == [
        (0, "Let me "),
        (0, "look."),
        (1, "A well."),
    ]
    assert named(found, "done")[0]["response"] == "A well."


class Answer(BaseModel):
    a: int


@ways
def test_an_output_that_is_no_text_is_json(place: Path, way: Way):
    with Client(serving(place, Agent(TestModel(), output_type=Answer))) as client:
        assert way(client, {"message": "go"})["response"] == {"a": 0}


@ways
@pytest.mark.parametrize(
    ("output", "response"),
    [
        (b"\xff\x00", "_wA="),
        ({"kept": b"\xff"}, {"kept": "_w=="}),
        ("half \ud83d", "half \ufffd"),
        ({"x": float("nan")}, {"x": None}),
    ],
)
def test_an_output_that_json_does_not_have_is_answered_as_it_is_stored(
    place: Path, way: Way, output: Any, response: Any
):
    def answer(n: int) -> Any:
        return output

    with Client(serving(place, Agent(TestModel(), output_type=answer))) as client:
        assert way(client, {"message": "go"})["response"] == response


def test_half_a_character_does_not_end_a_stream(place: Path):
    with Client(serving(place, Agent(FunctionModel(stream_function=halves)))) as client:
        found = streamed(client, {"message": "go", "session_id": "s"})
        assert [d["delta"] for d in named(found, "delta")] == ["one \ufffd", "two"]
        assert named(found, "done")[0]["response"] == "one \ufffdtwo"
        assert said(client, "s") == [("user", "go"), ("assistant", "one \ufffdtwo")]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": ""},
        {"message": None},
        {"message": 1},
        {"message": "x", "more": 1},
        {"message": "x", "session_id": "../x"},
        {"message": "x", "session_id": "run"},
        {"message": "x", "deferred_tool_results": {"approvals": {"a": "yes"}}},
    ],
)
@pytest.mark.parametrize("headers", [{}, STREAM])
def test_what_can_not_be_run_is_422_and_reaches_no_model(
    bot: Client, echo: Echo, body: dict[str, Any], headers: dict[str, str]
):
    assert bot.post(f"{BOT}/run", json=body, headers=headers).status_code == 422
    assert echo.seen == []
    assert bot.ids(f"{BOT}/sessions") == []


def test_other_bodies_and_other_agents(bot: Client):
    assert bot.post(f"{BOT}/run", content=b"{", headers=JSON).status_code in (400, 422)
    assert bot.post(f"{BOT}/run", content=b"message=x").status_code == 415
    response = bot.post("/api/agents/nobody/run", json={"message": "x"})
    assert response.status_code == 404
    assert "'nobody'" in response.json()["detail"]
    assert bot.get(f"{BOT}/run").status_code == 405


def test_the_list_of_agents_says_which_can_be_run(bot: Client):
    assert bot.get("/api/agents").json() == [
        {"agent_id": "bot", "session_count": 0, "last_modified": None, "runnable": True}
    ]
    bot.create("x")
    found = bot.get("/api/agents").json()
    assert [(agent["agent_id"], agent["runnable"]) for agent in found] == [
        ("bot", True),
        ("researcher", False),
    ]


# Runs that fail

SECRET = "the key at /etc/secret.key is sk-123"


def check_failed(problem: dict[str, Any], status: int = 500) -> None:
    assert problem["status"] == status
    assert problem["type"] == "urn:mythline:agent-failed"
    assert "sk-123" not in str(problem)


@pytest.mark.parametrize("headers", [{}, STREAM])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError(SECRET), 500),
        (UserError(SECRET), 500),
        (ModelHTTPError(429, "model", {"error": SECRET}), 502),
    ],
)
def test_a_run_that_fails_is_a_problem_and_the_log_has_why(
    bot: Client,
    echo: Echo,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    error: Exception,
    status: int,
):
    async def fail(messages: list[ModelMessage], info: AgentInfo) -> Any:
        raise error
        yield ""

    model: Any = echo.model
    model.function, model.stream_function = (lambda *_: next(_raise(error))), fail
    with caplog.at_level(logging.ERROR, "mythline.http"):
        response = bot.post(f"{BOT}/run", json={"message": "go"}, headers=headers)
    assert response.status_code == status
    problem = response.json()
    check_failed(problem, status)
    (record,) = caplog.records
    assert record.exc_info is not None
    assert SECRET in str(record.exc_info[1])
    assert said(bot, problem["session_id"]) == [("user", "go")]


def _raise(error: Exception) -> Any:
    raise error
    yield


def test_a_run_that_fails_on_its_way_ends_the_stream_with_the_problem(
    bot: Client, echo: Echo, caplog: pytest.LogCaptureFixture
):
    echo.fail = RuntimeError(SECRET)
    found = streamed(bot, {"message": "go", "session_id": "s"})
    assert [name for name, _ in found] == ["session", "delta", "saved", "error"]
    check_failed(found[-1][1])
    assert "sk-123" in caplog.text
    assert said(bot, "s") == [("user", "go"), ("assistant", "You")]
    stored = bot.get(f"{BOT}/sessions/s/messages").json()["messages"]
    assert named(found, "saved")[0]["entry_ids"] == [m["entry_id"] for m in stored]
    echo.fail = None
    assert streamed(bot, {"message": "again", "session_id": "s"})[-1][0] == "done"


# Calls that wait for answers


@ways
def test_calls_that_wait_are_told_and_can_be_answered(place: Path, way: Way):
    app = serving(place, an_asking_agent())
    with Client(app) as client:
        asked = way(client, {"message": "go", "session_id": "s"})
    assert asked["response"] is None
    assert asked["deferred_tool_requests"] == {
        "calls": [
            {"tool_call_id": "outside", "tool_name": "outside", "args": {"n": 1}, "metadata": None}
        ],
        "approvals": [
            {
                "tool_call_id": "approve",
                "tool_name": "approve",
                "args": {"n": 1},
                "metadata": {"why": "costs"},
            }
        ],
    }
    with Client(app) as client:  # after a restart
        for status, body in (
            (409, {"message": "hello?"}),
            (422, {"deferred_tool_results": {"calls": {"outside": 1}}}),
            (422, {"deferred_tool_results": {"calls": {"outside": 1, "more": 2}}}),
        ):
            response = client.post(f"{BOT}/run", json={"session_id": "s", **body})
            assert response.status_code == status, response.text
            assert "'outside', 'approve'" in response.json()["detail"]
        approval = {"approved": True, "override_args": {"n": 7}}
        results = {"calls": {"outside": {"x": [1]}}, "approvals": {"approve": approval}}
        done = way(client, {"session_id": "s", "deferred_tool_results": results})
        assert done["response"] == "done"
        shown = client.get(f"{BOT}/sessions/s?include=tools").json()["messages"]
        returned = {m["tool_name"]: m["content"] for m in shown if m["role"] == "tool-return"}
        assert returned == {"approve": "approved 7", "outside": '{"x": [1]}'}
        response = client.post(
            f"{BOT}/run", json={"session_id": "s", "deferred_tool_results": results}
        )
        assert response.status_code == 409


@ways
def test_a_call_that_is_denied_is_told_why(place: Path, way: Way):
    with Client(serving(place, an_asking_agent())) as client:
        way(client, {"message": "go", "session_id": "s"})
        denial = {"approved": False, "message": "too much"}
        results = {"calls": {"outside": 1}, "approvals": {"approve": denial}}
        way(client, {"session_id": "s", "deferred_tool_results": results})
        shown = client.get(f"{BOT}/sessions/s?include=tools").json()["messages"]
        assert "too much" in [m["content"] for m in shown if m.get("tool_name") == "approve"]


# Two at once


@pytest.mark.parametrize("headers", [{}, STREAM])
async def test_the_later_of_two_runs_is_a_branch(place: Path, echo: Echo, headers: dict[str, str]):
    async with asking(serving(place, Agent(echo.model))) as client:
        await client.post(f"{BOT}/run", json={"message": "first", "session_id": "s"})
        echo.hold, echo.reached = asyncio.Event(), asyncio.Event()
        body = {"message": "slow", "session_id": "s"}
        slow = asyncio.create_task(client.post(f"{BOT}/run", json=body, headers=headers))
        await reached(echo.reached, slow)
        hold, echo.hold = echo.hold, None
        fast = await client.post(f"{BOT}/run", json={"message": "fast", "session_id": "s"})
        hold.set()
        late = await slow
        found = named(events(late), "done")[0] if headers else late.json()
        assert not fast.json()["branched"]
        assert found["branched"]
        info = (await client.get(f"{BOT}/sessions/s/info")).json()
        assert info["branches"] == [found["entry_ids"][-1]]
        assert info["message_count"] == 4


@pytest.mark.parametrize("headers", [{}, STREAM])
async def test_a_second_run_in_a_session_that_is_held_is_409(
    place: Path, echo: Echo, headers: dict[str, str]
):
    memory = SessionMemory(open_store(place), agent_id="bot", exclusive=True, wait=0)
    async with asking(serving(place, Agent(echo.model, capabilities=[memory]))) as client:
        echo.hold = asyncio.Event()
        body = {"message": "slow", "session_id": "s"}
        slow = asyncio.create_task(client.post(f"{BOT}/run", json=body))
        await reached(echo.reached, slow)
        busy = await client.post(f"{BOT}/run", json=body, headers=headers)
        assert busy.status_code == 409
        assert busy.json()["type"] == "urn:mythline:session-busy"
        assert busy.headers["retry-after"] == "1"
        echo.hold.set()
        assert (await slow).status_code == 200
        assert (await client.post(f"{BOT}/run", json=body, headers=headers)).status_code == 200


async def test_a_run_that_goes_on_when_the_application_stops_is_stored(place: Path, echo: Echo):
    echo.hold = asyncio.Event()
    async with asking(serving(place, Agent(echo.model))) as client:
        body = {"message": "go", "session_id": "s"}
        stopped = asyncio.create_task(client.post(f"{BOT}/run", json=body))
        await reached(echo.reached, stopped)
    response = await stopped
    assert response.status_code == 503
    async with open_store(place) as store:
        (item,) = await store.sessions("bot").transcript("s")
        assert item.content == "go"


# Agents with a memory of their own, owners, dependencies


@ways
def test_an_agent_with_a_memory_of_its_own_is_stored_once(
    place: Path, tmp_path: Path, echo: Echo, way: Way
):
    told: list[Any] = []
    other = LocalStore(tmp_path / "other")
    memory = SessionMemory(other, agent_id="elsewhere", on_save=told.append)
    with Client(serving(place, Agent(echo.model, capabilities=[memory]))) as client:
        way(client, {"message": "one", "session_id": "s"})
        way(client, {"message": "two", "session_id": "s"})
        assert len(said(client, "s")) == 4
    assert [(turn.agent_id, turn.session_id) for turn in told] == [("bot", "s"), ("bot", "s")]
    assert not (tmp_path / "other").exists()


async def current_user(x_user: str = Header()) -> str:
    return x_user


async def greeting(x_user: str = Header()) -> str:
    return f"Hello {x_user}"


@pytest.mark.local
@ways
def test_a_router_of_ones_own_with_owners_and_dependencies(place: Path, way: Way):
    agent = Agent(TestModel(call_tools=["greet"]), deps_type=str, name="helper")

    @agent.tool
    def greet(ctx: RunContext[str]) -> str:
        return ctx.deps

    app = FastAPI()
    app.include_router(
        session_router(
            open_store(place),
            agent=agent,
            prefix="/help",
            owner=Depends(current_user),
            deps=greeting,
        )
    )
    with Client(app, headers={"X-User": "ann"}) as client:
        body = {"message": "hi", "session_id": "s"}
        assert "Hello ann" in way(client, body, "/help")["response"]
        client.headers["X-User"] = "bob"
        assert client.get("/help/sessions/s").status_code == 404
        assert "Hello bob" in way(client, body, "/help")["response"]
        assert len(said(client, "s", "/help")) == 2
    assert (place / "@ann/helper/context_memory/s.json").is_file()


def test_what_can_not_be_mounted(place: Path):
    store = open_store(place)
    for options in (
        {"agent": Agent("test")},
        {"agent": "no agent"},
        {"agents": [Agent("test", name="a"), Agent("test", name="a")]},
        {"agents": [Agent("test")]},
        {"agent_id": "one", "agents": [Agent("test", name="one")]},
    ):
        with pytest.raises(InvalidInput):
            session_router(store, **options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidId):
        session_router(store, agent=Agent("test", name="a b"))


def test_without_an_agent_there_is_nothing_to_run(client: Client):
    assert client.post("/api/agents/researcher/run", json={"message": "x"}).status_code == 404


def test_an_agent_searches_the_sessions_of_whoever_asks(place: Path):
    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        last = messages[-1].parts[-1]
        if isinstance(last, ToolReturnPart):
            found: Any = last.content
            return ModelResponse([TextPart(str([hit["said"] for hit in found["found"]]))])
        return ModelResponse([ToolCallPart("search_sessions", {"query": "dragons"})])

    app = FastAPI()
    agent = Agent(FunctionModel(answer), toolsets=[SessionSearch()])
    store = open_store(place)
    app.include_router(session_router(store, "bot", agent=agent, owner=Depends(current_user)))
    with Client(app) as client:
        for user in ("ann", "bob"):
            client.headers["X-User"] = user
            first = client.post("/run", json={"message": f"dragons of {user}"}).json()
            assert first["response"] == "[]"
            second = client.post("/run", json={"message": "And dragons?"}).json()
            assert f"'dragons of {user}'" in second["response"]
        assert "ann" not in second["response"]
