"""Keeps lists up to date with what other programs do in the folders of views.

The first list of a folder has it compared with the truth, by names and marks. From then on the
system tells what changes there (`watchfiles`: inotify and its like), and it is taken in at once,
beside every request. What is never listed is never watched over; a session that is asked for by
its id is looked at then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

from . import rows
from .foreign import Foreign
from .layout import Layout, owner_folder

if TYPE_CHECKING:
    from watchfiles import Change

log = logging.getLogger("mythline")

PATIENCE: Final = 1.0
"""Seconds that lists wait for the first comparison of their folder, all of them together."""
FEW: Final = 5_000
"""Files of a folder up to which that is of names and marks; of more it is of names."""
DEBOUNCE_MS: Final = 100
QUIET_MS: Final = 300
"""Milliseconds without a change after which removed views are believed to be removed."""
RETRY: Final = 0.7
LONGEST_RETRY: Final = 30.0
HEAD_START: Final = 0.25
"""Seconds that a process gets to list and be gone, before watching is begun."""

Folder = tuple[str, str]


class _Comparison(NamedTuple):
    """When a folder was first asked for, and what there is of it by now.

    Its newest files; what lists wait for; all.
    """

    since: float
    begun: Future[None]
    listed: Future[None]
    done: Future[None]

    def begin(self) -> None:
        """Let nobody wait any longer who would have had nothing."""
        if not self.begun.done():
            self.begun.set_result(None)

    def end(self) -> None:
        """Let nobody wait any longer."""
        for future in (self.begun, self.listed, self.done):
            if not future.done():
                future.set_result(None)


class Watch:
    """Compares the folders of one store with the truth, and watches them."""

    def __init__(self, layout: Layout, foreign: Foreign) -> None:
        self._layout = layout
        self._foreign = foreign
        self._compared: dict[Folder, _Comparison] = {}
        self._owners: dict[str, str] = {}  # by the names of their folders
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._asked: SimpleQueue[tuple[Folder, _Comparison] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        """Begin, with a look for folders that were lost while nobody watched."""
        self._start(self._compare_all, "compare")

    def close(self) -> None:
        """Stop watching and comparing."""
        self._stop.set()
        self._asked.put(None)
        for thread in self._threads:
            thread.join()
        with self._lock:
            for found in self._compared.values():
                found.end()

    async def compared(self, owner: str, agent_id: str | None, *, patient: bool = False) -> None:
        """Wait until a folder was compared with the truth; for no agent, all of the owner's.

        At the most until `PATIENCE` after it was first asked for, unless `patient`: then until
        all of it was. But of a folder that nothing is known of, the newest files are waited for:
        no sessions is not the answer where there are many.
        """
        agents = self._layout.agent_folders(owner) if agent_id is None else [agent_id]
        asked = [self._ask((owner, agent)) for agent in agents]
        if patient:
            waiting = [found for found in asked if not found.done.done()]
            seconds = None
        else:
            waiting = [found for found in asked if not found.listed.done()]
            since = max((found.since for found in waiting), default=0.0)
            seconds = max(0.0, since + PATIENCE - time.monotonic())
        if waiting and seconds != 0:
            await _wait([found.done if patient else found.listed for found in waiting], seconds)
        for agent, found in zip(agents, asked, strict=True):
            if not found.begun.done() and not self._foreign.knows(owner, agent):
                await _wait([found.begun])

    def _ask(self, folder: Folder) -> _Comparison:
        with self._lock:
            found = self._compared.get(folder)
            if found is None:
                found = _Comparison(time.monotonic(), Future(), Future(), Future())
                if self._stop.is_set():
                    found.end()
                    return found
                if len(self._threads) == 1:
                    self._start(self._run, "watch")
                self._owners[owner_folder(folder[0])] = folder[0]
                self._compared[folder] = found
                self._asked.put((folder, found))
            return found

    def _start(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=f"mythline-{name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _compare_all(self) -> None:
        self._try(self._foreign.find_lost_folders, self._stop.is_set)
        unread: list[Folder] = []
        while not self._stop.is_set():
            if unread and self._asked.empty():
                folder = unread.pop()
                self._try(self._foreign.read_pending, *folder, self._is_asked)
                if not self._asked.empty():
                    unread.append(folder)
                continue
            asked = self._asked.get()
            if asked is not None:
                self._compare(*asked)
                unread.append(asked[0])

    def _is_asked(self) -> bool:
        return self._stop.is_set() or not self._asked.empty()

    def _compare(self, folder: Folder, found: _Comparison) -> None:
        is_there = False
        try:
            files = self._foreign.find_new(*folder, self._stop.is_set, found.begin)
            if files is not None and files > FEW:
                found.listed.set_result(None)
            is_there = self._foreign.find_changed(*folder, self._stop.is_set)
        except Exception as error:
            log.warning("a folder of sessions could not be compared: %s", error)
        if not is_there:  # the next list looks again
            with self._lock:
                self._compared.pop(folder, None)
        found.end()

    def _run(self) -> None:
        if self._stop.wait(HEAD_START):
            return
        from watchfiles import watch

        while not self._stop.is_set():
            try:
                self._follow(
                    watch(
                        self._layout.root,
                        watch_filter=self._is_view_or_folder,
                        debounce=DEBOUNCE_MS,
                        step=20,
                        stop_event=self._stop,
                        rust_timeout=QUIET_MS,
                        yield_on_timeout=True,
                        raise_interrupt=False,
                        ignore_permission_denied=True,
                    )
                )
            except Exception as error:
                log.warning("the store's folder can't be watched, and is compared: %s", error)
                self._compare_again()

    def _follow(self, reports: Iterable[set[tuple[Change, str]]]) -> None:
        removed: set[rows.Place] = set()
        failed = _Failed()
        for number, changes in enumerate(reports):
            if number == 0:  # what was compared before the watch began may have changed since
                again = set(self._compared)
            else:
                again = failed.due()
            gone: set[rows.Place] = set()
            for _, path in changes:
                place = self._layout.place_of(path, self._owners)
                if place is None:
                    continue
                owner, agent_id, session_id = place
                if agent_id is None:
                    again |= {folder for folder in list(self._compared) if folder[0] == owner}
                elif (owner, agent_id) not in self._compared:
                    continue
                elif session_id is None:
                    again.add((owner, agent_id))
                elif os.path.lexists(path):
                    if not self._try(self._foreign.notice, (owner, agent_id, session_id)):
                        failed.add((owner, agent_id))
                else:
                    gone.add((owner, agent_id, session_id))
            # A folder that is being removed loses its files first: wait until it is quiet.
            if gone:
                removed |= gone
            else:
                for place in removed:
                    if not self._try(self._foreign.notice, place):
                        failed.add(place[:2])
                removed = set()
            for folder in again:
                if self._try(self._foreign.reconcile, *folder, self._stop.is_set) and self._try(
                    self._foreign.read_pending, *folder, self._stop.is_set
                ):
                    failed.end(folder)
                else:
                    failed.add(folder)

    @staticmethod
    def _try(function: Callable[..., object], *arguments: object) -> bool:
        """Whether `function` did what it does; it is told to the log if not."""
        try:
            function(*arguments)
        except Exception as error:
            log.warning("a change of another program could not be taken in: %s", error)
            return False
        return True

    def _is_view_or_folder(self, _change: object, path: str) -> bool:
        name = os.path.basename(path)
        return name.endswith(".json") or "." not in name or name.startswith("@")

    def _compare_again(self) -> None:
        """Where nothing tells of changes: compare what was listed, again and again."""
        until = time.monotonic() + 60
        while time.monotonic() < until and not self._stop.wait(RETRY):
            for folder in list(self._compared):
                self._try(self._foreign.reconcile, *folder, self._stop.is_set)
                self._try(self._foreign.read_pending, *folder, self._stop.is_set)


class _Failed:
    """Folders in which something was not taken in, to be compared again after a while."""

    def __init__(self) -> None:
        self._found: dict[Folder, tuple[float, float]] = {}

    def add(self, folder: Folder) -> None:
        """Note that it failed: the more often it does, the later it is tried again."""
        when, pause = self._found.get(folder, (0.0, RETRY / 2))
        now = time.monotonic()
        if now >= when:
            pause = min(2 * pause, LONGEST_RETRY)
            self._found[folder] = now + pause, pause

    def due(self) -> set[Folder]:
        """Those to be tried now."""
        now = time.monotonic()
        return {folder for folder, (when, _) in self._found.items() if now >= when}

    def end(self, folder: Folder) -> None:
        """Note that all of it was taken in."""
        self._found.pop(folder, None)


async def _wait(futures: Iterable[Future[None]], seconds: float | None = None) -> None:
    """Wait for all of `futures`, whoever else does; at most so long."""
    shielded = [asyncio.shield(asyncio.wrap_future(future)) for future in futures]
    await asyncio.wait(shielded, timeout=seconds)
