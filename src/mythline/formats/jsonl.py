"""The `jsonl` format: a session as it is, with its branches, entry ids and metadata.

docs/formats.md specifies it. The writer puts the stored bytes of each message in place, the reader
cuts them out again: a session comes back byte for byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final, TypeVar

from .. import ids
from ..bounds import check_described
from ..errors import InvalidInput, InvalidMessages
from ..messages import PIECE, dump_plain, one_line, split
from ..models import SessionDetails, StoredEntry, from_micros, to_micros
from .json_line import OBJECT, Fields, shown
from .types import ExportedSession, ImportedSession, is_entry_id

FORMAT: Final = "mythline-session"
VERSION: Final = 1

_LINE = re.compile(
    rb'\{"entry_id":"([^"\\]*)","parent_id":(null|"[^"\\]*"),"message":(\{.*\})\}', re.DOTALL
)

T = TypeVar("T")


def lines(session: ExportedSession) -> Iterator[bytes]:
    """The lines of a session, each with its line break."""
    digest = hashlib.sha256()
    count = 0
    line = _header(session)
    digest.update(line)
    yield line
    for entry in session.entries:
        line = _entry(entry)
        digest.update(line)
        count += 1
        yield line
    yield b'{"end":true,"entries":%d,"sha256":"%s"}\n' % (count, digest.hexdigest().encode())


def pieces(session: ExportedSession) -> Iterator[bytes]:
    """`lines` in pieces of about 256 KiB, or of one line that has more."""
    piece = bytearray()
    for line in lines(session):
        piece += line
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _header(session: ExportedSession) -> bytes:
    found: SessionDetails = session.details
    fields: dict[str, bytes] = {
        "format": dump_plain(FORMAT),
        "version": dump_plain(VERSION),
        "session_id": dump_plain(found.session_id),
        "agent_id": dump_plain(found.agent_id),
        "created": dump_plain(_stamp(found.created)),
        "last_modified": dump_plain(_stamp(found.last_modified)),
        "deleted": dump_plain(_stamp(found.deleted) if found.deleted else None),
        "title": dump_plain(session.details.given_title),
        "tags": dump_plain(list(found.tags)),
        "pinned": dump_plain(found.pinned),
        "archived": dump_plain(found.archived),
        # sorted, as stores needn't keep the order of keys
        "metadata": dump_plain(_sorted(found.metadata)),
        "usage": one_line(found.usage),
        "deferred_tool_requests": one_line(found.deferred_tool_requests or b"null"),
        "head_id": dump_plain(found.head_id),
        "branches": dump_plain(list(found.branches)),
        "forked_from": dump_plain(found.forked_from),
        "forked_at": dump_plain(found.forked_at),
    }
    return b"{" + b",".join(b'"%s":%s' % (k.encode(), v) for k, v in fields.items()) + b"}\n"


def _entry(entry: StoredEntry) -> bytes:
    return b'{"entry_id":%s,"parent_id":%s,"message":%s}\n' % (
        dump_plain(entry.entry_id),
        dump_plain(entry.parent_id),
        one_line(entry.body),
    )


def _stamp(moment: datetime) -> str:
    utc = from_micros(to_micros(moment))
    return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _sorted(value: Any) -> Any:
    return json.loads(json.dumps(dict(value), sort_keys=True))


# Reading. Everything is checked, as the file may come from anyone.


def is_header(line: bytes) -> bool:
    """Whether a first line is that of this format, whatever its version."""
    start = line.lstrip(b"\xef\xbb\xbf \t\r\n")[:512]
    return start.startswith(b"{") and FORMAT.encode() in start and b'"format"' in start


def read(data: bytes) -> ImportedSession:
    """The session in a file; see `read_lines`."""
    return read_lines(io.BytesIO(data))


def read_lines(source: Iterable[bytes]) -> ImportedSession:
    """The session in the lines of a file, with or without their line breaks.

    Raises:
        InvalidMessages: If it is not whole, or anything in it can't be. It names the line.
    """
    digest = hashlib.sha256()
    reader: _Reader | None = None
    number = 0
    for raw in source:
        number += 1
        line = raw.rstrip(b"\r\n")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line and reader is not None and reader.is_closed:
            continue
        try:
            if reader is None:
                reader = _Reader(line)
            elif reader.is_closed:
                raise InvalidMessages("something comes after the closing line")
            else:
                reader.take(line, digest.hexdigest)
        except InvalidInput as error:
            raise InvalidMessages(f"Line {number}: {error}") from error
        digest.update(line + b"\n")
    if reader is None:
        raise InvalidMessages("Nothing there. Send a session as `jsonl` exports it.")
    if not reader.is_closed:
        raise InvalidMessages(
            f"The file ends after line {number}, without its closing line. It was cut off: "
            "get it again from where it came."
        )
    return reader.session()


class _Reader:
    """What the lines up to now said."""

    def __init__(self, line: bytes) -> None:
        self._header = Fields(line)
        if self._header.get("format", str) != FORMAT:
            raise InvalidMessages(f"the first line must have the format {FORMAT!r}")
        version = self._header.get("version", int)
        if version > VERSION:
            raise InvalidMessages(
                f"version {version} of the format; this Mythline knows up to {VERSION}. "
                "Upgrade Mythline"
            )
        if version < 1:
            raise InvalidMessages(f"there is no version {version} of the format")
        self._fields = self._described()
        self._entries: dict[str, StoredEntry] = {}
        self.is_closed = False

    def _described(self) -> dict[str, Any]:
        header = self._header
        described = check_described(
            {
                "title": header.find("title", str),
                "tags": header.texts("tags"),
                "pinned": header.find("pinned", bool),
                "archived": header.find("archived", bool),
                "metadata": header.find("metadata", OBJECT) or {},
            }
        )
        return {
            "source": "jsonl",
            "session_id": _optional(ids.check_session_id, header.find("session_id", str)),
            "agent_id": _optional(ids.check_agent_id, header.find("agent_id", str)),
            **described,
            "tags": tuple(described["tags"]),
            "created": _optional(_moment, header.find("created", str)),
            "last_modified": _optional(_moment, header.find("last_modified", str)),
            "deleted": _optional(_moment, header.find("deleted", str)),
            "usage": header.raw_object("usage") or b"{}",
            "deferred_tool_requests": header.raw_object("deferred_tool_requests"),
            "head_id": _optional(_entry_id, header.find("head_id", str)),
            "branches": tuple(_entry_id(tip) for tip in header.texts("branches")),
            "forked_from": _optional(ids.check_session_id, header.find("forked_from", str)),
            "forked_at": _optional(_entry_id, header.find("forked_at", str)),
        }

    def take(self, line: bytes, digest: Callable[[], str]) -> None:
        """One more line; `digest` is that of all before it."""
        match = _LINE.fullmatch(line)
        if match:
            parent = None if match[2] == b"null" else match[2][1:-1].decode("utf-8", "replace")
            try:
                self._add(match[1].decode("utf-8", "replace"), parent, match[3])
            except InvalidInput:
                pass  # the slow way says what is wrong, or finds that nothing is
            else:
                return
        fields = Fields(line)
        if fields.has("end"):
            self._close(fields, digest())
            return
        body = fields.raw("message")
        if body is None:
            raise InvalidMessages("neither an entry nor the closing line: it has no `message`")
        self._add(fields.get("entry_id", str), fields.find("parent_id", str), body)

    def _add(self, entry_id: str, parent_id: str | None, body: bytes) -> None:
        _entry_id(entry_id)
        if entry_id in self._entries:
            raise InvalidMessages(f"a second entry {entry_id!r}")
        if parent_id is not None and parent_id not in self._entries:
            raise InvalidMessages(f"the parent {shown(parent_id)} must come before its entry")
        found = split(b"[" + body + b"]", strict=True)
        if len(found) != 1:
            raise InvalidMessages("`message` must be one message")
        self._entries[entry_id] = StoredEntry(entry_id, parent_id, found[0])

    def _close(self, fields: Fields, digest: str) -> None:
        count = fields.get("entries", int)
        if count != len(self._entries):
            raise InvalidMessages(
                f"the file has {len(self._entries)} entries, and says it has {count}: some are lost"
            )
        if fields.get("sha256", str) != digest:
            raise InvalidMessages("the checksum doesn't hold: the file was changed on its way")
        self.is_closed = True

    def session(self) -> ImportedSession:
        """What was read."""
        fields = self._fields
        tips: list[str] = [*fields["branches"], *filter(None, [fields["head_id"]])]
        missing = next((tip for tip in tips if tip not in self._entries), None)
        if missing is not None:
            raise InvalidMessages(f"Line 1: there is no entry {missing!r} to end a history with.")
        if len(set(fields["branches"])) != len(fields["branches"]):
            raise InvalidMessages("Line 1: `branches` has an entry twice.")
        unreached = set(self._entries)
        for tip in tips:
            step: str | None = tip
            while step is not None and step in unreached:
                unreached.discard(step)
                step = self._entries[step].parent_id
        if unreached:
            raise InvalidMessages(
                f"Neither the head nor a branch leads to the entry {min(unreached)!r}."
            )
        return ImportedSession(**fields, entries=tuple(self._entries.values()))


def _optional(check: Callable[[str], T], value: str | None) -> T | None:
    return None if value is None else check(value)


def _entry_id(value: str) -> str:
    if not is_entry_id(value):
        raise InvalidMessages(f"not an entry id: {shown(value)}")
    return value


def _moment(value: str) -> datetime:
    try:
        return from_micros(to_micros(datetime.fromisoformat(value)))
    except (ValueError, OverflowError):
        raise InvalidMessages(f"not a time: {shown(value)}") from None
