"""Clients that leave before the answer is whole, against real servers."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.servers import LONG, leaving, serving, until
from tests.http.test_protocols import AG_UI, VERCEL, Protocol

BASE = "/api/agents/teller"
STREAM = {"Accept": "text/event-stream"}


@pytest.mark.parametrize("kind", ["mythline", "uvicorn"])
def test_a_run_is_finished_and_stored_when_its_client_leaves(tmp_path: Path, kind: str):
    with serving(tmp_path, kind) as address, httpx.Client(base_url=address, timeout=LONG) as client:
        for number, headers in enumerate(({}, STREAM)):
            body = {"message": f"wait {number}", "session_id": f"s{number}"}
            with leaving(client, f"{BASE}/run", body, headers):
                until(client, "/health", lambda _: (tmp_path / "reached").exists())
            assert not client.get(f"{BASE}/sessions/s{number}/exists").json()["exists"]
            (tmp_path / "go").touch()
            answer = f"To wait {number}: the end."
            _is_there(client, f"s{number}", [("user", f"wait {number}"), ("assistant", answer)])
            (tmp_path / "go").unlink()
            (tmp_path / "reached").unlink()


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


@pytest.mark.parametrize("kind", ["mythline", "uvicorn"])
@pytest.mark.parametrize("front", [VERCEL, AG_UI], ids=["vercel", "ag-ui"])
def test_a_front_end_that_leaves_stops_its_run_and_keeps_what_came(
    tmp_path: Path, kind: str, front: Protocol
):
    """There the model would wait for ever."""
    path = f"{BASE}/sessions/s/{front.name}"
    with serving(tmp_path, kind) as address, httpx.Client(base_url=address, timeout=LONG) as client:
        with leaving(client, path, front.body(front.user("u1", "wait")), STREAM):
            until(client, "/health", lambda _: (tmp_path / "reached").exists())
        _is_there(client, "s", [("user", "wait"), ("assistant", "To wait: ")])
        raw = client.get(f"{BASE}/sessions/s/messages").json()["messages"]
        assert raw[1]["state"] == "interrupted"
        (tmp_path / "go").touch()
        body = front.body(
            front.user("u1", "wait"), front.answer("To wait: "), front.user("u2", "x")
        )
        assert front.read(client.post(path, json=body)).text == "To x: the end."
        assert len(client.get(f"{BASE}/sessions/s").json()["messages"]) == 4
