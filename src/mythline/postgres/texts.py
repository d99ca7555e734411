"""Text as PostgreSQL keeps it: all of Unicode but NUL and lone surrogates."""

from __future__ import annotations

import re
from typing import Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def storable(text: str) -> bool:
    """Whether a text can be kept, and looked for, as it is."""
    return "\0" not in text and (text.isascii() or _SURROGATE.search(text) is None)


def escaped(text: str) -> str:
    """A text without NUL, and no two texts the same: for owners and keys, which may be any."""
    return text.replace("\\", "\\\\").replace("\0", "\\0")


def unescaped(text: str) -> str:
    """The text of which `escaped` made this."""
    if "\\" not in text:
        return text
    return "\\".join(part.replace("\\0", "\0") for part in text.split("\\\\"))


def shown(text: str) -> str:
    """A text that is only looked at, with a mark for each character that can't be kept."""
    if storable(text):
        return text
    return "".join(
        "\ufffd" if character == "\0" or "\ud800" <= character <= "\udfff" else character
        for character in text
    )
