"""Where views are: the folders of owners and agents, opened without following links.

Paths are built from ids that were checked, and every folder below the store's is opened as a
directory that is not a link (`O_NOFOLLOW`), one inside the other. So nothing that was planted in
the store's folder leads out of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import stat
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from ..errors import StoreUnavailable
from ..ids import is_agent_id, is_session_id
from .translating import translated

FOLDER: Final = "context_memory"
SUFFIX: Final = ".json"
OWNER_FILE: Final = ".owner"
_LONGEST_NAME: Final = 200  # bytes; file systems take 255


_INT64: Final = (1 << 63) - 1
_TROUBLES: Final = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors that say nothing of what is there."""


class Mark(NamedTuple):
    """How to know a file again: its size in bytes and when it was changed, in nanoseconds."""

    size: int
    mtime: int

    @classmethod
    def of(cls, found: os.stat_result) -> Mark:
        """The mark of a file."""
        return cls(found.st_size, found.st_mtime_ns & _INT64)  # the database's integers


def owner_folder(owner: str) -> str:
    """The name of an owner's folder: `@`, then the owner percent-encoded (RFC 3986).

    One too long for a file name is cut, with its hash after a `~`; `.owner` in it has the rest.
    """
    name = "@" + quote(owner, safe="").replace("~", "%7E")
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:120]}~{hashlib.sha256(owner.encode()).hexdigest()[:32]}"


class Layout:
    """The folders and views of a store's directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = str(root)

    def view_path(self, owner: str, agent_id: str, session_id: str) -> str:
        """The path of a view, for a look at its mark; `''` is no owner."""
        if owner:
            return f"{self._root}/{owner_folder(owner)}/{agent_id}/{FOLDER}/{session_id}{SUFFIX}"
        return f"{self._root}/{agent_id}/{FOLDER}/{session_id}{SUFFIX}"

    @contextlib.contextmanager
    def folder(self, owner: str, agent_id: str, *, create: bool = False) -> Generator[int | None]:
        """A descriptor of the folder of an agent's views; `None` if there is none to use.

        Raises:
            StoreUnavailable: If the store's directory can't be opened; with `create`, if something
                else is in the folder's place.
            OSError: With `create`, if it can't be made; if the system can't tell what is there.
        """
        names = [agent_id, FOLDER]
        if owner:
            names.insert(0, owner_folder(owner))
        with translated():
            descriptor = os.open(self.root, os.O_RDONLY)
        try:
            for depth, name in enumerate(names):
                inner = enter(descriptor, name, create=create)
                os.close(descriptor)
                descriptor = -1 if inner is None else inner
                if inner is None:
                    break
                if create and owner and depth == 0 and "~" in name:
                    _write_once(descriptor, OWNER_FILE, owner.encode())
            yield descriptor if descriptor >= 0 else None
        finally:
            if descriptor >= 0:
                os.close(descriptor)

    def agent_folders(self, owner: str) -> list[str]:
        """The agents that have a folder of this owner's, sorted."""
        top = self.root / owner_folder(owner) if owner else self.root
        try:
            with os.scandir(top) as found:
                return sorted(
                    entry.name
                    for entry in found
                    if is_agent_id(entry.name) and entry.is_dir(follow_symlinks=False)
                )
        except OSError:
            return []

    def folders(self) -> list[tuple[str, str]]:
        """Owner and agent of each folder of views, those of no owner first, sorted."""
        try:
            names = sorted(name for name in os.listdir(self.root) if name.startswith("@"))
        except OSError:
            names = []
        owners = [""] + [owner for name in names if (owner := self._owner(name))]
        return [(owner, agent) for owner in owners for agent in self.agent_folders(owner)]

    def _owner(self, name: str) -> str | None:
        """The owner whose folder has this name, or `None`."""
        if "~" not in name:
            return unquote(name[1:])
        try:
            return (self.root / name / OWNER_FILE).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return None

    def place_of(
        self, path: str, owners: Mapping[str, str]
    ) -> tuple[str, str | None, str | None] | None:
        """Owner, agent and session of a path in this store; no session for a folder.

        And no agent for the folder of an owner. `None` for a path that is no view's and no folder
        of views, and for one of an owner whose folder's name isn't in `owners`.
        """
        parts = os.path.relpath(path, self._root).split(os.sep)
        owner = ""
        if parts[0].startswith("@"):
            found = owners.get(parts.pop(0))
            if found is None:
                return None
            owner = found
        match parts:
            case []:
                return owner, None, None
            case [agent] | [agent, "context_memory"] if is_agent_id(agent):
                return owner, agent, None
            case [agent, "context_memory", name] if is_agent_id(agent):
                session = session_of(name)
                return (owner, agent, session) if session else None
            case _:
                return None


def session_of(name: str) -> str | None:
    """The session that a file name is the view of, or `None`."""
    session = name.removesuffix(SUFFIX)
    return session if session != name and is_session_id(session) else None


def enter(parent: int, name: str, *, create: bool) -> int | None:
    """A descriptor of a folder in another one, made if need be; `None` if there is none to use.

    Raises:
        StoreUnavailable: With `create`, if something else is in its place.
        OSError: With `create`, if it can't be made; if the system can't tell what is there.
    """
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=parent)
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if error.errno in _TROUBLES:
            raise
        if not create:
            return None
        if isinstance(error, PermissionError):
            raise
        raise StoreUnavailable(
            "The folder for this agent's sessions can't be used: something that is not a folder "
            "is in its place. Move it away."
        ) from error


def _write_once(folder: int, name: str, data: bytes) -> None:
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)


def look(folder: int, name: str) -> os.stat_result | None:
    """What is under a name in a folder, a link not followed; `None` if nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def read_whole(folder: int, name: str) -> tuple[bytes, Mark] | None:
    """The bytes of a file with its mark, as they were at one time.

    `None` if it is gone, is no plain file, or is being changed.

    Raises:
        OSError: If the system can't tell what is there.
    """
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in _TROUBLES:
            raise
        return None
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            return None
        data = file.read()
        mark = Mark.of(before)
        if mark != Mark.of(os.fstat(descriptor)) or len(data) != mark.size:
            return None
        return data, mark


# What Python's os module has no name for. Both have a safe answer where they are missing.

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800


def exchange(folder: int, one: str, other: str) -> bool:
    """Let two names in a folder change places in one step; whether the system could."""
    if not hasattr(_LIBC, "renameat2"):
        return False
    names = os.fsencode(one), os.fsencode(other)
    return _LIBC.renameat2(folder, names[0], folder, names[1], _RENAME_EXCHANGE) == 0


def put_new(folder: int, one: str, other: str) -> bool:
    """Rename `one` to `other` in a folder, unless that is there; whether it was not.

    Raises:
        OSError: If it can't be renamed.
    """
    if hasattr(_LIBC, "renameat2"):
        names = os.fsencode(one), os.fsencode(other)
        if _LIBC.renameat2(folder, names[0], folder, names[1], _RENAME_NOREPLACE) == 0:
            return True
        if ctypes.get_errno() == errno.EEXIST:
            return False
    try:
        os.link(one, other, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:  # a file system without links: the look before must do
        os.rename(one, other, src_dir_fd=folder, dst_dir_fd=folder)
        return True
    os.unlink(one, dir_fd=folder)
    return True


def identity(folder: int) -> str | None:
    """What tells a folder from one made later under the same name, even of the same inode.

    `None` where the system can't tell, as with file systems that don't know a birth time.
    """
    found = os.fstat(folder)
    born: float | int | None = getattr(found, "st_birthtime", None)
    if born is None and hasattr(_LIBC, "statx"):
        # struct statx of the Linux user API: stx_mask is its first word, stx_btime at 0x50
        buffer = (ctypes.c_uint8 * 256)()
        if _LIBC.statx(folder, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer) == 0:
            raw = bytes(buffer)
            if int.from_bytes(raw[:4], sys.byteorder) & _STATX_BTIME:
                seconds = int.from_bytes(raw[0x50:0x58], sys.byteorder, signed=True)
                born = seconds * 10**9 + int.from_bytes(raw[0x58:0x5C], sys.byteorder)
    return None if born is None else f"{found.st_dev}:{found.st_ino}:{born}"
