"""Deleting, the trash, restoring and pruning over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.support import BASE, JSON, Client, link


def trash(client: Client, query: str = "") -> list[str]:
    response = client.get(f"{BASE}/trash{query}")
    assert response.status_code == 200, response.text
    return [session["session_id"] for session in response.json()]


def test_a_deleted_session_waits_in_the_trash(client: Client):
    client.create("x", title="Title", tags=["a"], metadata={"b": 1})
    client.add("x", "Hello")
    before = client.get(f"{BASE}/x/info").json()
    now = datetime.now(UTC)
    assert client.delete(f"{BASE}/x").json() == {"session_id": "x", "status": "deleted"}
    for path in ("", "/info", "/messages", "/branches", "/export"):
        assert client.get(f"{BASE}/x{path}").status_code == 404
    assert client.get(f"{BASE}/x/exists").json() == {"exists": False}
    assert client.ids(f"{BASE}?archived=any") == []

    (found,) = client.get(f"{BASE}/trash").json()
    assert found.keys() == {*SUMMARY, "deleted", "purges"}
    assert {name: found[name] for name in SUMMARY} == {name: before[name] for name in SUMMARY}
    deleted = datetime.fromisoformat(found["deleted"])
    assert abs(deleted - now) < timedelta(minutes=1)
    assert datetime.fromisoformat(found["purges"]) - deleted == timedelta(days=30)
    assert found["deleted"].endswith("Z")
    assert found["purges"].endswith("Z")


SUMMARY = {
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


def test_restore_brings_back_everything(client: Client):
    client.create("x", title="Title", tags=["a"], metadata={"b": 1})
    entries = client.add("x", "one", "two")
    client.post(f"{BASE}/x/branch", json={"entry_id": entries[1]})
    client.patch(f"{BASE}/x", json={"pinned": True})
    before = client.get(f"{BASE}/x/info").json()
    branches = client.get(f"{BASE}/x/branches").json()
    messages = client.get(f"{BASE}/x/messages").json()["messages"]

    client.delete(f"{BASE}/x")
    response = client.post(f"{BASE}/x/restore")
    assert response.status_code == 200
    after = response.json()
    assert response.headers["etag"] == f'"{after["revision"]}"'
    assert {**after, "revision": ""} == {**before, "revision": ""}
    assert after == client.get(f"{BASE}/x/info").json()
    assert client.get(f"{BASE}/x/branches").json() == branches
    assert client.get(f"{BASE}/x/messages").json()["messages"] == messages
    assert trash(client) == []
    assert client.post(f"{BASE}/x/restore").status_code == 404


def test_restore_over_an_id_that_is_taken_asks_for_another(client: Client):
    client.create("x", title="Old")
    client.delete(f"{BASE}/x")
    client.create("x", title="New")
    client.create("y")
    for body in (None, {}, {"session_id": None}, {"session_id": "y"}):
        response = client.post(f"{BASE}/x/restore", json=body)
        assert response.status_code == 409
        assert "another id" in response.json()["detail"]
        assert "session_id" in response.json()["detail"]
    assert client.get(f"{BASE}/x/info").json()["title"] == "New"
    assert trash(client) == ["x"]
    response = client.post(f"{BASE}/x/restore", json={"session_id": "z"})
    assert (response.json()["session_id"], response.json()["title"]) == ("z", "Old")
    assert sorted(client.ids()) == ["x", "y", "z"]


def test_of_several_with_one_id_the_last_deleted_comes_back(client: Client):
    for title in ("First", "Second"):
        client.create("x", title=title)
        client.delete(f"{BASE}/x")
    assert trash(client) == ["x", "x"]
    assert client.post(f"{BASE}/x/restore").json()["title"] == "Second"
    response = client.post(f"{BASE}/x/restore", json={"session_id": "y"})
    assert response.json()["title"] == "First"


@pytest.mark.parametrize("body", [{"session_id": "../y"}, {"session_id": "trash"}, {"x": 1}, []])
def test_restore_refuses(client: Client, body: Any):
    client.create("x")
    client.delete(f"{BASE}/x")
    assert client.post(f"{BASE}/x/restore", json=body).status_code == 422
    assert trash(client) == ["x"]


def test_the_trash_is_listed_in_pages_the_last_deleted_first(client: Client):
    for name in "abc":
        client.create(name)
    for name in "bca":
        client.delete(f"{BASE}/{name}")
    assert trash(client) == list("acb")
    url: str | None = f"{BASE}/trash?limit=1"
    pages: list[str] = []
    while url is not None:
        response = client.get(url)
        pages += [session["session_id"] for session in response.json()]
        url = link(response, "next")
    assert pages == list("acb")
    for query in ("?limit=0", "?limit=1001", "?cursor=x", "?q=x"):
        assert client.get(f"{BASE}/trash{query}").status_code == 422
    assert "cursor, limit" in client.get(f"{BASE}/trash?q=x").text


def test_permanent_means_for_good(client: Client):
    client.create("x")
    client.add("x", "Hello")
    assert client.delete(f"{BASE}/x?permanent=true").json()["status"] == "deleted"
    assert trash(client) == []
    assert client.post(f"{BASE}/x/restore").status_code == 404


def test_permanent_means_for_good_for_all(client: Client):
    for name in ("x", "y"):
        client.create(name)
    assert client.delete(f"{BASE}?confirm=true&permanent=true").json() == {"deleted": 2}
    assert trash(client) == []


@pytest.mark.parametrize("path", [f"{BASE}/x", BASE, f"{BASE}/trash"])
def test_a_misspelt_word_deletes_nothing(client: Client, path: str):
    client.create("x")
    client.create("y")
    client.delete(f"{BASE}/y")
    response = client.delete(f"{path}?confirm=true&permanant=true")
    assert response.status_code == 422
    assert "permanant" in response.json()["detail"]
    assert (client.ids(), trash(client)) == (["x"], ["y"])


def test_what_is_in_the_trash_is_purged_by_its_id(client: Client):
    for _ in range(2):
        client.create("x")
        client.delete(f"{BASE}/x")
    assert client.delete(f"{BASE}/x").status_code == 404
    assert client.delete(f"{BASE}/x?permanent=true", headers={"If-Match": '"r"'}).status_code == 404
    assert trash(client) == ["x", "x"]
    assert client.delete(f"{BASE}/x?permanent=true").status_code == 200
    assert trash(client) == []
    assert client.delete(f"{BASE}/x?permanent=true").status_code == 404


def test_if_match_on_a_deletion(client: Client):
    client.create("x")
    old = client.get(f"{BASE}/x/info").headers["etag"]
    client.patch(f"{BASE}/x", json={"pinned": True})
    for query in ("", "?permanent=true"):
        response = client.delete(f"{BASE}/x{query}", headers={"If-Match": old})
        assert response.status_code == 412
    new = client.get(f"{BASE}/x/info").headers["etag"]
    assert client.delete(f"{BASE}/x", headers={"If-Match": new}).status_code == 200


def test_emptying_the_trash_must_be_meant(client: Client):
    for name in "abc":
        client.create(name)
    assert client.delete(f"{BASE}?confirm=true").json() == {"deleted": 3}
    client.create("kept")
    for query in ("", "?confirm=false"):
        response = client.delete(f"{BASE}/trash{query}")
        assert response.status_code == 400
        assert "purge 3" in response.json()["detail"]
    assert client.delete(f"{BASE}/trash?confirm=perhaps").status_code == 422
    assert len(trash(client)) == 3
    assert client.delete(f"{BASE}/trash?confirm=true").json() == {"purged": 3}
    assert trash(client) == []
    assert client.delete(f"{BASE}/trash?confirm=true").json() == {"purged": 0}
    assert client.ids() == ["kept"]


def test_archived_sessions_are_deleted_with_all(client: Client):
    client.create("x")
    client.patch(f"{BASE}/x", json={"archived": True})
    assert "delete 1" in client.delete(BASE).json()["detail"]
    assert client.delete(f"{BASE}?confirm=true").json() == {"deleted": 1}


def test_words_that_are_routes_are_never_sessions(idle: Client):
    """Whatever the method: the route, or nothing."""
    for word in ("trash", "search", "events", "prune"):
        for method in ("GET", "PATCH", "DELETE", "POST", "PUT"):
            response = idle.request(method, f"{BASE}/{word}?confirm=perhaps", json={})
            assert "There is no session" not in response.text
        for path in ("fork", "branch", "restore"):
            body = {"entry_id": "x"} if path == "branch" else {}
            response = idle.post(f"{BASE}/{word}/{path}", json=body)
            assert response.status_code == 404
            assert "can't be a session" in response.text
        assert idle.patch(f"{BASE}/{word}", json={"title": "x"}).status_code == 405


# Prune


@pytest.fixture
def four(client: Client) -> Client:
    """Sessions a to d, saved in this order; b is pinned."""
    for name in "abcd":
        client.create(name)
        client.add(name, name * 100)
    client.patch(f"{BASE}/b", json={"pinned": True})
    return client


def prune(client: Client, **body: Any) -> Any:
    response = client.post(f"{BASE}/prune", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_prune_says_first_what_it_would_do(four: Client):
    size = four.get(f"{BASE}/a/info").json()["size"]
    told = prune(four, keep=2, dry_run=True)
    assert told == {"pruned": 1, "bytes": size, "sessions": ["a"], "dry_run": True}
    assert sorted(four.ids()) == list("abcd")
    assert prune(four, keep=2) == {**told, "dry_run": False}
    assert sorted(four.ids()) == list("bcd")
    assert trash(four) == ["a"]
    assert prune(four, keep=2) == {"pruned": 0, "bytes": 0, "sessions": [], "dry_run": False}


def test_what_prune_is_told_in_the_query_prunes_nothing(four: Client):
    response = four.post(f"{BASE}/prune?dry_run=true", json={"keep": 0})
    assert response.status_code == 422
    assert "'dry_run'. All goes into the body" in response.json()["detail"]
    assert sorted(four.ids()) == list("abcd")


def test_prune_bounds(four: Client):
    size = four.get(f"{BASE}/a/info").json()["size"]
    assert prune(four, older_than="1h", dry_run=True)["sessions"] == []
    assert prune(four, older_than="0s", dry_run=True)["sessions"] == list("acd")
    assert prune(four, keep=0, dry_run=True)["sessions"] == list("acd")
    assert prune(four, max_bytes=0, dry_run=True)["sessions"] == list("acd")
    assert prune(four, max_bytes=3 * size, dry_run=True)["sessions"] == ["a"]
    assert prune(four, older_than="1h", keep=1, dry_run=True)["sessions"] == list("ac")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dry_run": True},
        {"older_than": None},
        {"older_than": "30"},
        {"older_than": 30},
        {"older_than": "-1d"},
        {"older_than": "999999999999w"},
        {"keep": -1},
        {"keep": "many"},
        {"keep": 1.5},
        {"max_bytes": -1},
        {"keep": 1, "dryrun": True},
        {"keep": 1, "dry_run": "perhaps"},
        [],
        None,
    ],
)
def test_prune_refuses(four: Client, body: Any):
    response = four.post(f"{BASE}/prune", json=body)
    assert response.status_code == 422
    assert sorted(four.ids()) == list("abcd")


def test_prune_takes_numbers_of_any_size(four: Client):
    assert prune(four, keep=10**30, max_bytes=10**30)["pruned"] == 0


def test_prune_must_be_told_in_json(four: Client):
    response = four.post(f"{BASE}/prune", content=b'{"keep":0}', headers={"Content-Type": "text/x"})
    assert response.status_code == 415
    assert four.post(f"{BASE}/prune", content=b"{", headers=JSON).status_code in (400, 422)
    assert sorted(four.ids()) == list("abcd")
