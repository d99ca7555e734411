"""Ages as people write them: `30d`, `12h`, `2w`, `90m`, `45s`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from .errors import InvalidInput

LONGEST: Final = timedelta(days=36_500)
"""The longest age that can be asked for: a hundred years."""

_SECONDS: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_AGE: Final = re.compile(r"\s*([0-9]{1,12})\s*([wdhms])\s*", re.ASCII | re.IGNORECASE)


def parse_age(text: str) -> timedelta:
    """The time that `text` names, from 0 to a hundred years.

    It is a whole number of weeks (`w`), days (`d`), hours (`h`), minutes (`m`) or seconds (`s`).

    Raises:
        InvalidInput: If it names none.
    """
    found = _AGE.fullmatch(text)
    if found is None:
        shown = ascii(text[:40])
        raise InvalidInput(
            f"Not an age: {shown}. Use a whole number and a unit: 30d, 12h, 2w, 90m, 45s."
        )
    seconds = int(found[1]) * _SECONDS[found[2].lower()]
    if seconds > LONGEST.total_seconds():
        raise InvalidInput(f"An age has at most {format_age(LONGEST)}.")
    return timedelta(seconds=seconds)


def format_age(age: timedelta) -> str:
    """What `parse_age` reads as `age`, in the largest unit that fits without a rest.

    Weeks are left to people. Parts of a second are left out.
    """
    seconds = int(age.total_seconds())
    for unit in "dhm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
