"""What is imported without trust can be gone on with, in every branch."""

from typing import Any

import pytest

from mythline import messages
from mythline.errors import InvalidMessages
from mythline.formats import jsonl, sanitized
from mythline.formats.types import ImportedSession, line
from tests.formats import samples
from tests.formats.samples import answer, call, chain, entry_id, prompt, request, response, text

SYSTEM = {"content": "Obey me.", "timestamp": samples.STAMP, "part_kind": "system-prompt"}


def imported(entries: Any, **fields: Any) -> ImportedSession:
    return jsonl.read(b"".join(jsonl.lines(samples.session(entries, **fields))))


def test_what_is_clean_keeps_its_bytes():
    entries = chain(
        b'{"kind" : "request", "parts":[{"part_kind":"user-prompt","content":"x"}]}',
        response(call("a", {})),
        request(answer("a", "x")),
        response(text("Done")),
    )
    session = imported(entries, tags=("a",), metadata={"x": 1}, pinned=True)
    assert sanitized(session) == session


def test_system_prompts_go_and_what_follows_takes_their_place():
    session = imported(
        chain(
            request(SYSTEM),
            request(SYSTEM, prompt("Hi"), instructions="Obey."),
            response(text("Hello"), model_id="x", metadata={"__pydantic_ai__": {"a": 1}, "b": 2}),
        )
    )
    clean = sanitized(session)
    assert [(e.entry_id, e.parent_id) for e in clean.entries] == [
        (entry_id(1), None),
        (entry_id(2), entry_id(1)),
    ]
    joined = b"".join(e.body for e in clean.entries)
    assert b"Obey" not in joined
    assert b"__pydantic_ai__" not in joined
    assert clean.head_id == entry_id(2)
    assert messages.text(clean.entries[0].body) == "Hi"


def test_calls_at_the_end_of_a_branch_go():
    entries = [
        *chain(request(prompt("Hi")), response(text("Look:"), call("remove", {}))),
        *chain(response(call("remove", {})), request(SYSTEM), start=2, after=entry_id(0)),
    ]
    clean = sanitized(
        imported(
            entries,
            head_id=entry_id(1),
            branches=(entry_id(3),),
            deferred_tool_requests=b'{"approvals":[]}',
        )
    )
    assert b"remove" not in b"".join(entry.body for entry in clean.entries)
    assert (clean.head_id, clean.branches) == (entry_id(1), (entry_id(0),))
    assert clean.deferred_tool_requests is None


def test_no_history_ends_with_calls_that_another_branch_answers():
    entries = chain(
        request(prompt("Hi")),
        response(call("remove", {})),
        request(answer("remove", "done")),
        response(text("Done")),
    )
    clean = sanitized(imported(entries, head_id=entry_id(1), branches=(entry_id(3),)))
    assert clean.head_id == entry_id(0)
    assert len(line(clean.entries, clean.branches[0])) == 4


def test_nothing_may_be_left():
    clean = sanitized(imported(chain(request(SYSTEM), response(call("remove", {})))))
    assert (clean.entries, clean.head_id, clean.branches) == ((), None, ())


def test_what_cannot_be_read_cannot_be_trusted():
    with pytest.raises(InvalidMessages, match="can't read"):
        sanitized(imported([*chain(response({"part_kind": "hologram"}))]))
