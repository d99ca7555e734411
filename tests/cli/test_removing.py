"""`mythline delete`, `restore`, `purge` and `prune`."""

import asyncio
import select
import signal
from pathlib import Path

import pytest

from mythline import open_store
from mythline.cli.asking import interruptible

from .support import Ran, invoke, terminal, turn


def listed(place: str, *options: str) -> list[str]:
    found = invoke("list", "--all", *options, "--store", place, "--json").json
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
def test_nothing_is_lost_in_a_pipe_without_yes(words: tuple[str, ...], place: str):
    before = listed(place)
    ran = invoke(*words, "--store", place, stdin=b"y\n")
    assert ran.code == 1
    assert "--yes" in ran.err
    assert listed(place) == before


def test_a_person_is_asked(place: str):
    words = ("delete", "draft", "road-1", "--store", place)
    no = terminal(*words, answer="n")
    assert no.code == 1
    assert "2 sessions" in no.out
    assert "Chapter one" in no.out
    assert terminal(*words, answer="").code == 1
    stopped = terminal(*words, interrupt=True)
    assert stopped.code == 130
    assert "Traceback" not in stopped.out
    assert {"draft", "road-1"} <= set(listed(place))
    yes = terminal(*words, answer="y")
    assert yes.code == 0
    assert "draft: deleted" in yes.out
    assert not {"draft", "road-1"} & set(listed(place))


def test_ctrl_c_is_seen_by_a_wait_that_only_begins():
    before = signal.getsignal(signal.SIGINT)

    def press() -> None:
        with interruptible() as pressed:
            assert not select.select([pressed], [], [], 0)[0]
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                assert select.select([pressed], [], [], 0)[0] == [pressed]

    with pytest.raises(KeyboardInterrupt):
        press()
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_each_is_done_by_itself(place: str):
    ran = invoke("delete", "draft", "nothing", "road-1", "draft", "--yes", "--store", place)
    assert ran.code == 1
    assert ran.out == "draft: deleted\nroad-1: deleted\n"
    assert "nothing" in ran.err
    assert not {"draft", "road-1"} & set(listed(place))


def test_results_as_json(place: str):
    ran = invoke("delete", "draft", "nothing", "road-1", "--yes", "--json", "--store", place)
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


def test_restore_brings_it_all_back(place: str):
    before = invoke("info", "road-2", "--store", place, "--json").json
    invoke("delete", "road-2", "--yes", "--store", place)
    assert invoke("restore", "road", "--store", place).out == "road-2: restored\n"
    after = invoke("info", "road-2", "--store", place, "--json").json
    for name in ("title", "tags", "head_id", "message_count", "created"):
        assert after[name] == before[name]


def test_restore_under_another_id(place: str):
    where = ("--agent", "writer", "--store", place)
    invoke("delete", "draft", "--yes", *where)
    invoke("create", "draft", *where)
    taken = invoke("restore", "draft", *where)
    assert taken.code == 1
    assert "exists" in taken.err
    ran = invoke("restore", "draft", "--session-id", "draft-2", *where)
    assert ran.out == "draft: restored as draft-2\n"
    assert invoke("info", "draft-2", *where, "--json").json["title"] == "Chapter one"


def in_trash(place: str) -> list[str]:
    async def look() -> list[str]:
        async with open_store(place) as store:
            found = await store.sessions("writer").trash()
            return [info.session_id for info in found]

    return asyncio.run(look())


def test_permanent_leaves_nothing_to_restore(place: str):
    ran = invoke("delete", "draft", "--permanent", "--yes", "--store", place)
    assert ran.out == "draft: purged\n"
    assert invoke("restore", "draft", "--agent", "writer", "--store", place).code == 1


def test_purge_is_for_the_trash_alone(place: str):
    where = ("--agent", "writer", "--store", place)
    assert invoke("purge", "draft", "--yes", *where).code == 1
    assert "draft" in listed(place)
    invoke("delete", "draft", "--yes", *where)
    invoke("create", "draft", *where)
    refused = invoke("purge", "draft", "--yes", *where)
    assert refused.code == 1
    assert "another id" in refused.err
    assert in_trash(place) == ["draft"]
    invoke("delete", "draft", "--permanent", "--yes", *where)
    assert invoke("purge", "draft", "--yes", *where).out == "draft: purged\n"
    assert in_trash(place) == []


def test_all_of_an_agent(place: str):
    where = ("--agent", "writer", "--store", place)
    assert invoke("delete", "--all", "--yes", "--store", place).code == 2
    assert invoke("delete", "--all", "--yes", *where).out == "2 sessions deleted.\n"
    assert sorted(in_trash(place)) == ["draft", "shared"]
    assert len(listed(place)) == 4
    assert invoke("purge", "--all", "--yes", *where, "--json").json == {
        "agent_id": "writer",
        "purged": 2,
    }
    assert in_trash(place) == []


# Prune


def prune(place: str, *options: str) -> Ran:
    return invoke("prune", *options, "--store", place)


def test_a_dry_run_says_what_would_go(place: str):
    before = listed(place)
    ran = prune(place, "--keep", "2", "--dry-run")
    assert [row[0] for row in ran.rows] == ["road-1", "road-2"]
    assert "2 sessions" in ran.err
    assert listed(place) == before
    found = prune(place, "--keep", "2", "--dry-run", "--json").json
    assert (found["pruned"], found["sessions"], found["dry_run"]) == (2, ["road-1", "road-2"], True)
    assert found["bytes"] > 100
    assert [one["agent_id"] for one in found["agents"]] == ["researcher", "writer"]


def test_prune_keeps_what_is_pinned(place: str):
    invoke("update", "road-1", "--pin", "--store", place)
    found = prune(place, "--keep", "0", "--agent", "researcher", "--yes", "--json").json
    assert found["sessions"] == ["road-2", "road-3", "shared"]
    assert not found["dry_run"]
    assert listed(place, "--agent", "researcher") == ["road-1"]
    assert len(listed(place, "--agent", "writer")) == 2


def test_prune_by_age_and_by_size(place: str):
    assert prune(place, "--older-than", "1h", "--yes").code == 0
    assert len(listed(place)) == 6
    invoke("import", "-", "--agent", "writer", "--store", place, stdin=turn("x" * 5000, "y"))
    found = prune(place, "--max-bytes", "5kB", "--dry-run", "--json").json
    assert found["pruned"] == 3
    assert prune(place, "--older-than", "0s", "--yes").code == 0
    assert listed(place) == []


def test_prune_shows_what_it_asks_about(folder: Path):
    place = str(folder)
    asked = terminal("prune", "--keep", "1", "--store", place, answer="n")
    assert asked.code == 1
    assert "road-1" in asked.out
    assert "4 sessions" in asked.out
    assert len(listed(place)) == 6
    assert terminal("prune", "--keep", "1", "--store", place, answer="y").code == 0
    assert len(listed(place)) == 2


@pytest.mark.parametrize("words", [("delete", "--permanent"), ("purge",)])
def test_what_goes_for_good_unasked_is_named_whole(words: tuple[str, ...], place: str):
    verb, *options = words
    if verb == "purge":
        invoke("delete", "draft", "--yes", "--store", place)
    refused = invoke(verb, "dra", *options, "--yes", "--store", place)
    assert refused.code == 1
    assert "'draft'" in refused.err
    assert invoke(verb, "draft", *options, "--yes", "--store", place).code == 0
