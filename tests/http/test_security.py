"""What keeps web pages out: the host that is asked for, and the site that asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from mythline.http import Guard, create_app
from tests.http.support import BASE, Client, turn


@pytest.mark.parametrize(
    ("host", "is_answered"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("LocalHost:1", True),
        ("127.0.0.1", True),
        ("127.0.0.1:65535", True),
        ("[::1]", True),
        ("[::1]:8000", True),
        ("192.168.1.5:8000", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evil.localhost", False),
        ("localhost:8000:8000", False),
        ("localhost:port", False),
        ("localhost@evil.example", False),
        ("evil.example@localhost", False),
        ("evil.example/localhost", False),
        ("localhost/", False),
        ("localhost?", False),
        ("localhost#", False),
        ("::1", False),
        ("[::1", False),
        ("[localhost]", False),
        ("", False),
        (" ", False),
        ("2130706433", False),
        ("localhost, evil.example", False),
        ("xn--localhost", False),
    ],
)
def test_hosts(idle: Client, host: str, is_answered: bool):
    for method, path in [("GET", "/health"), ("GET", BASE), ("POST", f"{BASE}/nothing")]:
        response = idle.request(method, path, headers={"Host": host})
        assert (response.status_code != 421) is is_answered, (method, path)
        assert "evil" not in response.text


def test_two_hosts_or_none(idle: Client):
    headers = [("Host", "localhost"), ("Host", "evil.example")]
    assert idle.get("/health", headers=headers).status_code == 421


def test_hosts_that_are_allowed(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MYTHLINE_ALLOWED_HOSTS", "one.example, Two.example")
    app = create_app(place, allowed_hosts=["three.example"])
    with Client(app) as client:
        for host in ("one.example", "two.example:80", "THREE.example", "localhost"):
            assert client.get("/health", headers={"Host": host}).status_code == 200
        for host in ("four.example", "a.one.example"):
            assert client.get("/health", headers={"Host": host}).status_code == 421
    with Client(create_app(place, allowed_hosts=["*"])) as client:
        assert client.get("/health", headers={"Host": "any.example"}).status_code == 200


def test_a_test_client_needs_no_setting(place: Path):
    with TestClient(create_app(place)) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/health", headers={"Host": "evil.example"}).status_code == 421


async def test_a_client_that_calls_the_application_itself_needs_no_setting(place: Path):
    transport = httpx.ASGITransport(create_app(place))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/health")).status_code == 200
        refused = await client.get("/health", headers={"Host": "evil.example"})
        assert refused.status_code == 421


OWN = "http://localhost:8000"


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"Origin": OWN}, True),
        ({"Origin": OWN, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "something-new"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Origin": OWN, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "https://evil.example:8000"}, False),
        ({"Origin": "http://localhost:8001"}, False),
        ({"Origin": "http://localhost"}, False),
        ({"Origin": "http://localhost:8000.evil.example"}, False),
        ({"Origin": "http://evil.example@localhost:8000"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "localhost:8000"}, False),
        ({"Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Host": "localhost", "Origin": "http://localhost:80"}, True),
        ({"Host": "localhost", "Origin": "https://localhost"}, True),
        ({"Host": "localhost:443", "Origin": "https://localhost"}, True),
        ({"Host": "[::1]:8000", "Origin": "http://[::1]:8000"}, True),
        ({"Host": "127.0.0.1:8000", "Origin": OWN}, False),
    ],
)
def test_sites_that_ask_for_a_change(idle: Client, headers: dict[str, str], is_taken: bool):
    before = idle.ids()
    for method, path, options in [
        ("DELETE", f"{BASE}?confirm=true", {}),
        ("POST", f"{BASE}/create", {}),
        ("POST", f"{BASE}/import", {"files": {"file": ("x.json", b"[]")}}),
        ("POST", f"{BASE}/import?session_id=y", {"json": turn("Hi")}),
        ("PATCH", f"{BASE}/x", {"json": {"title": "Mine"}}),
        ("POST", f"{BASE}/x/fork", {}),
        ("POST", f"{BASE}/x/branch", {"json": {"entry_id": "e"}}),
        ("POST", f"{BASE}/x/restore", {}),
        ("POST", f"{BASE}/prune", {"json": {"keep": 0}}),
        ("DELETE", f"{BASE}/x?permanent=true", {}),
        ("DELETE", f"{BASE}/trash?confirm=true", {}),
    ]:
        response = idle.request(method, path, headers=headers, **options)
        assert (response.status_code != 403) is is_taken, (method, path)
    assert idle.get(BASE, headers=headers).status_code == 200  # no page can read it
    if not is_taken:
        assert idle.ids() == before


def test_every_answer_has_the_security_headers(client: Client):
    client.create("x")
    answers = [
        client.get("/health"),
        client.get(f"{BASE}/x/export"),
        client.get(f"{BASE}/none"),
        client.get("/nowhere"),
        client.put("/health"),
        client.post(f"{BASE}/create", content=b"x" * (2 << 20)),
        client.get("/health", headers={"Host": "evil.example"}),
        client.post(f"{BASE}/create", headers={"Origin": "null"}),
        client.get("/openapi.json"),
        client.get("/docs"),
    ]
    assert {200, 403, 404, 405, 413, 421} == {response.status_code for response in answers}
    for response in answers:
        headers = response.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "access-control-allow-origin" not in headers
        if response.request.url.path != "/docs":
            assert "script-src" not in headers["content-security-policy"]


def test_the_docs_load_what_they_need_and_nothing_else(idle: Client):
    response = idle.get("/docs")
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in response.headers["content-security-policy"].split(";")
    )
    assert policy["connect-src"] == "'self'"
    scripts = policy["script-src"].split()
    assert "'unsafe-inline'" not in scripts
    (inline,) = [source for source in scripts if source.startswith("'sha256-")]
    (loaded,) = [source for source in scripts if source != inline]
    assert f'<script src="{loaded}">' in response.text
    import base64
    import hashlib

    script = response.text.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert inline == f"'sha256-{digest}'"
    assert "openapi.json" in script


def test_an_unexpected_error_tells_nothing(place: Path, monkeypatch: pytest.MonkeyPatch):
    app = create_app(place)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret")

    with Client(app, raise_server_exceptions=False) as client:
        response = client.get("/broken")
        assert response.status_code == 500
        assert "secret" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"


async def test_what_is_no_http_passes_the_guard():
    seen: list[str] = []

    async def inner(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["type"])

    async def nothing(*_args: Any) -> Any:
        raise AssertionError

    await Guard(inner)({"type": "lifespan"}, nothing, nothing)
    assert seen == ["lifespan"]


def test_a_guard_for_an_application_of_ones_own():
    from fastapi import FastAPI

    app = FastAPI()
    app.add_middleware(Guard, allowed_hosts=["chat.example"])

    @app.post("/")
    async def home() -> str:
        return "hello"

    with TestClient(app) as client:
        own = {"Host": "chat.example", "Origin": "https://chat.example"}
        assert client.post("/", headers=own).json() == "hello"
        assert client.post("/", headers={**own, "Host": "evil.example"}).status_code == 421
        assert client.post("/", headers={**own, "Origin": "https://e.example"}).status_code == 403
