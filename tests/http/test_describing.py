"""PATCH /sessions/{id}: title, tags, pinned, archived, metadata."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.http.support import BASE, JSON, Client, deep, turn


def test_everything_that_describes_a_session(client: Client):
    client.create("x", title="Before", tags=["a"], metadata={"a": 1, "b": 2})
    client.add("x", "Hello")
    before = client.get(f"{BASE}/x/info").json()
    change = {
        "title": "  Schattenwald\n🧝 ",
        "tags": ["b", "a", "b"],
        "pinned": True,
        "archived": True,
        "metadata": {"c": [None, {"d": "é"}]},
    }
    response = client.patch(f"{BASE}/x", json=change)
    assert response.status_code == 200
    after = response.json()
    assert after == client.get(f"{BASE}/x/info").json()
    assert response.headers["etag"] == f'"{after["revision"]}"'
    assert after["revision"] != before["revision"]
    expected = {**change, "title": "Schattenwald 🧝", "tags": ["a", "b"]}
    assert after == {**before, **expected, "revision": after["revision"]}


def test_what_is_left_out_stays(client: Client):
    client.create("x", title="Title", tags=["a"], metadata={"a": 1})
    for change in ({"tags": ["b"]}, {"pinned": True}, {"metadata": {}}, {"archived": True}):
        before = client.get(f"{BASE}/x/info").json()
        after = client.patch(f"{BASE}/x", json=change).json()
        assert after == {**before, **change, "revision": after["revision"]}


def test_nothing_changes_nothing(client: Client):
    client.create("x", title="Title")
    before = client.get(f"{BASE}/x/info").json()
    assert client.patch(f"{BASE}/x", json={}).json() == before
    assert client.patch(f"{BASE}/none", json={}).status_code == 404


def test_without_a_title_one_is_offered_again(client: Client):
    client.create("x", title="Given")
    client.add("x", "Who rules Shadowglen?")
    assert client.get(f"{BASE}/x/info").json()["title"] == "Given"
    for title in (None, "", " \n"):
        client.patch(f"{BASE}/x", json={"title": "Given"})
        answer = client.patch(f"{BASE}/x", json={"title": title})
        assert answer.json()["title"] == "Who rules Shadowglen?"


@pytest.mark.parametrize(
    "change",
    [
        {"title": "x" * 201},
        {"title": 7},
        {"tags": None},
        {"tags": "abc"},
        {"tags": [""]},
        {"tags": [" "]},
        {"tags": ["x" * 65]},
        {"tags": [str(number) for number in range(51)]},
        {"pinned": None},
        {"pinned": "perhaps"},
        {"archived": None},
        {"metadata": None},
        {"metadata": [1]},
        {"metadata": {"x": "y" * 16384}},
        [],
        "text",
        None,
    ],
)
def test_what_is_out_of_bounds_changes_nothing(client: Client, change: Any):
    client.create("x", title="Title", tags=["a"])
    before = client.get(f"{BASE}/x/info").json()
    assert client.patch(f"{BASE}/x", json=change).status_code == 422
    if isinstance(change, dict):  # nor does what is good in it
        response = client.patch(f"{BASE}/x", json={"pinned": True, **change})
        assert response.status_code == 422
    assert client.get(f"{BASE}/x/info").json() == before


def test_unknown_members_are_refused_and_the_known_ones_named(client: Client):
    client.create("x")
    wrong = {"titel": "a secret", "tags": ["a"]}
    known = ("title", "tags", "pinned", "archived", "metadata")
    known_to_create = ("session_id", "title", "tags", "metadata")
    for response, names in (
        (client.patch(f"{BASE}/x", json=wrong), known),
        (client.post(f"{BASE}/create", json=wrong), known_to_create),
    ):
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error["loc"] == ["body", "titel"]
        for name in names:
            assert name in error["msg"]
        assert "a secret" not in response.text
    assert client.get(f"{BASE}/x/info").json()["tags"] == []
    for name in ("{}", "{0}", "%s", "{message}"):
        assert client.patch(f"{BASE}/x", json={name: 1}).status_code == 422


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b'{"metadata": {"x": NaN}}',
        b'{"metadata": {"x": "\\ud800"}}',
        b'{"title": "\\ud800"}',
        b'{"metadata": {"x": ' + deep(300).encode() + b"}}",
    ],
)
def test_what_is_no_usable_json(client: Client, body: bytes):
    client.create("x")
    response = client.patch(f"{BASE}/x", content=body, headers=JSON)
    assert response.status_code in (400, 422)


def test_a_body_must_say_that_it_is_json(client: Client):
    client.create("x")
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        response = client.patch(f"{BASE}/x", content=b"{}", headers={"Content-Type": kind})
        assert response.status_code == 415


def test_if_match(client: Client):
    client.create("x")
    old = client.get(f"{BASE}/x/info").headers["etag"]
    done = client.patch(f"{BASE}/x", json={"title": "One"}, headers={"If-Match": old})
    assert done.status_code == 200
    for tag in (old, '"other"', f"W/{done.headers['etag']}", "nonsense"):
        response = client.patch(f"{BASE}/x", json={"title": "Two"}, headers={"If-Match": tag})
        assert response.status_code == 412, tag
        assert client.patch(f"{BASE}/x", json={}, headers={"If-Match": tag}).status_code == 412
    assert client.get(f"{BASE}/x/info").json()["title"] == "One"
    for written in ("{}", "*", '"other", {}'):
        tag = written.format(done.headers["etag"])
        response = client.patch(f"{BASE}/x", json={"title": "Three"}, headers={"If-Match": tag})
        assert response.status_code == 200, tag
        done = response
    gone = client.patch(f"{BASE}/none", json={"title": "x"}, headers={"If-Match": old})
    assert gone.status_code == 404


def test_of_changes_to_one_revision_one_is_made(client: Client):
    client.create("x")
    tag = client.get(f"{BASE}/x/info").headers["etag"]

    def change(number: int) -> int:
        response = client.patch(
            f"{BASE}/x", json={"title": f"Title {number}"}, headers={"If-Match": tag}
        )
        return response.status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(change, range(8)))
    assert statuses == [200] + [412] * 7


def test_who_read_the_session_before_can_still_add_to_it(client: Client):
    client.create("x")
    tag = client.get(f"{BASE}/x/messages").headers["etag"]
    client.patch(f"{BASE}/x", json={"title": "Renamed meanwhile"})
    response = client.post(
        f"{BASE}/x/messages", json={"messages": turn("Hi")}, headers={"If-Match": tag}
    )
    assert response.status_code == 201
    stale = client.get(f"{BASE}/x/info", headers={"If-None-Match": tag})
    assert stale.status_code == 200


def test_a_new_title_isnt_hidden_by_what_a_client_keeps(client: Client):
    client.create("x", title="Old")
    tag = client.get(f"{BASE}/x").headers["etag"]
    client.patch(f"{BASE}/x", json={"title": "New"})
    response = client.get(f"{BASE}/x", headers={"If-None-Match": tag})
    assert (response.status_code, response.json()["title"]) == (200, "New")


def test_every_answer_has_the_new_tag(client: Client):
    client.create("x", title="Old")
    client.add("x", "Hello")
    old = client.get(f"{BASE}/x").headers["etag"]
    new = client.patch(f"{BASE}/x", json={"title": "New"}).headers["etag"]
    assert new != old
    for path in (f"{BASE}/x", f"{BASE}/x/info", f"{BASE}/x/messages"):
        answer = client.get(path, headers={"If-None-Match": old})
        assert (answer.status_code, answer.headers["etag"]) == (200, new)
        assert answer.json()["revision"] == new.strip('"')
        for ask in (client.get, client.head):
            assert ask(path, headers={"If-None-Match": new}).status_code == 304
    assert client.get(f"{BASE}/x", headers={"If-None-Match": old}).json()["title"] == "New"
    headers = {"If-Match": client.get(f"{BASE}/x").headers["etag"]}
    assert client.patch(f"{BASE}/x", json={"pinned": True}, headers=headers).status_code == 200
    assert client.patch(f"{BASE}/x", json={"pinned": True}, headers=headers).status_code == 412
