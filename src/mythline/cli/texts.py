"""What people type for times, sizes and lists of words."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

from ..ages import parse_age
from ..errors import InvalidInput

_SIZE: Final = re.compile(r"(\d{1,15}(?:\.\d{1,3})?)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def parse_time(text: str) -> datetime:
    """A time: `2026-11-23`, `2026-11-23T10:40`, on the clock here unless it has a zone; or an age.

    Raises:
        InvalidInput: If it is none.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    try:
        return datetime.now(UTC) - parse_age(text)
    except (InvalidInput, OverflowError):
        raise InvalidInput(
            f"Not a time: {text!r}. Write 2026-11-23, 2026-11-23T10:40 or 7d (ago), say."
        ) from None


def parse_size(text: str) -> int:
    """Bytes such as `10MB` (of 1000) or `10MiB` (of 1024); a bare number is bytes.

    Raises:
        InvalidInput: If it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise InvalidInput(f"Not a size: {text!r}. Write 500kB, 10MB or 2GiB, say.")
    unit = (1024 if match[3] else 1000) ** " kmgt".index(match[2].lower() or " ")
    return int(float(match[1]) * unit)


def parse_words(given: Sequence[str] | None, known: Collection[str], option: str) -> list[str]:
    """The words of an option that was given any number of times, with commas between them or not.

    Raises:
        InvalidInput: If one isn't known.
    """
    words = [word.strip() for text in given or () for word in text.split(",") if word.strip()]
    for word in words:
        if word not in known:
            raise InvalidInput(f"{option} takes {', '.join(known)}; not {word!r}.")
    return words
