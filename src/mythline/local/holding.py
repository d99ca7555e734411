"""Holding a session, as every process sees it that shares the store's directory.

The lock is `flock` on a file of the session's, so it ends with its process, however that ends. The
file is there for as long as the session is held; one that a killed process left is taken over.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import math
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ..errors import StoreError
from ..store import SessionKey
from .locks import Lock
from .translating import translated

SUFFIX: Final = ".lock"
_NAME: Final = re.compile(rf"[0-9a-f]{{32}}\{SUFFIX}")
_SHORTEST: Final = 0.01
_LONGEST: Final = 0.1
"""Seconds between two tries: a call that waits in the kernel could not be cancelled."""


async def hold(directory: Path, key: SessionKey, wait: float | None) -> Callable[[], None]:
    """Wait until nobody else holds a session, and hold it; what is returned lets go of it.

    Raises:
        TimeoutError: If another held it for `wait` seconds.
        StoreUnavailable: If the file can't be made.
        StoreFull: If there is no room for it.
    """
    path = directory / _name(key)
    until = math.inf if wait is None else time.monotonic() + wait
    pause = _SHORTEST
    while (release := _try(path)) is None:
        if (left := until - time.monotonic()) <= 0:
            raise TimeoutError
        await asyncio.sleep(min(pause, left))
        pause = min(2 * pause, _LONGEST)
    return release


def remove_left(directory: Path) -> None:
    """Remove the files of killed processes, which nobody holds any more."""
    with contextlib.suppress(OSError):
        for name in os.listdir(directory):
            if _NAME.fullmatch(name):
                with contextlib.suppress(StoreError):
                    if release := _try(directory / name):
                        release()


def _name(key: SessionKey) -> str:
    whole = "\0".join((key.owner or "", key.agent_id, key.session_id))
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:32] + SUFFIX


def _try(path: Path) -> Callable[[], None] | None:
    while True:
        with translated():
            lock = Lock(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_there = _is_at(path, lock.descriptor)
            except BlockingIOError:
                lock.close()
                return None
            except BaseException:
                lock.close()
                raise
        if is_there:
            return lambda: _let_go(path, lock)
        lock.close()  # whoever held it has removed it meanwhile


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _let_go(path: Path, lock: Lock) -> None:
    try:
        with contextlib.suppress(OSError):
            if lock.is_open and _is_at(path, lock.descriptor):
                path.unlink()
    finally:
        lock.close()
