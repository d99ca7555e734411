"""Forks and branches over HTTP."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.http.support import BASE, Client


def texts(client: Client, session_id: str) -> list[str]:
    return [item["content"] for item in client.get(f"{BASE}/{session_id}").json()["messages"]]


@pytest.fixture
def entries(client: Client) -> list[str]:
    """A session `x` of three turns; the ids of its six entries."""
    client.create("x", title="Original", tags=["a"])
    return client.add("x", "one", "two", "three")


# Fork


def test_a_fork_of_the_whole_history(client: Client, entries: list[str]):
    response = client.post(f"{BASE}/x/fork")
    assert response.status_code == 201
    made = response.json()
    assert re.fullmatch(r"session_\d{8}_\d{6}_[a-z0-9]{6}", made["session_id"])
    assert made == {"session_id": made["session_id"], "status": "created"}
    assert response.headers["location"] == f"{BASE}/{made['session_id']}"
    info = client.get(response.headers["location"] + "/info").json()
    assert response.headers["etag"] == f'"{info["revision"]}"'
    assert (info["forked_from"], info["forked_at"]) == ("x", entries[-1])
    assert info["message_count"] == 6
    assert texts(client, made["session_id"]) == texts(client, "x")


def test_a_fork_at_an_entry_under_a_name(client: Client, entries: list[str]):
    body = {"entry_id": entries[1], "session_id": "y", "title": "Another way"}
    response = client.post(f"{BASE}/x/fork", json=body)
    assert response.json() == {"session_id": "y", "status": "created"}
    info = client.get(f"{BASE}/y/info").json()
    assert (info["title"], info["message_count"]) == ("Another way", 2)
    assert texts(client, "y") == ["one", "one!"]
    client.add("y", "elsewhere")
    assert texts(client, "y") == ["one", "one!", "elsewhere", "elsewhere!"]
    assert texts(client, "x") == ["one", "one!", "two", "two!", "three", "three!"]
    client.delete(f"{BASE}/x?permanent=true")
    assert texts(client, "y") == ["one", "one!", "elsewhere", "elsewhere!"]


def test_a_fork_of_an_empty_session(client: Client):
    client.create("empty")
    response = client.post(f"{BASE}/empty/fork", json={"session_id": "y"})
    assert response.status_code == 201
    assert texts(client, "y") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"session_id": "x"}, 409),
        ({"session_id": "taken"}, 409),
        ({"session_id": "../y"}, 422),
        ({"session_id": "trash"}, 422),
        ({"entry_id": "none"}, 422),
        ({"entry_id": ""}, 422),
        ({"entry_id": 7}, 422),
        ({"title": "x" * 201}, 422),
        ({"unknown": 1}, 422),
        ([], 422),
    ],
)
def test_forks_that_cant_be(client: Client, entries: list[str], body: Any, status: int):
    client.create("taken")
    assert client.post(f"{BASE}/x/fork", json=body).status_code == status
    assert sorted(client.ids()) == ["taken", "x"]
    assert client.post(f"{BASE}/none/fork", json={}).status_code == 404


def test_an_entry_of_another_session_is_none(client: Client, entries: list[str]):
    client.create("other")
    for path in ("fork", "branch"):
        response = client.post(f"{BASE}/other/{path}", json={"entry_id": entries[1]})
        assert response.status_code == 422
        assert response.json()["type"] == "urn:mythline:entry-not-found"


def test_of_forks_under_one_name_one_is_made(client: Client, entries: list[str]):
    def fork(number: int) -> int:
        body = {"session_id": "y", "entry_id": entries[number % 6]}
        return client.post(f"{BASE}/x/fork", json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(fork, range(8))) == [201] + [409] * 7


# Branch


def test_back_and_forth(client: Client, entries: list[str]):
    assert client.get(f"{BASE}/x/branches").json() == []
    response = client.post(f"{BASE}/x/branch", json={"entry_id": entries[1]})
    assert response.status_code == 200
    info = response.json()
    assert info == client.get(f"{BASE}/x/info").json()
    assert response.headers["etag"] == f'"{info["revision"]}"'
    assert (info["message_count"], info["branches"]) == (2, [entries[-1]])
    assert texts(client, "x") == ["one", "one!"]

    other = client.add("x", "elsewhere")
    (branch,) = client.get(f"{BASE}/x/branches").json()
    assert branch["entry_id"] == entries[-1]
    assert branch["parts_at"] == entries[1]
    assert (branch["message_count"], branch["own_count"]) == (6, 4)
    assert branch["preview"] == "three!"
    assert branch["last_modified"].endswith("Z")

    back = client.post(f"{BASE}/x/branch", json={"entry_id": entries[-1]})
    assert back.json()["branches"] == [other[-1]]
    assert texts(client, "x") == ["one", "one!", "two", "two!", "three", "three!"]
    assert client.get(f"{BASE}/x/branches").json()[0]["entry_id"] == other[-1]


def test_going_on_where_it_is_changes_nothing(client: Client, entries: list[str]):
    before = client.get(f"{BASE}/x/info").json()
    assert client.post(f"{BASE}/x/branch", json={"entry_id": entries[-1]}).json() == before


def test_if_match(client: Client, entries: list[str]):
    old = client.get(f"{BASE}/x/info").headers["etag"]
    client.add("x", "four")
    body = {"entry_id": entries[1]}
    response = client.post(f"{BASE}/x/branch", json=body, headers={"If-Match": old})
    assert response.status_code == 412
    assert client.get(f"{BASE}/x/branches").json() == []
    new = client.get(f"{BASE}/x/info").headers["etag"]
    response = client.post(f"{BASE}/x/branch", json=body, headers={"If-Match": new})
    assert response.status_code == 200
    missing = client.post(f"{BASE}/none/branch", json=body, headers={"If-Match": new})
    assert missing.status_code == 404


def test_of_branches_from_one_revision_one_is_made(client: Client, entries: list[str]):
    tag = client.get(f"{BASE}/x/info").headers["etag"]

    def branch(number: int) -> int:
        response = client.post(
            f"{BASE}/x/branch", json={"entry_id": entries[number]}, headers={"If-Match": tag}
        )
        return response.status_code

    with ThreadPoolExecutor(5) as pool:
        assert sorted(pool.map(branch, range(5))) == [200] + [412] * 4


@pytest.mark.parametrize("body", [{}, {"entry_id": None}, {"entry_id": "none"}, [], {"entry": 1}])
def test_branches_that_cant_be(client: Client, entries: list[str], body: Any):
    before = client.get(f"{BASE}/x/info").json()
    assert client.post(f"{BASE}/x/branch", json=body).status_code == 422
    assert client.get(f"{BASE}/x/info").json() == before


def test_a_session_that_isnt_there(client: Client):
    assert client.get(f"{BASE}/none/branches").status_code == 404
    assert client.post(f"{BASE}/none/branch", json={"entry_id": "x"}).status_code == 404


# Another history (`at`)


def test_a_history_that_ends_before_an_entry_is_not_read_from_there(
    client: Client, entries: list[str]
):
    at = {"at": entries[1]}
    for after in entries[2:]:
        answer = client.get(f"{BASE}/x", params=at | {"before": after})
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:mythline:entry-not-found"
    found = client.get(f"{BASE}/x", params=at | {"before": entries[1]}).json()
    assert [item["entry_id"] for item in found["messages"]] == [entries[0]]
