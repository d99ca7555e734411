"""Codex's session files: `~/.codex/sessions/**/rollout-*.jsonl`.

Each line is `{"timestamp", "type", "payload"}`; files before September 2025 have the bare items
after a first line with the session's id. What the program told the model beside the prompts is left
out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from . import openai
from .building import About, Node, assemble, linear
from .types import ImportedSession
from .values import arr, moment, obj, text

_ENVELOPES: Final = {"session_meta", "response_item", "turn_context", "event_msg", "compacted"}
_CONTEXT: Final = (
    "<environment_context>",
    "<user_instructions>",
    "<permissions",
    "<turn_aborted>",
    "<collaboration_mode>",
    "<skill",
    "# AGENTS.md instructions",
)


def is_line(value: Any) -> bool:
    """Whether a line has the form of one of these files."""
    found = obj(value)
    if text(found.get("type")) in _ENVELOPES:
        return isinstance(found.get("payload"), dict)
    return found.get("record_type") == "state"


def is_old_header(value: Any) -> bool:
    """Whether a line is the first of an old file."""
    found = obj(value)
    return (
        "type" not in found
        and "role" not in found
        and isinstance(found.get("id"), str)
        and isinstance(found.get("timestamp"), str)
    )


def read(lines: Sequence[Any]) -> ImportedSession:
    """The session of a file's lines."""
    about = About(source="codex", metadata={"imported_from": "codex"})
    return assemble(linear(list(_nodes(lines, about))), None, about)


def _nodes(lines: Sequence[Any], about: About) -> Iterator[Node]:
    model: str | None = None
    response: Node | None = None
    for value in lines:
        line = obj(value)
        kind = text(line.get("type"))
        payload = obj(line.get("payload")) if kind in _ENVELOPES else line
        if kind == "session_meta" or is_old_header(line):
            if about.session_id is None:  # a fork repeats those of its origins
                _describe(payload, about)
        elif kind == "turn_context":
            model = text(payload.get("model")) or model
        elif kind == "event_msg":
            info = obj(payload.get("info"))
            if payload.get("type") == "token_count" and response is not None:
                tokens = openai.usage(info.get("last_token_usage"))
                response.tokens = response.tokens or tokens
        elif kind == "compacted":
            about.skipped[kind] += 1
        elif line.get("record_type") != "state":
            for node in _item(payload, about):
                node.time = moment(line.get("timestamp")) or about.created
                if node.kind == "response":
                    node.model, response = model, node
                yield node


def _describe(meta: dict[str, Any], about: About) -> None:
    about.session_id = meta.get("id")
    about.created = moment(meta.get("timestamp"))
    for name in ("cwd", "originator", "cli_version"):
        about.metadata[name] = text(meta.get(name))[:1000]
    about.metadata["branch"] = text(obj(meta.get("git")).get("branch"))[:1000]


def _item(item: dict[str, Any], about: About) -> Iterator[Node]:
    role = text(item.get("role"))
    if role in ("system", "developer") or (role == "user" and _is_context(item.get("content"))):
        about.skipped["context"] += 1
        return
    if not openai.is_message(item):
        about.skipped[f"item {text(item.get('type')) or 'of no type'}"] += 1
        return
    yield from openai.nodes_of(item, about.skipped)


def _is_context(content: Any) -> bool:
    first = text(content) or next((text(obj(part).get("text")) for part in arr(content)), "")
    return first.lstrip().startswith(_CONTEXT)
