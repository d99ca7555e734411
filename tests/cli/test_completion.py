"""What a shell offers."""

import subprocess
from pathlib import Path

import pytest

from .support import COMMAND, environment, invoke


def offered(place: str, words: str) -> list[str]:
    done = subprocess.run(
        COMMAND,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(
            {
                "_MYTHLINE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split(" ")) - 1),
                "MYTHLINE_STORE": place,
            }
        ),
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_sessions_are_offered_newest_first(place: str):
    assert offered(place, "mythline show road") == ["road-3", "road-2", "road-1"]
    assert offered(place, "mythline show --owner alice ") == ["road-1"]
    assert offered(place, "mythline rename --agent writer ") == ["shared", "draft"]
    assert offered(place, "mythline delete road-1 dr") == ["draft"]


def test_agents_and_deleted_sessions_are_offered(folder: Path):
    place = str(folder)
    assert offered(place, "mythline list --agent ") == ["researcher", "writer"]
    assert offered(place, "mythline list --agent w") == ["writer"]
    invoke("delete", "draft", "--yes", "--store", place)
    assert offered(place, "mythline restore ") == ["draft"]


@pytest.mark.parametrize("words", ["mythline show ", "mythline list --agent "])
def test_nothing_is_said_where_there_is_no_store(words: str, tmp_path: Path):
    assert offered(str(tmp_path / "none"), words) == []
    assert list(tmp_path.iterdir()) == []
