"""What the tests of the local store share: turns, other programs' files, child processes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast
from urllib.parse import quote

from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_core import to_jsonable_python

from mythline.sessions import AgentSessions

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[2]
FIXTURES = REPOSITORY / "tests/data/foreign"

SOON = 30.0
"""Seconds that the tests grant for what the store does within one: machines may be very busy."""
LONG = 60.0
"""Seconds after which something hangs."""


# Messages


def turn(prompt: str, answer: str | None = None) -> list[ModelMessage]:
    """A prompt with its answer."""
    return [
        ModelRequest(parts=[UserPromptPart(prompt)]),
        ModelResponse(parts=[TextPart(prompt + "!" if answer is None else answer)]),
    ]


def turns(count: int, name: str = "turn") -> list[ModelMessage]:
    return [message for index in range(count) for message in turn(f"{name} {index}")]


def said(history: Iterable[ModelMessage]) -> list[str]:
    """The texts of a history, one for each part."""
    return [str(getattr(part, "content", "")) for message in history for part in message.parts]


def bodies_said(bodies: Iterable[bytes]) -> list[str]:
    return [part["content"] for body in bodies for part in json.loads(body)["parts"]]


# Views, and the files of other programs


def view(root: Path, agent_id: str, session_id: str, owner: str | None = None) -> Path:
    """Where the file of a session is, by the documented layout."""
    folder = root if owner is None else root / ("@" + quote(owner, safe=""))
    return folder / agent_id / "context_memory" / f"{session_id}.json"


def dump(path: Path, messages: Sequence[ModelMessage], *, ascii_only: bool = True) -> None:
    """Write a whole history as file-based code does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        json.dump(to_jsonable_python(messages), file, indent=2, ensure_ascii=ascii_only)


def messages_in(path: Path) -> list[ModelMessage]:
    """The history in a file, as file-based code reads it."""
    return ModelMessagesTypeAdapter.validate_json(path.read_bytes())


def read(path: Path) -> list[Any]:
    """The JSON array in a view."""
    found = json.loads(path.read_bytes())
    assert isinstance(found, list)
    return cast("list[Any]", found)


def file_said(path: Path) -> list[str]:
    """The texts in a view."""
    return [part.get("content") for message in read(path) for part in message["parts"]]


def shown_in(path: Path) -> list[str]:
    """The texts in a view that may not be there yet."""
    return file_said(path) if path.exists() else ["no view"]


def lines_of(data: bytes) -> list[Any]:
    """The messages of a view that has one a line; anything else fails."""
    if data == b"[]\n":
        return []
    first, *middle, last, nothing = data.split(b"\n")
    assert (first, last, nothing) == (b"[", b"]", b"")
    assert all(line.endswith(b",") for line in middle[:-1])
    return [json.loads(line.removesuffix(b",")) for line in middle]


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Every file and link below a folder, with its content."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = "-> " + str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
        else:
            found[name] = "something"
    return found


def glob(folder: Path, pattern: str) -> list[Path]:
    """What is in a folder, sorted."""
    return sorted(folder.glob(pattern))


def write(path: Path, text: str) -> None:
    """Write a file, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def leftovers(root: Path) -> list[str]:
    """Names that begin with a dot or end otherwise than in `.json` beside the views."""
    return [
        path.name
        for path in root.rglob("context_memory/*")
        if path.name.startswith(".") or path.suffix != ".json"
    ]


async def exported(sessions: AgentSessions, session_id: str) -> bytes:
    return b"".join(await sessions.export(session_id))


async def entry_ids(sessions: AgentSessions, session_id: str) -> list[str]:
    return [entry.entry_id for entry in (await sessions.entries(session_id)).entries]


async def said_in(sessions: AgentSessions, session_id: str) -> list[str]:
    return said(await sessions.history(session_id))


async def listed(sessions: AgentSessions) -> list[str]:
    """The ids of all sessions, sorted."""
    return sorted(info.session_id for info in await sessions.list(limit=1000))


# Waiting


async def eventually(
    check: Callable[[], Awaitable[T]], wanted: Any = True, *, within: float = SOON
) -> T:
    """What `check` gives as soon as it is `wanted`, or what it gave when the time was over."""
    until = time.monotonic() + within
    while True:
        found = await check()
        if found == wanted or time.monotonic() > until:
            return found
        await asyncio.sleep(0.01)


async def in_time(awaitable: Awaitable[T], within: float = LONG / 2) -> T:
    """What `awaitable` gives; fails where it hangs."""
    return await asyncio.wait_for(asyncio.ensure_future(awaitable), within)


# Processes

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["mythline.sessions", "mythline.local", "tests.local.programs"])


def process(target: Callable[..., object], *arguments: Any) -> Any:
    """A process that runs a function of `tests.local.programs`; forked off a fresh one."""
    return _context.Process(target=target, args=arguments, daemon=True)


def context() -> Any:
    return _context


@contextmanager
def program(name: str, *arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """A new interpreter that runs a function of `tests.local.programs`, with pipes to it."""
    code = f"import json, sys; from tests.local.programs import {name} as f; f(*json.loads({{}}))"
    started = subprocess.Popen(
        [sys.executable, "-c", code.format("sys.argv[1]"), json.dumps(arguments)],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(REPOSITORY), *sys.path])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    hangs = threading.Timer(LONG * 2, started.kill)  # what it is asked then has no answer
    hangs.start()
    with started:
        try:
            yield started
        finally:
            hangs.cancel()
            if started.poll() is None:
                started.kill()


def ask(running: subprocess.Popen[str], line: str) -> str:
    """Send a line to a program; its answer."""
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(line + "\n")
    running.stdin.flush()
    return running.stdout.readline().rstrip("\n")


def output(name: str, *arguments: Any, within: float = LONG) -> str:
    """What a program prints; fails where it fails or hangs."""
    with program(name, *arguments) as running:
        printed, _ = running.communicate(timeout=within)
    assert running.returncode == 0, printed
    return printed
