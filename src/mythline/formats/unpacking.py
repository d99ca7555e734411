"""Archives are read session by session, and nothing of them is believed before it is checked."""

from __future__ import annotations

import errno
import json
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Container, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Final, NamedTuple, cast

from ..errors import InvalidInput, InvalidMessages
from . import jsonl
from .archive import FORMAT, MANIFEST, VERSION, ArchiveKind, Place
from .types import ImportedSession

_EXPORT: Final = re.compile(r"(?:[^/]+/)?conversations(?:-\d{1,6})?\.json")
_BLOCK: Final = 512
_CHUNK: Final = 1 << 18
_MAX_SMALL: Final = 64 << 10
"""Bytes of the manifest, and of what a tar archive tells about a name."""
_FREE: Final = 64 << 20
"""Bytes that any archive may hold, however small it is itself."""
_MAX_WINDOW: Final = 1 << 27
"""Bytes of memory that zstd may take to unpack: what its own tool takes without being told."""
_DAMAGE: Final = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What the libraries raise over damaged archives: more than they document."""
_REGULAR: Final = (tarfile.REGTYPE, tarfile.AREGTYPE)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an archive may hold, unpacked. `None` is no limit.

    Attributes:
        total: Bytes in all.
        member: Bytes of one session, which is in memory while it is read.
        ratio: Times that it may be larger than packed, above 64 MiB.
        sessions: How many.
    """

    total: int | None = 64 << 30
    member: int | None = 1 << 30
    ratio: int | None = 1000
    sessions: int | None = 1_000_000


class Archive:
    """An archive whose names, sizes and counts were checked.

    Attributes:
        kind: What it is.
        places: Its sessions, in its order.
    """

    def __init__(self, file: IO[bytes], limits: Limits | None = None) -> None:
        """Look through an archive.

        Args:
            file: Can seek; stays open, and is the caller's to close.
            limits: Others than the defaults.

        Raises:
            InvalidMessages: If it is no archive that `archive.write` makes, was cut off or
                damaged, leads out of itself, or holds too much.
        """
        limits = limits or Limits()
        file.seek(0, 2)
        size = file.tell()
        file.seek(0)
        start = file.read(4)
        self.kind: ArchiveKind = "zip" if start[:2] == b"PK" else "tar.zst"
        if self.kind == "tar.zst" and start != b"\x28\xb5\x2f\xfd":
            raise InvalidMessages("No archive. Send a .zip or .tar.zst that Mythline exported.")
        reader = _Zip if self.kind == "zip" else _TarZst
        self._members: Callable[[], Iterator[_Member]] = lambda: reader(file, size, limits)
        places: dict[Place, None] = {}
        manifest: dict[str, Any] | None = None
        with _told():
            for member in self._members():
                if member.name == MANIFEST and manifest is None:
                    manifest = _manifest(member)
                    continue
                place = Place.of(member.name)
                if place in places or member.name == MANIFEST:
                    raise InvalidMessages(f"The archive has {member.name} twice.")
                places[place] = None
                if limits.sessions is not None and len(places) > limits.sessions:
                    raise InvalidMessages(f"More than {limits.sessions:,} sessions.")
        if manifest is None:
            raise InvalidMessages(
                f"The archive has no {MANIFEST}: it was cut off, or Mythline didn't make it."
            )
        if manifest.get("sessions") != len(places):
            raise InvalidMessages(
                f"The archive has {len(places)} sessions, and says it has "
                f"{manifest.get('sessions')!r}. Get it again from where it came."
            )
        self.places = tuple(places)

    def sessions(self, done: Container[Place] = ()) -> Iterator[tuple[Place, ImportedSession]]:
        """The sessions one by one, each read and checked when it is asked for.

        Args:
            done: These are left out: what an import that was interrupted has stored.

        Raises:
            InvalidMessages: If one isn't whole. It names it; those before it can be kept.
        """
        with _told():
            for member in self._members():
                if member.name == MANIFEST or (place := Place.of(member.name)) in done:
                    continue
                try:
                    found = jsonl.read_lines(_lines(member.content()))
                except InvalidInput as error:
                    raise InvalidMessages(f"{member.name}: {error}") from error
                if (found.agent_id, found.session_id) != place[1:]:
                    raise InvalidMessages(f"{member.name}: another session is in it.")
                yield place, found


def is_packed(start: bytes) -> bool:
    """Whether a file that starts so is an archive, or a data export."""
    return start[:2] in (b"PK", b"\x28\xb5")  # zip, Zstandard


def is_data_export(file: IO[bytes]) -> bool:
    """Whether a packed file is a zip as ChatGPT and Claude give it, rather than one of ours."""
    try:
        file.seek(0)
        return file.read(2) == b"PK" and MANIFEST not in zipfile.ZipFile(file).namelist()
    except (*_DAMAGE, OSError):
        return False
    finally:
        file.seek(0)


def conversations(file: IO[bytes], limits: Limits | None = None) -> Iterator[ImportedSession]:
    """The sessions of a data export as ChatGPT and Claude give it: a zip with `conversations.json`.

    What else is in it is not looked at. `limits` as for `Archive`; its `total` and `member` hold
    for `conversations.json`, or its parts, as newer exports have them.

    Raises:
        InvalidMessages: If it has none, or it can't be read.
    """
    from .sniffing import read

    limits = limits or Limits()
    total = packed = 0
    with _told():
        size = file.seek(0, 2)
        exported = zipfile.ZipFile(file)
        found = [info for info in exported.infolist() if _EXPORT.fullmatch(info.filename)]
        if not found:
            raise InvalidMessages(f"The archive has neither {MANIFEST} nor conversations.json.")
        for info in found:
            _check_kind(info)
            total += info.file_size
            packed += info.compress_size
            if limits.member is not None and info.file_size > limits.member:
                raise _too_much(info.filename, limits.member)
            _check_total(total, min(packed, size), limits)  # parts may lie over each other
        for info in found:
            yield from read(exported.read(info))


class _Member(NamedTuple):
    """A file in an archive; its content can be read once, before the next one is asked for."""

    name: str
    content: Callable[[], Iterator[bytes]]


def _manifest(member: _Member) -> dict[str, Any]:
    data = b""
    for piece in member.content():
        data += piece
        if len(data) > _MAX_SMALL:
            raise InvalidMessages(f"{MANIFEST} is too long.")
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidMessages(f"{MANIFEST} is not JSON.") from None
    if not isinstance(found, dict) or cast("dict[str, Any]", found).get("format") != FORMAT:
        raise InvalidMessages(f"{MANIFEST} must have the format {FORMAT!r}.")
    manifest = cast("dict[str, Any]", found)
    version = manifest.get("version")
    if not isinstance(version, int) or version < 1:
        raise InvalidMessages(f"{MANIFEST} has no version.")
    if version > VERSION:
        raise InvalidMessages(
            f"Version {version} of the archive; this Mythline knows up to {VERSION}. "
            "Upgrade Mythline."
        )
    return manifest


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a content that comes in pieces."""
    begun: list[bytes] = []
    for piece in pieces:
        *whole, rest = piece.split(b"\n")
        for line in whole:
            yield b"".join([*begun, line])
            begun = []
        if rest:
            begun.append(rest)
    if begun:
        yield b"".join(begun)


@contextmanager
def _told() -> Generator[None]:
    """What the libraries raise over a damaged archive, in our words."""
    try:
        yield
    except InvalidInput:
        raise
    except _DAMAGE as error:
        raise InvalidMessages(f"The archive is damaged: {error}.") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the start of the file
            raise
        raise InvalidMessages("The archive is damaged: it tells of places it hasn't.") from error


class _Zip(Iterator[_Member]):
    """The files of a zip archive."""

    def __init__(self, file: IO[bytes], size: int, limits: Limits) -> None:
        self._zip = zipfile.ZipFile(file)
        self._infos = iter(self._zip.infolist())
        total = 0
        for info in self._zip.infolist():
            _check_kind(info)
            if limits.member is not None and info.file_size > limits.member:
                raise _too_much(info.filename, limits.member)
            total += info.file_size
        _check_total(total, size, limits)

    def __next__(self) -> _Member:
        info = next(self._infos)
        return _Member(info.filename, lambda: self._content(info))

    def _content(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        with self._zip.open(info) as member:  # gives at most the size that was checked
            while piece := member.read(_CHUNK):
                yield piece


def _check_kind(info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    if name != info.filename:  # cut at a NUL, or another separator
        raise InvalidMessages(f"The archive has a path that leads out of it: {name!a}.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise InvalidMessages(f"{name!a} is no plain file. Links and folders are refused.")
    if info.flag_bits & 0x1:
        raise InvalidMessages(f"{name!a} is encrypted.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidMessages(f"{name!a} is packed in a way that isn't read here.")


def _check_total(total: int, packed: int, limits: Limits) -> None:
    if limits.total is not None and total > limits.total:
        raise InvalidMessages(f"The archive holds more than {limits.total:,} bytes.")
    if limits.ratio is not None and total > max(_FREE, packed * limits.ratio):
        raise InvalidMessages(
            f"The archive holds more than {limits.ratio} times its own size. "
            "If it is trusted, raise the limit."
        )


def _too_much(name: str, most: int) -> InvalidMessages:
    return InvalidMessages(f"{name!a} has more than {most:,} bytes.")


class _TarZst(Iterator[_Member]):
    """The files of a tar archive in zstd: read from the start to the end, with bounded memory."""

    def __init__(self, file: IO[bytes], size: int, limits: Limits) -> None:
        import zstandard

        file.seek(0)
        self._broken = zstandard.ZstdError
        unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW)
        self._stream = unpacker.stream_reader(file, read_across_frames=True, closefd=False)
        self._packed, self._limits = size, limits
        self._total = self._left = self._padding = 0

    def __next__(self) -> _Member:
        for _ in self._content():
            pass  # what nobody read
        self._exactly(self._padding)
        info = self._header()
        if info is None:
            raise StopIteration
        limit = self._limits.member
        if limit is not None and info.size > limit:
            raise _too_much(info.name, limit)
        self._left, self._padding = info.size, -info.size % _BLOCK
        return _Member(info.name, self._content)

    def _header(self) -> tarfile.TarInfo | None:
        """The next file, by its header and those that go before it with a long name."""
        told: dict[str, str] = {}
        while True:
            block = self._exactly(_BLOCK)
            if not block.strip(b"\0"):
                return None
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if info.type == tarfile.XHDTYPE:
                told |= _records(self._small(info.size))
                continue
            if info.type == tarfile.GNUTYPE_LONGNAME:
                told["path"] = self._small(info.size).rstrip(b"\0").decode("utf-8", "replace")
                continue
            info.name = told.get("path", info.name)
            if info.type not in _REGULAR or block[156:157] not in _REGULAR:
                raise InvalidMessages(
                    f"{info.name!a} is no plain file. Links, folders and devices are refused."
                )
            if "size" in told:
                try:
                    info.size = int(told["size"])
                except ValueError:
                    raise tarfile.TarError("a size that is no number") from None
            if info.size < 0:
                raise tarfile.TarError("a size below zero")
            return info

    def _small(self, size: int) -> bytes:
        if not 0 <= size <= _MAX_SMALL:
            raise InvalidMessages("The archive has a name that is too long.")
        data = self._exactly(size)
        self._exactly(-size % _BLOCK)
        return data

    def _content(self) -> Iterator[bytes]:
        while self._left:
            piece = self._some(min(self._left, _CHUNK))
            if not piece:
                raise EOFError("it was cut off")
            self._left -= len(piece)
            yield piece

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._some(size - len(data))
            if not piece:
                raise EOFError("it was cut off")
            data += piece
        return data

    def _some(self, most: int) -> bytes:
        try:
            piece = self._stream.read(most)
        except self._broken as error:
            raise InvalidMessages(f"The archive is damaged: {error}.") from error
        self._total += len(piece)
        _check_total(self._total, self._packed, self._limits)
        return piece


def _records(data: bytes) -> dict[str, str]:
    """What a header of the `pax` kind tells: records of a length, a key and a value."""
    found: dict[str, str] = {}
    while data:
        length, _, rest = data.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not 0 < int(length) <= len(data):
            raise tarfile.TarError("a header that can't be read")
        record = rest[: int(length) - len(length) - 1]
        key, equals, value = record.partition(b"=")
        if not equals or not record.endswith(b"\n"):
            raise tarfile.TarError("a header that can't be read")
        found[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "replace")
        data = data[int(length) :]
    return found
