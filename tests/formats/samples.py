"""Sessions to write and read: every kind of part, branches, odd bytes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from mythline.formats.types import ExportedSession, ImportedSession
from mythline.models import SessionDetails, StoredEntry

CREATED = datetime(2026, 3, 1, 12, 30, 15, 250_001, tzinfo=UTC)
CHANGED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STAMP = "2026-03-01T12:30:15.250001Z"


def entry_id(number: int) -> str:
    return f"01957a00-0000-7000-8000-{number:012x}"


def request(*parts: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"parts": parts, "kind": "request", "timestamp": STAMP, **fields}).encode()


def response(*parts: dict[str, Any], **fields: Any) -> bytes:
    message = {"parts": parts, "kind": "response", "timestamp": STAMP, "model_name": "test-1"}
    return json.dumps(message | fields).encode()


def prompt(content: Any) -> dict[str, Any]:
    return {"content": content, "timestamp": STAMP, "part_kind": "user-prompt"}


def text(content: str) -> dict[str, Any]:
    return {"content": content, "part_kind": "text"}


def call(name: str, args: Any, call_id: str = "c1") -> dict[str, Any]:
    return {"tool_name": name, "args": args, "tool_call_id": call_id, "part_kind": "tool-call"}


def answer(name: str, content: Any, call_id: str = "c1", **fields: Any) -> dict[str, Any]:
    return {
        "tool_name": name,
        "content": content,
        "tool_call_id": call_id,
        "timestamp": STAMP,
        "part_kind": "tool-return",
        **fields,
    }


def chain(*bodies: bytes, start: int = 0, after: str | None = None) -> list[StoredEntry]:
    """Entries, each after the one before."""
    made: list[StoredEntry] = []
    for number, body in enumerate(bodies, start):
        made.append(StoredEntry(entry_id(number), made[-1].entry_id if made else after, body))
    return made


def details(**fields: Any) -> SessionDetails:
    fields = {"given_title": fields.get("title")} | fields
    base = SessionDetails(
        agent_id="helper",
        session_id="one",
        owner=None,
        title=None,
        preview="",
        tags=(),
        pinned=False,
        archived=False,
        created=CREATED,
        last_modified=CHANGED,
        message_count=0,
        size=0,
        revision="r1",
        head_id=None,
        usage=b"{}",
        deferred_tool_requests=None,
        branches=(),
        forked_from=None,
        forked_at=None,
        metadata={},
    )
    return dataclasses.replace(base, **fields)


def session(entries: Sequence[StoredEntry], **fields: Any) -> ExportedSession:
    head = entries[-1].entry_id if entries else None
    return ExportedSession(details(**({"head_id": head} | fields)), entries)


def again(found: ImportedSession, **fields: Any) -> ExportedSession:
    """What was imported, as it would be exported where it was stored."""
    carried = {
        name: getattr(found, name)
        for name in (
            "title tags pinned archived metadata created last_modified deleted usage "
            "deferred_tool_requests head_id branches forked_from forked_at"
        ).split()
    }
    named = {"session_id": found.session_id, "agent_id": found.agent_id}
    return ExportedSession(details(**carried | named | fields), found.entries)


PNG = "iVBORw0KGgo="
BINARY = {"data": PNG, "media_type": "image/png", "kind": "binary", "identifier": "a1b2c3"}

EVERY_PART = [
    request(
        {"content": "Be kind.", "timestamp": STAMP, "part_kind": "system-prompt"},
        prompt(
            [
                "What is this? 你好 \u0000 \U0001f600",
                {"url": "https://example.com/a.png", "kind": "image-url"},
                {"url": "https://example.com/a.mp3", "kind": "audio-url"},
                {"url": "https://example.com/a.mp4", "kind": "video-url"},
                {"url": "https://example.com/a.pdf", "kind": "document-url"},
                BINARY,
                {"content": "marked", "metadata": {"x": 1}, "kind": "text-content"},
                {"kind": "cache-point", "ttl": "5m"},
                {"file_id": "file-1", "provider_name": "openai", "kind": "uploaded-file"},
            ]
        ),
        instructions="Answer briefly.",
        run_id="run-1",
        metadata={"trace": [1, None]},
    ),
    response(
        {"content": "Hm.", "signature": "s==", "provider_name": "x", "part_kind": "thinking"},
        {"content": "A picture.", "id": "t1", "part_kind": "text"},
        call("look", {"path": "a/b", "deep": [1, {"x": None}]}),
        call("ask", '{"question":"?"}', "c2"),
        {
            "tool_name": "web_search",
            "args": {"query": "x"},
            "tool_call_id": "b1",
            "part_kind": "builtin-tool-call",
        },
        {
            "tool_name": "web_search",
            "content": [{"url": "https://example.com"}],
            "tool_call_id": "b1",
            "timestamp": STAMP,
            "part_kind": "builtin-tool-return",
        },
        {"content": BINARY, "part_kind": "file"},
        usage={"input_tokens": 12, "output_tokens": 3, "details": {"reasoning_tokens": 1}},
        provider_details={"finish_reason": "tool_use"},
        finish_reason="tool_call",
    ),
    request(
        answer("look", {"found": True}, metadata={"ms": 3}),
        {
            "content": "Fix the errors and try again.",
            "tool_name": "ask",
            "tool_call_id": "c2",
            "timestamp": STAMP,
            "part_kind": "retry-prompt",
        },
    ),
    response(call("ask", {"question": "Really?"}, "c3"), state="interrupted"),
    request(answer("ask", "No result.", "c3", outcome="interrupted")),
    response({"content": "Summary of it all.", "part_kind": "compaction"}, text("Done.")),
]
