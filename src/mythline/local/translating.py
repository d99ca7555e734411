"""The driver's errors, and the system's, as Mythline's."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator
from typing import Final

from ..errors import StoreCorrupt, StoreError, StoreFull, StoreUnavailable

REMEDY: Final = (
    "Keep a copy of the folder; moved out of it, the database is built again from the .json files."
)
"""What to do about a database that is damaged."""


def translate(error: Exception) -> StoreError:
    """The typed error for one of the driver's. It names no path and no query."""
    if isinstance(error, UnicodeDecodeError):  # of text in the database, or of SQLite's message
        return StoreCorrupt(REMEDY)
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in (28, 122):
        return StoreFull()
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreCorrupt(REMEDY)
    if primary == sqlite3.SQLITE_READONLY or getattr(error, "errno", None) in (1, 13, 30):
        return StoreUnavailable("The store can't be written. Make its folder writable.")
    return StoreUnavailable(
        "The store can't be read or written. Check its folder and its disk, then try again."
    )


@contextlib.contextmanager
def translated() -> Generator[None]:
    """Raise the driver's errors as typed ones, with the driver's in `__cause__`."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        raise translate(error) from error
