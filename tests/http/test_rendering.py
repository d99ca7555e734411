"""A transcript as HTML that a page can show."""

from __future__ import annotations

from typing import Any

from tests.http.support import BASE, Client, answer, prompt

HARM = [
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    "[a](javascript:alert(1))",
    "![a](https://evil.example/pixel.png)",
    '<a href="x" style="position:fixed" onclick="alert(1)">a</a>',
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
]


def contents(client: Client, query: str) -> list[tuple[str, str]]:
    response = client.get(f"{BASE}/x{query}")
    assert response.status_code == 200, response.text
    return [(item["role"], item["content"]) for item in response.json()["messages"]]


def add(client: Client, *messages: Any) -> None:
    assert client.post(f"{BASE}/x/messages", json={"messages": messages}).status_code == 201


def test_markdown_becomes_html(client: Client):
    client.create("x")
    add(client, prompt("What is *this*?"), answer("# A **title**\n\n- one\n- `two`"))
    (_, asked), (_, said) = contents(client, "?render=html")
    assert asked.strip() == "<p>What is <em>this</em>?</p>"
    for part in ("<h1>", "<strong>title</strong>", "<li>one</li>", "<code>two</code>"):
        assert part in said
    assert contents(client, "")[0] == ("user", "What is *this*?")


def test_nothing_in_it_can_do_harm(client: Client):
    client.create("x")
    add(client, prompt("\n\n".join(HARM)), answer("\n\n".join(HARM)))
    for _, html in contents(client, "?render=html"):
        tags = html.replace("&lt;", "").lower()
        for word in ("<script", "<img", "<iframe", 'href="javascript', "<a onclick", "<a style"):
            assert word not in tags


def test_what_tools_took_and_gave_is_shown_as_it_is(client: Client):
    client.create("x")
    call = {
        "part_kind": "tool-call",
        "tool_name": "look",
        "args": {"at": "<b>*x*</b>"},
        "tool_call_id": "c",
    }
    returned = {
        "part_kind": "tool-return",
        "tool_name": "look",
        "content": "<script>*y*</script>",
        "tool_call_id": "c",
        "timestamp": "2026-01-02T03:04:05Z",
    }
    add(
        client,
        prompt("Look"),
        {"kind": "response", "parts": [call], "timestamp": "2026-01-02T03:04:05Z"},
        {"kind": "request", "parts": [returned]},
    )
    shown = dict(contents(client, "?render=html&include=tools"))
    assert "&lt;b&gt;*x*&lt;/b&gt;" in shown["tool-call"]
    assert shown["tool-return"] == ("<pre><code>&lt;script&gt;*y*&lt;/script&gt;</code></pre>\n")


def test_a_long_transcript_is_whole(client: Client):
    client.create("x")
    for _ in range(3):
        add(client, prompt("Go on"), answer("Some **words**. " * 10_000))
    shown = contents(client, "?render=html")
    assert [role for role, _ in shown] == ["user", "assistant"] * 3
    assert shown[-1][1].count("<strong>") == 10_000


def test_another_rendering_is_refused(idle: Client):
    response = idle.get(f"{BASE}/x?render=pdf")
    assert response.status_code == 422
    assert "html" in response.json()["errors"][0]["msg"]
