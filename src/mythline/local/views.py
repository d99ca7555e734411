"""The views: one `.json` file a session, kept up to date behind the truth.

A thread of the store's renders them. It writes a file beside the view, and lets the two change
places while it holds the store's turn, so that views are written in the order of what they show;
the database remembers the mark of the file. What crashes leave:

- before the change of places: the old view, whose mark is known. It is stale, and written again.
- after it and before the mark was stored: a view of unknown mark that shows a part of the
  history. `mythline.local.taking_in` finds it the same as the truth, or behind it.

So views need no sync of their own. A view with another mark than the stored one was changed by
another program. It is never written over: it is taken in first.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable
from typing import Final, Literal

from .. import messages
from ..errors import MythlineError
from ..models import now_micros
from . import lines, rows
from .beside import name_beside
from .database import SQL, Connection, Database
from .layout import SUFFIX, Layout, Mark, exchange, identity, look, put_new

log = logging.getLogger("mythline")

SMALL: Final = 64 << 10
"""Bytes of messages up to which a view is written at once."""
PAUSE_SMALL: Final = 0.05
"""Seconds between two writings of a small view, while saves come faster."""
PAUSE_LARGE: Final = 0.5
"""Seconds that a large view waits for more to show."""
PAUSE_BLOCKED: Final = 1.0
PATIENCE: Final = 0.5
"""Seconds that a save waits for a view that others go on from."""
JUST_NOW: Final = 60_000_000
"""Microseconds for which a removed view may turn out to be a part of its removed folder."""
SOME: Final = 500
SWEEP: Final = 0

Outcome = Literal["done", "again", "changed"]


class Views:
    """Writes the views of one store, in a thread of its own."""

    def __init__(
        self, database: Database, layout: Layout, take_in: Callable[[str, str, str], None]
    ) -> None:
        self._database = database
        self._layout = layout
        self._take_in = take_in
        self._due: dict[int, float] = {}
        self._order: list[tuple[float, int]] = []  # a heap of `_due`, with what is no longer so
        self._written: dict[int, float] = {}
        self._busy: int | None = None
        self._failures: dict[int, int] = {}
        self._condition = threading.Condition()
        self._closing = False
        self._more = False
        self._sweep = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, with the views that earlier processes left stale."""
        self._closing = False
        self._sweep = True
        self._due.clear()
        self._order.clear()
        self._failures.clear()
        self._thread = threading.Thread(target=self._run, name="mythline-views", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is due, and stop."""
        if self._thread is None:
            return
        with self._condition:
            self._closing = True
            self._sweep = True  # a save may be stored and not have said so yet
            self._condition.notify_all()
        self._thread.join()
        with self._condition:  # whoever waits for a view that nobody writes any longer
            self._thread = None
            self._condition.notify_all()

    def touch(self, session: int, body_bytes: int) -> None:
        """Note that a session's view must follow: at once if it is small and rests."""
        now = time.monotonic()
        if body_bytes > SMALL:
            when = now + PAUSE_LARGE
        else:
            when = max(now, self._written.get(session, 0) + PAUSE_SMALL)
        with self._condition:
            if when < self._due.get(session, math.inf):
                self._set_due(session, when)

    def sweep(self) -> None:
        """Note that there may be stale views that nobody touched."""
        with self._condition:
            self._sweep = True
            self._condition.notify_all()

    def settle(self, session: int, timeout: float | None = None) -> None:
        """Wait until a session's view shows what is stored, or can't be written.

        At most `timeout` seconds.
        """
        with self._condition:
            failures = self._failures.get(session, 0)
            if session in self._due:
                self._set_due(session, 0)
            self._condition.wait_for(
                lambda: (
                    (session not in self._due and self._busy != session)
                    or self._failures.get(session, 0) > failures + 1
                    or self._thread is None
                ),
                timeout,
            )

    def _set_due(self, session: int, when: float) -> None:
        self._due[session] = when
        heapq.heappush(self._order, (when, session))
        if self._order[0][1] == session:
            self._condition.notify_all()

    def _set_due_if_not(self, session: int, when: float) -> None:
        if session not in self._due:
            self._set_due(session, when)

    def finish(self) -> None:
        """Wait until the view that is being written now is there, or isn't any longer."""
        with self._condition:
            busy = self._busy
            self._condition.wait_for(lambda: self._busy is None or self._busy != busy)

    def _run(self) -> None:
        while True:
            if self._sweep:
                self._find_stale()
            with self._condition:
                session = self._next()
                if session is None:
                    return
                if session == SWEEP:
                    continue
                self._busy = session
            outcome: Outcome = "changed"
            try:
                outcome = self._write(session)
            except Exception as error:
                if session not in self._failures:
                    log.warning("a view can't be written, and is tried again: %s", error)
            with self._condition:
                self._busy = None
                self._after(session, outcome)
                self._condition.notify_all()

    def _after(self, session: int, outcome: Outcome) -> None:
        now = time.monotonic()
        if len(self._written) > 10_000:
            self._written.clear()
        self._written[session] = now
        if outcome == "done":
            self._failures.pop(session, None)
        elif outcome == "again":
            self._set_due_if_not(session, now)
        else:
            failures = self._failures.get(session, 0) + 1
            self._failures[session] = failures
            if failures == 1:
                self._set_due_if_not(session, now)
            elif not self._closing:
                self._set_due_if_not(session, now + PAUSE_BLOCKED)

    def _next(self) -> int | None:
        """Wait for a session that is due and take it; `None` when there is nothing more to do.

        While this waits, the first of `_order` is due at that time: `_set_due` counts on it.
        """
        while True:
            if self._sweep:
                return SWEEP
            while self._order and self._due.get(self._order[0][1]) != self._order[0][0]:
                heapq.heappop(self._order)  # it was made due earlier, or was written since
            if not self._due:
                if self._more:
                    self._more = False
                    self._sweep = True
                    return SWEEP
                if self._closing:
                    return None
                self._condition.wait()
                continue
            when, session = self._order[0]
            wait = when - time.monotonic()
            if wait <= 0 or self._closing:
                heapq.heappop(self._order)
                del self._due[session]
                return session
            self._condition.wait(wait)

    def _find_stale(self) -> None:
        """Make stale views due, some at a time; the rest when those are written."""
        self._sweep = False
        try:
            found = self._database.read(
                lambda connection: connection.execute(SQL["stale"], (SOME,)).fetchall()
            )
        except MythlineError as error:
            log.warning("views that are behind could not be looked for: %s", error)
            return
        with self._condition:
            new = [row[0] for row in found if row[0] not in self._failures]
            for session in new:
                self._set_due_if_not(session, 0)
            self._more = len(found) == SOME and bool(new)

    def _write(self, session: int) -> Outcome:
        rendered = self._database.read(lambda connection: _render(connection, session))
        if rendered is None:
            return "done"
        place, head, count, data = rendered
        owner, agent_id, session_id = place
        with self._layout.folder(owner, agent_id, create=True) as folder:
            assert folder is not None
            name = session_id + SUFFIX
            beside = name_beside(session_id)
            mark = _write_beside(folder, beside, data, look(folder, name))
            try:
                outcome: Outcome = self._database.write_now(
                    lambda connection: _publish(
                        connection, session, (head, count, mark), folder, name, beside, self.sweep
                    )
                )
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(beside, dir_fd=folder)
        if outcome == "changed":
            self._take_in(owner, agent_id, session_id)
        return outcome


def _render(
    connection: Connection, session: int
) -> tuple[tuple[str, str, str], int, int, bytes] | None:
    """Place, head, number of messages and bytes of a view; `None` if it needs no writing."""
    row = connection.execute(SQL["session_by_number"], (session,)).fetchone()
    if row is None or row["deleted"] or row["pending"] or row["head"] == row["view_head"]:
        return None
    bodies = [entry.body for entry in lines.read(connection, row["head"])]
    place = row["owner"], row["agent_id"], row["session_id"]
    return place, row["head"], len(bodies), messages.view(bodies)


def _write_beside(folder: int, name: str, data: bytes, old: os.stat_result | None) -> Mark:
    """Write a file that is to replace `old`, whose owner is to find it as it was."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    if old is not None and not stat.S_ISREG(old.st_mode):
        old = None
    mode = 0o644 if old is None else old.st_mode & 0o700
    descriptor = os.open(name, flags, mode, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            if old is not None:
                _give_to_owner_of(old, descriptor)
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
            # The system's own stamps are coarse; one to the nanosecond makes the mark unmistakable.
            now = time.time_ns()
            os.utime(descriptor, ns=(now, now))
            return Mark.of(os.fstat(descriptor))
    except BaseException:
        os.unlink(name, dir_fd=folder)  # a disk that is full has no room for what is of no use
        raise


def _give_to_owner_of(old: os.stat_result, descriptor: int) -> None:
    """Let a new file have the owner, group and permissions of an old one, as far as they may.

    A group that it can't have is not replaced by another: that one may do what all others may.
    """
    new = os.fstat(descriptor)
    mode = old.st_mode & 0o777
    if new.st_gid != old.st_gid:
        try:
            os.fchown(descriptor, -1, old.st_gid)
        except OSError:
            mode = mode & 0o707 | (mode & 0o007) << 3
    if new.st_uid != old.st_uid:
        with contextlib.suppress(OSError):
            os.fchown(descriptor, old.st_uid, -1)
    if (new.st_mode & 0o777) != mode:
        with contextlib.suppress(OSError):
            os.fchmod(descriptor, mode)


def _publish(
    connection: Connection,
    session: int,
    shown: tuple[int, int, Mark],
    folder: int,
    name: str,
    beside: str,
    sweep: Callable[[], None],
) -> Outcome:
    """Put a rendered file in the view's place, unless the session or the view moved on."""
    head, count, mark = shown
    row = connection.execute(SQL["session_by_number"], (session,)).fetchone()
    if row is None or row["deleted"]:
        return "done"
    if row["pending"]:
        return "changed"
    if row["head"] != head:
        return "again"
    found = look(folder, name)
    known = None if row["view_size"] is None else Mark(row["view_size"], row["view_mtime"])
    if (None if found is None else Mark.of(found)) != known:
        return "changed"
    if remember_folder(connection, row["owner"], row["agent_id"], folder):
        sweep()
    if found is None:
        if not put_new(folder, beside, name):
            return "changed"  # another program made it in this moment
    elif not exchange(folder, beside, name):
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    else:
        swapped = look(folder, beside)
        if swapped is None or Mark.of(swapped) != known or not stat.S_ISREG(swapped.st_mode):
            exchange(folder, beside, name)  # another program wrote it in this moment
            return "changed"
    rows.set_view(connection, session, (head, count), mark)
    old = rows.last_shown(row)
    if old > 0 and old >> lines.SHIFT != head >> lines.SHIFT:
        lines.release(connection, [old])  # a line that only the file had
    return "done"


def remember_folder(connection: Connection, owner: str, agent_id: str, folder: int) -> bool:
    """Note which folder it is; if another than before, which views it misses. Whether it is."""
    now = identity(folder) or ""
    row = connection.execute(SQL["folder"], (owner, agent_id)).fetchone()
    if row is not None and row[0] == now:
        return False
    connection.execute(SQL["set_folder"], (owner, agent_id, now))
    if row is not None:
        forget_missing(connection, owner, agent_id, set(os.listdir(folder)))
    return row is not None


def forget_missing(connection: Connection, owner: str, agent_id: str, names: set[str]) -> None:
    """Let the views be written again that a folder lost with the folder itself.

    So are those of sessions that were just deleted because their view was missing: a folder that
    is being removed loses its files first.
    """
    since = now_micros() - JUST_NOW
    for (lost,) in connection.execute(SQL["just_lost"], (owner, agent_id, since)).fetchall():
        rows.revive(connection, lost)
        connection.execute(SQL["forget_view"], (lost,))
    for row in connection.execute(SQL["file_states"], (owner, agent_id)).fetchall():
        if row["view_size"] is not None and row["session_id"] + SUFFIX not in names:
            connection.execute(SQL["forget_view"], (row["n"],))
