"""The routes that are about sessions, not about their messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.http.support import BASE, JSON, Client, deep, link, turn

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


# Create


def test_create_generates_an_id_and_lists_the_session_at_once(client: Client):
    response = client.post(f"{BASE}/create")
    assert response.status_code == 201
    session_id = response.json()["session_id"]
    assert re.fullmatch(r"session_\d{8}_\d{6}_[a-z0-9]{6}", session_id)
    assert response.json() == {"session_id": session_id, "status": "created"}
    assert response.headers["location"] == f"{BASE}/{session_id}"
    assert client.ids() == [session_id]
    assert client.get(response.headers["location"]).json()["messages"] == []


@pytest.mark.parametrize(
    "body", [b"{}", b"null", b"", b'{"session_id":null,"title":null,"tags":null,"metadata":null}']
)
def test_create_takes_bodies_that_say_nothing(client: Client, body: bytes):
    assert client.post(f"{BASE}/create", content=body, headers=JSON).status_code == 201


def test_create_with_everything(client: Client):
    body = {
        "session_id": "my-session",
        "title": "Schattenwald é 🧝",
        "tags": ["b", "a", "b"],
        "metadata": {"deep": {"er": [1, None, "é"]}},
    }
    response = client.post(f"{BASE}/create", json=body)
    assert response.json() == {"session_id": "my-session", "status": "created"}
    info = client.get(f"{BASE}/my-session/info").json()
    assert (info["title"], info["tags"]) == ("Schattenwald é 🧝", ["a", "b"])
    assert info["metadata"] == body["metadata"]
    assert response.headers["etag"] == f'"{info["revision"]}"'


def test_create_what_exists_is_a_conflict_and_changes_nothing(client: Client):
    client.create("x", title="First")
    client.add("x", "Hello")
    before = client.get(f"{BASE}/x/info").json()
    response = client.post(f"{BASE}/create", json={"session_id": "x", "title": "Second"})
    assert response.status_code == 409
    assert response.json()["type"] == "urn:mythline:session-exists"
    assert client.get(f"{BASE}/x/info").json() == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"session_id": "../x"}, 422),
        ({"session_id": ""}, 422),
        ({"session_id": 7}, 422),
        ({"title": "x" * 201}, 422),
        ({"tags": "abc"}, 422),
        ({"tags": [""]}, 422),
        ({"tags": ["x"] * 51}, 422),
        ({"tags": ["x" * 65]}, 422),
        ({"metadata": [1]}, 422),
        ({"metadata": {"x": "y" * 20_000}}, 422),
        ({"unknown": 1}, 422),
        ([], 422),
        ("text", 422),
    ],
)
def test_create_refuses_what_is_out_of_bounds(idle: Client, body: Any, status: int):
    response = idle.post(f"{BASE}/create", json=body)
    assert response.status_code == status
    assert idle.ids() == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"metadata": {"x": ' + deep(300).encode() + b"}}",
        b'{"metadata": {"x": ' + deep(100_000).encode() + b"}}",
        deep(100_000).encode(),
        b'{"title": "\\ud800"}',
        b'{"metadata": {"x": "\\ud800"}}',
        b'{"metadata": {"\\ud800": 1}}',
        b'{"\\ud800": 1}',
        b'{"session_id": "\\ud800"}',
        b'{"metadata": {"x": ' + b"1" * 5000 + b"}}",
        b'{"metadata": {"x": NaN}}',
        b'{"metadata": {"x": 1e999}}',
    ],
    ids=lambda body: body[:30].decode("latin-1"),
)
def test_create_refuses_what_is_no_usable_json(idle: Client, body: bytes):
    response = idle.post(f"{BASE}/create", content=body, headers=JSON)
    assert response.status_code in (400, 422)
    assert idle.ids() == []


def test_create_names_unknown_members_without_their_values(idle: Client):
    response = idle.post(f"{BASE}/create", json={"titel": "a secret"})
    assert "titel" in response.json()["detail"]
    assert response.json()["errors"][0]["loc"] == ["body", "titel"]
    assert "a secret" not in response.text


def test_a_body_must_say_that_it_is_json(idle: Client):
    """A form or text is what a page of another site could send."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = idle.post(f"{BASE}/create", content=b"{}", headers={"Content-Type": kind})
        assert response.status_code == 415
    assert idle.ids() == []


# List and latest


def test_an_unknown_agent_has_no_sessions(idle: Client):
    assert idle.get(BASE).json() == []
    assert idle.get(f"{BASE}/latest").status_code == 404
    assert idle.get("/api/agents").json() == []


def test_list_is_newest_first_with_the_fields_of_a_list(client: Client):
    client.create("one")
    client.create("two", title="Second", tags=["t"])
    client.add("one", "Who rules Shadowglen?")
    listed = client.get(BASE).json()
    assert [session["session_id"] for session in listed] == ["one", "two"]
    one, two = listed
    assert set(one) == {
        "session_id",
        "last_modified",
        "message_count",
        "title",
        "preview",
        "tags",
        "pinned",
        "archived",
        "size",
    }
    assert (one["message_count"], one["title"]) == (2, "Who rules Shadowglen?")
    assert one["preview"] == "Who rules Shadowglen?!"
    assert (two["message_count"], two["title"], two["tags"]) == (0, "Second", ["t"])
    assert (one["pinned"], one["archived"]) == (False, False)
    assert one["size"] == len(client.get(f"{BASE}/one/export").content)


def test_times_are_utc_with_a_z(client: Client):
    client.create("x")
    info = client.get(f"{BASE}/x/info").json()
    agent = client.get("/api/agents").json()[0]
    for time in (info["created"], info["last_modified"], agent["last_modified"]):
        assert TIME.fullmatch(time)
        assert abs((datetime.fromisoformat(time) - datetime.now(UTC)).total_seconds()) < 60


def test_latest_follows_saves(client: Client):
    client.create("one")
    client.create("two")
    assert client.get(f"{BASE}/latest").json() == {"session_id": "two"}
    client.add("one", "Hello")
    assert client.get(f"{BASE}/latest").json() == {"session_id": "one"}


def test_pages_follow_their_links_and_keep_the_query(client: Client):
    made = [client.create(f"s{number}", title="Has a b in it") for number in range(7)]
    response = client.get(BASE, params={"limit": 3, "q": "a b"})
    seen = [session["session_id"] for session in response.json()]
    while (target := link(response, "next")) is not None:
        assert "limit=3" in target
        assert "q=a+b" in target
        assert target.count("cursor=") == 1
        response = client.get(target)
        seen += [session["session_id"] for session in response.json()]
    assert seen == made[::-1]


def test_a_page_that_holds_the_rest_has_no_link(client: Client):
    for number in range(3):
        client.create(f"s{number}")
    assert "link" not in client.get(BASE, params={"limit": 3}).headers
    assert "link" not in client.get(BASE).headers


def test_sessions_made_between_pages_are_neither_repeated_nor_push_others_out(client: Client):
    made = [client.create(f"s{number}") for number in range(6)]
    response = client.get(BASE, params={"limit": 2})
    seen = [session["session_id"] for session in response.json()]
    number = 0
    while (target := link(response, "next")) is not None:
        client.create(f"late{number}")
        client.add(seen[-1], "Moves to the front")
        number += 1
        response = client.get(target)
        seen += [session["session_id"] for session in response.json()]
    assert number == 2
    assert seen == made[::-1]


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "9" * 5000])
def test_limits_out_of_bounds(idle: Client, limit: str):
    response = idle.get(BASE, params={"limit": limit})
    assert response.status_code == 422
    assert response.json()["errors"][0]["loc"] == ["query", "limit"]


def test_limits_in_bounds(idle: Client):
    assert idle.get(BASE, params={"limit": 1}).status_code == 200
    assert idle.get(BASE, params={"limit": 1000}).status_code == 200


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.x", "9" * 30 + ".1", "\x00", "é.é", "-1.-1"])
def test_cursors_that_no_list_gave(idle: Client, cursor: str):
    response = idle.get(BASE, params={"cursor": cursor})
    assert response.status_code == 422
    assert response.json()["type"] == "urn:mythline:invalid-cursor"


# One session


def test_exists_is_never_404(client: Client):
    client.create("x")
    assert client.get(f"{BASE}/x/exists").json() == {"exists": True}
    for name in ("y", "a.b", "-x", "%00", "x" * 200, "latest", "%E2%82%AC"):
        response = client.get(f"{BASE}/{name}/exists")
        assert (response.status_code, response.json()) == (200, {"exists": False})
    assert client.get("/api/agents/nobody/sessions/x/exists").json() == {"exists": False}
    client.delete(f"{BASE}/x")
    assert client.get(f"{BASE}/x/exists").json() == {"exists": False}


def test_info(client: Client):
    client.create("x", metadata={"a": 1})
    entry_ids = client.add("x", "Hello")
    info = client.get(f"{BASE}/x/info")
    assert set(info.json()) >= {"title", "preview", "tags", "pinned", "archived", "usage", "size"}
    assert info.json()["file_size"] == len(client.get(f"{BASE}/x/export").content)
    assert (
        info.json()
        | {
            "session_id": "x",
            "agent_id": "researcher",
            "message_count": len(entry_ids),
            "metadata": {"a": 1},
            "branches": [],
            "forked_from": None,
            "forked_at": None,
        }
        == info.json()
    )
    assert isinstance(info.json()["usage"], dict)
    assert info.headers["etag"] == f'"{info.json()["revision"]}"'
    assert info.json()["created"] <= info.json()["last_modified"]


def test_what_is_not_there_is_404_and_stays_so(idle: Client):
    for method, path, body in [
        ("GET", "x", None),
        ("GET", "x/info", None),
        ("GET", "x/messages", None),
        ("GET", "x/export", None),
        ("DELETE", "x", None),
        ("DELETE", "x?permanent=true", None),
        ("POST", "x/messages", {"messages": turn("Hello")}),
    ]:
        response = idle.request(method, f"{BASE}/{path}", json=body)
        assert response.status_code == 404, (method, path)
        assert response.json()["type"] == "urn:mythline:session-not-found"
    assert idle.ids() == []
    assert idle.get("/api/agents").json() == []


# Delete


@pytest.mark.parametrize("query", ["", "?permanent=true", "?permanent=false"])
def test_delete(client: Client, query: str):
    client.create("x")
    client.create("y")
    client.add("x", "Hello")
    response = client.delete(f"{BASE}/x{query}")
    assert (response.status_code, response.json()) == (
        200,
        {"session_id": "x", "status": "deleted"},
    )
    assert client.ids() == ["y"]
    assert client.get(f"{BASE}/x").status_code == 404
    assert client.delete(f"{BASE}/x{query}").status_code == 404
    client.create("x")  # the id is free again, and nothing of the old session is back
    assert client.get(f"{BASE}/x").json()["messages"] == []


def test_delete_honours_if_match(client: Client):
    client.create("x")
    old = client.get(f"{BASE}/x/info").headers["etag"]
    client.add("x", "Hello")
    new = client.get(f"{BASE}/x/info").headers["etag"]
    for tag in (old, f"W/{new}", new.strip('"'), '""', "", '"a", "b"'):
        response = client.delete(f"{BASE}/x", headers={"If-Match": tag})
        assert response.status_code == 412, tag
    assert client.get(f"{BASE}/x/exists").json() == {"exists": True}
    assert client.delete(f"{BASE}/y", headers={"If-Match": old}).status_code == 404
    assert client.delete(f"{BASE}/x", headers={"If-Match": f"{old}, {new}"}).status_code == 200


def test_delete_all_asks_first(client: Client):
    for number in range(3):
        client.create(f"s{number}")
    client.create("other", base="/api/agents/writer/sessions")
    for query in ("", "?confirm=false"):
        response = client.delete(f"{BASE}{query}")
        assert response.status_code == 400
        assert "3 session" in response.json()["detail"]
        assert "confirm=true" in response.json()["detail"]
    assert client.delete(f"{BASE}?confirm=perhaps").status_code == 422
    assert len(client.ids()) == 3
    assert client.delete(f"{BASE}?confirm=true").json() == {"deleted": 3}
    assert client.ids() == []
    assert client.ids("/api/agents/writer/sessions") == ["other"]
    assert client.delete(f"{BASE}?confirm=true").json() == {"deleted": 0}
    assert "0 session" in client.delete(BASE).json()["detail"]


# Agents and the server


def test_agents_come_from_what_is_stored(client: Client):
    client.create("x", base="/api/agents/writer/sessions")
    client.create("x")
    client.create("y")
    agents = client.get("/api/agents").json()
    assert [(agent["agent_id"], agent["session_count"]) for agent in agents] == [
        ("researcher", 2),
        ("writer", 1),
    ]
    newest = client.get(BASE).json()[0]["last_modified"]
    assert agents[0]["last_modified"] == newest


def test_health(idle: Client):
    assert idle.get("/health").json() == {"status": "ok"}
    assert idle.post("/health").status_code == 405
    assert idle.get("/nothing/here").status_code == 404
    assert idle.get("/api/agents/", follow_redirects=False).status_code == 404
