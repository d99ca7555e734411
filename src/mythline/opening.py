"""Opening a store by where it is."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidInput
from .store import TRASH_DAYS, Store

DEFAULT = ".mythline"
MOST_DAYS = 36_500


def default_location() -> str:
    """`MYTHLINE_STORE` of the environment, else `.mythline`, in the working directory."""
    return os.environ.get("MYTHLINE_STORE") or DEFAULT


def open_store(
    location: str | Path | None = None,
    *,
    views: bool | None = None,
    trash_days: float | str | None = None,
) -> Store:
    """A store, to be used as an async context manager.

    Args:
        location: A directory. Without one, `MYTHLINE_STORE` of the environment, else
            `.mythline` in the working directory.
        views: Whether to keep a `.json` view of each session. Without a word on it,
            `MYTHLINE_VIEWS` of the environment (`on` or `off`), else yes.
        trash_days: Days that deleted sessions can be restored before they are purged; 0 purges
            at once, `never` never. Without a word on it, `MYTHLINE_TRASH_DAYS` of the
            environment, else 30.

    Raises:
        InvalidInput: If no store can be there.
    """
    from .local import LocalStore

    where = location or default_location()
    if isinstance(where, str) and "://" in where:
        kind = where.partition("://")[0]
        raise InvalidInput(f"No store is known for {kind}://. Give a directory.")
    if views is None:
        views = _switch(os.environ.get("MYTHLINE_VIEWS", "on"))
    days = _days(
        (os.environ.get("MYTHLINE_TRASH_DAYS") or TRASH_DAYS) if trash_days is None else trash_days
    )
    return LocalStore(where, views=views, trash_days=days)


def _days(value: str | float) -> float | None:
    if isinstance(value, str) and value.lower() == "never":
        return None
    try:
        days = float(value)
    except ValueError:
        days = -1.0
    if not 0 <= days <= MOST_DAYS:
        raise InvalidInput(f"MYTHLINE_TRASH_DAYS is 0 to {MOST_DAYS}, or `never`.")
    return days


def _switch(word: str) -> bool:
    if word.lower() in ("on", "true", "yes", "1"):
        return True
    if word.lower() in ("off", "false", "no", "0"):
        return False
    raise InvalidInput("MYTHLINE_VIEWS is `on` or `off`.")
