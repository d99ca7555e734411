"""Lenient looks into JSON of other programs: the value if it is of its kind, otherwise nothing."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any, cast

from ..messages import depth, dump_plain
from ..models import from_micros, to_micros

MAX_ARGS_DEPTH = 100


def text(value: Any) -> str:
    """A string; empty for anything else."""
    return value if isinstance(value, str) else ""


def obj(value: Any) -> dict[str, Any]:
    """An object; empty for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def arr(value: Any) -> list[Any]:
    """An array; empty for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def whole(value: Any) -> int:
    """A whole number from 0; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        return 0
    return value


def moment(value: Any) -> datetime | None:
    """A time (UTC): RFC 3339, or seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            return from_micros(to_micros(datetime.fromisoformat(value)))
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            return None
        seconds = value / 1000 if value > 1e11 else value
        if not math.isfinite(seconds):
            return None
        found = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return found


def args(value: Any) -> dict[str, Any]:
    """Arguments of a call as an object, whatever was sent."""
    found: Any = value
    if isinstance(value, str):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            found = None
        found = value if not isinstance(found, dict) else cast("Any", found)
    if found in (None, ""):
        return {}
    shallow = _shallow(found)
    return cast("dict[str, Any]", shallow) if isinstance(shallow, dict) else {"input": shallow}


def plain_text(value: Any) -> str:
    """A result as text: itself, or its JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else dump_plain(value).decode()


def _shallow(value: Any) -> Any:
    body = dump_plain(value)
    return body.decode() if depth(body) > MAX_ARGS_DEPTH else json.loads(body)
