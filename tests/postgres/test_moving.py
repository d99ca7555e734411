"""A whole store goes from a directory to PostgreSQL and back, and is what it was."""

from __future__ import annotations

import asyncio
import io
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from mythline import open_store
from mythline.archives import every_session, export_all, import_archive
from mythline.ids import new_entry_ids
from mythline.models import now_micros
from mythline.postgres.texts import shown
from mythline.store import ANY, Append, SessionKey, Store
from mythline.testing.samples import deferred, saved, turn, turns, usage
from tests.cli.support import COMMAND, environment, invoke, terminal
from tests.postgres.programs import until
from tests.postgres.servers import ask

OWNERS = [None, "alice@example.com", "..", "a\\0b", "nul\0 in it", "@", "Ünï\u2028", "x" * 256]
ODD = [
    b'{"kind":"request", "parts":[{"part_kind":"hologram","content":"\\u0000","x":[1, 2]}]}',
    b'{"parts":[{"part_kind":"text","content":"Dear all"}],"kind":"letter"}',
    b'{"kind":"request","parts":[{"content":"\\u0000 and \\ud83d\\ude00","part_kind":"user-prompt",'
    b'"timestamp":"2031-01-01T00:00:00Z"}],"z":1e400,"a":0.10}',
    '{"kind":"response","parts":[{"content":"Ünï\u2028","part_kind":"text"}]}'.encode(),
]


async def fill(store: Store) -> None:
    """All that sessions have: forks, branches, owners, odd messages, and what they carry."""
    sessions = store.sessions("agent")
    first = await saved(sessions, "a", "b", usage=usage(), deferred_tool_requests=deferred())
    await sessions.fork_at("one", new_session_id="two")
    await sessions.branch("one", at=2, expected_revision=first.revision)
    await sessions.append("one", turn("c"))
    await sessions.append("two", turn("d"))
    await sessions.fork_at("two", new_session_id="three")
    await sessions.update("one", title="T\u00fc", tags=["x", "ü y"], pinned=True)
    await sessions.update("two", archived=True, metadata={"m": [1, {"\0": "\0"}], "ü": None})
    await sessions.create("empty", title="Nothing yet")
    await sessions.create("odd")
    append = Append(
        revision="r",
        expected=ANY,
        entry_ids=new_entry_ids(len(ODD)),
        bodies=ODD,
        updated=now_micros(),
    )
    await store.append(SessionKey(None, "agent", "odd"), append)
    for owner in OWNERS[1:]:
        await saved(store.sessions("agent", owner=owner), "whose", conversation_id="one")
    await saved(store.sessions("other"), "other", conversation_id="one")
    await saved(sessions, "gone", conversation_id="gone")
    await sessions.delete("gone")


async def packed(store: Store) -> bytes:
    return b"".join([piece async for _, piece in export_all(store)])


async def whole(store: Store) -> dict[tuple[str | None, str, str], tuple[bytes, object]]:
    """All sessions: every byte of each, and what is known of it."""
    found = {}
    for owner in await store.owners():
        for agent in await store.agents(owner):
            sessions = store.sessions(agent.agent_id, owner=owner)
            async for info in every_session(sessions):
                data = b"".join(await sessions.export(info.session_id, "jsonl"))
                known = await sessions.info(info.session_id)
                branches = await sessions.branches(info.session_id)
                texts = shown(known.preview), shown(known.title or "")
                told = texts, known.tags, known.size, known.usage, branches
                found[owner, agent.agent_id, info.session_id] = data, told
    return found


async def test_there_and_back(database: str, tmp_path: Path):
    async with (
        open_store(tmp_path / "here") as here,
        open_store(database) as there,
        open_store(tmp_path / "back") as back,
    ):
        await fill(here)
        before = await whole(here)
        assert {owner for owner, _, _ in before} == set(OWNERS)
        for source, target in ((here, there), (there, back)):
            data = io.BytesIO(await packed(source))
            moved = [one async for one in import_archive(target, data, trusted=True)]
            assert [one.status for one in moved] == ["imported"] * len(before)
            assert await whole(target) == before
            data.seek(0)
            again = [one async for one in import_archive(target, data, trusted=True)]
            assert {one.status for one in again} == {"unchanged"}
        assert [finding.kind async for finding in there.check()] == ["unreadable"]
        assert ask(database, "SELECT count(*) FROM mythline.entries") == [
            (sum(_entries(data) for data, _ in before.values()) - _shared(before),)
        ]


def _entries(data: bytes) -> int:
    return data.count(b'{"entry_id"')


def _shared(before: dict[tuple[str | None, str, str], tuple[bytes, object]]) -> int:
    """How many entries sessions have in common, which are stored once."""
    ids = [
        (owner, line.split(b'"')[3])
        for (owner, _, _), (data, _) in before.items()
        for line in data.splitlines()
        if line.startswith(b'{"entry_id"')
    ]
    return len(ids) - len(set(ids))


def same(one: str | Path, other: str | Path) -> bool:
    """Whether two stores have the same sessions."""

    async def all_of(location: str | Path) -> object:
        async with open_store(location, views=False) as store:
            return await whole(store)

    return asyncio.run(all_of(one)) == asyncio.run(all_of(other))


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A directory with 150 sessions."""

    async def save() -> None:
        async with open_store(tmp_path / "here", views=False) as store:
            sessions = store.sessions("agent")
            for number in range(150):
                await sessions.create(f"s{number}")
                await sessions.append(f"s{number}", turns(*(f"{number} {each}" for each in "ab")))

    asyncio.run(save())
    return tmp_path / "here"


def killed(words: Sequence[str], reached: Callable[[], object]) -> None:
    """Run a command, and kill it as soon as it has come so far."""
    running = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, env=environment())
    try:
        until(lambda: reached() or running.poll() is not None, "comes so far")
        assert running.poll() is None
    finally:
        running.kill()
        running.wait()


@contextmanager
def stopped_at(database: str, most: int) -> Iterator[None]:
    """Whoever makes more sessions than so many waits in the middle of it, and then is ended."""
    ask(
        database,
        "CREATE FUNCTION mythline.stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF (SELECT count(*) FROM mythline.sessions) >= {most} THEN PERFORM pg_sleep(3600); "
        "END IF; RETURN new; END $$",
    )
    ask(
        database,
        "CREATE TRIGGER stop BEFORE INSERT ON mythline.sessions "
        "FOR EACH ROW EXECUTE FUNCTION mythline.stop()",
    )
    try:
        yield
    finally:
        ask(
            database,
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event = 'PgSleep'",
        )
        ask(database, "DROP FUNCTION mythline.stop CASCADE")


def test_a_move_that_was_killed_goes_on(many: Path, database: str, tmp_path: Path):
    file = tmp_path / "all.zip"
    assert invoke("export", "--all", "-o", file, "--store", many).code == 0
    assert invoke("migrate", "--store", database).code == 0
    words = ["import", str(file), "--trusted", "--store", database]

    def stored() -> int:
        return ask(database, "SELECT count(*) FROM mythline.sessions")[0][0]

    for many_of_them in (1, 30):
        with stopped_at(database, many_of_them):
            killed(words, lambda least=many_of_them: stored() >= least)
        assert stored() == many_of_them
    done = invoke(*words)
    assert done.code == 0
    assert "120 imported, 30 unchanged" in done.err
    assert same(many, database)


def test_an_export_that_was_killed_leaves_no_file(many: Path, database: str, tmp_path: Path):
    file, out = tmp_path / "all.zip", tmp_path / "out"
    assert invoke("export", "--all", "-o", file, "--store", many).code == 0
    assert invoke("import", file, "--trusted", "--store", database).code == 0
    out.mkdir()
    words = ["export", "--all", "-o", str(out / "all.zip"), "--store", database]
    killed(words, lambda: list(out.iterdir()))
    assert not (out / "all.zip").exists()
    assert invoke(*words).code == 0
    assert invoke("import", out / "all.zip", "--trusted", "--store", tmp_path / "back").code == 0
    assert same(many, tmp_path / "back")


def test_long_moves_have_a_bar(many: Path, database: str, tmp_path: Path):
    exported = terminal("export", "--all", "-o", "all.zip", "--store", many, cwd=tmp_path)
    assert exported.code == 0
    assert "Exporting" in exported.out
    assert "/150" in exported.out
    imported = terminal("import", "all.zip", "--store", database, cwd=tmp_path)
    assert imported.code == 0
    assert "Importing" in imported.out
    assert "/150" in imported.out
