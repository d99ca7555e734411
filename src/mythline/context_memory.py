"""Three sync functions for code that keeps sessions in files.

    history = load_context("story_researcher", session_id)
    result = agent.run_sync(prompt, message_history=history)
    save_context("story_researcher", session_id, result.all_messages())

They work on the store that `open_store()` opens: `MYTHLINE_STORE`, else `.mythline` in the working
directory. It is opened at the first call and stays open; any thread may call. Code that runs in
an event loop uses `AgentSessions` instead, which doesn't block it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from pydantic_ai.messages import ModelMessage

from .errors import SessionNotFound
from .ids import check_agent_id, check_session_id
from .opening import default_location, is_database, open_store
from .store import SessionKey, Store

__all__ = ["close", "get_latest_session", "load_context", "save_context"]

T = TypeVar("T")


class _Stores:
    """The open stores of this process, and the thread whose event loop they work in."""

    def __init__(self) -> None:
        self._open: dict[str, Store] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="mythline-sync", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._loop.run_forever()
        while going := asyncio.all_tasks(self._loop):  # whoever waits for them is told
            self._loop.run_until_complete(asyncio.wait(going))
        self._loop.close()

    def begin(self, function: Callable[[Store], Coroutine[Any, Any, T]]) -> Future[T]:
        where = default_location()
        location = where if is_database(where) else str(Path(where).absolute())
        store = self._open.get(location)
        if store is None:
            store = open_store(location)
            self._start(store.open()).result()
            self._open[location] = store
        return self._start(function(store))

    def close(self) -> None:
        for store in self._open.values():
            self._start(store.close()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)


_stores: _Stores | None = None
_lock = threading.Lock()


_inherited: list[_Stores | None] = []
"""What is a parent process's, and is never touched here, not even to be collected."""


def _leave() -> None:
    """In a process that was forked off, leave what is its parent's; so may be who has the lock."""
    global _stores, _lock
    _inherited.append(_stores)
    _stores, _lock = None, threading.Lock()


os.register_at_fork(after_in_child=_leave)


def _call(function: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
    """What `function` gives for the store that is open now; nothing is begun while that closes."""
    global _stores
    with _lock:
        if _stores is None:
            _stores = _Stores()
        work = _stores.begin(function)
    return work.result()


def load_context(agent_id: str, session_id: str) -> list[ModelMessage]:
    """The history of a session, oldest first; empty if there is no session.

    Raises:
        InvalidId: If an id is outside the grammar of `mythline.ids`.
        UnreadableMessages: If the installed Pydantic AI can't read a message.
        StoreError: If the store can't be opened or read.
    """
    check_session_id(session_id)

    async def load(store: Store) -> list[ModelMessage]:
        try:
            return await store.sessions(agent_id).history(session_id)
        except SessionNotFound:
            return []

    return _call(load)


def save_context(agent_id: str, session_id: str, messages: Sequence[ModelMessage]) -> None:
    """Make `messages` the history of a session, which is made if there is none.

    What they add to the stored history is appended. Where they differ from it, they become the
    current history, and the old one stays as a branch. On return they are durable, and the
    session's `.json` file shows them.

    Raises:
        InvalidId: If an id is outside the grammar of `mythline.ids`.
        InvalidMessages: If a message can't be written as JSON.
        StoreError: If it could not be made durable; it was not stored.
    """
    key = SessionKey(None, check_agent_id(agent_id), check_session_id(session_id))

    async def save(store: Store) -> None:
        await store.sessions(agent_id).save_history(session_id, messages)
        await store.settle(key)

    _call(save)


def get_latest_session(agent_id: str) -> str | None:
    """The id of the agent's session that was saved last, or `None` if it has none.

    Raises:
        InvalidId: If the id is outside the grammar of `mythline.ids`.
        StoreError: If the store can't be opened or read.
    """
    check_agent_id(agent_id)

    async def latest(store: Store) -> str | None:
        found = await store.sessions(agent_id).latest()
        return None if found is None else found.session_id

    return _call(latest)


def close() -> None:
    """Close what these functions opened; the next call opens it again."""
    global _stores
    with _lock:
        if _stores is not None:
            _stores.close()
        _stores = None
