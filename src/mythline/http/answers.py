"""What answers have in common: entity tags, links to more, and bodies that are sent in pieces."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from html import escape
from itertools import chain
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..formats import render_html
from ..messages import dump_plain
from ..models import Attachment, File, HistoryPage, Reply, StoredEntry, Transcript, TranscriptItem
from ..sessions import AgentSessions

_ATTACHMENT: Final = tuple(field.name for field in fields(Attachment))
_REPLY: Final = tuple(field.name for field in fields(Reply))
_PICTURES: Final = {f"image/{kind}" for kind in ("png", "jpeg", "gif", "webp", "avif")}
"""What browsers show as a picture and can't run; SVG can hold scripts."""
_PIECE: Final = 256 << 10
_TAG: Final = re.compile(r'(W/)?"([^"]*)"')


def tagged(revision: str) -> dict[str, str]:
    """The headers of an answer that shows a session at `revision`."""
    return {"ETag": f'"{revision}"'}


async def unchanged(request: Request, sessions: AgentSessions, session_id: str) -> Response | None:
    """304 if the client has what is stored (`If-None-Match`), without reading messages.

    Raises:
        SessionNotFound: If it asks, and there is no session.
    """
    asked = _header(request, "if-none-match")
    if asked is None:
        return None
    revision = (await sessions.info(session_id)).revision
    if asked != "*" and all(tag != revision for _, tag in _TAG.findall(asked)):
        return None
    return Response(status_code=304, headers=tagged(revision))


async def expected(request: Request, sessions: AgentSessions, session_id: str) -> str | None:
    """The revision that `If-Match` asks for, or `None` if any will do.

    Strong comparison (RFC 9110, section 13.1.1): a weak tag never holds. Where nothing in the
    header can hold, an empty string, which is no session's revision.

    Raises:
        SessionNotFound: If it names several, and there is no session.
    """
    asked = _header(request, "if-match")
    if asked is None or asked == "*":
        return None
    strong = [tag for weak, tag in _TAG.findall(asked) if not weak]
    if len(strong) < 2:
        return strong[0] if strong else ""
    revision = (await sessions.info(session_id)).revision
    return revision if revision in strong else strong[0]


def _header(request: Request, name: str) -> str | None:
    found = request.headers.getlist(name)
    return ", ".join(found).strip() if found else None


def path_to(request: Request, session_id: str, *, above: int = 1) -> str:
    """The path of a session that a request to its neighbour made (`create`, `import`).

    The sessions are so many steps above the request's path.
    """
    return quote(_path(request).rsplit("/", above)[0]) + "/" + session_id


def _path(request: Request) -> str:
    """The request's path as the client knows it: a proxy may have cut off where this is mounted."""
    path: str = request.scope["path"]
    root: str = request.scope.get("root_path", "").rstrip("/")
    return path if path.startswith(root + "/") else root + path


def link(request: Request, relation: str, drop: Sequence[str], **query: str) -> str:
    """A value for `Link` (RFC 8288): the same path, with some of its query changed."""
    kept = [
        (name, value)
        for name, value in request.query_params.multi_items()
        if name not in drop and name not in query
    ]
    target = quote(_path(request)) + "?" + urlencode([*kept, *query.items()])
    return f'<{target}>; rel="{relation}"'


def next_link(request: Request, cursor: str | None) -> dict[str, str]:
    """The `Link` header of a page of a list, where there is more of it."""
    return {} if cursor is None else {"Link": link(request, "next", [], cursor=cursor)}


def page_links(request: Request, page: HistoryPage) -> dict[str, str]:
    """The `Link` header of a page of a history, where there is more of it and a limit was set."""
    if "limit" not in request.query_params or not page.entries:
        return {}
    links: list[str] = []
    if page.has_before:
        links.append(link(request, "prev", ["after"], before=page.entries[0].entry_id))
    if page.has_after:
        links.append(link(request, "next", ["before"], after=page.entries[-1].entry_id))
    return {"Link": ", ".join(links)} if links else {}


def file(found: File) -> Response:
    """Bytes that someone sent: a picture to be shown, or else a file to be saved, never run."""
    kind = found.media_type if found.media_type in _PICTURES else "application/octet-stream"
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    }
    if kind not in _PICTURES:
        name = quote(found.name or "file", safe="", errors="replace")
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return Response(found.data, headers=headers, media_type=kind)


def in_pieces(parts: Iterable[bytes], headers: dict[str, str]) -> Response:
    """JSON from its parts: at once if it is short, otherwise streamed."""
    pieces = _gathered(parts)
    first = next(pieces, b"")
    second = next(pieces, None)
    if second is None:
        return Response(first, headers=headers, media_type="application/json")
    whole = chain((first, second), pieces)
    return StreamingResponse(whole, headers=headers, media_type="application/json")


def _gathered(parts: Iterable[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def transcript_parts(
    session_id: str, title: str | None, transcript: Transcript, *, as_html: bool = False
) -> Iterator[bytes]:
    """A transcript as `schemas.Transcript`, its `content` as it is or as HTML."""
    page = transcript.history
    start = {"session_id": session_id, "title": title, "revision": page.revision}
    yield _opening(start)
    for index, item in enumerate(transcript.items):
        yield (b",\n" if index else b"\n") + _json(_shown(item, as_html))
    yield _closing(page)


def message_parts(session_id: str, page: HistoryPage) -> Iterator[bytes]:
    """Messages as `schemas.Messages`: the bytes that are stored, each with its `entry_id`."""
    yield _opening({"session_id": session_id, "revision": page.revision})
    for index, entry in enumerate(page.entries):
        yield (b",\n" if index else b"\n") + _with_id(entry)
    yield _closing(page)


def shown_parts(
    session_id: str, page: HistoryPage, messages: Iterable[dict[str, Any]]
) -> Iterator[bytes]:
    """Messages of a page in another shape than the stored one, as `schemas.Messages`."""
    yield _opening({"session_id": session_id, "revision": page.revision})
    for index, message in enumerate(messages):
        yield (b",\n" if index else b"\n") + _json(message)
    yield _closing(page)


def _opening(members: dict[str, Any]) -> bytes:
    return _json(members)[:-1] + b',"messages":['


def _closing(page: HistoryPage) -> bytes:
    flags = {"has_before": page.has_before, "has_after": page.has_after}
    return b"]," + _json(flags)[1:] + b"\n"


def _with_id(entry: StoredEntry) -> bytes:
    body = entry.body
    if b'"entry_id"' in body:  # one that was read from here, perhaps, and sent again
        message = json.loads(body)
        if message.pop("entry_id", None) is not None:
            body = dump_plain(message)
    return b'{"entry_id":' + _json(entry.entry_id) + b"," + body[1:]


def _shown(item: TranscriptItem, as_html: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "role": item.role,
        "content": _html(item) if as_html else item.content,
        "entry_id": item.entry_id,
        "timestamp": item.timestamp,
        "attachments": [_known(attachment, _ATTACHMENT) for attachment in item.attachments],
    }
    if item.tool_name is not None:
        shown["tool_name"] = item.tool_name
    if item.tool_call_id is not None:
        shown["tool_call_id"] = item.tool_call_id
    if item.outcome is not None:
        shown["outcome"] = item.outcome
    if item.reply is not None:
        shown["reply"] = _known(item.reply, _REPLY)
    return shown


def _html(item: TranscriptItem) -> str:
    """Text as Markdown; what went to a tool and came from it as it is."""
    if item.role in ("tool-call", "tool-return"):
        return f"<pre><code>{escape(item.content)}</code></pre>\n"
    return render_html(item.content)


def _known(described: Attachment | Reply, names: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(described, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
