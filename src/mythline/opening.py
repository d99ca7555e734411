"""Opening a store by where it is."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidInput
from .store import Store

DEFAULT = ".mythline"


def default_location() -> str:
    """`MYTHLINE_STORE` of the environment, else `.mythline`, in the working directory."""
    return os.environ.get("MYTHLINE_STORE") or DEFAULT


def open_store(location: str | Path | None = None, *, views: bool | None = None) -> Store:
    """A store, to be used as an async context manager.

    Args:
        location: A directory. Without one, `MYTHLINE_STORE` of the environment, else
            `.mythline` in the working directory.
        views: Whether to keep a `.json` view of each session. Without a word on it,
            `MYTHLINE_VIEWS` of the environment (`on` or `off`), else yes.

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
    return LocalStore(where, views=views)


def _switch(word: str) -> bool:
    if word.lower() in ("on", "true", "yes", "1"):
        return True
    if word.lower() in ("off", "false", "no", "0"):
        return False
    raise InvalidInput("MYTHLINE_VIEWS is `on` or `off`.")
