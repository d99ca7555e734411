"""Ids may be abbreviated where it is clear what they mean."""

from pathlib import Path

import pytest

from .support import invoke


@pytest.mark.parametrize(
    ("text", "options", "means"),
    [
        ("draft", (), ("draft", "writer")),
        ("d", (), ("draft", "writer")),
        ("road-2", (), ("road-2", "researcher")),
        ("latest", (), ("shared", "writer")),
        ("latest", ("--agent", "researcher"), ("shared", "researcher")),
        ("sh", ("--agent", "researcher"), ("shared", "researcher")),
        ("road", ("--owner", "alice"), ("road-1", "researcher")),
    ],
)
def test_what_an_id_means(text: str, options: tuple[str, ...], means: tuple[str, str], place: str):
    found = invoke("info", text, *options, "--store", place, "--json").json
    assert (found["session_id"], found["agent_id"]) == means


def test_a_whole_id_comes_before_the_start_of_others(place: str):
    invoke("create", "road", "--agent", "writer", "--store", place)
    assert invoke("info", "road", "--store", place, "--json").json["agent_id"] == "writer"


def test_a_reserved_word_can_start_an_id(place: str):
    invoke("create", "running", "--agent", "writer", "--store", place)
    found = invoke("info", "run", "--store", place, "--json").json
    assert found["session_id"] == "running"


def test_an_archived_session_is_found_but_is_not_the_latest(place: str):
    invoke("update", "shared", "--agent", "writer", "--archive", "--store", place)
    assert invoke("info", "latest", "--store", place, "--json").json["session_id"] == "draft"
    ran = invoke("info", "shar", "--agent", "writer", "--store", place)
    assert ran.code == 0


def test_the_start_of_several_lists_them(place: str):
    ran = invoke("show", "road", "--store", place)
    assert (ran.code, ran.out) == (1, "")
    assert all(f"road-{number} (researcher)" in ran.err for number in (1, 2, 3))


def test_an_id_of_two_agents_lists_them(place: str):
    ran = invoke("delete", "shared", "--yes", "--store", place)
    assert ran.code == 1
    assert "shared (researcher), shared (writer)" in ran.err
    assert "--agent" in ran.err
    assert len(invoke("list", "--store", place).rows) == 6


def test_where_an_agent_is_needed_they_are_listed(place: str):
    ran = invoke("create", "--store", place)
    assert ran.code == 2
    assert "researcher, writer" in ran.err


def test_without_sessions_there_is_no_latest(tmp_path: Path):
    ran = invoke("show", "latest", "--store", tmp_path)
    assert (ran.code, ran.err) == (1, "mythline: There are no sessions yet.\n")
