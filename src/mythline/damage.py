"""Damage of one session: what stores raise for it, and what of its row can't be read.

Beside its messages a session has tags, metadata, usage and the calls that it waits on, as JSON in
its row. Where that is damaged the session can't be opened; lists show it without.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from .errors import StoreCorrupt

EMPTY: Final[Mapping[str, str | bytes | None]] = {
    "tags": "[]",
    "metadata": "{}",
    "usage": b"{}",
    "deferred": None,
}
"""The columns of a row that hold JSON, and what they hold where there is nothing to tell."""


def of_history() -> StoreCorrupt:
    """The error for a history of which a part is missing, or that leads nowhere."""
    return StoreCorrupt(
        "A part of this session's history is missing; other sessions are not affected. `mythline "
        "doctor` tells what is wrong."
    )


def of_row() -> StoreCorrupt:
    """The error for a session whose tags, metadata, usage or waiting calls can't be read."""
    return StoreCorrupt(
        "What this session has beside its messages can't be read; other sessions are not "
        "affected. `mythline doctor` tells what is wrong, and `--fix` resets what is no JSON."
    )


def tags(text: str) -> tuple[str, ...]:
    """The tags of a row; none if they can't be read."""
    return () if text == "[]" else tuple(_tags(text) or ())


def metadata(text: str) -> dict[str, Any]:
    """The metadata of a row; none if they can't be read."""
    return {} if text == "{}" else _object(text) or {}


def unreadable(row: Any) -> list[str]:
    """Which columns of a row don't hold the JSON that they should."""
    return [
        name
        for name, empty in EMPTY.items()
        if row[name] != empty and (_tags if name == "tags" else _object)(row[name]) is None
    ]


def emptied(row: Any, tags_there: Iterable[str]) -> dict[str, Any]:
    """These columns of a row, empty where they can't be read; tags that can't are those given."""
    names = unreadable(row)
    new = {name: empty if name in names else row[name] for name, empty in EMPTY.items()}
    if "tags" in names:
        new["tags"] = json.dumps(sorted(tags_there), ensure_ascii=False)
    return new


def _tags(text: str) -> list[str] | None:
    found = _json(text)
    if not isinstance(found, list):
        return None
    items = cast("list[Any]", found)
    return items if all(isinstance(item, str) for item in items) else None


def _object(text: str | bytes) -> dict[str, Any] | None:
    found = _json(text)
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
