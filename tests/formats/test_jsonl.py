"""The `jsonl` format: everything comes back, and nothing that can't be is taken."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mythline import messages
from mythline.errors import InvalidMessages
from mythline.formats import jsonl
from mythline.models import StoredEntry
from tests.formats import samples

WORKED = samples.session(
    [
        *samples.chain(*samples.EVERY_PART),
        *samples.chain(
            samples.request(samples.prompt("Or else?")),
            samples.response(samples.text("No.")),
            start=20,
            after=samples.entry_id(1),
        ),
    ],
    head_id=samples.entry_id(len(samples.EVERY_PART) - 1),
    branches=(samples.entry_id(21), samples.entry_id(3)),
    title="Ä title",
    tags=("a", "b"),
    pinned=True,
    archived=True,
    deleted=samples.CHANGED,
    metadata={"z": 1, "a": {"y": [1, 2.5, None], "b": "\u2028"}},
    usage=b'{"requests": 3,\n "details": {}}',
    deferred_tool_requests=b'{"calls":[],"approvals":[]}',
    forked_from="other",
    forked_at=samples.entry_id(1),
)


def written(session: Any = WORKED) -> bytes:
    return b"".join(jsonl.pieces(session))


def test_a_session_comes_back_as_it_was():
    found = jsonl.read(written())
    assert found.entries == tuple(WORKED.entries)
    details = WORKED.details
    for name in (
        "session_id agent_id title tags pinned archived metadata created last_modified "
        "deleted deferred_tool_requests head_id branches forked_from forked_at"
    ).split():
        assert getattr(found, name) == getattr(details, name), name
    assert json.loads(found.usage) == json.loads(details.usage)
    assert found.history == WORKED.history
    assert written(samples.again(found)) == written()


def test_every_kind_of_part_of_the_samples_is_one_that_pydantic_ai_reads():
    assert len(messages.read(samples.EVERY_PART)) == len(samples.EVERY_PART)


def test_bodies_keep_their_bytes():
    odd = b'{"kind" : "request", "x":1.50, "x":1e2,"parts":[ ],"more":"\\u00e9\\/\\ud83d\\ude00"}'
    deep = b'{"kind":"other","parts":[],"x":' + b"[" * 178 + b"]" * 178 + b"}"
    session = samples.session(samples.chain(odd, deep))
    assert [entry.body for entry in jsonl.read(written(session)).entries] == [odd, deep]


def test_an_empty_session_comes_back():
    found = jsonl.read(written(samples.session([])))
    assert (found.entries, found.head_id, found.history) == ((), None, [])


def test_no_owner_is_written():
    session = samples.session([], owner="alice@example.com")
    assert b"alice" not in written(session)


def test_a_title_that_was_only_offered_stays_so():
    entries = samples.chain(samples.request(samples.prompt("Tell me")))
    offered = samples.session(entries, title="Tell me", given_title=None)
    assert jsonl.read(written(offered)).title is None


def test_a_long_history_is_written_in_pieces():
    bodies = [samples.request(samples.prompt("x" * 10_000)) for _ in range(100)]
    pieces = list(jsonl.pieces(samples.session(samples.chain(*bodies))))
    assert len(pieces) > 3
    assert max(map(len, pieces)) < messages.PIECE + 20_000


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm():
    data = b"\xef\xbb\xbf" + written().replace(b"\n", b"\r\n") + b"\r\n\n"
    assert jsonl.read(data) == jsonl.read(written())


def test_lines_that_others_wrote_may_have_spaces_and_other_fields():
    lines = [json.loads(line) for line in written().splitlines()][:-1]
    spaced = [json.dumps(line | {"more": {}}).encode() for line in lines]
    found = jsonl.read(closed(spaced))
    assert [json.loads(entry.body) for entry in found.entries] == [
        json.loads(entry.body) for entry in WORKED.entries
    ]
    assert found.metadata == WORKED.details.metadata


def test_new_entry_ids_keep_the_shape():
    found = jsonl.read(written())
    new = found.renewed()
    assert not {e.entry_id for e in found.entries} & {e.entry_id for e in new.entries}
    assert [e.body for e in new.history] == [e.body for e in found.history]
    assert len(new.branches) == 2
    assert new.forked_at == new.entries[1].entry_id


def closed(lines: list[bytes], count: int | None = None) -> bytes:
    """A file of these lines, with the closing line that belongs to them."""
    from hashlib import sha256

    data = b"".join(line + b"\n" for line in lines)
    end = {
        "end": True,
        "entries": len(lines) - 1 if count is None else count,
        "sha256": sha256(data).hexdigest(),
    }
    return data + json.dumps(end).encode() + b"\n"


HEADER: dict[str, Any] = {
    "format": "mythline-session",
    "version": 1,
    "head_id": "e1",
    "branches": [],
}
ENTRY = {"entry_id": "e1", "parent_id": None, "message": {"kind": "request", "parts": []}}
SECOND = ENTRY | {"entry_id": "e2", "parent_id": "e1"}


def made(*lines: dict[str, Any] | bytes) -> bytes:
    return closed([x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines])


def test_the_smallest_file():
    found = jsonl.read(made(HEADER, ENTRY))
    assert found.entries == (StoredEntry("e1", None, b'{"kind": "request", "parts": []}'),)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Nothing there"),
        (b"\n", "Line 1: not JSON"),
        (b"[]\n", "Line 1: not a JSON object"),
        (b"{}\n", "Line 1: `format` is missing"),
        (made(HEADER | {"format": "x"}), "Line 1: the first line must have the format"),
        (made(HEADER | {"version": 2}), "Line 1: version 2 .* Upgrade"),
        (made(HEADER | {"version": True}), "Line 1: `version` must be a whole number"),
        (made(HEADER | {"version": 0}), "Line 1: there is no version 0"),
        (made(HEADER | {"title": "x" * 201}), "Line 1: A title has at most 200"),
        (made(HEADER | {"title": 1}), "Line 1: `title` must be a string"),
        (made(HEADER | {"tags": "x"}), "Line 1: `tags` must be an array"),
        (made(HEADER | {"tags": ["x", 1]}), "Line 1: `tags` must be an array of strings"),
        (made(HEADER | {"tags": ["x"] * 51}), "Line 1: A session has at most 50 tags"),
        (made(HEADER | {"tags": [""]}), "Line 1: A session has at most 50 tags"),
        (made(HEADER | {"metadata": []}), "Line 1: `metadata` must be an object"),
        (made(HEADER | {"metadata": {"x": "y" * 17_000}}), "Line 1: `metadata` has at most 16 KiB"),
        (made(HEADER | {"session_id": "../x"}), "Line 1: Not a session id"),
        (made(HEADER | {"session_id": "latest"}), "Line 1: The session id 'latest' is reserved"),
        (made(HEADER | {"agent_id": "a/b"}), "Line 1: Not an agent id"),
        (made(HEADER | {"forked_from": ".."}), "Line 1: Not a session id"),
        (made(HEADER | {"created": "yesterday"}), "Line 1: not a time"),
        (made(HEADER | {"usage": 3}), "Line 1: `usage` must be an object"),
        (made(HEADER | {"usage": {"x": "y" * (1 << 20)}}), "Line 1: `usage` has more"),
        (made(HEADER | {"head_id": "a b"}, ENTRY), "Line 1: not an entry id"),
        (made(HEADER | {"head_id": "e9"}, ENTRY), "Line 1: there is no entry 'e9'"),
        (made(HEADER | {"branches": ["e9"]}, ENTRY), "Line 1: there is no entry 'e9'"),
        (made(HEADER | {"branches": ["e1", "e1"]}, ENTRY), "Line 1: `branches` has .* twice"),
        (made(HEADER, ENTRY, SECOND), "Neither the head nor a branch leads to the entry 'e2'"),
        (made(HEADER, ENTRY, ENTRY), "Line 3: a second entry 'e1'"),
        (made(HEADER, SECOND, ENTRY), "Line 2: the parent 'e1' must come before"),
        (made(HEADER, ENTRY | {"parent_id": "e1"}), "Line 2: the parent 'e1' must come before"),
        (made(HEADER, ENTRY | {"entry_id": "é"}), "Line 2: not an entry id"),
        (made(HEADER, ENTRY | {"entry_id": "x" * 129}), "Line 2: not an entry id"),
        (made(HEADER, ENTRY | {"entry_id": None}), "Line 2: `entry_id` is missing"),
        (made(HEADER, ENTRY | {"message": None}), "Line 2: .* has no `message`"),
        (made(HEADER, ENTRY | {"message": [1]}), "Line 2: Message 0 is not a Pydantic AI message"),
        (made(HEADER, ENTRY | {"message": {"kind": "x"}}), "Line 2: .* no 'parts'"),
        (made(HEADER, b'{"entry_id":"e1","message":NaN}'), "Line 2: not usable JSON: NaN"),
        (made(HEADER, b'{"entry_id":"e1","entry_id":"e1"}'), "Line 2: 'entry_id' is there twice"),
        (made(HEADER, b'{"entry_id":"e1"} {}'), "Line 2: one JSON value"),
        (made(HEADER, b'{"entry_id":"\xff"}'), "Line 2: not UTF-8"),
        (made(HEADER, b'{"entry_id":"\\ud800"}'), "Line 2: not UTF-8, or half"),
        (made(HEADER, b'{"x":' + b"[" * 100_000), "Line 2: not usable JSON|Line 2: not JSON"),
        (made(HEADER, b'{"x":1' + b"0" * 5000 + b"}"), "Line 2: not usable JSON"),
        (
            made(
                HEADER,
                b'{"entry_id":"e1","parent_id":null,"message":{"kind":"request","parts":[],"x":'
                + b"[" * 181 + b"]" * 181 + b"}}",
            ),
            "Line 2: Nested too deep",
        ),
        (
            made(
                HEADER,
                b'{"entry_id":"e1","parent_id":null,"message":{"kind":"request","parts":[]},'
                b'"message":{"kind":"request","parts":[]}}',
            ),
            "Line 2: 'message' is there twice",
        ),
        (closed([json.dumps(HEADER).encode()], 1), "Line 2: the file has 0 entries"),
        (made(HEADER, ENTRY) + b"{}", "Line 4: something comes after the closing line"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_line(data: bytes, message: str):
    with pytest.raises(InvalidMessages, match=message):
        jsonl.read(data)


@settings(deadline=None)  # machines are slow at times
@given(st.integers(0, len(written()) - 2))
def test_a_file_that_was_cut_off_is_noticed(length: int):
    with pytest.raises(InvalidMessages):
        jsonl.read(written()[:length])


@settings(deadline=None)  # machines are slow at times
@given(st.integers(0, len(written()) - 200), st.sampled_from([b"a", b'"', b"1", b"}"]))
def test_a_changed_byte_is_noticed(place: int, byte: bytes):
    data = written()
    if data[place : place + 1] != byte:
        with pytest.raises(InvalidMessages):
            jsonl.read(data[:place] + byte + data[place + 1 :])


@settings(deadline=None)  # machines are slow at times
@given(st.binary(max_size=300))
@pytest.mark.parametrize(
    "around", [lambda x: x, lambda x: made(HEADER, x.replace(b"\n", b""))]
)  # fmt: skip
def test_any_bytes_are_refused_or_read(around: Callable[[bytes], bytes], data: bytes):
    with pytest.raises(InvalidMessages):
        jsonl.read(around(data))
