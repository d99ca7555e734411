"""What tests of the store share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)

from mythline.errors import StoreUnavailable
from tests.postgres.programs import until
from tests.postgres.servers import ask


def turn(text: str) -> list[ModelMessage]:
    """A question, and the answer to it."""
    return [
        ModelRequest(parts=[UserPromptPart(text)]),
        ModelResponse(parts=[TextPart(f"{text}!")]),
    ]


async def texts(sessions: Any, session_id: str) -> list[str]:
    """What a history says, message for message."""
    return [str(message.parts[0].content) for message in await sessions.history(session_id)]


_TORN = {
    "a session whose counters don't fit its entries": """
        SELECT s.session_id FROM mythline.sessions AS s
          JOIN mythline.lines AS l USING (owner, agent_id, session_id, line)
         WHERE s.message_count <> l.base + s.length
            OR s.length <> (SELECT count(*) FROM mythline.entries AS e
                             WHERE (e.owner, e.agent_id, e.session_id, e.line)
                                 = (s.owner, s.agent_id, s.session_id, s.line)
                               AND e.place < s.length)
            OR s.length > 0 AND s.head_id IS DISTINCT FROM (
                 SELECT e.entry_id FROM mythline.entries AS e
                  WHERE (e.owner, e.agent_id, e.session_id, e.line, e.place)
                      = (s.owner, s.agent_id, s.session_id, s.line, s.length - 1))
            OR s.length > 0 AND s.body_bytes IS DISTINCT FROM (
                 SELECT e.total FROM mythline.entries AS e
                  WHERE (e.owner, e.agent_id, e.session_id, e.line, e.place)
                      = (s.owner, s.agent_id, s.session_id, s.line, s.length - 1))""",
    "a session without its line": """
        SELECT s.session_id FROM mythline.sessions AS s
          LEFT JOIN mythline.lines AS l USING (owner, agent_id, session_id, line)
         WHERE l.line IS NULL""",
    "a line that has gaps": """
        SELECT session_id, line FROM mythline.entries
         GROUP BY owner, agent_id, session_id, line
        HAVING count(*) <> max(place) + 1 OR min(place) <> 0""",
    "entries without a line": """
        SELECT e.session_id FROM mythline.entries AS e
          LEFT JOIN mythline.lines AS l USING (owner, agent_id, session_id, line)
         WHERE l.line IS NULL""",
    "a line that follows nothing": """
        SELECT l.session_id FROM mythline.lines AS l
          LEFT JOIN mythline.entries AS e
            ON (e.owner, e.agent_id, e.session_id, e.line, e.place)
             = (l.owner, l.agent_id, l.follows_home, l.follows_line, l.follows_place)
         WHERE l.follows_line IS NOT NULL AND e.entry_id IS DISTINCT FROM l.follows_id""",
}


def check_whole(dsn: str) -> None:
    """Nothing in a database is torn: counters, places and what follows what fit together."""
    for what, statement in _TORN.items():
        assert ask(dsn, statement) == [], what


async def eventually(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Wait for a condition, which is asked in a thread and may block."""
    await asyncio.to_thread(until, condition, what, seconds)


class Saver:
    """Clients that save turns to sessions of their own, without end. An async context manager.

    Attributes:
        stored: The turns of each session that were acknowledged, in order.
        unknown: Those that ended with an error: each may be stored once, or not.
        unexpected: What was raised that isn't said of a database that can't be reached.
    """

    def __init__(self, store: Any, clients: int = 4) -> None:
        self._sessions = store.sessions("agent")
        self.stored: dict[str, list[str]] = {f"session-{each}": [] for each in range(clients)}
        self.unknown: set[str] = set()
        self.unexpected: list[BaseException] = []
        self.failures = 0
        self.count = 0
        self._done = False

    async def __aenter__(self) -> Saver:
        for session_id in self.stored:
            await self._sessions.create(session_id)
        self._tasks = [asyncio.create_task(self._save(name)) for name in self.stored]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._done = True
        await asyncio.gather(*self._tasks)

    async def _save(self, session_id: str) -> None:
        number = 0
        while not self._done:
            number += 1
            text = f"{session_id} {number}"
            try:
                await self._sessions.append(session_id, turn(text))
            except StoreUnavailable:
                self.failures += 1
                self.unknown.add(text)
                await asyncio.sleep(0.01)
            except Exception as error:
                self.unexpected.append(error)
                return
            else:
                self.count += 1
                self.stored[session_id].append(text)

    async def more(self, count: int, seconds: float = 60) -> float:
        """Wait until so many more turns are stored; how many seconds that took."""
        start, until = time.monotonic(), self.count + count
        while self.count < until:
            assert not self.unexpected
            assert time.monotonic() < start + seconds, "nothing is stored any more"
            await asyncio.sleep(0.005)
        return time.monotonic() - start

    async def fails(self, seconds: float = 60) -> None:
        """Wait until a save fails that was begun from now on."""
        start, until = time.monotonic(), self.failures + len(self.stored) + 1
        while self.failures < until:
            assert time.monotonic() < start + seconds, "everything is stored all the same"
            await asyncio.sleep(0.005)

    async def check(self) -> None:
        """All that was acknowledged is there, once and in order, and nothing is there twice."""
        for session_id, stored in self.stored.items():
            found = await texts(self._sessions, session_id)
            questions = found[::2]
            assert found[1::2] == [f"{question}!" for question in questions]
            assert len(questions) == len(set(questions))
            assert [text for text in questions if text in set(stored)] == stored
            assert set(questions) <= {*stored, *self.unknown}
