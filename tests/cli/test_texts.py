"""What people type, and how output is made safe."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythline.cli.output import ago, clean, escaped, plain, size
from mythline.cli.texts import parse_size, parse_time
from mythline.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("500", 500),
        ("1kB", 1000),
        ("10MB", 10_000_000),
        ("2GiB", 2 << 30),
        ("1.5m", 1_500_000),
        ("1 KiB", 1024),
    ],
)
def test_sizes(text: str, count: int):
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "B", "-1", "1XB", "1iB", "ten", "1.2.3", "9" * 40])
def test_what_is_no_size(text: str):
    with pytest.raises(InvalidInput):
        parse_size(text)


def test_times():
    here = datetime(2026, 11, 23).astimezone()
    assert parse_time("2026-11-23") == here
    assert parse_time("2026-11-23T10:40:00Z") == datetime(2026, 11, 23, 10, 40, tzinfo=UTC)
    assert abs(datetime.now(UTC) - timedelta(days=7) - parse_time("7d")) < timedelta(minutes=1)
    for text in ("", "yesterday", "2026-13-01", "0001-01-01T00:00+14:00"):
        with pytest.raises(InvalidInput):
            parse_time(text)


def test_how_long_ago():
    now = datetime(2026, 11, 23, tzinfo=UTC)
    for seconds, words in (
        (0, "just now"),
        (59, "just now"),
        (60, "1 minute ago"),
        (7200, "2 hours ago"),
        (86400 * 6, "6 days ago"),
        (86400 * 800, "2 years ago"),
        (-86400 * 14, "in 2 weeks"),
    ):
        assert ago(now - timedelta(seconds=seconds), now) == words


def test_bytes_for_people():
    assert [size(n) for n in (0, 999, 1000, 999_999, 12_345_678, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1000 kB",
        "12.3 MB",
        "5000 GB",
    ]


@given(st.text())
def test_clean_text_steers_no_terminal(text: str):
    shown = clean(text)
    shown.encode()
    assert not any(character < " " and character != "\n" for character in shown)
    assert not any("\x7f" <= character <= "\x9f" for character in shown)
    assert "\n" not in plain(text)
    assert clean(shown) == shown


@given(st.recursive(st.text() | st.integers(), lambda inner: st.dictionaries(st.text(), inner)))
def test_escaped_json_says_the_same(value: object):
    import json

    document = escaped(json.dumps(value, ensure_ascii=False))
    assert json.loads(document) == value
    document.encode()


def test_emoji_and_scripts_stay():
    text = "👩‍👩‍👧 नमस्ते می‌خواهم 日本語 é"
    assert clean(text) == text
