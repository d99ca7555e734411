"""Content blocks as Anthropic's API has them, for what claude.ai and Claude Code keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from . import parts as make
from .building import Node, Tokens
from .values import args, arr, obj, plain_text, text, whole

Run = tuple[Literal["request", "response"], list[Any]]


def said_by_user(content: Any, skipped: Counter[str]) -> list[Any]:
    """The parts of a user's message: results of tools, and what the person said."""
    if isinstance(content, str):
        return make.said(content)
    results: list[Any] = []
    said: list[Any] = []
    for value in arr(content):
        block = obj(value)
        kind = text(block.get("type"))
        if kind == "tool_result":
            results += _result(block, text(block.get("tool_use_id")), skipped)
        else:
            said += _content(block, skipped)
    return [*results, *make.said(said)]


def said_by_model(content: Any, skipped: Counter[str], name: str) -> Iterator[Run]:
    """What a model's message says, in runs: results in it stand between what it said.

    `name` makes the ids of calls that have none.
    """
    run: list[Any] = []
    results: list[Any] = []
    open_calls: dict[str, None] = {}  # in their order
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else arr(content)
    for number, value in enumerate(blocks):
        block = obj(value)
        kind = text(block.get("type"))
        if kind == "tool_result" or kind.endswith("_tool_result"):
            call_id = text(block.get("tool_use_id"))
            call_id = call_id or next(iter(open_calls), "")
            open_calls.pop(call_id, None)
            results += _result(block, call_id, skipped)
            continue
        if results:
            yield "response", run
            yield "request", results
            run, results, open_calls = [], [], {}
        if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
            call_id = text(block.get("id")) or f"{name}-{number}"
            open_calls[call_id] = None
            run += make.call(text(block.get("name")), args(block.get("input")), call_id)
        elif kind == "thinking":
            run += make.thought(text(block.get("thinking")))
        else:
            for item in _content(block, skipped):
                run += make.answered(
                    item if isinstance(item, str) else make.note("file", item.kind)
                )
    yield "response", run
    if results:
        yield "request", results


def chained(node_id: str, parent: str | None, runs: Iterator[Run], model: Node) -> Iterator[Node]:
    """A message's runs as nodes; the last has the message's id, so that others follow it."""
    found = list(runs)
    before = parent
    for number, (kind, parts) in enumerate(found):
        last = number == len(found) - 1
        here = node_id if last else f"{node_id}#{number}"
        is_response = kind == "response"
        yield Node(
            here,
            before,
            kind,
            parts,
            model.time,
            model.model if is_response else None,
            model.tokens if number == 0 else None,
            model.group if len(found) == 1 else None,
        )
        before = here


def _content(block: dict[str, Any], skipped: Counter[str]) -> list[Any]:
    match text(block.get("type")):
        case "text":
            return [text(block.get("text"))]
        case "voice_note":
            return [text(block.get("text")) or text(block.get("title"))]
        case "image" | "document":
            source = obj(block.get("source"))
            if source.get("type") == "url":
                return [make.picture(text(source.get("url")))]
            if source.get("type") == "text":
                return [text(source.get("data"))]
            if "data" in source:
                return [make.binary(text(source["data"]), text(source.get("media_type")))]
            return [make.note(text(block.get("type")))]
        case kind:
            skipped[f"content {kind or 'of no type'}"] += 1
            return []


def _result(block: dict[str, Any], call_id: str, skipped: Counter[str]) -> list[Any]:
    content = block.get("content")
    if isinstance(content, list):
        texts: list[str] = []
        for value in arr(content):
            inner = obj(value)
            if inner.get("type") in ("text", "image", "document"):
                found = _content(inner, skipped)
                texts += [x if isinstance(x, str) else make.note("file", x.kind) for x in found]
            else:
                texts.append(plain_text(value))
        said = "\n\n".join(line for line in texts if line)
    else:
        said = plain_text(content)
    outcome = "failed" if block.get("is_error") is True else "success"
    return make.result(text(block.get("name")), said, call_id, outcome=outcome)


def usage(value: Any) -> Tokens | None:
    """Tokens of a message; those read from and written to a cache count as read."""
    found = obj(value)
    cached = whole(found.get("cache_read_input_tokens"))
    kept = whole(found.get("cache_creation_input_tokens"))
    read = whole(found.get("input_tokens")) + cached + kept
    written = whole(found.get("output_tokens"))
    return Tokens(read, written, cached, kept) if read or written else None
