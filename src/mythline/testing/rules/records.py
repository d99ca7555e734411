"""The storage primitives: what `write_record` and `delete_record` check and store."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_ai.conversation_store import (
    ConversationEntry,
    ConversationRecord,
    ConversationStore,
)

from ..base import Rules
from ..samples import (
    UNKNOWN,
    WHEN,
    answer,
    branches_of,
    conflict,
    deferred,
    entries_of,
    loaded,
    messages_in,
    prompt,
    record_of,
    saved,
    state_of,
    turn,
    turns,
    usage,
)


def _chain(*texts: str, after: str | None = None) -> list[ConversationEntry]:
    entries: list[ConversationEntry] = []
    for text in texts:
        entries.append(ConversationEntry(parent_id=after, message=prompt(text)))
        after = entries[-1].id
    return entries


def _next(record: ConversationRecord, **changes: object) -> ConversationRecord:
    """The record as a later save would write it."""
    fresh = ConversationRecord(conversation_id=record.conversation_id, head_id=None)
    values: dict[str, Any] = {"revision": fresh.revision, "updated_at": fresh.updated_at}
    return dataclasses.replace(record, **values | changes)


class RecordRules(Rules):
    """Record and entries are stored together, if the revision is as expected."""

    async def test_written_as_given(self, conversations: ConversationStore) -> None:
        """A record is read back equal, with its revision and its time to the microsecond."""
        await saved(conversations, "a", "b")
        (first, second, _, last) = await entries_of(conversations)
        record = ConversationRecord(
            conversation_id="two",
            head_id=last.id,
            usage=usage(),
            deferred_tool_requests=deferred(),
            scope=self.scopes[-1],
            forked_from="one",
            forked_at=first.id,
            branches=[second.id, first.id],
            revision="any text: ü/…",
            updated_at=WHEN,
        )
        await conversations.write_record(record, expected_revision=None)
        assert await conversations.read_record("two") == record
        assert await entries_of(conversations, "two") == await entries_of(conversations)

    async def test_entries_as_given(self, conversations: ConversationStore) -> None:
        """New entries are stored under the ids they came with."""
        chain = _chain("a", "b", "c")
        record = ConversationRecord(conversation_id="one", head_id=chain[-1].id)
        await conversations.write_record(record, new_entries=chain, expected_revision=None)
        assert await entries_of(conversations) == chain

    async def test_record_replaced(self, conversations: ConversationStore) -> None:
        """With the stored revision, the record takes the place of the old one."""
        first = await saved(conversations, "a", usage=usage())
        old = await record_of(conversations)
        (head,) = chain = _chain("b", after=old.head_id)
        record = _next(old, head_id=head.id, usage=usage(9))
        await conversations.write_record(
            record, new_entries=chain, expected_revision=first.revision
        )
        assert await record_of(conversations) == record
        assert (await loaded(conversations)).messages == [*turn("a"), prompt("b")]

    async def test_expected_none(self, conversations: ConversationStore) -> None:
        """`None` is for a record that isn't there; one that is there conflicts."""
        await saved(conversations, "a")
        before = await state_of(conversations)
        record = ConversationRecord(conversation_id="one", head_id=None)
        with conflict():
            await conversations.write_record(record, expected_revision=None)
        assert await state_of(conversations) == before

    async def test_expected_of_nothing(self, conversations: ConversationStore) -> None:
        """A revision for a record that isn't there conflicts."""
        record = ConversationRecord(conversation_id="one", head_id=None)
        for revision in (UNKNOWN, record.revision):
            with conflict():
                await conversations.write_record(record, expected_revision=revision)
        assert await conversations.read_record("one") is None

    async def test_expected_stale(self, conversations: ConversationStore) -> None:
        """A revision that is not the stored one conflicts."""
        conversation = await saved(conversations, "a")
        stale = await record_of(conversations)
        await conversations.save(conversation)
        before = await state_of(conversations)
        for revision in (stale.revision, UNKNOWN, ""):
            with conflict():
                await conversations.write_record(_next(stale), expected_revision=revision)
        assert await state_of(conversations) == before

    async def test_unknown_head(self, conversations: ConversationStore) -> None:
        """A head that neither the store nor the new entries have conflicts."""
        record = ConversationRecord(conversation_id="one", head_id=UNKNOWN)
        with conflict():
            await conversations.write_record(record, expected_revision=None)
        assert await conversations.read_record("one") is None
        first = await saved(conversations, "a")
        before = await state_of(conversations)
        with conflict():
            await conversations.write_record(
                _next(before[0], head_id=UNKNOWN), expected_revision=first.revision
            )
        assert await state_of(conversations) == before

    async def test_unknown_head_stores_nothing(self, conversations: ConversationStore) -> None:
        """New entries that came with an unknown head are not stored."""
        chain = _chain("a", "b")
        record = ConversationRecord(conversation_id="one", head_id=UNKNOWN)
        with conflict():
            await conversations.write_record(record, new_entries=chain, expected_revision=None)
        for entry in chain:
            with pytest.raises(LookupError):
                await conversations.read_entry(entry.id)

    async def test_conflict_stores_nothing(self, conversations: ConversationStore) -> None:
        """New entries that came with a wrong revision are not stored, and can be sent again."""
        first = await saved(conversations, "a")
        old = await record_of(conversations)
        chain = _chain("b", "c", after=old.head_id)
        record = _next(old, head_id=chain[-1].id)
        before = await state_of(conversations)
        for revision in (None, UNKNOWN):
            with conflict():
                await conversations.write_record(
                    record, new_entries=chain, expected_revision=revision
                )
        assert await state_of(conversations) == before
        for entry in chain:
            with pytest.raises(LookupError):
                await conversations.read_entry(entry.id)
        await conversations.write_record(
            record, new_entries=chain, expected_revision=first.revision
        )
        assert (await entries_of(conversations))[2:] == chain

    async def test_new_entries_beside_the_head(self, conversations: ConversationStore) -> None:
        """New entries can be kept as a branch while the head stays where it is."""
        await saved(conversations, "a", "b")
        old = await record_of(conversations)
        entries = await entries_of(conversations)
        chain = _chain("c", "d", after=entries[1].id)
        record = _next(old, branches=[chain[-1].id])
        await conversations.write_record(record, new_entries=chain, expected_revision=old.revision)
        assert await entries_of(conversations) == entries
        wanted = [*turn("a"), prompt("c"), prompt("d")]
        assert await branches_of(conversations) == [wanted]
        assert await conversations.read_entry(chain[0].id) == chain[0]
        conversation = await conversations.branch(
            "one", from_entry=chain[-1].id, expected_revision=record.revision
        )
        assert conversation.messages == wanted
        assert await branches_of(conversations) == [turns("a", "b")]

    async def test_branch_after_the_head(self, conversations: ConversationStore) -> None:
        """A branch can go on from the head itself, which stays the head."""
        await saved(conversations, "a")
        old = await record_of(conversations)
        chain = _chain("b", "c", after=old.head_id)
        record = _next(old, branches=[chain[-1].id])
        await conversations.write_record(record, new_entries=chain, expected_revision=old.revision)
        conversation = await loaded(conversations)
        assert conversation.messages == turn("a")
        conversation.messages += turn("d")
        await conversations.save(conversation)
        assert (await loaded(conversations)).messages == turns("a", "d")
        assert await branches_of(conversations) == [[*turn("a"), prompt("b"), prompt("c")]]

    async def test_head_within_the_new_entries(self, conversations: ConversationStore) -> None:
        """The head can be any of the new entries, with the rest a branch."""
        chain = _chain("a", "b", "c")
        record = ConversationRecord(
            conversation_id="one", head_id=chain[0].id, branches=[chain[2].id]
        )
        await conversations.write_record(record, new_entries=chain, expected_revision=None)
        assert messages_in(await entries_of(conversations)) == [prompt("a")]
        assert await branches_of(conversations) == [[prompt("a"), prompt("b"), prompt("c")]]

    async def test_new_entries_of_two_lines(self, conversations: ConversationStore) -> None:
        """New entries are in order, each after the one it points at: not always the one before."""
        root, left = _chain("root", "left")
        right = ConversationEntry(parent_id=root.id, message=answer("right"))
        record = ConversationRecord(conversation_id="one", head_id=left.id, branches=[right.id])
        await conversations.write_record(
            record, new_entries=[root, left, right], expected_revision=None
        )
        assert await entries_of(conversations) == [root, left]
        assert await conversations.read_history(right.id) == [root, right]

    async def test_delete_record(self, conversations: ConversationStore) -> None:
        """With the stored revision the record is deleted, once."""
        first = await saved(conversations, "a")
        assert first.revision is not None
        await conversations.delete_record("one", expected_revision=first.revision)
        assert await conversations.read_record("one") is None
        with conflict():
            await conversations.delete_record("one", expected_revision=first.revision)

    async def test_delete_with_another_revision(self, conversations: ConversationStore) -> None:
        """A record that was saved since it was read is not deleted."""
        conversation = await saved(conversations, "a")
        stale = conversation.revision
        await conversations.save(conversation)
        before = await state_of(conversations)
        for revision in (stale, UNKNOWN):
            assert revision is not None
            with conflict():
                await conversations.delete_record("one", expected_revision=revision)
        assert await state_of(conversations) == before
        with conflict("unknown"):
            await conversations.delete_record("unknown", expected_revision=UNKNOWN)

    async def test_order_of_records(self, conversations: ConversationStore) -> None:
        """Records come newest `updated_at` first, whatever order they were written in."""
        for name, minutes in (("b", 2), ("d", 4), ("a", 1), ("c", 3)):
            record = ConversationRecord(
                conversation_id=name,
                head_id=None,
                updated_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes),
            )
            await conversations.write_record(record, expected_revision=None)

        async def read(limit: int | None = None) -> str:
            found = await conversations.read_records(limit=limit)
            return "".join(record.conversation_id for record in found)

        assert await read() == "dcba"
        assert [await read(limit) for limit in range(6)] == ["", "d", "dc", "dcb", "dcba", "dcba"]

    async def test_updated_at_moves_the_record(self, conversations: ConversationStore) -> None:
        """A record that is written with a later time moves to the front."""
        for name in ("a", "b"):
            await saved(conversations, conversation_id=name)
        old = await record_of(conversations, "a")
        later = (await record_of(conversations, "b")).updated_at + timedelta(microseconds=1)
        await conversations.write_record(
            _next(old, updated_at=later), expected_revision=old.revision
        )
        found = await conversations.read_records()
        assert [record.conversation_id for record in found] == ["a", "b"]
        assert found[0].updated_at == later
