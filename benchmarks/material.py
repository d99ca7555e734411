"""What is stored in the benchmarks: turns of about a kilobyte, and stores of many sessions."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_ai.conversation import Conversation
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from mythline.ids import new_entry_ids
from mythline.local import LocalStore, layout, lines, rows, views
from mythline.local.database import SQL
from mythline.models import now_micros
from mythline.sessions import AgentSessions

AGENT = "story_researcher"
TMPFS = Path("/dev/shm")
_WORDS = (
    "Shadowglen lies under the boughs of Teldrassil and its keepers walk softly among lanterns "
    "where moonlight gathers silver on old stone while children listen for stories of the world"
).split()
_random = random.Random(7)


@dataclass(frozen=True)
class Options:
    """How much is measured, and where."""

    directory: Path
    quick: bool
    sessions: int
    messages: int

    def rounds(self, number: int) -> int:
        return max(15, number // 5) if self.quick else number


def _prose(words: int) -> str:
    return " ".join(_random.choice(_WORDS) for _ in range(words))


def turn() -> list[ModelMessage]:
    """A request and a response, about 1 kB as JSON."""
    return [
        ModelRequest(parts=[UserPromptPart(_prose(25))]),
        ModelResponse(
            parts=[TextPart(_prose(40))],
            usage=RequestUsage(input_tokens=120, output_tokens=60),
            model_name="some-model-1",
            provider_name="some-provider",
            provider_response_id="resp_0123456789abcdef",
            finish_reason="stop",
        ),
    ]


def history(messages: int) -> list[ModelMessage]:
    return [message for _ in range(messages // 2) for message in turn()]


async def filled(sessions: AgentSessions, session_id: str, messages: int) -> Conversation:
    """A new session of so many messages, as its owner holds it after the save."""
    conversation = Conversation(messages=history(messages), conversation_id=session_id)
    await sessions.save(conversation)
    return conversation


@contextmanager
def scratch(parent: Path, name: str) -> Iterator[Path]:
    """A directory that is gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix=f"mythline-{name}-", dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def places(options: Options) -> list[tuple[str, Path]]:
    """Where to measure: the disk, and memory, where a sync is free and the rest shows."""
    found = [("", options.directory)]
    if TMPFS.is_dir() and os.access(TMPFS, os.W_OK):
        found.append((", in memory", TMPFS))
    return found


async def many(store: LocalStore, count: int, bodies: Sequence[bytes]) -> None:
    """Make `count` sessions of these messages with their views: what saves make, but in bulk."""
    database, where = store._database, store._layout
    data = b"[\n" + b",\n".join(bodies) + b"\n]\n"
    now = now_micros()
    with where.folder("", AGENT, create=True) as folder:
        assert folder is not None

        def add(connection: Any, start: int, end: int) -> None:
            known = connection.execute(SQL["folder"], ("", AGENT)).fetchone()
            if known is None:
                identity = layout.identity(folder) or ""
                connection.execute(SQL["set_folder"], ("", AGENT, identity))
            for number in range(start, end):
                name = f"session_{number:08}"
                place = ("", AGENT, name)
                revision, *identities = new_entry_ids(1 + len(bodies))
                rows.add(connection, place, revision, now + number, now + number)
                row = rows.session(connection, place)
                assert row is not None
                new = list(zip(identities, bodies, strict=True))
                head = lines.extend(connection, 0, new)[-1]
                rows.move(
                    connection,
                    row,
                    head,
                    revision=revision,
                    updated=now + number,
                    added=bodies,
                    noted=None,
                )
                mark = views._write_beside(folder, f"{name}.json", data)
                rows.set_view(connection, row["n"], (head, len(bodies)), mark)

        for start in range(0, count, 1000):
            await database.write(
                lambda connection, start=start: add(connection, start, min(count, start + 1000)),
                durable=False,
            )
