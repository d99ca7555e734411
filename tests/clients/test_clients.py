"""The clients that front ends use, from the npm registry, against a server."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.http.servers import serving

HERE = Path(__file__).parent
SCRIPTS = {"vercel": HERE / "vercel.mjs", "ag-ui": HERE / "ag_ui.mjs"}
SCENARIO = re.compile(r"^  async (\w+)\(\) \{$", re.MULTILINE)
SCENARIOS = [
    (client, name)
    for client, script in SCRIPTS.items()
    for name in SCENARIO.findall(script.read_text("utf-8"))
]
OLDEST_NODE = 20


@pytest.fixture(scope="module")
def packages(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our scripts, in which Node finds the clients."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"There is no {program}.")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
    if int(version.stdout.lstrip("v").split(".")[0]) < OLDEST_NODE:
        pytest.skip(f"Node is older than {OLDEST_NODE}: {version.stdout.strip()}.")
    folder = tmp_path_factory.mktemp("packages")
    package = (HERE / "package.json").read_bytes()
    kept = request.config.cache.mkdir("clients") / sha256(package).hexdigest()[:12]
    if not kept.exists():
        _install(package, kept.with_name(f"{kept.name}-{os.getpid()}"))
        with contextlib.suppress(OSError):  # another run was faster
            kept.with_name(f"{kept.name}-{os.getpid()}").rename(kept)
    (folder / "node_modules").symlink_to(kept / "node_modules")
    for script in HERE.glob("*.mjs"):
        shutil.copy(script, folder)
    return folder


def _install(package: bytes, folder: Path) -> None:
    folder.mkdir()
    (folder / "package.json").write_bytes(package)
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
    command += ["--ignore-scripts", "--loglevel=error"]
    command += ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=240
        )
    except subprocess.TimeoutExpired:
        reason = "It took too long."
    else:
        if done.returncode == 0:
            return
        reason = (done.stderr.strip().splitlines() or ["It gave no reason."])[0]
    shutil.rmtree(folder)
    pytest.skip(f"npm install failed: {reason}")


@pytest.fixture(scope="module")
def wrong(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that gives what went wrong in each scenario of a client."""
    agents = (HERE / "talker.py").read_text("utf-8")
    with serving(tmp_path_factory.mktemp("server"), "mythline", source=agents) as address:

        @functools.cache
        def run(client: str) -> dict[str, str | None]:
            done = subprocess.run(
                ["node", SCRIPTS[client].name, f"{address}/api/agents/teller", client],
                cwd=packages,
                env={**os.environ, "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                check=False,
                timeout=200,
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        yield run


@pytest.mark.parametrize(("client", "name"), SCENARIOS)
def test_a_client(wrong: Any, client: str, name: str):
    assert wrong(client)[name] is None, wrong(client)[name]
