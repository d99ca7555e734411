"""`mythline doctor` and `mythline migrate`."""

import contextlib
import sqlite3
from pathlib import Path

from .support import invoke, process, terminal


def test_nothing_is_wrong(place: str):
    ran = invoke("doctor", "--store", place)
    assert (ran.code, ran.out) == (0, "Nothing is wrong.\n")
    assert invoke("doctor", "--store", place, "--json").json == []


def test_migrate(place: str):
    assert invoke("migrate", "--store", place).code == 0
    assert invoke("migrate", "--store", place, "--json").json == {"status": "migrated"}


def test_what_is_wrong_is_explained(folder: Path):
    foreign = folder / "researcher" / "context_memory" / "a name with spaces.json"
    foreign.write_text("[]")
    ran = process("doctor", "--store", folder)
    assert ran.code == 1
    assert "file" in ran.out
    (found,) = invoke("doctor", "--store", folder, "--json").json
    assert found["agent_id"] == "researcher"
    assert not found["is_fixed"]
    assert invoke("doctor", "--agent", "writer", "--store", folder).code == 0
    shown = terminal("doctor", "--store", folder)
    assert shown.code == 1
    assert found["kind"] in shown.out


def test_a_damaged_database_is_a_finding(folder: Path):
    (folder / "sessions.sqlite3").write_bytes(b"nothing that SQLite knows" * 400)
    ran = invoke("doctor", "--store", folder)
    assert ran.code == 1
    assert ran.out.startswith("wrong: integrity: ")
    ran = invoke("doctor", "--fix", "--store", folder, "--json")
    assert ran.code == 1
    (found,) = ran.json
    assert (found["kind"], found["can_fix"]) == ("integrity", False)
    assert invoke("list", "--store", folder).code == 1


def damage(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "sessions.sqlite3")) as database, database:
        assert database.execute(statement).rowcount == 1


def test_a_session_that_is_damaged(folder: Path, tmp_path: Path):
    """It is told of in one line, the others go on, and an archive has them."""
    first = "(SELECT line << 20 FROM sessions WHERE session_id = 'road-1' AND owner = '')"
    damage(folder, f"DELETE FROM entries WHERE n = {first}")
    for words in (("show", "road-1"), ("export", "road-1", "--format", "jsonl")):
        ran = process(*words, "--store", folder)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert "doctor" in ran.err
        assert str(folder) not in ran.err
    assert len(invoke("list", "--agent", "researcher", "--store", folder, "--json").json) == 4
    assert invoke("show", "road-2", "--store", folder).code == 0
    file = tmp_path / "all.zip"
    ran = invoke("export", "--all", "-o", file, "--store", folder)
    assert ran.code == 1
    assert "researcher/road-1" in ran.err
    assert invoke("import", file, "--trusted", "--store", tmp_path / "other").code == 0
    assert len(invoke("list", "--agent", "researcher", "--store", tmp_path / "other").rows) == 3
    assert invoke("doctor", "--fix", "--store", folder).code == 0
    assert "It is long." in invoke("show", "road-1", "--store", folder).out
    assert invoke("export", "--all", "-o", file, "--yes", "--store", folder).code == 0


def test_what_is_no_json_any_more_is_emptied(folder: Path):
    damage(folder, "UPDATE session_state SET usage = x'6e6f' WHERE n = 1")
    ran = process("info", "road-1", "--store", folder)
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "usage" in invoke("doctor", "--store", folder).out
    ran = invoke("doctor", "--fix", "--store", folder)
    assert ran.code == 0
    assert "emptied" in ran.out
    assert invoke("info", "road-1", "--store", folder, "--json").json["usage"] == {}


def test_a_view_that_is_no_json_any_more_is_put_right(folder: Path):
    view = folder / "researcher" / "context_memory" / "road-1.json"
    before = view.read_bytes()
    view.write_bytes(before[:50])
    assert invoke("doctor", "--store", folder).code == 1
    assert process("doctor", "--fix", "--store", folder).code == 0
    assert view.read_bytes() == before
    (kept,) = (view.parent / "unreadable").iterdir()
    assert kept.read_bytes() == before[:50]
    assert invoke("doctor", "--store", folder).code == 0
