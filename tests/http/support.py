"""What the tests of the HTTP API share: a client that checks every answer, and messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from starlette.testclient import TestClient

from mythline.operations import Describe, Listing, Search
from mythline.store import Append, AppendResult, Save, SessionKey, Store

BASE = "/api/agents/researcher/sessions"
JSON = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


def prompt(text: str) -> dict[str, Any]:
    return {
        "parts": [
            {"content": text, "timestamp": "2026-01-02T03:04:05Z", "part_kind": "user-prompt"}
        ],
        "kind": "request",
    }


def answer(text: str) -> dict[str, Any]:
    return {
        "parts": [{"content": text, "part_kind": "text"}],
        "timestamp": "2026-01-02T03:04:06Z",
        "kind": "response",
    }


def turn(text: str) -> list[dict[str, Any]]:
    return [prompt(text), answer(f"{text}!")]


def check_answer(response: Any, secret: str = "") -> None:
    """What holds for every answer: errors are problems, and nothing of the server leaks."""
    whole = f"{response.headers}\n{response.text}"
    assert not secret or secret not in whole
    for word in ("Traceback", "sqlite", "SELECT ", "site-packages", ".py"):
        assert word not in whole, word
    assert "server" not in response.headers
    is_error = response.status_code >= 400
    assert response.headers.get("content-type", "").startswith(PROBLEM) is is_error
    if is_error and response.request.method != "HEAD":
        problem = response.json()
        assert {"type", "title", "status", "detail"} <= problem.keys()
        assert problem["status"] == response.status_code
        assert all(isinstance(problem[name], str) and problem[name] for name in ("type", "title"))
        assert problem["detail"].endswith(".")


class Client(TestClient):
    """A client on the machine itself, which checks every answer."""

    __test__ = False

    def __init__(self, app: Any, *, secret: str = "", **options: Any) -> None:
        options.setdefault("base_url", "http://localhost:8000")
        super().__init__(app, **options)
        self.secret = secret

    def request(self, *args: Any, **kwargs: Any) -> Any:
        response = super().request(*args, **kwargs)
        check_answer(response, self.secret)
        return response

    def create(self, session_id: str | None = None, base: str = BASE, **body: Any) -> str:
        """Make a session; its id."""
        response = self.post(f"{base}/create", json={"session_id": session_id, **body})
        assert response.status_code == 201, response.text
        return response.json()["session_id"]

    def add(self, session_id: str, *turns: str, base: str = BASE) -> list[str]:
        """Add turns, one after the other; the ids of their entries."""
        entry_ids: list[str] = []
        for text in turns:
            response = self.post(f"{base}/{session_id}/messages", json={"messages": turn(text)})
            assert response.status_code == 201, response.text
            entry_ids += response.json()["entry_ids"]
        return entry_ids

    def ids(self, base: str = BASE) -> list[str]:
        """The ids of the sessions, as they are listed."""
        response = self.get(base)
        assert response.status_code == 200, response.text
        return [session["session_id"] for session in response.json()]


def call_app(
    client: TestClient, method: str, path: str, body: Iterator[bytes] | None = None, **headers: str
) -> list[dict[str, Any]]:
    """What an application sends to a server, where a test client would add or take something.

    The body is asked for as it is read.
    """
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        chunk = next(body, None) if body else None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "headers": [
            (b"host", b"localhost"),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
        ],
    }
    app: Any = client.app
    assert client.portal is not None
    client.portal.call(app, scope, receive, send)
    return sent


def deep(levels: int) -> str:
    """JSON that nests so deep."""
    return "[" * levels + "]" * levels


def link(response: Any, relation: str) -> str | None:
    """The target of a link in a `Link` header."""
    found = response.links.get(relation)
    return None if found is None else found["url"]


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()


def bodies(response: Any) -> list[bytes]:
    """The messages of an export as they are, one a line."""
    lines = response.content.splitlines()
    assert (lines[0], lines[-1]) == (b"[", b"]")
    return [line.removesuffix(b",") for line in lines[1:-1]]


class Recording(Store):
    """A store in front of another, which notes what the other gave."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.calls: list[str] = []
        self.entries_read = 0
        self.opened = 0
        self.closed = 0
        self.error: Exception | None = None

    def _note(self, name: str) -> None:
        self.calls.append(name)
        if self.error is not None:
            raise self.error

    async def open(self) -> None:
        self._note("open")
        self.opened += 1
        await self.inner.open()

    async def close(self) -> None:
        self.closed += 1
        await self.inner.close()

    async def owners(self) -> Any:
        self._note("owners")
        return await self.inner.owners()

    async def agents(self, owner: str | None, *, trash: bool = False) -> Any:
        self._note("agents")
        return await self.inner.agents(owner, trash=trash)

    async def get(self, key: SessionKey, *, shared: bool = False) -> Any:
        self._note("get")
        return await self.inner.get(key, shared=shared)

    async def list(self, owner: str | None, agent_id: str, listing: Listing) -> Any:
        self._note("list")
        return await self.inner.list(owner, agent_id, listing)

    async def count(self, owner: str | None, agent_id: str, listing: Listing) -> int:
        self._note("count")
        return await self.inner.count(owner, agent_id, listing)

    async def describe(self, key: SessionKey, change: Describe) -> Any:
        self._note("describe")
        return await self.inner.describe(key, change)

    async def locate(self, key: SessionKey, entry_id: str) -> Any:
        self._note("locate")
        return await self.inner.locate(key, entry_id)

    async def branches(self, key: SessionKey) -> Any:
        self._note("branches")
        return await self.inner.branches(key)

    async def search(self, owner: str | None, search: Search) -> Any:
        self._note("search")
        return await self.inner.search(owner, search)

    def events(self, owner: str | None, agent_id: str | None, **options: Any) -> Any:
        self._note("events")
        return self.inner.events(owner, agent_id, **options)

    async def restore(self, key: SessionKey, **options: Any) -> Any:
        self._note("restore")
        return await self.inner.restore(key, **options)

    async def empty_trash(self, owner: str | None, agent_id: str, **options: Any) -> int:
        self._note("empty_trash")
        return await self.inner.empty_trash(owner, agent_id, **options)

    def check(self, **options: Any) -> Any:
        self._note("check")
        return self.inner.check(**options)

    async def records(self, owner: str | None, agent_id: str, **options: Any) -> Any:
        self._note("records")
        return await self.inner.records(owner, agent_id, **options)

    async def history(self, key: SessionKey, **options: Any) -> Any:
        self._note("history")
        page = await self.inner.history(key, **options)
        self.entries_read += 0 if page is None else len(page.entries)
        return page

    async def line(self, owner: str | None, agent_id: str, entry_id: str, **options: Any) -> Any:
        self._note("line")
        return await self.inner.line(owner, agent_id, entry_id, **options)

    async def save(self, key: SessionKey, save: Save) -> None:
        self._note("save")
        await self.inner.save(key, save)

    async def append(self, key: SessionKey, append: Append) -> AppendResult:
        self._note("append")
        return await self.inner.append(key, append)

    async def delete(self, key: SessionKey, **options: Any) -> bool:
        self._note("delete")
        return await self.inner.delete(key, **options)

    async def delete_all(self, owner: str | None, agent_id: str, **options: Any) -> int:
        self._note("delete_all")
        return await self.inner.delete_all(owner, agent_id, **options)

    async def settle(self, key: SessionKey) -> None:
        await self.inner.settle(key)
