"""The grammar of ids, and how they are generated."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythline import ids
from mythline.errors import InvalidId

GOOD = ["a", "A-b_c", "0", "_x", "x" * 128, "session_20260101_000000_abcdef", "a-"]
BAD = [
    "", "-a", ".a", "..", "../x", "a/b", "a\\b", "a b", "a\n", "a\0", "x" * 129, "ä", "а",
    "a\u200b", "ａ", "१", "a.json", "%2e", *sorted(ids.RESERVED),
]  # fmt: skip


@pytest.mark.parametrize("value", GOOD)
def test_good_session_ids(value: str):
    assert ids.check_session_id(value) == value


@pytest.mark.parametrize("value", BAD)
def test_bad_session_ids_say_what_to_do(value: str):
    with pytest.raises(InvalidId, match=r"Use 1 to 128|reserved"):
        ids.check_session_id(value)


def test_agents_are_shorter_and_none_is_reserved():
    assert ids.check_agent_id("latest") == "latest"
    assert ids.check_agent_id("x" * 64)
    with pytest.raises(InvalidId):
        ids.check_agent_id("x" * 65)


@given(st.text(max_size=140))
def test_only_the_grammar_passes(value: str):
    fits = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}", value, re.ASCII) is not None
    assert ids.is_session_id(value) == (fits and value not in ids.RESERVED)


@given(st.text(min_size=1, max_size=256))
def test_any_text_can_be_an_owner(value: str):
    assert ids.check_owner(value) == value


@pytest.mark.parametrize("value", ["", "x" * 257, "\ud800", "a\udfff"])
def test_bad_owners(value: str):
    with pytest.raises(InvalidId):
        ids.check_owner(value)


def test_generated_ids_fit_the_grammar_and_tell_the_time():
    moment = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    made = {ids.new_session_id(moment) for _ in range(1000)}
    assert len(made) == 1000
    for value in made:
        assert re.fullmatch(r"session_20260504_030201_[a-z0-9]{6}", value)
        assert ids.is_session_id(value)


def test_entry_ids_are_version_7_and_in_order():
    made = [value for _ in range(200) for value in ids.new_entry_ids(3)]
    assert len(set(made)) == 600
    for first, second, third in zip(made[::3], made[1::3], made[2::3], strict=True):
        assert first < second < third
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", value)
        for value in made
    )
