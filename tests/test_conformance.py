"""The conformance suite over Pydantic AI's own store, as the reference, and over ours."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from pydantic_ai.conversation_store import InMemoryConversationStore

from mythline import open_store
from mythline.postgres import PostgresStore
from mythline.testing import ConversationStoreSuite, ScopedSuite, StoreSuite
from mythline.testing.rules.random_use import SETTINGS, some_steps


class TestReference(ConversationStoreSuite):
    @pytest.fixture
    def conversations(self):
        return InMemoryConversationStore()


class TestLocal(StoreSuite):
    @pytest.fixture
    def open_store(self, tmp_path):
        return lambda: open_store(tmp_path / "store")


class TestLocalWithoutViews(ConversationStoreSuite):
    @pytest.fixture
    async def conversations(self, tmp_path):
        async with open_store(tmp_path / "store", views=False) as store:
            yield store.sessions("agent")


class TestLocalOfAnOwner(ScopedSuite):
    scopes = ("alice",)

    @pytest.fixture
    async def conversations(self, tmp_path):
        async with open_store(tmp_path / "store") as store:
            yield store.sessions("agent", owner="alice")


class TestPostgres(StoreSuite):
    @pytest.fixture
    def open_store(self, ready_database):
        return lambda: open_store(ready_database)


class TestPostgresOfAnOwner(ScopedSuite):
    scopes = ("alice",)

    @pytest.fixture
    async def conversations(self, ready_database):
        async with open_store(ready_database) as store:
            yield store.sessions("agent", owner="alice")


class TestPgBouncer(ConversationStoreSuite):
    """Over connections of the server that last for one transaction."""

    @pytest.fixture
    async def conversations(self, pgbouncer, ready_database):
        async with PostgresStore(pgbouncer.dsn(ready_database), transaction_pooling=True) as store:
            yield store.sessions("agent")

    # The statements are those of `TestPostgres`; but each is planned anew, in four times the time.
    @settings(SETTINGS, max_examples=10)
    @given(steps=some_steps())
    async def test_random_use(self, conversations, steps):
        await self.play(conversations, steps)


def test_no_rule_hides_another():
    """Each rule has a name of its own: of two that share one, only the first would run."""
    names = Counter(
        name for rules in StoreSuite.__mro__ for name in vars(rules) if name.startswith("test_")
    )
    assert [name for name, count in names.items() if count > 1] == []
