"""The command line as people, pipes and programs meet it."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from mythline import cli

COMMAND = [sys.executable, "-m", "mythline"]
STEERING = "\x1b[31m\x1b]0;title\x07\x9b2J\u202e\x08"
"""What would colour, retitle, clear and turn round a terminal."""


@dataclass
class Ran:
    """What became of a command: its exit code and output."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    left_out = ("MYTHLINE_", "NO_COLOR", "PAGER", "LESS", "FORCE_COLOR", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, "TERM": "xterm-256color", **(more or {})}


def process(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> Ran:
    """The command in a process of its own, between pipes."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=cwd,
        env=environment(),
        timeout=60,
    )
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def invoke(*arguments: object, stdin: bytes = b"") -> Ran:
    """The same in this process, which takes less time."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    code = 0
    with contextlib.ExitStack() as stack:
        words = ["mythline", *map(str, arguments)]
        stack.enter_context(mock.patch.object(sys, "argv", words))
        stack.enter_context(mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
    return Ran(code, *(_written(stream) for stream in (out, err)))


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


def terminal(
    *arguments: object,
    answer: str = "",
    columns: int = 80,
    lines: int = 24,
    interrupt: bool = False,
    cwd: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Ran:
    """The command on a terminal. All that it shows is in `out`.

    Args:
        arguments: Its words.
        answer: What the person types at the first question.
        columns: The size of the terminal; and `lines`.
        interrupt: Whether the person presses Ctrl-C at the first question.
        cwd: The working directory.
        variables: Of the environment.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    running = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env=environment(variables),
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    asked = False
    ends = time.monotonic() + 60
    try:
        while time.monotonic() < ends:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
            if b"[y/N]" in seen and not asked:
                asked = True
                if interrupt:
                    running.send_signal(signal.SIGINT)
                else:
                    os.write(ours, f"{answer}\n".encode())
        code = running.wait(60)
    finally:
        running.kill()
        running.wait()
        os.close(ours)
    return Ran(code, seen.decode().replace("\r\n", "\n"), "")


def turn(*texts: str) -> bytes:
    """Messages, a prompt and an answer in turns, as JSON."""
    made = []
    for place, text in enumerate(texts):
        if place % 2:
            part = {"content": text, "part_kind": "text"}
            made.append({"parts": [part], "timestamp": "2026-01-02T03:04:06Z", "kind": "response"})
        else:
            stamp = "2026-01-02T03:04:05Z"
            part = {"content": text, "timestamp": stamp, "part_kind": "user-prompt"}
            made.append({"parts": [part], "kind": "request"})
    return json.dumps(made).encode()


def tool_turn() -> bytes:
    """A turn with a system prompt, thinking, and a call of a tool."""
    return json.dumps(
        [
            {
                "parts": [
                    {"content": "Be brief.", "part_kind": "system-prompt"},
                    {"content": f"Where{STEERING} steers?", "part_kind": "user-prompt"},
                ],
                "kind": "request",
            },
            {
                "parts": [
                    {"content": "I should look.", "part_kind": "thinking"},
                    {
                        "tool_name": "look",
                        "args": '{"place": "road"}',
                        "tool_call_id": "c1",
                        "part_kind": "tool-call",
                    },
                ],
                "kind": "response",
            },
            {
                "parts": [
                    {
                        "tool_name": "look",
                        "content": f"mist{STEERING}",
                        "tool_call_id": "c1",
                        "part_kind": "tool-return",
                    }
                ],
                "kind": "request",
            },
            {"parts": [{"content": "By the road.", "part_kind": "text"}], "kind": "response"},
        ]
    ).encode()
