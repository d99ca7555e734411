"""The two suites, put together from their rules."""

from __future__ import annotations

from .branching import BranchingRules
from .carrying import CarryingRules
from .conflicts import ConflictRules
from .entries import EntryRules
from .extending import ExtendingRules
from .forking import ForkingRules
from .isolation import IsolationRules
from .lists import ListRules
from .random_use import RandomRules
from .records import RecordRules
from .saving import SavingRules
from .scopes import ScopeRules
from .windows import WindowRules


class ScopedSuite(
    SavingRules,
    ExtendingRules,
    ConflictRules,
    BranchingRules,
    ForkingRules,
    WindowRules,
    EntryRules,
    ListRules,
    CarryingRules,
    IsolationRules,
    RecordRules,
    RandomRules,
):
    """All that holds within one scope: for a store that is bound to one owner."""


class ConversationStoreSuite(ScopedSuite, ScopeRules):
    """Pydantic AI's `ConversationStore`, to the letter. Needs a fixture `conversations`."""
