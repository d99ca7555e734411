"""Lists of messages as OpenAI's APIs take and give them, and as many programs keep them.

Chat Completions (`{"role", "content"}`, with `tool_calls`) and items of the Responses API, which
may stand in the same list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from . import parts as make
from .building import About, Node, Tokens, assemble, linear
from .types import ImportedSession
from .values import args, arr, moment, obj, plain_text, text, whole

_ITEMS: Final = frozenset(
    "reasoning function_call function_call_output custom_tool_call custom_tool_call_output "
    "local_shell_call local_shell_call_output web_search_call".split()
)


def is_message(value: Any) -> bool:
    """Whether a value has the form of a message or an item."""
    found = obj(value)
    return isinstance(found.get("role"), str) or text(found.get("type")) in _ITEMS


def read(document: Any) -> ImportedSession:
    """The session of a list, or of an object with such a list as `messages`."""
    about = About(source="openai")
    listed: Any = document
    if isinstance(document, dict):
        outer = obj(document)
        listed = outer["messages"]
        about.session_id = outer.get("id")
        about.title = outer.get("title")
        about.created = moment(outer.get("created_at") or outer.get("created"))
    nodes = [node for item in arr(listed) for node in nodes_of(obj(item), about.skipped)]
    return assemble(linear(nodes), None, about)


def nodes_of(item: dict[str, Any], skipped: Counter[str]) -> Iterator[Node]:
    """What one message or item says, in its order."""
    time = moment(item.get("created_at") or item.get("timestamp") or item.get("create_time"))
    kind = text(item.get("type"))
    if kind in _ITEMS:
        found = _item(kind, item)
    else:
        found = _message(text(item.get("role")), item, skipped)
    model = text(item.get("model")) or None
    tokens = usage(item.get("usage"))
    for where, parts in found:
        is_response = where == "response"
        yield Node(
            "", None, where, parts, time, model if is_response else None,
            tokens if is_response else None,
        )  # fmt: skip
        tokens = None


def _message(role: str, item: dict[str, Any], skipped: Counter[str]) -> Iterator[Any]:
    content = item.get("content")
    match role:
        case "user":
            yield "request", make.said(contents(content, skipped))
        case "system" | "developer":
            yield "request", make.instructed(joined(content, skipped))
        case "assistant":
            thinking = item.get("reasoning_content") or item.get("reasoning")
            parts = make.thought(text(thinking))
            parts += make.answered(joined(content, skipped))
            parts += make.answered(text(item.get("refusal")))
            parts += make.answered(text(obj(item.get("audio")).get("transcript")))
            yield "response", [*parts, *_calls(item, skipped)]
        case "tool" | "function":
            name = text(item.get("name"))
            call_id = text(item.get("tool_call_id")) or name
            is_text = isinstance(content, str | list)
            said = joined(content, skipped) if is_text else plain_text(content)
            yield "request", make.result(name, said, call_id)
        case _:
            skipped[f"role {role or 'missing'}"] += 1


def _calls(item: dict[str, Any], skipped: Counter[str]) -> Iterator[Any]:
    for call in arr(item.get("tool_calls")):
        found = obj(call)
        function = obj(found.get("function")) or obj(found.get("custom"))
        name = text(function.get("name"))
        if not name:
            skipped["call without a name"] += 1
            continue
        given = function.get("arguments", function.get("input"))
        yield from make.call(name, args(given), text(found.get("id")) or name)
    old = obj(item.get("function_call"))
    if name := text(old.get("name")):
        yield from make.call(name, args(old.get("arguments")), name)


def _item(kind: str, item: dict[str, Any]) -> Iterator[Any]:
    call_id = text(item.get("call_id")) or text(item.get("id")) or kind
    match kind:
        case "reasoning":
            said = [*arr(item.get("summary")), *arr(item.get("content"))]
            yield "response", make.thought("\n\n".join(text(obj(x).get("text")) for x in said))
        case "function_call":
            given = args(item.get("arguments"))
            yield "response", make.call(text(item.get("name")), given, call_id)
        case "custom_tool_call":
            yield "response", make.call(text(item.get("name")), args(item.get("input")), call_id)
        case "local_shell_call":
            yield "response", make.call("local_shell", args(item.get("action")), call_id)
        case "web_search_call":
            yield "response", make.call("web_search", args(item.get("action")), call_id)
            yield "request", make.result("", "What it found is not recorded.", call_id)
        case _:
            output = item.get("output")
            failed = obj(output).get("success") is False
            if isinstance(output, dict) and "content" in output:
                output = obj(output)["content"]
            said_ = joined(output, Counter()) if isinstance(output, list) else plain_text(output)
            yield (
                "request",
                make.result("", said_, call_id, outcome="failed" if failed else "success"),
            )


def contents(content: Any, skipped: Counter[str]) -> list[Any]:
    """The content of a message: texts and files."""
    if isinstance(content, str):
        return [content]
    found: list[Any] = []
    for value in arr(content):
        if isinstance(value, str):
            found.append(value)
            continue
        part = obj(value)
        match part.get("type"):
            case "text" | "input_text" | "output_text" | "summary_text" | "reasoning_text":
                inner = part.get("text")
                found.append(text(inner) or text(obj(inner).get("value")))
            case "refusal":
                found.append(text(part.get("refusal")))
            case "image_url" | "input_image":
                image = part.get("image_url")
                address = text(image) or text(obj(image).get("url"))
                found.append(make.picture(address))
            case "input_audio":
                sound = obj(part.get("input_audio"))
                media_type = f"audio/{text(sound.get('format')) or 'wav'}"
                found.append(make.binary(text(sound.get("data")), media_type))
            case "file" | "input_file":
                file = obj(part.get("file")) or part
                data = text(file.get("file_data"))
                name = text(file.get("filename")) or text(file.get("file_id"))
                found.append(make.picture(data) if data else make.note("file", name))
            case kind:
                skipped[f"content {text(kind) or 'of no type'}"] += 1
    return found


def joined(content: Any, skipped: Counter[str]) -> str:
    """The content of a message that has only text; files are named."""
    found = contents(content, skipped)
    texts = [item if isinstance(item, str) else make.note("file", item.kind) for item in found]
    return "\n\n".join(item for item in texts if item)


def usage(value: Any) -> Tokens | None:
    """Tokens of a response, by the names of either API."""
    found = obj(value)
    read = whole(found.get("input_tokens", found.get("prompt_tokens")))
    written = whole(found.get("output_tokens", found.get("completion_tokens")))
    details = obj(found.get("input_tokens_details", found.get("prompt_tokens_details")))
    cached = whole(details.get("cached_tokens")) or whole(found.get("cached_input_tokens"))
    return Tokens(read, written, cached) if read or written else None
