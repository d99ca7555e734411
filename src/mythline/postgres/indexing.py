"""Keeping the search index: what was saved is indexed behind it, by whichever server comes first.

A save only marks its session's row. What is marked is read, its words are made, and put in with
how far its lines are indexed then. A search first indexes what is marked of its owner. Forks and
branches share entries: each is indexed once, with the line it is in.

A line is held while its entries are put in, so that nobody does it twice, and nobody purges them
meanwhile; what was done or purged before is noticed and left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from .. import search
from ..errors import MythlineError, StoreUnavailable
from ..texts import told
from . import documents
from .connections import Connections, Row, Transaction
from .failures import OutcomeUnknown
from .search import Places
from .statements import SQL
from .texts import storable

log = logging.getLogger("mythline")

PAUSE: Final = 0.5
"""Seconds that saves may go on before they are indexed together."""
RETRY: Final = 5.0
ENTRIES: Final = 1000
ENOUGH: Final = 1 << 20
"""Bytes of messages that one transaction indexes, and a bit more."""
BESIDE: Final = 64 << 10
"""Bytes of messages from which on their words are made in a thread."""
LOCK: Final = 0x6D79736561726368
"""The advisory lock of the server that indexes behind the saves: «mysearch»."""
TRIES: Final = 5

Line = tuple[str, str, str, int]
"""Owner, agent, session that it was made in, and its number."""


class Whose(NamedTuple):
    """Whose sessions: of an owner (`None` for all), and of some agents (`None` for all)."""

    owner: str | None = None
    agents: Sequence[str] | None = None


class _Span(NamedTuple):
    """The entries of a line that are to be indexed, `low` to `high` (exclusive), for a place."""

    line: Line
    base: int
    low: int
    high: int
    place: int | None


class _Work(NamedTuple):
    """Marked sessions, with the lines that each needs, and what of them is to be indexed."""

    sessions: dict[int, Row]
    needed: dict[int, dict[Line, int]]
    spans: list[_Span]


class _Step(NamedTuple):
    """What became of some marked sessions.

    Attributes:
        done: Those of which all is indexed now.
        is_over: Whether none was left to be looked at.
        is_unmarked: Whether all that are done could be unmarked.
    """

    done: set[int]
    is_over: bool
    is_unmarked: bool


_SESSION: Final = ("owner", "agent_id", "session_id", "n", "revision")


class Indexing:
    """Keeps the index of one store.

    Args:
        connections: Where the store is written.
        written: Called when something was, which reads from a replica have to wait for.
    """

    def __init__(self, connections: Connections, written: Callable[[], None]) -> None:
        self._connections = connections
        self._written = written
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._awake = asyncio.Event()
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            weakref.WeakKeyDictionary()
        )

    def open(self) -> None:
        """Begin, in this event loop, with what earlier processes left."""
        self._loop = asyncio.get_running_loop()
        self._awake = asyncio.Event()
        self._awake.set()
        self._task = self._loop.create_task(self._run(), name="mythline-index")

    async def close(self) -> None:
        """Stop; what is not indexed is marked as such."""
        if self._task is not None and self._loop is asyncio.get_running_loop():
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task = self._loop = None

    def wake(self) -> None:
        """Note that something was written, in whatever event loop."""
        if self._loop is not None and not self._awake.is_set():
            with contextlib.suppress(RuntimeError):  # that loop has ended
                self._loop.call_soon_threadsafe(self._awake.set)

    async def _run(self) -> None:
        wait: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._awake.wait()
            await asyncio.sleep(PAUSE)
            self._awake.clear()
            try:
                wait = None if await self._all(Whose(), lock=LOCK) else PAUSE
            except MythlineError as error:
                log.warning("what was saved could not be indexed, and is tried again: %s", error)
                wait = RETRY

    async def catch_up(self, owner: str, agents: Sequence[str] | None) -> Places:
        """Index what was saved of an owner and agents until now; the places they have then."""
        known = None if agents is None else [agent for agent in agents if storable(agent)]
        whose = Whose(owner, known)
        state = await self._state(whose)
        if state["version"] < search.VERSION or state["is_behind"]:
            await self._all(whose)
            state = await self._state(whose)
        return Places(state["places"], state["agents"])

    async def _state(self, whose: Whose) -> Row:
        statement, values = _filled("search_state", whose)
        return (await self._connections.read(statement, None, *values))[0]

    async def _all(self, whose: Whose, *, lock: int | None = None) -> bool:
        """Index all that is marked; whether nothing of it is left to be done.

        With `lock`, nothing is done while another server does it.
        """
        done: set[int] = set()
        is_all = True
        while True:
            step = await self._some(whose, done, lock)
            if step is None:
                return False
            if step.is_over:
                return is_all
            done |= step.done
            is_all = is_all and step.is_unmarked

    async def _some(self, whose: Whose, done: set[int], lock: int | None) -> _Step | None:
        """Index some of what is marked, but for what is done; `None` if another server has `lock`.

        Raises:
            StoreUnavailable: If it can't be now.
        """
        turn = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        for attempt in range(TRIES):
            try:
                async with turn:
                    step = await self._connections.transact(
                        lambda transaction: _index_some(transaction, whose, done, lock)
                    )
            except (OutcomeUnknown, asyncpg.IntegrityConstraintViolationError) as error:
                if attempt + 1 == TRIES:
                    raise StoreUnavailable(
                        "What was saved could not be indexed. Try again in a moment."
                    ) from error
            else:
                if step is not None and not step.is_over:
                    self._written()
                return step
        raise AssertionError

    # Checking

    async def problem(self) -> str | None:
        """What is wrong with the index, if anything."""
        (state,) = await self._connections.read(SQL["search_version"])
        if state["version"] != search.VERSION:
            return None  # it is about to be built anew
        (row,) = await self._connections.read(SQL["odd_documents"])
        if row["odd"]:
            return f"The search index and the messages differ in {row['odd']} places."
        (row,) = await self._connections.read(SQL["not_indexed"])
        if row["lines"]:
            return "The search index lacks messages that it should have."
        return None

    async def rebuild(self) -> None:
        """Build the index anew."""
        try:
            await self._connections.transact(_reset)
        except OutcomeUnknown as error:
            raise StoreUnavailable(
                "The connection to the database was lost before the index was built. Try again."
            ) from error.__cause__
        await self._all(Whose())


async def _index_some(
    transaction: Transaction, whose: Whose, done: set[int], lock: int | None
) -> _Step | None:
    if lock is not None:
        row = await transaction.row("SELECT pg_try_advisory_xact_lock($1) AS has", lock)
        if row is None or not row["has"]:
            return None
    state = await transaction.row(SQL["search_version"])
    if state is not None and state["version"] < search.VERSION:
        await _reset(transaction)
        return _Step(set(), is_over=False, is_unmarked=True)
    statement, values = _filled("behind", whose)
    work = _work(await transaction.rows(statement, sorted(done), *values))
    is_over = not work.sessions or (state is not None and state["version"] > search.VERSION)
    if is_over:
        return _Step(set(), is_over=True, is_unmarked=True)
    ends = await _index(transaction, work.spans)
    finished = {
        n
        for n, needed in work.needed.items()
        if all(ends.get(line, 0) >= high for line, high in needed.items())
    }
    sessions = [work.sessions[n] for n in sorted(finished)]
    columns = [[row[name] for row in sessions] for name in _SESSION]
    unmarked = await transaction.rows(SQL["set_indexed"], *columns)
    return _Step(finished, is_over=False, is_unmarked=len(unmarked) == len(sessions))


async def _reset(transaction: Transaction) -> None:
    """Empty the index, and mark all sessions."""
    await transaction.row(SQL["hold_search"])
    right = await transaction.row(SQL["may_truncate"])
    may = right is not None and right["may"]
    emptying = ["drop_documents"] if may else ["hold_documents", "delete_documents"]
    for name in (*emptying, "unindex_lines", "unindex_sessions"):
        await transaction.rows(SQL[name])
    await transaction.rows(SQL["set_search_version"], search.VERSION)


def _filled(name: str, whose: Whose) -> tuple[str, list[Any]]:
    """A statement about some sessions, and the values that tell whose, from `$2` on."""
    if whose.owner is None:
        return SQL[name].format(whose=SQL["of_all"]), []
    if whose.agents is None:
        return SQL[name].format(whose=SQL["of_owner"]), [whose.owner]
    return SQL[name].format(whose=SQL["of_agents"]), [whose.owner, whose.agents]


def _work(found: Sequence[Row]) -> _Work:
    """What is to be done, oldest entries first: what a line follows is indexed before it."""
    work = _Work({}, {}, [])
    spans: dict[Line, _Span] = {}
    for row in found:
        work.sessions[row["n"]] = row
        needed = work.needed.setdefault(row["n"], {})
        if row["home"] is None:
            continue
        line = row["owner"], row["agent_id"], row["home"], row["line"]
        needed[line] = row["length"]
        before = spans.get(line)
        high = row["length"] if before is None else max(before.high, row["length"])
        spans[line] = _Span(line, row["base"], row["indexed"], high, row["number"])
    work.spans.extend(sorted(spans.values(), key=lambda span: (span.base, span.line)))
    return work


async def _index(transaction: Transaction, spans: Sequence[_Span]) -> dict[Line, int]:
    """Index the first of some spans; up to where their lines are indexed then."""
    spans = _some_of(await _placed(transaction, spans))
    if not spans:
        return {}
    lines = [*zip(*(span.line for span in spans), strict=True)]
    lows, highs = [span.low for span in spans], [span.high for span in spans]
    found = await transaction.rows(SQL["new_entries"], *lines, lows, highs, ENOUGH)
    if found and found[-1]["upto"] >= ENOUGH:  # there may be more
        last = found[-1]
        spans = spans[: last["span"]]
        spans[-1] = spans[-1]._replace(high=last["place"] + 1)
    if sum(len(row["body"]) for row in found) > BESIDE:
        made = await asyncio.to_thread(_documents, spans, found)
    else:
        made = _documents(spans, found)
    stored = await transaction.rows(
        SQL["add_documents"],
        *zip(*(span.line for span in spans), strict=True),
        [span.low for span in spans],
        [span.high for span in spans],
        *made,
    )
    return {
        (row["owner"], row["agent_id"], row["session_id"], row["line"]): row["indexed"]
        for row in stored
    }


async def _placed(transaction: Transaction, spans: Sequence[_Span]) -> list[_Span]:
    """Spans with the numbers of their places, which they get where they have none."""
    new = sorted({span.line[:2] for span in spans if span.place is None})
    if not new:
        return list(spans)
    columns = [*zip(*new, strict=True)]
    await transaction.rows(SQL["add_places"], *columns)
    numbers = {
        (row["owner"], row["agent_id"]): row["number"]
        for row in await transaction.rows(SQL["places"], *columns)
    }
    return [
        span._replace(place=numbers[span.line[:2]]) if span.place is None else span
        for span in spans
    ]


def _some_of(spans: Sequence[_Span]) -> list[_Span]:
    """The first of some spans, with as many entries as one transaction indexes."""
    some: list[_Span] = []
    left = ENTRIES
    for span in spans:
        if left <= 0:
            break
        some.append(span._replace(high=min(span.high, span.low + left)))
        left -= some[-1].high - span.low
    return some


def _documents(
    spans: Sequence[_Span], found: Sequence[Row]
) -> tuple[list[int], list[int], list[int], list[str], list[bool]]:
    """The documents of entries as the statement takes them, each with the number of its span."""
    ords: list[int] = []
    places: list[int] = []
    times: list[int] = []
    texts: list[str] = []
    whole: list[bool] = []
    for row in found:
        number: int = row["span"]
        place = spans[number - 1].place
        assert place is not None
        told_of = told(row["entry_id"], row["body"])
        words = documents.words(place, told_of.texts)
        ords.append(number)
        places.append(row["place"])
        times.append(told_of.time)
        texts.append(words.text)
        whole.append(words.is_whole)
    return ords, places, times, texts, whole
