"""Archives: many sessions in one file, each as `jsonl`, written while they come.

`{agent_id}/{session_id}.jsonl`, below `@{owner, percent-encoded}/` if it has one; `mythline.json`
comes last and counts them, so an archive that was cut off is noticed. The same sessions in the same
order make the same bytes.
"""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple, Protocol
from urllib.parse import quote, unquote

from .. import ids, messages
from ..errors import InvalidId, InvalidInput, InvalidMessages
from . import jsonl
from .types import ExportedSession

ArchiveKind = Literal["zip", "tar.zst"]
ARCHIVES: Final[dict[ArchiveKind, str]] = {"zip": "application/zip", "tar.zst": "application/zstd"}
"""The kinds of archives, and their media types."""

FORMAT: Final = "mythline-archive"
VERSION: Final = 1
MANIFEST: Final = "mythline.json"
SUFFIX: Final = ".jsonl"

_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell
_BLOCK: Final = 512
_LEVEL: Final = 6


class Place(NamedTuple):
    """Where a session is in an archive: whose it is, of which agent, and its id."""

    owner: str | None
    agent_id: str
    session_id: str

    @property
    def name(self) -> str:
        """The name of its file in the archive."""
        owner = "" if self.owner is None else f"@{quote(self.owner, safe='')}/"
        return f"{owner}{self.agent_id}/{self.session_id}{SUFFIX}"

    @classmethod
    def of(cls, name: str) -> Place:
        """The place that a name tells.

        Raises:
            InvalidMessages: If it is no name that `Place.name` gives.
        """
        if _leads_out(name):
            raise InvalidMessages(f"The archive has a path that leads out of it: {name!a}.")
        *owners, agent_id, file = ["", *name.split("/")][-3:]
        owner = unquote(owners[0][1:]) if owners and owners[0].startswith("@") else None
        try:
            ids.check_owner(owner)
            ids.check_agent_id(agent_id)
            place = cls(owner, agent_id, ids.check_session_id(file.removesuffix(SUFFIX)))
        except InvalidId:
            place = None
        if place is None or place.name != name:
            raise InvalidMessages(
                f"The archive has {name!a}, which is no session. It must hold nothing else."
            )
        return place


def _leads_out(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return "\\" in name or "\0" in name or name[1:2] == ":" or ".." in parts or parts[0] == ""


class _Sink(Protocol):
    """One kind of archive: takes files, gives what there is of it up to now."""

    def add(self, name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]: ...
    def close(self) -> Iterator[bytes]: ...


class ArchiveWriter:
    """Writes an archive, session by session.

    What its methods give is written one after the other, whole: each goes on where the one before
    ended.
    """

    def __init__(self, kind: ArchiveKind) -> None:
        kinds: dict[str, Callable[[], _Sink]] = {"zip": _Zip, "tar.zst": _TarZst}
        if kind not in kinds:
            raise InvalidInput(f"No archive {kind!r}. Known are: zip, tar.zst.")
        self._sink = kinds[kind]()
        self._places: set[Place] = set()
        self._entries = 0

    def add(self, session: ExportedSession) -> Iterator[bytes]:
        """One more session.

        Raises:
            InvalidInput: If the archive has that session already.
        """
        found = session.details
        place = Place(found.owner, found.agent_id, found.session_id)
        if place in self._places:
            raise InvalidInput(f"The archive has {place.name} already.")
        self._places.add(place)
        self._entries += len(session.entries)
        size = sum(map(len, jsonl.lines(session)))
        yield from self._sink.add(place.name, size, jsonl.pieces(session))

    def finish(self) -> Iterator[bytes]:
        """The end, without which the archive is none."""
        counts = {"sessions": len(self._places), "entries": self._entries}
        manifest = messages.dump_plain({"format": FORMAT, "version": VERSION} | counts) + b"\n"
        yield from self._sink.add(MANIFEST, len(manifest), [manifest])
        yield from self._sink.close()


def write(sessions: Iterable[ExportedSession], kind: ArchiveKind) -> Iterator[bytes]:
    """An archive of `sessions`, in their order, in pieces."""
    writer = ArchiveWriter(kind)
    for session in sessions:
        yield from writer.add(session)
    yield from writer.finish()


class _Buffer(io.RawIOBase):
    """A file that can't seek, and gives what was written to it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing: an archive that is left unfinished may end after this was closed."""

    def taken(self) -> bytes:
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


class _Zip:
    def __init__(self) -> None:
        self._buffer = _Buffer()
        self._zip = zipfile.ZipFile(self._buffer, "w", zipfile.ZIP_DEFLATED)

    def add(self, name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
        info = zipfile.ZipInfo(name, _LONG_AGO)
        info.compress_type = zipfile.ZIP_DEFLATED
        info.create_system = 3  # Unix, wherever it is written
        info.external_attr = (stat.S_IFREG | 0o600) << 16
        with self._zip.open(info, "w", force_zip64=size >= 1 << 31) as member:
            for piece in content:
                member.write(piece)
                yield self._buffer.taken()
        yield self._buffer.taken()

    def close(self) -> Iterator[bytes]:
        self._zip.close()
        yield self._buffer.taken()


class _TarZst:
    def __init__(self) -> None:
        import zstandard

        self._zstd = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()

    def add(self, name: str, size: int, content: Iterable[bytes]) -> Iterator[bytes]:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, 0
        yield self._zstd.compress(info.tobuf(tarfile.PAX_FORMAT))
        for piece in content:
            yield self._zstd.compress(piece)
        yield self._zstd.compress(b"\0" * (-size % _BLOCK))

    def close(self) -> Iterator[bytes]:
        yield self._zstd.compress(b"\0" * (2 * _BLOCK))
        yield self._zstd.flush()
