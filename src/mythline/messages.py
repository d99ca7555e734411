"""Messages as raw JSON: to and from `ModelMessage`, as an array, and their text.

A message is stored as the bytes it came in, on one line; `profile` guards the way in.

Pydantic AI is imported only where messages become objects: it is heavy, and lists, exports and
transcripts don't need it.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from . import legacy
from .errors import InvalidMessages
from .models import from_micros, to_micros
from .profile import MAX_DEPTH, check_form, depth, dump_plain, one_line, split, too_deep

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_ai.messages import ModelMessage

__all__ = [
    "MAX_DEPTH",
    "as_json",
    "checked",
    "content_text",
    "depth",
    "dump",
    "dump_plain",
    "excerpt",
    "incoming",
    "is_odd",
    "one_line",
    "parsed",
    "pieces",
    "prompt",
    "read",
    "read_array",
    "readable",
    "said_at",
    "same",
    "sanitize",
    "split",
    "stamped",
    "stored_at",
    "text",
    "view",
    "view_size",
]

PIECE = 256 << 10
_WARNINGS = threading.Lock()  # which warnings are ignored is a state of the process
_DIGITS = re.compile(rb"[0-9]{4301}")


def view(bodies: Iterable[bytes]) -> bytes:
    """The JSON array of `bodies`, one message a line: what a view and a `json` export hold."""
    lines = b",\n".join(bodies)
    return b"[\n" + lines + b"\n]\n" if lines else b"[]\n"


def pieces(bodies: Sequence[bytes]) -> Iterator[bytes]:
    """`view` in pieces of about `PIECE` bytes."""
    piece = bytearray(b"[")
    for index, body in enumerate(bodies):
        piece += b",\n" if index else b"\n"
        piece += body
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    piece += b"\n]\n" if bodies else b"]\n"
    yield bytes(piece)


def view_size(count: int, body_bytes: int) -> int:
    """Bytes of `view` for `count` messages of `body_bytes` together."""
    return 3 + body_bytes + 2 * count if count else 3


def dump(messages: Iterable[ModelMessage]) -> list[bytes]:
    """Each message as JSON, by Pydantic AI's own adapter.

    A lone surrogate in a text, which UTF-8 doesn't have, is stored as U+FFFD rather than losing
    the turn; `NaN` and the infinities become `null`.

    Raises:
        InvalidMessages: If one is no message, can't be written as JSON, or nests deeper than
            `MAX_DEPTH`.
    """
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    bodies: list[bytes] = []
    for index, message in enumerate(messages):
        try:
            body = as_json(ModelMessagesTypeAdapter, [message])[1:-1]
        except (ValueError, RecursionError) as error:
            raise InvalidMessages(f"Message {index} can't be stored: {error}") from error
        if depth(body) > MAX_DEPTH:
            raise too_deep()
        check_form(message, body, index)
        bodies.append(body)
    return bodies


def as_json(adapter: TypeAdapter[Any], value: Any) -> bytes:
    """`value` as JSON that can be read again, with U+FFFD and `null` as in `dump`.

    Raises:
        ValueError: If it can't be written, or has an integer of more digits than can be read again.
        RecursionError: If it nests too deep to be written.
    """
    from pydantic_core import PydanticSerializationError

    try:
        body = adapter.dump_json(value)
    except PydanticSerializationError:
        return dump_plain(adapter.dump_python(value, mode="json"))
    if b"NaN" in body or b"Infinity" in body or _DIGITS.search(body):
        return dump_plain(json.loads(body))
    return body


def read(bodies: Sequence[bytes]) -> list[ModelMessage]:
    """The messages as objects, in order, whatever version of Pydantic AI wrote them.

    Raises:
        pydantic.ValidationError: If the installed Pydantic AI can't read one; see `readable`.
    """
    from pydantic import ValidationError
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    joined = _array(bodies)
    upgraded = legacy.may_be_legacy(joined)
    if upgraded:
        joined = _array(legacy.upgrade(bodies))
    try:
        return ModelMessagesTypeAdapter.validate_json(joined)
    except ValidationError:
        if upgraded:
            raise
    return ModelMessagesTypeAdapter.validate_json(_array(legacy.upgrade(bodies)))


def is_odd(body: bytes) -> bool:
    """Whether a message is to be changed before Pydantic AI reads it, by `upgrade` or `stamped`.

    `False` for what the installed Pydantic AI writes.
    """
    return legacy.may_be_legacy(body) or not _is_stamped(body)


def read_array(data: bytes) -> list[ModelMessage]:
    """The messages of a JSON array of which none is odd.

    Raises:
        pydantic.ValidationError: If the installed Pydantic AI can't read one; see `read`.
    """
    from pydantic_ai.messages import ModelMessagesTypeAdapter

    return ModelMessagesTypeAdapter.validate_json(data)


def _array(bodies: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(bodies) + b"]"


def stamped(body: bytes, entry_id: str) -> bytes:
    """`body` with a time where it has none, so that it reads the same each time.

    Pydantic AI takes the time of reading for a missing one. This is the time at which the entry
    was stored, which its id tells. Programs other than Pydantic AI leave times out, and versions
    of it before 0.0.41 those of system prompts.
    """
    if _is_stamped(body):
        return body
    try:
        message = json.loads(body)
    except ValueError:  # a disk gave something else back: whoever reads it is told
        return body
    stamp = from_micros(stored_at(entry_id)).isoformat().replace("+00:00", "Z")
    if message["kind"] == "response":
        message.setdefault("timestamp", stamp)
    for part in message["parts"]:
        if message["kind"] == "request" and part["part_kind"] in _STAMPED:
            part.setdefault("timestamp", stamp)
    return json.dumps(message, ensure_ascii=False).encode()


def stored_at(entry_id: str) -> int:
    """When an entry was stored, which its id tells, in microseconds since 1970; 0 if it doesn't."""
    try:
        stored = (UUID(entry_id).int >> 80) * 1000
        from_micros(stored)
    except (ValueError, OverflowError):
        return 0
    return stored


def said_at(message: dict[str, Any]) -> int | None:
    """When a message was made, in microseconds since 1970, if it says so."""
    for stamp in (message, *message["parts"]):
        if isinstance(found := stamp.get("timestamp"), str):
            with contextlib.suppress(ValueError):
                moment = datetime.fromisoformat(found)
                if 1 < moment.year < 9999:  # the ends of the calendar don't take a time zone
                    return to_micros(moment)
    return None


def _is_stamped(body: bytes) -> bool:
    return body.count(b'"timestamp"') > body.count(b'"system-prompt"')


_STAMPED = frozenset(
    {"system-prompt", "user-prompt", "tool-return", "builtin-tool-return", "retry-prompt"}
)


def readable(bodies: Sequence[bytes]) -> list[ModelMessage | None]:
    """Each message as an object, or `None` where the installed Pydantic AI can't read it."""
    found: list[ModelMessage | None] = []
    for body in legacy.upgrade(bodies):  # together, as an answer's id is its call's
        try:
            (message,) = read([body])
        except ValueError:  # it can't be read, or a disk gave nothing back in its place
            found.append(None)
        else:
            found.append(message)
    return found


def parsed(bodies: Sequence[bytes]) -> list[ModelMessage]:
    """The messages as objects, of someone who sent them and can put them right.

    Raises:
        InvalidMessages: If the installed Pydantic AI can't read one. It says which, and why.
    """
    import pydantic

    try:
        if sum(map(len, bodies)) <= PIECE:
            return read(bodies)
        upgraded = legacy.upgrade(bodies)
        # Some at a time: pydantic-core lets no other thread run while it validates.
        return [message for some in _some(upgraded) for message in read(some)]
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = " → ".join(str(step) for step in first["loc"])
        raise InvalidMessages(
            f"Pydantic AI can't read these messages: {first['msg']} (at {where})."
        ) from error


def checked(data: bytes) -> list[bytes]:
    """The messages of a JSON array that someone sent, as `split` gives them, all readable.

    Raises:
        InvalidMessages: If they are not.
    """
    bodies = split(data, strict=True)
    parsed(bodies)
    return bodies


def _some(bodies: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """`bodies` in runs of about `PIECE` bytes."""
    start = size = 0
    for index, body in enumerate(bodies):
        size += len(body)
        if size >= PIECE:
            yield bodies[start : index + 1]
            start, size = index + 1, 0
    if start < len(bodies):
        yield bodies[start:]


def incoming(data: bytes, *, trusted: bool) -> list[bytes]:
    """The messages of a JSON array to be imported, sanitized unless they are trusted.

    Raises:
        InvalidMessages: If it is no array of messages that Pydantic AI can read.
    """
    bodies = split(data, strict=True)
    found = parsed(bodies)
    return bodies if trusted else dump(sanitize(found))


def sanitize(messages: Sequence[ModelMessage]) -> list[ModelMessage]:
    """Messages of an untrusted source, as Pydantic AI sanitizes those of a client.

    What that strips is in the documentation of `pydantic_ai.messages.sanitize_messages`. Its
    warnings are for the developer of a client, so they are not raised here.
    """
    import warnings

    from pydantic_ai.messages import sanitize_messages

    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sanitize_messages(messages)


def same(one: bytes, other: bytes, *, wholly: bool = False) -> bool:
    """Whether two bodies are the same message, perhaps written by different versions.

    Pydantic AI's versions add and drop fields, so a field that only one of the two has doesn't
    count, nor does when it was stamped. What was said, called and answered does, and `wholly` what
    `other` says beside it: its metadata, its model. Where that is written differently, what the
    installed version makes of both is compared. One that was damaged is like no other.
    """
    if one == other:
        return True
    try:
        if _alike(json.loads(one), json.loads(other), wholly):
            return True
    except ValueError:
        return False
    now = [_as_written_now(body) for body in (one, other)]
    return now[0] is not None and now[1] is not None and _alike(now[0], now[1], wholly)


def _as_written_now(body: bytes) -> dict[str, Any] | None:
    """A message as the installed Pydantic AI writes it; `None` if it can't read it.

    Without the ids of calls: some versions had none, and those are made up when they are read.
    """
    import pydantic

    try:
        message: dict[str, Any] = json.loads(dump(read([body]))[0])
    except (pydantic.ValidationError, InvalidMessages):
        return None
    for part in message["parts"]:
        part.pop("tool_call_id", None)
    return message


_STAMPS = frozenset({"timestamp", "usage", "run_id", "conversation_id", "instructions"})


def _alike(one: dict[str, Any], other: dict[str, Any], wholly: bool) -> bool:
    ones: list[dict[str, Any]] = one["parts"]
    others: list[dict[str, Any]] = other["parts"]
    return (
        one["kind"] == other["kind"]
        and len(ones) == len(others)
        and all(_common(a, b) for a, b in zip(ones, others, strict=True))
        and not (wholly and _tells_else(one, other))
    )


def _tells_else(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether `other` says something beside its parts that `one` doesn't.

    Versions leave out what they don't know, and a run gives instructions to a request that has
    none: neither counts.
    """
    if "metadata" in other and (one.get("metadata") or None) != (other["metadata"] or None):
        return True
    keys = one.keys() & (other.keys() - (_STAMPS - {"instructions"}) - {"parts", "metadata"})
    return any(
        other[key] and one[key] != other[key] and (one[key] or key != "instructions")
        for key in keys
    )


def _common(one: dict[str, Any], other: dict[str, Any]) -> bool:
    shared = (one.keys() & other.keys()) - _STAMPS
    return all(one[key] == other[key] for key in shared)


def text(body: bytes) -> str:
    """The prompts and answers in a message, joined by line breaks; empty if it has none."""
    return "\n".join(part for _, part in _said(_parsed(body)) if part)


def prompt(body: bytes) -> str:
    """The text of the user's prompts in a message; empty if it has none."""
    return "\n".join(part for role, part in _said(_parsed(body)) if role == "user" and part)


def _parsed(body: bytes) -> dict[str, Any]:
    """A stored message, by the faster parser where it can: it refuses halves of surrogate pairs."""
    from pydantic_core import from_json

    try:
        return from_json(body)
    except ValueError:
        return json.loads(body)


def _said(message: dict[str, Any]) -> Iterable[tuple[str, str]]:
    for part in message["parts"]:
        content = part.get("content")
        if part["part_kind"] == "user-prompt":
            yield "user", content_text(content)
        elif part["part_kind"] == "text":
            yield "assistant", content_text(content)


def content_text(content: Any) -> str:
    """The text in a part's content: a string, or the texts of a list that may hold files too."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts: list[str] = []
    for item in cast("list[Any]", content):
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict) and isinstance(found := cast("Any", item).get("content"), str):
            texts.append(found)
    return "\n".join(texts)


def excerpt(content: str, longest: int) -> str:
    """The start of `content` on one line, at most `longest` characters; a NUL is a blank."""
    line = " ".join(content[: longest * 4].replace("\0", " ").split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
