"""Cursors of lists: the row that a page ended with, by what the list is sorted by."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Final

from .errors import InvalidCursor

END: Final = 2**63 - 1


def encode(name: str, group: str, key: int | str, number: int) -> str:
    """A cursor: the list's name, its group of rows, and the last row's key and number."""
    data = json.dumps([name, group, key, number], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(
    cursor: str, name: str, groups: Sequence[str], kind: type[int] | type[str]
) -> tuple[str, int | str, int]:
    """Group, key and number of a cursor that a list of this name, groups and kind of keys gave.

    Raises:
        InvalidCursor: If none did.
    """
    wrong = InvalidCursor("No such list gave this cursor. Start again without one.")
    try:
        data = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        found, group, key, number = json.loads(data)
    except (ValueError, TypeError, RecursionError):
        raise wrong from None
    fits = type(key) is kind and type(number) is int
    if found != name or group not in groups or not fits:
        raise wrong
    if any(abs(value) > END for value in (key, number) if isinstance(value, int)):
        raise wrong
    return group, key, number
