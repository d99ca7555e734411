"""The command line and the server over PostgreSQL: addresses, schemas, and what nobody sees."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import psutil
import pytest

from mythline import context_memory, open_store
from mythline.cli import finding
from mythline.cli.place import Place
from mythline.errors import StoreCorrupt
from mythline.postgres import schema
from mythline.postgres.failures import translated
from tests.cli.support import COMMAND, environment, invoke, process, turn
from tests.postgres.programs import until
from tests.postgres.servers import ask

SECRET = "s3cr-et"


def with_password(database: str, *, user: str | None = None) -> str:
    """The address with a password, which servers that trust everyone don't look at."""
    parts = urlsplit(database)
    netloc = f"{user or parts.username}:{SECRET}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=netloc).geturl()


def test_the_life_of_a_session(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MYTHLINE_STORE", with_password(database))
    monkeypatch.chdir(tmp_path)

    def run(*words: object, stdin: bytes = b"") -> str:
        ran = invoke(*words, stdin=stdin)
        assert ran.code == 0, ran.err
        assert SECRET not in ran.out + ran.err
        return ran.out

    run("create", "tour", "--agent", "guide", "--title", "The old road", "--owner", "alice")
    words = ("import", "--session-id", "road", "--agent", "guide")
    assert run(*words, stdin=turn("Where?", "North.")) == "road\n"
    first, last = (m["entry_id"] for m in json.loads(run("show", "ro", "--json"))["messages"])
    run("rename", "road", "North")
    run("tag", "road", "lore")
    run("update", "road", "--pin", "--metadata", '{"a": 1}')
    assert run("fork", "road", "--session-id", "copy") == "copy\n"
    run("branch", "road", first)
    assert last in run("branches", "road")
    assert run("list", "--tag", "lore").startswith("road\t")
    assert run("agents").startswith("guide\t2\t")
    known = json.loads(run("info", "road", "--json"))
    assert (known["message_count"], known["title"], known["head_id"]) == (1, "North", first)
    run("delete", "road", "--yes")
    assert run("list", "--trash").startswith("road\t")
    run("restore", "road")
    assert run("prune", "--keep", "0", "--yes", "--json")
    assert [one["session_id"] for one in json.loads(run("list", "--json"))] == ["road"]
    run("export", "road", "-o", "road.jsonl")
    run("delete", "road", "--permanent", "--yes")
    run("purge", "copy", "--yes")
    assert run("import", "road.jsonl", "--agent", "guide") == "road\n"
    assert last in run("branches", "road")
    run("export", "--all", "-o", "all.zip")
    assert run("import", "all.zip", "--trusted", "--store", "elsewhere").split() == ["road", "tour"]
    assert run("doctor", "--fix") == "Nothing is wrong.\n"
    assert "version" in run("migrate")


def test_doctor_repairs(database: str):
    invoke("create", "one", "--agent", "guide", "--store", database)
    ask(database, "UPDATE mythline.sessions SET message_count = 3 RETURNING n")
    found = invoke("doctor", "--store", database)
    assert (found.code, found.out.split(":")[0]) == (1, "can be fixed")
    assert "folder" not in found.out + found.err
    assert invoke("doctor", "--fix", "--store", database).code == 0
    assert invoke("doctor", "--store", database).code == 0


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"netloc": f"u:{SECRET}@127.0.0.1:{{free}}"}, 1, "can't be reached"),
        ({"netloc": f"u:{SECRET}@127.0.0.1:{SECRET}"}, 2, "address can't be read"),
        ({"netloc": f"u:{SECRET}/x@127.0.0.1"}, 2, "address can't be read"),
        ({"netloc": f"u:{SECRET}@[::1"}, 2, "address can't be read"),
        ({"query": f"sslmode={SECRET}"}, 2, "address has an option"),
        ({"query": f"unheard_of={SECRET}"}, 2, "address has an option"),
        ({"query": f"statement_timeout={SECRET}"}, 2, "address has an option"),
        ({"user": "nobody_here"}, 1, "refuses the user or password"),
        ({"path": "/no_such_database"}, 1, "no such database"),
        ({"scheme": "postgresql+asyncpg"}, 2, "No store is known"),
        ({"scheme": "mysql"}, 2, "No store is known"),
    ],
)
@pytest.mark.parametrize("verb", [["list"], ["migrate"], ["import", "-"], ["doctor"]])
def test_addresses_that_lead_nowhere(
    change: dict[str, str], code: int, says: str, verb: list[str], database: str
):
    with socket.create_server(("127.0.0.1", 0)) as found:
        free = found.getsockname()[1]
    parts = urlsplit(with_password(database, user=change.get("user")))
    changed = {name: value for name, value in change.items() if name != "user"}
    address = parts._replace(**changed).geturl().replace("{free}", str(free))
    ran = invoke(*verb, "--store", address)
    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert SECRET not in ran.err


def test_without_the_extra(database: str):
    program = (
        "import sys; sys.modules['asyncpg'] = None; sys.argv[0] = 'mythline'; "
        "from mythline.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "list", "--store", with_password(database)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "mythline[postgres]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_migrate_makes_the_schema_and_repeats_itself(database: str):
    for _ in range(2):
        ran = invoke("migrate", "--store", database)
        assert (ran.code, ran.out) == (0, "The store is up to date. Its schema has version 1.\n")
    assert invoke("migrate", "--store", database, "--json").json == {"status": "migrated"}


def test_an_older_schema_waits_for_migrate(database: str, monkeypatch: pytest.MonkeyPatch):
    assert invoke("create", "one", "--agent", "guide", "--store", database).code == 0
    known = schema.migrations(schema.PACKAGE)
    more = (len(known) + 1, "CREATE TABLE mythline.more (x integer)")
    monkeypatch.setattr(schema, "migrations", lambda _: [*known, more])
    for verb in (["list"], ["serve", "--port", "1"]):
        ran = invoke(*verb, "--store", database)
        assert (ran.code, ran.out) == (1, "")
        assert "mythline migrate" in ran.err
    ran = invoke("migrate", "--store", database)
    assert (ran.code, "version 2" in ran.out) == (0, True)
    assert invoke("list", "--store", database).out.startswith("one\t")


@pytest.mark.parametrize("verb", [["list"], ["migrate"], ["doctor"], ["serve", "--port", "1"]])
def test_a_newer_schema_is_refused(verb: list[str], database: str):
    assert invoke("migrate", "--store", database).code == 0
    ask(database, "UPDATE mythline.schema SET version = 9, oldest = 8 RETURNING 1")
    ran = process(*verb, "--store", with_password(database))
    assert (ran.code, ran.out) == (1, "")
    assert "schema version 9" in ran.err
    assert "Upgrade Mythline" in ran.err
    assert "Traceback" not in ran.err
    assert SECRET not in ran.err
    ask(database, "UPDATE mythline.schema SET oldest = 1 RETURNING 1")
    if verb[0] != "serve":
        assert invoke(*verb, "--store", database).code == 0


def test_serve_makes_the_schema_and_keeps_the_password(database: str, tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    log = tmp_path / "log"
    with log.open("wb") as file:
        words = ["serve", "--port", str(port), "--store", with_password(database)]
        server = subprocess.Popen(
            [*COMMAND, *words], stdout=file, stderr=file, env=environment(), cwd=tmp_path
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

            def ready() -> bool:
                assert server.poll() is None, log.read_text()
                try:
                    return client.get("/ready").status_code == 200
                except httpx.TransportError:
                    return False

            until(ready, "serves")
            made = client.post("/api/agents/guide/sessions/create", json={"session_id": "one"})
            assert made.status_code == 201
            pages = [client.get(path).text for path in ("/docs", "/openapi.json", "/metrics", "/")]
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(True)]
        shown = [word for each in processes for word in each.cmdline()]
    finally:
        server.terminate()
        server.wait(30)
    assert server.returncode == 0
    assert "serves a PostgreSQL database at" in log.read_text()
    assert SECRET not in " ".join([*pages, *shown, log.read_text()])
    assert list(tmp_path.iterdir()) == [log]
    assert invoke("list", "--store", database).out.startswith("one\t")


def test_the_command_that_shows_a_hit_has_no_address(database: str):
    hit: Any = type(
        "Hit", (), {"session_id": "s", "agent_id": "a", "entry_id": "e", "role": "user"}
    )
    place = Place(open_store(database), None, None, False, with_password(database))
    assert finding._opening(place, hit).endswith("--at e --last 6")
    place.location = "here"
    assert finding._opening(place, hit).endswith("--store here")


def test_context_memory(database: str, monkeypatch: pytest.MonkeyPatch):
    from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

    messages = [ModelRequest([UserPromptPart("Where?")]), ModelResponse([TextPart("North.")])]
    monkeypatch.setenv("MYTHLINE_STORE", database)
    try:
        assert context_memory.load_context("guide", "one") == []
        assert context_memory.get_latest_session("guide") is None
        context_memory.save_context("guide", "one", messages[:1])
        context_memory.save_context("guide", "one", messages)
        assert context_memory.load_context("guide", "one") == messages
        assert context_memory.get_latest_session("guide") == "one"
    finally:
        context_memory.close()
    assert re.match("one\tguide\t2\t", invoke("list", "--store", database).out)


def test_a_damaged_database_is_told_as_one():
    told = translated(
        asyncpg.DataCorruptedError("invalid page in block 1 of relation base/5/16399")
    )
    assert isinstance(told, StoreCorrupt)
    assert "backup" in str(told)
    assert "folder" not in str(told)
