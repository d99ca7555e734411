"""The texts of a message that a search looks through, by whose words they are.

Prompts, the model's text, and what tools returned; not thinking, instructions or the arguments
of tool calls. Pictures and files have no text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

from . import legacy
from .messages import content_text, said_at, stored_at
from .search import SearchRole

log = logging.getLogger("mythline")

ROLES: Final[tuple[SearchRole, ...]] = ("user", "assistant", "tool")
MAX_TEXT: Final = 256 << 10
"""Characters of a message that are looked through; what comes after them is not found."""

_RETURNS: Final = {"tool-return", "builtin-tool-return"}


class Said(NamedTuple):
    """What was said in a message, by role, and when: microseconds since 1970, or `None`."""

    texts: dict[SearchRole, str]
    time: int | None


def said(body: bytes) -> Said:
    """The texts of a stored message. A role without text is left out."""
    if legacy.may_be_legacy(body):
        (body,) = legacy.upgrade([body])
    message: dict[str, Any] = json.loads(body)
    found: dict[SearchRole, list[str]] = {}
    left = MAX_TEXT
    for part in cast("list[dict[str, Any]]", message["parts"]):
        for role, text in _of_part(part):
            if text and left > 0:
                found.setdefault(role, []).append(text[:left])
                left -= len(text)
    return Said({role: "\n".join(texts) for role, texts in found.items()}, said_at(message))


class Told(NamedTuple):
    """What was said in an entry, by role, and when, or else when it was stored."""

    texts: dict[SearchRole, str]
    time: int


def told(entry_id: str, body: bytes) -> Told:
    """The texts of an entry; none if another program wrote it in a way of its own."""
    try:
        texts, time = said(body)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        log.warning("the texts of a message can't be told, and are not searched: %r", error)
        texts, time = dict[SearchRole, str](), None
    return Told(texts, stored_at(entry_id) if time is None else time)


def _of_part(part: dict[str, Any]) -> Iterator[tuple[SearchRole, str]]:
    kind, content = part["part_kind"], part.get("content")
    if kind == "user-prompt":
        yield "user", content_text(content)
    elif kind == "text":
        yield "assistant", content_text(content)
    elif kind == "speech":
        role: SearchRole = "user" if part.get("speaker") == "user" else "assistant"
        yield role, content_text(part.get("transcript"))
    elif kind in _RETURNS or (kind == "retry-prompt" and part.get("tool_name")):
        for text in _plain(content):
            yield "tool", text


def _plain(value: Any) -> Iterator[str]:
    """What a tool returned, without the data of files: text, or the lines of something else."""
    if isinstance(value, str):
        if not value.startswith("data:"):
            yield value
    elif isinstance(value, list):
        for item in cast("list[Any]", value):
            yield from _plain(item)
    elif isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        for name, item in () if fields.get("kind") == "binary" else fields.items():
            if isinstance(item, list | dict):
                yield name
                yield from _plain(cast("Any", item))
            else:
                for text in _plain(item):
                    yield f"{name}: {text}"
    elif value is not None:
        yield json.dumps(value)
