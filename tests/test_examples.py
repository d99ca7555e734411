"""The examples run: in a test client, and as servers of their own."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from tests.http.servers import free_port, running

EXAMPLES = Path(__file__).parents[1] / "examples"
HELLO = [
    {
        "kind": "request",
        "parts": [
            {
                "part_kind": "user-prompt",
                "content": "Tell me about Shadowglen",
                "timestamp": "2026-01-02T03:04:05Z",
            }
        ],
    }
]


def application(name: str) -> Any:
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def use(client: Any, base: str) -> None:
    """Go through the life of a session."""
    made = client.post(f"{base}/sessions/create")
    assert made.status_code == 201
    session_id = made.json()["session_id"]
    sent = client.post(f"{base}/sessions/{session_id}/messages", json={"messages": HELLO})
    assert sent.status_code == 201
    assert [s["session_id"] for s in client.get(f"{base}/sessions").json()] == [session_id]
    assert client.get(f"{base}/sessions/latest").json() == {"session_id": session_id}
    (message,) = client.get(f"{base}/sessions/{session_id}").json()["messages"]
    assert message["content"] == "Tell me about Shadowglen"
    assert client.get(f"{base}/sessions/{session_id}/info").json()["message_count"] == 1
    exported = client.get(f"{base}/sessions/{session_id}/export")
    file = ("copy.json", exported.content)
    imported = client.post(f"{base}/sessions/import", files={"file": file})
    assert imported.json() == {"session_id": "copy", "status": "imported", "message_count": 1}
    assert client.delete(f"{base}/sessions/copy").json()["status"] == "deleted"
    assert client.get(f"{base}/sessions/copy/exists").json() == {"exists": False}
    assert client.get(f"{base}/sessions/copy").status_code == 404


def test_one_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MYTHLINE_STORE", str(tmp_path / "store"))
    with TestClient(application("one_agent")) as client:
        use(client, "/api/research")
    assert list((tmp_path / "store/story_researcher/context_memory").glob("session_*.json"))


def test_one_agent_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MYTHLINE_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    with TestClient(application("one_agent")) as client:
        use(client, "/api/research")
    assert (tmp_path / ".mythline/sessions.sqlite3").is_file()


def test_two_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MYTHLINE_STORE", str(tmp_path / "store"))
    with TestClient(application("two_agents")) as client:
        use(client, "/api/research")
        assert client.get("/api/writing/sessions").json() == []
        use(client, "/api/writing")
        assert len(client.get("/api/research/sessions").json()) == 1
        assert client.get("/openapi.json").status_code == 200


def test_the_chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MYTHLINE_STORE", str(tmp_path / "store"))
    chat = import_module("examples.chat.app")
    with TestClient(chat.app) as client:
        assert "<title>Chat</title>" in client.get("/").text
        assert client.get("/api/sessions").json() == []
        done = client.post("/api/run", json={"message": "My name is Ada."}).json()
        body = {"message": "Who am I?", "session_id": done["session_id"]}
        stream = client.post("/api/run", json=body, headers={"Accept": "text/event-stream"})
        assert "Ada, you said 'Who am I?'. That is prompt 2 of this chat." in re.sub(
            r'event: delta\ndata: {"delta": "(.*?)", "index": 0}\n\n', r"\1", stream.text
        )
        assert len(client.get(f"/api/sessions/{done['session_id']}").json()["messages"]) == 4


def test_an_example_is_about_twenty_lines():
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 25


# As servers


@contextmanager
def server(log: Path, store: Path, ready: str, *command: str, **environ: str) -> Generator[str]:
    """A server in a process of its own, from when it says that it is ready; its address."""
    environ["MYTHLINE_STORE"] = str(store)
    with running(log, ready, *command, cwd=EXAMPLES, environ=environ):
        found = re.search(r"http://\S+", log.read_text())
        assert found, log.read_text()
        yield found[0]


def test_an_example_under_uvicorn(tmp_path: Path):
    command = ("uvicorn", "one_agent:app", "--port", "0", "--no-use-colors")
    with (
        server(tmp_path / "log", tmp_path / "store", "Uvicorn running", *command) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        use(client, "/api/research")


def test_the_servers_application_under_granian(tmp_path: Path):
    command = ("granian", "--interface", "asgi", "--factory", "--port", free_port())
    with (
        server(
            tmp_path / "log",
            tmp_path / "store",
            "Started worker",
            *command,
            "mythline.http.app:create_app",
            MYTHLINE_MAX_BODY_SIZE=str(1 << 20),
        ) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        base = "/api/agents/researcher"
        use(client, base)
        (session_id,) = [s["session_id"] for s in client.get(f"{base}/sessions").json()]

        large = b"[" + b" " * (5 << 20)
        kind = {"Content-Type": "application/json"}
        chunks = (large[start : start + 65536] for start in range(0, len(large), 65536))
        for content in (large, chunks):
            response = client.post(f"{base}/sessions/import", content=content, headers=kind)
            assert response.status_code == 413
            assert response.headers["content-type"] == "application/problem+json"

        for path in ("/../../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%00", "/%ff", "/\\..\\x"):
            status, body = exchange(address, f"GET {base}/sessions{path} HTTP/1.1", "localhost")
            assert status in (400, 404, 422), path
            assert str(tmp_path) not in body
        assert exchange(address, "GET /health HTTP/1.1", "evil.example")[0] == 421
        assert exchange(address, "GET /health HTTP/1.0", None)[0] == 421
        assert exchange(address, f"BREW {base}/sessions HTTP/1.1", "localhost")[0] == 405
        assert client.get("/health").json() == {"status": "ok"}
    view = tmp_path / "store/researcher/context_memory" / f"{session_id}.json"
    assert json.loads(view.read_bytes()) == HELLO


def exchange(address: str, line: str, host: str | None) -> tuple[int, str]:
    """What a server answers to a request that no client library would send."""
    name, _, port = address.removeprefix("http://").rpartition(":")
    with socket.create_connection((name, int(port)), timeout=60) as connection:
        headers = "Connection: close\r\n" + (f"Host: {host}\r\n" if host else "")
        connection.sendall(f"{line}\r\n{headers}\r\n".encode())
        with connection.makefile("rb") as answer:
            whole = answer.read().decode()
    return int(whole.split(" ", 2)[1]), whole
