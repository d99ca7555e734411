"""A history as a person reads it: who said what, with files described.

Works on the stored JSON, so that it is fast, needs no Pydantic AI, and shows what the installed
one can't read as a placeholder.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, Literal, cast, get_args

from . import legacy
from .errors import InvalidInput
from .messages import content_text
from .models import (
    Attachment,
    File,
    HistoryPage,
    Reply,
    StoredEntry,
    Transcript,
    TranscriptItem,
)

Include = Literal["tools", "thinking", "system"]
INCLUDES: Final[frozenset[str]] = frozenset(get_args(Include))

_CALLS: Final = {"tool-call", "builtin-tool-call"}
_RETURNS: Final = {"tool-return", "builtin-tool-return"}
_SILENT: Final = {
    "capability-load-delta",
    "compaction",
    "instruction",
    "instruction-baseline",
    "instruction-delta",
    "instruction-digest",
    "model-settings-delta",
    "tool-availability-delta",
}
"""Parts in which Pydantic AI keeps its own state: nobody said them."""


def items(
    entries: Iterable[StoredEntry], include: Collection[str] = ()
) -> Iterator[TranscriptItem]:
    """What a person reads of some entries, in their order.

    Every user prompt and every text of the model; with `include`, also tool calls and returns
    (`tools`), thinking (`thinking`), system prompts and retry feedback (`system`). A part of a
    kind that this version doesn't know is an item of the role `unreadable`.
    """
    for entry in entries:
        message, found = opened(entry)
        wanted = [item for _, item in found if _is_wanted(item, include)]
        if wanted and message["kind"] == "response":
            wanted[-1] = replace(wanted[-1], reply=_reply(message))
        yield from wanted


def opened(
    entry: StoredEntry,
) -> tuple[dict[str, Any], list[tuple[dict[str, Any], TranscriptItem]]]:
    """A message as JSON, and what a person reads of it with the part that it is from."""
    body = entry.body
    try:
        if legacy.may_be_legacy(body):
            (body,) = legacy.upgrade([body])
        message: dict[str, Any] = json.loads(body)
    except ValueError:  # the disk gave back something else than was stored
        message = {"kind": "damaged", "parts": []}
        return message, [(message, _unknown(entry.entry_id, "message that was damaged", None))]
    stamp = _stamp(message.get("timestamp"))
    if message["kind"] not in ("request", "response"):
        what = f"message of the kind {message['kind']!r}"
        return message, [(message, _unknown(entry.entry_id, what, stamp))]
    found: list[tuple[dict[str, Any], TranscriptItem]] = []
    files = 0
    for part in cast("list[dict[str, Any]]", message["parts"]):
        item = _item(part, entry.entry_id, _stamp(part.get("timestamp")) or stamp)
        if item is None:
            continue
        if any(attachment.kind == "binary" for attachment in item.attachments):
            numbered: list[Attachment] = []
            for attachment in item.attachments:
                is_kept = attachment.kind == "binary"
                numbered.append(replace(attachment, file=files) if is_kept else attachment)
                files += is_kept
            item = replace(item, attachments=tuple(numbered))
        found.append((part, item))
    return message, found


def file_of(entry: StoredEntry, number: int) -> File | None:
    """One of the pictures and files that are kept in a message, `None` if it has no such.

    Args:
        entry: The message.
        number: As `Attachment.file` has it.
    """
    kept = (
        content
        for part, item in opened(entry)[1]
        if item.attachments
        for content in _contents(_attached(part))
        if content.get("kind") == "binary"
    )
    found = next((content for place, content in enumerate(kept) if place == number), None)
    if found is None:
        return None
    try:  # Pydantic AI writes the alphabet for URLs, others the plain one
        data = base64.b64decode(str(found.get("data")).encode().translate(_PLAIN_64) + b"==")
    except (binascii.Error, UnicodeEncodeError):
        return None
    described = _attachment(found)
    assert described is not None
    return File(data=data, media_type=described.media_type, name=described.name)


_PLAIN_64: Final = bytes.maketrans(b"-_", b"+/")


def _attached(part: dict[str, Any]) -> Any:
    """Where the attachments of a part are."""
    return part.get("audio" if part["part_kind"] == "speech" else "content")


def _reply(message: dict[str, Any]) -> Reply:
    usage = message.get("usage")
    counts: dict[str, Any] = cast("dict[str, Any]", usage) if isinstance(usage, dict) else {}
    return Reply(
        model_name=_text_or_none(message.get("model_name")),
        input_tokens=_count_or_none(counts.get("input_tokens")),
        output_tokens=_count_or_none(counts.get("output_tokens")),
        state=_text_or_none(message.get("state")),
        finish_reason=_text_or_none(message.get("finish_reason")),
    )


def _count_or_none(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_wanted(item: TranscriptItem, include: Collection[str]) -> bool:
    match item.role:
        case "user" | "unreadable":
            return True
        case "assistant":
            return bool(item.content or item.attachments)
        case "thinking":
            return "thinking" in include
        case "system":
            return "system" in include
        case "tool-call" | "tool-return":
            return "tools" in include


def _item(part: dict[str, Any], entry_id: str, stamp: str | None) -> TranscriptItem | None:
    kind = part["part_kind"]
    content: Any = part.get("content")
    common: dict[str, Any] = {"entry_id": entry_id, "timestamp": stamp}
    if kind == "user-prompt":
        return TranscriptItem(
            role="user", content=content_text(content), attachments=_attachments(content), **common
        )
    if kind == "text":
        return TranscriptItem(role="assistant", content=content_text(content), **common)
    if kind == "file":
        return TranscriptItem(
            role="assistant", content="", attachments=_attachments([content]), **common
        )
    if kind == "speech":
        said = part.get("transcript")
        return TranscriptItem(
            role="user" if part.get("speaker") == "user" else "assistant",
            content=said if isinstance(said, str) else "",
            attachments=_attachments(_attached(part)),
            **common,
        )
    if kind == "thinking":
        return TranscriptItem(role="thinking", content=content_text(content), **common)
    if kind == "system-prompt":
        return TranscriptItem(role="system", content=content_text(content), **common)
    if kind in ("retry-feedback", "retry-prompt") and not part.get("tool_name"):
        return TranscriptItem(role="system", content=_shown(content), **common)
    if kind in _CALLS or kind in _RETURNS or kind == "retry-prompt":
        is_call = kind in _CALLS
        return TranscriptItem(
            role="tool-call" if is_call else "tool-return",
            content=_shown(part.get("args") if is_call else content),
            attachments=() if is_call else _attachments(content),
            tool_name=_text_or_none(part.get("tool_name")),
            tool_call_id=_text_or_none(part.get("tool_call_id")),
            outcome=None if is_call else _outcome(part),
            **common,
        )
    if kind in _SILENT:
        return None
    return _unknown(entry_id, f"part of the kind {kind!r}", stamp)


def _outcome(part: dict[str, Any]) -> str | None:
    if part["part_kind"] == "retry-prompt":
        return "retried"
    told = _text_or_none(part.get("outcome"))
    return None if told == "success" else told


def _unknown(entry_id: str, what: str, stamp: str | None) -> TranscriptItem:
    text = f"[A {what}, which this version can't show. It is kept as it is.]"
    return TranscriptItem(role="unreadable", content=text, entry_id=entry_id, timestamp=stamp)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _stamp(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    return value.removesuffix("+00:00") + "Z" if value.endswith("+00:00") else value


def _attachments(content: Any) -> tuple[Attachment, ...]:
    described = (_attachment(item) for item in _contents(content))
    return tuple(item for item in described if item is not None)


def _contents(content: Any) -> Iterator[dict[str, Any]]:
    found: list[Any] = cast("list[Any]", content) if isinstance(content, list) else [content]
    return (cast("dict[str, Any]", item) for item in found if isinstance(item, dict))


def _attachment(item: dict[str, Any]) -> Attachment | None:
    kind = item.get("kind")
    media_type = _text_or_none(item.get("media_type") or item.get("_media_type"))
    name = _text_or_none(item.get("identifier") or item.get("_identifier"))
    if kind == "binary":
        data = item.get("data")
        size = len(data.rstrip("=")) * 3 // 4 if isinstance(data, str) else None
        return Attachment(kind="binary", media_type=media_type, size=size, name=name)
    if isinstance(kind, str) and kind.endswith("-url"):
        url = _text_or_none(item.get("url"))
        return Attachment(kind=kind, media_type=media_type, url=url, name=name)
    if kind == "uploaded-file":
        return Attachment(
            kind=kind, media_type=media_type, name=_text_or_none(item.get("file_id")) or name
        )
    return None


async def page(
    fetch: Callable[..., Awaitable[HistoryPage]],
    limit: int | None,
    before: str | None,
    after: str | None,
    include: Collection[str] = (),
) -> Transcript:
    """A page of a transcript, of a history that `fetch` gives pages of.

    At most `limit` items, of whole entries: the last of those asked for, or the first with
    `after` alone. An entry with more items than that comes alone.

    Args:
        fetch: Called with `limit`, `before` and `after`, as `AgentSessions.entries` is.
        limit: From 1, or `None` for all.
        before: Only what comes before this entry, exclusive.
        after: Only what comes after this entry, exclusive.
        include: As in `items`.

    Raises:
        InvalidInput: If `include` names something unknown.
    """
    unknown = set(include) - INCLUDES
    if unknown:
        known = ", ".join(sorted(INCLUDES))
        raise InvalidInput(f"Can't include {', '.join(sorted(unknown))}. Known are: {known}.")
    if limit is None:
        history = await fetch(before=before, after=after)
        return Transcript(tuple(items(history.entries, include)), history)
    forward = after is not None and before is None
    kept: list[tuple[int, StoredEntry, list[TranscriptItem]]] = []
    count, step = 0, limit
    while True:
        found = await fetch(limit=step, before=before, after=after)
        placed = list(enumerate(found.entries, found.first))
        for place, entry in placed if forward else reversed(placed):
            new = list(items([entry], include))
            if count and count + len(new) > limit:
                break
            kept.append((place, entry, new))
            count += len(new)
            if count >= limit:
                break
        else:
            if len(placed) == step and (found.has_after if forward else found.has_before):
                # not enough to show yet: most are tool calls, say
                edge = kept[-1][1].entry_id
                before, after = (before, edge) if forward else (edge, after)
                step *= 2
                continue
        break
    kept.sort(key=lambda one: one[0])
    first = kept[0][0] if kept else found.first
    history = HistoryPage(found.revision, found.total, first, tuple(entry for _, entry, _ in kept))
    return Transcript(tuple(item for _, _, new in kept for item in new), history)
