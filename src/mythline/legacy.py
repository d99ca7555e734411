"""Messages of older Pydantic AI versions, in the form that the installed one reads.

What is stored keeps its bytes; this happens each time messages become objects.

| written by | what | becomes |
|---|---|---|
| 0.0.13–0.0.20 | `args: {"args_dict": {…}}`, `args: {"args_json": "…"}` | what is inside |
| 0.0.13–0.0.44 | `tool_call_id: null` | a made-up id, the same for a call and its answer |
| up to 1.49 | `_media_type`, `_identifier` of a file | the same without underscore |
| 0.7.3–0.8.0 | `provider_request_id` | `provider_response_id` |
| up to 1.49 | bytes of a file as plain text (`to_jsonable_python`) | base64 |

A plain text that is valid base64 as well can't be told apart, and is read as base64. The `requests`
and `total_tokens` of a usage before 0.7.3 are left to Pydantic AI, which counts them itself: one,
and the sum. Up to 0.0.12 messages had a `role` in place of a `kind`; those are no messages here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

_Json = dict[str, Any]

# Begins with one fixed byte, which `re` finds at the speed of `in`; several `in` take longer.
_MARK = re.compile(
    rb'"(?:args_(?:dict|json)"|_(?:identifier|media_type)"\s*:\s*"'
    rb'|provider_request_id"\s*:\s*"|tool_call_id"\s*:\s*null)'
)
_WRAPPERS = {"args_dict": dict, "args_json": str}
_WRAPPING_RESPONSE = frozenset({"kind", "parts", "timestamp", "model_name"})
_WRAPPING_CALL = frozenset({"part_kind", "tool_name", "args", "tool_call_id"})
_NEW_FILE_KEYS = {"_media_type": "media_type", "_identifier": "identifier"}


def may_be_legacy(joined: bytes) -> bool:
    """Whether `upgrade` may change one of these messages, by a search that parses nothing.

    It finds all that Pydantic AI would read wrongly without an error. Plain text in place of bytes
    is not searched for: it is refused when it is validated.

    Args:
        joined: The JSON of any number of messages, one after the other.
    """
    return _MARK.search(joined) is not None


def upgrade(bodies: Sequence[bytes]) -> list[bytes]:
    """The JSON of each message as the installed Pydantic AI reads it, in order.

    A message that needs nothing is returned as the very object that came, and upgrading what was
    upgraded changes nothing. A made-up id depends on the message of the call only, so it is the
    same at each read of any part of the history; an answer without its call gets an id of its own.

    Args:
        bodies: Messages that follow each other in a history, from any point on.
    """
    open_calls: defaultdict[str, list[str]] = defaultdict(list)
    return [_upgraded(body, open_calls) for body in bodies]


def _upgraded(body: bytes, open_calls: defaultdict[str, list[str]]) -> bytes:
    try:
        message: _Json = json.loads(body)
    except (ValueError, RecursionError):  # what Python can't read is left to Pydantic
        return body
    changes = [rule(message) for rule in _RULES]
    changes.append(_fill_ids(message, body, open_calls))
    if not any(changes):
        return body
    return json.dumps(message, separators=(",", ":")).encode()  # ASCII: any string survives


def _unwrap_args(message: _Json) -> bool:
    """0.0.13–0.0.20: a response with those versions' keys only, whose calls are all wrapped.

    Anything else may be a real argument with such a name. The response alone decides, as later
    versions may have continued the history.
    """
    calls = [part for part in _parts(message, "tool-call") if part.get("args") is not None]
    if not message.keys() <= _WRAPPING_RESPONSE:
        return False
    if not all(part.keys() <= _WRAPPING_CALL and _is_wrapped(part["args"]) for part in calls):
        return False
    for part in calls:
        (inner,) = part["args"].values()
        # As a JSON string, arguments that look wrapped themselves are not unwrapped once more.
        part["args"] = json.dumps(inner) if _is_wrapped(inner) else inner
    return bool(calls)


def _is_wrapped(args: Any) -> bool:
    if not isinstance(args, dict) or len(cast("_Json", args)) != 1:
        return False
    ((key, inner),) = cast("_Json", args).items()
    return isinstance(inner, _WRAPPERS.get(key, ()))


def _rename_response_id(message: _Json) -> bool:
    """0.7.3–0.8.0."""
    found = message.get("provider_request_id")
    if not isinstance(found, str) or {"provider_response_id", "vendor_id"} & message.keys():
        return False
    message["provider_response_id"] = message.pop("provider_request_id")
    return True


def _rename_file_keys(message: _Json) -> bool:
    """Up to 1.49: `to_jsonable_python` wrote the names of private fields."""
    changed = False
    for item in _files(message):
        for old, new in _NEW_FILE_KEYS.items():
            if isinstance(item.get(old), str) and new not in item:
                item[new] = item.pop(old)
                changed = True
    return changed


def _encode_bytes(message: _Json) -> bool:
    """Up to 1.49: `to_jsonable_python` wrote bytes that are UTF-8 as that text."""
    changed = False
    for item in _files(message):
        data = item.get("data")
        if item.get("kind") == "binary" and isinstance(data, str) and not _is_base64(data):
            item["data"] = base64.b64encode(data.encode(errors="surrogatepass")).decode()
            changed = True
    return changed


def _is_base64(text: str) -> bool:
    """Whether Pydantic decodes `text`: one of the alphabets, padded or not, no stray bits."""
    bare = text.rstrip("=")
    padded = bare + "=" * (-len(bare) % 4)
    last_two = b"-_" if "-" in bare or "_" in bare else b"+/"
    try:
        again = base64.b64encode(base64.b64decode(padded, last_two), last_two)
    except ValueError:
        return False
    return again.decode() == padded and padded.startswith(text)


def _fill_ids(message: _Json, body: bytes, open_calls: defaultdict[str, list[str]]) -> bool:
    """0.0.13–0.0.44: answers go to the calls of their tool in the response before, in order."""
    if message["kind"] == "response":
        open_calls.clear()
    changed = False
    for index, part in enumerate(message["parts"]):
        kind, tool = part["part_kind"], part.get("tool_name")
        if kind not in ("tool-call", "tool-return", "retry-prompt"):
            continue
        if part.get("tool_call_id") is not None:
            continue
        if kind == "retry-prompt" and tool is None:  # about the output: answers no call
            changed |= part.pop("tool_call_id", ...) is None
            continue
        waiting = open_calls[str(tool)]
        if kind != "tool-call" and waiting:
            part["tool_call_id"] = waiting.pop(0)
        else:
            # The prefix tells Pydantic AI that no provider knows this id.
            digest = hashlib.sha256(b"%d " % index + body).hexdigest()
            part["tool_call_id"] = f"pyd_ai_{digest[:32]}"
        if kind == "tool-call":
            waiting.append(part["tool_call_id"])
        changed = True
    return changed


def _parts(message: _Json, kind: str) -> Iterator[_Json]:
    return (part for part in message["parts"] if part["part_kind"] == kind)


def _files(message: _Json) -> Iterator[_Json]:
    """The items of prompts and the files of answers; a tool's result is the tool's own data."""
    for part in _parts(message, "user-prompt"):
        if isinstance(content := part.get("content"), list):
            items = cast("list[Any]", content)
            yield from (cast("_Json", item) for item in items if isinstance(item, dict))
    for part in _parts(message, "file"):
        if isinstance(content := part.get("content"), dict):
            yield cast("_Json", content)


_RULES: tuple[Callable[[_Json], bool], ...] = (
    _unwrap_args,
    _rename_response_id,
    _rename_file_keys,
    _encode_bytes,
)
