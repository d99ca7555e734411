"""Every error that Mythline raises on purpose.

MythlineError
├── InvalidInput                 what was asked can't be done as asked; nothing was changed
│   ├── InvalidId                an agent, session or owner id outside the grammar
│   ├── InvalidMessages          not JSON, not an array, or not Pydantic AI messages
│   ├── InvalidCursor            a cursor that no list gave
│   ├── EntryNotFound            an entry that isn't in the session's history
│   └── EntryExists              a new entry has an id that is stored already
├── SessionNotFound              no such session for this owner and agent
├── SessionExists                a session with that id is there already
├── RevisionConflict             the session was saved or deleted since it was read
├── SessionBusy                  another run holds the session
├── IdempotencyMismatch          an Idempotency-Key was used again for another body
├── UnreadableMessages           stored messages that the installed Pydantic AI can't read
└── StoreError                   the store can't answer; the driver's error is in `__cause__`
    ├── StoreUnavailable         it can't be opened, read or written now
    │   └── StoreNotSetUp        nor later, until its operator has set it up
    ├── StoreFull                no space is left
    ├── StoreCorrupt             the database is damaged
    ├── StoreTooNew              a newer Mythline wrote it
    └── StoreClosed              used before it was opened, after it was closed, or across a fork

An error's message says what to do, and never names a path, a query or a host: messages reach
clients. `STATUS` and `exit_code` map each error to its HTTP status and its exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class MythlineError(Exception):
    """The base of all errors that Mythline raises on purpose.

    They can be copied and pickled: an error that can't come back from a worker process breaks
    the whole pool.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # Python's own calls the class with `args`, the message, which most of these don't take.
        return _made_again, (type(self), self.args), self.__dict__


def _made_again(kind: type[MythlineError], args: tuple[Any, ...]) -> MythlineError:
    return kind.__new__(kind, *args)


class InvalidInput(MythlineError, ValueError):
    """What was asked can't be done as asked. Nothing was changed."""


class InvalidId(InvalidInput):
    """An agent, session or owner id outside the grammar of `mythline.ids`."""


class InvalidMessages(InvalidInput):
    """Data that is not JSON, not an array, or not Pydantic AI messages."""


class InvalidCursor(InvalidInput):
    """A cursor that no list gave. Start again without one."""


class EntryNotFound(InvalidInput, LookupError):
    """An entry that isn't in the session's history or a branch it left."""

    def __init__(self, entry_id: str) -> None:
        self.entry_id = entry_id
        super().__init__(
            f"No entry {entry_id!r} is in this session's history. Ids come from its messages."
        )


class EntryExists(InvalidInput):
    """A new entry has an id that is stored already."""

    def __init__(self) -> None:
        super().__init__("A new entry has an id that is stored already. Give it another.")


class SessionNotFound(MythlineError, LookupError):
    """No such session for this owner and agent."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(f"There is no session {session_id!r}. List the sessions, or create it.")


class SessionExists(MythlineError):
    """A session with that id is there already."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(
            f"The session {session_id!r} exists already. Choose another id, or leave it out "
            "to have one generated."
        )


class RevisionConflict(MythlineError):
    """The session was saved or deleted since it was read."""

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(
            f"The session {session_id!r} was saved or deleted since it was read. "
            "Load it again, then repeat the change."
        )


class SessionBusy(MythlineError):
    """Another run holds the session. `retry_after`: try again in so many seconds."""

    retry_after = 1

    def __init__(self, session_id: str) -> None:
        self.session_id = session_id
        super().__init__(f"Another run holds the session {session_id!r}. Try again in a moment.")


class IdempotencyMismatch(MythlineError):
    """An Idempotency-Key was used again for another body."""

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used before for other messages. Use a new key for a new turn."
        )


class UnreadableMessages(MythlineError):
    """Stored messages that the installed Pydantic AI can't read.

    They are kept byte for byte. `entry_ids` names them, oldest first.
    """

    def __init__(self, entry_ids: Sequence[str]) -> None:
        self.entry_ids = tuple(entry_ids)
        named = ", ".join(self.entry_ids[:5]) + (", …" if len(self.entry_ids) > 5 else "")
        super().__init__(
            f"{len(self.entry_ids)} message(s) can't be read by the installed Pydantic AI "
            f"(entries {named}). Upgrade pydantic-ai-slim, or load with skip_unreadable=True "
            "to go on without them."
        )


class StoreError(MythlineError):
    """The store can't answer. The driver's own error is in `__cause__`."""


class StoreUnavailable(StoreError):
    """The store can't be opened, read or written now."""


class StoreNotSetUp(StoreUnavailable):
    """The store can't be opened until its operator has set it up: its user, rights or schema."""


class StoreFull(StoreError):
    """No space is left where the store keeps its data. Nothing was half-written."""

    def __init__(self) -> None:
        super().__init__("No space is left for the store. Free some, then repeat the change.")


class StoreCorrupt(StoreError):
    """The database is damaged. `remedy`: what to do about it."""

    def __init__(self, remedy: str = "Restore it from a backup.") -> None:
        super().__init__(f"The session database is damaged. {remedy}")


class StoreTooNew(StoreError):
    """A newer Mythline wrote the store."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(
            f"The store has schema version {found}; this Mythline knows up to {known}. "
            "Upgrade Mythline. Nothing was changed."
        )


class StoreClosed(StoreError):
    """The store was used before it was opened, after it was closed, or across a fork."""

    def __init__(self) -> None:
        super().__init__(
            "The store is not open here. Use it inside `async with open_store()`, and open it "
            "after a fork, not before."
        )


STATUS: dict[type[MythlineError], int] = {
    InvalidInput: 422,
    InvalidMessages: 400,
    SessionNotFound: 404,
    SessionExists: 409,
    RevisionConflict: 409,
    SessionBusy: 409,
    IdempotencyMismatch: 422,
    UnreadableMessages: 409,
    StoreError: 503,
    StoreFull: 507,
    StoreCorrupt: 500,
    MythlineError: 500,
}
"""The HTTP status of an error: that of its nearest listed class. A failed `If-Match` is 412."""


def status_of(error: MythlineError) -> int:
    """The HTTP status for `error`, by its nearest class in `STATUS`."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def exit_code(error: MythlineError) -> int:
    """The exit code of a command that ended with `error`: 2 for bad usage, otherwise 1.

    What isn't there, and a file that can't be read, are no bad usage.
    """
    is_usage = isinstance(error, InvalidInput) and not isinstance(
        error, InvalidMessages | EntryNotFound | EntryExists
    )
    return 2 if is_usage else 1
