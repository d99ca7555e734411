"""`/chat` and `/ag-ui`: what front ends send, and what is stored of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from ag_ui.core import RunAgentInput
from fastapi import Depends, FastAPI, Header
from pydantic import create_model
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

from mythline import SessionMemory, open_store, session_router
from mythline.http import protocols
from mythline.local import LocalStore
from tests.agents.support import Echo, brief, reached
from tests.http.agents import BOT, an_asking_agent, asking, events, halves, said, serving
from tests.http.support import JSON, Client

SESSION = f"{BOT}/sessions/s"


@dataclass
class Protocol:
    """How a front end of one kind says things."""

    name: str
    format: str

    @property
    def path(self) -> str:
        return f"{SESSION}/{self.name}"

    def user(self, identity: str, text: str) -> dict[str, Any]:
        if self.name == "ag-ui":
            return {"id": identity, "role": "user", "content": text}
        return {"id": identity, "role": "user", "parts": [{"type": "text", "text": text}]}

    def answer(self, text: str) -> dict[str, Any]:
        return {**self.user(f"answer-{text}", text), "role": "assistant"}

    def body(self, *messages: dict[str, Any], regenerate: bool = False) -> dict[str, Any]:
        if self.name == "ag-ui":
            more = {"threadId": "any", "runId": "r", "state": {}, "tools": [], "context": []}
            return {"messages": messages, "forwardedProps": {}, **more}
        trigger = "regenerate-message" if regenerate else "submit-message"
        return {"id": "any", "trigger": trigger, "messages": messages}

    def read(self, response: Any) -> Events:
        assert response.status_code == 200, response.text
        found = [data for _, data in events(response) if data != "[DONE]"]
        deltas = [e for e in found if e["type"] in ("text-delta", "TEXT_MESSAGE_CONTENT")]
        saved = [
            e.get("data") or e.get("value")
            for e in found
            if e["type"] == "data-conversation-saved"
            or e.get("name") == "pydantic_ai_conversation_saved"
        ]
        errors = [
            e.get("errorText") or e.get("message")
            for e in found
            if e["type"] in ("error", "RUN_ERROR")
        ]
        return Events(
            text="".join(e["delta"] for e in deltas),
            entry_ids=[i for each in saved for i in each["entry_ids"]],
            errors=errors,
            all=found,
        )


@dataclass
class Events:
    text: str
    entry_ids: list[str]
    errors: list[str]
    all: list[dict[str, Any]]


VERCEL, AG_UI = Protocol("chat", "vercel"), Protocol("ag-ui", "ag-ui")
both = pytest.mark.parametrize("front", [VERCEL, AG_UI], ids=["vercel", "ag-ui"])


def send(client: Client, front: Protocol, *messages: Any, **options: Any) -> Events:
    found = front.read(client.post(front.path, json=front.body(*messages, **options)))
    assert found.errors == []
    return found


def branches(client: Client) -> list[str]:
    return client.get(f"{SESSION}/info").json()["branches"]


def stored_ids(client: Client) -> list[str]:
    return [m["entry_id"] for m in client.get(f"{SESSION}/messages").json()["messages"]]


@both
def test_a_conversation(bot: Client, echo: Echo, front: Protocol):
    one, two = front.user("u1", "one"), front.user("u2", "two")
    first = send(bot, front, one)
    assert first.text == "You said one"
    second = send(bot, front, one, front.answer("You said one"), two)
    assert second.text == "You said two"
    assert brief(echo.seen[1]) == ["user:one", "text:You said one", "user:two"]
    assert stored_ids(bot) == first.entry_ids + second.entry_ids
    assert len(said(bot, "s")) == 4
    assert bot.ids(f"{BOT}/sessions") == ["s"]


@both
def test_adapters_that_take_no_store(
    bot: Client, echo: Echo, front: Protocol, monkeypatch: pytest.MonkeyPatch
):
    """Those of Pydantic AI 2.66: the conversation is the session's all the same."""
    monkeypatch.setattr(protocols, "TAKES_STORES", False)
    one, two = front.user("u1", "one"), front.user("u2", "two")
    send(bot, front, one)
    send(bot, front, one, front.answer("You said one"), two)
    assert brief(echo.seen[1]) == ["user:one", "text:You said one", "user:two"]
    send(bot, front, two)  # as if the stored answer had not come
    assert brief(echo.seen[2]) == ["user:one", "text:You said one", "user:two"]
    assert len(said(bot, "s")) == 4
    assert len(branches(bot)) == 1


def test_a_prompt_again_where_ag_ui_knows_no_interrupts(
    bot: Client, echo: Echo, monkeypatch: pytest.MonkeyPatch
):
    """As ag-ui-protocol before 0.1.19 does: what a client sends has no `resume`."""
    fields = {name: (each.annotation, each) for name, each in RunAgentInput.model_fields.items()}
    del fields["resume"]
    older: Any = create_model("Older", __base__=RunAgentInput.__base__, **cast("Any", fields))
    monkeypatch.setattr(protocols._AGUI, "read", older.model_validate_json)
    one = AG_UI.user("u1", "one")
    send(bot, AG_UI, one)
    assert send(bot, AG_UI, one).text == "You said one"
    assert brief(echo.seen[1]) == ["user:one"]
    assert len(branches(bot)) == 1


@both
def test_a_client_may_send_its_new_message_alone(bot: Client, echo: Echo, front: Protocol):
    send(bot, front, front.user("u1", "one"))
    send(bot, front, front.user("u2", "two"))
    assert brief(echo.seen[1]) == ["user:one", "text:You said one", "user:two"]


@both
def test_another_answer_to_a_message_is_a_branch(bot: Client, echo: Echo, front: Protocol):
    one, two = front.user("u1", "one"), front.user("u2", "two")
    send(bot, front, one)
    old = send(bot, front, one, front.answer("You said one"), two)
    new = send(bot, front, one, front.answer("You said one"), two, regenerate=True)
    assert brief(echo.seen[2]) == ["user:one", "text:You said one", "user:two"]
    assert stored_ids(bot)[2:] == new.entry_ids
    assert branches(bot) == [old.entry_ids[-1]]


@both
def test_an_edited_message_is_a_branch(bot: Client, echo: Echo, front: Protocol):
    old = send(bot, front, front.user("u1", "one"))
    send(bot, front, front.user("u1", "ONE"))
    assert brief(echo.seen[1]) == ["user:ONE"]
    assert said(bot, "s") == [("user", "ONE"), ("assistant", "You said ONE")]
    assert branches(bot) == [old.entry_ids[-1]]


@both
def test_a_resumed_session_has_the_ids_of_its_entries_and_can_be_edited(
    bot: Client, echo: Echo, front: Protocol
):
    bot.post(f"{BOT}/run", json={"message": "one", "session_id": "s"})
    send(bot, front, front.user("u2", "two"))
    bot.post(f"{BOT}/run", json={"message": "three", "session_id": "s"})
    entry_ids = stored_ids(bot)
    shown = bot.get(f"{SESSION}/messages?format={front.format}").json()
    assert [message["id"] for message in shown["messages"]] == entry_ids
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"] * 3
    assert shown["revision"] == bot.get(f"{SESSION}/info").json()["revision"]
    kept = shown["messages"][:2]
    again = send(bot, front, *kept, shown["messages"][2], regenerate=True)
    assert again.text == "You said two"
    assert stored_ids(bot)[:2] == entry_ids[:2]
    assert branches(bot) == [entry_ids[-1]]
    edited = {**shown["messages"][0], **front.user(entry_ids[0], "First")}
    send(bot, front, edited)
    assert brief(echo.seen[-1]) == ["user:First"]
    send(bot, front, front.user("u2", "on"))  # the id of a message on a branch is a new one here
    assert [content for _, content in said(bot, "s")][2:] == ["on", "You said on"]


@both
def test_a_window_of_a_history_has_what_its_messages_have_in_the_whole(
    place: Path, echo: Echo, front: Protocol
):
    agent = Agent(echo.model, system_prompt="Be kind.")

    @agent.tool_plain
    def look() -> None:
        return None

    with Client(serving(place, agent)) as client:
        client.post(f"{BOT}/run", json={"message": "use look", "session_id": "s"})
        entry_ids = stored_ids(client)
        path = f"{SESSION}/messages?format={front.format}"
        whole = client.get(path).json()["messages"]
        assert "Be kind." not in str(whole)
        for number in range(1, 5):
            part = client.get(f"{path}&limit={number}").json()["messages"]
            names = entry_ids[-number:]
            if front is AG_UI:
                assert part == [m for m in whole if m["id"][:36] in names]
            elif number < 4:  # an answer is one message, of several entries
                (answer,) = part
                assert answer["id"] == entry_ids[{1: 3, 2: 3, 3: 1}[number]]
                assert answer["parts"] == whole[1]["parts"][{1: 2, 2: 2, 3: 0}[number] :]
        if front is VERCEL:
            assert [message["id"] for message in whole] == entry_ids[:2]
            assert [part["type"] for part in whole[1]["parts"]] == [
                "tool-look",
                "step-start",
                "text",
            ]
            assert whole[1]["parts"][0]["state"] == "output-available"
            assert whole[1]["parts"][0]["output"] is None


def test_a_tool_that_returns_nothing_says_so_on_the_way(place: Path, echo: Echo):
    agent = Agent(echo.model)

    @agent.tool_plain
    def look() -> None:
        return None

    with Client(serving(place, agent)) as client:
        found = send(client, VERCEL, VERCEL.user("u1", "use look"))
        (output,) = [event for event in found.all if event["type"] == "tool-output-available"]
        assert output["output"] is None
        assert output["toolCallId"]


@both
def test_half_a_character_does_not_end_a_stream(place: Path, front: Protocol):
    with Client(serving(place, Agent(FunctionModel(stream_function=halves)))) as client:
        found = send(client, front, front.user("u1", "go"))
        assert found.text == "one \ufffdtwo"
        assert stored_ids(client) == found.entry_ids
        assert said(client, "s") == [("user", "go"), ("assistant", "one \ufffdtwo")]


def test_a_call_to_be_run_elsewhere_is_not_shown_as_one_to_approve(place: Path):
    with Client(serving(place, an_asking_agent())) as client:
        client.post(f"{BOT}/run", json={"message": "go", "session_id": "s"})
        (_, answer) = client.get(f"{SESSION}/messages?format=vercel").json()["messages"]
        states = {part["toolCallId"]: part["state"] for part in answer["parts"]}
        assert states == {"approve": "approval-requested", "outside": "input-available"}
        assert ["approval" in part for part in answer["parts"]] == [True, False]


def test_a_call_that_was_stopped_while_its_arguments_came_does_not_end_a_chat(bot: Client):
    """`useChat` sends what it has of one, in members that Pydantic AI doesn't read."""
    first, last = VERCEL.user("u1", "one"), VERCEL.user("u2", "two")
    send(bot, VERCEL, first)
    part = {"type": "tool-look", "toolCallId": "c", "state": "input-streaming", "rawInput": "{"}
    stopped = VERCEL.answer("So far")
    stopped["parts"].append(part)
    assert send(bot, VERCEL, first, stopped, last).text == "You said two"
    for parts in ([part, "toolCallId"], [{**part, "state": "input-available"}], None):
        body = VERCEL.body(first, {**stopped, "parts": parts}, last)
        assert bot.post(VERCEL.path, json=body).status_code == 422
    assert len(said(bot, "s")) == 4


def test_an_unknown_format_is_told_those_there_are(bot: Client):
    bot.create("s", f"{BOT}/sessions")
    response = bot.get(f"{SESSION}/messages?format=morse")
    assert response.status_code == 422
    assert "'vercel' or 'ag-ui'" in response.text
    assert bot.get(f"{BOT}/sessions/none/messages?format=vercel").status_code == 404
    assert bot.get(f"{SESSION}/messages?format=vercel").json()["messages"] == []


# Runs that fail

SECRET = "the key at /etc/secret.key is sk-123"


@both
def test_a_run_that_fails_on_its_way_is_kept_and_told_as_the_protocol_does(
    bot: Client, echo: Echo, front: Protocol, caplog: pytest.LogCaptureFixture
):
    echo.fail = RuntimeError(SECRET)
    one, two = front.user("u1", "one"), front.user("u2", "two")
    found = front.read(bot.post(front.path, json=front.body(one)))
    assert found.errors == [
        "The agent failed. It was logged. The session has what it did; try again."
    ]
    assert "sk-123" not in str(found.all)
    assert "sk-123" in caplog.text
    assert said(bot, "s") == [("user", "one"), ("assistant", "You")]
    echo.fail = None
    send(bot, front, one, front.answer("You"), two)
    assert brief(echo.seen[1]) == ["user:one", "text:You", "user:two"]


@both
def test_a_prompt_that_nothing_answered_is_not_doubled(
    bot: Client, echo: Echo, front: Protocol, caplog: pytest.LogCaptureFixture
):
    async def fail(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
        raise RuntimeError(SECRET)
        yield ""

    model: Any = echo.model
    works, model.stream_function = model.stream_function, fail
    one, two = front.user("u1", "one"), front.user("u2", "two")
    with caplog.at_level(logging.ERROR):
        response = bot.post(front.path, json=front.body(one))
    assert response.status_code == 500
    assert response.json()["session_id"] == "s"
    assert said(bot, "s") == [("user", "one")]
    model.stream_function = works
    send(bot, front, one, two)  # the client goes on
    assert brief(echo.seen[0]) == ["user:one", "user:two"]
    assert said(bot, "s")[:2] == [("user", "one"), ("user", "two")]
    assert branches(bot) == []


@both
def test_a_prompt_that_nothing_answered_can_be_sent_again(bot: Client, echo: Echo, front: Protocol):
    bot.post(f"{BOT}/run", json={"message": "zero", "session_id": "s"})
    echo.fail = RuntimeError(SECRET)
    one = front.user("u1", "one")
    front.read(bot.post(front.path, json=front.body(one)))
    echo.fail = None
    send(bot, front, one, regenerate=True)
    assert [content for _, content in said(bot, "s")][2:] == ["one", "You said one"]
    assert len(branches(bot)) == 1


@both
@pytest.mark.parametrize("messages", [[], ["answer"]])
def test_nothing_new_is_refused(bot: Client, echo: Echo, front: Protocol, messages: list[str]):
    sent = [front.answer(text) for text in messages]
    response = bot.post(front.path, json=front.body(*sent))
    assert response.status_code == 422
    assert "new message" in response.json()["detail"]
    assert echo.seen == []


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "with a history"])
@pytest.mark.parametrize(
    ("front", "messages"),
    [
        (VERCEL, [{"id": "u2", "role": "user", "parts": []}]),
        (VERCEL, [{"id": "u2", "role": "system", "parts": [{"type": "text", "text": "Obey."}]}]),
        (
            VERCEL,
            [
                VERCEL.user("u2", "two"),
                {
                    "id": "a2",
                    "role": "assistant",
                    "parts": [
                        {
                            "type": "tool-look",
                            "toolCallId": "c",
                            "state": "output-available",
                            "input": {},
                            "output": "a well",
                        }
                    ],
                },
            ],
        ),
        (AG_UI, [{"id": "u2", "role": "developer", "content": "Obey."}]),
        (AG_UI, [{"id": "u2", "role": "tool", "toolCallId": "c", "content": "a well"}]),
    ],
    ids=["no parts", "system", "output", "developer", "tool"],
)
def test_what_asks_for_nothing_is_refused(
    bot: Client, echo: Echo, front: Protocol, messages: list[Any], is_new: bool
):
    if not is_new:
        send(bot, front, front.user("u1", "one"))
    seen = len(echo.seen)
    response = bot.post(front.path, json=front.body(*messages))
    assert response.status_code == 422
    assert "new message" in response.json()["detail"]
    assert len(echo.seen) == seen


def test_a_message_that_is_not_there_can_not_be_answered_anew(bot: Client, echo: Echo):
    send(bot, VERCEL, VERCEL.user("u1", "one"))
    body = VERCEL.body(VERCEL.user("u9", "nine"), regenerate=True)
    response = bot.post(VERCEL.path, json=body)
    assert response.status_code == 422
    assert "load the session again" in response.json()["detail"]
    assert len(echo.seen) == 1


@both
def test_bodies_that_are_none(bot: Client, front: Protocol):
    assert bot.post(front.path, content=b"{", headers=JSON).status_code == 400
    assert bot.post(front.path, content=b"{}").status_code == 415
    assert bot.post(front.path, json={"messages": 1}).status_code == 422
    assert bot.post(f"{BOT}/sessions/run/{front.name}", json=front.body()).status_code == 404
    path = f"/api/agents/nobody/sessions/s/{front.name}"
    assert bot.post(path, json=front.body(front.user("u", "x"))).status_code == 404
    assert bot.get(front.path).status_code == 405


# Two at once, and memories


@both
async def test_a_second_run_in_a_session_that_is_held_is_409(
    place: Path, echo: Echo, front: Protocol
):
    memory = SessionMemory(open_store(place), agent_id="bot", exclusive=True, wait=0)
    async with asking(serving(place, Agent(echo.model, capabilities=[memory]))) as client:
        echo.hold = asyncio.Event()
        body = front.body(front.user("u1", "slow"))
        slow = asyncio.create_task(client.post(front.path, json=body))
        await reached(echo.reached, slow)
        for path, other in (
            (front.path, body),
            (f"{BOT}/run", {"message": "x", "session_id": "s"}),
        ):
            busy = await client.post(path, json=other)
            assert busy.status_code == 409
            assert busy.headers["retry-after"] == "1"
        echo.hold.set()
        assert front.read(await slow).text == "You said slow"


@both
def test_an_agent_with_a_memory_of_its_own_is_stored_once(
    place: Path, tmp_path: Path, echo: Echo, front: Protocol
):
    memory = SessionMemory(LocalStore(tmp_path / "other"), agent_id="elsewhere")
    with Client(serving(place, Agent(echo.model, capabilities=[memory]))) as client:
        send(client, front, front.user("u1", "one"))
        send(client, front, front.user("u2", "two"))
        send(client, front, front.user("u2", "two"), regenerate=True)
        assert len(said(client, "s")) == 4
    assert not (tmp_path / "other").exists()


@both
def test_a_long_chat_does_not_end_by_the_limit_of_one_run(place: Path, front: Protocol):
    echo = Echo()
    app = serving(place, Agent(echo.model))
    with Client(app) as client:
        for number in range(52):
            send(client, front, front.user(f"u{number}", f"{number}"))
        assert client.get(f"{SESSION}/info").json()["usage"]["requests"] == 52


async def current_user(x_user: str = Header()) -> str:
    return x_user


@both
def test_owners_do_not_learn_of_each_other(place: Path, echo: Echo, front: Protocol):
    app = FastAPI()
    app.include_router(
        session_router(
            open_store(place), "bot", agent=Agent(echo.model), owner=Depends(current_user)
        )
    )
    path = f"/sessions/s/{front.name}"
    with Client(app, headers={"X-User": "ann"}) as client:
        front.read(client.post(path, json=front.body(front.user("u1", "one"))))
        client.headers["X-User"] = "bob"
        assert client.get("/sessions/s/exists").json() == {"exists": False}
        found = front.read(client.post(path, json=front.body(front.user("u1", "two"))))
        assert found.text == "You said two"
        assert brief(echo.seen[1]) == ["user:two"]
        assert branches_of(client) == []


def branches_of(client: Client) -> list[str]:
    return client.get("/sessions/s/info").json()["branches"]


# Approvals


def test_an_approval_after_a_restart_over_the_vercel_protocol(place: Path):
    app = serving(place, _approving())
    with Client(app) as client:
        asked = send(client, VERCEL, VERCEL.user("u1", "go"))
        requests = [e for e in asked.all if e["type"] == "tool-approval-request"]
        assert [request["toolCallId"] for request in requests] == ["approve"]
    with Client(app) as client:
        prompt, call = client.get(f"{SESSION}/messages?format=vercel").json()["messages"]
        (part,) = call["parts"]
        assert part["state"] == "approval-requested"
        wrong = {**part, "toolCallId": "other"}
        for each, status in ((wrong, 422), (part, 200), (part, 422)):
            answered = {
                **each,
                "state": "approval-responded",
                "approval": {"id": each["toolCallId"], "approved": True},
            }
            body = VERCEL.body(prompt, {**call, "parts": [answered]})
            response = client.post(VERCEL.path, json=body)
            assert response.status_code == status, response.text
        assert said(client, "s") == [("user", "go"), ("assistant", "done")]


def test_an_approval_and_what_was_run_elsewhere_are_answered_together(place: Path):
    app = serving(place, an_asking_agent())
    with Client(app) as client:
        send(client, VERCEL, VERCEL.user("u1", "go"))
    with Client(app) as client:
        prompt, call = client.get(f"{SESSION}/messages?format=vercel").json()["messages"]
        approve, outside = call["parts"]
        approval = {"id": approve["toolCallId"], "approved": True}
        approve |= {"state": "approval-responded", "approval": approval}
        answered = {**call, "parts": [approve, outside]}
        response = client.post(VERCEL.path, json=VERCEL.body(prompt, answered))
        assert response.status_code == 422  # the other still waits
        outside |= {"state": "output-available", "output": "there"}
        assert send(client, VERCEL, prompt, answered).text == "done"
        told = client.get(f"{SESSION}?include=tools").json()["messages"]
        returned = {i["tool_name"]: i["content"] for i in told if i["role"] == "tool-return"}
        assert returned == {"approve": "approved 1", "outside": "there"}


def _approved(asked: Any) -> list[dict[str, Any]]:
    """What an AG-UI client sends to approve the one call that a run stopped at."""
    (interrupt,) = asked.all[-1]["outcome"]["interrupts"]
    return [
        {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": True}},
    ]


def test_an_approval_and_what_was_run_elsewhere_are_answered_together_over_ag_ui(place: Path):
    app = serving(place, an_asking_agent())
    with Client(app) as client:
        asked = send(client, AG_UI, AG_UI.user("u1", "go"))
    with Client(app) as client:
        shown = client.get(f"{SESSION}/messages?format=ag-ui").json()["messages"]
        returned = {"id": "t", "role": "tool", "toolCallId": "outside", "content": "there"}
        body = {**AG_UI.body(*shown, returned), "resume": _approved(asked)}
        found = AG_UI.read(client.post(AG_UI.path, json=body))
        assert (found.text, found.errors) == ("done", [])


@both
def test_a_new_message_gives_up_what_waits(place: Path, front: Protocol):
    with Client(serving(place, an_asking_agent())) as client:
        send(client, front, front.user("u1", "go"))
        shown = client.get(f"{SESSION}/messages?format={front.format}").json()["messages"]
        send(client, front, *shown, front.user("u2", "never mind"))
        assert client.get(f"{SESSION}/info").json()["deferred_tool_requests"] is None


def test_answers_with_the_prompt_again_but_not_the_calls_answer_these_over_ag_ui(place: Path):
    """From clients that keep only what was said."""
    prompt = AG_UI.user("u1", "go")
    with Client(serving(place, an_asking_agent())) as client:
        asked = send(client, AG_UI, prompt)
        returned = {"id": "t", "role": "tool", "toolCallId": "outside", "content": "there"}
        body = {**AG_UI.body(prompt, returned), "resume": _approved(asked)}
        found = AG_UI.read(client.post(AG_UI.path, json=body))
        assert (found.text, found.errors) == ("done", [])
        assert said(client, "s") == [("user", "go"), ("assistant", "done")]
        assert branches(client) == []
        assert client.post(AG_UI.path, json=body).status_code == 422  # they are answered


def test_an_approval_after_a_restart_over_ag_ui(place: Path):
    app = serving(place, _approving())
    with Client(app) as client:
        asked = send(client, AG_UI, AG_UI.user("u1", "go"))
    with Client(app) as client:
        shown = client.get(f"{SESSION}/messages?format=ag-ui").json()["messages"]
        body = {**AG_UI.body(*shown), "resume": _approved(asked)}
        found = AG_UI.read(client.post(AG_UI.path, json=body))
        assert found.text == "done"
        assert said(client, "s") == [("user", "go"), ("assistant", "done")]


def _approving() -> Any:
    asking_agent = an_asking_agent()
    from pydantic_ai.messages import ToolReturnPart
    from pydantic_ai.models.function import DeltaToolCall

    async def stream(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        if any(isinstance(part, ToolReturnPart) for part in messages[-1].parts):
            yield "done"
        else:
            yield {0: DeltaToolCall("approve", '{"n": 1}', tool_call_id="approve")}

    asking_agent.model = FunctionModel(stream_function=stream)
    return asking_agent
