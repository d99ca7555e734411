"""Help, exit codes, and errors of one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mythline.cli import VERBS

from .support import COMMAND, Ran, environment, invoke, process, turn

REQUIRED = set(
    "agents list show search create rename tag fork delete restore prune export import doctor "
    "migrate serve".split()
)


def test_all_verbs_are_there():
    assert set(VERBS) >= REQUIRED
    listed = invoke("--help").out
    assert all(f"\n  {name} " in listed for name in VERBS)
    assert invoke().out == listed


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_help_with_an_example(name: str):
    ran = invoke(name, "--help")
    assert ran.code == 0
    assert f"\n  Example: mythline {name}" in ran.out
    assert {"--store", "--agent", "--json"} <= set(ran.out.split())
    assert ("--owner" in ran.out) == (name != "serve")
    assert "..." not in ran.out.replace("]...", "").replace("}...", "")


def test_version():
    assert invoke("--version").out.startswith("mythline 0.")


def check_error(ran: Ran, code: int, *words: str) -> None:
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("mythline: ")
    assert ran.err.count("\n") == 1
    assert all(word in ran.err for word in words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no",), "--help"),
        (("list", "--no"), "--no"),
        (("list", "--limit", "0"), "--limit"),
        (("list", "--order", "size"), "--order"),
        (("list", "--agent", "../x"), "Not an agent id"),
        (("list", "--owner", ""), "Not an owner"),
        (("show",), "ID"),
        (("show", "../x"), "Not a session id"),
        (("show", "latest", "--include", "all"), "tools, thinking, system"),
        (("show", "latest", "--last", "0"), "--last"),
        (("prune",), "--older-than"),
        (("prune", "--older-than", "soon"), "30d"),
        (("prune", "--max-bytes", "big"), "10MB"),
        (("update", "latest", "--metadata", "[]"), "JSON object"),
        (("delete",), "--all"),
        (("delete", "draft", "--all"), "--all"),
        (("restore",), "--trash"),
        (("restore", "a", "b", "--session-id", "c"), "--session-id"),
        (("purge",), "--all"),
        (("export",), "--all"),
        (("export", "draft", "road-1"), "--output"),
        (("import", "a", "b", "--session-id", "c"), "--session-id"),
        (("create",), "researcher, writer"),
        (("create", "latest", "--agent", "writer"), "reserved"),
        (("create", "--title", "x" * 201, "--agent", "writer"), "200"),
    ],
)
def test_wrong_usage_is_2(words: tuple[str, ...], said: str, place: str):
    check_error(invoke(*words, *(("--store", place) if words[0] != "no" else ())), 2, said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "nothing"), "mythline list"),
        (("show", "draft", "--agent", "researcher"), "researcher"),
        (("show", "latest", "--agent", "nobody"), "no sessions"),
        (("restore", "draft"), "trash"),
        (("create", "draft", "--agent", "writer"), "exists"),
        (("show", "draft", "--owner", "alice"), "draft"),
        (("import", "/nowhere/at-all.json", "--agent", "writer"), "/nowhere/at-all.json"),
    ],
)
def test_what_is_not_there_is_1(words: tuple[str, ...], said: str, place: str):
    check_error(invoke(*words, "--store", place), 1, said)


def test_errors_do_not_steer_the_terminal(place: str):
    ran = invoke("show", "\x1b[31m", "--store", place)
    check_error(ran, 2)
    assert "\x1b" not in ran.err


@pytest.mark.parametrize("words", [("list",), ("show", "x"), ("doctor",), ("migrate",)])
def test_nothing_is_made_where_there_is_no_store(words: tuple[str, ...], tmp_path: Path):
    check_error(process(*words, cwd=tmp_path), 1, "--store")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_none_is_one_line(folder: Path):
    (folder / "sessions.sqlite3").write_bytes(b"no database" * 1000)
    for name in ("-wal", "-shm"):
        (folder / f"sessions.sqlite3{name}").unlink(missing_ok=True)
    check_error(process("list", "--store", folder), 1)


def test_a_reader_that_is_gone_is_no_error(folder: Path):
    """As in `mythline show ID | head -n 1`, with more than a pipe holds."""
    for number in range(40):
        invoke("create", f"s{number}", "--title", "x" * 200, "--store", folder, "--agent", "other")
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [*COMMAND, "list", "--json", "--store", folder],
        stdout=write,
        stderr=subprocess.PIPE,
        env=environment(),
        check=False,
        timeout=60,
    )
    os.close(write)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_a_reader_that_goes_in_the_middle_is_no_error(folder: Path):
    """Also with one long piece of JSON, and where Python doesn't buffer, as in containers."""
    invoke(
        "import", "--agent", "a", "--session-id", "long", "--store", folder, stdin=turn("x" * 10**6)
    )
    for unbuffered in ("1", ""):
        running = subprocess.Popen(
            [*COMMAND, "show", "long", "--json", "--store", folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment({"PYTHONUNBUFFERED": unbuffered}),
        )
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.read(1) == b"{"
        running.stdout.close()
        assert (running.wait(60), running.stderr.read()) == (141, b"")
        running.stderr.close()


@pytest.mark.parametrize("unbuffered", ["1", ""])
def test_a_full_disk_is_one_line(unbuffered: str, place: str):
    for words in (["list"], ["list", "--json"], ["export", "road-1"]):
        with Path("/dev/full").open("wb") as full:
            ran = subprocess.run(
                [*COMMAND, *words, "--store", place],
                stdout=full,
                stderr=subprocess.PIPE,
                env=environment({"PYTHONUNBUFFERED": unbuffered}),
                check=False,
                timeout=60,
            )
        assert (ran.returncode, ran.stderr) == (1, b"mythline: No space left on device.\n")


@pytest.mark.parametrize(
    ("words", "closed", "code"),
    [
        ("list", ">&-", 0),
        ("list", ">&- 2>&-", 0),
        ("list --bogus", "2>&-", 2),
        ("import --agent a", "<&-", 1),
        ("delete road-1", "<&-", 1),
    ],
)
def test_streams_may_be_closed(words: str, closed: str, code: int, place: str):
    """As those of a program that runs in the background may be."""
    script = f'exec {sys.executable} -m mythline {words} --store "$0" {closed}'
    ran = subprocess.run(
        ["sh", "-c", script, place],
        capture_output=True,
        env=environment(),
        check=False,
        timeout=60,
    )
    assert ran.returncode == code
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_json_has_every_character_in_every_encoding(encoding: str, place: str):
    title = "日本 é 🐉"
    assert invoke("rename", "road-1", title, "--store", place).code == 0
    ran = subprocess.run(
        [*COMMAND, "info", "road-1", "--json", "--store", place],
        capture_output=True,
        env=environment({"PYTHONIOENCODING": encoding}),
        check=True,
        timeout=60,
    )
    assert json.loads(ran.stdout)["title"] == title


def test_an_interrupted_command_is_130_and_quiet(place: str):
    running = subprocess.Popen(
        [*COMMAND, "import", "-", "--agent", "writer", "--store", place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.write(b"[")
    running.stdin.flush()
    # It waits for more when it has read what there is.
    ends = time.monotonic() + 60
    while _unread(running.stdin.fileno()):
        assert time.monotonic() < ends, "it doesn't read"
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    assert running.wait(60) == 130
    running.stdin.close()
    assert running.stderr is not None
    assert (running.stdout.read(), running.stderr.read()) == (b"", b"")
    running.stdout.close()
    running.stderr.close()


def _unread(pipe: int) -> int:
    """Bytes that wait in a pipe."""
    import array
    import fcntl
    import termios

    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize("words", [("--help",), ("list",), ("show", "draft"), ("search", "road")])
def test_what_is_read_only_needs_nothing_heavy(words: tuple[str, ...], place: str):
    """Pydantic AI takes half a second to import, and rich a tenth."""
    store = () if words == ("--help",) else ("--store", place)
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mythline", *words, *store],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
        timeout=60,
    )
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"pydantic_ai", "fastapi", "granian", "rich"}
