"""`mythline doctor` and `mythline migrate`."""

from pathlib import Path

from .support import invoke, process, terminal


def test_nothing_is_wrong(folder: Path):
    ran = invoke("doctor", "--store", folder)
    assert (ran.code, ran.out) == (0, "Nothing is wrong.\n")
    assert invoke("doctor", "--store", folder, "--json").json == []


def test_migrate(folder: Path):
    assert invoke("migrate", "--store", folder).code == 0
    assert invoke("migrate", "--store", folder, "--json").json == {"status": "migrated"}


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
