"""Other programs' files become sessions that can be continued."""

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import BinaryContent, ImageUrl, ModelMessage

from mythline import formats, ids, messages
from mythline.errors import InvalidMessages
from mythline.formats.types import ImportedSession, line
from tests.formats import exports, samples

FILES: dict[str, bytes] = {
    "openai": json.dumps(exports.OPENAI).encode(),
    "chatgpt": json.dumps(exports.CHATGPT).encode(),
    "claude": json.dumps(exports.CLAUDE).encode(),
    "claude-code": exports.lines(*exports.CLAUDE_CODE),
    "codex": exports.lines(*exports.CODEX),
    "json": messages.view(samples.EVERY_PART),
    "jsonl": b"".join(formats.export(samples.session(samples.chain(*samples.EVERY_PART)), "jsonl")),
}


def read(data: Any, name: str | None = None) -> ImportedSession:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    (session,) = formats.read(raw, name)
    check(session)
    return session


def check(session: ImportedSession) -> None:
    """Everything is in order, and every history can be continued."""
    messages.parsed([entry.body for entry in session.entries])
    known: set[str | None] = {None}
    for entry in session.entries:
        assert entry.parent_id in known
        known.add(entry.entry_id)
    for tip in [session.head_id, *session.branches]:
        assert tip in known
        before: list[str] = []
        for message in messages.read([e.body for e in line(session.entries, tip)]):
            parts: list[Any] = list(message.parts)
            ids = {
                kind: [p.tool_call_id for p in parts if p.part_kind == kind]
                for kind in ("tool-call", "tool-return")
            }
            assert ids["tool-return"] == before or session.source in ("json", "jsonl")
            before = ids["tool-call"]
        assert not before or session.source in ("json", "jsonl")


def told(session: ImportedSession, tip: str | None = None) -> list[Any]:
    """A history in short: each part's kind and what it says."""
    history = line(session.entries, tip or session.head_id)
    return [short(message) for message in messages.read([entry.body for entry in history])]


def short(message: ModelMessage) -> list[Any]:
    made: list[Any] = []
    for part in message.parts:
        match part.part_kind:
            case "tool-call":
                made.append((part.tool_name, part.args, part.tool_call_id))
            case "tool-return":
                made.append((part.tool_name, part.content, part.tool_call_id, part.outcome))
            case kind:
                made.append((kind, getattr(part, "content", None)))
    return made


@pytest.mark.parametrize("name", FILES)
def test_files_are_known_by_what_is_in_them(name: str):
    assert formats.sniff(FILES[name]) == name
    if name != "chatgpt":
        assert read(FILES[name]).source == name


def test_archives_are_known_too():
    assert formats.sniff(b"PK\x03\x04...") == "zip"
    assert formats.sniff(b"\x28\xb5\x2f\xfd...") == "tar.zst"
    with pytest.raises(InvalidMessages, match="archive"):
        formats.read(b"PK\x03\x04...")


def test_our_own_array_keeps_its_bytes():
    session = read(FILES["json"], "x/my-session.json")
    assert [entry.body for entry in session.history] == samples.EVERY_PART
    assert session.session_id == "my-session"
    assert read([], "../latest.json").session_id is None


def test_a_list_of_openai_messages():
    session = read(FILES["openai"], "one.json")
    picture, held = ImageUrl("https://example.com/a.png"), BinaryContent
    first, *rest = told(session)
    assert first[:2] == [("system-prompt", "Be brief."), ("system-prompt", "And kind.")]
    content: Any = first[2][1]
    assert content[0] == "What is on it?"
    assert content[1].url == picture.url
    assert isinstance(content[2], held)
    assert content[3] == "[picture — not in what was imported]"
    assert (content[4].data, content[4].media_type) == (b"RIFF", "audio/wav")
    assert content[5] == "[file: a.pdf — not in what was imported]"
    assert rest == [
        [
            ("thinking", "Better look."),
            ("look", {"at": 1}, "call_1"),
            ("look", {"input": "oops"}, "call_2"),
        ],
        [("look", "one", "call_1", "success"), ("look", "two", "call_2", "success")],
        [("text", "A cat.")],
        [("user-prompt", "Why?")],
        [("text", "I can't say.")],
    ]
    assert session.skipped == {"content hologram": 1}
    assert session.session_id == "one"
    assert json.loads(session.usage)["input_tokens"] == 10
    (response,) = messages.read([session.entries[1].body])
    assert response.kind == "response"
    assert (response.model_name, response.usage.output_tokens) == ("gpt-5", 5)


def test_a_result_that_is_no_text_is_kept_as_json():
    call = {"id": "c", "function": {"name": "weather", "arguments": "{}"}}
    document = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": {"degrees": 20}},
    ]
    assert told(read(document))[1] == [("weather", '{"degrees":20}', "c", "success")]


def test_an_object_with_messages():
    document = {
        "id": "chat-1",
        "title": "  A\ntitle ",
        "created_at": 1_700_000_000,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    session = read(document)
    assert (session.session_id, session.title) == ("chat-1", "A title")
    assert session.created == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert told(session) == [[("user-prompt", "Hi")]]


def test_items_of_the_responses_api():
    document = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]},
        {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "x"}, "y"]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]},
    ]
    assert told(read(document)) == [
        [("user-prompt", "Hi")],
        [("thinking", "Hm"), ("f", {}, "c")],
        [("f", "y", "c", "success")],
        [("text", "A")],
    ]


def test_messages_one_a_line_and_conversations_one_a_line():
    one = exports.lines({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"})
    assert told(read(one)) == [[("user-prompt", "a")], [("text", "b")]]
    many = exports.lines(
        {"messages": [{"role": "user", "content": "a"}]},
        {"messages": [{"role": "user", "content": "b"}]},
    )
    assert [told(session) for session in formats.read(many)] == [
        [[("user-prompt", "a")]],
        [[("user-prompt", "b")]],
    ]


def test_old_function_calls():
    document = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "function_call": {"name": "f", "arguments": '{"x": 1}'}},
        {"role": "function", "name": "f", "content": "one"},
        {"role": "assistant", "content": "b"},
    ]
    assert told(read(document))[1:3] == [
        [("f", {"x": 1}, "f")],
        [("f", "one", "f", "success")],
    ]


CALL: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}],
}
ANSWER = {"role": "tool", "tool_call_id": "c", "content": "one"}
HI = {"role": "user", "content": "Hi"}
LOST = ("f", "No result of this call was recorded.", "c", "interrupted")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ([HI, CALL], [[("f", {}, "c")], [LOST]]),
        ([HI, CALL, HI], [[("f", {}, "c")], [LOST, ("user-prompt", "Hi")]]),
        (
            [HI, CALL, HI, ANSWER],
            [[("f", {}, "c")], [("f", "one", "c", "success"), ("user-prompt", "Hi")]],
        ),
        ([HI, ANSWER], [[("user-prompt", "[Result, without its call]\none")]]),
        (
            [HI, CALL, ANSWER, ANSWER],
            [[("f", {}, "c")], [("f", "one\n\none", "c", "success")]],
        ),
        (
            [HI, CALL, ANSWER, CALL, ANSWER],
            [[("f", {}, "c")], [("f", "one", "c", "success")]] * 2,
        ),
        (
            [HI, CALL, CALL, ANSWER],
            [
                [("f", {}, "c"), ("f", {}, "c-2")],
                [("f", "one", "c", "success"), (*LOST[:2], "c-2", LOST[3])],
            ],
        ),
    ],
)
def test_calls_and_results_that_do_not_fit_are_made_to(document: Any, expected: list[Any]):
    assert list(chain(*told(read(document))))[1:] == list(chain(*expected))


def test_chatgpt():
    session, empty = formats.read(FILES["chatgpt"])
    check(session)
    assert told(session) == [
        [
            (
                "user-prompt",
                "[picture: 640×480, 12,345 bytes — not in what was imported]\n\nsaid aloud\n\n"
                "Draw a cat\n\n[file: b.pdf, application/pdf, 99 bytes — not in what was imported]",
            )
        ],
        [("thinking", "Plan\n\nThink of cats."), ("python", {"input": "print('cat')"}, "k1")],
        [("python", "cat\n\n[picture: 1×1 — not in what was imported]", "k1", "success")],
        [("text", "A cat as drawn.")],
        [("user-prompt", "Search my files")],
        [("file_search", {}, "f1-call")],
        [("file_search", "b.pdf\nfile-1\nCats purr.", "f1-call", "success")],
        [
            (
                "canmore.create_textdoc",
                {"name": "cat", "type": "document", "content": "..."},
                "n1",
            )
        ],
        [("canmore.create_textdoc", "Successfully created text document", "n1", "success")],
        [("text", "```python\ncats = 1\n```")],
    ]
    (branch,) = session.branches
    assert told(session, branch)[-1] == [("text", "The first answer")]
    assert (session.title, session.pinned, session.archived) == ("Cats", True, True)
    assert session.session_id == "0b9c3b4e-0000-4000-8000-000000000001"
    assert session.created == datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC)
    assert session.last_modified == datetime(2023, 11, 14, 22, 28, 20, tzinfo=UTC)
    assert session.skipped == {
        "hidden system message": 1, "user_editable_context": 1, "reasoning_recap": 1,
    }  # fmt: skip
    assert b"secret" not in b"".join(entry.body for entry in session.entries)
    first = messages.read([session.entries[1].body])[0]
    assert first.kind == "response"
    assert (first.model_name, first.timestamp.year) == ("gpt-4o", 2023)
    assert (empty.head_id, empty.entries) == (None, ())


def test_a_chatgpt_history_may_end_before_its_branches_do():
    conversation = exports.CHATGPT[0] | {"current_node": "k1"}
    session = read([conversation])
    assert told(session)[-1] == [
        ("python", "No result of this call was recorded.", "k1", "interrupted")
    ]
    assert len(session.branches) == 2


@pytest.mark.parametrize("named", [{"conversation_id": "WEB:1"}, {"conversation_id": "-"}, {}])
def test_what_has_no_usable_id_has_the_same_each_time(named: dict[str, str]):
    """So that an export that is imported again isn't there twice."""
    talks = [
        {**named, "mapping": dict([exports.node(f"u{number}", None, "user", "Hi")])}
        for number in (1, 2)
    ]
    first, second = formats.read(json.dumps(talks).encode())
    assert ids.is_session_id(first.session_id or "")
    assert [s.session_id for s in formats.read(json.dumps(talks).encode())] == [
        first.session_id,
        second.session_id,
    ]
    assert (first.session_id == second.session_id) is bool(named)
    other = [{"conversation_id": "WEB_1", "mapping": talks[0]["mapping"]}]
    assert next(formats.read(json.dumps(other).encode())).session_id == "WEB_1" != first.session_id


def test_chatgpt_nodes_in_any_order_and_in_a_circle():
    mapping = exports.CHATGPT[0]["mapping"]
    turned = exports.CHATGPT[0] | {"mapping": dict(reversed(mapping.items()))}
    assert told(read([turned])) == told(next(formats.read(FILES["chatgpt"])))
    circle = {
        "a": exports.node("a", "b", "user", "x")[1],
        "b": exports.node("b", "a", "assistant", "y")[1],
    }
    session = read([{"mapping": circle, "current_node": "b"}])
    assert len(session.entries) == 2


def test_claude():
    session = read(FILES["claude"])
    assert told(session) == [
        [
            ("user-prompt", "What do dogs eat?"),
            (
                "user-prompt",
                "[file: dogs.txt, text/plain — its text follows]\nDogs bark.\n\n"
                "[file: dog.jpg — not in what was imported]",
            ),
        ],
        [
            ("thinking", "Food, then."),
            ("text", "Let me search."),
            ("web", {"q": "dogs"}, "toolu_1"),
        ],
        [("web", "Meat.", "toolu_1", "success")],
        [("note", {}, "m1-4")],
        [("note", "no", "m1-4", "failed")],
        [("text", "Meat, mostly.")],
        [("user-prompt", "Only text here")],
        [("text", "Indeed.")],
    ]
    (branch,) = session.branches
    assert told(session, branch)[-1] == [("text", "A first try")]
    assert session.session_id == "5d7e6f2a-0000-4000-8000-000000000002"
    assert session.title == "Dogs"
    assert session.created == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert session.skipped == {"content token_budget": 1}
    assert b"abc" not in session.entries[2].body  # a signature holds for other messages


def test_files_that_claude_names_twice_are_named_once():
    cat, dog = (
        {"file_uuid": "u1", "file_name": "cat.png"},
        {"file_uuid": "u2", "file_name": "dog.png"},
    )
    said = exports.chat(
        "1", exports.ROOT, "human", "", files=[cat, {"file_name": "b"}], files_v2=[cat, dog]
    )
    ((parts,),) = told(read([{"uuid": "x", "chat_messages": [said]}]))
    assert [parts[1].count(name) for name in ("cat.png", "dog.png", "b —")] == [1, 1, 1]


def test_an_older_claude_export_is_a_line():
    chats = [
        {"uuid": "1", "sender": "human", "text": "a", "created_at": "2023-01-01T00:00:00+00:00"},
        {"uuid": "2", "sender": "assistant", "text": "b"},
        {"uuid": "3", "sender": "human", "text": "c"},
    ]
    session = read([{"uuid": "x", "name": "", "chat_messages": chats}])
    assert told(session) == [[("user-prompt", "a")], [("text", "b")], [("user-prompt", "c")]]
    assert session.title is None


def test_claude_code():
    session = read(FILES["claude-code"], "x.jsonl")
    assert told(session) == [
        [("user-prompt", "Count the cats")],
        [
            ("thinking", "How many?"),
            ("text", "I look."),
            ("Bash", {"command": "ls"}, "toolu_1"),
            ("Read", {"file": "x"}, "toolu_2"),
        ],
        [
            ("Bash", "cat1\ncat2", "toolu_1", "success"),
            (
                "Read",
                "No such file\n\n[file: binary — not in what was imported]",
                "toolu_2",
                "failed",
            ),
        ],
        [("text", "Two.")],
        [("user-prompt", "And birds?")],
        [("Bash", {}, "toolu_3")],
        [("Bash", "No result of this call was recorded.", "toolu_3", "interrupted")],
    ]
    (branch,) = session.branches
    assert told(session, branch)[-2:] == [[("user-prompt", "And dogs?")], [("text", "None.")]]
    assert session.title == "Cats counted"
    assert session.session_id == "9a8b7c6d-0000-4000-8000-000000000003"
    assert session.metadata["cwd"] == "/home/me/cats"
    assert session.skipped == {"file-history-snapshot": 1, "meta": 1, "sidechain": 1}
    (response,) = messages.read([session.entries[1].body])
    assert response.kind == "response"
    assert (response.usage.input_tokens, response.usage.cache_read_tokens) == (1103, 1000)
    assert json.loads(session.usage)["requests"] == 4


def test_commands_of_claude_code_are_as_they_were_typed():
    said = [
        "<command-name>/clear</command-name>\n<command-message>clear</command-message>\n"
        "<command-args></command-args>",
        "<local-command-stdout>It is clear.</local-command-stdout>",
        [
            {
                "type": "text",
                "text": "<command-message>review is running</command-message>\n"
                "<command-name>/review</command-name>\n<command-args>all < 3 & more</command-args>",
            }
        ],
        [{"type": "text", "text": "What does <command-name> mean?"}],
    ]
    lines = [
        exports.code_line(f"u{n}", f"u{n - 1}" if n else None, "user", {"content": content})
        for n, content in enumerate(said)
    ]
    session = read(exports.lines(*lines))
    assert [content for message in told(session) for _, content in message] == [
        "/clear",
        "/review all < 3 & more",
        "What does <command-name> mean?",
    ]
    assert session.skipped == {"output of a command": 1}


def test_the_file_of_a_subagent_is_a_session():
    lines = [
        exports.code_line("1", None, "user", {"content": "Do it"}, isSidechain=True),
        exports.code_line(
            "2", "1", "assistant", exports.piece({"type": "text", "text": "Done"}), isSidechain=True
        ),
    ]
    assert told(read(exports.lines(*lines))) == [[("user-prompt", "Do it")], [("text", "Done")]]


@pytest.mark.parametrize("old", [False, True])
def test_codex(old: bool):
    session = read(exports.lines(*(exports.CODEX_OLD if old else exports.CODEX)))
    assert told(session) == [
        [("user-prompt", "List the birds")],
        [
            ("thinking", "**Looking**"),
            ("shell", {"command": ["ls"]}, "call_a"),
            ("apply_patch", {"input": "*** Begin"}, "call_b"),
        ],
        [("shell", "robin", "call_a", "success"), ("apply_patch", "done", "call_b", "success")],
        [("local_shell", {"type": "exec", "command": ["pwd"]}, "call_c")],
        [("local_shell", "denied", "call_c", "failed")],
        [("web_search", {"type": "search", "query": "x"}, "web_search_call")],
        [("web_search", "What it found is not recorded.", "web_search_call", "success")],
        [("text", "A robin.")],
    ]
    assert session.session_id == f"019b0000-0000-7000-8000-00000000000{5 if old else 4}"
    assert session.skipped["context"] == (1 if old else 2)
    assert session.created == (
        datetime(2025, 8, 20, 13, 20, 47, 60_000, UTC)
        if old
        else datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    )
    (last,) = messages.read([session.entries[-1].body])
    assert last.kind == "response"
    if not old:
        assert last.model_name == "gpt-5-codex"
        assert (last.usage.input_tokens, last.usage.cache_read_tokens) == (20, 5)


def test_a_rollout_is_named_by_its_file():
    name = "rollout-2026-01-02T03-04-05-019b0000-0000-7000-8000-000000000006.jsonl"
    data = exports.lines({"record_type": "state"}, *exports.CODEX_ITEMS)
    assert read(data, name).session_id == "019b0000-0000-7000-8000-000000000006"


def test_a_last_line_that_was_cut_off_is_left():
    whole = exports.lines(*exports.CODEX)
    assert told(read(whole + b'{"timestamp":"2026')) == told(read(whole))
    with pytest.raises(InvalidMessages, match="Not JSON"):
        formats.read(b'{"timestamp":"2026\n' + whole)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "Nothing there"),
        (b"  \n", "Nothing there"),
        (b"\xff\xfe", "Not UTF-8: byte 0"),
        (b"hello", "Not JSON"),
        (b"{", "Not JSON"),
        (b"1", "No format that Mythline reads. Known are"),
        (b"{}", "No format"),
        (b'{"messages": 1}', "No format"),
        (b'[{"a": 1}]', "No format"),
        (b"null\n1\n", "No format"),
        (b'[{"role": "alien", "content": "x"}]', "No message in the list says anything"),
        (b'[{"role": "user"}, {"role": "assistant", "content": 42}]', "No message"),
        (b'{"messages": [{"role": "user", "parts": []}]}', "No message"),
        (b"[" * 100_000, "Nested too deep|Not JSON"),
        (b"1" + b"0" * 5000, "Not usable JSON"),
        (b'[{"kind":"request","parts":[{"part_kind":"x"}]}]', "can't read"),
    ],
)
def test_what_is_nothing_known_is_refused(data: bytes, message: str):
    with pytest.raises(InvalidMessages, match=message):
        list(formats.read(data))


def test_odd_values_do_no_harm():
    deep: Any = "x"
    for _ in range(150):
        deep = [deep]
    document = [
        {"role": "user", "content": "half \ud800 \u0000", "created_at": 1e300},
        {"role": "assistant", "tool_calls": [
            {"id": "c", "function": {"name": "f", "arguments": {"deep": deep}}},
            {"id": None, "function": {"name": "g", "arguments": [1]}},
            {"function": {}}, None,
        ]},
        {"role": "tool", "tool_call_id": "c", "content": {"a": float("nan")}},
        {"role": ["user"], "content": 1}, None, 3,
        {"role": "assistant", "content": "x", "created_at": "2026-13-01", "usage": {
            "prompt_tokens": True, "completion_tokens": -1}},
    ]  # fmt: skip
    session = read(document)
    assert told(session)[0] == [("user-prompt", "half � \x00")]
    assert session.skipped["call without a name"] == 2


ODD: list[Any] = [
    None, True, -1, 0, 1.5, 1e308, 10**30, "", "x", "c", "all", "user", "tool", "\ud800", "\x00",
    [], {}, [[]], [None], [{}], [1, "x"], {"type": "text"}, {"type": "tool_result"},
    {"type": "tool_use", "id": "toolu_1"}, {"content_type": "x"}, {"role": "assistant"},
    {"parts": ["y"]}, {"text": {"text": "z"}}, {"": {"": [[{}]]}}, "2026-01-01T00:00:00+99:99",
]  # fmt: skip
json_values = st.sampled_from(ODD)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a document with each of its keys."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            found += [(value, key), *places(value[key])]
    return found


DOCUMENTS: dict[str, Callable[[], tuple[Any, Callable[[Any], bytes]]]] = {
    "openai": lambda: (exports.OPENAI, lambda x: json.dumps(x).encode()),
    "chatgpt": lambda: (exports.CHATGPT, lambda x: json.dumps(x).encode()),
    "claude": lambda: (exports.CLAUDE, lambda x: json.dumps(x).encode()),
    "claude-code": lambda: (exports.CLAUDE_CODE, lambda x: exports.lines(*x)),
    "codex": lambda: (exports.CODEX, lambda x: exports.lines(*x)),
}


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(deadline=None)  # machines are slow at times
@given(data=st.data())
def test_any_change_to_a_file_is_read_or_refused(name: str, data: st.DataObject):
    document, write = DOCUMENTS[name]()
    document = json.loads(json.dumps(document))
    for _ in range(data.draw(st.integers(1, 4))):
        found = places(document)
        if not found:
            break
        container, key = found[data.draw(st.integers(0, len(found) - 1))]
        other, place = found[data.draw(st.integers(0, len(found) - 1))]
        match data.draw(st.integers(0, 2)):
            case 0:
                del container[key]
            case 1:
                container[key] = copy.deepcopy(data.draw(json_values))
            case _:
                container[key] = json.loads(json.dumps(other[place]))
    try:
        for session in formats.read(write(document)):
            check(session)
            check(formats.sanitized(session))
    except InvalidMessages:
        pass


@settings(deadline=None)  # machines are slow at times
@given(st.binary(max_size=200) | st.lists(json_values).map(lambda x: json.dumps(x).encode()))
def test_any_bytes_are_read_or_refused(data: bytes):
    try:
        for session in formats.read(data):
            check(session)
    except InvalidMessages:
        pass
