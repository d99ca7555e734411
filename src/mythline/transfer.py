"""Histories that come whole: from programs that hold all of one, and from and to files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic_ai.conversation_store import ConversationEntry
from pydantic_ai.messages import ModelMessage

from . import ids, messages
from .bounds import aside
from .conversations import StoredConversations
from .errors import RevisionConflict, SessionExists, SessionNotFound
from .models import SessionDetails, StoredEntry, now_micros
from .store import Save

OnConflict = Literal["error", "replace", "rename"]


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

    async def export(self, session_id: str) -> Iterator[bytes]:
        """The current history as a JSON array of messages, one a line, in pieces of bytes.

        Raises:
            SessionNotFound: If there is no session.
        """
        page = await self.store.history(self._key(session_id))
        if page is None:
            raise SessionNotFound(session_id)
        return messages.pieces([entry.body for entry in page.entries])

    async def import_(
        self,
        data: bytes,
        *,
        session_id: str | None = None,
        on_conflict: OnConflict = "error",
        trusted: bool = False,
    ) -> SessionDetails:
        """Make a session of a JSON array of messages, as `export` gives.

        Args:
            data: The array.
            session_id: The id of the session; generated if `None`.
            on_conflict: If the id is taken: `error`; `replace`, which leaves the old history as
                a branch; or `rename`, which takes the first free of `{id}-2`, `{id}-3`, ….
            trusted: Take the messages as they are. Otherwise they are sanitized as Pydantic AI
                does it for those of a client (`pydantic_ai.messages.sanitize_messages`).

        Raises:
            InvalidMessages: If it is no array of messages that Pydantic AI can read.
            SessionExists: If the id is taken and `on_conflict` is `error`.
        """
        identity = ids.new_session_id() if session_id is None else session_id
        self._key(identity)
        bodies = await aside(len(data), lambda: messages.incoming(data, trusted=trusted))
        number = 1
        while True:
            renamed = identity if number == 1 else f"{identity[:120]}-{number}"
            details = await self.store.get(self._key(renamed))
            if details is not None and on_conflict == "rename":
                number += 1
                continue
            if details is not None and on_conflict == "error":
                raise SessionExists(renamed)
            save = self._goes_on(bodies, None, details, is_whole=details is None)
            try:
                await self.store.save(self._key(renamed), save)
            except RevisionConflict:
                if await self.store.get(self._key(renamed)) is not None:
                    continue
                if on_conflict == "rename":
                    number += 1
                    continue
                raise SessionExists(renamed) from None
            return await self._details(renamed)


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
                message == history[kept] or messages.same(entry.body, bodies[kept])
            ):
                break
            kept += 1
        parent_id = entry.entry_id
    return kept, parent_id
