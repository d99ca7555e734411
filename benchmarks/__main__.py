"""Measures everything and prints a table: `python -m benchmarks --help`."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from . import lists, loads, pages, postgres, saves, searches, startup, syncs
from .material import Options
from .measure import Check, Figure, Line, Skipped

PARTS = {
    "saves": saves,
    "syncs": syncs,
    "loads": loads,
    "lists": lists,
    "pages": pages,
    "searches": searches,
    "postgres": postgres,
    "startup": startup,
}


def main() -> None:
    options, parts = _arguments()
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, ", end="")
    print(f"{platform.machine()}; in {options.directory}")
    print(f"{'what':54} {'ours':>9} {'peer':>9} {'ratio':>6} {'quartiles':>12} {'bound':>6}")
    lines: list[Line] = []
    for name in parts:
        start = time.perf_counter()
        found = list(asyncio.run(PARTS[name].run(options)))
        print(f"{name} ({time.perf_counter() - start:.0f} s)")
        for line in found:
            print(_shown(line), flush=True)
        lines += found
    bounds = [
        line for line in lines if isinstance(line, Figure | Check) and line.is_kept is not None
    ]
    missed = [line.what for line in bounds if not line.is_kept]
    print(f"{len(bounds) - len(missed)} of {len(bounds)} bounds kept")


def _arguments() -> tuple[Options, list[str]]:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {' '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller stores")
    parser.add_argument("--sessions", type=int, help="in the large store (100000; quick: 10000)")
    parser.add_argument("--messages", type=int, help="in the long session (10000; quick: 2000)")
    parser.add_argument(
        "--directory", type=Path, default=Path(tempfile.gettempdir()), help="the disk to measure"
    )
    parser.add_argument(
        "--sync-ms", type=float, default=0, help="milliseconds that each sync takes longer (strace)"
    )
    given = parser.parse_args()
    if given.sync_ms:
        _begin_anew(parser, given.sync_ms)
    unknown = set(given.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no such part: {' '.join(sorted(unknown))}")
    sessions = given.sessions or (10_000 if given.quick else 100_000)
    messages = given.messages or (2_000 if given.quick else 10_000)
    options = Options(given.directory, given.quick, sessions, messages)
    return options, given.parts or list(PARTS)


def _begin_anew(parser: argparse.ArgumentParser, sync_ms: float) -> None:
    """Run under strace, which delays what syncs: here, and in the servers that are started."""
    strace = shutil.which("strace")
    if strace is None:
        parser.error("--sync-ms needs strace")
    calls = "fsync,fdatasync"
    delay = f"inject={calls}:delay_exit={round(sync_ms * 1000)}"
    command = [strace, "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
    work = [sys.executable, "-m", __package__ or "", *sys.argv[1:], "--sync-ms", "0"]
    print(f"Each sync takes {sync_ms:g} ms longer than the disk has it", flush=True)
    os.execv(strace, [*command, "-e", delay, *work])


def _shown(line: Line) -> str:
    if isinstance(line, Skipped):
        return f"  {line.what:52} skipped: {line.why}"
    mark = {None: "", True: " ok", False: " MISSED"}[line.is_kept]
    if isinstance(line, Check):
        return f"  {line.what:52} {'':46}{mark}  {line.note}".rstrip()
    spread = "" if line.spread is None else "{:.2f}–{:.2f}".format(*line.spread)
    return (
        f"  {line.what:52} {_amount(line.ours, line.unit):>9} {_amount(line.peer, line.unit):>9}"
        f" {'' if line.ratio is None else f'{line.ratio:.2f}':>6} {spread:>12}"
        f" {'' if line.bound is None else f'{line.bound:g}':>6}{mark}  {line.note}"
    ).rstrip()


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit != "s":
        return f"{value:.3f}"
    for factor, name in (1, "s"), (1e3, "ms"):
        if value * factor >= 1:
            return f"{value * factor:.2f} {name}"
    return f"{value * 1e6:.0f} µs"


if __name__ == "__main__":
    main()
