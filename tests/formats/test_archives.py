"""Archives come back identical, and nothing planted in one has an effect."""

import copy
import gc
import io
import json
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mythline.errors import InvalidInput, InvalidMessages
from mythline.formats import jsonl
from mythline.formats.archive import ArchiveKind, ArchiveWriter, Place, write
from mythline.formats.types import ExportedSession
from mythline.formats.unpacking import Archive, Limits, conversations
from tests.formats import exports, samples

KINDS: list[ArchiveKind] = ["zip", "tar.zst"]
OWNERS = [
    None,
    "alice@example.com",
    "..",
    "/etc",
    "a\\b",
    "C:x",
    "Ünï\u2028",
    "@",
    "%2e",
    "x" * 256,
]


def talk(session_id: str = "one", **fields: Any) -> ExportedSession:
    bodies = [
        samples.request(samples.prompt(f"Hello {session_id}")),
        samples.response(samples.text("Hi " * 50)),
    ]
    return samples.session(samples.chain(*bodies), session_id=session_id, **fields)


TALKS = [
    *(talk(f"s{number}", owner=owner) for number, owner in enumerate(OWNERS)),
    talk("s0", agent_id="other", tags=("a",), metadata={"x": 1}),
    samples.session([], session_id="empty"),
]


def packed(kind: ArchiveKind, talks: Iterable[ExportedSession] = TALKS) -> bytes:
    return b"".join(write(talks, kind))


def opened(data: bytes, **limits: Any) -> Archive:
    return Archive(io.BytesIO(data), Limits(**limits))


def everything(data: bytes, **limits: Any) -> list[Any]:
    return list(opened(data, **limits).sessions())


def test_a_zip_that_is_left_unfinished_ends_without_a_word(monkeypatch: pytest.MonkeyPatch):
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    for _ in range(10):
        writer: Any = ArchiveWriter("zip")
        list(writer.add(talk()))
        writer._sink._buffer.itself = writer._sink._buffer  # so it is gone with the rest, or before
        writer._sink._buffer.close()
        del writer
    gc.collect()
    assert told == []


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_comes_back_identical(kind: ArchiveKind):
    data = packed(kind)
    archive = opened(data)
    assert archive.kind == kind
    again = [samples.again(found, owner=place.owner) for place, found in archive.sessions()]
    assert [found.details for found in again] == [t.details for t in TALKS]
    assert [list(found.entries) for found in again] == [list(t.entries) for t in TALKS]
    assert packed(kind, again) == data


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_of_nothing(kind: ArchiveKind):
    assert opened(packed(kind, [])).places == ()


def test_other_programs_read_archives(tmp_path: Path):
    short = [t for t in TALKS if len(t.details.owner or "") < 100]  # as file systems take them
    with zipfile.ZipFile(io.BytesIO(packed("zip", short))) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert archive.read("helper/s0.jsonl") == b"".join(jsonl.lines(TALKS[0]))
    unpacked = zstandard.ZstdDecompressor().decompressobj().decompress(packed("tar.zst", short))
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as archive:
        assert archive.getnames() == names
        archive.extractall(tmp_path, filter="data")
    assert (tmp_path / "helper" / "s0.jsonl").read_bytes() == b"".join(jsonl.lines(TALKS[0]))
    assert names[-1] == "mythline.json"
    assert names[1] == "@alice%40example.com/helper/s1.jsonl"
    manifest = json.loads((tmp_path / "mythline.json").read_text())
    assert manifest == {
        "format": "mythline-archive", "version": 1, "sessions": 11, "entries": 20,
    }  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_written_while_sessions_come(kind: ArchiveKind):
    writer = ArchiveWriter(kind)
    pieces = [piece for t in TALKS for piece in writer.add(t)] + list(writer.finish())
    assert b"".join(pieces) == packed(kind)
    assert len(pieces) > len(TALKS)
    with pytest.raises(InvalidInput, match="already"):
        list(writer.add(TALKS[0]))


def test_unknown_kinds_are_refused():
    with pytest.raises(InvalidInput, match="Known are: zip, tar"):
        ArchiveWriter("rar")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", KINDS)
def test_an_import_goes_on_where_it_stopped(kind: ArchiveKind):
    archive = opened(packed(kind))
    reading = archive.sessions()
    done = {next(reading)[0] for _ in range(5)}
    rest = [place for place, _ in archive.sessions(done)]
    assert rest == list(archive.places[5:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_session_is_named_and_those_before_it_are_given(kind: ArchiveKind):
    lines = list(jsonl.lines(TALKS[0]))
    data = made(kind, [file("helper/a.jsonl", TALKS_A), file("helper/s0.jsonl", lines[0])])
    reading = opened(data).sessions()
    assert next(reading)[0] == Place(None, "helper", "a")
    with pytest.raises(InvalidMessages, match=r"helper/s0\.jsonl: .*cut off"):
        next(reading)


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_under_another_name_is_refused(kind: ArchiveKind):
    with pytest.raises(InvalidMessages, match="another session"):
        everything(made(kind, [file("helper/b.jsonl", TALKS_A)]))


# Archives that others made

TALKS_A = b"".join(jsonl.lines(talk("a")))
GOOD = "helper/a.jsonl"


def file(name: str, content: bytes = TALKS_A, **fields: Any) -> tuple[str, bytes, dict[str, Any]]:
    return name, content, fields


def manifest(**fields: Any) -> tuple[str, bytes, dict[str, Any]]:
    counts = {"format": "mythline-archive", "version": 1, "sessions": 1}
    return file("mythline.json", json.dumps(counts | fields).encode())


def made(kind: ArchiveKind, files: list[Any], end: list[Any] | None = None) -> bytes:
    members = [*files, *([manifest(sessions=len(files))] if end is None else end)]
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content, fields in members:
                info = zipfile.ZipInfo("x")
                info.filename = info.orig_filename = name
                info.external_attr = fields.get("mode", 0) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, content)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w", format=FORMATS) as archive:
        for name, content, fields in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.type = fields.get("type", tarfile.REGTYPE)
            info.linkname = fields.get("link", "")
            archive.addfile(info, io.BytesIO(content))
    return zstandard.ZstdCompressor().compress(buffer.getvalue())


FORMATS = tarfile.PAX_FORMAT

NAMES = [
    ("/etc/passwd", "leads out"),
    ("../helper/a.jsonl", "leads out"),
    ("helper/../../a.jsonl", "leads out"),
    ("helper/..", "leads out"),
    ("C:/helper/a.jsonl", "leads out"),
    ("c:helper/a.jsonl", "leads out"),
    ("helper\\a.jsonl", "leads out"),
    ("//server/share/a.jsonl", "leads out"),
    ("helper/./a.jsonl", "no session"),
    ("./helper/a.jsonl", "no session"),
    ("helper//a.jsonl", "no session"),
    ("helper/a.json", "no session"),
    ("helper/a", "no session"),
    ("a.jsonl", "no session"),
    ("helper/latest.jsonl", "no session"),
    ("helper/-a.jsonl", "no session"),
    ("helper/a b.jsonl", "no session"),
    ("-helper/a.jsonl", "no session"),
    ("@/helper/a.jsonl", "no session"),
    ("@a@b/helper/a.jsonl", "no session"),
    ("@%61/helper/a.jsonl", "no session"),
    ("@%ff/helper/a.jsonl", "no session"),
    ("@%2F/x/helper/a.jsonl", "no session"),
    ("x/helper/a.jsonl", "no session"),
    ("helper/a.jsonl\n", "no session"),
    ("helper/\u202ea.jsonl", "no session"),
    ("__MACOSX/helper/a.jsonl", "no session"),
    ("", "no session|leads out|no plain"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "message"), NAMES)
def test_names_that_are_no_place_are_refused(kind: ArchiveKind, name: str, message: str):
    with pytest.raises(InvalidMessages, match=message):
        opened(made(kind, [file(name)]))


def test_a_name_with_a_nul_is_refused():
    data = made("zip", [file("helper/a.jsonlX.txt")]).replace(b"jsonlX.txt", b"jsonl\x00.txt")
    with pytest.raises(InvalidMessages, match="leads out"):
        opened(data)


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFIFO])
def test_what_is_no_plain_file_is_refused_in_a_zip(mode: int):
    with pytest.raises(InvalidMessages, match="no plain file"):
        opened(made("zip", [file(GOOD, b"/etc/passwd", mode=mode)]))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE,
        tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XGLTYPE, b"Z",
    ],
)  # fmt: skip
def test_what_is_no_plain_file_is_refused_in_a_tar(kind: bytes):
    with pytest.raises(InvalidMessages, match="no plain file"):
        opened(made("tar.zst", [file(GOOD, b"", type=kind, link="/etc/passwd")]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_session_that_is_there_twice_is_refused(kind: ArchiveKind):
    with pytest.raises(InvalidMessages, match=r"helper/a\.jsonl twice"):
        opened(made(kind, [file(GOOD), file(GOOD)]))
    with pytest.raises(InvalidMessages, match=r"mythline\.json twice|is no session"):
        opened(made(kind, [file(GOOD)], [manifest(), manifest()]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("end", "message"),
    [
        ([], "has no mythline.json"),
        ([manifest(sessions=2)], "has 1 sessions, and says it has 2"),
        ([manifest(sessions=None)], "says it has None"),
        ([manifest(format="x")], "must have the format"),
        ([manifest(version=2)], "Upgrade"),
        ([manifest(version="1")], "has no version"),
        ([file("mythline.json", b"[")], "is not JSON"),
        ([file("mythline.json", b"[]")], "must have the format"),
        ([file("mythline.json", b"[" * 60_000)], "is not JSON"),
        ([file("mythline.json", b" " * 70_000)], "too long"),
    ],
)
def test_manifests_are_checked(kind: ArchiveKind, end: list[Any], message: str):
    with pytest.raises(InvalidMessages, match=message):
        opened(made(kind, [file(GOOD)], end))


@pytest.mark.parametrize("kind", KINDS)
def test_bombs_are_refused_before_anything_is_read(kind: ArchiveKind):
    zeros = bytes(70 << 20)
    with pytest.raises(InvalidMessages, match="raise the limit"):
        opened(made(kind, [file(GOOD, zeros)]), ratio=100)
    with pytest.raises(InvalidMessages, match="more than 1,000,000 bytes"):
        opened(made(kind, [file(GOOD, zeros)]), member=1_000_000)
    some = [file(f"helper/a{n}.jsonl", bytes(400_000)) for n in range(3)]
    with pytest.raises(InvalidMessages, match="holds more than 1,000,000 bytes"):
        opened(made(kind, some), total=1_000_000)
    with pytest.raises(InvalidMessages, match="More than 2 sessions"):
        opened(made(kind, some), sessions=2)
    assert opened(made(kind, some), total=None, member=None, ratio=None, sessions=None)


def test_a_zip_that_lies_about_a_size_gives_no_more():
    data = made("zip", [file(GOOD, bytes(100_000))])
    lied = data.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lied != data
    with pytest.raises(InvalidMessages):
        everything(lied)


def test_a_tar_header_that_claims_much_takes_no_memory():
    for kind in (tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 1 << 40
        data = zstandard.ZstdCompressor().compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
        with pytest.raises(InvalidMessages, match="name that is too long"):
            opened(data)


@pytest.mark.parametrize(
    "record", [b"99 path=x\n", b"x path=x\n", b"9 path=x\n", b"0 \n", b"7 pathx\n", b"path"]
)
def test_tar_headers_that_cannot_be_are_refused(record: bytes):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    data = zstandard.ZstdCompressor().compress(info.tobuf() + record.ljust(512, b"\0"))
    with pytest.raises(InvalidMessages, match="damaged"):
        opened(data)


def test_zstd_that_wants_much_memory_is_refused():
    parameters = zstandard.ZstdCompressionParameters(window_log=30, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packer.compress(bytes(1 << 20)) + packer.flush()
    with pytest.raises(InvalidMessages, match="damaged"):
        opened(data)


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_tar_that_was_packed_again_is_read(tar_format: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(globals(), "FORMATS", tar_format)
    owner = "o" * (200 if tar_format == tarfile.GNU_FORMAT else 20)
    name = Place(owner, "helper", "a").name
    ((place, _),) = everything(made("tar.zst", [file(name)]))
    assert place.owner == owner


def test_a_zip_that_was_packed_again_is_read():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("mythline.json", manifest()[1])
        archive.writestr(GOOD, TALKS_A)
    assert len(everything(buffer.getvalue())) == 1


def test_an_encrypted_zip_is_refused():
    data = bytearray(made("zip", [file(GOOD)]))
    at = data.find(b"PK\x01\x02")
    data[at + 8] |= 1
    with pytest.raises(InvalidMessages, match="encrypted"):
        opened(bytes(data))


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x05\x06", b"\x28\xb5\x2f\xfd", b"hello", b"[]"])
def test_what_is_no_archive_is_refused(data: bytes):
    with pytest.raises(InvalidMessages):
        opened(data)


SMALL: dict[ArchiveKind, bytes] = {kind: packed(kind, [talk("a")]) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_an_archive_that_was_cut_off_is_noticed(kind: ArchiveKind, data: st.DataObject):
    whole = SMALL[kind]
    most = len(whole) - 1 if kind == "zip" else len(whole) - 8  # its checksum is ours as well
    with pytest.raises(InvalidMessages):
        everything(whole[: data.draw(st.integers(0, most))])


CHANGES: dict[str, Callable[[bytes, int, int], bytes]] = {
    "set": lambda data, at, byte: data[:at] + bytes([byte]) + data[at + 1 :],
    "insert": lambda data, at, byte: data[:at] + bytes([byte]) + data[at:],
    "drop": lambda data, at, _: data[:at] + data[at + 1 :],
}


@pytest.mark.parametrize("kind", KINDS)
@given(
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    change=st.sampled_from(sorted(CHANGES)),
)
def test_a_damaged_archive_is_refused_or_read_as_it_was(
    kind: ArchiveKind, place: float, byte: int, change: str
):
    whole = SMALL[kind]
    data = CHANGES[change](whole, int(place * len(whole)), byte)
    try:
        found = everything(data)
    except InvalidMessages:
        return
    assert found == everything(whole)


def test_a_damaged_file_is_refused_as_damaged_bytes_are(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(SMALL["zip"][:40] + SMALL["zip"][41:])
    with path.open("rb") as source, pytest.raises(InvalidMessages, match="damaged"):
        list(Archive(source).sessions())


def test_data_exports_are_read_from_their_zip():
    chats = json.dumps(exports.CHATGPT).encode()
    members = [
        file("user.json", b"{}"),
        file("../evil.png", b"x"),
        file("conversations-000.json", chats),
        file("conversations-001.json", json.dumps(exports.CLAUDE).encode()),
    ]
    found = list(conversations(io.BytesIO(made("zip", members, []))))
    assert [session.title for session in found] == ["Cats", None, "Dogs"]
    with pytest.raises(InvalidMessages, match="more than 100 bytes"):
        list(conversations(io.BytesIO(made("zip", members, [])), Limits(member=100)))
    with pytest.raises(InvalidMessages, match=r"nor conversations\.json"):
        list(conversations(io.BytesIO(made("zip", [file("a/b/conversations.json")], []))))
    planted = file("conversations.json", chats, mode=stat.S_IFLNK)
    with pytest.raises(InvalidMessages, match="no plain file"):
        list(conversations(io.BytesIO(made("zip", [planted], []))))
    with pytest.raises(InvalidMessages):
        list(conversations(io.BytesIO(b"PK\x03\x04")))


def test_a_short_part_of_a_data_export_does_not_make_a_bomb_of_the_others():
    """The last part has what conversations are left; all together they aren't packed much."""
    many = json.dumps([*exports.CHATGPT, {"padding": "x" * (65 << 20)}]).encode()
    last = json.dumps(exports.CLAUDE).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("conversations-000.json", many, zipfile.ZIP_STORED)
        archive.writestr("conversations-001.json", last, zipfile.ZIP_DEFLATED)
    found = list(conversations(data, Limits(ratio=2)))
    assert [session.title for session in found] == ["Cats", None, "Dogs"]


def test_parts_that_lie_over_each_other_are_a_bomb():
    """Each of them alone may be so large for its size."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations-000.json", b" " * (40 << 20))
        first = archive.infolist()[0]
        for number in range(1, 100):
            info = copy.copy(first)
            info.filename = info.orig_filename = f"conversations-{number:03}.json"
            archive.filelist.append(info)
    with pytest.raises(InvalidMessages, match="times its own size"):
        list(conversations(data, Limits(ratio=1100)))


@given(st.binary(max_size=600))
def test_any_tar_is_refused_or_read(data: bytes):
    with pytest.raises(InvalidMessages):
        opened(zstandard.ZstdCompressor().compress(data))


@given(st.text(max_size=60))
def test_only_names_of_places_are_places(name: str):
    try:
        place = Place.of(name)
    except InvalidMessages:
        return
    assert place.name == name


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256))
def test_every_owner_has_a_place(owner: str):
    place = Place(owner, "helper", "one")
    assert Place.of(place.name) == place
