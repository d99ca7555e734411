"""Ages as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mythline.ages import LONGEST, format_age, parse_age
from mythline.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("2w", timedelta(weeks=2)),
        ("90m", timedelta(minutes=90)),
        ("45s", timedelta(seconds=45)),
        ("0s", timedelta()),
        (" 7 D ", timedelta(days=7)),
        ("36500d", LONGEST),
    ],
)
def test_ages(text: str, age: timedelta):
    assert parse_age(text) == age
    assert parse_age(format_age(age)) == age


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "d",
        "-1d",
        "1.5d",
        "1y",
        "30 days",
        "1d2h",
        "36501d",
        "9" * 12 + "w",
        "٣d",
        "1d\n2",
    ],
)
def test_what_is_no_age(text: str):
    with pytest.raises(InvalidInput, match=r"30d|36500d"):
        parse_age(text)


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(days=14), "14d"),
        (timedelta(hours=36), "36h"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=61), "61s"),
        (timedelta(), "0s"),
    ],
)
def test_the_largest_unit_that_fits(age: timedelta, text: str):
    assert format_age(age) == text
