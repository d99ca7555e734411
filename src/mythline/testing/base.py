"""What all rules share: the fixtures that a user of the suite gives, and those made of them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import ClassVar

import pytest
from pydantic_ai.conversation_store import ConversationStore

from ..sessions import AgentSessions
from ..store import Store

OpenStore = Callable[[], Store]


class Rules:
    """Rules for any `ConversationStore`.

    Attributes:
        scopes: Scopes that the store takes, for tests that don't care which. A store that is
            bound to one owner has only that one.
    """

    pytestmark = pytest.mark.anyio
    scopes: ClassVar[Sequence[str | None]] = (None, "alice", "bob")

    @pytest.fixture
    def anyio_backend(self) -> str:
        """Async tests run on asyncio, by anyio's pytest plugin."""
        return "asyncio"

    @pytest.fixture
    def conversations(self) -> ConversationStore:
        """The store under test, empty. Every subclass gives its own."""
        raise NotImplementedError("Define a fixture `conversations`: an empty ConversationStore.")


class StoreRules(Rules):
    """Rules for any Mythline `Store`.

    Attributes:
        agent_id: The agent whose sessions are used.
    """

    agent_id: ClassVar[str] = "agent"

    @pytest.fixture
    def open_store(self) -> OpenStore:
        """A function that gives a store, not open yet: each time one at the same place.

        The place is empty before the test, and a test's own. Every subclass gives its own.
        """
        raise NotImplementedError("Define a fixture `open_store`: a function that gives a Store.")

    @pytest.fixture
    async def store(self, open_store: OpenStore) -> AsyncGenerator[Store]:
        """An open store."""
        async with open_store() as store:
            yield store

    @pytest.fixture
    def sessions(self, store: Store) -> AgentSessions:
        """The sessions of one agent, of no owner."""
        return store.sessions(self.agent_id)

    @pytest.fixture
    def conversations(self, sessions: AgentSessions) -> ConversationStore:
        """The same, as what Pydantic AI takes them for."""
        return sessions
