"""Odd JSON: a defined outcome for each, byte for byte where it is JSON, and in linear time."""

from __future__ import annotations

import contextlib
import json
import math
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from mythline import messages, open_store
from mythline.errors import InvalidInput, InvalidMessages

from .support import (
    exported,
    file_said,
    in_time,
    lines_of,
    listed,
    read,
    said,
    said_in,
    turn,
    turns,
    view,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


def request(content: Any = "hello", **more: Any) -> dict[str, Any]:
    """A message as JSON."""
    return {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": content}], **more}


def raw(fragment: str) -> bytes:
    """A message that has some JSON in a field of its own."""
    return (
        '{"kind":"request","parts":[{"part_kind":"user-prompt","content":"hello"}],'
        '"metadata":{"x":' + fragment + "}}"
    ).encode("utf-8", "surrogatepass")


def array(*bodies: bytes) -> bytes:
    return b"[" + b",".join(bodies) + b"]"


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


# Splitting an array


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    "fragment",
    [
        r'"\u0000"',
        r'"\ud83d\udc09"',
        '"\u2028\u2029\x85\ufeff"',
        '"\x7f"',
        "-0",
        "1E400",
        "1e-400",
        "0.1000000000000000055511151231257827",
        "123456789012345678901234567890",
        "[]",
        "{}",
        '{"a":1,"a":2}',
        r'"\/\b\f\"\\"',
        '"[{"',
        '"}]"',
        '"NaN"',
        "null",
        nested(100),
        "9" * 4300,
    ],
)
def test_what_is_json_keeps_its_bytes(fragment: str, strict: bool) -> None:
    body = raw(fragment)
    assert messages.split(array(body), strict=strict) == [body]
    assert messages.split(array(body, body), strict=strict) == [body, body]
    spaced = b"\n [ " + body.replace(b",", b" ,\r\n\t ") + b" \n] \n"
    (found,) = messages.split(spaced, strict=strict)
    assert b"\n" not in found
    assert b"\r" not in found
    assert json.loads(found) == json.loads(body)


@pytest.mark.parametrize("fragment", ["NaN", "Infinity", "-Infinity", "[NaN]", '{"a":[-Infinity]}'])
def test_what_only_python_writes_is_null_in_files_and_refused_elsewhere(fragment: str) -> None:
    with pytest.raises(InvalidMessages):
        messages.split(array(raw(fragment)), strict=True)
    (found,) = messages.split(array(raw(fragment)), strict=False)
    plain = fragment.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null")
    assert json.loads(found, parse_constant=pytest.fail)["metadata"]["x"] == json.loads(plain)
    assert messages.split(array(found), strict=True) == [found]


@pytest.mark.parametrize(
    "fragment",
    [r'"\ud800"', r'"\udc00\ud800"', r'"a\uD83D"', r'{"\udfff":1}', r'["\ud800\u0041"]'],
)
def test_half_a_surrogate_pair_is_replaced_in_files_and_refused_elsewhere(fragment: str) -> None:
    with pytest.raises(InvalidMessages):
        messages.split(array(raw(fragment)), strict=True)
    (found,) = messages.split(array(raw(fragment)), strict=False)
    assert "\ufffd" in found.decode()
    assert messages.split(array(found), strict=True) == [found]


def test_a_raw_surrogate_is_no_utf8() -> None:
    for strict in (True, False):
        with pytest.raises(InvalidMessages):
            messages.split(array(raw('"\ud800"')), strict=strict)


def test_a_byte_order_mark_is_let_pass_in_files_only() -> None:
    data = b"\xef\xbb\xbf" + array(raw("1"))
    assert messages.split(data, strict=False) == [raw("1")]
    with pytest.raises(InvalidMessages):
        messages.split(data, strict=True)
    with pytest.raises(InvalidMessages):
        messages.split(array(raw("1")).decode().encode("utf-16"), strict=False)


@pytest.mark.parametrize("levels", [3, 100, 150, 179, 180, 181, 500, 990, 5000, 100_000])
@pytest.mark.parametrize("opening", ["{", "["])
@pytest.mark.parametrize("strict", [True, False])
def test_depth_is_bounded(levels: int, opening: str, strict: bool) -> None:
    # The message and its metadata are two levels.
    inner = nested(levels - 2) if opening == "{" else "[" * (levels - 2) + "]" * (levels - 2)
    body = raw(inner)
    if levels <= messages.MAX_DEPTH:
        assert messages.split(array(body), strict=strict) == [body]
        messages.read([body])
    else:
        with pytest.raises(InvalidMessages, match="deep"):
            messages.split(array(body), strict=strict)
    with pytest.raises(InvalidMessages):
        messages.split(array(raw("[" * levels)), strict=strict)
    with pytest.raises(InvalidMessages):
        messages.split(b"[" * levels, strict=strict)


def test_brackets_in_strings_are_no_depth() -> None:
    body = raw(json.dumps('[{"' * 1000 + "\\"))
    assert messages.split(array(body), strict=True) == [body]


def test_depth_counted_near_the_recursion_limit() -> None:
    """A caller that is deep itself gets the same answers."""

    def deep(levels: int) -> list[bytes]:
        if levels:
            return deep(levels - 1)
        return messages.split(array(raw(nested(100))), strict=True)

    used = len(__import__("inspect").stack())
    room = sys.getrecursionlimit() - used
    assert deep(room - 400)
    if sys.version_info < (3, 12):  # from then on, C code has a stack of its own
        with pytest.raises(InvalidMessages, match="deep"):
            deep(room - 60)
    else:
        assert deep(room - 60)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"null",
        b"{}",
        b"1",
        b'"a"',
        b"[",
        b"]",
        b"[,]",
        b"[]]",
        b"[] x",
        b"[1]",
        b"[null]",
        b"[[]]",
        b"[{}]",
        b"\x00",
        b"[\x00]",
        b"\xff",
        b"NaN",
        b"[NaN]",
        array(raw("1"))[:-1],
        array(raw("1")) + b",",
        b"[" + raw("1") + b",]",
        b"[," + raw("1") + b"]",
        b"[" + raw("1") + b" " + raw("1") + b"]",
        array(raw("'a'")),
        array(raw('"a\nb"')),
        array(raw('"a\tb"')),
        array(raw("01")),
        array(raw("1.")),
        array(raw("+1")),
        array(raw("0x1")),
        array(raw("tru")),
        array(raw(r'"\x41"')),
        array(raw(r'"\u12"')),
        array(raw("{1:2}")),
        array(raw("[1,]")),
        array(raw("/* a */ 1")),
        array(raw("9" * 4301)),
        array(raw("\xa0 1")),
        array(raw("\x0b1")),
        b"\xa0[]",
        b"[]\x0c",
        b'[{"kind":"request"}]',
        b'[{"parts":[]}]',
        b'[{"kind":null,"parts":[]}]',
        b'[{"kind":"request","parts":{}}]',
        b'[{"kind":"request","parts":[1]}]',
        b'[{"kind":"request","parts":[[]]}]',
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_is_no_array_of_messages_is_refused(data: bytes, strict: bool) -> None:
    with pytest.raises(InvalidMessages) as caught:
        messages.split(data, strict=strict)
    assert len(str(caught.value)) < 300


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize(
    "given",
    [
        *(None, 1, "text", ["text"], {"role": "user", "content": "hi"}),
        {"kind": "request", "parts": [{"content": "hi"}]},
        UserPromptPart("hi"),
        ModelRequest(parts=["hi"]),  # pyright: ignore[reportArgumentType]
        ModelResponse(parts="hi"),  # pyright: ignore[reportArgumentType]
    ],
)
async def test_what_is_no_message_is_refused_with_the_turn_it_is_in(root: Path, given: Any) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        conversation = await sessions.load("one")
        assert conversation is not None
        conversation.messages += [*turn("hello"), given]
        with pytest.raises(InvalidMessages, match="Message 2"):
            await sessions.save(conversation)
        with pytest.raises(InvalidMessages, match="Message 2"):
            await sessions.append("one", conversation.messages)
        with pytest.raises(InvalidMessages, match="Message 2"):
            await sessions.save_history("one", conversation.messages)
        assert await said_in(sessions, "one") == []


@pytest.mark.parametrize("kind", [[], {}, 1, None, True, "", "x" * 1000, "\u0000"])
async def test_a_part_of_any_kind_is_kept_and_shown(root: Path, kind: object) -> None:
    """A kind that isn't even a word must not make a session unreadable for people."""
    bodies = [
        json.dumps({"kind": "request", "parts": [{"part_kind": kind, "content": "odd"}]}).encode(),
        json.dumps(
            {"kind": "response", "parts": [{"part_kind": "text", "content": kind}]}
        ).encode(),
        json.dumps(request(kind)).encode(),
        json.dumps(request([kind, {"kind": kind, "content": kind}])).encode(),
        json.dumps(request(timestamp=kind)).encode(),
    ]
    try:
        found = messages.split(array(*bodies), strict=True)
    except InvalidMessages:
        return
    file = view(root, "agent", "one")
    file.parent.mkdir(parents=True)
    file.write_bytes(array(*found))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        (info,) = await sessions.list()
        assert info.message_count == len(found)
        everything = await sessions.transcript("one", include={"tools", "thinking", "system"})
        assert all(isinstance(item.content, str) for item in everything)
        assert json.loads(await exported(sessions, "one")) == [json.loads(body) for body in found]
        assert await sessions.load("one", skip_unreadable=True) is not None
        await sessions.append("one", turn("on"))
        assert (await sessions.info("one")).message_count == len(found) + 2


# Properties

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
relaxed = settings(deadline=None, suppress_health_check=CHECKS)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)
objects = st.fixed_dictionaries(
    {
        "kind": st.text(),
        "parts": st.lists(
            st.fixed_dictionaries({"part_kind": st.text()}, optional={"content": values}),
            max_size=3,
        ),
    },
    optional={"metadata": values, "timestamp": values},
)


@relaxed
@given(
    st.lists(objects, max_size=5),
    st.sampled_from([None, 0, 1, 2, "\t"]),
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n", "\n:\t")]),
)
def test_a_split_view_is_what_went_in(
    found: list[Any], indent: Any, is_ascii: bool, separators: tuple[str, str]
) -> None:
    text = json.dumps(found, indent=indent, ensure_ascii=is_ascii, separators=separators)
    bodies = messages.split(text.encode(), strict=True)
    assert [json.loads(body) for body in bodies] == found
    assert all(b"\n" not in body and b"\r" not in body for body in bodies)
    assert messages.split(text.encode(), strict=False) == bodies
    shown = messages.view(bodies)
    assert len(shown) == messages.view_size(len(bodies), sum(map(len, bodies)))
    assert messages.split(shown, strict=True) == bodies
    assert messages.split(shown, strict=False) == bodies
    assert lines_of(shown) == found
    assert json.loads(shown) == found
    for body in bodies:
        assert messages.same(body, body)
        assert isinstance(messages.text(body), str)
        assert isinstance(messages.prompt(body), str)


@relaxed
@given(values, st.sampled_from([0, 1, 3, "\t", " \t "]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_one_line_keeps_the_value(value: Any, indent: Any, line_break: str) -> None:
    text = json.dumps(value, indent=indent).replace("\n", line_break)
    found = messages.one_line(text.encode())
    assert b"\n" not in found
    assert b"\r" not in found
    assert json.loads(found) == value


@relaxed
@given(st.binary(max_size=200), st.booleans())
@example(b"\xef\xbb\xbf[", True)
def test_splitting_any_bytes_raises_one_error_only(data: bytes, strict: bool) -> None:
    with contextlib.suppress(InvalidMessages):
        messages.split(data, strict=strict)


@relaxed
@given(st.text(alphabet='[]{}",:\\u d0123n\nkindpartsequ_', max_size=80), st.booleans())
def test_splitting_what_is_nearly_json_raises_one_error_only(text: str, strict: bool) -> None:
    for data in (text, f"[{text}]", f'[{{"kind":"request","parts":[{{"part_kind":{text}}}]}}]'):
        try:
            bodies = messages.split(data.encode(), strict=strict)
        except InvalidMessages:
            continue
        assert messages.split(messages.view(bodies), strict=True) == bodies


@relaxed
@given(values, st.booleans())
def test_splitting_any_json_raises_one_error_only(value: Any, strict: bool) -> None:
    for wrapped in (value, [value], [{"kind": value, "parts": value}], [request(value)]):
        try:
            bodies = messages.split(json.dumps(wrapped).encode(), strict=strict)
        except InvalidMessages:
            continue
        assert [json.loads(body) for body in bodies] == wrapped


mangled = st.text(st.characters(codec=None) | st.characters(categories=["Cs"]))


@relaxed
@given(st.lists(mangled, max_size=4), st.booleans())
def test_any_text_of_python_can_be_split_from_a_file(texts: list[str], is_ascii: bool) -> None:
    """Surrogates in any order: what is a pair stays, what is half becomes U+FFFD."""
    data = json.dumps([request(texts), request(dict.fromkeys(texts, math.nan))])
    bodies = messages.split(data.encode(), strict=False)
    assert messages.split(messages.view(bodies), strict=True) == bodies
    whole = [t.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") for t in texts]
    assert json.loads(bodies[0])["parts"][0]["content"] == whole


# Objects to bytes


@pytest.mark.parametrize(
    "make",
    [
        lambda: turn("\x00 \ud800 \udc00", "🐉\ufeff"),
        lambda: turn("NaN and Infinity"),
        lambda: [ModelRequest(parts=[ToolReturnPart("t", {"x": math.nan}, tool_call_id="1")])],
        lambda: [
            ModelRequest(parts=[ToolReturnPart("t", [math.inf, -math.inf], tool_call_id="1")])
        ],
        lambda: [ModelResponse(parts=[ToolCallPart("t", {"x": [1, "NaN"]}, tool_call_id="1")])],
        lambda: [ModelResponse(parts=[ToolCallPart("t", '{"x": NaN', tool_call_id="1")])],
        lambda: [ModelRequest(parts=[ToolReturnPart("t", b"\xff\x00", tool_call_id="1")])],
        lambda: [ModelRequest(parts=[ToolReturnPart("t", {1, 2}, tool_call_id="1")])],
        lambda: [ModelRequest(parts=[ToolReturnPart("t", {1: 2, None: 3}, tool_call_id="1")])],
        lambda: [ModelRequest(parts=[ToolReturnPart("NaN", 10**5000, tool_call_id="1")])],
        lambda: [ModelRequest(parts=[ToolReturnPart("t", 10**5000, tool_call_id="1")])],
        lambda: [ModelRequest(parts=[ToolReturnPart("NaN", object(), tool_call_id="1")])],
        lambda: [
            ModelRequest(parts=[ToolReturnPart("NaN", json.loads(nested(n)), tool_call_id="1")])
            for n in (100, 170)
        ],
        lambda: [ModelRequest(parts=[ToolReturnPart("NaN", _cycle(), tool_call_id="1")])],
        lambda: [ModelRequest(parts=[ToolReturnPart("t", _cycle(), tool_call_id="1")])],
        lambda: [
            ModelRequest(parts=[ToolReturnPart("NaN", json.loads(nested(190)), tool_call_id="1")])
        ],
        lambda: [
            ModelRequest(
                parts=[ToolReturnPart("\ud800", json.loads(nested(240)), tool_call_id="1")]
            )
        ],
        lambda: [
            ModelRequest(parts=[ToolReturnPart("NaN", json.loads(nested(900)), tool_call_id="1")])
        ],
        lambda: [ModelResponse(parts=[TextPart("t", provider_details={"x": "\ud83d"})])],
    ],
)
async def test_any_message_is_stored_or_refused(
    root: Path, make: Callable[[], list[ModelMessage]]
) -> None:
    history = make()
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        refused = ""
        try:
            await sessions.append("one", history)
        except InvalidInput as error:
            refused = str(error)
        if refused:
            assert len(refused) < 1000
            assert (await sessions.info("one")).message_count == 0
            return
        assert len(await sessions.history("one")) == len(history)
        data = await exported(sessions, "one")
        json.loads(data, parse_constant=pytest.fail)
        assert messages.split(data, strict=True)
        await store.settle(sessions._key("one"))
        assert len(read(view(root, "agent", "one"))) == len(history)


def _cycle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


async def test_a_lone_surrogate_does_not_lose_the_turn(root: Path) -> None:
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        conversation = (await sessions.create("one")) and await sessions.load("one")
        assert conversation is not None
        conversation.messages += turn("half \ud83d pair", "\x00 zero")
        await sessions.save(conversation)
        assert await said_in(sessions, "one") == ["half \ufffd pair", "\x00 zero"]
        conversation.messages += turn("on")
        await sessions.save(conversation)
        assert len(await said_in(sessions, "one")) == 4


# Through the store


ODD = {
    "zero": raw(r'"\u0000"'),
    "surrogate": raw(r'"\ud800"'),
    "nan": raw("[NaN,Infinity]"),
    "deep 150": raw(nested(150)),
    "long number": raw("9" * 4300),
    "duplicate": raw('{"a":1,"a":2}'),
    "blanks": raw(" " * 10_000 + "1" + "\n" * 10_000),
    "unknown kind": b'{"kind":"future","parts":[{"part_kind":"thing","x":1}],"y":[]}',
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_messages_of_a_file_are_a_session(root: Path, name: str) -> None:
    file = view(root, "agent", "one")
    file.parent.mkdir(parents=True)
    file.write_bytes(array(json.dumps(request("first")).encode(), ODD[name]))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        (info,) = await sessions.list()
        assert (info.message_count, info.title) == (2, "first")
        assert len(await sessions.transcript("one")) == 2
        await sessions.append("one", turn("on"))
        conversation = await sessions.load("one", skip_unreadable=True)
        assert conversation is not None
        assert said(conversation.messages)[-2:] == ["on", "on!"]
        data = await exported(sessions, "one")
        assert len(lines_of(data)) == 4
        json.loads(data, parse_constant=pytest.fail)
        await store.settle(sessions._key("one"))
        assert file.read_bytes() == data
        assert (await sessions.info("one")).branches == ()
        fork = await sessions.fork("one", new_conversation_id="fork") if name[0] != "u" else None
        if fork is not None:
            assert await exported(sessions, "fork") == data
    async with open_store(root) as store:
        assert await exported(store.sessions("agent"), "one") == data


@pytest.mark.parametrize("levels", [181, 5000, 100_000])
async def test_a_file_that_is_too_deep_is_no_session_and_does_no_harm(
    root: Path, levels: int
) -> None:
    file = view(root, "agent", "deep")
    file.parent.mkdir(parents=True)
    file.write_bytes(array(raw(nested(levels))))
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("good")
        assert await listed(sessions) == ["good"]
        assert not await sessions.exists("deep")
        with pytest.raises(InvalidMessages):
            await sessions.append("good", array(raw(nested(levels))))
        with pytest.raises(InvalidMessages):
            await sessions.import_(array(raw(nested(levels))))


async def test_ten_megabytes_in_one_part(root: Path) -> None:
    data = bytes(range(256)) * (10 << 12)
    big = ModelRequest(parts=[UserPromptPart(["see", BinaryContent(data, media_type="image/png")])])
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", [big, *turn("and")])
        await sessions.append("one", turn("more"))
        found: Any = (await sessions.history("one"))[0].parts[0]
        assert found.content[1].data == data
        (info,) = await sessions.list()
        assert info.size > 13_000_000
        assert info.title == "see"
        transcript = await sessions.transcript("one", limit=2)
        assert [item.content for item in transcript] == ["more", "more!"]
        page = await sessions.entries("one", limit=2)
        assert sum(len(entry.body) for entry in page.entries) < 2000
        whole = await sessions.transcript("one")
        assert whole[0].attachments[0].size == len(data)
        exported_bytes = await exported(sessions, "one")
        await in_time(store.settle(sessions._key("one")))
        assert view(root, "agent", "one").read_bytes() == exported_bytes
        again = await sessions.import_(exported_bytes, session_id="two", trusted=True)
        assert again.message_count == 5


async def test_a_session_of_ten_thousand_messages(root: Path) -> None:
    history = turns(5000)
    async with open_store(root) as store:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", history)
        await sessions.append("one", turn("last"))
        assert len(await sessions.history("one")) == 10_002
        conversation = await sessions.load("one", limit=4)
        assert conversation is not None
        assert said(conversation.messages)[-1] == "last!"
        conversation.messages += turn("later")
        await sessions.save(conversation)
        seen: list[str] = []
        before = None
        while True:
            page = await sessions.entries("one", limit=1000, before=before)
            seen = [entry.entry_id for entry in page.entries] + seen
            if not page.has_before:
                break
            before = page.entries[0].entry_id
        assert len(seen) == len(set(seen)) == 10_004
        after, forward = None, []
        while True:
            page = await sessions.entries("one", limit=999, after=after) if after else page
            if not after:
                page = await sessions.entries("one", limit=10_004, after=seen[0])
                forward = [seen[0]]
            forward += [entry.entry_id for entry in page.entries]
            if not page.has_after:
                break
            after = page.entries[-1].entry_id
        assert forward == seen
        middle = await sessions.transcript("one", limit=10, before=seen[5000])
        assert len(middle) == 10
        assert middle[-1].content == "turn 2499!"
        assert len(await sessions.transcript("one")) == 10_004
        data = await exported(sessions, "one")
        assert len(lines_of(data)) == 10_004
        await in_time(store.settle(sessions._key("one")))
        assert view(root, "agent", "one").read_bytes() == data
        fork = await sessions.fork("one", from_entry=seen[4999], new_conversation_id="fork")
        assert len(fork.messages) == 5000
    file = root.parent / "fresh/agent/context_memory/one.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(json.loads(data), indent=2))
    async with open_store(root.parent / "fresh") as store:
        sessions = store.sessions("agent")
        (info,) = await in_time(sessions.list())
        assert info.message_count == 10_004
        history = ModelMessagesTypeAdapter.validate_json(file.read_bytes())
        file.write_bytes(ModelMessagesTypeAdapter.dump_json([*history, *turn("theirs")]))
        assert (await said_in(sessions, "one"))[-1] == "theirs!"
        assert (await sessions.info("one")).branches == ()
        assert file_said(file)[-1] == "theirs!"


# Time and space


def _seconds(call: Callable[[], Any]) -> float:
    best = math.inf
    for _ in range(2):
        start = time.perf_counter()
        with contextlib.suppress(InvalidMessages):
            call()
        best = min(best, time.perf_counter() - start)
    return best


GROWING: dict[str, Callable[[int], bytes]] = {
    "blanks in a message": lambda n: array(raw(" " * n + "1")),
    "breaks in a message": lambda n: array(raw("\n" * n + "1")),
    "breaks and blanks": lambda n: array(raw("\n \t\r" * (n // 4) + "1")),
    "blanks between": lambda n: b"[" + b" " * n + raw("1") + b" " * n + b"]",
    "blanks after": lambda n: array(raw("1")) + b" " * n,
    "blanks alone": lambda n: b"\n" * n,
    "blanks, then nothing": lambda n: b"[" + b" " * n,
    "brackets in a string": lambda n: array(raw(json.dumps("[{" * (n // 2)))),
    "quotes in a string": lambda n: array(raw(json.dumps('["' * (n // 2)))),
    "backslashes": lambda n: array(raw(json.dumps("\\[" * (n // 2)))),
    "surrogates": lambda n: array(raw(json.dumps("\ud800" * (n // 6)))),
    "pairs": lambda n: array(raw(json.dumps("🐉" * (n // 12)))),
    "empty arrays": lambda n: array(raw("[" + "[]," * (n // 30) + "1]")),
    "nans": lambda n: array(raw("[" + "NaN," * (n // 4) + "1]")),
    "messages": lambda n: array(*[raw("1")] * (n // 100)),
    "broken messages": lambda n: array(*[raw("NaN\n")] * (n // 100), b"x"),
    "a long line break": lambda n: array(raw('"' + "\\n" * (n // 2) + '"')),
}


@pytest.mark.parametrize("name", GROWING)
def test_splitting_takes_linear_time(name: str) -> None:
    make = GROWING[name]
    small, large = make(50_000), make(1_600_000)
    first = _seconds(lambda: messages.split(small, strict=False))
    second = _seconds(lambda: messages.split(large, strict=False))
    assert second < max(first, 0.002) * 32 * 8  # linear is 32, quadratic 1024


@pytest.mark.parametrize("name", ["brackets in a string", "quotes in a string", "backslashes"])
def test_splitting_a_large_string_takes_space_in_proportion(name: str) -> None:
    data = GROWING[name](8 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert len(messages.split(data, strict=True)) == 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 12 * len(data)
