"""`mythline show` and `mythline info`."""

import asyncio
import sys
from pathlib import Path

import pytest
from pydantic_ai import Agent, CallDeferred, DeferredToolRequests
from pydantic_ai.models.test import TestModel

from mythline import SessionMemory, open_store
from mythline.http.schemas import SessionInfo

from .support import invoke, process, terminal, turn


def test_show_is_plain_in_a_pipe(place: str):
    shown = invoke("show", "road-2", "--store", place).out.splitlines()
    assert shown[0] == "The old road, part 2"
    assert shown[1].startswith("road-2  researcher  2 messages  2")
    assert shown[2] == "#lore"
    assert [line for line in shown[3:] if line.startswith(" ")] == [
        "  The old road, part 2",
        "  It is long.",
    ]
    assert [line.split()[0] for line in shown[3:] if line[:1].isalpha()] == ["user", "assistant"]


def test_show_as_json(place: str):
    shown = invoke("show", "road-2", "--store", place, "--json").json
    assert shown["session_id"] == "road-2"
    assert [(item["role"], item["content"]) for item in shown["messages"]] == [
        ("user", "The old road, part 2"),
        ("assistant", "It is long."),
    ]
    assert all(item["entry_id"] for item in shown["messages"])
    assert not shown["has_before"]


@pytest.mark.parametrize(
    ("options", "roles"),
    [
        ((), ["user", "assistant"]),
        (("--include", "tools"), ["user", "tool-call", "tool-return", "assistant"]),
        (("--include", "thinking,system"), ["system", "user", "thinking", "assistant"]),
        (("--include", "thinking", "--include", "system", "--last", "1"), ["assistant"]),
    ],
)
def test_what_is_included(options: tuple[str, ...], roles: list[str], place: str):
    words = ("show", "shared", "--agent", "researcher", *options, "--store", place)
    shown = invoke(*words, "--json").json
    assert [item["role"] for item in shown["messages"]] == roles
    assert shown["has_before"] == ("--last" in options)
    plain = invoke(*words).out
    assert ("look calls" in plain) == ("tools" in str(options))


def test_a_branch_is_shown_up_to_its_end(place: str):
    where = ("--store", place)
    first = invoke("show", "road-1", *where, "--json").json["messages"][0]["entry_id"]
    assert invoke("branch", "road-1", first, *where).code == 0
    (left,) = invoke("branches", "road-1", *where, "--json").json
    assert (left["own_count"], left["parts_at"]) == (1, first)
    assert left["entry_id"] in invoke("branches", "road-1", *where).out
    now = invoke("show", "road-1", *where, "--json").json["messages"]
    assert [item["role"] for item in now] == ["user"]
    shown = invoke("show", "road-1", "--at", left["entry_id"], *where, "--json").json
    assert [item["role"] for item in shown["messages"]] == ["user", "assistant"]
    last = invoke("show", "road-1", "--at", left["entry_id"], "--last", "1", *where, "--json").json
    assert [item["role"] for item in last["messages"]] == ["assistant"]
    assert last["has_before"]
    other = invoke("show", "road-2", "--at", left["entry_id"], *where)
    assert (other.code, other.out) == (1, "")
    assert left["entry_id"] in other.err


@pytest.mark.parametrize("last", [1, 2, 3, 5, 8])
def test_the_last_of_a_long_branch_is_read_in_pieces(last: int, place: str, tmp_path: Path):
    """Tool calls aren't shown, so more is read until there is enough."""
    where = ("--agent", "writer", "--store", place)
    texts = [f"message {number}" for number in range(8)]
    invoke("import", "-", "--session-id", "long", *where, stdin=turn(*texts))
    items = invoke("show", "long", *where, "--json").json["messages"]
    assert [item["content"] for item in items] == texts
    words = ("show", "long", "--at", items[5]["entry_id"], "--last", last, *where)
    shown = invoke(*words, "--json").json["messages"]
    assert [item["content"] for item in shown] == texts[max(0, 6 - last) : 6]


def test_show_is_coloured_on_a_terminal(folder: Path):
    words = ("show", "road-2", "--store", folder)
    assert "\x1b[1;32muser" in terminal(*words).out
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        plain = terminal(*words, variables={name: value}).out
        assert "\x1b" not in plain
        assert "It is long." in plain


PAGER = f"{sys.executable} -c \"import sys; print('PAGED', *sys.stdin.readlines()[-1:])\""


def test_what_is_longer_than_the_screen_is_paged(folder: Path):
    words = ("show", "road-2", "--store", folder)
    paged = {"PAGER": PAGER}
    shown = terminal(*words, lines=4, variables=paged).out
    assert "PAGED   It is long." in shown.replace("\x1b[0m", "")
    both = {"PAGER": "cat", "MYTHLINE_PAGER": PAGER}
    assert "PAGED" in terminal(*words, lines=4, variables=both).out
    for variables, lines, options in (
        (paged, 24, ()),
        (paged, 4, ("--no-pager",)),
        (paged | {"MYTHLINE_PAGER": ""}, 4, ()),
        ({"PAGER": "no-such-program --at-all"}, 4, ()),
        ({"PAGER": "'"}, 4, ()),
    ):
        ran = terminal(*words, *options, lines=lines, variables=variables)
        assert ran.code == 0
        assert "PAGED" not in ran.out
        assert "It is long." in ran.out


def test_a_pager_may_be_left_before_the_end(folder: Path):
    where = ("--agent", "writer", "--store", folder)
    invoke("import", "-", "--session-id", "long", *where, stdin=turn("x " * 200_000, "y"))
    leave = f"{sys.executable} -c pass"
    shown = terminal("show", "long", *where, lines=4, variables={"PAGER": leave})
    assert (shown.code, shown.out) == (0, "")


def test_info_tells_which_calls_a_session_waits_on(place: str):
    def wait() -> str:
        raise CallDeferred

    async def run() -> None:
        async with open_store(place) as store:
            memory = SessionMemory(store, agent_id="writer")
            outputs = [str, DeferredToolRequests]
            agent = Agent(TestModel(), output_type=outputs, tools=[wait], capabilities=[memory])
            await agent.run("Wait.", conversation_id="waits")

    asyncio.run(run())
    known = invoke("info", "waits", "--store", place, "--json").json
    (call,) = known["deferred_tool_requests"]["calls"]
    assert call["tool_name"] == "wait"
    assert '"tool_name": "wait"' in invoke("info", "waits", "--store", place).out
    free = invoke("info", "draft", "--store", place, "--json").json
    assert free["deferred_tool_requests"] is None


def test_info(place: str):
    known = invoke("info", "road-2", "--store", place, "--json").json
    assert {name: known[name] for name in ("session_id", "message_count", "tags", "owner")} == {
        "session_id": "road-2",
        "message_count": 2,
        "tags": ["lore"],
        "owner": None,
    }
    assert known.keys() == {*SessionInfo.model_fields, "owner", "head_id"}
    assert known["file_size"] == known["size"]
    shown = process("info", "road-2", "--store", place).out
    assert "tags           lore\n" in shown
    assert "forked_from" not in shown
