"""The two suites, put together from their rules."""

from __future__ import annotations

from .rules.branching import BranchingRules
from .rules.carrying import CarryingRules
from .rules.conflicts import ConflictRules
from .rules.describing import DescribingRules
from .rules.entries import EntryRules
from .rules.extending import ExtendingRules
from .rules.forking import ForkingRules
from .rules.happening import EventRules
from .rules.identities import IdentityRules
from .rules.isolation import IsolationRules
from .rules.length import LengthRules
from .rules.listing import ListingRules
from .rules.lists import ListRules
from .rules.owners import OwnerRules
from .rules.pages import PageRules
from .rules.pruning import PruningRules
from .rules.random_use import RandomRules
from .rules.records import RecordRules
from .rules.removal import RemovalRules
from .rules.reopening import ReopeningRules
from .rules.repeats import RepeatRules
from .rules.saving import SavingRules
from .rules.scopes import ScopeRules
from .rules.searching import SearchRules
from .rules.switching import SwitchingRules
from .rules.transcripts import TranscriptRules
from .rules.transfer import TransferRules, WholeRules
from .rules.trash import TrashRules
from .rules.turns import TurnRules
from .rules.unreadable import UnreadableRules
from .rules.windows import WindowRules


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
    RepeatRules,
    TransferRules,
    WholeRules,
    RemovalRules,
    OwnerRules,
    ReopeningRules,
    UnreadableRules,
    LengthRules,
    SearchRules,
    DescribingRules,
    ListingRules,
    SwitchingRules,
    TrashRules,
    PruningRules,
    EventRules,
):
    """A Mythline `Store`: all of the above, and what `AgentSessions` adds, over its `open_store`.

    `ConversationStoreSuite` runs over `store.sessions(...)` here.
    """
