"""What a process pays before it does anything."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from mythline import messages
from mythline.local import LocalStore

from .material import Options, many, scratch, turn
from .measure import Check, Line, Skipped, compare

HEAVY = ("pydantic_ai", "fastapi", "pydantic")


async def run(options: Options) -> Iterator[Line]:
    found: list[Line] = []
    imported = _imports("import mythline; mythline.open_store")
    heavy = [name for name in HEAVY if name in imported]
    found.append(Check("open_store imports nothing heavy", not heavy, ", ".join(heavy)))
    bare = [sys.executable, "-c", "pass"]
    rounds = 3 if options.quick else 15
    for what, code in (
        ("import mythline, open_store", "import mythline; mythline.open_store"),
        ("import mythline, AgentSessions", "import mythline; mythline.AgentSessions"),
    ):
        command = [sys.executable, "-c", code]
        found.append(
            await compare(
                f"{what} / bare Python",
                lambda command=command: call(command),
                lambda: call(bare),
                rounds=rounds,
            )
        )
    helping = [sys.executable, "-m", "mythline", "--help"]
    found.append(
        await compare(
            "mythline --help / bare Python",
            lambda: call(helping),
            lambda: call(bare),
            rounds=rounds,
        )
    )
    with scratch(options.directory, "startup") as path:
        store = LocalStore(path / "store")
        async with store:
            await many(store, 100, messages.dump(turn()))
        command = [sys.executable, "-m", "mythline", "list", "--store", str(path / "store")]
        try:
            call(command)
        except subprocess.CalledProcessError as error:
            found.append(Skipped("mythline list", f"it ends with {error.returncode}"))
        else:
            found.append(
                await compare(
                    "mythline list, 100 sessions / bare Python",
                    lambda: call(command),
                    lambda: call(bare),
                    rounds=rounds,
                    note="to be within 0.5 s",
                )
            )
    return iter(found)


def call(command: list[str]) -> None:
    """Run a program to its end."""
    subprocess.run(command, check=True, capture_output=True)


def _imports(code: str) -> set[str]:
    """The modules that are imported by some code, as Python tells it."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    return {line.rpartition("|")[2].strip() for line in report.splitlines()}
