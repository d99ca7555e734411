"""The examples of docs/cli.md run, in their order, in one place."""

import re
import shlex
from pathlib import Path

import pytest

from mythline.cli import VERBS

from .support import invoke

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
EXAMPLES = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def run(line: str) -> str:
    """What a line of a shell prints: commands with pipes between."""
    between = b""
    for command in line.split(" | "):
        name, *words = shlex.split(command)
        if name == "echo":
            between = f"{' '.join(words)}\n".encode()
        else:
            ran = invoke(*words, stdin=between)
            assert (name, ran.code) == ("mythline", 0), ran.err
            between = ran.out.encode()
    return between.decode()


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MYTHLINE_STORE", raising=False)
    said = {line: run(line) for line in EXAMPLES}
    assert "Where does it lead?" in said["mythline show ro"]
    assert said["mythline doctor --fix"] == "Nothing is wrong.\n"
    assert (tmp_path / "elsewhere" / "guide" / "context_memory" / "road.json").is_file()
    assert (tmp_path / "road.md").read_text().startswith("# ")


def test_every_verb_is_on_the_page():
    assert re.findall(r"^\| `([a-z]+)[ `]", PAGE, re.MULTILINE)[: len(VERBS)] == list(VERBS)
