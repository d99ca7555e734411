"""`mythline delete`, `restore`, `purge` and `prune`."""

import asyncio
from pathlib import Path

import pytest

from mythline import open_store

from .support import Ran, invoke, terminal, turn


def listed(folder: Path, *options: str) -> list[str]:
    found = invoke("list", "--all", *options, "--store", folder, "--json").json
    return [one["session_id"] for one in found]


@pytest.mark.parametrize(
    "words",
    [
        ("delete", "draft"),
        ("delete", "draft", "--permanent"),
        ("delete", "--all", "--agent", "writer"),
        ("prune", "--keep", "0"),
    ],
)
def test_nothing_is_lost_in_a_pipe_without_yes(words: tuple[str, ...], folder: Path):
    before = listed(folder)
    ran = invoke(*words, "--store", folder, stdin=b"y\n")
    assert ran.code == 1
    assert "--yes" in ran.err
    assert listed(folder) == before


def test_a_person_is_asked(folder: Path):
    words = ("delete", "draft", "road-1", "--store", folder)
    no = terminal(*words, answer="n")
    assert no.code == 1
    assert "2 sessions" in no.out
    assert "Chapter one" in no.out
    assert terminal(*words, answer="").code == 1
    stopped = terminal(*words, interrupt=True)
    assert stopped.code == 130
    assert "Traceback" not in stopped.out
    assert {"draft", "road-1"} <= set(listed(folder))
    yes = terminal(*words, answer="y")
    assert yes.code == 0
    assert "draft: deleted" in yes.out
    assert not {"draft", "road-1"} & set(listed(folder))


def test_each_is_done_by_itself(folder: Path):
    ran = invoke("delete", "draft", "nothing", "road-1", "draft", "--yes", "--store", folder)
    assert ran.code == 1
    assert ran.out == "draft: deleted\nroad-1: deleted\n"
    assert "nothing" in ran.err
    assert not {"draft", "road-1"} & set(listed(folder))


def test_results_as_json(folder: Path):
    ran = invoke("delete", "draft", "nothing", "road-1", "--yes", "--json", "--store", folder)
    done, failed, last = ran.json
    assert last["session_id"] == "road-1"
    assert done == {
        "session_id": "draft",
        "agent_id": "writer",
        "status": "deleted",
        "detail": None,
    }
    assert (failed["session_id"], failed["status"]) == ("nothing", "failed")
    assert "nothing" in failed["detail"]


def test_restore_brings_it_all_back(folder: Path):
    before = invoke("info", "road-2", "--store", folder, "--json").json
    invoke("delete", "road-2", "--yes", "--store", folder)
    assert invoke("restore", "road", "--store", folder).out == "road-2: restored\n"
    after = invoke("info", "road-2", "--store", folder, "--json").json
    for name in ("title", "tags", "head_id", "message_count", "created"):
        assert after[name] == before[name]


def test_restore_under_another_id(folder: Path):
    where = ("--agent", "writer", "--store", folder)
    invoke("delete", "draft", "--yes", *where)
    invoke("create", "draft", *where)
    taken = invoke("restore", "draft", *where)
    assert taken.code == 1
    assert "exists" in taken.err
    ran = invoke("restore", "draft", "--session-id", "draft-2", *where)
    assert ran.out == "draft: restored as draft-2\n"
    assert invoke("info", "draft-2", *where, "--json").json["title"] == "Chapter one"


def in_trash(folder: Path) -> list[str]:
    async def look() -> list[str]:
        async with open_store(folder) as store:
            found = await store.sessions("writer").trash()
            return [info.session_id for info in found]

    return asyncio.run(look())


def test_permanent_leaves_nothing_to_restore(folder: Path):
    ran = invoke("delete", "draft", "--permanent", "--yes", "--store", folder)
    assert ran.out == "draft: purged\n"
    assert invoke("restore", "draft", "--agent", "writer", "--store", folder).code == 1


def test_purge_is_for_the_trash_alone(folder: Path):
    where = ("--agent", "writer", "--store", folder)
    assert invoke("purge", "draft", "--yes", *where).code == 1
    assert "draft" in listed(folder)
    invoke("delete", "draft", "--yes", *where)
    invoke("create", "draft", *where)
    refused = invoke("purge", "draft", "--yes", *where)
    assert refused.code == 1
    assert "another id" in refused.err
    assert in_trash(folder) == ["draft"]
    invoke("delete", "draft", "--permanent", "--yes", *where)
    assert invoke("purge", "draft", "--yes", *where).out == "draft: purged\n"
    assert in_trash(folder) == []


def test_all_of_an_agent(folder: Path):
    where = ("--agent", "writer", "--store", folder)
    assert invoke("delete", "--all", "--yes", "--store", folder).code == 2
    assert invoke("delete", "--all", "--yes", *where).out == "2 sessions deleted.\n"
    assert sorted(in_trash(folder)) == ["draft", "shared"]
    assert len(listed(folder)) == 4
    assert invoke("purge", "--all", "--yes", *where, "--json").json == {
        "agent_id": "writer",
        "purged": 2,
    }
    assert in_trash(folder) == []


# Prune


def prune(folder: Path, *options: str) -> Ran:
    return invoke("prune", *options, "--store", folder)


def test_a_dry_run_says_what_would_go(folder: Path):
    before = listed(folder)
    ran = prune(folder, "--keep", "2", "--dry-run")
    assert [row[0] for row in ran.rows] == ["road-1", "road-2"]
    assert "2 sessions" in ran.err
    assert listed(folder) == before
    found = prune(folder, "--keep", "2", "--dry-run", "--json").json
    assert (found["pruned"], found["sessions"], found["dry_run"]) == (2, ["road-1", "road-2"], True)
    assert found["bytes"] > 100
    assert [one["agent_id"] for one in found["agents"]] == ["researcher", "writer"]


def test_prune_keeps_what_is_pinned(folder: Path):
    invoke("update", "road-1", "--pin", "--store", folder)
    found = prune(folder, "--keep", "0", "--agent", "researcher", "--yes", "--json").json
    assert found["sessions"] == ["road-2", "road-3", "shared"]
    assert not found["dry_run"]
    assert listed(folder, "--agent", "researcher") == ["road-1"]
    assert len(listed(folder, "--agent", "writer")) == 2


def test_prune_by_age_and_by_size(folder: Path):
    assert prune(folder, "--older-than", "1h", "--yes").code == 0
    assert len(listed(folder)) == 6
    invoke("import", "-", "--agent", "writer", "--store", folder, stdin=turn("x" * 5000, "y"))
    found = prune(folder, "--max-bytes", "5kB", "--dry-run", "--json").json
    assert found["pruned"] == 3
    assert prune(folder, "--older-than", "0s", "--yes").code == 0
    assert listed(folder) == []


def test_prune_shows_what_it_asks_about(folder: Path):
    asked = terminal("prune", "--keep", "1", "--store", folder, answer="n")
    assert asked.code == 1
    assert "road-1" in asked.out
    assert "4 sessions" in asked.out
    assert len(listed(folder)) == 6
    assert terminal("prune", "--keep", "1", "--store", folder, answer="y").code == 0
    assert len(listed(folder)) == 2


@pytest.mark.parametrize("words", [("delete", "--permanent"), ("purge",)])
def test_what_goes_for_good_unasked_is_named_whole(words: tuple[str, ...], folder: Path):
    verb, *options = words
    if verb == "purge":
        invoke("delete", "draft", "--yes", "--store", folder)
    refused = invoke(verb, "dra", *options, "--yes", "--store", folder)
    assert refused.code == 1
    assert "'draft'" in refused.err
    assert invoke(verb, "draft", *options, "--yes", "--store", folder).code == 0
