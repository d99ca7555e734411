"""Histories of old Pydantic AI versions: read in full, and never changed without need."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_ai.messages import (
    BinaryContent,
    DocumentUrl,
    FilePart,
    ImageUrl,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from mythline import legacy, messages

FOREIGN = Path(__file__).parent / "data" / "foreign"
FIXTURES = sorted(path.stem.removeprefix("pydantic_ai_") for path in FOREIGN.glob("*.json"))

NULL_IDS = {"0.0.13", "0.0.24", "0.0.40"}
WRAPPED_ARGS = {"0.0.13"}
TEXT_FOR_BYTES = {"0.4.11-utf8"}
REQUEST_IDS = {"0.7.6"}
PRIVATE_MEDIA_TYPE = {
    *("0.4.11", "0.4.11-utf8", "0.7.0", "0.7.6", "0.8.1", "1.0.0", "1.0.18", "1.40.0"),
}
NEED_UPGRADE = NULL_IDS | TEXT_FOR_BYTES | PRIVATE_MEDIA_TYPE

# What make.py gives its agent.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAAD3RFWHRDb21tZW50AD+++Pv8/f4fh74TAAAADElE"
    "QVR4nGP438AAAAQBAYDFKhhdAAAAAElFTkSuQmCC"
)
CSV = "都市,気温\n東京,21.5\nKraków,19\n".encode()
CALLS = [
    ("weather", {"city": "東京", "days": 99}),
    ("flaky", {}),
    ("weather", '{"city": "Kraków \\ud83c\\udf27", "days": 2}'),
    ("weather", {"city": "東京", "days": 1}),
    ("flaky", {}),
    ("radar", "{}"),
]
WEATHER = {"c": [21.5, 1e-7], "sky": "☀️", "warning": None}


def bodies_of(name: str) -> list[bytes]:
    data = (FOREIGN / f"pydantic_ai_{name}.json").read_bytes()
    return messages.split(data, strict=False)


def history_of(name: str) -> list[ModelMessage]:
    return messages.read(bodies_of(name))


def parts_of(history: list[ModelMessage], kind: type) -> list[Any]:
    return [part for message in history for part in message.parts if type(part) is kind]


def ids_of(body: bytes) -> list[str]:
    found = (part.get("tool_call_id") for part in json.loads(body)["parts"])
    return [tool_call_id for tool_call_id in found if tool_call_id]


def body(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def call(tool: Any, args: Any = None, **more: Any) -> dict[str, Any]:
    return {"part_kind": "tool-call", "tool_name": tool, "args": args, "tool_call_id": None, **more}


def answer(tool: Any, **more: Any) -> dict[str, Any]:
    return {
        "part_kind": "tool-return",
        "tool_name": tool,
        "content": 1,
        "tool_call_id": None,
        **more,
    }


def response(*parts: dict[str, Any], **more: Any) -> bytes:
    return body({"kind": "response", "parts": parts, "timestamp": "2024-12-18T10:00:00Z", **more})


def request(*parts: dict[str, Any]) -> bytes:
    return body({"kind": "request", "parts": parts})


def prompt(*content: Any) -> bytes:
    return request({"part_kind": "user-prompt", "content": list(content)})


def read_prompt(item: dict[str, Any]) -> Any:
    return messages.read([prompt(item)])[0].parts[0].content[0]  # type: ignore[union-attr]


def arguments(bodies: list[bytes]) -> list[Any]:
    return [part.args for part in parts_of(messages.read(bodies), ToolCallPart)]


# ------------------------------------------------------------------ what old versions wrote


def test_every_version_is_there():
    assert len(FIXTURES) == 24
    assert set(FIXTURES) > NEED_UPGRADE


@pytest.mark.parametrize("name", FIXTURES)
def test_the_conversation_is_read_in_order(name: str):
    history = history_of(name)
    turns = ["request", "response"] * 5
    assert [message.kind for message in history] == turns
    (system,) = parts_of(history, SystemPromptPart)
    assert system.content == "You are a weather agent. 答えは日本語で。"
    texts = ["晴れ", "東京は 21.5 °C、晴れです。☀️", "どういたしまして 👋🏽"]
    assert [part.content for part in parts_of(history, TextPart)][-3:] == texts
    first, *others = parts_of(history, UserPromptPart)
    content = first.content if isinstance(first.content, list) else [first.content]
    assert content[0] == "東京の天気は? 🗼"
    assert others[-1].content == "ありがとう!"
    (feedback,) = parts_of(history, RetryFeedbackPart)
    assert feedback.content == "Too short, write a sentence. 文で答えて。"


@pytest.mark.parametrize("name", FIXTURES)
def test_arguments_are_what_the_model_wrote(name: str):
    calls = parts_of(history_of(name), ToolCallPart)
    assert [(part.tool_name, part.args) for part in calls] == CALLS


@pytest.mark.parametrize("name", FIXTURES)
def test_each_call_has_its_answer(name: str):
    history = history_of(name)
    calls = parts_of(history, ToolCallPart)
    answers = parts_of(history, ToolReturnPart)
    ids = [part.tool_call_id for part in calls]
    assert len(set(ids)) == len(ids)
    assert sorted(part.tool_call_id for part in answers) == sorted(ids)
    by_id = {part.tool_call_id: part for part in answers}
    assert all(by_id[part.tool_call_id].tool_name == part.tool_name for part in calls)
    given = {"call-1", "call-2", "call-3", "call-4"}
    assert given < set(ids)
    assert all(made_up.startswith("pyd_ai_") for made_up in set(ids) - given)
    assert by_id["call-2"].content == "もう一度 🔁"
    assert by_id["call-2"].outcome == "retried"
    assert by_id[ids[2]].content == {"city": "Kraków 🌧", "days": 2, **WEATHER}
    assert by_id[ids[3]].content == {"city": "東京", "days": 1, **WEATHER}


@pytest.mark.parametrize("name", [name for name in FIXTURES if name not in {"0.0.13", "0.0.24"}])
def test_files_are_what_the_user_sent(name: str):
    history = history_of(name)
    content = parts_of(history, UserPromptPart)[0].content
    binaries = [item for item in content if isinstance(item, BinaryContent)]
    pictures = [] if name in TEXT_FOR_BYTES else [PNG]
    assert [item.data for item in binaries] == [CSV, *pictures]
    assert [item.media_type for item in binaries] == ["text/csv", *["image/png" for _ in pictures]]
    (link,) = (item for item in content if isinstance(item, ImageUrl))
    assert link.url == "https://maps.example/tokyo.png"
    (document,) = (item for item in content if isinstance(item, DocumentUrl))
    assert document.url == "https://maps.example/a"
    version = tuple(int(number) for number in name.partition("-")[0].split("."))
    if version >= (0, 4, 11):
        if name != "0.4.11-adapter":  # which left it out
            assert document.media_type == "application/pdf"
        assert all(item.identifier == "pin-1" for item in binaries[1:])
    if version >= (1, 0, 0):
        assert link.identifier == "map-1"
    if version >= (1, 0, 18):
        assert [part.content.data for part in parts_of(history, FilePart)] == [PNG]


@pytest.mark.parametrize("name", FIXTURES)
def test_usage_and_response_ids(name: str):
    responses = [message for message in history_of(name) if isinstance(message, ModelResponse)]
    version = tuple(int(number) for number in name.partition("-")[0].split("."))
    if version >= (0, 2, 20):
        odd = [(part.usage.input_tokens, part.usage.output_tokens) for part in responses[::2]]
        assert odd == [(101, 11), (103, 13), (105, 15)]
        assert [part.usage.total_tokens for part in responses[::2]] == [112, 116, 120]
        ids = [part.provider_response_id for part in responses]
        assert ids == ["resp-1", None, "resp-3", None, "resp-5"]
        assert responses[0].provider_details == {"logprobs": [-0.25, 0], "tier": "標準"}
    else:
        assert not any(part.usage.has_values() for part in responses)


@pytest.mark.parametrize("name", FIXTURES)
def test_what_is_read_can_be_written_and_read_again(name: str):
    history = history_of(name)
    dumped = messages.dump(history)
    assert messages.read(dumped) == history
    assert not legacy.may_be_legacy(b",".join(dumped))
    assert all(new is old for new, old in zip(legacy.upgrade(dumped), dumped, strict=True))


# ------------------------------------------------------------------------- only where needed


@pytest.mark.parametrize("name", FIXTURES)
def test_upgrading_twice_changes_nothing_more(name: str):
    once = legacy.upgrade(bodies_of(name))
    assert all(new is old for new, old in zip(legacy.upgrade(once), once, strict=True))


@pytest.mark.parametrize("name", FIXTURES)
def test_messages_that_need_nothing_keep_their_bytes(name: str):
    bodies = bodies_of(name)
    upgraded = legacy.upgrade(bodies)
    changed = {index for index, old in enumerate(bodies) if upgraded[index] is not old}
    expected: set[int] = set()
    if name in NULL_IDS:
        expected |= {3, 4, 6}
    if name in WRAPPED_ARGS:
        expected |= {1}
    if name in PRIVATE_MEDIA_TYPE:
        expected |= {0}
    if name in REQUEST_IDS:
        expected |= {1, 5, 9}
    assert changed == expected
    assert bool(changed) == (name in NEED_UPGRADE)


@pytest.mark.parametrize("name", FIXTURES)
def test_the_fast_check_finds_what_validation_does_not(name: str):
    bodies = bodies_of(name)
    if not legacy.may_be_legacy(b",".join(bodies)):
        assert legacy.upgrade(bodies) == bodies
    assert legacy.may_be_legacy(b",".join(bodies)) == (name in NEED_UPGRADE)


@pytest.mark.parametrize("name", sorted(NULL_IDS | TEXT_FOR_BYTES))
def test_pydantic_ai_alone_refuses_these(name: str):
    joined = b"[" + b",".join(bodies_of(name)) + b"]"
    with pytest.raises(ValidationError):
        ModelMessagesTypeAdapter.validate_json(joined)


def test_no_version_is_upgraded_to_something_else():
    """What Pydantic AI reads right without help, it reads the same with it."""
    for name in set(FIXTURES) - NEED_UPGRADE:
        bodies = bodies_of(name)
        alone = ModelMessagesTypeAdapter.validate_json(b"[" + b",".join(bodies) + b"]")
        # Ids that the installed version makes up would differ; all of these were given one.
        assert messages.read(bodies) == alone


@pytest.mark.parametrize(
    "found",
    [
        b'{"tool_call_id":null}',
        b'{"tool_call_id": null}',
        b'{"tool_call_id" :\tnull}',
        b'{"args":{"args_dict":{}}}',
        b'{"args": {"args_json" : "{}"}}',
        b'{"_identifier":"a"}',
        b'{"_media_type": "image/png"}',
        b'{"provider_request_id": "a"}',
    ],
)
def test_the_fast_check_finds(found: bytes):
    assert legacy.may_be_legacy(b'[{"kind":"request"},' + found)


@pytest.mark.parametrize(
    "not_there",
    [
        b'{"tool_call_id":"null"}',
        b'{"content":"\\"args_dict\\""}',
        b'{"_identifier":null,"_media_type": null,"provider_request_id": null}',
        b'{"identifier":"a","my_identifier":"b","provider_response_id":"c"}',
    ],
)
def test_the_fast_check_passes_by(not_there: bytes):
    assert not legacy.may_be_legacy(not_there)


def test_null_ids_with_any_blanks_are_read():
    bodies = [response(call("look")), request(answer("look"))]
    odd = [one.replace(b'"tool_call_id": null', b'"tool_call_id" :\tnull') for one in bodies]
    assert odd != bodies
    one, other = (message.parts[0] for message in messages.read(odd))
    assert one.tool_call_id == other.tool_call_id  # type: ignore[union-attr]


# ---------------------------------------------------------------------------------- call ids


def test_made_up_ids_are_the_same_at_each_read_and_in_each_window():
    bodies = [
        response(call("look", {"n": 1}), call("look", {"n": 2})),
        request(answer("look"), answer("look")),
        response(call("look", {"n": 3}), timestamp="2024-12-18T11:00:00Z"),
        request(answer("look", content=3)),
    ]
    whole = [ids_of(one) for one in legacy.upgrade(bodies)]
    assert whole[0] == whole[1]
    assert whole[2] == whole[3]
    assert len({*whole[0], *whole[2]}) == 3
    assert [ids_of(one) for one in legacy.upgrade(bodies)] == whole
    assert [ids_of(one) for one in legacy.upgrade(bodies[2:])] == whole[2:]
    orphans, *rest = [ids_of(one) for one in legacy.upgrade(bodies[1:])]
    assert rest == whole[2:]
    assert len({*orphans, *whole[0], *whole[2]}) == 5


def test_answers_go_to_calls_of_their_tool_that_have_no_id():
    upgraded = legacy.upgrade(
        [
            response(call("a"), call("b"), call("a", tool_call_id="given"), call("a")),
            request(
                answer("b"),
                {
                    "part_kind": "retry-prompt",
                    "tool_name": "a",
                    "content": "no",
                    "tool_call_id": None,
                },
                answer("a", tool_call_id="given"),
                answer("a"),
                answer("a"),
            ),
        ]
    )
    first, b, given, last = ids_of(upgraded[0])
    assert ids_of(upgraded[1])[:4] == [b, first, given, last]
    assert ids_of(upgraded[1])[4] not in (b, first, given, last)


def test_a_call_without_answer_takes_none_from_a_later_response():
    bodies = [
        response(call("a")),
        request({"part_kind": "user-prompt", "content": "Go on"}),
        response(call("a", {"n": 2})),
        request(answer("a")),
    ]
    unanswered, _, asked, answered = (ids_of(one) for one in legacy.upgrade(bodies))
    assert answered == asked != unanswered
    assert [ids_of(one) for one in legacy.upgrade(bodies[2:])] == [asked, answered]


def test_ids_that_were_left_out_are_made_up_as_well():
    bodies = [response(call("a")), request(answer("a"))]
    bare = [body(json.loads(one.replace(b', "tool_call_id": null', b""))) for one in bodies]
    assert all(b"tool_call_id" not in one for one in bare)
    one, other = legacy.upgrade(bare)
    assert ids_of(one) == ids_of(other) != []


def test_a_retry_of_no_tool_gets_no_id():
    retry = {"part_kind": "retry-prompt", "tool_name": None, "content": "no", "tool_call_id": None}
    (upgraded,) = legacy.upgrade([request(retry)])
    assert "tool_call_id" not in json.loads(upgraded)["parts"][0]
    assert isinstance(messages.read([request(retry)])[0].parts[0], RetryFeedbackPart)


@pytest.mark.parametrize("tool", [None, 1, [], {"a": 1}])
def test_a_tool_without_a_name_is_no_error(tool: Any):
    upgraded = legacy.upgrade([response(call(tool)), request(answer(tool))])
    assert ids_of(upgraded[0]) == ids_of(upgraded[1]) != []


def test_readable_pairs_what_it_can_and_names_what_it_cannot():
    unknown = response({"part_kind": "from-the-future"})
    found = messages.readable([response(call("a")), request(answer("a")), unknown])
    assert found[2] is None
    assert isinstance(found[0], ModelResponse)
    assert isinstance(found[1], ModelRequest)
    assert found[0].parts[0].tool_call_id == found[1].parts[0].tool_call_id  # type: ignore[union-attr]


@pytest.mark.parametrize("marked", [True, False])
def test_what_stays_unreadable_raises(marked: bool):
    more = {"provider_request_id": "r"} if marked else {}
    bodies = [response({"part_kind": "from-the-future"}, **more)]
    assert legacy.may_be_legacy(bodies[0]) == marked
    with pytest.raises(ValidationError, match=r"0\.response"):
        messages.read(bodies)


# --------------------------------------------------------------------------------- arguments

REAL = {"args_dict": {"a": 1}}


def test_wrapped_arguments_are_unwrapped_once():
    bodies = [response(call("a", {"args_dict": REAL}), call("b", {"args_json": json.dumps(REAL)}))]
    one, other = parts_of(messages.read(bodies), ToolCallPart)
    assert one.args_as_dict() == other.args_as_dict() == REAL
    once = legacy.upgrade([response(call("a", {"args_dict": REAL}, tool_call_id="1"))])
    assert legacy.upgrade(once) == once


def test_wrapped_arguments_stay_unwrapped_when_the_history_goes_on():
    old = response(call("a", {"args_dict": {"a": 1}}), model_name=None)
    new = messages.dump([ModelResponse([ToolCallPart("b", {"b": 2})])])
    assert arguments([old, *new]) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    "real",
    [
        response(call("a", REAL), usage={"input_tokens": 1}),
        response(call("a", REAL), call("b", {"b": 2})),
        response(call("a", REAL), call("b", '{"b": 2}')),
        response(call("a", REAL, id=None)),
        response(call("a", {**REAL, "args_json": "{}"})),
        response(call("a", {"args_dict": "{}"})),
        response(call("a", {"args_json": {}})),
        messages.dump([ModelResponse([ToolCallPart("a", REAL)])])[0],
    ],
)
def test_real_arguments_of_that_name_stay(real: bytes):
    wrote = [part["args"] for part in json.loads(real)["parts"]]
    assert arguments([real]) == wrote


# ------------------------------------------------------------------------------ renamed, bytes


def test_a_new_key_wins_over_an_old_one():
    item = {"kind": "image-url", "url": "https://a/b.png"}
    both = {"kind": "binary", "data": "YWI=", "media_type": "a/b", "identifier": "new"}
    assert read_prompt({**both, "_identifier": "old", "_media_type": "old"}).identifier == "new"
    assert read_prompt({**item, "_media_type": "image/webp"}).media_type == "image/webp"
    both_ids = response(provider_request_id="old", provider_response_id="new")
    assert messages.read([both_ids])[0].provider_response_id == "new"  # type: ignore[union-attr]
    assert legacy.upgrade([both_ids])[0] is both_ids


@pytest.mark.parametrize("odd", [1, ["a"], {}, None])
def test_only_strings_are_renamed(odd: Any):
    bodies = [
        response(provider_request_id=odd),
        prompt({"kind": "binary", "data": "", "media_type": "a/b", "_identifier": odd}),
    ]
    assert all(new is old for new, old in zip(legacy.upgrade(bodies), bodies, strict=True))


def test_files_in_tool_results_are_left_alone():
    data = {"kind": "binary", "data": "plain text", "media_type": "a/b", "_identifier": "x"}
    bodies = [request(answer("a", tool_call_id="1", content=[data], metadata=data))]
    assert legacy.upgrade(bodies)[0] is bodies[0]
    assert messages.read(bodies)[0].parts[0].content == [data]  # type: ignore[union-attr]


@example("abcd====")
@example("YWI==")
@example("YWJ=")
@example("ab+_")
@example("abcd\n")
@given(st.text("abAB01+/-_=\né", max_size=9) | st.text(max_size=40).filter(str.isprintable))
def test_plain_text_is_what_pydantic_does_not_decode(text: str):
    try:
        expected = TypeAdapter(bytes, config=ConfigDict(val_json_bytes="base64")).validate_json(
            json.dumps(text)
        )
    except ValidationError:
        expected = text.encode()
    item = {"kind": "binary", "media_type": "text/plain", "data": text}
    assert read_prompt(item).data == expected


@given(st.binary(max_size=20))
def test_base64_keeps_its_bytes(data: bytes):
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(data).decode()
        for wrote in (text, text.rstrip("=")):
            one = prompt({"kind": "binary", "media_type": "a/b", "data": wrote})
            assert legacy.upgrade([one])[0] is one
            assert messages.read([one])[0].parts[0].content[0].data == data  # type: ignore[union-attr]


# ---------------------------------------------------------------------------- arbitrary messages

KEYS = st.sampled_from(
    [
        *("tool_name", "tool_call_id", "args", "content", "data", "kind", "usage", "timestamp"),
        *("args_dict", "args_json", "_identifier", "identifier", "_media_type", "media_type"),
        *("provider_request_id", "provider_response_id", "model_name", "part_kind"),
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["binary", "a", "YWI=", "\ud800"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
WRAPPED = st.builds(lambda inner: {"args_dict": inner}, st.dictionaries(KEYS, JSON, max_size=1))
PART_KINDS = st.sampled_from(
    ["tool-call", "tool-return", "retry-prompt", "user-prompt", "file", "text"]
)
PARTS = st.builds(
    lambda more, kind: {**more, "part_kind": kind},
    st.dictionaries(KEYS, JSON | WRAPPED, max_size=5),
    PART_KINDS | JSON,
)
FILES = st.builds(
    lambda more, data: {"part_kind": "user-prompt", "content": [{**more, **data}]},
    st.dictionaries(KEYS, SCALARS, max_size=4),
    st.fixed_dictionaries({"kind": st.just("binary"), "data": SCALARS | st.just("é\ud800")}),
)
CALLED = st.builds(call, st.sampled_from("ab"), WRAPPED | st.just({"args_json": "{}"}) | JSON)
MESSAGES = st.builds(
    lambda more, kind, parts: {**more, "kind": kind, "parts": parts},
    st.dictionaries(KEYS, JSON, max_size=4),
    st.sampled_from(["request", "response", "other"]),
    st.lists(PARTS | CALLED | FILES, max_size=4),
)
HISTORIES = st.lists(MESSAGES, max_size=4)


@given(HISTORIES)
def test_any_message_is_upgraded_without_error(history: list[dict[str, Any]]):
    bodies = [body(message) for message in history]
    once = legacy.upgrade(bodies)
    assert len(once) == len(bodies)
    assert all(new is old for new, old in zip(legacy.upgrade(once), once, strict=True))
    for new, old in zip(once, history, strict=True):
        assert len(json.loads(new)["parts"]) == len(old["parts"])


HARMLESS = st.builds(
    lambda more, kind: {**more, "part_kind": kind},
    st.dictionaries(KEYS.filter(lambda key: key not in ("content", "part_kind")), JSON, max_size=5),
    st.sampled_from(["text", "thinking", "user-prompt", "system-prompt", "builtin-tool-call"]),
)


@given(
    HISTORIES,
    st.lists(HARMLESS | st.builds(call, st.just("a"), tool_call_id=st.text("ab", min_size=1))),
)
def test_unaffected_messages_keep_their_bytes_among_others(
    history: list[dict[str, Any]], parts: list[dict[str, Any]]
):
    unaffected = response(*parts, usage={}, provider_response_id=None)
    bodies = [*(body(message) for message in history), unaffected]
    assert legacy.upgrade(bodies)[-1] is unaffected


def test_numbers_that_python_cannot_read_are_left_to_pydantic():
    huge = b'{"kind":"response","provider_request_id":"r","parts":[],"x":' + b"9" * 5000 + b"}"
    assert legacy.upgrade([huge])[0] is huge
