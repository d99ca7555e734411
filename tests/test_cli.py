"""The command line, run as people and programs run it."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from mythline import open_store


@pytest.fixture
def store(tmp_path: Path) -> Path:
    async def fill() -> None:
        async with open_store(tmp_path / "store") as store:
            for agent, number in (("researcher", 3), ("writer", 2)):
                for index in range(number):
                    await store.sessions(agent).create(f"s{index}", title=f"Title\x1b[31m {index}")

    asyncio.run(fill())
    return tmp_path / "store"


def mythline(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mythline", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
    )


def test_list_shows_the_newest_first_and_is_plain_in_a_pipe(store: Path):
    run = mythline("list", "--store", store)
    assert run.returncode == 0
    rows = [line.split("\t") for line in run.stdout.splitlines()]
    assert [(row[1], row[0]) for row in rows] == [
        ("writer", "s1"),
        ("writer", "s0"),
        ("researcher", "s2"),
        ("researcher", "s1"),
        ("researcher", "s0"),
    ]
    assert "\x1b" not in run.stdout


def test_list_of_one_agent_as_json(store: Path):
    run = mythline("list", "--store", store, "--agent", "researcher", "--limit", "2", "--json")
    found = json.loads(run.stdout)
    assert [item["session_id"] for item in found] == ["s2", "s1"]
    assert found[0]["last_modified"].endswith("Z")
    assert found[0]["message_count"] == 0


def test_list_has_files_that_another_program_just_wrote(store: Path):
    for agent in ("researcher", "reader"):
        file = store / agent / "context_memory" / "new.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('[{"kind":"request","parts":[{"part_kind":"user-prompt","content":"Hi"}]}]')
    found = json.loads(mythline("list", "--store", store, "--json").stdout)
    new = [(item["agent_id"], item["title"]) for item in found if item["session_id"] == "new"]
    assert sorted(new) == [("reader", "Hi"), ("researcher", "Hi")]
    assert len(found) == 7


def test_agents(store: Path):
    found = json.loads(mythline("agents", "--store", store, "--json").stdout)
    assert [(item["agent_id"], item["session_count"]) for item in found] == [
        ("researcher", 3),
        ("writer", 2),
    ]
    assert all(item["last_modified"].endswith("Z") for item in found)
    rows = mythline("agents", "--store", store).stdout.splitlines()
    assert [row.split("\t")[:2] for row in rows] == [["researcher", "3"], ["writer", "2"]]


def test_a_list_makes_nothing(tmp_path: Path):
    run = mythline("list", cwd=tmp_path)
    assert run.returncode == 2
    assert "--store" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_store_has_no_sessions_yet(tmp_path: Path):
    run = mythline("list", "--store", tmp_path)
    assert (run.returncode, run.stdout) == (0, "No sessions yet.\n")


@pytest.mark.parametrize(
    "arguments", [("list", "--agent", "../x"), ("list", "--limit", "0"), ("no",)]
)
def test_bad_usage_is_2_and_no_stack(arguments: tuple[str, ...], store: Path):
    run = mythline(*arguments, *(("--store", store) if arguments[0] == "list" else ()))
    assert run.returncode == 2
    assert run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_serve_refuses_other_addresses_than_loopback(host: str, tmp_path: Path):
    run = mythline("serve", "--host", host, "--store", tmp_path)
    assert run.returncode == 2
    assert "--insecure" in run.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [(), ("serve",), ("list",), ("agents",)])
def test_every_command_has_help_with_an_example(command: tuple[str, ...]):
    run = mythline(*command, "--help")
    assert run.returncode == 0
    if command:
        assert f"Example: mythline {command[0]}" in run.stdout
