"""Lists and deletion."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic_ai.conversation_store import ConversationStore

from ..base import Rules
from ..samples import (
    deferred,
    loaded,
    record_of,
    refused,
    saved,
    state_of,
    turn,
    usage,
)


class ListRules(Rules):
    """What is listed, in which order; and what a delete leaves."""

    @staticmethod
    async def _listed(conversations: ConversationStore, limit: int | None = None) -> list[str]:
        found = await conversations.list_conversations(limit=limit)
        return [record.conversation_id for record in found]

    async def test_newest_first(self, conversations: ConversationStore) -> None:
        """The conversation that was saved last comes first."""
        for name in ("x", "y", "z"):
            await saved(conversations, "a", conversation_id=name)
        assert await self._listed(conversations) == ["z", "y", "x"]

    async def test_saves_move_to_the_front(self, conversations: ConversationStore) -> None:
        """Every save moves its conversation to the front, also one without messages."""
        for name in ("x", "y", "z"):
            await saved(conversations, "a", conversation_id=name)
        conversation = await loaded(conversations, "x")
        conversation.messages += turn("b")
        await conversations.save(conversation)
        assert await self._listed(conversations) == ["x", "z", "y"]
        await conversations.save(await loaded(conversations, "y"))
        assert await self._listed(conversations) == ["y", "x", "z"]

    async def test_branches_and_forks_are_saves(self, conversations: ConversationStore) -> None:
        """A branch moves its conversation to the front; a fork comes in there."""
        for name in ("x", "y", "z"):
            await saved(conversations, "a", conversation_id=name)
        revision = (await record_of(conversations, "x")).revision
        await conversations.branch("x", at=1, expected_revision=revision)
        await conversations.fork("y", new_conversation_id="f")
        assert await self._listed(conversations) == ["f", "x", "z", "y"]

    async def test_reading_moves_nothing(self, conversations: ConversationStore) -> None:
        """Loads don't change the order."""
        for name in ("x", "y"):
            await saved(conversations, "a", conversation_id=name)
        await conversations.load("x")
        await conversations.load_entries("x", limit=1)
        assert await self._listed(conversations) == ["y", "x"]

    async def test_limit(self, conversations: ConversationStore) -> None:
        """A limit gives the newest, and is not negative."""
        for name in ("x", "y", "z"):
            await saved(conversations, "a", conversation_id=name)
        wanted = ["z", "y", "x"]
        for limit in (*range(5), 1 << 70):
            assert await self._listed(conversations, limit) == wanted[:limit]
        for limit in (-1, -7):
            with refused():
                await conversations.list_conversations(limit=limit)

    async def test_records_in_the_list(self, conversations: ConversationStore) -> None:
        """The list gives the records whole, as they are read one by one."""
        first = await saved(
            conversations, "a", "b", usage=usage(), deferred_tool_requests=deferred()
        )
        await conversations.branch("one", at=1, expected_revision=first.revision)
        await conversations.fork("one", new_conversation_id="two")
        found = await conversations.list_conversations()
        assert found == [
            await record_of(conversations, "two"),
            await record_of(conversations, "one"),
        ]

    async def test_times_go_on(self, conversations: ConversationStore) -> None:
        """A record says when it was saved: an aware time that never goes back."""
        conversation = await saved(conversations, "a")
        times = [(await record_of(conversations)).updated_at]
        for _ in range(5):
            await conversations.save(conversation)
            times.append((await record_of(conversations)).updated_at)
        assert times == sorted(times)
        assert times[0] < times[-1]
        assert all(time.utcoffset() == timedelta(0) for time in times)

    async def test_format_version(self, conversations: ConversationStore) -> None:
        """Records say in which format they are."""
        await saved(conversations, "a")
        assert (await record_of(conversations)).format_version == 1

    async def test_delete(self, conversations: ConversationStore) -> None:
        """A deleted conversation neither loads nor lists; others are as before."""
        await saved(conversations, "a")
        await saved(conversations, "b", conversation_id="two")
        before = await state_of(conversations, "two")
        await conversations.delete("one")
        assert await conversations.load("one") is None
        assert await conversations.load_entries("one") is None
        assert await conversations.read_record("one") is None
        assert await self._listed(conversations) == ["two"]
        assert await state_of(conversations, "two") == before

    async def test_delete_again(self, conversations: ConversationStore) -> None:
        """Deleting what isn't there does nothing."""
        await conversations.delete("one")
        await saved(conversations, "a")
        await conversations.delete("one")
        await conversations.delete("one")
        assert await self._listed(conversations) == []

    async def test_new_one_under_the_id(self, conversations: ConversationStore) -> None:
        """An id can be used again after a delete; nothing of the old conversation is there."""
        first = await saved(
            conversations, "a", "b", usage=usage(), deferred_tool_requests=deferred()
        )
        await conversations.branch("one", at=1, expected_revision=first.revision)
        await conversations.delete("one")
        again = await saved(conversations, "c")
        assert await loaded(conversations) == again
        assert again.messages == turn("c")
        assert again.usage.requests == 0
        record = await record_of(conversations)
        assert (record.branches, record.deferred_tool_requests) == ([], None)

    @pytest.mark.parametrize("count", [7])
    async def test_many(self, conversations: ConversationStore, count: int) -> None:
        """Deleting and saving in turn leaves exactly what was not deleted."""
        for number in range(count):
            await saved(conversations, str(number), conversation_id=f"c{number}")
        for number in range(0, count, 2):
            await conversations.delete(f"c{number}")
        left = [f"c{number}" for number in range(count - 1, -1, -1) if number % 2]
        assert await self._listed(conversations) == left
