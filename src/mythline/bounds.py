"""Bounds of what callers may ask for, and of what is done beside the event loop."""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

from . import messages
from .errors import InvalidInput

MAX_LIMIT: Final = 1000
MAX_TITLE: Final = 200
MAX_TAGS: Final = 50
MAX_TAG: Final = 64
MAX_METADATA: Final = 16 << 10
ASIDE: Final = 64 << 10
"""Bytes of JSON from which on it is looked through beside the event loop."""

T = TypeVar("T")


async def aside(size: int, function: Callable[[], T]) -> T:
    """What `function` returns, run beside the event loop if it has `size` bytes to look through."""
    return await asyncio.to_thread(function) if size > ASIDE else function()


def check_limit(limit: int, most: int | None = None) -> None:
    """Raise `InvalidInput` unless `limit` is from 1 to `most`."""
    if limit < 1 or (most is not None and limit > most):
        raise InvalidInput(f"`limit` must be 1 {f'to {most}' if most else 'or more'}.")


def check_known(name: str, given: Iterable[object], known: Sequence[str]) -> None:
    """Raise `InvalidInput`, which names what is known, unless all that is given for `name` is."""
    if not set(given) <= set(known):
        raise InvalidInput(f"`{name}`: known are {', '.join(known)}.")


def check_described(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `title`, `tags`, `pinned`, `archived` and `metadata` that are given, as stored.

    Titles and tags are one line; an empty title is none.

    Raises:
        InvalidInput: If one isn't.
    """
    plain: dict[str, Any] = {}
    if (title := fields.get("title")) is not None:
        plain["title"] = _one_line(title, MAX_TITLE, f"A title has at most {MAX_TITLE} characters.")
    if (tags := fields.get("tags")) is not None:
        wrong = f"A session has at most {MAX_TAGS} tags of 1 to {MAX_TAG} characters each."
        if isinstance(tags, str) or len(tags) > MAX_TAGS:
            raise InvalidInput(wrong)
        plain["tags"] = sorted({_one_line(tag, MAX_TAG, wrong) for tag in tags})
        if "" in plain["tags"]:
            raise InvalidInput(wrong)
    for name in ("pinned", "archived"):
        if name in fields:
            plain[name] = bool(fields[name])
    if (metadata := fields.get("metadata")) is not None:
        if not isinstance(metadata, Mapping):
            raise InvalidInput("`metadata` must be a JSON object.")
        plain["metadata"] = dict(cast("Mapping[str, Any]", metadata))
    try:
        dumped = messages.dump_plain(plain)
        json.dumps(plain.get("metadata"), allow_nan=False, default=str)  # `null` for it is a loss
    except (TypeError, ValueError, RecursionError):
        raise InvalidInput("`metadata` must be a JSON object.") from None
    body = messages.dump_plain(plain.get("metadata", {}))
    if len(body) > MAX_METADATA:
        raise InvalidInput("`metadata` has at most 16 KiB as JSON.")
    if messages.depth(body) > messages.MAX_DEPTH:
        raise InvalidInput(f"`metadata` nests at most {messages.MAX_DEPTH} levels deep.")
    described: dict[str, Any] = json.loads(dumped)
    if "title" in fields:
        described["title"] = described.get("title") or None
    return described


def looked_for(text: str | None) -> str | None:
    """A text to look for, with U+FFFD for half of a surrogate pair, which no store can keep."""
    if text is None:
        return None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _one_line(text: object, most: int, wrong: str) -> str:
    if not isinstance(text, str):
        raise InvalidInput(wrong)
    line = " ".join("".join(map(_visible, text)).split())
    if len(line) > most:
        raise InvalidInput(wrong)
    return line


def _visible(character: str) -> str:
    return " " if unicodedata.category(character) == "Cc" else character
