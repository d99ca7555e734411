"""Store: the contract of a backend that keeps sessions.

A dozen methods, all on raw JSON bytes: what messages mean is the business of `mythline.sessions`.
`mythline.testing` has the suite that every store passes.

Everywhere: ids have been checked by the caller (`mythline.ids`); an owner of `None` is a place of
its own, beside those of the owners; two owners never see each other's sessions. A method that
raises has changed nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from .models import (
    AgentInfo,
    Branch,
    Finding,
    HistoryPage,
    Located,
    SearchPage,
    SessionDetails,
    SessionEvent,
    SessionPage,
    SessionState,
    StoredEntry,
)
from .operations import ANY, AnyRevision, Describe, Expected, Listing, Search

if TYPE_CHECKING:
    from .sessions import AgentSessions


TRASH_DAYS: Final = 30.0


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What identifies a session: its owner (or none), its agent, and its id."""

    owner: str | None
    agent_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Save:
    """A whole save: where the history ends, what it adds, and what the session carries.

    Attributes:
        revision: The new revision.
        expected: The revision that must be stored: `None` if there must be no session.
        head_id: The last entry of the history: the last of `entries`, a stored one, or `None`.
        entries: What it adds, in order, each after its `parent_id`.
        branches: The last entries of the branches the session left, oldest first.
        usage: `RunUsage` as JSON.
        deferred_tool_requests: `DeferredToolRequests` as JSON, or `None`.
        forked_from: The session this one was forked from, and `forked_at` its last shared entry.
        updated: When it was saved, in microseconds since 1970, UTC.
        reach: Whose sessions the head, parents and branches may come from; for `None`, those of
            no owner and those with a `shared_id`.
        shared_id: Whether an ownerless caller may find the session by its id alone.
        id_alone: Whether a new session's id must be one that no ownerless caller finds.
        title: For a session that is created; likewise all that follows.
        created: When it was made, in microseconds since 1970, UTC; `None` for `updated`.
    """

    revision: str
    expected: str | None
    head_id: str | None
    entries: Sequence[StoredEntry] = ()
    branches: Sequence[str] = ()
    usage: bytes = b"{}"
    deferred_tool_requests: bytes | None = None
    forked_from: str | None = None
    forked_at: str | None = None
    updated: int
    reach: str | None = None
    shared_id: bool = False
    id_alone: bool = False
    title: str | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    pinned: bool = False
    archived: bool = False
    created: int | None = None

    def runs(self) -> list[list[StoredEntry]]:
        """Its entries in runs, in each of which every entry follows the one before it."""
        runs: list[list[StoredEntry]] = []
        for entry in self.entries:
            if runs and entry.parent_id == runs[-1][-1].entry_id:
                runs[-1].append(entry)
            else:
                runs.append([entry])
        return runs

    def grows(self, head_id: str | None) -> bool:
        """Whether a history that ends with `head_id` only gets longer by its entries, if at all."""
        if not self.entries:
            return self.head_id == head_id
        return (
            len(self.runs()) == 1
            and self.entries[0].parent_id == head_id
            and self.head_id == self.entries[-1].entry_id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Append:
    """Messages that go on after the head, whatever it is when they are stored.

    Attributes:
        revision: The new revision.
        expected: The revision that must be stored, or `ANY`.
        entry_ids: The new entries' ids, as many as `bodies`.
        bodies: The messages, each as JSON on one line.
        updated: When it was saved, in microseconds since 1970, UTC.
        idempotency_key: A repeat under this key within a day stores nothing.
        digest: What makes a repeat the same one: a hash of what was sent.
        usage: `RunUsage` as JSON, or `None` to leave it as it is.
        deferred_tool_requests: What the session waits on now, as JSON, or `None`.
    """

    revision: str
    expected: str | Literal[AnyRevision.ANY]
    entry_ids: Sequence[str]
    bodies: Sequence[bytes]
    updated: int
    idempotency_key: str | None = None
    digest: bytes = b""
    usage: bytes | None = None
    deferred_tool_requests: bytes | None = None


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What an append, or the one that it repeats, stored; `parent_id` is the head it went after."""

    revision: str
    message_count: int
    entry_ids: tuple[str, ...]
    parent_id: str | None = None


class Store(ABC):
    """Where sessions are kept.

    Use it as an async context manager. Any number of tasks and threads may use an open store,
    and any number of processes may open the same place.

    Attributes:
        trash_days: Days that deleted sessions can be restored, at least; then they are purged,
            by the store itself while it is open. 0: a delete is a purge. `None`: never.
    """

    trash_days: float | None = TRASH_DAYS

    def sessions(self, agent_id: str, owner: str | None = None) -> AgentSessions:
        """The sessions of one agent, of one owner or of none.

        Raises:
            InvalidId: If either is outside the grammar of `mythline.ids`.
        """
        from .sessions import AgentSessions

        return AgentSessions(self, agent_id, owner=owner)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @abstractmethod
    async def open(self) -> None:
        """Open the store, making or migrating its schema if need be. Repeating it does nothing.

        Raises:
            StoreUnavailable: If it can't be opened or made.
            StoreTooNew: If a newer Mythline wrote it. Nothing was changed.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun and let go of everything. Repeating it does nothing.

        Durability: writes that were accepted before are stored, and views are up to date.
        """

    async def migrate(self) -> int | None:
        """Bring a store that isn't open up to date with this version; its schema's version then.

        Repeating it does nothing. A store that tells no version is brought up to date whenever it
        is opened.

        Raises:
            StoreUnavailable: If it can't be opened or made.
            StoreTooNew: If a newer Mythline wrote it. Nothing was changed.
        """
        async with self:
            return None

    @abstractmethod
    async def owners(self) -> Sequence[str | None]:
        """The owners that have sessions, ordered, no owner (`None`) first. For operators."""

    @abstractmethod
    async def agents(self, owner: str | None, *, trash: bool = False) -> Sequence[AgentInfo]:
        """The agents that have sessions of `owner`, with their numbers, ordered by `agent_id`.

        With `trash`, also those that only have deleted ones; those don't count.
        """

    @abstractmethod
    async def get(self, key: SessionKey, *, shared: bool = False) -> SessionDetails | None:
        """A session, or `None` if there is none.

        With `shared`, and no session of no owner, the one saved with `shared_id` under this
        agent and id, whoever owns it.
        """

    @abstractmethod
    async def list(self, owner: str | None, agent_id: str, listing: Listing) -> SessionPage:
        """Sessions as `listing` says, at most `listing.limit`.

        A cursor goes on after the page that gave it: a session saved in between is not repeated
        on later pages, and one that wasn't is not left out. Reads no message.

        Raises:
            InvalidCursor: If no list of this order gave the cursor.
        """

    @abstractmethod
    async def count(self, owner: str | None, agent_id: str, listing: Listing) -> int:
        """How many sessions a list shows on all its pages; limit and cursor don't matter."""

    @abstractmethod
    async def records(
        self, owner: str | None, agent_id: str, *, limit: int | None = None
    ) -> Sequence[SessionDetails]:
        """The sessions of an owner and agent, as `list` orders them, with all they carry.

        For no owner, also those that were saved with `shared_id`, whoever owns them: what an
        ownerless caller reaches by Pydantic AI's contract.
        """

    @abstractmethod
    async def history(
        self,
        key: SessionKey,
        *,
        limit: int | None = None,
        before: str | None = None,
        after: str | None = None,
    ) -> HistoryPage | None:
        """Messages of the current history, oldest first, or `None` if there is no session.

        Args:
            key: The session.
            limit: At most this many: the last of those asked for; with `after` and no `before`, the
                first.
            before: Only messages before this entry, exclusive.
            after: Only messages after this entry, exclusive.

        Raises:
            EntryNotFound: If `before` or `after` is not in the current history.
        """

    async def load(
        self, key: SessionKey, *, limit: int | None = None, shared: bool = False
    ) -> tuple[SessionState | SessionDetails, bytes | None] | None:
        """A session, as `get`, with the JSON array of its messages, or of the last `limit`.

        `None` for the array if that is not to be had in one step, or one of the messages is odd
        (`mythline.messages.is_odd`): then `line` has them.
        """
        details = await self.get(key, shared=shared)
        return None if details is None else (details, None)

    @abstractmethod
    async def line(
        self, owner: str | None, agent_id: str, entry_id: str, *, limit: int | None = None
    ) -> Sequence[StoredEntry] | None:
        """The entries that lead to `entry_id`, itself the last, oldest first; or the last `limit`.

        `None` unless a session of this owner and agent reaches it in its history or a branch; or,
        for no owner, one with a `shared_id`.
        """

    @abstractmethod
    async def save(self, key: SessionKey, save: Save) -> None:
        """Store a session as `save` says, making it where `expected` is `None`.

        Durability: what has returned survives a killed process and a loss of power.
        Concurrency: of two saves that expect the same revision, one raises.

        Raises:
            RevisionConflict: If the stored revision is another than `expected`, a session is
                there that shouldn't be, or `head_id` and the parents aren't stored where the
                caller may reach them.
            EntryExists: If the id of a new entry is stored already, also out of reach.
            StoreFull, StoreUnavailable: If it could not be made durable.
        """

    @abstractmethod
    async def append(self, key: SessionKey, append: Append) -> AppendResult:
        """Add messages after the head in one step, dropping what the session waited on.

        Durability and concurrency: as `save`; with `ANY`, appends never conflict and each is
        stored once, whole, in some order.

        Raises:
            SessionNotFound: If there is no session.
            RevisionConflict: If `expected` is not the stored revision.
            IdempotencyMismatch: If the key was used for another digest.
        """

    @abstractmethod
    async def describe(self, key: SessionKey, change: Describe) -> SessionDetails:
        """Change what describes a session; what it is then.

        Its revision gets the mark of the change, so that it is another one; saves and appends
        that expect the revision without the mark, or with another, still go on from it.

        Durability: as `save`.

        Raises:
            SessionNotFound: If there is no session.
            RevisionConflict: If `change.expected` is not the stored revision with its mark.
        """

    @abstractmethod
    async def locate(self, key: SessionKey, entry_id: str) -> Located | None:
        """Where in a session an entry is; `None` if the session doesn't reach it, or isn't there.

        The current history is looked at first, then the branches, the newest first.
        """

    @abstractmethod
    async def branches(self, key: SessionKey) -> Sequence[Branch] | None:
        """The branches that a session left, oldest first, or `None` if there is no session."""

    @abstractmethod
    async def search(self, owner: str | None, search: Search) -> SearchPage:
        """Messages that a search finds, best first, equally good ones in a fixed order.

        Finds all that was saved before it was called, in the histories and branches of sessions
        that are not deleted. A message that several sessions share is one hit: in a session
        whose current history has it, if there is one, and of those in the one made first.

        Raises:
            InvalidCursor: If no search gave the cursor.
        """

    @abstractmethod
    def events(
        self, owner: str | None, agent_id: str | None, *, after: str | None = None
    ) -> AsyncGenerator[SessionEvent]:
        """What happens to the sessions of an owner and agent, or of all agents, as it happens.

        Each change once, in the order of the changes to a session, within a second, whoever made
        it. Without `after`, from now on, with an event `ready` first, so that what is read after
        it misses nothing. With the `event_id` of an earlier one, from that one on; if those are
        no longer kept, an event `reset` says that something was missed. Events are kept for an
        hour at least. Ends when the store is closed; to leave earlier, close the generator.
        """

    @abstractmethod
    async def delete(
        self, key: SessionKey, *, expected: Expected = ANY, permanent: bool = False
    ) -> bool:
        """Delete a session; whether there was one.

        Without `permanent` it goes to the trash, out of reach, with all that it has, unless
        `trash_days` is 0. With it, it is purged: its entries that no other session shares are
        removed, and gone from every file of the store. Where there is none, those with its id in
        the trash are purged.

        Raises:
            RevisionConflict: If `expected` is not the stored revision.
        """

    @abstractmethod
    async def delete_all(self, owner: str | None, agent_id: str, *, permanent: bool = False) -> int:
        """Delete every session of an owner and agent, as `delete`; how many.

        Not one step: sessions made meanwhile may stay, and a failure may leave some deleted.
        """

    @abstractmethod
    async def restore(self, key: SessionKey, *, session_id: str | None = None) -> SessionDetails:
        """Take a session out of the trash, with all that it had; of several, the last deleted.

        Args:
            key: What it was.
            session_id: Its id from now on, if it should be another.

        Raises:
            SessionNotFound: If none is in the trash.
            SessionExists: If its id is taken.
        """

    @abstractmethod
    async def empty_trash(
        self, owner: str | None, agent_id: str, *, before: int | None = None
    ) -> int:
        """Purge the deleted sessions of an owner and agent; how many.

        With `before`, only those deleted before that time: microseconds since 1970, UTC.
        """

    @abstractmethod
    def check(self, *, fix: bool = False) -> AsyncGenerator[Finding]:
        """Look through the whole store, and report what is wrong, as it is found.

        With `fix`, what can be put right without a loss is; each finding says so.
        """

    @abstractmethod
    async def settle(self, key: SessionKey) -> None:
        """Wait until what other programs read of a session is up to date: its view, say."""

    async def hold(self, key: SessionKey, *, wait: float | None = None) -> Callable[[], None]:
        """Wait until no other user of this place holds a session, and hold it.

        It stops nobody who doesn't ask. Whoever waits may be cancelled. A store that doesn't say
        otherwise knows of no others, and lets everybody hold what they ask for.

        Args:
            key: The session.
            wait: Seconds to wait at the most; 0 for a single try, `None` for ever.

        Returns:
            What lets go of it, to be called once, from any thread. The end of the process does
            so as well.

        Raises:
            TimeoutError: If another held it all the while.

        Concurrency: who waits is told in no order.
        """
        return _nothing


def _nothing() -> None:
    """Let go of what nobody else can hold."""
