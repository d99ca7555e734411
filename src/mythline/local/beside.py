"""Files beside the views: new ones until they are in place, and old ones that are to go.

Their names tell which process made them, so that what a killed one left can be removed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from typing import Final

from .layout import look

_RUN: Final = secrets.token_hex(4)
"""Tells this process from an earlier one of its number, as there is in a container."""
_NAME: Final = re.compile(r"\..+\.([0-9]{1,7})-([0-9a-f]+)\.tmp", re.ASCII)
LONG: Final = 3600.0
"""Seconds after which such a file is no longer one that is being written."""


def name_beside(session_id: str) -> str:
    """A name beside a session's view that nobody has, and that tells which process made it."""
    return f".{session_id}.{os.getpid()}-{_RUN}{secrets.token_hex(6)}.tmp"


def remove_left(folder: int, name: str) -> None:
    """Remove a file if it is what a process that is gone left half-written."""
    with contextlib.suppress(OSError):
        if _is_left(folder, name):
            os.unlink(name, dir_fd=folder)


def _is_left(folder: int, name: str) -> bool:
    made = _NAME.fullmatch(name)
    if made is None:
        return False
    if int(made[1]) == os.getpid():
        return not made[2].startswith(_RUN)
    if not _is_running(int(made[1])):
        return True
    found = look(folder, name)  # the number may be another process's by now
    return found is not None and time.time() - found.st_ctime > LONG


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
