"""Opening a store by where it is."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InvalidInput
from .store import TRASH_DAYS, Store

DEFAULT = ".mythline"
MOST_DAYS = 36_500
MOST_CONNECTIONS = 1000


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
        location: A directory, or `postgresql://…` (see `mythline.postgres`). Without one,
            `MYTHLINE_STORE` of the environment, else `.mythline` in the working directory.
        views: Whether to keep a `.json` view of each session. Without a word on it,
            `MYTHLINE_VIEWS` of the environment (`on` or `off`), else yes.
        trash_days: Days that deleted sessions can be restored before they are purged; 0 purges
            at once, `never` never. Without a word on it, `MYTHLINE_TRASH_DAYS` of the
            environment, else 30.

    Raises:
        InvalidInput: If no store can be there.
    """
    where = location or default_location()
    days = _days(
        (os.environ.get("MYTHLINE_TRASH_DAYS") or TRASH_DAYS) if trash_days is None else trash_days
    )
    if is_database(where):
        return _open_database(str(where), days)
    from .local import LocalStore

    if views is None:
        views = _switch("MYTHLINE_VIEWS", "on")
    return LocalStore(where, views=views, trash_days=days)


def is_database(location: str | Path) -> bool:
    """Whether a location is the address of a database rather than a directory."""
    return isinstance(location, str) and "://" in location


def _open_database(address: str, days: float | None) -> Store:
    kind = address.partition("://")[0]
    if kind not in ("postgresql", "postgres"):
        raise InvalidInput(f"No store is known for {kind}://. Give a directory or postgresql://….")
    try:
        from .postgres import PostgresStore
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise InvalidInput(
            "PostgreSQL needs the extra `postgres`: pip install 'mythline[postgres]'."
        ) from None
    size = os.environ.get("MYTHLINE_POOL_SIZE") or "10"
    if not (size.isascii() and size.isdigit() and 1 <= int(size) <= MOST_CONNECTIONS):
        raise InvalidInput(f"MYTHLINE_POOL_SIZE is 1 to {MOST_CONNECTIONS}.")
    return PostgresStore(
        address,
        pool_size=int(size),
        transaction_pooling=_switch("MYTHLINE_TRANSACTION_POOLING", "off"),
        replica=os.environ.get("MYTHLINE_REPLICA") or None,
        trash_days=days,
    )


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


def _switch(name: str, default: str) -> bool:
    word = os.environ.get(name) or default
    if word.lower() in ("on", "true", "yes", "1"):
        return True
    if word.lower() in ("off", "false", "no", "0"):
        return False
    raise InvalidInput(f"{name} is `on` or `off`.")
