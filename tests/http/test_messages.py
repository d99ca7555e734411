"""Transcripts, raw messages and appends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessagesTypeAdapter

from mythline import open_store
from mythline.http import create_app
from tests.http.support import (
    BASE,
    JSON,
    Client,
    Recording,
    answer,
    bodies,
    deep,
    dumps,
    link,
    prompt,
    turn,
)

X = f"{BASE}/x"

RICH = [
    {
        "kind": "request",
        "parts": [
            {"part_kind": "system-prompt", "content": "Be kind."},
            {
                "part_kind": "user-prompt",
                "content": [
                    "Look:",
                    {"kind": "binary", "data": "aGVsbG8=", "media_type": "image/png"},
                    {"kind": "image-url", "url": "https://example.com/a.png"},
                ],
                "timestamp": "2026-01-02T03:04:05+00:00",
            },
        ],
    },
    {
        "kind": "response",
        "parts": [
            {"part_kind": "thinking", "content": "Hmm."},
            {"part_kind": "text", "content": "Looking."},
            {"part_kind": "tool-call", "tool_name": "see", "args": '{"a":1}', "tool_call_id": "c1"},
        ],
    },
    {
        "kind": "request",
        "parts": [
            {
                "part_kind": "tool-return",
                "tool_name": "see",
                "content": {"seen": True},
                "tool_call_id": "c1",
            }
        ],
    },
    answer("A tree."),
]


@pytest.fixture
def session(client: Client) -> str:
    client.create("x")
    return X


def contents(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [message["content"] for message in response.json()["messages"]]


def entry_ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [message["entry_id"] for message in response.json()["messages"]]


# Transcript


def test_a_transcript_shows_prompts_and_answers(client: Client, session: str):
    added = client.post(f"{X}/messages", json={"messages": RICH}).json()["entry_ids"]
    response = client.get(X)
    shown = response.json()
    assert set(shown) == {
        "session_id",
        "title",
        "revision",
        "messages",
        "has_before",
        "has_after",
    }
    assert (shown["session_id"], shown["title"]) == ("x", "Look:")
    assert (shown["has_before"], shown["has_after"]) == (False, False)
    assert response.headers["etag"] == f'"{shown["revision"]}"'
    user, looking, tree = shown["messages"]
    assert user == {
        "role": "user",
        "content": "Look:",
        "entry_id": added[0],
        "timestamp": "2026-01-02T03:04:05Z",
        "attachments": [
            {"kind": "binary", "media_type": "image/png", "size": 5, "file": 0},
            {"kind": "image-url", "url": "https://example.com/a.png"},
        ],
    }
    assert (looking["role"], looking["content"]) == ("assistant", "Looking.")
    assert (tree["content"], tree["timestamp"]) == ("A tree.", "2026-01-02T03:04:06Z")


@pytest.mark.parametrize(
    ("query", "roles"),
    [
        ("", "user assistant assistant"),
        ("include=", "user assistant assistant"),
        ("include=tools", "user assistant tool-call tool-return assistant"),
        ("include=system,thinking", "system user thinking assistant assistant"),
        ("include=system&include=thinking", "system user thinking assistant assistant"),
        (
            "include=tools, system&include=thinking",
            "system user thinking assistant tool-call tool-return assistant",
        ),
    ],
)
def test_include_adds_other_parts(client: Client, session: str, query: str, roles: str):
    client.post(f"{X}/messages", json={"messages": RICH})
    messages = client.get(f"{X}?{query}").json()["messages"]
    assert " ".join(message["role"] for message in messages) == roles
    tools = [message for message in messages if message["role"].startswith("tool")]
    assert all((tool["tool_name"], tool["tool_call_id"]) == ("see", "c1") for tool in tools)


def test_include_of_something_else_names_what_there_is(client: Client, session: str):
    response = client.get(f"{X}?include=tools,secrets")
    assert response.status_code == 422
    for word in ("system", "thinking", "tools"):
        assert word in response.json()["detail"]


def test_messages_of_a_kind_that_is_unknown_are_shown_as_placeholders(tmp_path: Path):
    folder = tmp_path / "researcher" / "context_memory"
    folder.mkdir(parents=True)
    body = dumps([{"kind": "telepathy", "parts": []}, *turn("Hello")])
    (folder / "x.json").write_bytes(body)
    with Client(create_app(tmp_path), secret=str(tmp_path)) as client:
        unreadable, user, _ = client.get(X).json()["messages"]
        assert unreadable["role"] == "unreadable"
        assert "telepathy" in unreadable["content"]
        assert user["content"] == "Hello"
        assert client.get(f"{X}/messages").json()["messages"][0]["kind"] == "telepathy"


@pytest.mark.parametrize("route", [X, f"{X}/messages"])
def test_pages_lead_back_to_the_start_and_forth_to_the_end(
    client: Client, session: str, route: str
):
    added = client.add("x", *(f"m{number}" for number in range(5)))
    response = client.get(f"{route}?limit=4")
    assert entry_ids(response) == added[-4:]
    assert (response.json()["has_before"], response.json()["has_after"]) == (True, False)
    pages = [entry_ids(response)]
    while (target := link(response, "prev")) is not None:
        response = client.get(target)
        pages.insert(0, entry_ids(response))
    assert [entry for page in pages for entry in page] == added
    assert response.json()["has_before"] is False

    pages = [entry_ids(response)]
    while (target := link(response, "next")) is not None:
        assert "before=" not in target
        response = client.get(target)
        pages.append(entry_ids(response))
    assert [entry for page in pages for entry in page] == added
    assert response.json()["has_after"] is False

    back = link(response, "prev")
    assert back is not None
    assert "after=" not in back
    assert entry_ids(client.get(back))[-1] == added[added.index(pages[-1][0]) - 1]


@pytest.mark.parametrize("route", [X, f"{X}/messages"])
def test_before_and_after_are_exclusive(client: Client, session: str, route: str):
    added = client.add("x", "one", "two", "three")
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"after": added[1]}, added[2:]),
        ({"before": added[2]}, added[:2]),
        ({"after": added[0], "before": added[4]}, added[1:4]),
        ({"after": added[0], "before": added[4], "limit": 2}, added[2:4]),
        ({"after": added[-1]}, []),
        ({"before": added[0]}, []),
        ({"after": added[-1], "limit": 5}, []),
        ({"before": added[0], "limit": 5}, []),
        ({"after": added[3], "before": added[1]}, []),
        ({"limit": 1}, added[-1:]),
        ({"limit": 6}, added),
        ({"limit": 1_000_000}, added),
        ({"limit": 10**18}, added),
        ({"limit": 2, "after": added[0]}, added[1:3]),
    ]
    for query, expected in cases:
        response = client.get(route, params=query)
        assert entry_ids(response) == expected, query
        has_rest = response.json()["has_before"] or response.json()["has_after"]
        assert has_rest is (expected != added), query


@pytest.mark.parametrize("route", [X, f"{X}/messages"])
def test_entries_that_are_not_in_the_session(client: Client, session: str, route: str):
    client.create("y")
    (other, _) = client.add("y", "Hello")
    for entry in (other, "", "\x00", "é", "x" * 5000):
        for name in ("before", "after"):
            response = client.get(route, params={name: entry})
            assert response.status_code == 422
            assert response.json()["type"] == "urn:mythline:entry-not-found"
    for limit in ("0", "-1", "x"):
        assert client.get(route, params={"limit": limit}).status_code == 422


def test_a_page_of_a_transcript_counts_what_is_shown(client: Client, session: str):
    client.post(f"{X}/messages", json={"messages": [*RICH, *turn("More")]})
    assert contents(client.get(f"{X}?limit=3")) == ["A tree.", "More", "More!"]
    assert contents(client.get(f"{X}?limit=2")) == ["More", "More!"]


def test_a_page_of_a_long_history_reads_the_page(place: Path):
    store = Recording(open_store(place))
    with Client(create_app(store)) as client:
        client.create("x")
        messages = [part for number in range(5000) for part in turn(f"m{number}")]
        response = client.post(f"{X}/messages", json={"messages": messages})
        assert response.json()["message_count"] == 10_000
        for route, most in ((X, 400), (f"{X}/messages", 50)):
            store.entries_read = 0
            response = client.get(f"{route}?limit=50")
            assert len(response.json()["messages"]) == 50
            middle = response.json()["messages"][0]["entry_id"]
            assert store.entries_read <= most
            store.entries_read = 0
            assert len(client.get(f"{route}?limit=50&before={middle}").json()["messages"]) == 50
            assert store.entries_read <= most
        store.entries_read = 0
        for path in ("", "/latest", "/x/info", "/x/exists"):
            assert client.get(f"{BASE}{path}").status_code == 200
        assert store.entries_read == 0
        whole = client.get(f"{X}/messages")
        assert len(whole.json()["messages"]) == 10_000
        assert "content-length" not in whole.headers  # sent in pieces
        assert len(client.get(X).json()["messages"]) == 10_000


# Raw messages


def test_messages_are_the_bytes_that_came_with_their_entry_ids(client: Client, session: str):
    raw = (
        '{ "kind" : "request",\n  "parts":[{"part_kind":"user-prompt","content":"é\\u00e9\\/ '
        '\\ud83e\\udddd \\u0000","timestamp":"2026-01-02T03:04:05Z", "x": 1.10}]}'
    ).encode()
    response = client.post(f"{X}/messages", content=b'{"messages":[' + raw + b"]}", headers=JSON)
    (entry_id,) = response.json()["entry_ids"]
    assert bodies(client.get(f"{X}/export")) == [raw.replace(b"\n  ", b"")]
    got = client.get(f"{X}/messages")
    (message,) = got.json()["messages"]
    assert message == {"entry_id": entry_id, **json.loads(raw)}
    assert set(got.json()) == {"session_id", "revision", "messages", "has_before", "has_after"}
    assert raw.replace(b"\n  ", b"")[1:] in got.content


def test_messages_can_be_read_by_pydantic_ai(client: Client, session: str):
    client.post(f"{X}/messages", json={"messages": RICH})
    found = client.get(f"{X}/messages").json()["messages"]
    assert len(ModelMessagesTypeAdapter.validate_python(found)) == len(RICH)


def test_messages_that_were_read_can_be_sent_again(client: Client, session: str):
    """They carry the entry ids of the first session then; the second one's are shown."""
    first = client.add("x", "Hello")
    found = client.get(f"{X}/messages").json()["messages"]
    client.create("y")
    response = client.post(f"{BASE}/y/messages", json={"messages": found})
    second = response.json()["entry_ids"]
    again = client.get(f"{BASE}/y/messages")
    assert entry_ids(again) == second != first
    assert again.text.count('"entry_id"') == len(second)


# ETag


@pytest.mark.parametrize("route", [X, f"{X}/info", f"{X}/messages"])
def test_if_none_match(client: Client, session: str, route: str):
    old = client.get(route).headers["etag"]
    added = client.add("x", "Hello")
    response = client.get(route)
    new = response.headers["etag"]
    assert old != new
    for tag in (new, f"W/{new}", f"{old}, {new}", "*"):
        fresh = client.get(route, headers={"If-None-Match": tag})
        assert (fresh.status_code, fresh.content) == (304, b"")
        assert fresh.headers["etag"] == new
    for tag in (old, new.strip('"'), "", "nonsense", '"'):
        assert client.get(route, headers={"If-None-Match": tag}).status_code == 200
    assert "private" in response.headers["cache-control"]
    assert client.get(f"{BASE}/y", headers={"If-None-Match": "*"}).status_code == 404
    assert added


def test_an_answer_of_304_reads_no_messages(place: Path):
    store = Recording(open_store(place))
    with Client(create_app(store)) as client:
        client.create("x")
        client.add("x", "Hello")
        tag = client.get(X).headers["etag"]
        store.calls.clear()
        assert client.get(X, headers={"If-None-Match": tag}).status_code == 304
        assert "history" not in store.calls


# Append


def test_append(client: Client, session: str):
    first = client.post(f"{X}/messages", json={"messages": turn("One")})
    assert first.status_code == 201
    assert set(first.json()) == {"session_id", "revision", "message_count", "entry_ids"}
    assert first.json()["message_count"] == 2
    second = client.post(f"{X}/messages", json={"messages": [prompt("Two")]})
    assert second.json()["message_count"] == 3
    assert second.json()["revision"] != first.json()["revision"]
    assert second.headers["etag"] == f'"{second.json()["revision"]}"'
    added = first.json()["entry_ids"] + second.json()["entry_ids"]
    assert entry_ids(client.get(f"{X}/messages")) == added
    assert client.get(f"{X}/info").headers["etag"] == second.headers["etag"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b" ", 400),
        (b"[]", 400),
        (b"nonsense", 400),
        (b'{"messages":[}', 400),
        (b'{"messages":[]', 400),
        (b'{"messages":[]} x', 400),
        (b'{"messages" []}', 400),
        (b'{"messages":[],}', 400),
        (b"{messages:[]}", 400),
        (b"{", 400),
        (b'{"messages"', 400),
        (b'{"messages":', 400),
        (b'{"messages":[]}', 400),
        (b'{"messages":null}', 400),
        (b'{"messages":{}}', 400),
        (b'{"messages":[1]}', 400),
        (b'{"messages":[{}]}', 400),
        (b'{"messages":[{"kind":"request","parts":[{"part_kind":"nonsense"}]}]}', 400),
        (b'{"messages":[{"kind":"request","parts":[],"x":NaN}]}', 400),
        (b'{"messages":[{"kind":"request","parts":[],"x":"\\ud800"}]}', 400),
        (b'{"messages":[{"kind":"request","parts":[],"x":' + b"9" * 5000 + b"}]}", 400),
        (b'{"messages":[{"kind":"request","parts":[],"x":' + deep(200).encode() + b"}]}", 400),
        (b'{"messages":' + deep(100_000).encode() + b"}", 400),
        (deep(100_000).encode(), 400),
        (b'{"a":' * 100_000, 400),
        (b'{"messages":[\xff]}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b"{}", 422),
        (b'{"message":[]}', 422),
        (b'{"messages":[],"session_id":"y"}', 422),
        (b'{"messages":[],"messages":[]}', 422),
        (b'{"\\ud800":1}', 422),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else str(value),
)
def test_append_refuses_what_are_no_messages(idle: Client, body: bytes, status: int):
    if not idle.get(f"{X}/exists").json()["exists"]:
        idle.create("x")
    response = idle.post(f"{X}/messages", content=body, headers=JSON)
    assert response.status_code == status, response.text
    assert idle.get(f"{X}/info").json()["message_count"] == 0


def test_append_names_unknown_members(client: Client, session: str):
    response = client.post(f"{X}/messages", json={"messages": turn("Hi"), "extra": 1, "more": 2})
    assert response.status_code == 422
    assert "'extra'" in response.json()["detail"]
    assert "'more'" in response.json()["detail"]


def test_append_takes_any_white_space_and_escapes_in_the_name(client: Client, session: str):
    body = b' {\r\n\t"mess\\u0061ges" : [ ' + dumps(prompt("Hi")) + b" \n] \n} \n"
    assert client.post(f"{X}/messages", content=body, headers=JSON).status_code == 201
    assert contents(client.get(X)) == ["Hi"]


def test_append_must_say_that_it_is_json(client: Client, session: str):
    body = dumps({"messages": turn("Hi")})
    for kind, status in [
        ("text/plain", 415),
        ("", 415),
        ("application/json; charset=utf-8", 201),
        ("application/vnd.mythline+json", 201),
    ]:
        response = client.post(f"{X}/messages", content=body, headers={"Content-Type": kind})
        assert response.status_code == status, kind


def test_if_match(client: Client, session: str):
    def send(tag: str, to: str = "x") -> int:
        response = client.post(
            f"{BASE}/{to}/messages", json={"messages": turn("Hi")}, headers={"If-Match": tag}
        )
        return response.status_code

    def tag() -> str:
        return client.get(f"{X}/info").headers["etag"]

    old = tag()
    assert send(old) == 201
    assert send(old) == 412
    new = tag()
    for wrong in (f"W/{new}", new.strip('"'), "", '""', f'{old}, W/{new}, "x"', '"*"'):
        assert send(wrong) == 412, wrong
    assert client.get(f"{X}/info").json()["message_count"] == 2
    assert send(f"{old}, {new}") == 201
    assert send(f'W/"a", {tag()}') == 201
    assert send("*") == 201
    for anything in ("*", old, '"a", "b"', "W/" + old):
        assert send(anything, to="y") == 404
    assert client.ids() == ["x"]


def test_if_match_in_several_headers(client: Client, session: str):
    tag = client.get(f"{X}/info").headers["etag"]
    headers = [("If-Match", '"a"'), ("If-Match", tag)]
    response = client.post(f"{X}/messages", json={"messages": turn("Hi")}, headers=headers)
    assert response.status_code == 201


def test_idempotency_key(client: Client, session: str):
    def send(text: str, key: str, **headers: str) -> Any:
        return client.post(
            f"{X}/messages",
            json={"messages": turn(text)},
            headers={"Idempotency-Key": key, **headers},
        )

    tag = client.get(f"{X}/info").headers["etag"]
    first = send("One", "k1", **{"If-Match": tag})
    assert first.status_code == 201
    client.add("x", "Between")
    again = send("One", "k1", **{"If-Match": tag})
    assert (again.status_code, again.json()) == (201, first.json())
    several = send("One", "k1", **{"If-Match": f'{tag}, "other"'})
    assert (several.status_code, several.json()) == (201, first.json())
    assert client.get(f"{X}/info").json()["message_count"] == 4
    assert send("Other", "k1").status_code == 422
    assert send("Other", "k1").json()["type"] == "urn:mythline:idempotency-mismatch"
    assert send("One", "k2").json()["message_count"] == 6
    assert send("One", "").status_code == 422
    assert send("One", "k" * 256).status_code == 422
    assert send("One", "k" * 255).status_code == 201
