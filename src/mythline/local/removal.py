"""Deleting sessions with their views, so that a crash or a failure leaves both or neither."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

from . import rows
from .beside import name_beside
from .database import SQL, Connection
from .layout import SUFFIX, Layout, Mark, look, put_new


class Removal:
    """One deletion: `remove` in the transaction, `end` after it.

    A view is moved aside before the commit: killed in between, the session is one whose view was
    removed. The other way round, the view would come back as a file that no session knows.

    Args:
        layout: Where the views are.
        permanent: Whether entries that no other session shares are removed too.
        has_views: Whether this store keeps views. If not, it still removes those that another
            one kept, but no file that it doesn't know.
    """

    def __init__(self, layout: Layout, permanent: bool, has_views: bool) -> None:
        self._layout = layout
        self._permanent = permanent
        self._has_views = has_views
        self._aside: list[tuple[str, str, str, str]] = []

    def remove(self, connection: Connection, row: Any) -> None:
        """Delete a session in a transaction.

        Raises:
            OSError: If its view can't be moved.
        """
        if self._permanent:
            rows.purge(connection, row["n"])
        else:
            rows.delete(connection, row)
        owner, agent_id, session_id = row["owner"], row["agent_id"], row["session_id"]
        with self._layout.folder(owner, agent_id) as folder:
            name = session_id + SUFFIX
            found = None if folder is None else look(folder, name)
            known = row["view_size"], row["view_mtime"]
            if folder is None or found is None:
                return
            if self._has_views or Mark.of(found) == known:
                aside = name_beside(session_id)
                os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
                self._aside.append((owner, agent_id, name, aside))

    def remove_all(self, connection: Connection, numbers: Iterable[int]) -> int:
        """Delete those of some sessions that still live; how many."""
        found = [
            connection.execute(SQL["session_by_number"], (number,)).fetchone() for number in numbers
        ]
        living = [row for row in found if row is not None and not row["deleted"]]
        for row in living:
            self.remove(connection, row)
        return len(living)

    def end(self, committed: bool) -> None:
        """Remove what was moved aside, or put it back if nothing was deleted."""
        for owner, agent_id, name, aside in self._aside:
            with self._layout.folder(owner, agent_id) as folder:
                if folder is None:
                    continue
                if committed:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(aside, dir_fd=folder)
                else:
                    put_new(folder, aside, name)
