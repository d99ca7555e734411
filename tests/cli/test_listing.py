"""`mythline agents` and `mythline list`."""

import re
from pathlib import Path

import pytest

from .support import invoke, process, terminal

NEWEST = [
    ("shared", "writer"),
    ("draft", "writer"),
    ("shared", "researcher"),
    ("road-3", "researcher"),
    ("road-2", "researcher"),
    ("road-1", "researcher"),
]


def test_agents(place: str):
    found = invoke("agents", "--store", place, "--json").json
    assert [(item["agent_id"], item["session_count"]) for item in found] == [
        ("researcher", 4),
        ("writer", 2),
    ]
    assert all(item["last_modified"].endswith("Z") for item in found)
    rows = invoke("agents", "--store", place).rows
    assert [row[:2] for row in rows] == [["researcher", "4"], ["writer", "2"]]
    only = invoke("agents", "--agent", "writer", "--store", place).rows
    assert [row[0] for row in only] == ["writer"]


def test_agents_of_an_owner(place: str):
    rows = invoke("agents", "--owner", "alice", "--store", place).rows
    assert [row[:2] for row in rows] == [["researcher", "1"]]


def test_list_shows_the_newest_first_of_all_agents(place: str):
    rows = invoke("list", "--store", place).rows
    assert [(row[0], row[1]) for row in rows] == NEWEST
    assert [row[2] for row in rows] == ["0", "0", "4", "2", "2", "2"]
    assert {len(row) for row in rows} == {6}
    assert rows[4][4:] == ["The old road, part 2", "#lore"]


def test_count(place: str):
    words = ("list", "--count", "--store", place)
    assert invoke(*words).out == "6\n"
    assert invoke(*words, "--limit", "2", "--json").json == {"count": 6}
    assert invoke(*words, "--tag", "lore").out == "1\n"
    assert invoke(*words, "--agent", "writer", "--text", "chapter").out == "1\n"
    assert invoke(*words, "--trash").out == "0\n"


def test_list_as_json(place: str):
    found = invoke("list", "--agent", "researcher", "--limit", "3", "--store", place, "--json")
    items = found.json
    assert [item["session_id"] for item in items] == ["shared", "road-3", "road-2"]
    assert items[2] | {"created": "", "last_modified": "", "size": 0} == {
        "session_id": "road-2",
        "agent_id": "researcher",
        "last_modified": "",
        "message_count": 2,
        "title": "The old road, part 2",
        "preview": "It is long.",
        "tags": ["lore"],
        "pinned": False,
        "archived": False,
        "size": 0,
        "created": "",
    }
    assert items[2]["last_modified"].endswith("Z")


def test_an_owner_sees_their_own(place: str):
    found = invoke("list", "--owner", "alice", "--store", place).rows
    assert [row[4] for row in found] == ["Alice's"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--tag", "lore"), ["road-2"]),
        (("--text", "PART 3"), ["road-3"]),
        (("--archived",), ["road-1"]),
        (("--limit", "1"), ["shared"]),
        (("--all", "--limit", "5"), ["shared", "draft", "shared", "road-3", "road-2"]),
        (("--all",), ["shared", "draft", "shared", "road-3", "road-2", "road-1"]),
        (("--pinned-first", "--limit", "2"), ["road-2", "shared"]),
        (("--order", "created", "--agent", "researcher"), ["shared", "road-3", "road-2"]),
        (("--order", "title", "--text", "part"), ["road-2", "road-3"]),
    ],
)
def test_what_is_listed(options: tuple[str, ...], expected: list[str], place: str):
    invoke("update", "road-1", "--archive", "--store", place)
    invoke("update", "road-2", "--pin", "--store", place)
    found = invoke("list", *options, "--store", place).rows
    assert [row[0] for row in found] == expected


def test_pages_of_a_long_list_are_put_together(place: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("mythline.cli.listing.PAGE", 2)
    assert [tuple(row[:2]) for row in invoke("list", "--all", "--store", place).rows] == NEWEST
    for order in ("recent", "created", "title"):
        found = invoke("list", "--order", order, "--all", "--store", place, "--json").json
        assert len(found) == len(NEWEST)


def test_the_trash(place: str):
    assert "Nothing" in invoke("list", "--trash", "--store", place).err
    invoke("delete", "road-1", "draft", "--yes", "--store", place)
    found = invoke("list", "--trash", "--store", place, "--json").json
    assert {item["session_id"] for item in found} == {"road-1", "draft"}
    assert all(item["deleted"] < item["purges"] for item in found)
    assert {row[0] for row in invoke("list", "--trash", "--store", place).rows} == {
        "road-1",
        "draft",
    }


def test_files_that_another_program_just_wrote_are_listed(folder: Path):
    for agent in ("researcher", "reader"):
        file = folder / agent / "context_memory" / "new.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('[{"kind":"request","parts":[{"part_kind":"user-prompt","content":"Hi"}]}]')
    found = process("list", "--store", folder, "--json").json
    new = [(item["agent_id"], item["title"]) for item in found if item["session_id"] == "new"]
    assert sorted(new) == [("reader", "Hi"), ("researcher", "Hi")]
    assert len(found) == 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list"], "No sessions yet.\n"),
        (["agents"], "No sessions yet.\n"),
        (["list", "--trash"], "Nothing is in the trash.\n"),
        (["list", "--tag", "lore"], "Nothing was found.\n"),
        (["list", "--text", "Road"], "Nothing was found.\n"),
        (["list", "--archived"], "Nothing was found.\n"),
    ],
)
def test_a_list_without_sessions_has_no_row(words: list[str], told: str, tmp_path: Path):
    ran = invoke(*words, "--store", tmp_path)
    assert (ran.code, ran.out, ran.err) == (0, "", told)
    assert invoke(*words, "--store", tmp_path, "--json").json == []
    assert told.rstrip() in terminal(*words, "--store", tmp_path).out


@pytest.mark.parametrize("words", [["list"], ["list", "--count"], ["search", "road"]])
def test_a_word_that_is_no_text_is_looked_for(words: list[str], place: str):
    half = "\udcff"  # what a byte that isn't UTF-8 comes as
    filters = ["--tag"] if words[0] == "search" else ["--tag", "--text"]
    for name in filters:
        ran = invoke(*words, name, half, "--store", place)
        assert (ran.code, ran.out) == (0, "0\n" if "--count" in words else "")
    invoke("tag", "draft", half, "--store", place)
    assert [row[0] for row in invoke("list", "--tag", half, "--store", place).rows] == ["draft"]


@pytest.mark.parametrize("columns", [30, 60, 80, 130])
def test_a_table_is_as_wide_as_the_terminal(columns: int, folder: Path):
    invoke("rename", "draft", "日本語 " + "long " * 30, "--store", folder)
    ran = terminal("list", "--store", folder, columns=columns, variables={"NO_COLOR": "1"})
    assert max(map(len, ran.out.splitlines())) <= columns
    assert "…" in ran.out
    assert all(name in ran.out for name in ("session", "title", "road-1"))
    assert ("messages" in ran.out) == (columns > 30)
    assert "now" in ran.out


@pytest.mark.parametrize("words", [("list",), ("list", "--json"), ("show", "shared"), ("info",)])
@pytest.mark.parametrize("on_terminal", [True, False])
def test_nothing_that_was_said_steers_a_terminal(
    words: tuple[str, ...], on_terminal: bool, folder: Path
):
    if words == ("info",):
        words = ("info", "shared")
    if words[0] != "list":
        words = (*words, "--agent", "researcher")
    if words[0] == "show":
        words = (*words, "--include", "tools,thinking,system")
    words = (*words, "--store", str(folder))
    shown = (terminal(*words, columns=130) if on_terminal else invoke(*words)).out
    assert "steers" in shown
    coloured = on_terminal and "--json" not in words and words[0] != "info"
    assert ("\x1b" in shown) == coloured
    rest = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert not set(rest) & set("\x1b\x07\x9b\u202e\x08")
