"""Histories that come whole: from programs that hold all of one, and from and to files."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

from pydantic_ai.conversation_store import ConversationEntry
from pydantic_ai.messages import ModelMessage

from . import damage, ids, messages
from .bounds import aside, check_known
from .conversations import StoredConversations
from .errors import (
    EntryExists,
    InvalidInput,
    InvalidMessages,
    RevisionConflict,
    SessionExists,
    SessionNotFound,
    StoreCorrupt,
)
from .formats import EXPORTS, ExportedSession, ExportFormat, ImportedSession, read, sanitized
from .formats import export as write
from .formats.types import line
from .formats.unpacking import Archive, Limits, conversations, is_data_export, is_packed
from .models import Imported, SessionDetails, StoredEntry, now_micros, to_micros
from .records import check_carried
from .store import Save

OnConflict = Literal["error", "replace", "rename"]
BulkConflict = Literal["skip", "error", "replace", "rename"]

IN_MEMORY: Final = Limits(total=1 << 30, member=256 << 20, ratio=100)
"""What a packed file may hold whose sessions are all in memory at once."""


class Transfers(StoredConversations):
    """What `AgentSessions` does with whole histories."""

    async def save_history(
        self, session_id: str, history: Sequence[ModelMessage]
    ) -> Sequence[ConversationEntry]:
        """Make `history` the session's, for callers that hold all of it and nothing else.

        What it adds to the stored history is appended. Where it differs, it becomes the current
        history and leaves the old one as a branch. A session that isn't there is made.

        Returns:
            The entries that were new.

        Raises:
            SessionExists: If something that is no session lies where its view would be.
        """
        key = self._key(session_id)
        history = [*history]  # it may be changed meanwhile, and a deque can't be sliced
        bodies = messages.dump(history)
        while True:
            details = await self.store.get(key)
            page = None if details is None else await self.store.history(key)
            if details is not None and (page is None or page.revision != details.revision):
                continue  # it was saved in between
            stored = () if page is None else page.entries
            kept, parent_id = _common(stored, bodies, history)
            is_whole = details is None or parent_id == details.head_id
            if details is not None and is_whole and kept == len(bodies):
                return []
            save = self._goes_on(bodies[kept:], parent_id, details, is_whole=is_whole)
            try:
                await self.store.save(key, save)
            except RevisionConflict:
                if details is None and await self.store.get(key) is None:
                    raise SessionExists(session_id) from None  # a file that is none is there
                continue
            return [
                ConversationEntry(id=entry.entry_id, parent_id=entry.parent_id, message=message)
                for entry, message in zip(save.entries, history[kept:], strict=True)
            ]

    def _goes_on(
        self,
        bodies: Sequence[bytes],
        parent_id: str | None,
        details: SessionDetails | None,
        *,
        is_whole: bool,
    ) -> Save:
        """A save in which `bodies` follow an entry of the history; the rest of it is a branch."""
        revision, *entry_ids = ids.new_entry_ids(1 + len(bodies))
        parents = [parent_id, *entry_ids]
        branches = (
            [] if details is None else [tip for tip in details.branches if tip != parents[-1]]
        )
        if details is not None and details.head_id and not is_whole:
            branches.append(details.head_id)
        return Save(
            revision=revision,
            expected=None if details is None else details.revision,
            head_id=parents[-1],
            entries=[
                StoredEntry(identity, parent, body)
                for identity, parent, body in zip(entry_ids, parents, bodies, strict=False)
            ],
            branches=branches,
            usage=b"{}" if details is None else details.usage,
            forked_from=None if details is None else details.forked_from,
            forked_at=None if details is None else details.forked_at,
            updated=now_micros(),
            reach=self.owner,
        )

    # Files

    async def exported(self, session_id: str, *, branches: bool = True) -> ExportedSession:
        """A session with all its entries, as formats are written from; or without its branches.

        Branches that are damaged are left out.

        Raises:
            SessionNotFound: If there is none.
            StoreCorrupt: If its history is damaged.
        """
        key = self._key(session_id)
        while True:
            details = await self._details(session_id)
            entries: dict[str, StoredEntry] = {}
            damaged: set[str] = set()
            for tip in filter(None, [details.head_id, *(details.branches if branches else ())]):
                try:
                    line = await self.store.line(self.owner, self.agent_id, tip)
                except StoreCorrupt:
                    line = None
                if line is None:
                    damaged.add(tip)
                entries |= {entry.entry_id: entry for entry in line or ()}
            now = await self.store.get(key)
            if now is None or now.revision != details.revision:
                continue
            if details.head_id in damaged:
                raise damage.of_history()
            whole = tuple(tip for tip in details.branches if tip not in damaged)
            return ExportedSession(
                dataclasses.replace(details, branches=whole), tuple(entries.values())
            )

    async def export(self, session_id: str, format: ExportFormat = "json") -> Iterator[bytes]:  # noqa: A002
        """A session in a format, in pieces of bytes.

        Args:
            session_id: The session.
            format: `json`, the array of its messages, one a line; `jsonl`, all there is of it;
                `markdown` or `html`, for people.

        Raises:
            SessionNotFound: If there is no session.
            InvalidInput: If there is no such format.
        """
        if format not in EXPORTS:
            raise InvalidInput(f"No format {format!r}. Known are: {', '.join(EXPORTS)}.")
        if format == "json":
            page = await self.store.history(self._key(session_id))
            if page is None:
                raise SessionNotFound(session_id)
            return messages.pieces([entry.body for entry in page.entries])
        return write(await self.exported(session_id, branches=format == "jsonl"), format)

    async def import_(
        self,
        data: bytes,
        *,
        session_id: str | None = None,
        filename: str | None = None,
        on_conflict: OnConflict = "error",
        trusted: bool = False,
    ) -> SessionDetails:
        """Make a session of a file that holds one, in any format that `mythline.formats` reads.

        Args:
            data: The file: a JSON array of messages, as `export` gives, or another program's.
            session_id: The id of the session. Without one, the id that the file tells, or else
                a generated one.
            filename: The file's name, which may tell the id.
            on_conflict: If the id is taken: `error`; `replace`, which leaves the old history as
                a branch; or `rename`, which takes the first free of `{id}-2`, `{id}-3`, ….
            trusted: Take the messages as they are. Otherwise they are sanitized as Pydantic AI
                does it for those of a client (`pydantic_ai.messages.sanitize_messages`).

        Raises:
            InvalidMessages: If it is nothing that can be read, or holds more than one session.
            InvalidInput: If `on_conflict` is none of those.
            SessionExists: If the id is taken and `on_conflict` is `error`.
        """
        if session_id is not None:
            self._key(session_id)
        found = await read_aside(data, filename, trusted=trusted)
        if len(found) != 1:
            raise InvalidMessages(
                f"The file holds {len(found)} sessions. Import them with `import_all`."
            )
        identity = session_id or found[0].session_id or ids.new_session_id()
        return await self.store_imported(found[0], identity, on_conflict)

    async def import_all(
        self,
        data: bytes,
        *,
        filename: str | None = None,
        on_conflict: BulkConflict = "skip",
        trusted: bool = False,
    ) -> AsyncGenerator[Imported]:
        """Make sessions of all that a file holds, and tell of each when it is stored, in order.

        Those of an archive become this agent's and owner's, whoever's they were.

        What was stored stays, whatever comes after it; importing the file again goes on.

        Args:
            data: The file.
            filename: Its name, which may tell the id of a session that doesn't.
            on_conflict: As for `import_`; or `skip`, which leaves what is there.
            trusted: As for `import_`.

        Raises:
            InvalidMessages: If it is nothing that can be read. Nothing was stored.
            InvalidInput: If `on_conflict` is none of those.
        """
        found = await read_aside(data, filename, trusted=trusted)
        for session in found:
            yield await self.take(session, on_conflict)

    async def take(self, session: ImportedSession, on_conflict: BulkConflict) -> Imported:
        """Store a session that was read, under its own id; what became of it.

        Raises:
            InvalidInput: If `on_conflict` is none of those of `import_all`.
        """
        check_known("on_conflict", [on_conflict], get_args(BulkConflict))
        identity = session.session_id or ids.new_session_id()
        there = await self.store.get(self._key(identity))
        if there is not None and (on_conflict == "skip" or _is_same(session, there)):
            status = "unchanged" if _is_same(session, there) else "skipped"
            return Imported(self.agent_id, identity, status, there.message_count)
        try:
            made = await self.store_imported(
                session, identity, "error" if on_conflict == "skip" else on_conflict
            )
        except (SessionExists, InvalidInput) as error:
            return Imported(self.agent_id, identity, "failed", 0, str(error))
        return Imported(self.agent_id, made.session_id, "imported", made.message_count)

    async def store_imported(
        self, session: ImportedSession, session_id: str, on_conflict: OnConflict
    ) -> SessionDetails:
        """Store a session that was read, with its entry ids where they are free or its own.

        Raises:
            InvalidInput: If `on_conflict` is none of those of `import_`.
            SessionExists: If the id is taken and `on_conflict` is `error`.
            InvalidMessages: If what it carries beside its messages can't be read.
        """
        check_known("on_conflict", [on_conflict], get_args(OnConflict))
        check_carried(session.usage, session.deferred_tool_requests)
        whole, shared = session, False
        number = 1
        while True:
            identity = session_id if number == 1 else f"{session_id[:120]}-{number}"
            details = await self.store.get(self._key(identity))
            if details is not None and on_conflict == "rename":
                number += 1
                continue
            if details is not None and on_conflict == "error":
                raise SessionExists(identity)
            try:
                await self.store.save(self._key(identity), self._imported(session, details))
            except EntryExists:
                session = whole.renewed() if shared else await self._sharing(whole)
                shared = True
                continue
            except RevisionConflict:
                if len(session.entries) < len(whole.entries):  # is what it shares still there?
                    again = await self._sharing(whole)
                    if again.entries != session.entries:
                        session = again
                        continue
                if details is not None or await self.store.get(self._key(identity)) is not None:
                    continue
                if on_conflict == "rename":
                    number += 1
                    continue
                raise SessionExists(identity) from None
            return await self._details(identity)

    def _imported(self, session: ImportedSession, there: SessionDetails | None) -> Save:
        """The save that makes a session, or replaces the history of one that is there."""
        branches = list(session.branches)
        if there is not None:
            left = [*there.branches, there.head_id] if there.head_id else there.branches
            branches = list(dict.fromkeys((*left, *branches)))
        now = now_micros()
        return Save(
            revision=ids.new_entry_ids(1)[0],
            expected=None if there is None else there.revision,
            head_id=session.head_id,
            entries=session.entries,
            branches=[tip for tip in branches if tip != session.head_id],
            usage=session.usage if there is None else there.usage,
            deferred_tool_requests=session.deferred_tool_requests,
            forked_from=session.forked_from if there is None else there.forked_from,
            forked_at=session.forked_at if there is None else there.forked_at,
            updated=_micros(session.last_modified, now) if there is None else now,
            created=_micros(session.created, now),
            reach=self.owner,
            title=session.title,
            tags=session.tags,
            metadata=session.metadata,
            pinned=session.pinned,
            archived=session.archived,
        )

    async def _sharing(self, session: ImportedSession) -> ImportedSession:
        """The session without the entries that are stored here already, as those of its fork are.

        With new entry ids if those that are stored are others, or out of reach.
        """
        known: set[str] = set()
        for tip in [session.head_id, *session.branches]:
            path = line(session.entries, tip)
            low, high = 0, len(path)  # entries before `low` are stored, from `high` on they aren't
            while low < high:
                middle = (low + high) // 2
                entry_id = path[middle].entry_id
                found = entry_id in known or await self.store.line(
                    self.owner, self.agent_id, entry_id, limit=1
                )
                low, high = (middle + 1, high) if found else (low, middle)
            if low and path[low - 1].entry_id not in known:
                stored = await self.store.line(self.owner, self.agent_id, path[low - 1].entry_id)
                if list(stored or ()) != path[:low]:
                    return session.renewed()
                known |= {entry.entry_id for entry in path[:low]}
        if not known:
            return session.renewed()
        left = tuple(entry for entry in session.entries if entry.entry_id not in known)
        return dataclasses.replace(session, entries=left)


def read_file(
    data: bytes, filename: str | None = None, *, trusted: bool = False
) -> list[ImportedSession]:
    """The sessions in a file of any format, an archive, or a data export of ChatGPT's or Claude's.

    Sanitized unless they are trusted; see `AgentSessions.import_`. A packed file may hold 1 GiB, a
    session in it 256 MiB, and above 64 MiB in all no more than 100 times its own size.

    Raises:
        InvalidMessages: If it is nothing that can be read, or has no session.
    """
    found = list(_unpacked(io.BytesIO(data)) if is_packed(data) else read(data, filename))
    if not found:
        raise InvalidMessages("The file has no session in it.")
    return found if trusted else [sanitized(session) for session in found]


async def read_aside(
    data: bytes, filename: str | None = None, *, trusted: bool = False
) -> list[ImportedSession]:
    """As `read_file`, beside the event loop where there may be much to look through."""
    most = IN_MEMORY.total if is_packed(data) else None
    return await aside(most or len(data), lambda: read_file(data, filename, trusted=trusted))


def _unpacked(file: io.BytesIO) -> Iterator[ImportedSession]:
    if is_data_export(file):
        return conversations(file, IN_MEMORY)
    return (session for _, session in Archive(file, IN_MEMORY).sessions())


def _is_same(session: ImportedSession, there: SessionDetails) -> bool:
    """Whether a session is stored as it was exported: its entries are the same."""
    return session.head_id == there.head_id and set(session.branches) == set(there.branches)


def _micros(moment: datetime | None, now: int) -> int:
    return now if moment is None else min(max(0, to_micros(moment)), now)


def _common(
    stored: Sequence[StoredEntry], bodies: Sequence[bytes], history: Sequence[ModelMessage]
) -> tuple[int, str | None]:
    """How many messages of `history` are stored from the start, and the entry they end with.

    What can't be read is in no history that someone holds: it is passed over, and kept.
    """
    same = 0
    for entry, body in zip(stored, bodies, strict=False):
        if entry.body != body:
            break
        same += 1
    rest = messages.readable([entry.body for entry in stored[same:]])
    kept, parent_id = same, stored[same - 1].entry_id if same else None
    for entry, message in zip(stored[same:], rest, strict=True):
        if message is not None:
            if kept == len(history) or not (
                message == history[kept] or messages.same(entry.body, bodies[kept], wholly=True)
            ):
                break
            kept += 1
        parent_id = entry.entry_id
    return kept, parent_id
