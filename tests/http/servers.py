"""The server in a process of its own, with agents of its working directory."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import httpx

AGENTS = '''
"""An agent that says word after word, and goes on when a file is there."""

import asyncio
from pathlib import Path

from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel


async def stream(messages, info):
    prompt = str(messages[-1].parts[-1].content)
    yield f"To {prompt}: "
    if prompt.startswith("wait"):
        Path("reached").touch()
        while not Path("go").exists():
            await asyncio.sleep(0.01)
    yield "the end."


async def whole(messages, info):
    return ModelResponse([TextPart("".join([text async for text in stream(messages, info)]))])


teller = Agent(FunctionModel(whole, stream_function=stream), name="teller")
'''


LONG = 60.0
"""Seconds after which something hangs."""


def free_port() -> str:
    """A port that nobody has, nor gets by chance: systems give theirs from 32768 on."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return str(port)


@contextlib.contextmanager
def running(
    log: Path, ready: str, *command: str, cwd: Path, environ: Mapping[str, str], workers: int = 1
) -> Generator[subprocess.Popen[bytes]]:
    """`python -m` a server, from when each worker has said that it is `ready` to its end.

    What it says is in `log`. It ends by `SIGTERM`, sent where the block ends if not before.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=cwd,
            env={**os.environ, "NO_COLOR": "1", **environ},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        ends = time.monotonic() + LONG
        while len(re.findall(ready, log.read_text())) < workers:
            assert time.monotonic() < ends, f"It isn't ready: {log.read_text()}"
            _still_runs(process, log)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(LONG)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with its workers
            process.wait()
            raise AssertionError(f"It doesn't stop: {log.read_text()}") from None
    assert process.returncode in (0, -signal.SIGTERM), log.read_text()


def _still_runs(process: subprocess.Popen[bytes], log: Path) -> None:
    """Give it a moment, which its end would cut short."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.02)
        raise AssertionError(f"It ended: {log.read_text()}")


@contextlib.contextmanager
def serving(
    folder: Path, kind: str, *arguments: str, workers: int = 1, source: str = AGENTS
) -> Generator[str]:
    """A server of `kind` over `folder/store`, with the agent `teller`; its address."""
    (folder / "my_agents.py").write_text(source)
    port = free_port()
    command = {
        "mythline": ["mythline", "serve", "--agent", "my_agents:teller"],
        "uvicorn": ["uvicorn", "--factory", "mythline.http.app:create_app"],
        "granian": ["granian", "--interface", "asgi", "--factory", "mythline.http.app:create_app"],
    }[kind]
    if workers > 1:
        command += ["--workers", str(workers)]
    log = folder / "log"
    with running(
        log,
        "Uvicorn running|Started worker",
        *(*command, "--port", port, *arguments),
        cwd=folder,
        workers=workers,
        environ={
            "MYTHLINE_STORE": str(folder / "store"),
            "MYTHLINE_AGENTS": "my_agents:teller",
        },
    ) as process:
        listens(process, int(port), log)
        yield f"http://127.0.0.1:{port}"


def listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until a server takes connections, which may be just after it says so."""
    ends = time.monotonic() + LONG
    while time.monotonic() < ends:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=LONG).close()
            return
        _still_runs(process, log)
    raise AssertionError(f"It doesn't listen: {log.read_text()}")


def until(client: httpx.Client, path: str, condition: Callable[[Any], object]) -> Any:
    """What a path answers, asked again until `condition` holds."""
    ends = time.monotonic() + LONG
    while time.monotonic() < ends:
        response = client.get(path)
        if response.status_code == 200 and condition(response.json()):
            return response.json()
        time.sleep(0.01)
    raise AssertionError(f"{path} did not come to be as expected.")


@contextlib.contextmanager
def leaving(client: httpx.Client, path: str, body: Any, headers: Any) -> Generator[None]:
    """Send a request, and close its connection where the block ends, whatever has come."""
    address = client.base_url
    with socket.create_connection((address.host, address.port), timeout=LONG) as connection:
        content = json.dumps(body).encode()
        lines = {"Host": "localhost", "Content-Type": "application/json", **headers}
        lines["Content-Length"] = str(len(content))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        yield
