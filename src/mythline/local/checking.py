"""Looks through a local store for what is wrong, and puts right what can be without a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

from .. import damage, findings, messages
from ..errors import InvalidMessages, StoreCorrupt
from ..models import Finding
from . import lines, rows
from .database import SQL, Connection, Database
from .layout import SUFFIX, Layout, read_whole
from .strange import StrangeFiles

SOME: Final = 50


def integrity(database: Database) -> list[Finding]:
    """What SQLite itself finds wrong with the file."""
    try:
        found = database.read(
            lambda connection: [row[0] for row in connection.execute("PRAGMA integrity_check(20)")]
        )
    except StoreCorrupt as error:
        return [Finding(kind="integrity", explanation=str(error))]
    return [
        Finding(
            kind="integrity",
            explanation=f"The database is damaged: {problem}. Keep a copy of the folder; moved "
            "out of it, the database is built again from the .json files.",
        )
        for problem in found
        if problem != "ok" and "FTS5" not in problem  # `Indexing.check` tells of the index
    ]


class Check:
    """Checks sessions and folders.

    Args:
        database: The database.
        layout: Where the views are; `None` for a store without.
        take_in: Takes in what is in the place of a view.
        fix: Whether to put right what can be.
    """

    def __init__(
        self,
        database: Database,
        layout: Layout | None,
        take_in: Callable[[str, str, str], None],
        *,
        fix: bool,
    ) -> None:
        self._database = database
        self._layout = layout
        self._take_in = take_in
        self._fix = fix

    def steps(self, places: Iterable[tuple[str, str]]) -> list[Callable[[], Iterator[Finding]]]:
        """All there is to look at, in steps: every session, deleted ones as well, and folders."""
        numbers = self._database.read(
            lambda connection: [row[0] for row in connection.execute(SQL["every_session"])]
        )
        some = (numbers[at : at + SOME] for at in range(0, len(numbers), SOME))
        return [
            self._states,
            *(partial(self._some, part) for part in some),
            self._orphans,
            *(partial(self._files, *place) for place in places),
        ]

    def _some(self, numbers: list[int]) -> Iterator[Finding]:
        for number in numbers:
            yield from self._session(number)

    def _states(self) -> Iterator[Finding]:
        """Sessions that nothing else can be looked at of, as a part of their row is missing."""
        for row in self._database.read(
            lambda connection: connection.execute(SQL["without_state"]).fetchall()
        ):
            yield self._fixed(
                row,
                "counters",
                findings.NO_STATE,
                lambda connection, n=row["n"]: connection.execute(SQL["add_empty_state"], (n,)),
            )

    def _session(self, number: int) -> Iterator[Finding]:
        """What is wrong with a session."""
        from .. import records  # of Pydantic AI, which takes half a second to import

        found = self._database.read(lambda connection: _read(connection, number))
        if found is None:
            return
        row, broken, tips, counted = found
        if no_json := damage.unreadable(row):
            yield self._fixed(
                row,
                "counters",
                findings.no_json(no_json),
                lambda connection: _reset(connection, number),
            )
        if broken:
            yield self._history(row, broken)
            return
        for tip, why in tips.items():
            if why:
                yield _finding(row, "branch", findings.broken_branch(why))
                continue
            yield self._fixed(
                row,
                "branch",
                findings.NO_END,
                lambda connection, tip=tip: connection.execute(SQL["drop_branch"], (number, tip)),
            )
        if counted:
            yield self._fixed(
                row,
                "counters",
                findings.miscounted(counted),
                lambda connection: _recount(connection, number),
            )
        unreadable = self._database.read(
            lambda connection: findings.unread(lines.read(connection, row["head"]))
        )
        if unreadable:
            yield _finding(row, "unreadable", findings.unreadable(unreadable))
        unknown = records.unknown(row)
        if unknown:
            yield _finding(row, "unreadable", findings.unknown(unknown))
        if not row["deleted"]:
            yield from self._view(row)

    def _history(self, row: rows.Row, broken: str) -> Finding:
        """What a broken history is; it is taken from its view if that shows it as it was."""
        shown = None if row["deleted"] else self._shown(row)
        if shown is None or len(shown) != row["message_count"]:
            return _finding(row, "history", broken)
        is_fixed = self._fix and self._restored(row)
        explanation = f"{broken} {findings.IN_VIEW}"
        return _finding(row, "history", explanation, is_fixed=is_fixed, can_fix=True)

    def _restored(self, row: rows.Row) -> bool:
        """Take a broken history from its view; whether it is whole then."""
        number, head = row["n"], row["head"]
        self._database.write_now(
            lambda connection: connection.execute(SQL["set_pending"], (number,))
        )
        self._take_in(row["owner"], row["agent_id"], row["session_id"])

        def drop(connection: Connection) -> bool:
            now = connection.execute(SQL["session_by_number"], (number,)).fetchone()
            if now is None or now["head"] == head or _broken(connection, now["head"]):
                return False
            connection.execute(SQL["drop_branch"], (number, head))
            lines.release(connection, [head])
            return True

        return self._database.write_now(drop)

    def _shown(self, row: rows.Row) -> list[bytes] | None:
        """The messages in a session's view, if that is known to show the history."""
        if self._layout is None or row["pending"] or row["view_head"] != row["head"]:
            return None
        try:
            with self._layout.folder(row["owner"], row["agent_id"]) as folder:
                read = None if folder is None else read_whole(folder, row["session_id"] + SUFFIX)
        except OSError:  # of which a look at the folder tells
            return None
        if read is None or read[1] != (row["view_size"], row["view_mtime"]):
            return None  # it is being changed, and taken in at the next look
        try:
            return messages.split(read[0], strict=False)
        except InvalidMessages:
            return []

    def _view(self, row: rows.Row) -> Iterator[Finding]:
        """Whether a view of known mark shows what it is known to show."""
        shown = self._shown(row)
        if shown is None:
            return
        bodies = self._database.read(
            lambda connection: [entry.body for entry in lines.read(connection, row["head"])]
        )
        if len(shown) == len(bodies) and all(map(messages.same, bodies, shown)):
            return
        if self._fix:
            self._database.write_now(
                lambda connection: connection.execute(SQL["set_pending"], (row["n"],))
            )
            self._take_in(row["owner"], row["agent_id"], row["session_id"])
        yield _finding(
            row,
            "view",
            "The .json file is not what was written, though it has its size and time. What it "
            "holds is taken in as the history, and the old one kept as a branch.",
            is_fixed=self._fix,
            can_fix=True,
        )

    def _orphans(self) -> Iterator[Finding]:
        """Messages that no session reaches."""
        count, size = self._database.read(
            lambda connection: tuple(connection.execute(SQL["orphans"]).fetchone())
        )
        if count:
            yield Finding(kind="orphan", explanation=findings.orphans(count, size))

    def _files(self, owner: str, agent_id: str) -> Iterator[Finding]:
        assert self._layout is not None
        return StrangeFiles(self._database, self._layout, fix=self._fix).look(owner, agent_id)

    def _fixed(
        self, row: rows.Row, kind: str, explanation: str, fix: Callable[[Connection], object]
    ) -> Finding:
        if self._fix:
            self._database.write_now(fix)
        return _finding(row, kind, explanation, is_fixed=self._fix, can_fix=True)


def _finding(row: rows.Row, kind: str, explanation: str, **fields: Any) -> Finding:
    return Finding(
        kind=kind,
        explanation=explanation,
        owner=row["owner"] or None,
        agent_id=row["agent_id"],
        session_id=row["session_id"],
        **fields,
    )


def _read(
    connection: Connection, number: int
) -> tuple[rows.Row, str | None, dict[int, str], set[str]] | None:
    """A session's row, why its history is broken, likewise its branches, and wrong counters.

    A branch whose end isn't there has no reason.
    """
    row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
    if row is None:
        return None
    broken = _broken(connection, row["head"])
    lost: dict[int, str] = {}
    for (tip,) in connection.execute(SQL["tips"], (number,)).fetchall():
        if connection.execute(SQL["has_entry"], (tip,)).fetchone() is None:
            lost[tip] = ""
        elif why := _broken(connection, tip):
            lost[tip] = why
    return row, broken, lost, set() if broken else _miscounted(connection, row)


def _broken(connection: Connection, head: int) -> str | None:
    """Why a history can't be read, or `None`."""
    end: int | None = None
    while head:
        line = connection.execute(SQL["line"], (head >> lines.SHIFT,)).fetchone()
        if line is None:
            return findings.PART_MISSING
        first = head >> lines.SHIFT << lines.SHIFT
        there = connection.execute(SQL["entries_there"], (first, head)).fetchone()[0]
        if there != head - first + 1:
            return findings.missing(head - first + 1 - there)
        if end is not None and line[1] + there != end:
            return findings.NOT_FOLLOWING
        end, head = line[1], line[0]
    return None if not end else findings.START_MISSING


def _miscounted(connection: Connection, row: rows.Row) -> set[str]:
    """Which counters of a session are wrong."""
    head: int = row["head"]
    wanted = {
        "message_count": lines.count(connection, head),
        "body_bytes": lines.body_bytes(connection, head),
        "head_id": lines.entry_id(connection, head),
    }
    wrong = {name for name, value in wanted.items() if row[name] != value}
    tags = _tags(connection, row["n"])
    if tags != sorted(damage.tags(damage.emptied(row, tags)["tags"])):
        wrong.add("tags")
    return wrong


def _tags(connection: Connection, number: int) -> list[str]:
    """The tags that lists find a session by."""
    return sorted(tag for (tag,) in connection.execute(SQL["tags"], (number,)))


def _recount(connection: Connection, number: int) -> None:
    row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
    if row is not None:
        rows.recount(connection, row)


def _reset(connection: Connection, number: int) -> None:
    """Empty what a session carries that is no JSON; its tags are those that lists find it by."""
    row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
    if row is not None:
        new = damage.emptied(row, _tags(connection, number))
        connection.execute(SQL["set_tags"], (new["tags"], number))
        connection.execute(SQL["set_metadata"], (new["metadata"], number))
        connection.execute(SQL["set_state"], (new["usage"], new["deferred"], number))
