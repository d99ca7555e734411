"""The server in a process of its own, with agents of its working directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
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


@contextlib.contextmanager
def serving(
    folder: Path, kind: str, *arguments: str, workers: int = 1, source: str = AGENTS
) -> Generator[str]:
    """A server of `kind` over `folder/store`, with the agent `teller`; its address."""
    (folder / "my_agents.py").write_text(source)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = str(found.getsockname()[1])
    command = {
        "mythline": ["mythline", "serve", "--agent", "my_agents:teller"],
        "uvicorn": ["uvicorn", "--factory", "mythline.http.app:create_app", "--no-use-colors"],
        "granian": ["granian", "--interface", "asgi", "--factory", "mythline.http.app:create_app"],
    }[kind]
    if workers > 1:
        command += ["--workers", str(workers)]
    environ = {"MYTHLINE_STORE": str(folder / "store"), "MYTHLINE_AGENTS": "my_agents:teller"}
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", port, *arguments],
        cwd=folder,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    log: list[str] = []
    try:
        for line in process.stdout:
            log.append(line)
            workers -= bool(re.search("Uvicorn running|Started worker", line))
            if not workers:
                break
        _listens(process, int(port), log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode in (0, -signal.SIGTERM), "".join(log) + rest


def _listens(process: subprocess.Popen[str], port: int, log: list[str]) -> None:
    """Wait until a server takes connections, which may be just after it says so."""
    while True:
        assert process.poll() is None, "".join(log)
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=30).close()
            return


def until(client: httpx.Client, path: str, condition: Callable[[Any], object]) -> Any:
    """What a path answers, asked again until `condition` holds."""
    for _ in range(2000):  # each takes its own time
        response = client.get(path)
        if response.status_code == 200 and condition(response.json()):
            return response.json()
    raise AssertionError(f"{path} did not come to be as expected.")


@contextlib.contextmanager
def leaving(client: httpx.Client, path: str, body: Any, headers: Any) -> Generator[None]:
    """Send a request, and close its connection where the block ends, whatever has come."""
    address = client.base_url
    with socket.create_connection((address.host, address.port), timeout=30) as connection:
        content = json.dumps(body).encode()
        lines = {"Host": "localhost", "Content-Type": "application/json", **headers}
        lines["Content-Length"] = str(len(content))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        yield
