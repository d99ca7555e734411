"""The statements of `queries.sql`, put together from their fragments."""

from __future__ import annotations

import re
from typing import Final

from ..queries import load

LOCK_SPACE: Final = 0x4D79
"""The upper 16 bits of the advisory locks under which events are numbered: «My»."""
SESSIONS_AT_ONCE: Final = 200
"""Marked sessions that are indexed together."""

_FRAGMENT: Final = re.compile(r"\{(\w+)\}")
_BEHIND: Final = re.compile(r"(\s*^--[^\n]*)+\Z", re.MULTILINE)
"""What is said of the next one."""
_LATER: Final = {"source", "condition", "order", "limit", "few", "among", "whose"}
"""What lists.py, search.py and indexing.py put in."""


def _assembled() -> dict[str, str]:
    found = {name: _BEHIND.sub("", text) for name, text in load("mythline.postgres").items()}
    for number in (5, 6):
        found[f"position_{number}"] = found["position"].replace("{entry}", f"${number}")
    found["lock_space"] = str(LOCK_SPACE)
    found["sessions_at_once"] = str(SESSIONS_AT_ONCE)

    def fill(text: str) -> str:
        return _FRAGMENT.sub(
            lambda match: match[0] if match[1] in _LATER else fill(found[match[1]]), text
        )

    return {name: fill(text) for name, text in found.items() if name != "position"}


SQL: Final = _assembled()
