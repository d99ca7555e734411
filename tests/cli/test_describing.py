"""`mythline create`, `rename`, `tag`, `update` and `fork`."""

from pathlib import Path

from .support import invoke


def info(place: str, session: str, agent: str = "researcher") -> dict[str, object]:
    return invoke("info", session, "--agent", agent, "--store", place, "--json").json


def test_create_prints_the_id(place: str):
    ran = invoke(
        *("create", "--agent", "poet", "--title", "Ode", "--tag", "b", "--tag", "a"),
        *("--metadata", '{"k": [1]}', "--store", place),
    )
    assert (ran.code, ran.err) == (0, "")
    (identity,) = ran.out.splitlines()
    known = info(place, identity, "poet")
    assert (known["title"], known["tags"], known["metadata"]) == ("Ode", ["a", "b"], {"k": [1]})


def test_create_makes_the_store_and_takes_the_only_agent(tmp_path: Path):
    new = tmp_path / "new"
    assert invoke("create", "one", "--store", new).code == 2
    assert invoke("create", "one", "--agent", "poet", "--store", new).out == "one\n"
    assert invoke("create", "two", "--store", new, "--json").json["agent_id"] == "poet"


def test_rename(place: str):
    ran = invoke("rename", "road-2", "The\x1b[1m road", "--store", place)
    assert ran.out.startswith("road-2: The")
    assert "\x1b" not in ran.out
    assert str(info(place, "road-2")["title"]).startswith("The")
    assert invoke("rename", "road-2", "", "--store", place).out == (
        "road-2: The old road, part 2\n"
    )


def test_tag(place: str):
    ran = invoke("tag", "road-2", "draft", "idea", "--remove", "lore", "--store", place)
    assert ran.out == "draft\nidea\n"
    assert invoke("tag", "road-2", "--store", place).out == "draft\nidea\n"
    revision = info(place, "road-2")["revision"]
    invoke("tag", "road-2", "--store", place)
    assert info(place, "road-2")["revision"] == revision
    found = invoke("tag", "road-2", "--remove", "no", "--store", place, "--json").json
    assert found["tags"] == ["draft", "idea"]


def test_update_changes_only_what_is_named(place: str):
    words = ("update", "road-2", "--store", place)
    assert "pinned         yes" in invoke(*words, "--pin", "--title", "T").out
    found = invoke(*words, "--archive", "--metadata", '{"a": 1}', "--json").json
    assert (found["pinned"], found["archived"], found["title"]) == (True, True, "T")
    found = invoke(*words, "--unpin", "--unarchive", "--json").json
    assert (found["pinned"], found["archived"], found["metadata"]) == (False, False, {"a": 1})


def test_fork(place: str):
    where = ("--store", place)
    first = invoke("show", "road-1", *where, "--json").json["messages"][0]["entry_id"]
    whole = invoke("fork", "road-1", *where).out.strip()
    assert info(place, whole)["forked_from"] == "road-1"
    assert info(place, whole)["message_count"] == 2
    words = ("fork", "road-1", "--at", first, "--session-id", "other", "--title", "Other", *where)
    part = invoke(*words, "--json").json
    assert (part["session_id"], part["message_count"], part["title"]) == ("other", 1, "Other")
    assert invoke(*words).code == 1
