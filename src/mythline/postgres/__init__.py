"""The PostgreSQL store: sessions in a database that any number of servers share."""

from .store import PostgresStore

__all__ = ["PostgresStore"]
