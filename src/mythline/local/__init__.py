"""The local store: a directory with a SQLite database and one `.json` view a session."""

from .store import LocalStore

__all__ = ["LocalStore"]
