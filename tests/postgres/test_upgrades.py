"""Schemas of other versions, and users who may not make one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import asyncpg
import pytest

from mythline import queries
from mythline.errors import StoreTooNew, StoreUnavailable
from mythline.postgres import PostgresStore, schema
from tests.postgres.servers import ask
from tests.postgres.support import texts, turn

KNOWN = queries.migrations(schema.PACKAGE)[-1][0]
NEXT = KNOWN + 1


def newer(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let this program be one that has another migration."""
    scripts = [*queries.migrations(schema.PACKAGE), (NEXT, script)]
    monkeypatch.setattr(schema, "migrations", lambda _: scripts)


async def migrate(dsn: str, script: str) -> None:
    """Migrate a database by a newer program."""
    with pytest.MonkeyPatch.context() as patch:
        newer(patch, script)
        assert await PostgresStore(dsn).migrate() == NEXT


async def test_an_empty_database_is_set_up(database):
    async with PostgresStore(database) as store:
        await store.sessions("agent").create("one")
        assert await store.migrate() == KNOWN
        assert await store.sessions("agent").exists("one")
    assert ask(database, "SELECT version, oldest <= version FROM mythline.schema") == [
        (KNOWN, True)
    ]


async def test_migrating_again_does_nothing(database):
    store = PostgresStore(database)
    assert await store.migrate() == KNOWN
    tables = "SELECT oid FROM pg_class WHERE relname = 'entries'"
    before = ask(database, tables)
    assert await store.migrate() == KNOWN
    assert ask(database, tables) == before


async def test_an_older_program_refuses_a_schema_that_it_can_not_use(database):
    async with PostgresStore(database):
        pass
    await migrate(database, "ALTER TABLE mythline.sessions ADD COLUMN mood text;")
    store = PostgresStore(database)
    for call in (store.open, store.migrate):
        with pytest.raises(StoreTooNew, match=f"version {NEXT}.*up to {KNOWN}.*Upgrade Mythline"):
            await call()
    assert ask(database, "SELECT version, oldest FROM mythline.schema") == [(NEXT, NEXT)]


async def test_two_versions_work_side_by_side(database):
    """A rolling upgrade: the schema first, while the older program serves."""
    script = f"-- Works with programs from version {KNOWN} on.\n"
    for table in ("sessions", "entries", "lines", "repeats"):
        script += f"ALTER TABLE mythline.{table} ADD COLUMN mood text NOT NULL DEFAULT 'calm';\n"
    async with PostgresStore(database) as running:
        sessions = running.sessions("agent")
        await sessions.create("one")
        for number in range(8):  # so that all connections have their statements prepared
            await sessions.append("one", turn(f"{number}"), idempotency_key=f"key {number}")
            await use(sessions)
        await migrate(database, script)
        again = await sessions.append("one", turn("8"), idempotency_key="key 8")
        assert again.message_count == 18
        await use(sessions)
        async with PostgresStore(database) as older:  # of the same version, started later
            assert await older.migrate() == NEXT
            await use(older.sessions("agent"))
            with pytest.MonkeyPatch.context() as patch:
                newer(patch, script)
                async with PostgresStore(database) as upgraded:
                    await use(upgraded.sessions("agent"))
        assert len(await texts(sessions, "one")) == 18


async def use(sessions) -> None:
    """What a program does all day."""
    await sessions.append(
        "one", turn("more"), expected_revision=(await sessions.info("one")).revision
    )
    conversation = await sessions.load("one")
    await sessions.branch(
        "one", at=len(conversation.messages) - 2, expected_revision=conversation.revision
    )
    fork = await sessions.fork("one")
    await sessions.rename(fork.conversation_id, "A fork")
    assert len((await sessions.list(limit=10)).sessions) == 2
    await sessions.delete(fork.conversation_id)
    await sessions.restore(fork.conversation_id)
    await sessions.purge(fork.conversation_id)
    assert await sessions.branches("one")


async def test_an_older_schema_asks_to_be_migrated(database, monkeypatch):
    async with PostgresStore(database) as store:
        await store.sessions("agent").create("one")
    newer(monkeypatch, "ALTER TABLE mythline.sessions ADD COLUMN mood text;")
    store = PostgresStore(database)
    with pytest.raises(StoreUnavailable, match=f"version {KNOWN}.*needs {NEXT}.*mythline migrate"):
        await store.open()
    assert await store.migrate() == NEXT
    async with store:
        assert await store.sessions("agent").exists("one")


async def test_a_migration_that_fails_changes_nothing(database):
    async with PostgresStore(database):
        pass
    script = "ALTER TABLE mythline.sessions ADD COLUMN mood text; SELECT 1 / 0;"
    with pytest.raises(StoreUnavailable):
        await migrate(database, script)
    columns = "SELECT FROM information_schema.columns WHERE column_name = 'mood'"
    assert ask(database, columns) == []
    async with PostgresStore(database):
        pass


async def test_a_migration_may_take_longer_than_a_statement(database):
    name = database.rpartition("/")[2]
    async with PostgresStore(database):
        pass
    ask(database, f"ALTER DATABASE {name} SET statement_timeout = 300")
    await migrate(database, "SELECT pg_sleep(1);")


# Users


@pytest.fixture
def role(postgres_server, database) -> Iterator[str]:
    """A role that may do nothing yet; its name."""
    admin = postgres_server.admin_dsn(database.rpartition("/")[2])
    name = f"mythline_test_{secrets.token_hex(4)}"
    ask(admin, f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    yield name
    ask(admin, f"DROP OWNED BY {name} CASCADE")
    ask(admin, f"DROP ROLE {name}")


def dsn_for(role: str, database: str) -> str:
    where = database.rpartition("@")[2]
    return f"postgresql://{role}:secret@{where}"


async def test_a_user_without_rights_is_told_what_is_needed(database, role):
    store = PostgresStore(dsn_for(role, database))
    for call in (store.open, store.migrate):
        with pytest.raises(StoreUnavailable, match="right to create a schema"):
            await call()
    async with PostgresStore(database):
        pass
    with pytest.raises(StoreUnavailable, match="all rights on the tables"):
        await store.open()


async def test_a_user_who_may_not_create_uses_what_is_there(database, role):
    async with PostgresStore(database):
        pass
    connection = await asyncpg.connect(database)
    for what in ("TABLES", "SEQUENCES"):
        await connection.execute(f"GRANT ALL ON ALL {what} IN SCHEMA mythline TO {role}")
    await connection.execute(f"GRANT USAGE ON SCHEMA mythline TO {role}")
    await connection.close()
    async with PostgresStore(dsn_for(role, database)) as store:
        sessions = store.sessions("agent")
        assert await store.migrate() == KNOWN
        await sessions.create("one")
        await sessions.append("one", turn("0"))
        await use(sessions)


async def test_a_user_who_may_change_rows_alone_searches_too(database, role):
    async with PostgresStore(database) as store:
        await store.sessions("agent").create("one")
        await store.sessions("agent").append("one", turn("dragon"))
        assert len((await store.sessions("agent").search("dragon")).hits) == 2
    connection = await asyncpg.connect(database)
    await connection.execute("UPDATE mythline.search_state SET version = 0")  # of an older version
    for rights in (
        "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES",
        "USAGE, SELECT ON ALL SEQUENCES",
    ):
        await connection.execute(f"GRANT {rights} IN SCHEMA mythline TO {role}")
    await connection.execute(f"GRANT USAGE ON SCHEMA mythline TO {role}")
    await connection.close()
    async with PostgresStore(dsn_for(role, database)) as store:
        assert len((await store.sessions("agent").search("dragon")).hits) == 2
        assert [finding async for finding in store.check(fix=True)] == []


async def test_a_schema_that_was_made_for_a_user(database, postgres_server, role):
    """Some may make tables in it, but no schema in the database."""
    admin = postgres_server.admin_dsn(database.rpartition("/")[2])
    ask(admin, f"CREATE SCHEMA mythline AUTHORIZATION {role}")
    async with PostgresStore(dsn_for(role, database)) as store:
        await store.sessions("agent").create("one")
