"""The examples of docs/cli.md run, in their order, in one place."""

import re
import subprocess
import sys
from pathlib import Path

from mythline.cli import VERBS

from .support import environment

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
EXAMPLES = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def test_the_examples_run(tmp_path: Path):
    shim = f'set -e\nmythline() {{ "{sys.executable}" -m mythline "$@"; }}\n'
    done = subprocess.run(
        ["sh", "-c", shim + "\n".join(EXAMPLES)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert "Where does it lead?" in done.stdout
    assert (tmp_path / "elsewhere" / "guide" / "context_memory" / "road.json").is_file()
    assert (tmp_path / "road.md").read_text().startswith("# ")


def test_every_verb_is_on_the_page():
    assert re.findall(r"^\| `([a-z]+)[ `]", PAGE, re.MULTILINE)[: len(VERBS)] == list(VERBS)
