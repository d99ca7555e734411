"""The door to all formats."""

import subprocess
import sys
from typing import Any, cast, get_args

import pytest

from mythline import formats, messages
from mythline.errors import InvalidInput
from tests.formats import samples

TALK = samples.session(
    [
        *samples.chain(*samples.EVERY_PART),
        *samples.chain(samples.response(samples.text("No.")), start=20, after=samples.entry_id(0)),
    ],
    head_id=samples.entry_id(3),
    branches=(samples.entry_id(5), samples.entry_id(20)),
)


def exported(name: Any) -> bytes:
    return b"".join(formats.export(TALK, name))


def test_every_format_is_written():
    assert exported("json") == messages.view(samples.EVERY_PART[:4])
    assert exported("jsonl").startswith(b'{"format":"mythline-session"')
    assert exported("markdown").startswith(b"# one\n")
    assert exported("html").startswith(b"<!DOCTYPE html>")
    assert set(formats.EXPORTS) == set(get_args(formats.ExportFormat))


def test_the_formats_of_programs_come_back():
    (whole,) = formats.read(exported("jsonl"))
    assert whole.entries == tuple(TALK.entries)
    (history,) = formats.read(exported("json"), "abc.json")
    assert [entry.body for entry in history.history] == samples.EVERY_PART[:4]
    assert history.session_id == "abc"


def test_an_unknown_format_is_refused_with_those_that_are_known():
    with pytest.raises(InvalidInput, match="Known are: json, jsonl, markdown, html"):
        formats.export(TALK, cast("Any", "docx"))


def test_public_names_are_there():
    for name in formats.__all__:
        assert getattr(formats, name) is not None
    with pytest.raises(AttributeError):
        _ = formats.nothing


def test_exports_of_programs_import_nothing_heavy():
    """A list, or an export of one session, starts at once."""
    code = """
import sys
from mythline.formats import ExportedSession, export
import mythline.formats.archive, mythline.formats.jsonl, mythline.formats.blocks
heavy = {"pydantic_ai", "markdown_it", "nh3", "zstandard", "fastapi"} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_kind_of_part_that_pydantic_ai_has_goes_through_jsonl():
    """Also those of a newer one: the bytes aren't looked into beyond their form."""
    from pydantic_ai.messages import ModelRequestPart, ModelResponsePart

    kinds = {
        part.__dataclass_fields__["part_kind"].default
        for union in (ModelRequestPart, ModelResponsePart)
        for part in parts_of(union)
    }
    assert {"user-prompt", "tool-call", "speech", "compaction"} <= kinds
    bodies = [
        messages.dump_plain({"kind": "request", "parts": [{"part_kind": kind, "content": "x"}]})
        for kind in [*sorted(kinds), "of-the-future"]
    ]
    talk = samples.session(samples.chain(*bodies))
    (found,) = formats.read(b"".join(formats.export(talk, "jsonl")))
    assert [entry.body for entry in found.entries] == bodies
    for name in ("markdown", "html"):
        page = b"".join(formats.export(talk, name)).decode()
        assert page.count("which this version can") == 1, name


def parts_of(union: Any) -> list[Any]:
    """The classes in a nested, annotated union."""
    if "part_kind" in getattr(union, "__dataclass_fields__", {}):
        return [union]
    return [part for inner in get_args(union) for part in parts_of(inner)]
