"""Files in the folders of views that are no sessions: told of, and kept out of the way if asked."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from .. import messages
from ..errors import InvalidMessages
from ..ids import is_session_id
from ..models import Finding
from . import rows
from .database import SQL, Connection, Database
from .foreign import SETTLED_AFTER
from .layout import SUFFIX, Layout, Mark, enter, look, read_whole, session_of

KEPT: Final = "unreadable"
"""The folder, beside the views, for files that are no sessions."""
_GOES: Final = f"It goes to the folder {KEPT!r} there, as it is"


class _Strange(NamedTuple):
    """What is strange about a file, and its mark if it can be moved out of the way."""

    explanation: str
    mark: Mark | None = None


class StrangeFiles:
    """Looks through folders of views for files that no session can have.

    Args:
        database: The database.
        layout: Where the views are.
        fix: Whether to move those that hold no messages to the folder `KEPT`.
    """

    def __init__(self, database: Database, layout: Layout, *, fix: bool) -> None:
        self._database = database
        self._layout = layout
        self._fix = fix

    def look(self, owner: str, agent_id: str) -> Iterator[Finding]:
        """What is found in the folder of an agent, by name."""
        with self._layout.folder(owner, agent_id) as folder:
            if folder is None:
                return
            for name in sorted(os.listdir(folder)):
                found = _strange(folder, name)
                if found is not None:
                    yield self._finding(folder, (owner, agent_id), name, found)

    def _finding(
        self, folder: int, where: tuple[str, str], name: str, strange: _Strange
    ) -> Finding:
        owner, agent_id = where
        session_id = session_of(name)
        place = None if session_id is None else (owner, agent_id, session_id)
        is_view = place is not None and self._database.read(
            lambda connection: rows.session(connection, place) is not None
        )
        goes = ""
        if strange.mark is not None:
            goes = f" {_GOES}{', and the view is written again' if is_view else ''}."
        return Finding(
            kind="view" if is_view and goes else "file",
            explanation=strange.explanation + goes,
            owner=owner or None,
            agent_id=agent_id,
            session_id=session_id if is_view else None,
            is_fixed=self._fix and self._keep(folder, place, name, strange.mark),
            can_fix=strange.mark is not None,
        )

    def _keep(
        self, folder: int, place: tuple[str, str, str] | None, name: str, mark: Mark | None
    ) -> bool:
        """Move a file out of the way, unless it is changed meanwhile; whether it was moved."""
        if mark is None:
            return False
        # A program may be writing it just now, and has written it when it rests.
        age = max(0, time.time_ns() - mark.mtime) / 1e9
        time.sleep(max(0, SETTLED_AFTER - age))

        def move(connection: Connection) -> bool:
            now = look(folder, name)
            if now is None or Mark.of(now) != mark:
                return False
            _rename(folder, name)
            row = None if place is None else rows.session(connection, place)
            if row is not None:
                connection.execute(SQL["forget_view"], (row["n"],))
            return True

        return self._database.write_now(move)


def _rename(folder: int, name: str) -> None:
    kept = enter(folder, KEPT, create=True)
    assert kept is not None
    try:
        free, number = name, 1
        while look(kept, free) is not None:
            number += 1
            free = f"{name}-{number}"
        os.rename(name, free, src_dir_fd=folder, dst_dir_fd=kept)
    finally:
        os.close(kept)


def _strange(folder: int, name: str) -> _Strange | None:
    """What is strange about a file, if anything is."""
    shown = ascii(name)
    if ".json.unreadable-" in name:
        found = look(folder, name)
        is_plain = found is not None and stat.S_ISREG(found.st_mode)
        return _Strange(
            f"{shown} was moved aside, as it was no session. Mend it or remove it.",
            Mark.of(found) if found is not None and is_plain else None,
        )
    if not name.endswith(SUFFIX) or name.startswith("."):
        return None
    if not is_session_id(name.removesuffix(SUFFIX)):
        return _Strange(
            f"{shown} has a name that is no session id, and is not opened. Rename it to 1 to 128 "
            "of A-Z a-z 0-9 _ - and .json to have it listed."
        )
    found = look(folder, name)
    if found is None:
        return None
    if not stat.S_ISREG(found.st_mode):
        return _Strange(f"{shown} is no plain file, and is not opened. Put the file in its place.")
    try:
        read = read_whole(folder, name)
    except OSError:
        return _Strange(f"{shown} can't be read. Check the disk.")
    try:
        if read is not None:
            messages.split(read[0], strict=False)
    except InvalidMessages as error:
        return _Strange(f"{shown} holds no messages: {error}", read and read[1])
    return None
