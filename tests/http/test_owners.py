"""Owners never learn of each other: what is another's answers as what isn't there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Header
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from mythline import open_store, session_router
from tests.http.support import Client, turn

BASE = "/agents/a/sessions"


def current_user(user: Annotated[str | None, Header()] = None) -> str | None:
    return user


class Users:
    """A client that asks as a user."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def ask(self, user: str | None, method: str, path: str, **options: Any) -> Any:
        headers = {**options.pop("headers", {}), **({"User": user} if user else {})}
        return self.client.request(method, f"{BASE}{path}", headers=headers, **options)


@pytest.fixture
def users(place: Path) -> Iterator[Users]:
    app = FastAPI()
    app.include_router(session_router(open_store(place), owner=current_user))
    with Client(app) as client:
        yield Users(client)


def with_id(response: Any, session_id: str) -> tuple[int, str]:
    return response.status_code, response.text.replace(session_id, "{id}")


def test_anothers_session_answers_as_one_that_isnt_there(users: Users):
    users.ask("alice", "POST", "/create", json={"session_id": "hers"})
    users.ask("alice", "POST", "/create", json={"session_id": "gone"})
    added = users.ask("alice", "POST", "/hers/messages", json={"messages": turn("A secret")})
    entry_id = added.json()["entry_ids"][0]
    users.ask("alice", "DELETE", "/gone")
    before = users.ask("alice", "GET", "/hers/info").json()
    tag = f'"{before["revision"]}"'
    for user in ("bob", None):
        for method, path, body in [
            ("GET", "", None),
            ("GET", "/info", None),
            ("GET", "/branches", None),
            ("PATCH", "", {"title": "Mine"}),
            ("PATCH", "", {}),
            ("POST", "/fork", {}),
            ("POST", "/fork", {"entry_id": entry_id, "session_id": "copy"}),
            ("POST", "/branch", {"entry_id": entry_id}),
            ("POST", "/restore", {}),
            ("POST", "/restore", {"session_id": "mine"}),
            ("DELETE", "", None),
            ("DELETE", "?permanent=true", None),
        ]:
            for headers in ({}, {"If-Match": tag}, {"If-Match": '"x", "y"'}):
                for name in ("hers", "gone"):
                    other, none = (
                        users.ask(user, method, f"/{each}{path}", json=body, headers=headers)
                        for each in (name, "none")
                    )
                    assert other.status_code == 404, (method, path)
                    assert with_id(other, name) == with_id(none, "none"), (method, path)
    assert users.ask("alice", "GET", "/hers/info").json() == before
    trash = users.ask("alice", "GET", "/trash").json()
    assert [each["session_id"] for each in trash] == ["gone"]


def test_an_owners_own_session_doesnt_reach_anothers_entries(users: Users):
    users.ask("alice", "POST", "/create", json={"session_id": "same"})
    added = users.ask("alice", "POST", "/same/messages", json={"messages": turn("A secret")})
    entry_id = added.json()["entry_ids"][0]
    users.ask("bob", "POST", "/create", json={"session_id": "same"})
    for path in ("fork", "branch"):
        found = [
            with_id(users.ask("bob", "POST", f"/same/{path}", json={"entry_id": each}), each)
            for each in (entry_id, "01a2080c-4b2f-7631-a169-46e04182205d")
        ]
        assert found[0] == found[1]
        assert found[0][0] == 422


def test_what_is_about_all_sessions_is_about_the_owners(users: Users):
    for user in ("alice", "bob", None):
        for name in ("kept", "gone"):
            users.ask(user, "POST", "/create", json={"session_id": name, "title": f"Of {user}"})
        users.ask(user, "DELETE", "/gone")
    assert "purge 1 " in users.ask("bob", "DELETE", "/trash").json()["detail"]
    assert users.ask("bob", "GET", "?count=true").headers["x-total-count"] == "1"
    (trashed,) = users.ask("bob", "GET", "/trash").json()
    assert trashed["title"] == "Of bob"
    pruned = users.ask("bob", "POST", "/prune", json={"keep": 0})
    assert pruned.json()["sessions"] == ["kept"]
    assert users.ask("bob", "DELETE", "/trash?confirm=true").json() == {"purged": 2}
    for user in ("alice", None):
        assert [each["title"] for each in users.ask(user, "GET", "").json()] == [f"Of {user}"]
        assert len(users.ask(user, "GET", "/trash").json()) == 1
        assert users.ask(user, "POST", "/gone/restore").json()["title"] == f"Of {user}"


def test_a_cursor_of_anothers_list_shows_nothing_of_it(users: Users):
    for number in range(3):
        users.ask("alice", "POST", "/create", json={"session_id": f"a{number}"})
    users.ask("bob", "POST", "/create", json={"session_id": "b"})
    target = users.ask("alice", "GET", "?limit=1").links["next"]["url"]
    response = users.client.get(target, headers={"User": "bob"})
    assert {each["session_id"] for each in response.json()} <= {"b"}


def test_without_what_the_owner_is_known_by_a_request_is_422(place: Path):
    def user(x_user: Annotated[str, Header()]) -> str:
        return x_user

    def wanted(x_wanted: Annotated[str, Header()]) -> str:
        return x_wanted

    app, bot = FastAPI(), Agent(TestModel(), name="bot")
    store = open_store(place)
    app.include_router(session_router(store, agents=[bot], owner=user, deps=wanted))
    app.include_router(session_router(store, agent=bot, owner=user, deps=wanted, prefix="/one"))
    paths = app.openapi()["paths"]
    with Client(app) as client:
        for path, methods in paths.items():
            for method in methods:
                place_of_it = path.format(agent_id="bot", session_id="s", entry_id="e", number=0)
                response = client.request(method, place_of_it)
                if response.status_code in (415, 413):
                    response = client.request(method, place_of_it, json={})
                assert response.status_code == 422, (method, path, response.text)
                assert "x-user" in response.json()["detail"] or "x_user" in response.text
        told = client.post("/one/run", json={"message": "Hi"}, headers={"X-User": "ann"})
        assert told.status_code == 422
        assert told.json()["detail"].count("x-wanted") == 1
        assert client.get("/one/sessions", headers={"X-User": "ann"}).json() == []
