"""The two suites, put together from their rules."""

from __future__ import annotations

from .branching import BranchingRules
from .carrying import CarryingRules
from .conflicts import ConflictRules
from .entries import EntryRules
from .extending import ExtendingRules
from .forking import ForkingRules
from .identities import IdentityRules
from .isolation import IsolationRules
from .length import LengthRules
from .lists import ListRules
from .owners import OwnerRules
from .pages import PageRules
from .random_use import RandomRules
from .records import RecordRules
from .removal import RemovalRules
from .reopening import ReopeningRules
from .saving import SavingRules
from .scopes import ScopeRules
from .transcripts import TranscriptRules
from .transfer import TransferRules
from .turns import TurnRules
from .unreadable import UnreadableRules
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


class StoreSuite(
    ConversationStoreSuite,
    IdentityRules,
    PageRules,
    TranscriptRules,
    TurnRules,
    TransferRules,
    RemovalRules,
    OwnerRules,
    ReopeningRules,
    UnreadableRules,
    LengthRules,
):
    """A Mythline `Store`: all of the above, and what `AgentSessions` adds, over its `open_store`.

    `ConversationStoreSuite` runs over `store.sessions(...)` here.
    """
