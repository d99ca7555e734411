"""What a file is, and the sessions in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import PurePath
from typing import Any, Literal, cast

from ..errors import InvalidMessages
from . import array, chatgpt, claude, claude_code, codex, jsonl, openai
from .types import ImportedSession, Source, clean_session_id

Format = Source | Literal["zip", "tar.zst"]
"""What a file can be: sessions in one of the formats, or an archive of them."""

KNOWN = (
    "Known are: json and jsonl as Mythline exports them, lists of OpenAI messages, "
    "conversations.json of ChatGPT and Claude, session files of Claude Code and Codex."
)
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZSTD = b"\x28\xb5\x2f\xfd"
_ROLLOUT = re.compile(r"rollout-.*?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.ASCII)


def sniff(data: bytes) -> Format:
    """What a file is, by what is in it.

    Raises:
        InvalidMessages: If it is nothing known.
    """
    if data.startswith(_ZIP):
        return "zip"
    if data.startswith(_ZSTD):
        return "tar.zst"
    if jsonl.is_header(data[:512]):
        return "jsonl"
    return _kind(*_document(data))


def read(data: bytes, filename: str | None = None) -> Iterator[ImportedSession]:
    """The sessions in a file that is no archive, whatever format it has, in its order.

    The messages are checked: the installed Pydantic AI reads them, except those of `jsonl`, which
    may be of a newer one. They are not sanitized; see `sanitized`.

    Args:
        data: The file.
        filename: Its name, if it has one: a session that doesn't tell its id is named by it.

    Raises:
        InvalidMessages: If it is nothing known, or not whole. Nothing was read then.
    """
    if jsonl.is_header(data[:512]):
        return iter([jsonl.read(data)])
    if data.startswith((*_ZIP, _ZSTD)):
        raise InvalidMessages("This is an archive. Open it as one.")
    document, lines = _document(data)
    kind = _kind(document, lines)
    named = _named(filename)
    if kind == "json":
        return iter([replace(array.read(data), session_id=named)])
    sessions = _sessions(kind, document, lines)
    if kind in ("chatgpt", "claude"):
        return sessions
    return (_with_id(session, named) for session in sessions)


def _sessions(kind: Source, document: Any, lines: list[Any] | None) -> Iterator[ImportedSession]:
    if kind == "claude-code":
        yield claude_code.read(_lines(document, lines))
    elif kind == "codex":
        yield codex.read(_lines(document, lines))
    elif kind == "openai":
        if lines is None or _is_message_list(lines):
            session = openai.read(document if lines is None else lines)
            if not session.entries:  # a list of something else that has roles, then
                raise InvalidMessages(
                    "No message in the list says anything. Each has a `role` (system, developer, "
                    "user, assistant, tool) and its `content`."
                )
            yield session
        else:
            for line in lines:
                if _is_openai_object(line):
                    yield openai.read(line)
    else:
        yield from (chatgpt if kind == "chatgpt" else claude).read(_conversations(document))


def _kind(document: Any, lines: list[Any] | None) -> Source:
    """The format of a document, or of lines."""
    some = _lines(document, lines)[:50]
    if lines is not None or isinstance(document, dict):
        if any(claude_code.is_line(line) for line in some):
            return "claude-code"
        if any(codex.is_line(line) for line in some) or (
            lines is not None and codex.is_old_header(lines[0])
        ):
            return "codex"
        if lines is not None and (_is_message_list(lines) or any(map(_is_openai_object, some))):
            return "openai"
    if lines is None:
        if _is_openai_object(document):
            return "openai"
        conversations = _conversations(document)[:50]
        if any(chatgpt.is_conversation(one) for one in conversations):
            return "chatgpt"
        if any(claude.is_conversation(one) for one in conversations):
            return "claude"
        if isinstance(document, list):
            if _is_message_list(conversations):
                return "openai"
            listed = cast("list[Any]", document)
            if not listed or any(isinstance(x, dict) and "parts" in x for x in listed[:50]):
                return "json"
    raise InvalidMessages(f"No format that Mythline reads. {KNOWN}")


def _is_message_list(values: list[Any]) -> bool:
    return any(openai.is_message(value) for value in values[:50])


def _is_openai_object(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    listed = cast("dict[str, Any]", value).get("messages")
    return isinstance(listed, list) and _is_message_list(cast("list[Any]", listed))


def _conversations(document: Any) -> list[Any]:
    if isinstance(document, dict):
        inner = cast("dict[str, Any]", document).get("conversations")
        return cast("list[Any]", inner) if isinstance(inner, list) else [document]
    return cast("list[Any]", document) if isinstance(document, list) else []


def _lines(document: Any, lines: list[Any] | None) -> list[Any]:
    return [document] if lines is None else lines


def _document(data: bytes) -> tuple[Any, list[Any] | None]:
    """A file as one JSON value, or as one a line.

    The last line may be cut off, as a program that was killed leaves it.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidMessages(f"Not UTF-8: byte {error.start} can't be read.") from None
    if not text.strip():
        raise InvalidMessages(f"Nothing there. {KNOWN}")
    try:
        return _loads(text), None
    except json.JSONDecodeError as error:
        broken = error
    lines: list[Any] = []
    written = [line for line in text.split("\n") if line.strip()]
    for number, line in enumerate(written):
        try:
            lines.append(_loads(line))
        except json.JSONDecodeError:
            if not lines or number < len(written) - 1:
                raise InvalidMessages(
                    f"Not JSON: {broken.msg} (line {broken.lineno}, character {broken.colno}). "
                    f"{KNOWN}"
                ) from None
    return None, lines


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise InvalidMessages("Nested too deep.") from None
    except ValueError as error:
        raise InvalidMessages(f"Not usable JSON: {error}.") from None


def _named(filename: str | None) -> str | None:
    """The session id that a file's name tells."""
    if not filename:
        return None
    stem = PurePath(filename.replace("\\", "/")).stem
    match = _ROLLOUT.fullmatch(stem)
    return clean_session_id(match[1] if match else stem)


def _with_id(session: ImportedSession, named: str | None) -> ImportedSession:
    return replace(session, session_id=session.session_id or named)
