"""Asking before something is lost, and showing how far long work is."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Generator
from typing import Protocol

import typer

from .output import plain
from .place import Refused


def confirm(question: str, *, yes: bool) -> None:
    """Go on if the person says so.

    Args:
        question: What would be done.
        yes: Whether `--yes` has answered it.

    Raises:
        Refused: If nobody can be asked, as in a pipe.
        typer.Exit: With 1, if the answer is no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Refused(f"{question} Nobody can be asked here; say --yes to do it.")
    with interruptible() as pressed:
        sys.stderr.write(f"{plain(question)} [y/N] ")
        sys.stderr.flush()
        select.select([sys.stdin, pressed], [], [])
        answer = sys.stdin.readline()
    if answer.strip().lower() not in ("y", "yes"):
        sys.stderr.write("Nothing was done.\n")
        raise typer.Exit(1)


@contextlib.contextmanager
def interruptible() -> Generator[int]:
    """Let Ctrl-C end a wait for input: the event loop's own handler only takes note of it.

    Gives a file descriptor that is readable once Ctrl-C was pressed, to be waited for besides
    the input: a `read` that begins in the moment of the signal isn't ended by it.
    """
    pressed, notified = os.pipe()
    os.set_blocking(notified, False)
    woken = signal.set_wakeup_fd(notified, warn_on_full_buffer=False)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(woken)
        os.close(pressed)
        os.close(notified)


class Advance(Protocol):
    """Moves a bar on by `steps`; `more` are steps that it is known by now to take besides."""

    def __call__(self, steps: int, more: int = 0) -> None:
        """Move it."""
        ...


def _nowhere(steps: int, more: int = 0) -> None:
    """Move no bar."""


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Generator[Advance]:
    """A bar on stderr, on a terminal and if there is more than one step; gives how to go on.

    Args:
        what: What is done.
        total: Of how many steps, or `None` if nobody knows yet.
    """
    if not sys.stderr.isatty() or (total is not None and total < 2):
        yield _nowhere
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from .output import console

    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console(sys.stderr),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),  # lines go above the bar, but never out of a pipe
    ) as bar:
        task = bar.add_task(what, total=total)

        def advance(steps: int, more: int = 0) -> None:
            if more:
                bar.update(task, total=more + (bar.tasks[0].total or 0))
            bar.advance(task, steps)

        yield advance
