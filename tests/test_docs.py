"""Every example in the README and in docs/ runs, and says what is true."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from mythline.settings import Settings
from tests.http.servers import free_port

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text("utf-8"))):
            if match[1] == language:
                yield f"{page.name}-{number}", match[2]


PYTHON = list(blocks("python"))


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MYTHLINE_")}
    return kept | more


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=120,
    )


@pytest.mark.parametrize("code", [code for _, code in PYTHON], ids=[name for name, _ in PYTHON])
def test_python(code: str, tmp_path: Path):
    done = run("-W", "error", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_readme_shows_the_example_as_it_is():
    example = (ROOT / "examples" / "one_agent.py").read_text("utf-8")
    assert example in [code for _, code in PYTHON]
    assert len(example.splitlines()) <= 25


def commands(section: str) -> list[str]:
    """The commands that the README shows under a heading."""
    text = (ROOT / "README.md").read_text("utf-8")
    _, _, rest = text.partition(f"\n## {section}\n")
    found = re.findall(
        r"^```console\n(.*?)^```$", rest.partition("\n## ")[0], re.MULTILINE | re.DOTALL
    )
    return [
        line.removeprefix("$ ")
        for block in found
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


@contextlib.contextmanager
def served(folder: Path, *options: str, cwd: Path | None = None) -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "mythline", "serve", "--port", port, *options],
        cwd=cwd or folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):  # connecting takes its own time; a dead server ends it
            assert server.poll() is None
            try:
                httpx.get(f"{address}/health").raise_for_status()
            except httpx.TransportError:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(0.05)
            else:
                break
        yield address
    finally:
        server.terminate()
        _, log = server.communicate(timeout=60)
    assert server.returncode == 0, log


def test_the_two_minutes_of_the_readme(tmp_path: Path):
    """The commands are taken from the page, and run in their order against a server."""
    shown = commands("Two minutes")
    sent = [command.split() for command in shown if command.startswith("curl ")]
    assert len(sent) == 2
    with served(tmp_path) as address:
        answers = [
            httpx.request(
                words[2] if words[1] == "-X" else "GET",
                words[-1].replace("http://127.0.0.1:8000", address),
                timeout=60,
            )
            for words in sent
        ]
        created = answers[0].json()["session_id"]
        assert [item["session_id"] for item in answers[1].json()] == [created]
        folder = tmp_path / ".mythline" / "story_researcher" / "context_memory"
        assert [path.name for path in folder.iterdir()] == [f"{created}.json"]
    listed = run("-m", "mythline", "list", cwd=tmp_path)
    assert created in listed.stdout
    for command in shown:
        name, *words = command.split()
        if name == "mythline" and words[0] != "serve":
            assert run("-m", "mythline", *words, cwd=tmp_path).returncode == 0, command


def test_the_chat_of_the_readme_survives_a_restart(tmp_path: Path):
    make, *said = commands("From nothing to a chat that survives a restart")
    (spec,) = re.findall(r"make serve AGENT=(\S+)", make)
    answers: list[str] = []
    for command in said:
        words = shlex.split(command)
        headers = [words[i + 1] for i, word in enumerate(words) if word == "-H"]
        (url,) = [word for word in words if word.startswith("http://")]
        options = ("--store", str(tmp_path), "--agent", spec)
        with served(tmp_path, *options, cwd=ROOT) as address:
            response = httpx.post(
                url.replace("http://127.0.0.1:8000", address),
                timeout=60,
                content=words[words.index("-d") + 1],
                headers=dict(header.split(": ") for header in headers),
            )
        assert response.status_code == 200
        answers.append(response.text)
    assert "event: delta" in answers[0]
    assert "event: done" in answers[0]
    assert "Ada, you said 'Who am I?'" in answers[1]


def test_make_has_the_targets_that_the_pages_name():
    made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text("utf-8"))
    }
    assert {"serve", "test", "check", "benchmarks"} <= named <= set(made)


def test_variables_that_the_pages_name_are_known():
    code = "".join(
        path.read_text("utf-8")
        for folder in ("src", "examples", "tests/postgres")
        for path in (ROOT / folder).rglob("*.py")
    )
    known = set(re.findall(r"\bMYTHLINE_[A-Z_]+\b", code))
    known |= {f"MYTHLINE_{name.upper()}" for name in Settings.model_fields}
    for page in PAGES:
        named = set(re.findall(r"\bMYTHLINE_[A-Z_]*[A-Z]\b", page.read_text("utf-8")))
        assert named <= known, page.name


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
