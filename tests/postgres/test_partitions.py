"""The same statements over tables that are partitioned by hash, as docs/scaling.md says."""

from __future__ import annotations

import asyncio
import re

import pytest

from mythline.errors import EntryExists, SessionExists
from mythline.messages import dump
from mythline.operations import ANY
from mythline.postgres import PostgresStore, schema
from mythline.store import Append, Save, SessionKey
from mythline.testing.samples import turn
from tests.postgres.servers import ask

OWNED = "sessions|tags|branches|lines|entries|documents|repeats"
PARTITIONS = 4
_TABLE = re.compile(
    rf"^CREATE TABLE mythline\.({OWNED}) \((.*?)^\)(?: WITH \([^)]*\))?;", re.MULTILINE | re.DOTALL
)


def partitioned(script: str, key: str) -> str:
    """A migration whose tables are partitioned by a key."""

    def made(match: re.Match[str]) -> str:
        parts = "".join(
            f"CREATE TABLE mythline.{match[1]}_{number} PARTITION OF mythline.{match[1]} "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number});\n"
            for number in range(PARTITIONS)
        )
        return f"CREATE TABLE mythline.{match[1]} ({match[2]}) PARTITION BY HASH ({key});\n{parts}"

    script, count = _TABLE.subn(made, script)
    assert count == len(OWNED.split("|"))
    if "session_id" in key:  # a unique index has all columns of the key
        script = script.replace("(entry_id, owner, agent_id)", f"(entry_id, {key})")
    return script


@pytest.mark.parametrize("key", ["owner", "owner, agent_id", "owner, agent_id, session_id"])
async def test_everything_works_over_partitions(database, monkeypatch, key):
    migrations = schema.migrations
    monkeypatch.setattr(
        schema,
        "migrations",
        lambda package: [
            (number, partitioned(script, key)) for number, script in migrations(package)
        ],
    )
    async with PostgresStore(database) as store:
        for owner in ("alice", "bob", None):
            sessions = store.sessions("guide", owner=owner)
            for number in range(5):
                name = f"tour-{number}"
                await sessions.create(name, tags=["lore"])
                await sessions.append(name, turn(f"Where does road {number} lead?"))
            await sessions.append("tour-1", turn("And then?"), idempotency_key="once")
            conversation = await sessions.load("tour-1")
            assert conversation is not None
            assert len(conversation.messages) == 4
            page = await sessions.list(limit=3, tag="lore")
            assert [info.session_id for info in page] == ["tour-1", "tour-4", "tour-3"]
            entries = (await sessions.entries("tour-1")).entries
            fork = await sessions.fork_at("tour-1", entries[1].entry_id, new_session_id="fork")
            assert fork.message_count == 2
            await sessions.append("fork", turn("Elsewhere."))
            await sessions.branch_at("tour-1", entries[1].entry_id)
            assert len(await sessions.branches("tour-1")) == 1
            hits = {hit.session_id for hit in await sessions.search("road")}
            assert hits == {f"tour-{number}" for number in range(5)}
            assert {hit.session_id for hit in await sessions.search("elsewhere")} == {"fork"}
            await sessions.delete("tour-2")
            await sessions.restore("tour-2", new_session_id="again")
            await sessions.delete("tour-3")
            await sessions.purge("tour-3")
            again = await sessions.load("fork")
            assert again is not None
            assert dump(again.messages)[:2] == dump(conversation.messages)[:2]
            assert (await sessions.info("again")).message_count == 2
            await _refuses_twice_the_same(store, owner)
    rows = ask(
        database,
        "SELECT tableoid::regclass::text, count(*) FROM mythline.entries GROUP BY 1",
    )
    assert 1 < len(rows) <= PARTITIONS


async def _refuses_twice_the_same(store: PostgresStore, owner: str | None) -> None:
    """What is refused is told rightly, though a partition's constraints have other names."""
    sessions = store.sessions("guide", owner=owner)
    sent = turn("At the same moment.")
    both = await asyncio.gather(
        *[sessions.append("tour-0", sent, idempotency_key="both") for _ in range(4)]
    )
    assert len({each.revision for each in both}) == 1
    key = SessionKey(owner, "guide", "tour-0")
    page = await store.history(key)
    assert page is not None
    with pytest.raises(SessionExists):
        await sessions.create("tour-0")
    twice = Append(
        revision="another",
        expected=ANY,
        entry_ids=[page.entries[-1].entry_id],
        bodies=[page.entries[-1].body],
        updated=0,
    )
    with pytest.raises(EntryExists):
        await store.append(key, twice)
    again = Save(
        revision="another",
        expected=page.revision,
        head_id=page.entries[0].entry_id,
        entries=page.entries[:1],
        updated=0,
    )
    with pytest.raises(EntryExists):
        await store.save(key, again)
