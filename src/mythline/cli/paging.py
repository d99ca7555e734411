"""A pager for what is longer than the screen, as `less` and its like are used elsewhere."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import PurePath
from typing import IO


@contextlib.contextmanager
def paged(wanted: bool) -> Generator[IO[str]]:
    """Where to write: into a pager on a terminal, if it is wanted; else to stdout.

    The pager is `MYTHLINE_PAGER` of the environment, else `PAGER`, else `less`; an empty one and
    `cat` are none. `less` is told to show colours, and to leave what fits on the screen there.
    The reader may leave it before the end.
    """
    command = _command() if wanted and sys.stdout.isatty() else None
    if command is None:
        yield sys.stdout
        return
    sys.stdout.flush()
    environment = {"LESS": "FRX"} | dict(os.environ)
    pager = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        env=environment,
        encoding="utf-8",
        errors="replace",
    )
    assert pager.stdin is not None
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pager's
    try:
        with contextlib.suppress(BrokenPipeError):
            yield pager.stdin
    finally:
        with contextlib.suppress(BrokenPipeError):
            pager.stdin.close()
        pager.wait()
        signal.signal(signal.SIGINT, before)


def _command() -> list[str] | None:
    """The words of the pager's command, if there is such a program."""
    chosen = os.environ.get("MYTHLINE_PAGER", os.environ.get("PAGER", "less"))
    try:
        words = shlex.split(chosen)
    except ValueError:  # quotes that don't end
        return None
    if not words or words == ["cat"] or shutil.which(words[0]) is None:
        return None
    return [*words, "-R"] if PurePath(words[0]).name == "less" else words
