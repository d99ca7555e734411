"""What becomes of errors of the driver: which tell of a lost connection, and what callers hear."""

from __future__ import annotations

import logging
import ssl
from typing import Final

import asyncpg

from ..errors import (
    InvalidInput,
    MythlineError,
    StoreCorrupt,
    StoreFull,
    StoreNotSetUp,
    StoreUnavailable,
)

log = logging.getLogger("mythline")

GONE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What is raised when a connection is lost, or leads to the wrong server."""
_OPTION: Final = (
    asyncpg.ClientConfigurationError,
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
    asyncpg.CantChangeRuntimeParamError,
)
"""What is raised, here or by the server, for an option of an address."""
MISREAD: Final = (*_OPTION, ValueError, OverflowError)
"""What is raised for an address that can't be read."""
AGAIN: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class OutcomeUnknown(Exception):
    """The connection was lost in the middle of a write; the driver's error is in `__cause__`."""


def translated(error: BaseException) -> MythlineError:
    """The error that callers get; it names no host and no statement."""
    if isinstance(error, MythlineError):
        return error
    if isinstance(error, asyncpg.DiskFullError):
        return StoreFull()
    if isinstance(error, asyncpg.CharacterNotInRepertoireError | UnicodeEncodeError) or (
        isinstance(error, asyncpg.DataError) and isinstance(error.__cause__, UnicodeEncodeError)
    ):
        return InvalidInput("PostgreSQL can't keep a NUL or a lone surrogate here. Leave it out.")
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return StoreNotSetUp("The database refuses the user or password of the store's address.")
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return StoreNotSetUp("There is no such database. Create it, then try again.")
    if isinstance(error, ssl.CertificateError):
        return StoreNotSetUp("The database's certificate isn't one that the store's address wants.")
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        log.error("PostgreSQL refused a statement: %s", error)
        return StoreNotSetUp(
            "The database hasn't got the tables that this Mythline needs. Run `mythline migrate`, "
            "or upgrade Mythline."
        )
    if isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error):
        return StoreNotSetUp(
            "The store's address leads to a pooler: set MYTHLINE_TRANSACTION_POOLING=on."
        )
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return StoreUnavailable(
            "The database can't be written to now, only read. Try again in a moment."
        )
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return StoreNotSetUp(
            "The database's user may not do this. It needs the right to create a schema once, "
            "and then all rights on the tables and sequences in it."
        )
    if isinstance(error, asyncpg.DataCorruptedError | asyncpg.IndexCorruptedError):
        return StoreCorrupt("Stop what writes to it, and restore it from a backup.")
    if isinstance(error, asyncpg.QueryCanceledError | asyncpg.LockNotAvailableError):
        return StoreUnavailable("The database took too long. Try again in a moment.")
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, GONE):
        log.error("PostgreSQL refused a statement: %s", error)  # callers aren't told more
    return StoreUnavailable("The database can't be reached or answer now. Try again in a moment.")


def misread(error: Exception) -> MythlineError:
    """What callers get for an address that can't be read; nothing of it, as it has a password."""
    if isinstance(error, _OPTION):
        return InvalidInput("The store's address has an option that can't be, or can't be read.")
    return InvalidInput(
        "The store's address can't be read. It is postgresql://user:password@host:port/database; "
        "what a password has besides letters, digits and - . _ ~ is percent-encoded in it."
    )
