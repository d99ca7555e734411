"""Keeping the index: what was saved is indexed behind it, in a thread of the store's own.

A save only marks its session's row. What is marked is read, its words are made beside the writer,
and put in by transactions that wait for no sync: a crash leaves the mark. A search first indexes
what is marked of its owner. Forks and branches share entries: each is indexed once for a place.

The same thread removes the traces of what was purged, where whoever purged it doesn't do so.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

from .. import findings, search
from ..errors import MythlineError, StoreClosed, StoreCorrupt
from ..models import Finding
from . import documents, lines
from .database import SQL, Connection, Database

log = logging.getLogger("mythline")

T = TypeVar("T")

PAUSE: Final = 0.5
"""Seconds that saves may go on before they are indexed together."""
RETRY: Final = 5.0
SOME: Final = 500
ENOUGH: Final = 1 << 20
"""Bytes of messages that one transaction indexes, and a bit more."""
OVERHEAD: Final = 500
MERGE_PAGES: Final = 500
ERASE_TRIES: Final = 20


class _Run(NamedTuple):
    """Entries of one line, `first` to `last`, with their ids and words."""

    first: int
    last: int
    ids: list[str]
    found: list[documents.Document]


class _Part(NamedTuple):
    """What of a session is to be indexed; with `is_all`, nothing is left then."""

    session: int
    place: tuple[str, str]
    head: int
    tips: list[int]
    runs: list[_Run]
    is_all: bool


class Indexing:
    """Keeps the index of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = threading.Lock()
        self._erasing = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin, with what earlier processes left."""
        self._stop.clear()
        self._wake.set()
        self._thread = threading.Thread(target=self._run, name="mythline-index", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what is not indexed is marked as such."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def wake(self) -> None:
        """Note that something was written."""
        if not self._wake.is_set():
            self._wake.set()

    def _run(self) -> None:
        wait: float | None = None
        while True:
            self._wake.wait(wait)
            if self._stop.wait(PAUSE):
                return
            self._wake.clear()
            if self._stop.is_set():  # what was cleared may be the wake of who closes
                return
            try:
                wait = None if self._catch_up() else RETRY
            except StoreClosed:
                return
            except (MythlineError, sqlite3.Error) as error:
                log.warning("what was saved could not be indexed, and is tried again: %s", error)
                wait = RETRY

    def _catch_up(self) -> bool:
        """Do what is to be done; whether all of it could be."""
        while not self._stop.is_set() and self._some(None, None):
            pass
        return self._stop.is_set() or self._is_erased() or self._erase_once()

    # Indexing

    def read_new(
        self, owner: str, agents: Sequence[str] | None, function: Callable[[Connection], T]
    ) -> T:
        """What `function` reads when all is indexed that was saved of an owner and agents."""
        for is_second in (False, True):
            for agent_id in [None] if agents is None else agents:
                while self._some(owner, agent_id):
                    pass
            try:
                return self._database.read(function)
            except StoreCorrupt:
                if is_second:
                    raise
                self._renew()
        raise AssertionError

    def _some(self, owner: str | None, agent_id: str | None) -> bool:
        """Index some of what is marked; whether there was anything."""
        with self._turn:
            try:
                return self._index_some(owner, agent_id)
            except StoreCorrupt:
                self._renew()
                return self._index_some(owner, agent_id)

    def _renew(self) -> None:
        log.warning("the search index is damaged, and is built anew")
        self._database.write_now(documents.reset)

    def _index_some(self, owner: str | None, agent_id: str | None) -> bool:
        parts = self._database.read(lambda connection: _gather(connection, owner, agent_id))
        if parts is None:
            self._database.write_now(_renew)
            return True
        if parts:
            self._database.write_now(lambda connection: _store(connection, parts))
        return bool(parts)

    # Erasing

    def _is_erased(self) -> bool:
        state = self._database.read(lambda c: c.execute(SQL["search_state"]).fetchone())
        return state["purged"] <= state["erased"]

    def erase(self) -> None:
        """Remove the traces of what was purged from every file; wait for that, some seconds.

        Whoever reads an older state for longer is in the way: then it is done later.
        """
        for _ in range(ERASE_TRIES):
            if self._is_erased() or self._erase_once():
                return
            time.sleep(0.1)
        log.warning("traces of what was purged stay in the log while another program reads it")
        self._wake.set()

    def _erase_once(self) -> bool:
        with self._erasing:
            state = self._database.read(lambda c: c.execute(SQL["search_state"]).fetchone())
            if state["purged"] <= state["erased"]:
                return True
            pages = -MERGE_PAGES  # all that there is now; then the rest of it, in turns
            while self._database.write_now(lambda c, pages=pages: _merge(c, pages)):
                pages = MERGE_PAGES
            if not self._database.empty_log():
                return False
            done = (state["purged"],)
            self._database.write_now(lambda c: c.execute(SQL["set_erased"], done) and None)
            return True

    # Checking

    def check(self, *, fix: bool) -> list[Finding]:
        """What is wrong with the index; with `fix`, it is built anew then."""
        try:
            wrong = self._database.write_now(_problem)
        except StoreCorrupt:
            wrong = "The search index is damaged."
        if wrong is None:
            return []
        if fix:
            self._database.write_now(documents.reset)
            while self._some(None, None):
                pass
        explanation = findings.outdated_search(wrong)
        return [Finding(kind="search", explanation=explanation, is_fixed=fix, can_fix=True)]


def _gather(connection: Connection, owner: str | None, agent_id: str | None) -> list[_Part] | None:
    """What of marked sessions is to be indexed, with its words; `None` for an outdated index."""
    version = documents.version(connection)
    if version != search.VERSION:
        return None if version < search.VERSION else []
    names = {"owner": owner, "agent_id": agent_id, "limit": SOME}
    statement = SQL["unindexed" if owner is None else "unindexed_of"]
    parts: list[_Part] = []
    ends: dict[tuple[int, tuple[str, str]], int] = {}
    left = ENOUGH
    for (number,) in connection.execute(statement, names).fetchall():
        row = connection.execute(SQL["session_by_number"], (number,)).fetchone()
        place = row["owner"], row["agent_id"]
        tips = [tip for (tip,) in connection.execute(SQL["tips"], (number,))]
        runs: list[_Run] = []
        is_all = True
        for first, last in _missing(connection, place, [row["head"], *tips], ends):
            run, left = _read(connection, first, last, left)
            runs.append(run)
            ends[first >> lines.SHIFT, place] = run.last
            is_all = run.last == last
            if not is_all:
                break
        parts.append(_Part(number, place, row["head"], tips, runs, is_all))
        if left <= 0:
            break
    return parts


def _missing(
    connection: Connection,
    place: tuple[str, str],
    tips: Sequence[int],
    ends: dict[tuple[int, tuple[str, str]], int],
) -> Iterator[tuple[int, int]]:
    """The ranges of entries that lead to some and are not indexed for a place, oldest first."""
    known = connection.execute(SQL["place"], place).fetchone()
    for tip in tips:
        ranges: list[tuple[int, int]] = []
        for segment in _there(connection, tip):
            line = segment.first >> lines.SHIFT
            last = ends.get((line, place))
            if last is None and known is not None:
                found = connection.execute(SQL["indexed_last"], (line, known[0])).fetchone()
                last = None if found is None else found[0]
            if last is None:
                ranges.append((segment.first, segment.last))
                continue
            if last < segment.last:
                ranges.append((last + 1, segment.last))
            break
        yield from reversed(ranges)


def _there(connection: Connection, tip: int) -> Iterator[lines.Segment]:
    """The ranges of a history, as far back as they are there: a damaged one has what is left."""
    try:
        yield from lines.segments(connection, tip)
    except StoreCorrupt:
        log.warning("a part of a history is missing; the rest can be searched")


def _read(connection: Connection, first: int, last: int, left: int) -> tuple[_Run, int]:
    """The entries of a range, at least one, and more while `left` is not used up."""
    run = _Run(first, first, [], [])
    reader = connection.cursor()
    try:
        for n, entry_id, body in reader.execute(SQL["numbered_entries"], (first, last)):
            run.ids.append(entry_id)
            run.found.append(documents.read(n, entry_id, body))
            run = run._replace(last=n)
            left -= len(body) + OVERHEAD
            if left <= 0:
                break
        else:
            run = run._replace(last=last)
    finally:
        reader.close()
    return run, left


def _store(connection: Connection, parts: Sequence[_Part]) -> None:
    """Put into the index what was gathered, as far as it is still so."""
    if documents.version(connection) != search.VERSION:
        return
    found: list[tuple[documents.Document, list[int]]] = []
    for part in parts:
        place = _place(connection, part.place)
        if all(_take(connection, place, run, found) for run in part.runs) and part.is_all:
            tips = [tip for (tip,) in connection.execute(SQL["tips"], (part.session,))]
            if tips == part.tips:
                connection.execute(SQL["set_indexed"], (part.session, part.head))
    found.sort(key=lambda one: one[0].entry)
    documents.add(connection, found)


def _place(connection: Connection, place: tuple[str, str]) -> int:
    row = connection.execute(SQL["place"], place).fetchone()
    number = row[0] if row else connection.execute(SQL["add_place"], place).lastrowid
    assert number is not None
    return number


def _take(
    connection: Connection,
    place: int,
    run: _Run,
    found: list[tuple[documents.Document, list[int]]],
) -> bool:
    """Note a run's documents, unless another process did, or it was purged meanwhile."""
    line = run.first >> lines.SHIFT
    ends = dict(connection.execute(SQL["indexed_places"], (line,)).fetchall())
    before = run.first - 1 if run.first > line << lines.SHIFT else None
    if ends.pop(place, None) != before:
        return False
    now = connection.execute(SQL["entry_ids"], (run.first, run.last)).fetchall()
    if [row[0] for row in now] != run.ids:
        return False
    found.extend(
        (document, [*(other for other, last in ends.items() if last >= document.entry), place])
        for document in run.found
    )
    connection.execute(SQL["set_indexed_last"], (line, place, run.last))
    return True


def _renew(connection: Connection) -> None:
    if documents.version(connection) < search.VERSION:
        documents.reset(connection)


def _merge(connection: Connection, pages: int) -> bool:
    """Merge the index, which drops what was taken out of it; whether there is more to merge."""
    before = connection.total_changes
    try:
        connection.execute(SQL["merge_words"], (pages,))
    except sqlite3.DatabaseError as error:
        log.warning("the search index is damaged, and is built anew: %s", error)
        documents.reset(connection)
        return False
    return connection.total_changes - before >= 2


def _problem(connection: Connection) -> str | None:
    """What is wrong with the index, if anything."""
    if documents.version(connection) != search.VERSION:
        return None  # it is about to be built anew
    connection.execute(SQL["check_words"])
    odd: int = connection.execute(SQL["odd_documents"]).fetchone()[0]
    if odd:
        return f"The search index and the messages differ in {odd} places."
    for number, owner, agent_id, head in connection.execute(SQL["all_indexed"]).fetchall():
        tips = [head, *(tip for (tip,) in connection.execute(SQL["tips"], (number,)))]
        if any(_missing(connection, (owner, agent_id), tips, {})):
            return "The search index lacks messages that it should have."
    return None
