"""Clients that leave before the answer is whole, against real servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.http.servers import LONG, leaving, serving, until
from tests.http.test_protocols import AG_UI, VERCEL, Protocol

BASE = "/api/agents/teller"
STREAM = {"Accept": "text/event-stream"}


class Running(NamedTuple):
    """A server: a client of it, and the files by which its agent says and is told things."""

    client: httpx.Client
    reached: Path
    go: Path

    def waits(self) -> None:
        """Wait until the agent has said what it says before it waits."""
        until(self.client, "/health", lambda _: self.reached.exists())


@pytest.fixture(scope="module", params=["mythline", "uvicorn"])
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """The server of all tests that don't stop it; each has sessions of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    with (
        serving(folder, request.param) as address,
        httpx.Client(base_url=address, timeout=LONG) as client,
    ):
        yield Running(client, folder / "reached", folder / "go")


@pytest.fixture
def running(started: Running) -> Running:
    """The same, where nobody has said or been told anything."""
    started.reached.unlink(missing_ok=True)
    started.go.unlink(missing_ok=True)
    return started


@pytest.mark.parametrize("headers", [{}, STREAM], ids=["whole", "stream"])
def test_a_run_is_finished_and_stored_when_its_client_leaves(
    running: Running, headers: dict[str, str]
):
    session_id = f"run-{len(headers)}"
    body = {"message": "wait", "session_id": session_id}
    with leaving(running.client, f"{BASE}/run", body, headers):
        running.waits()
    exists = running.client.get(f"{BASE}/sessions/{session_id}/exists").json()
    assert not exists["exists"]
    running.go.touch()
    answer = "To wait: the end."
    _is_there(running.client, session_id, [("user", "wait"), ("assistant", answer)])


def _is_there(client: httpx.Client, session_id: str, expected: list[tuple[str, str]]) -> None:
    def same(found: Any) -> bool:
        return [(item["role"], item["content"]) for item in found["messages"]] == expected

    until(client, f"{BASE}/sessions/{session_id}", same)


@pytest.mark.parametrize("kind", ["mythline", "uvicorn"])
def test_a_run_is_stored_as_far_as_it_went_when_the_server_stops(tmp_path: Path, kind: str):
    with (
        serving(tmp_path, kind) as address,
        httpx.Client(base_url=address, timeout=LONG) as client,
        leaving(client, f"{BASE}/run", {"message": "wait", "session_id": "s"}, STREAM),
    ):
        until(client, "/health", lambda _: (tmp_path / "reached").exists())
    view = json.loads((tmp_path / "store/teller/context_memory/s.json").read_bytes())
    assert [message["parts"][0]["content"] for message in view] == ["wait", "To wait: "]
    assert view[1]["state"] == "interrupted"


@pytest.mark.parametrize("kind", ["mythline", "uvicorn"])
def test_whoever_waits_for_a_run_is_told_that_the_server_stops(tmp_path: Path, kind: str):
    said = "The server stops. What the agent did is in the session; try again."
    asked: dict[str, Any] = {"/run": {"message": "wait"}}
    for front in (VERCEL, AG_UI):
        asked[f"/sessions/s/{front.name}"] = front.body(front.user("u1", "wait"))
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(timeout=LONG))
        with serving(tmp_path, kind) as address:
            streams: list[tuple[str, Any]] = []
            for path, body in asked.items():
                sent = client.stream("POST", f"{address}{BASE}{path}", json=body, headers=STREAM)
                lines = stack.enter_context(sent).iter_lines()
                assert any("To wait" in line for line in lines)
                streams.append((path, lines))
        for path, lines in streams:
            (error,) = [json.loads(line[6:]) for line in lines if said in line]
            assert error.get("status", 503) == 503, path


def test_several_workers_serve_the_same_sessions_and_agents(tmp_path: Path):
    with (
        serving(tmp_path, "granian", workers=2) as address,
        httpx.Client(base_url=address, timeout=LONG) as client,
    ):
        for number in range(6):
            body = {"message": f"{number}", "session_id": "s"}
            done = client.post(f"{BASE}/run", json=body, headers={"Connection": "close"})
            assert done.json()["response"] == f"To {number}: the end."
            assert not done.json()["branched"]
        found = client.get(f"{BASE}/sessions/s").json()["messages"]
        assert len(found) == 12


@pytest.mark.parametrize("front", [VERCEL, AG_UI], ids=["vercel", "ag-ui"])
def test_a_front_end_that_leaves_stops_its_run_and_keeps_what_came(
    running: Running, front: Protocol
):
    """There the model would wait for ever."""
    client, session = running.client, f"{BASE}/sessions/{front.name}"
    path = f"{session}/{front.name}"
    with leaving(client, path, front.body(front.user("u1", "wait")), STREAM):
        running.waits()
    _is_there(client, front.name, [("user", "wait"), ("assistant", "To wait: ")])
    raw = client.get(f"{session}/messages").json()["messages"]
    assert raw[1]["state"] == "interrupted"
    running.go.touch()
    body = front.body(front.user("u1", "wait"), front.answer("To wait: "), front.user("u2", "x"))
    assert front.read(client.post(path, json=body)).text == "To x: the end."
    assert len(client.get(session).json()["messages"]) == 4
