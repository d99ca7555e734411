"""The conformance suite for stores, as test classes for pytest."""

from .suites import ConversationStoreSuite, ScopedSuite
