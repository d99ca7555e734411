"""Entries: ids that last, and reading by them."""

from __future__ import annotations

import pytest
from pydantic_ai.conversation_store import ConversationStore

from ..base import Rules
from ..samples import (
    UNKNOWN,
    entries_of,
    ids,
    loaded,
    messages_in,
    prompt,
    record_of,
    saved,
    turn,
    turns,
)


class EntryRules(Rules):
    """An entry is one stored message; its id is for good."""

    async def test_save_returns_what_is_stored(self, conversations: ConversationStore) -> None:
        """The entries that a save returns are those that `load_entries` gives later."""
        conversation = await saved(conversations, "a")
        first = await entries_of(conversations)
        conversation.messages += turn("b")
        new = await conversations.save(conversation)
        assert await conversations.load_entries("one") == [*first, *new]

    async def test_chain(self, conversations: ConversationStore) -> None:
        """Each entry follows the one before it; the first follows none; the head is the last."""
        conversation = await saved(conversations, "a")
        conversation.messages += turn("b")
        await conversations.save(conversation)
        entries = await entries_of(conversations)
        assert [entry.parent_id for entry in entries] == [None, *ids(entries)[:-1]]
        assert (await record_of(conversations)).head_id == entries[-1].id

    async def test_ids_last(self, conversations: ConversationStore) -> None:
        """Ids stay over loads, saves, windows and branches."""
        await saved(conversations, "a", "b")
        before = ids(await entries_of(conversations))
        conversation = await loaded(conversations, limit=1)
        conversation.messages += turn("c")
        await conversations.save(conversation)
        assert ids(await entries_of(conversations))[:4] == before
        conversation = await conversations.branch(
            "one", at=3, expected_revision=conversation.revision
        )
        conversation.messages.append(prompt("d"))
        await conversations.save(conversation)
        assert ids(await entries_of(conversations))[:3] == before[:3]

    async def test_read_entry(self, conversations: ConversationStore) -> None:
        """Every entry can be read by its id, in the history or in a branch."""
        first = await saved(conversations, "a", "b")
        entries = await entries_of(conversations)
        await conversations.branch("one", at=1, expected_revision=first.revision)
        for entry in entries:
            assert await conversations.read_entry(entry.id) == entry

    async def test_unknown_entry(self, conversations: ConversationStore) -> None:
        """An entry that the store doesn't have is a `LookupError`."""
        await saved(conversations, "a")
        for entry_id in (UNKNOWN, "", "one"):
            with pytest.raises(LookupError):
                await conversations.read_entry(entry_id)

    async def test_read_history(self, conversations: ConversationStore) -> None:
        """The history up to any entry can be read, or the last part of it."""
        await saved(conversations, "a", "b")
        entries = await entries_of(conversations)
        for where, entry in enumerate(entries):
            assert await conversations.read_history(entry.id) == entries[: where + 1]
            for limit in range(6):
                found = await conversations.read_history(entry.id, limit=limit)
                assert found == (entries[: where + 1][-limit:] if limit else [])

    async def test_read_history_of_nothing(self, conversations: ConversationStore) -> None:
        """No entry has an empty history; an unknown one is a `LookupError`."""
        assert await conversations.read_history(None) == []
        assert await conversations.read_history(None, limit=3) == []
        with pytest.raises(LookupError):
            await conversations.read_history(UNKNOWN)

    async def test_ids_differ(self, conversations: ConversationStore) -> None:
        """No two entries have the same id, in whatever conversation they are."""
        for name in ("one", "two"):
            conversation = await saved(conversations, "a", "b", conversation_id=name)
            conversation.messages += turns("c", "d")
            await conversations.save(conversation)
        found = ids(await entries_of(conversations, "one")) + ids(
            await entries_of(conversations, "two")
        )
        assert len(set(found)) == len(found) == 16

    async def test_many_in_one_save(self, conversations: ConversationStore) -> None:
        """A save of many messages keeps their order."""
        texts = [str(number) for number in range(150)]
        await saved(conversations, *texts)
        entries = await entries_of(conversations)
        assert messages_in(entries) == turns(*texts)
        assert [entry.parent_id for entry in entries] == [None, *ids(entries)[:-1]]
