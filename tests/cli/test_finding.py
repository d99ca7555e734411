"""`mythline search`."""

import re
import shlex
from pathlib import Path

import pytest

from .support import Ran, invoke, terminal


def search(place: str, *words: str) -> list[tuple[str, str]]:
    found = invoke("search", *words, "--store", place, "--json").json
    return sorted((hit["session_id"], hit["role"]) for hit in found)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("LONG",), [("road-1", "assistant"), ("road-2", "assistant"), ("road-3", "assistant")]),
        (("part", "2"), [("road-2", "user")]),
        (('"road part"',), [("road-1", "user"), ("road-2", "user"), ("road-3", "user")]),
        (('"part road"',), []),
        (("mist",), []),
        (("mist", "--role", "tool"), [("shared", "tool")]),
        (("roa*", "--tag", "lore"), [("road-2", "user")]),
        (("road", "--role", "assistant,tool"), [("shared", "assistant")]),
        (("road", "--agent", "writer"), []),
        (("road", "--owner", "alice"), []),
        (("long", "--since", "2026-01-01", "--until", "2026-01-02"), []),
        (('"',), []),
    ],
)
def test_what_is_found(words: tuple[str, ...], expected: list[tuple[str, str]], place: str):
    assert search(place, *words) == expected


def test_a_hit_in_a_pipe(place: str):
    ran = invoke("search", "part 2", "--store", place)
    (row,) = ran.rows
    assert (row[0], row[1], row[2], row[6]) == (
        "road-2",
        "researcher",
        "user",
        "The old road, part 2",
    )
    nothing = invoke("search", "dragons", "--store", place)
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "Nothing was found.\n")


def test_marks_are_highlighted_and_the_command_opens_the_hit(
    place: str, monkeypatch: pytest.MonkeyPatch
):
    shown = terminal("search", "part", "2", "--store", place).out
    assert re.search(r"\x1b\[1;33mpart 2\x1b\[0m|\x1b\[1;33m2\x1b\[0m", shown)
    (line,) = [line for line in shown.splitlines() if "mythline show" in line]
    words = shlex.split(re.sub(r"\x1b\[[0-9;]*m", "", line))
    monkeypatch.setenv("MYTHLINE_STORE", place)  # an address isn't shown
    opened: Ran = invoke(*words[1:])
    assert opened.code == 0
    assert "The old road, part 2" in opened.out
    assert "It is long." not in opened.out


def test_what_was_found_does_not_steer_the_terminal(folder: Path):
    for words in (("mist", "--role", "tool"), ("where",)):
        shown = terminal("search", *words, "--store", folder).out
        assert "\x1b[1;33m" in shown
        assert not set(re.sub(r"\x1b\[[0-9;]*m", "", shown)) & set("\x1b\x07\x9b\u202e\x08")
