"""A session as a person reads it, for `markdown` and `html`: sections of blocks.

Calls come with their results, whatever message those are in. Works on the stored JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from ..models import Attachment, StoredEntry, TranscriptItem
from ..transcript import opened
from .types import ExportedSession

Kind = Literal["user", "assistant", "system", "unreadable"]


@dataclass(slots=True)
class Text:
    """Something said, in Markdown; or thought."""

    content: str
    is_thinking: bool = False


@dataclass(slots=True)
class Files:
    """Pictures, files and links."""

    attachments: tuple[Attachment, ...]


@dataclass(slots=True)
class Result:
    """What a tool gave back; `state` is set unless it simply did."""

    content: str
    attachments: tuple[Attachment, ...] = ()
    state: str | None = None


@dataclass(slots=True)
class Call:
    """A call of a tool with its result, or why there is none; or a result without its call."""

    name: str
    args: str | None
    result: Result | None = None
    state: str | None = None


@dataclass(slots=True)
class Section:
    """What one message adds for a reader."""

    kind: Kind
    timestamp: str | None = None
    model: str | None = None
    state: str | None = None
    usage: str | None = None
    blocks: list[Text | Files | Call] = field(default_factory=list["Text | Files | Call"])


def sections(session: ExportedSession) -> Iterator[Section]:
    """The sections of the current history, oldest first."""
    waiting = _waiting(session.details.deferred_tool_requests)
    held: list[Section] = []  # until the results of their calls can't come any more
    open_calls: dict[str, Call] = {}
    for entry in session.history:
        message, items = opened(entry)
        if message["kind"] == "response":
            yield from _closed(held, open_calls, waiting)
            held, open_calls = [], {}
        held.extend(_sections(entry, message, items, open_calls))
    yield from _closed(held, open_calls, waiting)


def _closed(
    held: list[Section], open_calls: dict[str, Call], waiting: Mapping[str, str]
) -> list[Section]:
    for call_id, call in open_calls.items():
        if call.result is None:
            call.state = waiting.get(call_id, "no result")
    return held


def _sections(
    entry: StoredEntry,
    message: dict[str, Any],
    items: list[tuple[dict[str, Any], TranscriptItem]],
    open_calls: dict[str, Call],
) -> list[Section]:
    """The sections of one message; its results go to the calls that are open."""
    is_response = message["kind"] == "response"
    made: list[Section] = []
    for part, item in items:
        if item.role == "tool-return":
            _answer(part, item, open_calls, made)
            continue
        kind = _KINDS.get(item.role, "assistant")
        if not made or made[-1].kind != kind:
            made.append(Section(kind, item.timestamp))
        section = made[-1]
        if item.role == "tool-call":
            call = Call(item.tool_name or "?", readable(part.get("args")))
            section.blocks.append(call)
            if item.tool_call_id is not None:
                open_calls[item.tool_call_id] = call
            continue
        if item.content:
            section.blocks.append(Text(item.content, item.role == "thinking"))
        if item.attachments:
            section.blocks.append(Files(item.attachments))
    state = _STATES.get(str(message.get("state")))
    if is_response:
        made = made or [Section("assistant", _text(message.get("timestamp")))]
        for section in made:
            section.model = _text(message.get("model_name"))
        made[-1].usage = usage_line(message.get("usage"))
        state = state or _FINISHES.get(str(message.get("finish_reason")))
    if made and state:
        made[-1].state = state
    return made


_KINDS: Final[dict[str, Kind]] = {
    "user": "user",
    "system": "system",
    "unreadable": "unreadable",
}
_STATES: Final = {
    "incomplete": "incomplete",
    "suspended": "suspended",
    "interrupted": "interrupted",
}
_FINISHES: Final = {
    "length": "cut off: the limit of tokens was reached",
    "content_filter": "stopped by a content filter",
    "error": "failed",
}
_OUTCOMES: Final = {
    "failed": "failed",
    "denied": "denied",
    "interrupted": "interrupted",
    "retried": "to be tried again",
}


def _answer(
    part: dict[str, Any],
    item: TranscriptItem,
    open_calls: dict[str, Call],
    made: list[Section],
) -> None:
    outcome = "retried" if part["part_kind"] == "retry-prompt" else str(part.get("outcome"))
    state = _OUTCOMES.get(outcome)
    result = Result(readable(part.get("content")), item.attachments, state)
    call = open_calls.get(item.tool_call_id or "")
    if call is not None and call.result is None:
        call.result = result
        return
    orphan = Call(item.tool_name or "?", None, result)
    made.append(Section("assistant", item.timestamp, blocks=[orphan]))


def _waiting(deferred: bytes | None) -> dict[str, str]:
    """What the calls wait for that a session has no result of yet, by their id."""
    found: dict[str, str] = {}
    requests = json.loads(deferred) if deferred else None
    if isinstance(requests, dict):
        for field_name, state in (
            ("calls", "waiting for its result"),
            ("approvals", "waiting for approval"),
        ):
            calls = cast("dict[str, Any]", requests).get(field_name)
            for call in cast("list[Any]", calls if isinstance(calls, list) else []):
                if isinstance(call, dict):
                    found[str(cast("dict[str, Any]", call).get("tool_call_id"))] = state
    return found


def readable(value: Any) -> str:
    """Arguments or a result as text; JSON is indented, what files hold is left out."""
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return value
        else:
            return value
    if value is None:
        return ""
    if isinstance(value, list):
        items = [item for item in cast("list[Any]", value) if not _is_file(item)]
        if items and all(isinstance(item, str) for item in items):
            return "\n".join(items)
        value = items
        if not items:
            return ""
    if _is_file(value):
        return ""
    return json.dumps(value, ensure_ascii=False, indent=2)


def _is_file(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    kind = cast("dict[str, Any]", value).get("kind")
    return isinstance(kind, str) and (kind in ("binary", "uploaded-file") or kind.endswith("-url"))


def usage_line(usage: Any) -> str | None:
    """Tokens of a response or of all of them, in words; `None` if nothing is known."""
    if not isinstance(usage, dict):
        return None
    numbers = cast("dict[str, Any]", usage)
    names = (
        ("requests", "requests"),
        ("tool_calls", "tool calls"),
        ("input_tokens", "tokens in"),
        ("cache_read_tokens", "of them cached"),
        ("output_tokens", "tokens out"),
    )
    found = [
        f"{numbers[key]:,} {name}"
        for key, name in names
        if isinstance(numbers.get(key), int) and numbers[key]
    ]
    return ", ".join(found) or None


def file_line(file: Attachment) -> tuple[str, str]:
    """How to name a file, and what there is to say of it: media type and size."""
    named = file.name or (file.url if file.url and not file.url.startswith("data:") else None)
    said = [file.media_type or file.kind.replace("-", " ")]
    if file.size is not None:
        said.append(f"{file.size:,} bytes")
    return named or "file", ", ".join(said)


def facts(session: ExportedSession) -> list[tuple[str, str]]:
    """What stands above the messages: names and values, in their order."""
    found = session.details
    usage = json.loads(found.usage)
    told = [
        ("Agent", found.agent_id),
        ("Session", found.session_id),
        ("Created", when(found.created.isoformat())),
        ("Last modified", when(found.last_modified.isoformat())),
        ("Messages", f"{len(session.history):,}"),
        ("Tags", ", ".join(found.tags)),
        ("Usage", usage_line(usage) or ""),
        ("Branches that it left", str(len(found.branches)) if found.branches else ""),
        ("Forked from", found.forked_from or ""),
    ]
    return [(name, value) for name, value in told if value]


def when(timestamp: str | None) -> str:
    """An RFC 3339 time as people read it, to the second; as it is if it is none."""
    if timestamp is None:
        return ""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(timestamp).astimezone(UTC)
    except (ValueError, OverflowError):
        return timestamp
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
