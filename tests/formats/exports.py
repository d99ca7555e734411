"""What other programs' files look like: their shapes, our own words."""

from __future__ import annotations

import json
from typing import Any

PNG = "iVBORw0KGgo="


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


OPENAI: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "And kind."}]},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is on it?"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_id": "file-1"}},
            {"type": "hologram"},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Better look.",
        "model": "gpt-5",
        "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "look", "arguments": '{"at": 1}'},
            },
            {"id": "call_2", "type": "function", "function": {"name": "look", "arguments": "oops"}},
        ],
    },
    {"role": "tool", "tool_call_id": "call_2", "content": "two"},
    {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "one"}]},
    {"role": "assistant", "content": "A cat.", "refusal": None},
    {"role": "user", "content": "Why?"},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "I can't say."}]},
]


def node(
    node_id: str,
    parent: str | None,
    role: str | None,
    content: Any = None,
    *,
    name: str | None = None,
    recipient: str = "all",
    time: float | None = 1_700_000_000.5,
    **metadata: Any,
) -> tuple[str, dict[str, Any]]:
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    message = None
    if role is not None:
        message = {
            "id": node_id,
            "author": {"role": role, "name": name, "metadata": {}},
            "create_time": time,
            "update_time": None,
            "content": content,
            "status": "finished_successfully",
            "end_turn": None,
            "weight": 1.0,
            "metadata": metadata,
            "recipient": recipient,
            "channel": None,
        }
    return node_id, {"id": node_id, "message": message, "parent": parent, "children": []}


CHATGPT: list[dict[str, Any]] = [
    {
        "title": "Cats",
        "create_time": 1_700_000_000.25,
        "update_time": 1_700_000_900.0,
        "conversation_id": "0b9c3b4e-0000-4000-8000-000000000001",
        "default_model_slug": "gpt-5",
        "is_archived": True,
        "is_starred": True,
        "gizmo_id": None,
        "current_node": "a3",
        "mapping": dict(
            [
                node("client-created-root", None, None),
                node(
                    "s0",
                    "client-created-root",
                    "system",
                    "",
                    is_visually_hidden_from_conversation=True,
                ),
                node(
                    "c0",
                    "s0",
                    "user",
                    {
                        "content_type": "user_editable_context",
                        "user_profile": "secret",
                        "user_instructions": "",
                    },
                    is_visually_hidden_from_conversation=True,
                ),
                node(
                    "u1",
                    "c0",
                    "user",
                    {
                        "content_type": "multimodal_text",
                        "parts": [
                            {
                                "content_type": "image_asset_pointer",
                                "asset_pointer": "file-service://file-1",
                                "size_bytes": 12345,
                                "width": 640,
                                "height": 480,
                            },
                            {"content_type": "audio_transcription", "text": "said aloud"},
                            "Draw a cat",
                        ],
                    },
                    attachments=[
                        {"id": "1", "name": "a.png", "mime_type": "image/png", "size": 12345},
                        {"id": "2", "name": "b.pdf", "mime_type": "application/pdf", "size": 99},
                    ],
                ),
                node("a1", "u1", "assistant", "The first answer", model_slug="gpt-4o"),
                node(
                    "t1",
                    "u1",
                    "assistant",
                    {
                        "content_type": "thoughts",
                        "thoughts": [{"summary": "Plan", "content": "Think of cats."}],
                    },
                    model_slug="gpt-5",
                ),
                node(
                    "k1",
                    "t1",
                    "assistant",
                    {"content_type": "code", "language": "unknown", "text": "print('cat')"},
                    recipient="python",
                    model_slug="gpt-5",
                ),
                node(
                    "r1",
                    "k1",
                    "tool",
                    {"content_type": "execution_output", "text": "cat"},
                    name="python",
                ),
                node(
                    "r2",
                    "r1",
                    "tool",
                    {
                        "content_type": "multimodal_text",
                        "parts": [
                            {"content_type": "image_asset_pointer", "width": 1, "height": 1}
                        ],
                    },
                    name="python",
                ),
                node("rr", "r2", "assistant", {"content_type": "reasoning_recap", "content": "4s"}),
                node(
                    "a2",
                    "rr",
                    "assistant",
                    "A cat \ue200cite\ue202turn0\ue201as drawn.",
                    model_slug="gpt-5",
                ),
                node("u2", "a2", "user", "Search my files"),
                node(
                    "f0",
                    "u2",
                    "tool",
                    {"content_type": "tether_browsing_display", "result": "", "summary": ""},
                    name="file_search",
                ),
                node(
                    "f1",
                    "f0",
                    "tool",
                    {
                        "content_type": "tether_quote",
                        "url": "file-1",
                        "title": "b.pdf",
                        "text": "Cats purr.",
                    },
                    name="file_search",
                ),
                node(
                    "n1",
                    "f1",
                    "assistant",
                    {
                        "content_type": "code",
                        "language": "json",
                        "text": '{"name":"cat","type":"document","content":"..."}',
                    },
                    recipient="canmore.create_textdoc",
                ),
                node(
                    "n2", "n1", "tool", "Successfully created text document",
                    name="canmore.create_textdoc",
                ),
                node(
                    "a3",
                    "n2",
                    "assistant",
                    {"content_type": "code", "language": "python", "text": "cats = 1"},
                ),
            ]
        ),
    },
    {"id": "bad", "title": None, "mapping": {}, "current_node": None},
]  # fmt: skip


def chat(uuid: str, parent: str, sender: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {
        "uuid": uuid,
        "text": "",
        "content": content,
        "sender": sender,
        "created_at": "2026-01-02T03:04:05.678901Z",
        "updated_at": "2026-01-02T03:04:05.678901Z",
        "attachments": [],
        "files": [],
        "parent_message_uuid": parent,
        **fields,
    }


ROOT = "00000000-0000-4000-8000-000000000000"
CLAUDE: list[dict[str, Any]] = [
    {
        "uuid": "5d7e6f2a-0000-4000-8000-000000000002",
        "name": "Dogs",
        "summary": "",
        "created_at": "2026-01-02T03:04:00Z",
        "updated_at": "2026-01-02T03:14:00Z",
        "account": {"uuid": "x"},
        "chat_messages": [
            chat(
                "h1",
                ROOT,
                "human",
                [{"type": "text", "text": "What do dogs eat?", "citations": []}],
                attachments=[
                    {
                        "file_name": "dogs.txt",
                        "file_size": 10,
                        "file_type": "text/plain",
                        "extracted_content": "Dogs bark.",
                    }
                ],
                files=[{"file_name": "dog.jpg", "file_uuid": "y"}],
            ),
            chat("m0", "h1", "assistant", [{"type": "text", "text": "A first try"}]),
            chat(
                "m1",
                "h1",
                "assistant",
                [
                    {"type": "thinking", "thinking": "Food, then.", "signature": "abc"},
                    {"type": "text", "text": "Let me search."},
                    {"type": "tool_use", "id": "toolu_1", "name": "web", "input": {"q": "dogs"}},
                    {
                        "type": "tool_result",
                        "tool_use_id": "toolu_1",
                        "name": "web",
                        "content": [{"type": "text", "text": "Meat."}],
                        "is_error": False,
                    },
                    {"type": "tool_use", "name": "note", "input": {}},
                    {"type": "tool_result", "name": "note", "content": "no", "is_error": True},
                    {"type": "token_budget"},
                    {"type": "text", "text": "Meat, mostly."},
                ],
            ),
            chat("h2", "m1", "human", [], text="Only text here"),
            chat("m2", "h2", "assistant", [{"type": "text", "text": "Indeed."}]),
        ],
    }
]


def code_line(uuid: str, parent: str | None, kind: str, message: Any, **fields: Any) -> Any:
    return {
        "parentUuid": parent,
        "isSidechain": False,
        "userType": "external",
        "cwd": "/home/me/cats",
        "sessionId": "9a8b7c6d-0000-4000-8000-000000000003",
        "version": "2.0.1",
        "gitBranch": "main",
        "type": kind,
        "message": message,
        "uuid": uuid,
        "timestamp": "2026-01-02T03:04:05.678Z",
        **fields,
    }


def piece(block: dict[str, Any], message_id: str = "msg_1") -> dict[str, Any]:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [block],
        "stop_reason": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 1000,
            "output_tokens": 7,
        },
    }


def tool_result(call_id: str, content: Any, **fields: Any) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}
    return {"role": "user", "content": [block]}


CLAUDE_CODE: list[Any] = [
    {"type": "summary", "summary": "Another session's", "leafUuid": "elsewhere"},
    {"type": "summary", "summary": "Cats counted", "leafUuid": "a9"},
    {"type": "file-history-snapshot", "messageId": "u0", "snapshot": {}},
    code_line("m0", None, "user", {"role": "user", "content": "Caveat"}, isMeta=True),
    code_line("u1", "m0", "user", {"role": "user", "content": "Count the cats"}),
    code_line("a1", "u1", "assistant", piece({"type": "thinking", "thinking": "How many?"})),
    code_line("a2", "a1", "assistant", piece({"type": "text", "text": "I look."})),
    code_line(
        "a3",
        "a2",
        "assistant",
        piece({"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls"}}),
    ),
    code_line("r1", "a3", "user", tool_result("toolu_1", "cat1\ncat2"), toolUseResult={}),
    code_line(
        "a4",
        "a3",
        "assistant",
        piece({"type": "tool_use", "id": "toolu_2", "name": "Read", "input": {"file": "x"}}),
    ),
    code_line(
        "r2",
        "a4",
        "user",
        tool_result(
            "toolu_2",
            [
                {"type": "text", "text": "No such file"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                },
            ],
            is_error=True,
        ),
    ),
    code_line("x1", "u1", "user", {"role": "user", "content": "beside it"}, isSidechain=True),
    code_line("y1", "r2", "system", None, content="Compacted", subtype="compact_boundary")
    | {"parentUuid": None, "logicalParentUuid": "r2"},
    code_line("a5", "y1", "assistant", piece({"type": "text", "text": "Two."}, "msg_2")),
    code_line("u2", "a5", "user", {"role": "user", "content": "And dogs?"}),
    code_line("a6", "u2", "assistant", piece({"type": "text", "text": "None."}, "msg_3")),
    code_line("u3", "a5", "user", {"role": "user", "content": "And birds?"}),
    code_line(
        "a9",
        "u3",
        "assistant",
        piece({"type": "tool_use", "id": "toolu_3", "name": "Bash", "input": {}}, "msg_4"),
    ),
]


def rollout(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"timestamp": "2026-01-02T03:04:05.678Z", "type": kind, "payload": payload}


def codex_message(role: str, said: str) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": said}]}


CODEX_ITEMS: list[dict[str, Any]] = [
    codex_message("user", "<environment_context>\n  <cwd>/home/me</cwd>\n</environment_context>"),
    codex_message("user", "List the birds"),
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "**Looking**"}],
        "content": None,
        "encrypted_content": "gAAA",
    },
    {"type": "reasoning", "summary": [], "encrypted_content": "gAAB"},
    {
        "type": "function_call",
        "name": "shell",
        "arguments": '{"command":["ls"]}',
        "call_id": "call_a",
    },
    {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin", "call_id": "call_b"},
    {"type": "function_call_output", "call_id": "call_a", "output": "robin"},
    {"type": "custom_tool_call_output", "call_id": "call_b", "output": "done"},
    {
        "type": "local_shell_call",
        "call_id": "call_c",
        "status": "completed",
        "action": {"type": "exec", "command": ["pwd"]},
    },
    {
        "type": "function_call_output",
        "call_id": "call_c",
        "output": {"content": "denied", "success": False},
    },
    {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}},
    {"type": "ghost_snapshot", "ghost_commit": {}},
    codex_message("assistant", "A robin."),
]
CODEX: list[Any] = [
    rollout(
        "session_meta",
        {
            "id": "019b0000-0000-7000-8000-000000000004",
            "timestamp": "2026-01-02T03:04:00Z",
            "cwd": "/home/me",
            "originator": "codex_cli_rs",
            "cli_version": "0.70.0",
            "instructions": None,
            "git": {"branch": "main"},
        },
    ),
    rollout("response_item", codex_message("developer", "<permissions instructions>")),
    rollout("turn_context", {"cwd": "/home/me", "model": "gpt-5-codex"}),
    rollout("event_msg", {"type": "user_message", "message": "List the birds"}),
    *(rollout("response_item", item) for item in CODEX_ITEMS),
    rollout(
        "event_msg",
        {
            "type": "token_count",
            "info": {
                "last_token_usage": {
                    "input_tokens": 20,
                    "cached_input_tokens": 5,
                    "output_tokens": 9,
                }
            },
        },
    ),
    rollout("compacted", {"message": "short"}),
]
CODEX_OLD: list[Any] = [
    {
        "id": "019b0000-0000-7000-8000-000000000005",
        "timestamp": "2025-08-20T13:20:47.060Z",
        "instructions": None,
        "git": {"branch": "main"},
    },
    {"record_type": "state"},
    *CODEX_ITEMS,
]
