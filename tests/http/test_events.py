"""What happens to sessions, as server-sent events."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from mythline import open_store, session_router
from mythline.errors import InvalidCursor, StoreUnavailable
from mythline.http import create_app, events, stopping
from mythline.http.stopping import until_stopped, when_stopped
from mythline.models import SessionEvent, from_micros
from mythline.store import Store
from tests.http.servers import LONG, free_port, listens, running
from tests.http.support import BASE, PROBLEM, Client, Recording, turn

# In the application itself


class Scripted(Recording):
    """A store whose events are told."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.script: list[SessionEvent | Exception | float] = []
        self.asked: list[Any] = []
        self.ended = 0
        self.left = asyncio.Event()

    async def _told(self) -> AsyncGenerator[SessionEvent]:
        try:
            for step in self.script:
                match step:
                    case Exception():
                        raise step
                    case float():
                        await asyncio.sleep(step)
                    case SessionEvent():
                        yield step
        finally:
            self.ended += 1
            self.left.set()

    def events(self, owner: str | None, agent_id: str | None, **options: Any) -> Any:
        self.asked = [owner, agent_id, options]
        return self._told()


def event(number: int, kind: Any = "appended") -> SessionEvent:
    return SessionEvent(
        event_id=f"e{number}",
        type=kind,
        agent_id="researcher",
        session_id="x",
        revision=f"r{number}",
        time=from_micros(1_767_225_600_000_000),
    )


@pytest.fixture
def store(place: Path) -> Scripted:
    return Scripted(open_store(place))


def test_the_form_of_a_stream(store: Scripted):
    store.script = [event(1), event(2, "renamed")]
    with Client(create_app(store)) as client:
        response = client.get(f"{BASE}/events")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    opening, first, second, rest = response.text.split("\n\n")
    assert opening.splitlines() == [": Events of Mythline", "retry: 2000"]
    assert rest == ""
    fields = dict(line.split(": ", 1) for line in first.splitlines())
    assert (fields["id"], fields["event"]) == ("e1", "appended")
    assert json.loads(fields["data"]) == {
        "type": "appended",
        "agent_id": "researcher",
        "session_id": "x",
        "revision": "r1",
        "time": "2026-01-01T00:00:00Z",
    }
    assert "event: renamed" in second
    assert store.ended == 1


def test_where_a_stream_goes_on(store: Scripted):
    with Client(create_app(store)) as client:
        for path, agent in ((f"{BASE}/events", "researcher"), ("/api/events", None)):
            for query, header, after in [
                ("", None, None),
                ("?after=", None, None),
                ("?after=e1", None, "e1"),
                ("", "e2", "e2"),
                ("?after=e1", "e2", "e2"),  # the header is what came last
            ]:
                headers = {"Last-Event-ID": header} if header else {}
                assert client.get(f"{path}{query}", headers=headers).status_code == 200
                assert store.asked == [None, agent, {"after": after}]


def test_a_stream_is_of_the_requests_owner(store: Scripted):
    app = FastAPI()
    app.include_router(session_router(store, owner=lambda: "alice"))
    with Client(app) as client:
        client.get("/agents/a/sessions/events")
        assert store.asked[:2] == ["alice", "a"]
        client.get("/events")
        assert store.asked[:2] == ["alice", None]


def test_what_a_store_refuses_at_once_is_a_problem(store: Scripted):
    with Client(create_app(store)) as client:
        for error, status in [
            (InvalidCursor("No."), 422),
            (StoreUnavailable("Not now."), 503),
            (RuntimeError("a secret"), 500),
        ]:
            store.script = [error]
            response = client.get(f"{BASE}/events?after=x")
            assert response.status_code == status
            assert response.headers["content-type"] == PROBLEM
        response = client.get(f"{BASE}/events?aftr=x")
        assert (response.status_code, "after" in response.text) == (422, True)


def test_what_fails_later_ends_the_stream(store: Scripted):
    store.script = [event(1), 0.001, StoreUnavailable("Not now.")]
    with Client(create_app(store)) as client:
        response = client.get(f"{BASE}/events")
        assert response.text.count("event: ") == 1
        assert store.ended == 1


def test_silence_is_filled_with_comments(store: Scripted, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(events, "HEARTBEAT", 0.01)
    store.script = [0.3, event(1)]
    with Client(create_app(store)) as client:
        text = client.get(f"{BASE}/events").text
    assert text.count("\n: \n") >= 2
    assert text.index("\n: \n") < text.index("event: appended")


def test_head_doesnt_wait_for_the_end(store: Scripted):
    store.script = [3600.0]
    with Client(create_app(store)) as client:
        for path in (f"{BASE}/events", "/api/events"):
            response = client.head(path)
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")


async def test_a_client_that_leaves_ends_the_reading(store: Scripted):
    store.script = [event(1), 3600.0]
    app = create_app(store)
    sent = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await sent.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if b"event: appended" in message.get("body", b""):
            sent.set()

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/api/events",
        "raw_path": b"/api/events",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "headers": [(b"host", b"localhost")],
    }
    await store.open()
    await asyncio.wait_for(app(scope, receive, send), LONG)
    await asyncio.wait_for(store.left.wait(), LONG)
    await store.close()


async def test_signals_are_handed_on_and_given_back():
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    own = signal.getsignal(signal.SIGTERM)
    try:
        with until_stopped() as first, until_stopped() as second:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(first.wait(), LONG)
            await asyncio.wait_for(second.wait(), LONG)
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_what_begins_after_the_signal_is_stopped_as_long_as_the_application_runs():
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        with until_stopped():
            signal.raise_signal(signal.SIGTERM)
            with until_stopped() as late:
                await asyncio.wait_for(late.wait(), LONG)
        with until_stopped() as another:
            await asyncio.sleep(0)
            assert not another.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_signal_that_stopped_nothing_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        with until_stopped():
            signal.raise_signal(signal.SIGTERM)
            monkeypatch.setattr(stopping, "LATE", 0.0)
            with until_stopped() as later:
                await asyncio.sleep(0)
                assert not later.is_set()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_loop_that_was_closed_too_early_keeps_no_signal_from_the_server():
    async def leave_open() -> Callable[[], None]:
        return when_stopped(lambda: None)

    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        forget = asyncio.run(leave_open())
        signal.raise_signal(signal.SIGTERM)
        forget()
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_server_that_comes_after_one_whose_loop_left_something_open_is_heard():
    async def leave_open() -> None:
        when_stopped(lambda: None)

    async def wait(heard: list[int]) -> None:
        with until_stopped() as stopped:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(stopped.wait(), LONG)

    before = signal.getsignal(signal.SIGTERM)
    try:
        for _ in range(2):
            heard: list[int] = []
            own = lambda number, _frame, heard=heard: heard.append(number)  # noqa: E731
            signal.signal(signal.SIGTERM, own)  # as the server's that comes next
            asyncio.run(wait(heard))
            assert (heard, signal.getsignal(signal.SIGTERM)) == ([signal.SIGTERM], own)
            asyncio.run(leave_open())
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_a_handler_that_calls_ours_is_called_and_calls_the_servers():
    heard: list[str] = []
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: heard.append("server"))
    try:
        forget = when_stopped(lambda: None)
        ours: Any = signal.getsignal(signal.SIGTERM)

        def another(number: int, frame: Any) -> None:
            heard.append("another")
            ours(number, frame)

        signal.signal(signal.SIGTERM, another)
        forget()
        with until_stopped() as stopped:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.wait_for(stopped.wait(), LONG)
        assert heard == ["another", "server"]
        assert signal.getsignal(signal.SIGTERM) is another
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_without_a_lifespan_a_stream_that_begins_after_the_signal_ends(
    store: Scripted, number: signal.Signals
):
    """As in an application that is mounted in another, whose lifespan nobody runs."""
    store.script = [LONG * 10]
    before = signal.signal(number, lambda _number, _frame: None)
    transport = httpx.ASGITransport(create_app(store))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            assert (await client.get(BASE)).status_code == 200
            signal.raise_signal(number)
            stream = await asyncio.wait_for(client.get(f"{BASE}/events"), events.HEARTBEAT)
        assert stream.status_code == 200
    finally:
        signal.signal(number, before)
        await store.close()


# Under servers


@contextmanager
def serving(place: Path, kind: str, log: Path) -> Generator[tuple[str, subprocess.Popen[bytes]]]:
    """A server in a process of its own."""
    port = free_port()
    factory = "mythline.http.app:create_app"
    options = ["--interface", "asgi"] if kind == "granian" else []
    command = [kind, *options, "--factory", "--port", port, factory]
    ready, environ = "Uvicorn running|Started worker", {"MYTHLINE_STORE": str(place)}
    with running(log, ready, *command, cwd=place.parent, environ=environ) as process:
        listens(process, int(port), log)
        yield f"http://127.0.0.1:{port}", process


def in_time(lines: Iterator[str]) -> Iterator[str]:
    """The lines of a stream; its heartbeats don't make up for what doesn't come."""
    ends = time.monotonic() + LONG
    for line in lines:
        assert time.monotonic() < ends, "nothing but heartbeats"
        yield line


def next_event(lines: Any) -> dict[str, Any]:
    """The next event of a stream, with its `data`, and its id as `id`."""
    fields: dict[str, str] = {}
    for line in in_time(lines):
        if not line and "data" in fields:
            return {**json.loads(fields["data"]), "id": fields["id"], "event": fields["event"]}
        name, _, value = line.partition(": ")
        fields[name] = value
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("kind", ["uvicorn", "granian"])
def test_a_life_as_it_is_told(tmp_path: Path, kind: str):
    place, log = tmp_path / "store", tmp_path / "log"
    with (
        serving(place, kind, log) as (address, process),
        httpx.Client(base_url=address, timeout=LONG) as client,
    ):
        with client.stream("GET", f"{BASE}/events") as stream:
            lines = stream.iter_lines()
            assert next_event(lines)["event"] == "ready"
            client.post(f"{BASE}/create", json={"session_id": "x"})
            created = next_event(lines)
            client.post("/api/agents/other/sessions/create", json={"session_id": "y"})
            client.post(f"{BASE}/x/messages", json={"messages": turn("Hi")})
            client.patch(f"{BASE}/x", json={"title": "New"})
            told = [next_event(lines) for _ in range(2)]
            assert [each["event"] for each in (created, *told)] == [
                "created",
                "appended",
                "renamed",
            ]
            assert {each["session_id"] for each in (created, *told)} == {"x"}
            assert told[-1]["revision"] == client.get(f"{BASE}/x/info").json()["revision"]
        client.delete(f"{BASE}/x")  # while nobody listens

        headers = {"Last-Event-ID": created["id"]}
        with client.stream("GET", f"{BASE}/events", headers=headers) as stream:
            lines = stream.iter_lines()
            kinds = [next_event(lines)["event"] for _ in range(3)]
            assert kinds == ["appended", "renamed", "deleted"]

        with (
            client.stream("GET", "/api/events") as stream,
            client.stream("GET", f"{BASE}/events") as other,
        ):
            lines, more = stream.iter_lines(), other.iter_lines()
            assert next_event(lines)["event"] == next_event(more)["event"] == "ready"
            client.post("/api/agents/other/sessions/create", json={"session_id": "z"})
            assert next_event(lines)["agent_id"] == "other"

            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            for _ in (*in_time(lines), *in_time(more)):  # to their ends, which are clean
                pass
            process.wait(LONG)
            assert time.monotonic() - began < events.HEARTBEAT
        assert process.returncode in (0, -signal.SIGTERM)
    for word in ("Traceback", "rror"):
        assert word not in log.read_text()


def test_a_stream_that_begins_when_the_server_stops_ends(tmp_path: Path):
    log = tmp_path / "log"
    with serving(tmp_path / "store", "granian", log) as (address, process):
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=LONG) as client:
            client.sendall(b"GET /api/events HTTP/1.1\r\n")  # the server waits for the rest
            process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            while accepts(port):
                assert time.monotonic() - began < LONG
            client.sendall(b"Host: localhost\r\n\r\n")
            while client.recv(4096):
                pass
        process.wait(LONG)
        assert time.monotonic() - began < events.HEARTBEAT
    assert "Traceback" not in log.read_text()


def accepts(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
