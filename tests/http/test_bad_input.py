"""Ids that are none, things planted in the folder, a store that can't answer: nothing leaks."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mythline import open_store
from mythline.errors import (
    MythlineError,
    StoreClosed,
    StoreCorrupt,
    StoreFull,
    StoreTooNew,
    StoreUnavailable,
)
from mythline.http import create_app
from mythline.ids import RESERVED, is_agent_id, is_session_id
from tests.http.support import BASE, JSON, Client, Recording, check_answer, dumps, turn

ROUTES = [
    ("GET", ""),
    ("DELETE", ""),
    ("GET", "/info"),
    ("GET", "/messages"),
    ("POST", "/messages"),
    ("GET", "/export"),
    ("PATCH", ""),
    ("GET", "/branches"),
    ("POST", "/branch"),
    ("POST", "/fork"),
    ("POST", "/restore"),
]
"""The routes with the id of a session, after it. `exists` answers for any id."""

WORDS = {"export", "latest", "search", "trash", "events"}
"""Reserved words that are paths, and so answer for themselves."""

BAD_IDS = [
    "..",
    "../x",
    "../../etc/passwd",
    "..\\x",
    "a/b",
    "a\\b",
    "a\x00b",
    "\x00",
    ".hidden",
    ".",
    "x.json",
    "-x",
    "x" * 200,
    "x" * 20_000,
    " x",
    "x ",
    "x\n",
    "x\r\nX-Evil: 1",
    "аdmin",  # Cyrillic
    "ａbc",  # full width
    "a\u0301",
    "١٢٣",
    "x%2F..",
    "~root",
    "$HOME",
    "x;y",
    "<script>",
    "'; DROP TABLE sessions; --",
    "\ud7ff\ue000",
    "𝓍",
]


def in_path(text: str) -> str:
    """Text as one step of a path, dots too, so that no client takes `..` for itself."""
    return quote(text, safe="").replace(".", "%2E")


def listing(place: Path) -> list[str]:
    """Every path below the parent of the store's, and in the working directory."""
    return sorted(str(path.relative_to(place.parent)) for path in place.parent.rglob("*"))


def send(client: Client, method: str, path: str) -> Any:
    body: Any = None
    if method in ("POST", "PATCH"):
        body = {"messages": turn("Hello")} if path.endswith("/messages") else {"entry_id": "e"}
    return client.request(method, path, json=body)


# Ids


@pytest.mark.local
@pytest.mark.parametrize(("method", "rest"), ROUTES)
def test_ids_that_are_none_on_every_route(client: Client, place: Path, method: str, rest: str):
    client.create("x")
    before = listing(place)
    for bad in BAD_IDS:
        response = send(client, method, f"{BASE}/{in_path(bad)}{rest}")
        assert response.status_code in (404, 405, 422), (bad, response.status_code)
        assert "X-Evil" not in response.headers
    assert client.ids() == ["x"]
    assert listing(place) == before


@pytest.mark.parametrize(("method", "rest"), ROUTES)
def test_reserved_words_are_no_ids(idle: Client, method: str, rest: str):
    for word in sorted(RESERVED if rest else RESERVED - WORDS):
        response = send(idle, method, f"{BASE}/{word}{rest}")
        assert response.status_code in (404, 405), (word, response.status_code)
    assert idle.ids() == []


@pytest.mark.parametrize("bad", [*BAD_IDS, "", *sorted(RESERVED)])
def test_ids_that_are_none_in_bodies(idle: Client, idle_place: Path, bad: str):
    before = listing(idle_place)
    created = idle.post(f"{BASE}/create", json={"session_id": bad})
    assert created.status_code == 422
    if bad:
        imported = idle.post(
            f"{BASE}/import", params={"session_id": bad}, content=b"[]", headers=JSON
        )
        assert imported.status_code == 422
    assert idle.ids() == []
    assert listing(idle_place) == before


@pytest.mark.parametrize("bad", BAD_IDS)
def test_agents_that_are_none(idle: Client, idle_place: Path, bad: str):
    before = listing(idle_place)
    base = f"/api/agents/{in_path(bad)}/sessions"
    for method, path in [("GET", ""), ("GET", "/latest"), ("POST", "/create"), ("GET", "/x")]:
        response = idle.request(method, f"{base}{path}")
        assert response.status_code in (404, 422), (method, path)
    assert idle.delete(f"{base}?confirm=true").status_code in (404, 422)
    assert idle.get("/api/agents").json() == []
    assert listing(idle_place) == before


def test_an_agent_may_be_called_as_a_route(client: Client):
    for name in ("sessions", "latest", "agents", "create"):
        base = f"/api/agents/{name}/sessions"
        client.create("x", base=base)
        assert client.ids(base) == ["x"]


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    where=st.sampled_from(["session", "agent"]),
)
@example("..", "session")
@example("%2e%2e", "session")
@example("sessions/../../x", "agent")
def test_any_text_as_an_id(client: Client, text: str, where: str):
    """A session is made where, and only where, the grammar has the id."""
    encoded = in_path(text)
    if where == "session":
        path, is_good = f"{BASE}/{encoded}", is_session_id(text)
    else:
        path, is_good = f"/api/agents/{encoded}/sessions/x", is_agent_id(text)
    assert client.get(path).status_code in ((404,) if is_good else (404, 422))
    assert send(client, "POST", f"{path}/messages").status_code in (404, 405, 422)
    if where == "session":
        made = client.post(f"{BASE}/create", json={"session_id": text})
        assert made.status_code == (201 if is_good else 422)
        if "/" not in text:
            assert client.get(f"{path}/exists").json() == {"exists": is_good}
        if is_good:
            assert client.delete(f"{path}?permanent=true").status_code == 200
    assert client.get("/api/agents").json() == []


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.binary(max_size=60), kind=st.sampled_from(["application/json", "text/plain"]))
@example(b'{"messages":[{"kind":"request","parts":[]}]}', "application/json")
def test_any_bytes_as_a_body(client: Client, data: bytes, kind: str):
    if not client.get(f"{BASE}/x/exists").json()["exists"]:
        client.create("x")
    for path in ("create", "import", "x/messages"):
        response = client.post(f"{BASE}/{path}", content=data, headers={"Content-Type": kind})
        assert response.status_code < 500


def test_a_body_that_is_no_json_is_told_so(client: Client):
    found = client.post(f"{BASE}/create", content=b'{"title": x}', headers=JSON)
    assert found.status_code == 422
    assert "not JSON" in found.json()["detail"]
    assert found.json()["errors"][0]["loc"] == ["body", 10]


def test_bytes_in_the_path_that_are_no_utf8(idle: Client):
    for path in (b"%ff", b"%c0%ae%c0%ae", b"x%f0%9f"):
        response = idle.get(f"{BASE}/{path.decode()}")
        assert response.status_code == 422
        assert idle.get(f"{BASE}?cursor={path.decode()}").status_code == 422


# Things planted in the folder


@pytest.mark.local
def test_symbolic_links_lead_nowhere(client: Client, place: Path, tmp_path: Path):
    outside = tmp_path / "outside"
    (outside / "context_memory").mkdir(parents=True)
    secret = dumps(turn("a secret of the machine"))
    (outside / "secret.json").write_bytes(secret)
    (outside / "context_memory" / "secret.json").write_bytes(secret)
    client.create("x")
    views = place / "researcher" / "context_memory"
    (views / "planted.json").symlink_to(outside / "secret.json")
    (place / "linked").symlink_to(outside, target_is_directory=True)
    (place / "half").mkdir()
    (place / "half" / "context_memory").symlink_to(outside / "context_memory")

    for base, name in [
        (BASE, "planted"),
        ("/api/agents/linked/sessions", "secret"),
        ("/api/agents/half/sessions", "secret"),
    ]:
        assert name not in client.ids(base)
        for rest in ("", "/info", "/messages", "/export"):
            response = client.get(f"{base}/{name}{rest}")
            assert response.status_code in (404, 503)
            assert "secret of" not in response.text
        client.post(f"{base}/create", json={"session_id": name})
        client.post(f"{base}/{name}/messages", json={"messages": turn("Mine")})
        client.post(f"{base}/import?session_id={name}&on_conflict=replace", json=turn("Mine"))
        client.delete(f"{base}/{name}?permanent=true")
        client.delete(f"{base}?confirm=true")
    assert (outside / "secret.json").read_bytes() == secret
    assert [path.name for path in (outside / "context_memory").iterdir()] == ["secret.json"]
    assert (outside / "context_memory" / "secret.json").read_bytes() == secret


@pytest.mark.local
def test_a_file_in_the_place_of_an_agents_folder(client: Client, place: Path):
    client.create("x")
    (place / "writer").write_text("not a folder")
    base = "/api/agents/writer/sessions"
    assert client.get(base).json() == []
    response = client.post(f"{base}/create", json={"session_id": "y"})
    assert response.status_code == 503
    assert response.headers["retry-after"].isdigit()
    assert "Move it away" in response.json()["detail"]
    assert client.post(f"{base}/import", json=turn("Hello")).status_code == 503
    assert client.ids(base) == []
    assert client.ids() == ["x"]
    (place / "writer").unlink()
    assert client.post(f"{base}/create", json={"session_id": "y"}).status_code == 201


@pytest.mark.local
def test_a_directory_in_the_place_of_a_session(client: Client, place: Path):
    client.create("x")
    (place / "researcher" / "context_memory" / "y.json").mkdir()
    assert client.get(f"{BASE}/y").status_code == 404
    assert client.post(f"{BASE}/create", json={"session_id": "y"}).status_code == 409
    assert client.ids() == ["x"]


@pytest.mark.local
def test_files_that_are_no_messages_are_no_sessions(client: Client, place: Path):
    client.create("x")
    views = place / "researcher" / "context_memory"
    for name, data in [("broken", b"["), ("text", b"nonsense"), ("object", b"{}"), ("empty", b"")]:
        (views / f"{name}.json").write_bytes(data)
        response = client.get(f"{BASE}/{name}")
        assert response.status_code in (200, 404)
        assert (views / f"{name}.json").read_bytes() == data
    assert client.get(BASE).status_code == 200


# A store that can't answer


def test_a_store_whose_directory_is_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with Client(create_app(tmp_path / "file"), secret=str(tmp_path)) as client:
        for method, path in [("GET", ""), ("POST", "/create"), ("GET", "/x"), ("GET", "/x/exists")]:
            response = client.request(method, f"{BASE}{path}")
            assert response.status_code == 503
            assert response.headers["retry-after"].isdigit()
        assert client.get("/health").status_code == 200
        (tmp_path / "file").unlink()
        assert client.create("x")  # as soon as it can be opened


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_store_that_is_read_only(tmp_path: Path):
    place = tmp_path / "store"
    place.mkdir(mode=0o555)
    with Client(create_app(place), secret=str(tmp_path)) as client:
        assert client.post(f"{BASE}/create").status_code == 503
        assert client.get("/health").status_code == 200


@pytest.mark.local
def test_a_database_that_is_damaged(place: Path):
    with Client(create_app(place)) as client:
        client.create("x")
        client.add("x", *("Hello" * 100 for _ in range(20)))
    database = place / "sessions.sqlite3"
    database.write_bytes(database.read_bytes()[:4096] + b"\x00" * 40_000)
    with Client(create_app(place), secret=str(place)) as client:
        response = client.get(f"{BASE}/x")
        assert response.status_code == 500
        assert response.json()["type"] == "urn:mythline:store-corrupt"
        assert client.get("/health").status_code == 200


@pytest.mark.local
@pytest.mark.parametrize(
    ("statement", "path"),
    [
        ("DELETE FROM entries WHERE n = (SELECT min(n) FROM entries)", ""),
        ("UPDATE sessions SET tags = 'no' WHERE session_id = 'x'", "/info"),
    ],
)
def test_a_session_that_is_damaged(place: Path, statement: str, path: str):
    with Client(create_app(place)) as client:
        for name in ("x", "y"):
            client.create(name)
            client.add(name, "Hello")
    with contextlib.closing(sqlite3.connect(place / "sessions.sqlite3")) as database, database:
        assert database.execute(statement).rowcount == 1
    with Client(create_app(place), secret=str(place)) as client:
        response = client.get(f"{BASE}/x{path}")
        assert response.status_code == 500
        assert response.json()["type"] == "urn:mythline:store-corrupt"
        assert {info["session_id"] for info in client.get(BASE).json()} == {"x", "y"}
        assert client.get(f"{BASE}/y{path}").status_code == 200
        (found,) = client.get("/api/doctor").json()
        assert found["session_id"] == "x"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailable("The store can't be read. Try again."), 503),
        (StoreClosed(), 503),
        (StoreFull(), 507),
        (StoreCorrupt(), 500),
        (StoreTooNew(9, 1), 503),
        (MythlineError("Something is wrong here."), 500),
        (RuntimeError("/a/path of the server, SELECT * FROM sessions"), 500),
        (OSError(5, "Input/output error", "/a/path"), 500),
        (RecursionError("deep"), 500),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_store_raises_is_a_problem(
    place: Path, error: Exception, status: int, caplog: pytest.LogCaptureFixture
):
    store = Recording(open_store(place))
    with Client(create_app(store)) as client:
        client.create("x")
        store.error = error
        for method, path in [
            ("GET", "/api/agents"),
            ("GET", BASE),
            ("DELETE", BASE),
            ("DELETE", f"{BASE}?confirm=true"),
            ("GET", f"{BASE}/latest"),
            ("POST", f"{BASE}/create"),
            ("POST", f"{BASE}/import?session_id=y"),
            ("GET", f"{BASE}/x"),
            ("HEAD", f"{BASE}/x"),
            ("GET", f"{BASE}/x/exists"),
            ("GET", f"{BASE}/x/info"),
            ("GET", f"{BASE}/x/messages"),
            ("GET", f"{BASE}/x/export"),
            ("GET", f"{BASE}/export"),
            ("HEAD", f"{BASE}/export?format=tar.zst"),
            ("POST", f"{BASE}/x/messages"),
            ("DELETE", f"{BASE}/x"),
        ]:
            if "import" in path:
                response = client.post(path, json=turn("Hello"))
            elif path.endswith("create"):
                response = client.post(path, json={"session_id": "y"})
            else:
                response = send(client, method, path)
            assert response.status_code == status, (method, path)
            assert "/a/path" not in response.text
            assert ("retry-after" in response.headers) is (status == 503)
        assert any(record.exc_info for record in caplog.records)  # the operator sees the cause
        store.error = None
        assert client.ids() == ["x"]


def test_a_failure_half_way_writes_nothing(place: Path):
    """The store that fails after the request was read leaves the session as it was."""
    store = Recording(open_store(place))
    with Client(create_app(store)) as client:
        client.create("x")
        client.add("x", "Hello")
        before = client.get(f"{BASE}/x/info").json()
        store.error = StoreFull()
        assert send(client, "POST", f"{BASE}/x/messages").status_code == 507
        assert client.delete(f"{BASE}/x").status_code == 507
        store.error = None
        assert client.get(f"{BASE}/x/info").json() == before


@pytest.mark.local
def test_the_folder_removed_while_the_server_runs(client: Client, place: Path):
    client.create("x")
    shutil.rmtree(place / "researcher")
    for path in ("", "/latest", "/x", "/x/messages", "/x/exists", "/x/export"):
        assert client.get(f"{BASE}{path}").status_code in (200, 404, 503)
    assert client.post(f"{BASE}/create").status_code in (201, 503)


def test_the_check_of_answers_can_fail():
    """Every test here relies on it."""
    import httpx

    def response(status: int, headers: dict[str, str], body: Any) -> httpx.Response:
        request = httpx.Request("GET", "http://localhost/")
        return httpx.Response(status, headers=headers, content=dumps(body), request=request)

    problem = {"type": "about:blank", "title": "T", "status": 404, "detail": "D."}
    kind = {"content-type": "application/problem+json"}
    check_answer(response(404, kind, problem))
    for bad in (
        response(404, {"content-type": "application/json"}, problem),
        response(404, kind, {**problem, "status": 400}),
        response(404, kind, {**problem, "detail": "In /secret/place."}),
        response(404, {**kind, "server": "x"}, problem),
        response(200, kind, problem),
        response(200, {"content-type": "application/json"}, "Traceback"),
    ):
        with pytest.raises(AssertionError):
            check_answer(bad, "/secret/place")
