"""`mythline export` and `mythline import`."""

import contextlib
import json
import os
import pty
import stat
import subprocess
import zipfile
from pathlib import Path

import pytest

from .support import COMMAND, STEERING, environment, invoke, process, terminal, turn


def test_a_pipe_gets_the_array(folder: Path):
    ran = process("export", "road-2", "--store", folder)
    view = folder / "researcher" / "context_memory" / "road-2.json"
    assert ran.out.encode() == view.read_bytes()
    assert invoke("export", "road-2", "-o", "-", "--store", folder).out == ran.out


@pytest.mark.parametrize(
    ("form", "suffix", "start"),
    [
        ("json", ".json", "[\n"),
        ("jsonl", ".jsonl", "{"),
        ("markdown", ".md", "# "),
        ("html", ".html", "<!doctype html>"),
    ],
)
def test_every_format(form: str, suffix: str, start: str, place: str, tmp_path: Path):
    words = ("export", "shared", "--agent", "researcher", "--format", form, "--store", place)
    said = invoke(*words).out
    assert said.lower().startswith(start)
    assert "By the road." in said
    invoke(*words, "-o", tmp_path)
    assert (tmp_path / f"shared{suffix}").read_text() == said


@pytest.mark.parametrize("form", ["json", "jsonl", "markdown", "html"])
def test_a_terminal_that_asks_for_it_is_not_steered(form: str, folder: Path):
    words = ("export", "shared", "--agent", "researcher", "--format", form, "--store", folder)
    ran = terminal(*words, "-o", "-")
    assert not set(ran.out) & set("\x1b\x07\x9b\u202e\x08")
    assert "steers?" in ran.out
    if form == "json":
        said = json.loads(ran.out)[0]["parts"][1]["content"]
        assert said == f"Where{STEERING} steers?"


def test_jsonl_has_the_branches(place: str):
    first = invoke("show", "road-1", "--store", place, "--json").json["messages"][0]["entry_id"]
    invoke("branch", "road-1", first, "--store", place)
    words = ("export", "road-1", "--store", place, "--format")
    assert "It is long." in invoke(*words, "jsonl").out
    assert "It is long." not in invoke(*words, "json").out


def test_one_pipe_into_the_other(folder: Path):
    exported = process("export", "road-2", "--store", folder)
    ran = process(
        *("import", "--agent", "copier", "--session-id", "copy", "--trusted", "--store", folder),
        stdin=exported.out.encode(),
    )
    assert (ran.code, ran.out) == (0, "copy\n")
    assert process("export", "copy", "--store", folder).out == exported.out


def test_a_terminal_gets_a_file(folder: Path, tmp_path: Path):
    here = tmp_path / "here"
    here.mkdir()
    shown = terminal("export", "road-2", "--store", folder, cwd=here)
    assert (shown.code, shown.out) == (0, "road-2.json\n")
    assert len(json.loads((here / "road-2.json").read_bytes())) == 2
    assert [path.name for path in here.iterdir()] == ["road-2.json"]


def test_several_go_to_a_directory(place: str, tmp_path: Path):
    words = ("export", "road-1", "road-2", "road-1", "-o", tmp_path / "out", "--store", place)
    found = invoke(*words, "--json").json
    assert [one["session_id"] for one in found] == ["road-1", "road-2"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "road-1.json",
        "road-2.json",
    ]
    mode = stat.S_IMODE((tmp_path / "out" / "road-1.json").stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    assert mode == 0o666 & ~umask


def test_a_file_is_written_over_only_if_the_person_says_so(place: str, tmp_path: Path):
    file = tmp_path / "out.json"
    file.write_text("mine")
    words = ("export", "road-1", "-o", file, "--store", place)
    assert invoke(*words).code == 1
    assert terminal(*words, answer="n").code == 1
    assert file.read_text() == "mine"
    assert invoke(*words, "--yes").code == 0
    assert json.loads(file.read_bytes())


def test_a_file_that_cannot_be_written_is_one_line(place: str, tmp_path: Path):
    ran = invoke("export", "road-1", "-o", tmp_path / "no" / "out.json", "--store", place)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert str(tmp_path / "no" / "out.json") in ran.err


def test_a_pipe_with_a_name_is_written_to(place: str, tmp_path: Path):
    """It stays a pipe, and nobody is asked: nothing is lost."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)) as reader:
        ran = process("export", "road-1", "-o", pipe, "--store", place)
        assert json.loads(reader.read())
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_stdout_by_its_name_gets_the_session_alone(place: str):
    ran = process("export", "road-1", "-o", "/dev/stdout", "--store", place)
    assert ran.json


def test_a_link_to_a_file_stays_one(place: str, tmp_path: Path):
    link, file = tmp_path / "link.json", tmp_path / "file.json"
    link.symlink_to(file)
    assert invoke("export", "road-1", "-o", link, "--store", place).code == 0
    assert link.is_symlink()
    assert json.loads(file.read_bytes())


def test_import_names_sessions_after_files(place: str, tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_bytes(turn(name, "yes"))
    ran = invoke(
        *("import", tmp_path / "one.json", tmp_path / "two.json"),
        *("--agent", "poet", "--store", place),
    )
    assert ran.out == "one\ntwo\n"
    assert invoke("info", "two", "--store", place, "--json").json["agent_id"] == "poet"


def test_one_bad_file_does_not_stop_the_others(place: str, tmp_path: Path):
    (tmp_path / "good.json").write_bytes(turn("a", "b"))
    (tmp_path / "bad.json").write_bytes(b"{")
    names = [tmp_path / name for name in ("bad.json", "none.json", "good.json")]
    ran = invoke("import", *names, "--agent", "poet", "--store", place, "--json")
    assert ran.code == 1
    assert [one["status"] for one in ran.json] == ["failed", "failed", "imported"]
    assert all(one.keys() == ran.json[-1].keys() for one in ran.json)
    assert ran.err.count("\n") == 2
    assert [row[0] for row in invoke("list", "--agent", "poet", "--store", place).rows] == ["good"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b"\xff"])
def test_what_is_no_history_is_refused(data: bytes, place: str):
    ran = invoke("import", "-", "--agent", "poet", "--store", place, stdin=data)
    assert ran.code == 1
    assert ran.err.count("\n") == 1


def test_an_id_that_is_taken(place: str):
    def again(*options: str):
        words = ("import", "--session-id", "road-1", "--agent", "researcher", "--store", place)
        return invoke(*words, *options, stdin=turn("Another way", "Yes."))

    assert again().code == 1
    assert again("--on-conflict", "rename").out == "road-1-2\n"
    assert again("--on-conflict", "replace").out == "road-1\n"
    known = invoke("info", "road-1", "--store", place, "--json").json
    assert len(known["branches"]) == 1
    assert again("--on-conflict", "error").code == 1
    skipped = again("--on-conflict", "skip", "--json")
    assert (skipped.code, skipped.json[0]["status"]) == (0, "skipped")
    assert len(invoke("info", "road-1", "--store", place, "--json").json["branches"]) == 1


def test_what_is_typed_ends_with_one_end_of_file(folder: Path):
    ours, theirs = pty.openpty()
    os.write(ours, turn("Typed", "Yes.") + b"\n\x04")
    running = subprocess.Popen(
        [*COMMAND, "import", "-", "--agent", "poet", "--session-id", "typed", "--store", folder],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    os.close(theirs)
    try:
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
        os.close(ours)
    assert (running.returncode, out, err) == (0, b"typed\n", b"")


def test_progress_is_for_the_terminal_and_results_for_the_pipe(folder: Path, tmp_path: Path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_bytes(turn(name, "yes"))
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [*COMMAND, "import", "one.json", "two.json", "--agent", "poet", "--store", folder],
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=tmp_path,
        env=environment(),
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the other end is closed
        while piece := os.read(ours, 1 << 16):  # all along: a terminal holds little unread
            shown += piece
    os.close(ours)
    out, _ = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, b"one\ntwo\n")
    assert b"Importing" in shown


def test_a_name_that_is_no_id_gets_one_made(place: str, tmp_path: Path):
    (tmp_path / "a name.json").write_bytes(turn("a", "b"))
    ran = invoke("import", tmp_path / "a name.json", "--agent", "poet", "--store", place)
    assert ran.out.startswith("session_")


def test_what_was_imported_before_is_left(place: str, tmp_path: Path):
    file = tmp_path / "road-1.jsonl"
    assert invoke("export", "road-1", "-o", file, "--store", place).code == 0
    assert file.read_text().startswith("{")
    words = ("import", file, "--agent", "researcher", "--store", place)
    again = invoke(*words)
    assert (again.code, again.out) == (0, "")
    assert "1 unchanged" in again.err
    assert invoke(*words, "--json").json[0]["status"] == "unchanged"


@pytest.mark.parametrize("kind", ["zip", "tar.zst"])
def test_a_whole_store_goes_to_another(kind: str, place: str, tmp_path: Path):
    file, other = tmp_path / f"all.{kind}", tmp_path / "other"
    done = invoke("export", "--all", "-o", file, "--store", place, "--json").json
    assert done == {"file": str(file), "sessions": 7}
    ran = invoke("import", file, "--trusted", "--store", other)
    assert ran.code == 0
    assert "7 imported" in ran.err
    for options in ((), ("--owner", "alice")):
        before, after = (
            invoke("list", "--all", *options, "--store", store, "--json").json
            for store in (place, other)
        )
        assert after == before
    assert "7 unchanged" in invoke("import", file, "--trusted", "--store", other).err
    one = invoke("export", "--all", "--agent", "writer", "-f", kind, "-o", tmp_path, *where(place))
    assert (one.code, one.out) == (0, f"{tmp_path}/writer.{kind}\n")


def where(place: str) -> tuple[str, str]:
    return ("--store", place)


def test_an_archive_goes_through_pipes(folder: Path, tmp_path: Path):
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run(
            [*COMMAND, "export", "--all", "--store", folder],
            stdout=out,
            stderr=subprocess.PIPE,
            env=environment(),
            check=True,
            timeout=60,
        )
    assert done.stderr == b""
    archive = (tmp_path / "out").read_bytes()
    assert archive.startswith(b"PK")
    ran = process("import", "--store", tmp_path / "other", stdin=archive)
    assert ran.code == 0
    assert len(ran.out.split()) == 7
    shown = terminal("export", "--all", "-o", "-", "--store", folder)
    assert shown.code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("export", "--all", "--format", "html"),
        ("export", "draft", "--format", "zip"),
        ("export", "draft", "--all"),
        ("export", "draft", "--json", "--format", "html"),
        ("export", "--all", "--json"),
    ],
)
def test_what_does_not_go_together(words: tuple[str, ...], place: str):
    ran = invoke(*words, "--store", place)
    assert (ran.code, ran.out) == (2, "")


def test_json_to_a_pipe_is_the_session(place: str):
    ran = invoke("export", "road-2", "--store", place, "--json")
    assert ran.code == 0
    assert [message["kind"] for message in ran.json] == ["request", "response"]


def test_what_became_of_an_archive_that_is_damaged_further_on(place: str, tmp_path: Path):
    """What was stored before is told."""
    whole, damaged = tmp_path / "whole.zip", tmp_path / "damaged.zip"
    invoke("export", "--all", "-o", whole, "--store", place)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(damaged, "w") as target:
        names = source.namelist()
        for name in names:
            lines = source.read(name).splitlines(keepends=True)
            target.writestr(name, b"".join(lines[:-1] if name == names[-2] else lines))
    ran = invoke("import", damaged, "--trusted", "--store", tmp_path / "other", "--json")
    assert ran.code == 1
    assert [one["status"] for one in ran.json] == ["imported"] * (len(names) - 2) + ["failed"]
    assert names[-2] in ran.json[-1]["error"]


def test_conversations_of_another_program(place: str):
    said = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]
    ran = invoke(
        *("import", "-", "--agent", "poet", "--store", place), stdin=json.dumps(said).encode()
    )
    assert ran.code == 0
    shown = invoke("show", ran.out.strip(), "--store", place, "--json").json["messages"]
    assert [item["content"] for item in shown] == ["Hello", "Hi."]


def test_a_data_export_in_its_zip(place: str, tmp_path: Path):
    file = tmp_path / "export.zip"
    said = [
        {"uuid": "m1", "sender": "human", "text": "Hello", "created_at": "2026-01-02T03:04:05Z"},
        {"uuid": "m2", "sender": "assistant", "text": "Hi.", "created_at": "2026-01-02T03:04:06Z"},
    ]
    one = {"uuid": "7c5e1d9a-0000-4000-8000-000000000001", "name": "A talk", "chat_messages": said}
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("conversations.json", json.dumps([one]))
        made.writestr("users.json", "[]")
    words = ("import", file, "--agent", "poet", "--store", place)
    first = invoke(*words)
    assert first.code == 0
    assert invoke("info", first.out.strip(), *where(place), "--json").json["title"] == "A talk"
    assert invoke(*words, "--session-id", "x").code == 2


@pytest.mark.parametrize("data", [b"PK\x03\x04 cut off", b"PK", b"\x28\xb5\x2f\xfd", b"\x28\xb5"])
def test_a_broken_archive_is_one_line(data: bytes, place: str):
    ran = invoke("import", "-", "--store", place, stdin=data)
    assert ran.code == 1
    assert ran.err.count("\n") == 1
