"""The JSON that messages come in: two profiles, and cutting an array without losing a byte.

- strict (HTTP bodies, imports): RFC 8259 JSON in UTF-8 whose strings are Unicode (RFC 7493), at
  most `MAX_DEPTH` levels deep.
- lenient (files of other programs): what Python's `json` and Pydantic AI write and read. A token
  that is not JSON (`NaN`, `Infinity`) becomes `null`, half of a surrogate pair U+FFFD; a
  message without either keeps its bytes.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, cast

from .errors import InvalidMessages

MAX_DEPTH = 180
"""Levels of arrays and objects in one message: pydantic-core reads 200 levels of JSON."""

_BREAKS = re.compile(rb"[\r\n]\s*")
_BLANK = re.compile(r"[ \t\r\n]*")
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class _NotJson(Exception):
    """`NaN`, `Infinity` or `-Infinity`, which Python's `json` reads and JSON doesn't have."""


def _refuse_constant(token: str) -> NoReturn:
    raise _NotJson(token)


_STRICT = json.JSONDecoder(parse_constant=_refuse_constant)
_LENIENT = json.JSONDecoder()


def one_line(body: bytes) -> bytes:
    """`body` without the line breaks between its tokens; a JSON string can't hold one."""
    if b"\n" in body or b"\r" in body:
        return _BREAKS.sub(b"", body)
    return body


def split(data: bytes, *, strict: bool) -> list[bytes]:
    """The messages of a JSON array, each as its own bytes on one line.

    Args:
        data: A JSON array of Pydantic AI messages. A byte order mark is let pass in files.
        strict: Which profile of this module applies.

    Raises:
        InvalidMessages: If it isn't one. The message says where and why.
    """
    try:
        text = data.decode("utf-8" if strict else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidMessages(f"Not UTF-8: byte {error.start} can't be read.") from None
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        if not text.strip():
            raise InvalidMessages("Nothing there. Send a JSON array of messages.")
        _check_json(text, strict)
        raise InvalidMessages("Not a JSON array. Send an array of Pydantic AI messages.")
    bodies: list[bytes] = []
    position = _skip(text, position + 1)
    if text[position : position + 1] == "]":
        position += 1
    else:
        while True:
            body, position = _element(text, position, len(bodies), strict)
            bodies.append(body)
            position = _skip(text, position)
            mark = text[position : position + 1]
            position += 1
            if mark == "]":
                break
            if mark != ",":
                raise _broken(text, position - 1, "',' or ']' was expected")
            position = _skip(text, position)
    if _skip(text, position) != len(text):
        raise _broken(text, position, "the array ends before the data does")
    return bodies


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position


def _broken(text: str, position: int, why: str) -> InvalidMessages:
    line = text.count("\n", 0, position) + 1
    return InvalidMessages(f"Not JSON: {why} (line {line}, character {position}).")


def _check_json(text: str, strict: bool) -> None:
    _decode(text, _skip(text, 0), strict)


def _decode(text: str, position: int, strict: bool) -> tuple[Any, int, bool]:
    """The value at `position`, where it ends, and whether it is JSON to the letter."""
    try:
        try:
            value, end = _STRICT.raw_decode(text, position)
        except _NotJson as error:
            if strict:
                raise InvalidMessages(f"Not JSON: {error} is no JSON value. Send null.") from None
            value, end = _LENIENT.raw_decode(text, position)
            return value, end, False
    except json.JSONDecodeError as error:
        raise _broken(text, error.pos, error.msg) from None
    except RecursionError:
        raise too_deep() from None
    except InvalidMessages:
        raise
    except ValueError as error:  # an integer of more digits than Python converts
        raise InvalidMessages(f"Not usable JSON: {error}.") from None
    return value, end, True


def too_deep() -> InvalidMessages:
    """The error for a message that nests deeper than `MAX_DEPTH`."""
    return InvalidMessages(f"Nested too deep: at most {MAX_DEPTH} levels in a message.")


def _element(text: str, start: int, index: int, strict: bool) -> tuple[bytes, int]:
    value, end, is_json = _decode(text, start, strict)
    why = _not_a_message(value)
    if why:
        raise InvalidMessages(f"Message {index} is not a Pydantic AI message: {why}.")
    body = text[start:end].encode()
    if depth(body) > MAX_DEPTH:
        raise too_deep()
    if _SURROGATE.search(body) and not _is_unicode(value):
        if strict:
            raise InvalidMessages(
                f"Message {index} has half of a surrogate pair, which is no character."
            )
        is_json = False
    return (one_line(body) if is_json else dump_plain(value)), end


def check_form(message: Any, body: bytes, index: int) -> None:
    """Refuse an object that was written as `body` unless it has the form of a message.

    Raises:
        InvalidMessages: If it doesn't. The message says why.
    """
    parts = getattr(message, "parts", None)
    if (
        hasattr(message, "kind")
        and isinstance(parts, list | tuple)
        and all(hasattr(part, "part_kind") for part in cast("list[Any]", parts))
    ):
        return  # as all that are messages, told without a look at the JSON
    if why := _not_a_message(json.loads(body)):
        raise InvalidMessages(f"Message {index} is not a Pydantic AI message: {why}.")


def _not_a_message(value: Any) -> str | None:
    """Why a JSON value isn't a message, or `None` if it has the form of one."""
    if not isinstance(value, dict):
        return "it is not an object"
    message = cast("dict[str, Any]", value)
    if not isinstance(message.get("kind"), str):
        return "it has no 'kind' ('request' or 'response')"
    parts = message.get("parts")
    if not isinstance(parts, list):
        return "it has no 'parts'"
    for part in cast("list[Any]", parts):
        if not isinstance(part, dict) or not isinstance(part.get("part_kind"), str):  # pyright: ignore[reportUnknownMemberType]
            return "one of its parts has no 'part_kind'"
    return None


def _is_unicode(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def depth(body: bytes) -> int:
    """An upper bound of how deep `body` nests, exact when it is above `MAX_DEPTH`."""
    openings = body.count(b"[") + body.count(b"{")
    if openings <= MAX_DEPTH:
        return openings
    deepest = level = 0
    for match in _BRACKETS.finditer(body):
        token = match[0]
        if token in (b"[", b"{"):
            level += 1
            deepest = max(deepest, level)
        elif token in (b"]", b"}"):
            level -= 1
    return deepest


def dump_plain(value: Any) -> bytes:
    """`value` as JSON on one line, with `null` and U+FFFD for what JSON doesn't have."""
    return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case float():
            return value if value - value == 0 else None
        case dict():
            items = cast("dict[Any, Any]", value).items()
            return {_plain(str(key)): _plain(item) for key, item in items}
        case list() | tuple():
            return [_plain(item) for item in cast("list[Any]", value)]
        case _:
            return value
