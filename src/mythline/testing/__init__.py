"""The conformance suite: what every store must do, as test classes for pytest.

`ConversationStoreSuite` states the semantics of Pydantic AI's `ConversationStore`, and runs over
any; Pydantic AI's own in-memory store passes it. Give it a store in a subclass of yours:

    class TestMine(ConversationStoreSuite):
        @pytest.fixture
        def conversations(self):
            return MyConversationStore()

`StoreSuite` is for a backend of Mythline's: all of that over `store.sessions(...)`, and what
`AgentSessions` adds. It wants a function that gives a store at the same place each time:

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda: MyStore(tmp_path)

`ScopedSuite` is the first without what needs two scopes, for a store that is bound to one owner;
tell it with `scopes = ["alice"]`.

The tests are async and run by anyio's pytest plugin, which comes with Pydantic AI. They need
pytest and Hypothesis: `pip install "mythline[test]"`.
"""

from __future__ import annotations

import pytest

# So that a failed assert in the suite shows its values; it must be said before they are imported.
pytest.register_assert_rewrite(f"{__name__}.rules", f"{__name__}.samples")

from .suites import ConversationStoreSuite, ScopedSuite, StoreSuite  # noqa: E402

__all__ = ["ConversationStoreSuite", "ScopedSuite", "StoreSuite"]
