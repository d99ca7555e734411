"""The search index of PostgreSQL: it finds what the local store finds, whatever is in its way."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Collection
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

from mythline import open_store, search
from mythline.operations import Search
from mythline.postgres import PostgresStore, documents, indexing
from mythline.postgres import search as searching
from mythline.search import SearchRole, parse
from mythline.sessions import AgentSessions
from mythline.store import Store
from tests.local.support import eventually

BOTH_OR_ONE: tuple[Collection[SearchRole], ...] = ({"user", "assistant"}, {"user"})
WORDS = ["dragon", "dragons", "fog", "of", "the", "日", "本", "屋", "café", "é", "🐉", "a1", "dra"]


@pytest.fixture
async def store(database: str) -> AsyncGenerator[PostgresStore]:
    async with PostgresStore(database) as store:
        yield store


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is indexed behind the saves."""
    monkeypatch.setattr(indexing, "PAUSE", 3600)


def _prompt(text: str) -> ModelMessage:
    return ModelRequest(parts=[UserPromptPart(text)])


async def _store_some(sessions: AgentSessions, name: str, *texts: str) -> None:
    await sessions.create(name)
    await sessions.append(name, [_prompt(text) for text in texts])


async def _found(sessions: AgentSessions, query: str, **asked: Any) -> list[str]:
    return sorted(hit.snippet for hit in await sessions.search(query, limit=1000, **asked))


async def _rows(dsn: str, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(dsn)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def _typed(chance: random.Random) -> str:
    """A query of a few words, phrases and beginnings."""
    terms: list[str] = []
    for _ in range(chance.randint(1, 3)):
        joint = chance.choice(["", " ", "-"])
        words = joint.join(chance.choices(WORDS, k=chance.choice([1, 1, 2, 2, 3, 4])))
        terms.append(chance.choice([words, f'"{words}"', f"{words}*", f'"{words}"*']))
    return " ".join(terms)


@pytest.mark.parametrize("limits", ["as they are", "small"])
async def test_as_the_local_store(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: str
) -> None:
    """Also with texts that are too long for their positions, or for all of their words."""
    if limits == "small":
        monkeypatch.setattr(documents, "LAST_POSITION", 9)
        monkeypatch.setattr(documents, "MOST_POSITIONS", 2)
        monkeypatch.setattr(documents, "MOST_BYTES", 90)
        monkeypatch.setattr(documents, "OPERANDS", 30)
    chance = random.Random(limits)
    texts = [
        chance.choice([" ", "", "-"]).join(chance.choices(WORDS, k=chance.randint(1, 14)))
        for _ in range(120)
    ]
    messages: list[ModelMessage] = [
        _prompt(text) if chance.random() < 0.5 else ModelResponse(parts=[TextPart(text)])
        for text in texts
    ]
    queries = [_typed(chance) for _ in range(150)]

    async def found(store: Store) -> list[list[tuple[str, str, Any]]]:
        sessions = store.sessions("agent")
        await sessions.create("one")
        await sessions.append("one", messages)
        return [
            sorted(
                (hit.role, hit.snippet, hit.marks)
                for hit in await sessions.search(query, limit=1000, roles=roles)
            )
            for query in queries
            for roles in BOTH_OR_ONE
        ]

    async with open_store(tmp_path / "store", views=False) as local:
        expected = await found(local)
    async with PostgresStore(database) as store:
        assert await found(store) == expected
    assert sum(map(bool, expected)) > len(expected) / 3


async def test_long_messages(database: str, store: PostgresStore) -> None:
    """What PostgreSQL has no room for is found all the same, and nothing that isn't there."""
    sessions = store.sessions("agent")
    many = [f"{number:x}" for number in range(40_000)]
    dense = "".join(chr(0x4E00 + number % 20_000) for number in range(100_000))
    wide = " ".join(chr(0x12000 + n // 300) + chr(0x12000 + n % 300) for n in range(80_000))
    await _store_some(sessions, "far", " ".join(many))
    await _store_some(sessions, "often", "the fog " * 400 + "the dragon")
    await _store_some(sessions, "dense", dense)
    await _store_some(sessions, "wide", wide)

    async def where(query: str) -> list[str]:
        return [hit.session_id for hit in await sessions.search(query)]

    assert await where('"9c3d 9c3e"') == ["far"]
    assert await where('"9c3e 9c3d"') == []
    assert await where('"9c3d 9c3"*') == ["far"]
    assert await where('"the dragon"') == ["often"]
    assert await where('"dragon the"') == []
    assert await where(dense[19_990:20_003]) == ["dense"]
    assert await where(dense[19_990:20_000] + dense[:3]) == ["dense"]
    assert await where(dense[1] + dense[0]) == []
    assert await where(wide[-2:]) == ["wide"]
    assert await where(f'"{wide[-5:]}"') == ["wide"]
    assert await where(f'"{wide[-2:]} {wide[-5:-3]}"') == []
    assert await _rows(database, "SELECT count(*) FROM mythline.documents WHERE NOT whole") == [
        (4,)
    ]


async def test_many_agents(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a search over more agents than go into one expression."""
    monkeypatch.setattr(documents, "OPERANDS", 30)
    for number in range(20):
        await _store_some(store.sessions(f"agent{number:02}"), "one", f"dragon fog {number}")
    query = parse("dragon fo*")
    assert len(documents.expressions(query, range(20), ["user", "assistant"]).texts) > 1
    for limit in (3, 20):
        names: list[str] = []
        cursor: str | None = None
        while True:
            page = await store.search(None, Search(query=query, limit=limit, cursor=cursor))
            names += [hit.agent_id for hit in page]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sorted(names) == [f"agent{number:02}" for number in range(20)]


async def test_queries_too_large_for_an_expression(store: PostgresStore) -> None:
    """What of a query isn't in the expression is looked for in the texts."""
    sessions = store.sessions("agent")
    words = [f"word{number}" for number in range(64)]
    await _store_some(sessions, "one", " ".join(words))
    await _store_some(sessions, "two", " ".join([*words[:63], "other"]))
    phrases = [" ".join(words[at:] + words[:at]) for at in range(64)]
    query = " ".join(f'"{phrase}"' for phrase in phrases)
    await _store_some(sessions, "three", f"{phrases[0]} " * 2)
    assert not documents.expressions(parse(query), [1], ["user"]).is_exact
    found = await sessions.search(query)
    assert [hit.session_id for hit in found] == ["three"]


async def test_pages_with_large_messages(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages are read in parts, whatever their size, and looked through beside."""
    monkeypatch.setattr(searching, "AT_ONCE", 3000)
    monkeypatch.setattr(searching, "BESIDE", 1000)
    sessions = store.sessions("agent")
    texts = [f"dragon {number} " + "and fog " * (number % 5 * 200) for number in range(20)]
    await _store_some(sessions, "one", *texts)
    found = await sessions.search("dragon", limit=20)
    assert len({hit.entry_id for hit in found}) == 20


async def test_much_that_is_left_out(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page reads on until it is full, however much of what matches is deleted."""
    monkeypatch.setattr(searching, "_MORE", 1)
    sessions = store.sessions("agent")
    await _store_some(sessions, "kept", *(f"dragon and fog {number}" for number in range(5)))
    for name in ("one", "two"):
        await _store_some(sessions, name, *("dragon" for _ in range(150)))
        await sessions.delete(name)
    page = await sessions.search("dragon", limit=3)
    assert [hit.session_id for hit in page] == ["kept"] * 3
    page = await sessions.search("dragon", limit=3, cursor=page.next_cursor)
    assert [hit.session_id for hit in page] == ["kept"] * 2
    assert page.next_cursor is None


# Behind the saves


async def test_indexed_without_a_search(
    database: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was saved is indexed soon, also by a store that didn't save it."""
    sessions = store.sessions("agent")
    await _store_some(sessions, "one", "dragon")
    assert await eventually(lambda: _is_indexed(database))
    await sessions.append("one", [_prompt("fog")])
    assert await eventually(lambda: _is_indexed(database))
    assert await _rows(database, "SELECT count(*) FROM mythline.documents") == [(2,)]


async def _is_indexed(database: str) -> bool:
    marked = "SELECT count(*) FROM mythline.sessions WHERE unindexed"
    return await _rows(database, marked) == [(0,)]


@pytest.mark.usefixtures("idle")
async def test_left_by_an_earlier_process(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one process left is indexed by the next that opens the store."""
    async with PostgresStore(database) as store:
        await _store_some(store.sessions("agent", owner="alice"), "one", "dragon")
    assert await _rows(database, "SELECT count(*) FROM mythline.documents") == [(0,)]
    monkeypatch.undo()
    async with PostgresStore(database):
        assert await eventually(lambda: _is_indexed(database))
    assert await _rows(database, "SELECT count(*) FROM mythline.documents") == [(1,)]


@pytest.mark.usefixtures("idle")
async def test_restored_before_it_was_indexed(store: PostgresStore) -> None:
    """Under another id a session still has the lines of its old one."""
    sessions = store.sessions("agent")
    await _store_some(sessions, "one", "dragon", "a dragon")
    await sessions.delete("one")
    await sessions.restore("one", new_session_id="two")
    assert await _found(sessions, "dragon") == ["a dragon", "dragon"]
    assert await store._indexing.problem() is None


@pytest.mark.usefixtures("idle")
async def test_forks_index_nothing_anew(database: str, store: PostgresStore) -> None:
    """Messages that forks share are indexed once, for whichever of them comes first."""
    sessions = store.sessions("agent")
    await _store_some(sessions, "one", "dragon", "fog")
    await sessions.fork("one", new_conversation_id="two")
    await sessions.delete("one")
    assert await _found(sessions, "dragon") == ["dragon"]
    await sessions.restore("one")
    await sessions.fork("two", new_conversation_id="three")
    assert await _found(sessions, "dragon") == ["dragon"]
    assert await _rows(database, "SELECT count(*) FROM mythline.documents") == [(2,)]


async def test_purged_from_the_tables(database: str, store: PostgresStore) -> None:
    """With a session that is purged go its documents, and those of others stay."""
    sessions = store.sessions("agent")
    await _store_some(sessions, "one", "dragon", "fog")
    await sessions.fork("one", at=1, new_conversation_id="two")
    await _found(sessions, "dragon")
    await sessions.purge("one")
    words = "SELECT words::text FROM mythline.documents"
    assert await _rows(database, words) == [("'1_udragon':1",)]
    await sessions.purge("two")
    assert await _rows(database, words) == []


async def test_several_servers(new_database: Callable[[], str], monkeypatch: Any) -> None:
    """Whoever indexes and whoever purges meanwhile, the index is what is stored in the end."""
    monkeypatch.setattr(indexing, "PAUSE", 0.001)
    monkeypatch.setattr(indexing, "ENTRIES", 3)
    database = new_database()
    stores = [PostgresStore(database) for _ in range(3)]
    chance = random.Random(7)
    for store in stores:
        await store.open()

    async def use(store: PostgresStore, name: str) -> None:
        sessions = store.sessions("agent")
        for number in range(8):
            await _store_some(sessions, f"{name}{number}", *(["dragon"] * chance.randint(1, 6)))
            other = f"{name}{number}fork"
            await sessions.fork(f"{name}{number}", new_conversation_id=other)
            await sessions.append(other, [_prompt("fog")])
            found = await sessions.search("fog", limit=1000)
            assert other in {hit.session_id for hit in found}
            if chance.random() < 0.6:
                await sessions.purge(f"{name}{number}")

    try:
        await asyncio.gather(*(use(store, f"s{n}") for n, store in enumerate(stores)))
        await stores[0]._indexing.catch_up("", None)
        assert await stores[0]._indexing.problem() is None
        found = await stores[0].search(None, Search(query=parse("fog"), limit=100))
        assert len(found) == 24
    finally:
        for store in stores:
            await store.close()


# Checking


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM mythline.documents WHERE place = 0",
        "UPDATE mythline.lines SET indexed = 0",
        "UPDATE mythline.lines SET indexed = 1",
    ],
)
async def test_damage_is_found(database: str, store: PostgresStore, damage: str) -> None:
    """An index that isn't what is stored is told, and built anew."""
    sessions = store.sessions("agent")
    await _store_some(sessions, "one", "dragon", "fog")
    assert await _found(sessions, "dragon") == ["dragon"]
    assert await store._indexing.problem() is None
    await _rows(database, damage)
    assert await store._indexing.problem() is not None
    await store._indexing.rebuild()
    assert await store._indexing.problem() is None
    assert await _found(sessions, "dragon") == ["dragon"]


@pytest.mark.usefixtures("idle")
async def test_words_of_another_version(
    database: str, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index of older words is built anew; one of newer words is left as it is."""
    sessions = store.sessions("agent")
    await _store_some(sessions, "one", "dragon")
    await _found(sessions, "dragon")
    await _rows(database, "UPDATE mythline.documents SET words = ''")
    assert await _found(sessions, "dragon") == []
    monkeypatch.setattr(search, "VERSION", search.VERSION + 1)
    assert await _found(sessions, "dragon") == ["dragon"]
    monkeypatch.undo()
    await _store_some(sessions, "two", "dragon")
    assert await _found(sessions, "dragon") == ["dragon"]
