"""Lists of sessions over HTTP: filters, orders, counts, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.security import APIKeyQuery

from mythline import open_store, session_router
from tests.http.support import BASE, Client, link


def walk(client: Client, url: str | None) -> list[list[str]]:
    """The ids of the pages that `Link` leads to."""
    pages: list[list[str]] = []
    while url is not None:
        response = client.get(url)
        assert response.status_code == 200, response.text
        pages.append([session["session_id"] for session in response.json()])
        url = link(response, "next")
    return pages


@pytest.fixture
def filled(client: Client) -> Client:
    """Four sessions, made a to d; saved last: b, d, c, a."""
    client.create("a", title="Zebra", tags=["fur"])
    client.create("b", title="apple", tags=["fruit"])
    client.create("c", title="Cherry", tags=["fruit"])
    client.create("d", title="blackberry")
    client.add("d", "Where do they grow?")
    client.add("b", "How many kinds are there?")
    return client


def test_orders(filled: Client):
    for order, ids in [("recent", "bdca"), ("created", "dcba"), ("title", "bdca")]:
        assert filled.ids(f"{BASE}?order={order}") == list(ids), order
        assert walk(filled, f"{BASE}?order={order}&limit=1") == [[each] for each in ids], order
    assert filled.ids() == list("bdca")


def test_filters(filled: Client):
    for query, ids in [
        ("tag=fruit", "bc"),
        ("tag=fruit&order=created", "cb"),
        ("tag=Fruit", ""),
        ("q=ERR", "dc"),
        ("q=err&tag=fruit", "c"),
        ("q=", "bdca"),
        ("q=%25", ""),
        ("q=_", ""),
    ]:
        assert filled.ids(f"{BASE}?{query}") == list(ids), query


def test_archived_ones(filled: Client):
    filled.patch(f"{BASE}/b", json={"archived": True})
    for archived, ids in [("false", "dca"), ("true", "b"), ("any", "bdca")]:
        response = filled.get(f"{BASE}?archived={archived}&count=true")
        assert [each["session_id"] for each in response.json()] == list(ids)
        assert response.headers["x-total-count"] == str(len(ids))
        assert all(each["archived"] == (each["session_id"] == "b") for each in response.json())
    assert filled.ids() == list("dca")
    assert filled.get(f"{BASE}/latest").json() == {"session_id": "d"}


def test_pinned_ones_come_first_on_request(filled: Client):
    filled.patch(f"{BASE}/a", json={"pinned": True})
    assert filled.ids() == list("bdca")
    assert walk(filled, f"{BASE}?pinned_first=true&limit=2") == [list("ab"), list("dc")]


def test_the_next_page_keeps_every_parameter(filled: Client):
    query = "limit=1&tag=fruit&order=created&archived=any&q=e&pinned_first=true&count=true"
    response = filled.get(f"{BASE}?{query}")
    target = link(response, "next")
    assert target is not None
    assert all(part in target for part in query.split("&"))
    assert walk(filled, f"{BASE}?{query}") == [["c"], ["b"]]
    assert "link" not in filled.get(f"{BASE}?limit=4").headers


def test_a_count_is_of_all_pages_and_only_on_request(filled: Client):
    assert filled.get(f"{BASE}?limit=1&count=true").headers["x-total-count"] == "4"
    assert filled.get(f"{BASE}?q=err&limit=1&count=true").headers["x-total-count"] == "2"
    for query in ("", "?count=false"):
        assert "x-total-count" not in filled.get(f"{BASE}{query}").headers


@pytest.mark.parametrize(
    ("query", "allowed"),
    [
        ("ordre=title", ["archived", "count", "cursor", "limit", "order", "pinned_first", "tag"]),
        ("order=newest", ["recent", "created", "title"]),
        ("archived=maybe", ["true", "false", "any"]),
        ("archived=", ["true", "false", "any"]),
        ("order=", ["recent", "created", "title"]),
        ("limit=1001", ["1000"]),
        ("count=perhaps", ["boolean"]),
    ],
)
def test_what_a_list_refuses_names_what_it_takes(idle: Client, query: str, allowed: list[str]):
    response = idle.get(f"{BASE}?{query}")
    assert response.status_code == 422
    for word in allowed:
        assert word in response.text


@pytest.mark.parametrize("cursor", ["", "x", "1", "0.0.0", "9" * 30, "é", "%00", "1.2"])
@pytest.mark.parametrize("order", ["recent", "created", "title"])
def test_a_cursor_that_no_list_gave(idle: Client, cursor: str, order: str):
    response = idle.get(f"{BASE}?order={order}&cursor={cursor}")
    assert response.status_code == 422
    assert response.json()["type"] == "urn:mythline:invalid-cursor"


def test_a_cursor_of_another_order_is_refused(filled: Client):
    target = link(filled.get(f"{BASE}?limit=1&order=title"), "next")
    assert target is not None
    response = filled.get(target.replace("order=title", "order=created"))
    assert response.status_code == 422
    assert response.json()["type"] == "urn:mythline:invalid-cursor"


def test_unknown_parameters_are_shown_without_their_values(idle: Client):
    response = idle.get(BASE, params={"pasword": "a secret", "x" * 200: "1"})
    assert response.status_code == 422
    assert "pasword" in response.text
    assert "a secret" not in response.text
    assert "x" * 100 not in response.text


def test_what_an_applications_dependencies_take_is_known(place: Path):
    """A browser's EventSource can send no header: its token is in the query."""

    def owner(token: Annotated[str, Query()]) -> str:
        return token

    key: Any = APIKeyQuery(name="api_key")
    app = FastAPI()
    app.include_router(
        session_router(open_store(place), "researcher", owner=owner), dependencies=[Depends(key)]
    )
    with Client(app) as client:
        assert client.get("/sessions?token=alice&api_key=k&limit=5").json() == []
        response = client.get("/sessions?token=alice&api_key=k&lmit=5")
        assert response.status_code == 422
        assert "'lmit'" in response.text
