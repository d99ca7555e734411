"""`mythline doctor` and `mythline migrate`."""

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
