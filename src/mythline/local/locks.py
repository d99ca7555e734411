"""Descriptors to lock with `flock`, which end with their process, whatever it forked off.

The lock belongs to the open file, which a process that is forked off shares: were the first one
killed, the other would hold it for as long as it lives. So that one closes its own.
"""

from __future__ import annotations

import os


class Lock:
    """A file that was opened to be locked. It is to be closed where it was opened.

    Args:
        path: What to open.
        flags: As of `os.open`.

    Raises:
        OSError: If it can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> None:
        self.descriptor = os.open(path, flags, 0o666)
        _locks.add(self)

    def close(self) -> None:
        """Close it, once; what was left to a parent process stays open there."""
        descriptor, self.descriptor = self.descriptor, -1
        _locks.discard(self)
        if descriptor >= 0:
            os.close(descriptor)

    @property
    def is_open(self) -> bool:
        """Whether it was not closed, and was opened in this process."""
        return self.descriptor >= 0


_locks: set[Lock] = set()


def _leave() -> None:
    for lock in list(_locks):
        lock.close()


os.register_at_fork(after_in_child=_leave)
