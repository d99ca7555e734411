"""How many syncs a save takes, counted by the kernel.

Run as a program it is what is counted: `python -m benchmarks.syncs PATH SAVES AT_ONCE CHECKPOINTS`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .material import AGENT, Options, filled, scratch, turn
from .measure import Figure, Line, Skipped

WHAT = "syncs per save"


async def _work(path: Path, saves: int, at_once: int, checkpoints: bool) -> None:
    from mythline import open_store
    from mythline.local import database, writer

    if not checkpoints:
        database.CHECKPOINT_PAGES = writer.CHECKPOINT_PAGES = 0
    async with open_store(path) as store:
        sessions = store.sessions(AGENT)
        conversations = [await filled(sessions, f"session-{n}", 2) for n in range(at_once)]
        for _ in range(saves // at_once):
            for conversation in conversations:
                conversation.messages.extend(turn())
            await asyncio.gather(*map(sessions.save, conversations))


async def run(options: Options) -> Iterator[Line]:
    if shutil.which("strace") is None:
        return iter([Skipped(WHAT, "there is no strace here")])
    found: list[Line] = []
    with scratch(options.directory, "syncs") as path:
        saves = 64 if options.quick else 200
        base = _count(path / "0", 0, 1, False)
        if base is None:
            return iter([Skipped(WHAT, "strace may not trace here")])

        def line(what: str, name: str, number: int, at_once: int, checkpoints: bool) -> Figure:
            start = _count(path / f"{name}-0", 0, at_once, checkpoints) or 0
            end = _count(path / name, number, at_once, checkpoints) or 0
            bound = None if checkpoints else 1.0
            return Figure(what, (end - start) / number, unit="syncs", bound=bound)

        found.append(line(f"{WHAT}, one after another", "one", saves, 1, False))
        found.append(line(f"{WHAT}, with checkpoints", "checkpoints", saves, 1, True))
        found.append(line(f"{WHAT}, 64 at once", "many", 320 if options.quick else 640, 64, False))
    return iter(found)


def _count(path: Path, saves: int, at_once: int, checkpoints: bool) -> int | None:
    report = path.with_suffix(".strace")
    command = ["strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", str(report)]
    work = [sys.executable, "-m", __name__, str(path), str(saves), str(at_once)]
    work.append(str(int(checkpoints)))
    done = subprocess.run([*command, *work], check=False, capture_output=True)
    if done.returncode or not report.exists():
        return None
    line = r"^(?:\s*[\d.]+){3}\s+(\d+).*f(?:data)?sync$"
    counted = re.findall(line, report.read_text(), re.MULTILINE)
    return sum(map(int, counted))


if __name__ == "__main__":
    where, number, together, with_checkpoints = sys.argv[1:]
    asyncio.run(_work(Path(where), int(number), int(together), with_checkpoints == "1"))
