"""What other programs do to the folder of views, taken into the store.

A file that no session knows becomes a session. A view that another program changed is compared
with the history: what it added is appended, what it rewrote becomes the current history and
leaves the old one as a branch. A view that was certainly removed deletes its session, so that it
can be restored; in doubt it is written again.

A look at a file's mark tells whether anything happened; only then it is read. Taking in runs in
threads of the store's. It decides in the write transaction, where views are published too, and
the truth is synced with the next save: until then the file has it.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

from .. import messages
from ..errors import InvalidMessages, StoreError
from . import rows, taking_in
from .beside import remove_left
from .database import SQL, Connection, Database
from .layout import SUFFIX, Layout, Mark, identity, look, read_whole, session_of
from .translating import translated
from .views import forget_missing, remember_folder

T = TypeVar("T")
Stop = Callable[[], bool]
"""Whether to stop half-way."""

log = logging.getLogger("mythline")

STEP: Final = 500
MANY: Final = (0, 0)
"""In place of a session: there may be stale views of many."""
AT_ONCE: Final = 200
"""How many changed files are read before a list goes on."""
SETTLED_AFTER: Final = 2.0
"""Seconds after which a file that is no JSON is no longer taken for one being written."""


def _never() -> bool:
    return False


class Foreign:
    """Notices and takes in what other programs changed in one store's folder."""

    def __init__(
        self,
        database: Database,
        layout: Layout,
        touched: Callable[[int, int], None],
        sweep: Callable[[], None],
    ) -> None:
        self._database = database
        self._layout = layout
        self._touched = touched
        self._sweep = sweep
        self._unreadable: dict[tuple[str, str, str], Mark] = {}

    def is_current(self, place: rows.Place, row: Any | None) -> bool:
        """Whether the truth, of which `row` was read, knows the file in a view's place."""
        try:
            found = os.stat(self._layout.view_path(*place), follow_symlinks=False)
        except OSError:
            mark = None
        else:
            mark = Mark.of(found)
            if self._unreadable.get(place) == mark:
                return True  # it was read before, and is no session
        if row is None:
            return mark is None
        if row["pending"]:
            return False
        return mark == (None if row["view_size"] is None else (row["view_size"], row["view_mtime"]))

    def notice(self, place: rows.Place) -> None:
        """Take in what is in a view's place, if its mark tells of a change."""
        row = self._database.read(lambda connection: rows.session(connection, place))
        if not self.is_current(place, row):
            self.take_in(*place)

    def take_in(self, owner: str, agent_id: str, session_id: str) -> None:
        """Bring the truth up to date with what is in a view's place.

        Raises:
            StoreError: If that can't be told, or not be stored.
        """
        place = owner, agent_id, session_id
        name = session_id + SUFFIX
        with translated(), self._layout.folder(owner, agent_id) as folder:
            found = None if folder is None else look(folder, name)
            if folder is None or found is None:
                self._write(lambda connection: self._missing(connection, place, folder))
                return
            if not stat.S_ISREG(found.st_mode):
                self._write(lambda connection: self._not_a_session(connection, place))
                return
            if self._unreadable.get(place) == Mark.of(found) and not self._set_aside(
                folder, place, found
            ):
                self._write(lambda connection: self._not_a_session(connection, place))
                return
            read = read_whole(folder, name)
            if read is None:
                return  # being written; the next look finds it
            data, mark = read
            try:
                bodies = messages.split(data, strict=False)
            except InvalidMessages:
                self._unreadable[place] = mark
                self._write(lambda connection: self._not_a_session(connection, place))
                self._set_aside(folder, place, found)
                return
            self._unreadable.pop(place, None)
            compared = self._database.read(
                lambda connection: taking_in.compare(connection, place, bodies)
            )
            self._write(
                lambda connection: taking_in.apply(
                    connection, place, bodies, mark, folder, compared
                )
            )

    def _write(self, function: Callable[[Connection], tuple[int, int] | None]) -> None:
        changed = self._database.write_now(function)
        if changed == MANY:
            self._sweep()
        elif changed:
            self._touched(*changed)

    def _missing(
        self, connection: Connection, place: tuple[str, str, str], folder: int | None
    ) -> tuple[int, int] | None:
        row = rows.session(connection, place)
        if row is None or row["view_size"] is None:
            return None
        if folder is not None and look(folder, place[2] + SUFFIX) is not None:
            return None
        if row["view_head"] is None:  # known by its name only, and gone before it was read
            rows.purge(connection, row["n"])
            return None
        known = connection.execute(SQL["folder"], place[:2]).fetchone()
        certain = folder is not None and known and known[0] and known[0] == identity(folder)
        if certain:
            rows.delete(connection, row, view_lost=True)
            return None
        if folder is None:
            forget_missing(connection, *place[:2], set())
        elif not remember_folder(connection, *place[:2], folder):
            connection.execute(SQL["forget_view"], (row["n"],))  # the system can't tell folders
        return MANY

    def _not_a_session(
        self, connection: Connection, place: tuple[str, str, str]
    ) -> tuple[int, int] | None:
        """Something that is no session is in a view's place.

        A session that was known by its name alone is none. Another one's view is stale now, and
        is written when the file is surely not being written.
        """
        row = rows.session(connection, place)
        if row is None:
            return None
        broken = rows.broken(row)
        if row["view_head"] == broken and not row["pending"]:
            return None
        if row["pending"] and row["view_head"] is None and not row["head"]:
            rows.purge(connection, row["n"])
            return None
        if row["view_size"] is None:
            return None
        mark = row["view_size"], row["view_mtime"]
        rows.set_view(connection, row["n"], (broken, 0), mark)
        return row["n"], row["body_bytes"]

    def _set_aside(self, folder: int, place: tuple[str, str, str], found: os.stat_result) -> bool:
        """Make room for the view of a session where a file lies that is no longer one."""
        if abs(time.time() - found.st_mtime) < SETTLED_AFTER:  # a time to come is a wrong one
            return False
        name = place[2] + SUFFIX

        def move(connection: Connection) -> tuple[int, int] | None:
            row = rows.session(connection, place)
            now = look(folder, name)
            if row is None or now is None or Mark.of(now) != Mark.of(found):
                return None
            if now.st_size:
                aside = f"{name}.unreadable-{found.st_mtime_ns}"
                os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
                log.warning("a file that is no session was moved aside, to %s", aside)
            else:
                os.unlink(name, dir_fd=folder)
            connection.execute(SQL["forget_view"], (row["n"],))
            return row["n"], row["body_bytes"]

        self._write(move)
        return True

    # Folders

    def knows(self, owner: str, agent_id: str) -> bool:
        """Whether any session of a folder is known."""
        return self._database.read(
            lambda connection: (
                connection.execute(SQL["knows"], (owner, agent_id)).fetchone() is not None
            )
        )

    def find_new(
        self,
        owner: str,
        agent_id: str,
        stop: Stop = _never,
        noted: Callable[[], object] = _never,
    ) -> int | None:
        """Note the files in a folder that no session knows, looking at names alone.

        They are read when they are asked for or by `read_pending`. What processes that were
        killed left half-written beside the views is removed. `noted` is called when some are
        noted, the newest first.

        Returns:
            How many files there are; `None` if there is no folder, or at a `stop` half-way.
        """
        with self._layout.folder(owner, agent_id) as folder:
            if folder is None:
                return None
            names = os.listdir(folder)
            new: list[tuple[str, Mark]] = []
            for name in set(names) - self._database.read(
                lambda connection: _views_known(connection, owner, agent_id)
            ):
                session = session_of(name)
                if session is None:
                    remove_left(folder, name)
                    continue
                mark = _mark(folder, session)
                if mark and self._unreadable.get((owner, agent_id, session)) != mark:
                    new.append((session, mark))
            new.sort(key=lambda found: (found[1].mtime, found[0]), reverse=True)
            for some in _some(new):
                if stop():
                    return None
                self._database.write_now(
                    lambda connection, some=some: self._add_known_by_name(
                        connection, owner, agent_id, some
                    )
                )
                noted()
            return len(names)

    def find_changed(self, owner: str, agent_id: str, stop: Stop = _never) -> bool:
        """Note the views in a folder that were changed or removed, by their marks.

        Returns:
            Whether there is a folder; not at a `stop` half-way.
        """
        changed: list[tuple[int, str]] = []
        gone: list[str] = []
        with self._layout.folder(owner, agent_id) as folder:
            after = ""
            while states := self._database.read(
                lambda connection, after=after: _file_states(connection, owner, agent_id, after)
            ):
                if stop():
                    return False
                marks: dict[int, Mark] = {}
                for session, number, size, mtime, is_pending in states:
                    mark = None if folder is None else _mark(folder, session)
                    if mark is None:
                        if size is not None:
                            gone.append(session)
                    elif (
                        not is_pending
                        and (size, mtime) != mark
                        and self._unreadable.get((owner, agent_id, session)) != mark
                    ):
                        marks[number] = mark
                        changed.append((mark.mtime, session))
                if marks:
                    self._database.write_now(
                        lambda connection, marks=marks: _note_changed(connection, marks)
                    )
                after = states[-1][0]
        for session in gone:
            if stop():
                return False
            self.notice((owner, agent_id, session))
        changed.sort(reverse=True)
        newest = [session for _, session in changed[:AT_ONCE]]
        return self._take_in_each(owner, agent_id, newest, stop) and folder is not None

    def reconcile(self, owner: str, agent_id: str, stop: Stop = _never) -> None:
        """Compare a whole folder with the truth by names and marks, reading no file at first."""
        self.find_new(owner, agent_id, stop)
        self.find_changed(owner, agent_id, stop)

    def _add_known_by_name(
        self, connection: Connection, owner: str, agent_id: str, found: Sequence[tuple[str, Mark]]
    ) -> None:
        for session, mark in found:
            place = owner, agent_id, session
            if rows.session(connection, place) is None and self._unreadable.get(place) != mark:
                taking_in.add(connection, place, mark)

    def find_lost_folders(self, stop: Stop = _never) -> None:
        """Have views written again whose folder is gone, or is another than it was."""
        known = self._database.read(
            lambda connection: connection.execute(SQL["folders"]).fetchall()
        )
        for owner, agent_id, was in known:
            with self._layout.folder(owner, agent_id) as folder:
                now = None if folder is None else identity(folder) or ""
            if now != was:
                self.reconcile(owner, agent_id, stop)

    def read_pending(self, owner: str, agent_id: str, stop: Stop = _never) -> None:
        """Take in what was noted, until `stop`.

        Raises:
            StoreError: If a file could not be read, after all others; at once, if nothing can be
                stored.
        """
        found = self._database.read(
            lambda connection: connection.execute(SQL["pending"], (owner, agent_id)).fetchall()
        )
        self._take_in_each(owner, agent_id, [session for (session,) in found], stop)

    def _take_in_each(self, owner: str, agent_id: str, sessions: Sequence[str], stop: Stop) -> bool:
        """Take in these views; one that the disk doesn't give keeps no other from it.

        Returns:
            Whether there was no `stop` half-way.
        """
        failed: StoreError | None = None
        for session in sessions:
            if stop():
                return False
            try:
                self.take_in(owner, agent_id, session)
            except StoreError as error:
                if not isinstance(error.__cause__, OSError):
                    raise
                failed = failed or error
        if failed is not None:
            raise failed
        return True


def _some(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """`values` in pieces, so that the writer has time for others in between."""
    return (values[start : start + STEP] for start in range(0, len(values), STEP))


def _views_known(connection: Connection, owner: str, agent_id: str) -> set[str]:
    """The file names of the views of all sessions."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return {name for (name,) in cursor.execute(SQL["view_names"], (SUFFIX, owner, agent_id))}


_State = tuple[str, int, int | None, int | None, int]
"""Id and number of a session, size and time of its view, and whether that is yet to be read."""


def _file_states(connection: Connection, owner: str, agent_id: str, after: str) -> list[_State]:
    """Some states, by id, from the first id after `after` on."""
    cursor = connection.cursor()
    cursor.row_factory = None
    return cursor.execute(SQL["some_file_states"], (owner, agent_id, after, STEP)).fetchall()


def _mark(folder: int, session: str) -> Mark | None:
    """The mark of the file of a session, if there is one, and it is a file."""
    found = look(folder, session + SUFFIX)
    return Mark.of(found) if found is not None and stat.S_ISREG(found.st_mode) else None


def _note_changed(connection: Connection, marks: dict[int, Mark]) -> None:
    for number, mark in marks.items():
        row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
        if row is None or row["deleted"]:
            continue
        if (row["view_size"], row["view_mtime"]) != mark:
            connection.execute(SQL["set_pending"], (number,))
