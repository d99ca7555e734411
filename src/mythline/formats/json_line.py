"""A line of `jsonl`: one JSON object, whose members keep the bytes they came in."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NoReturn, TypeVar, cast

from ..errors import InvalidMessages

OBJECT: Final = cast("type[dict[str, Any]]", dict)
_ARRAY: Final = cast("type[list[Any]]", list)
_SPACE = re.compile(r"[ \t\r\n]*")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_MAX_CARRIED: Final = 1 << 20
"""Bytes of the usage, and of the calls that a session waits on."""

T = TypeVar("T")


def shown(value: str) -> str:
    """`value` for an error's message: ASCII, and not long."""
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."


class Fields:
    """The members of the JSON object on a line, with the bytes that each came in."""

    def __init__(self, line: bytes) -> None:
        text = _json_text(line)
        start = _skip(text, 0)
        if text[start : start + 1] != "{":
            raise InvalidMessages("not a JSON object")
        self._values: dict[str, tuple[Any, bytes]] = {}
        position = _skip(text, start + 1)
        while text[position : position + 1] != "}":
            key, position = _value(text, position)
            position = _skip(text, position) + 1  # the colon
            position = _skip(text, position)
            value, end = _value(text, position)
            if key in self._values:
                raise InvalidMessages(f"{shown(key)} is there twice")
            self._values[key] = value, text[position:end].encode()
            position = _skip(text, end)
            if text[position : position + 1] == ",":
                position = _skip(text, position + 1)

    def has(self, key: str) -> bool:
        """Whether there is a member `key`."""
        return key in self._values

    def raw(self, key: str) -> bytes | None:
        """The bytes of a member, or `None` if it is missing or null."""
        value, raw = self._values.get(key, (None, b""))
        return None if value is None else raw

    def raw_object(self, key: str) -> bytes | None:
        """The bytes of a member that must be an object, or `None`."""
        raw = self.raw(key)
        if raw is not None and not raw.startswith(b"{"):
            raise InvalidMessages(f"`{key}` must be an object")
        if raw is not None and len(raw) > _MAX_CARRIED:
            raise InvalidMessages(f"`{key}` has more than 1 MiB")
        return raw

    def find(self, key: str, kind: type[T]) -> T | None:
        """The member `key`, which must be a `kind`; `None` if it is missing or null."""
        value, _ = self._values.get(key, (None, b""))
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InvalidMessages(f"`{key}` must be {_KINDS[kind]}")
        return value

    def get(self, key: str, kind: type[T]) -> T:
        """The member `key`, which must be there and a `kind`."""
        value = self.find(key, kind)
        if value is None:
            raise InvalidMessages(f"`{key}` is missing")
        return value

    def texts(self, key: str) -> list[str]:
        """The member `key`, which must be an array of strings; none if it is missing."""
        value = self.find(key, _ARRAY) or []
        if not all(isinstance(item, str) for item in value):
            raise InvalidMessages(f"`{key}` must be an array of strings")
        return value


_KINDS: Final[dict[type, str]] = {
    str: "a string",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "an array",
}


def _json_text(line: bytes) -> str:
    """The text of a line that is one JSON value to the letter, of real characters."""
    try:
        text = line.decode()
        value, end = _DECODER.raw_decode(text, _skip(text, 0))
        if _SURROGATE.search(line):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InvalidMessages(f"not JSON: {error.msg} (character {error.pos})") from None
    except UnicodeError:
        raise InvalidMessages("not UTF-8, or half of a surrogate pair in it") from None
    except (ValueError, RecursionError) as error:  # a constant, too many digits, too deep
        raise InvalidMessages(f"not usable JSON: {error}") from None
    if _skip(text, end) != len(text):
        raise InvalidMessages("one JSON value belongs on a line")
    return text


def _refuse_constant(token: str) -> NoReturn:
    raise ValueError(f"{token} is no JSON value")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _value(text: str, position: int) -> tuple[Any, int]:
    return _DECODER.raw_decode(text, position)
