"""Searches in messages over HTTP: what a hit looks like, filters, pages, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI, Header

from mythline import open_store, session_router
from tests.http.support import BASE, Client, answer, link, prompt, turn

EVERYWHERE = "/api/search"
OTHER = BASE.replace("researcher", "writer")


def found(client: Client, query: str, base: str = f"{BASE}/search") -> list[str]:
    """Where a search finds something: the sessions' ids."""
    response = client.get(f"{base}?{query}")
    assert response.status_code == 200, response.text
    return [hit["session_id"] for hit in response.json()]


def say(client: Client, session_id: str, *messages: Any, base: str = BASE) -> list[str]:
    response = client.post(f"{base}/{session_id}/messages", json={"messages": messages})
    assert response.status_code == 201, response.text
    return response.json()["entry_ids"]


@pytest.fixture
def filled(client: Client) -> Client:
    client.create("x", title="Lore", tags=["old"])
    say(client, "x", prompt("Who rules Shadowglen?"), answer("The dragon rules it."))
    client.create("y", tags=["new"])
    say(client, "y", prompt("Where do dragons sleep?"), answer("Under Shadowglen, in caves."))
    client.create("z", base=OTHER)
    say(client, "z", prompt("A poem on Shadowglen"), answer("No."), base=OTHER)
    return client


def test_some_of_all_agents(filled: Client):
    for agents, expected in (
        ("", {"x", "y", "z"}),
        ("&agent=writer", {"z"}),
        ("&agent=writer&agent=researcher", {"x", "y", "z"}),
        ("&agent=nobody", set[str]()),
    ):
        assert set(found(filled, f"q=shadowglen{agents}", EVERYWHERE)) == expected
    assert filled.get(f"{EVERYWHERE}?q=a&agent=../x").status_code == 422
    assert filled.get(f"{BASE}/search?q=a&agent=writer").status_code == 422


def test_a_hit(filled: Client):
    (hit,) = filled.get(f"{BASE}/search?q=rules+dragon").json()
    (_, entry) = filled.get(f"{BASE}/x/messages").json()["messages"]
    modified = filled.get(f"{BASE}/x/info").json()["last_modified"]
    assert hit["marks"]
    assert [hit["snippet"][start:end] for start, end in hit.pop("marks")] == ["dragon", "rules"]
    assert hit.pop("timestamp").endswith("Z")
    assert hit == {
        "session_id": "x",
        "agent_id": "researcher",
        "title": "Lore",
        "entry_id": entry["entry_id"],
        "role": "assistant",
        "snippet": "The dragon rules it.",
        "last_modified": modified,
        "is_current": True,
    }


def test_of_one_agent_and_of_all(filled: Client):
    assert sorted(found(filled, "q=shadowglen")) == ["x", "y"]
    assert found(filled, "q=shadowglen", f"{OTHER}/search") == ["z"]
    assert sorted(found(filled, "q=shadowglen", EVERYWHERE)) == ["x", "y", "z"]


def test_filters(filled: Client):
    for query, ids in [
        ("q=shadowglen&role=user", ["x"]),
        ("q=shadowglen&role=assistant", ["y"]),
        ("q=shadowglen&role=assistant&role=user", ["x", "y"]),
        ("q=shadowglen&role=tool", []),
        ("q=shadowglen&tag=old", ["x"]),
        ("q=shadowglen&since=2026-01-01", ["x", "y"]),
        ("q=shadowglen&since=2026-01-02T03:04:06Z", ["y"]),
        ("q=shadowglen&until=2026-01-02T03:04:06Z", ["x"]),
        ("q=shadowglen&until=2026-01-02T04:04:06%2B01:00", ["x"]),
        ("q=shadowglen&until=2026-01-02", []),
        ('q="rules+shadowglen"', ["x"]),
        ("q=shadow*+sleep", []),
        ("q=shadow*", ["x", "y"]),
    ]:
        assert sorted(found(filled, query)) == ids, query


def test_archived_sessions_are_found_unless_told_otherwise(filled: Client):
    filled.patch(f"{BASE}/x", json={"archived": True})
    for query, ids in [("", ["x", "y"]), ("&archived=any", ["x", "y"]), ("&archived=true", ["x"])]:
        assert sorted(found(filled, f"q=shadowglen{query}")) == ids
    assert found(filled, "q=shadowglen&archived=false") == ["y"]


def test_what_is_deleted_is_found_again_when_it_is_restored(filled: Client):
    filled.delete(f"{BASE}/x")
    assert found(filled, "q=shadowglen") == ["y"]
    filled.post(f"{BASE}/x/restore")
    assert sorted(found(filled, "q=shadowglen")) == ["x", "y"]


def test_what_is_in_a_branch_says_so(filled: Client):
    entries = [each["entry_id"] for each in filled.get(f"{BASE}/x/messages").json()["messages"]]
    filled.post(f"{BASE}/x/branch", json={"entry_id": entries[0]})
    (hit,) = filled.get(f"{BASE}/search?q=rules&role=assistant").json()
    assert (hit["entry_id"], hit["is_current"]) == (entries[1], False)


@pytest.mark.parametrize("base", [f"{BASE}/search", EVERYWHERE])
def test_pages_follow_their_links_and_keep_the_query(client: Client, base: str):
    client.create("x")
    for number in range(7):
        client.add("x", f"The same word, number {number}")
    url: str | None = f"{base}?q=same&limit=3&role=user&archived=any"
    seen: list[str] = []
    pages = 0
    while url is not None:
        assert "role=user&archived=any" in url
        response = client.get(url)
        seen += [hit["entry_id"] for hit in response.json()]
        url = link(response, "next")
        pages += 1
    assert len(seen) == len(set(seen)) == 7
    assert pages == 3


@pytest.mark.parametrize("base", [f"{BASE}/search", EVERYWHERE])
@pytest.mark.parametrize(
    "text",
    [
        *("", " ", '"', '""', "*", "AND", "a AND (", "NEAR(", "-x", "^x", "col:x", "😀", "\x00"),
        *("'; --", "x" * 10_000, "x " * 5_000, '"' * 999),
    ],
    ids=range(17),
)
def test_any_text_is_a_query(idle: Client, base: str, text: str):
    response = idle.get(f"{base}?q={quote(text)}")
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize("base", [f"{BASE}/search", EVERYWHERE])
@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", ["q"]),
        ("limit=5", ["q"]),
        ("q=x&role=system", ["user", "assistant", "tool"]),
        ("q=x&role=", ["user", "assistant", "tool"]),
        ("q=x&archived=1", ["true", "false", "any"]),
        ("q=x&limit=0", ["limit"]),
        ("q=x&limit=1001", ["1000"]),
        ("q=x&since=yesterday", ["RFC 3339"]),
        ("q=x&since=1700000000", ["RFC 3339"]),
        ("q=x&since=2026-01-01T00:00:00", ["RFC 3339"]),
        ("q=x&until=2026-13-01", ["until"]),
        ("q=x&until=2026-01-01T00:00:00+01:00", ["%2B"]),
        ("q=x&sinse=2026-01-01", ["archived, cursor, limit, q, role, since, tag, until"]),
        ("q=x&cursor=x", ["cursor"]),
    ],
)
def test_what_a_search_refuses_names_what_it_takes(
    idle: Client, base: str, query: str, words: list[str]
):
    response = idle.get(f"{base}?{query}")
    assert response.status_code == 422
    for word in words:
        assert word in response.text


def test_owners_find_only_their_own(place: Path):
    def owner(user: Annotated[str | None, Header()] = None) -> str | None:
        return user

    app = FastAPI()
    app.include_router(session_router(open_store(place), owner=owner))
    with Client(app) as client:
        for user in ("alice", "bob"):
            headers = {"User": user}
            client.post("/agents/a/sessions/create", json={"session_id": user}, headers=headers)
            client.post(
                f"/agents/a/sessions/{user}/messages",
                json={"messages": turn("The same word")},
                headers=headers,
            )
        for path in ("/search", "/agents/a/sessions/search"):
            for user in ("alice", "bob"):
                hits = client.get(f"{path}?q=same&role=user", headers={"User": user}).json()
                assert [hit["session_id"] for hit in hits] == [user]
            assert client.get(f"{path}?q=same").json() == []
