"""The conformance suite for stores."""

from .suites import ConversationStoreSuite, ScopedSuite, StoreSuite
