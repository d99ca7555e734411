"""Branching: going on from an earlier point, and back again."""

from __future__ import annotations

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationStore

from ..base import Rules
from ..samples import (
    UNKNOWN,
    agent,
    branches_of,
    conflict,
    deferred,
    entries_of,
    ids,
    loaded,
    messages_in,
    prompt,
    record_of,
    refused,
    saved,
    state_of,
    turn,
    turns,
    usage,
)


async def _branched(
    conversations: ConversationStore, at: int | None = None, from_entry: str | None = None
) -> Conversation:
    return await conversations.branch(
        "one",
        at=at,
        from_entry=from_entry,
        expected_revision=(await record_of(conversations)).revision,
    )


class BranchingRules(Rules):
    """A branch moves the head; the history it leaves stays stored, and can be gone back to."""

    @pytest.mark.parametrize("at", range(4))
    async def test_branch_at(self, conversations: ConversationStore, at: int) -> None:
        """`at` keeps so many messages; the rest is left as a branch, at once."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        conversation = await _branched(conversations, at=at)
        assert conversation.messages == turns("a", "b")[:at]
        assert conversation.new_message_index == at
        assert conversation == await loaded(conversations)
        assert await entries_of(conversations) == before[:at]
        record = await record_of(conversations)
        assert record.head_id == (before[at - 1].id if at else None)
        assert record.branches == [before[-1].id]
        assert await branches_of(conversations) == [turns("a", "b")]

    async def test_at_the_end(self, conversations: ConversationStore) -> None:
        """A branch that keeps everything leaves nothing, but is a new revision."""
        first = await saved(conversations, "a")
        conversation = await _branched(conversations, at=2)
        assert conversation.messages == turn("a")
        assert conversation.revision != first.revision
        assert (await record_of(conversations)).branches == []

    async def test_at_nothing_of_nothing(self, conversations: ConversationStore) -> None:
        """An empty conversation can be branched at 0, and leaves nothing."""
        await saved(conversations)
        assert (await _branched(conversations, at=0)).messages == []
        assert (await record_of(conversations)).branches == []

    async def test_next_turn_goes_on_the_branch(self, conversations: ConversationStore) -> None:
        """What is saved next follows the last message that was kept."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        conversation = await _branched(conversations, at=2)
        conversation.messages += turn("c")
        new = await conversations.save(conversation)
        assert new[0].parent_id == before[1].id
        assert await entries_of(conversations) == [*before[:2], *new]
        assert (await record_of(conversations)).branches == [before[-1].id]

    async def test_run_on_the_branch(self, conversations: ConversationStore) -> None:
        """To regenerate an answer: branch before it, run, save."""
        await saved(conversations, "a", "b")
        conversation = await _branched(conversations, at=2)
        result = await agent().run("B", conversation=conversation)
        assert len(await conversations.save(result)) == 2
        assert (await loaded(conversations)).messages == result.all_messages()
        assert await branches_of(conversations) == [turns("a", "b")]

    @pytest.mark.parametrize("where", range(4))
    async def test_from_entry_in_the_history(
        self, conversations: ConversationStore, where: int
    ) -> None:
        """`from_entry` keeps the history up to that entry, itself the last."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        conversation = await _branched(conversations, from_entry=before[where].id)
        assert conversation.messages == turns("a", "b")[: where + 1]
        left = [] if where == 3 else [before[-1].id]
        assert (await record_of(conversations)).branches == left

    async def test_back_to_a_branch(self, conversations: ConversationStore) -> None:
        """Going back to the end of a branch takes it off the list and puts the one left on it."""
        await saved(conversations, "a", "b")
        first = await entries_of(conversations)
        conversation = await _branched(conversations, at=2)
        conversation.messages += turn("c")
        await conversations.save(conversation)
        second = await entries_of(conversations)
        back = await _branched(conversations, from_entry=first[-1].id)
        assert back.messages == turns("a", "b")
        assert (await record_of(conversations)).branches == [second[-1].id]
        forth = await _branched(conversations, from_entry=second[-1].id)
        assert forth.messages == turns("a", "c")
        assert (await record_of(conversations)).branches == [first[-1].id]
        assert await entries_of(conversations) == second

    async def test_into_the_middle_of_a_branch(self, conversations: ConversationStore) -> None:
        """Going on from within a branch keeps it, as its end is still not reached."""
        await saved(conversations, "a", "b")
        first = await entries_of(conversations)
        conversation = await _branched(conversations, at=0)
        conversation.messages += turn("c")
        await conversations.save(conversation)
        second = await entries_of(conversations)
        middle = await _branched(conversations, from_entry=first[2].id)
        assert middle.messages == turns("a", "b")[:3]
        assert (await record_of(conversations)).branches == [first[-1].id, second[-1].id]

    async def test_order_of_branches(self, conversations: ConversationStore) -> None:
        """Branches are listed in the order they were left, the oldest first."""
        conversation = await saved(conversations, "a")
        tips: list[str] = []
        for text in ("b", "c", "d"):
            conversation.messages += turn(text)
            tips.append((await conversations.save(conversation))[-1].id)
            conversation = await _branched(conversations, at=2)
        assert (await record_of(conversations)).branches == tips

    async def test_left_again(self, conversations: ConversationStore) -> None:
        """A branch that is gone back to and left again is the newest."""
        conversation = await saved(conversations, "a")
        tips: list[str] = []
        for text in ("b", "c", "d"):
            conversation.messages += turn(text)
            tips.append((await conversations.save(conversation))[-1].id)
            conversation = await _branched(conversations, at=2)
        await _branched(conversations, from_entry=tips[0])
        assert (await record_of(conversations)).branches == tips[1:]
        await _branched(conversations, at=0)
        assert (await record_of(conversations)).branches == [*tips[1:], tips[0]]

    async def test_left_again_while_listed(self, conversations: ConversationStore) -> None:
        """A history that is on the list when it is left again moves to the newest place."""
        conversation = await saved(conversations, "a", "b")
        short = (await entries_of(conversations))[1].id
        tips = [(await entries_of(conversations))[-1].id]
        conversation = await _branched(conversations, at=2)
        conversation.messages[1] = prompt("instead")
        await conversations.save(conversation)  # leaves `short`
        tips.append((await entries_of(conversations))[-1].id)
        assert (await record_of(conversations)).branches == [tips[0], short]
        conversation = await _branched(conversations, from_entry=tips[0])
        assert (await record_of(conversations)).branches == [short, tips[1]]
        del conversation.messages[2:]
        await conversations.save(conversation)  # the head is `short` again
        assert (await record_of(conversations)).head_id == short
        await _branched(conversations, at=1)
        assert (await record_of(conversations)).branches == [tips[1], tips[0], short]

    async def test_branch_of_a_branch(self, conversations: ConversationStore) -> None:
        """Branches nest: each can be read whole and gone back to."""
        conversation = await saved(conversations, "a", "b", "c")
        conversation = await _branched(conversations, at=4)
        conversation.messages += turn("d")
        await conversations.save(conversation)
        conversation = await _branched(conversations, at=2)
        conversation.messages += turn("e")
        await conversations.save(conversation)
        assert await branches_of(conversations) == [turns("a", "b", "c"), turns("a", "b", "d")]
        for tip, texts in zip(
            (await record_of(conversations)).branches, ("abc", "abd"), strict=True
        ):
            back = await _branched(conversations, from_entry=tip)
            assert back.messages == turns(*texts)

    async def test_unknown_conversation(self, conversations: ConversationStore) -> None:
        """A conversation that the store doesn't have can't be branched."""
        with refused():
            await conversations.branch("one", at=0, expected_revision=None)
        with refused():
            await conversations.branch("one", at=0, expected_revision=UNKNOWN)

    async def test_wrong_revision(self, conversations: ConversationStore) -> None:
        """A branch can't undo a turn that someone saved meanwhile."""
        conversation = await saved(conversations, "a", "b")
        stale = conversation.revision
        conversation.messages += turn("c")
        await conversations.save(conversation)
        before = await state_of(conversations)
        for revision in (stale, None, UNKNOWN):
            with conflict():
                await conversations.branch("one", at=2, expected_revision=revision)
        assert await state_of(conversations) == before

    async def test_old_copy_after_a_branch(self, conversations: ConversationStore) -> None:
        """A branch is a change: a copy loaded before it can't be saved."""
        conversation = await saved(conversations, "a", "b")
        await _branched(conversations, at=2)
        with conflict():
            await conversations.save(conversation)

    @pytest.mark.parametrize("at", [-1, 5, 1000])
    async def test_at_out_of_range(self, conversations: ConversationStore, at: int) -> None:
        """`at` is from 0 to the number of messages."""
        await saved(conversations, "a", "b")
        before = await state_of(conversations)
        with refused():
            await _branched(conversations, at=at)
        assert await state_of(conversations) == before

    async def test_neither_or_both(self, conversations: ConversationStore) -> None:
        """Exactly one of `at` and `from_entry` says where."""
        await saved(conversations, "a")
        before = await state_of(conversations)
        with refused():
            await _branched(conversations)
        with refused():
            await _branched(conversations, at=1, from_entry=before[1][0].id)
        assert await state_of(conversations) == before

    async def test_entry_of_nowhere(self, conversations: ConversationStore) -> None:
        """`from_entry` must be in the history or in a branch that this conversation left."""
        await saved(conversations, "a")
        await saved(conversations, "a", conversation_id="two")
        before = await state_of(conversations)
        (foreign, _) = ids(await entries_of(conversations, "two"))
        for entry_id in (UNKNOWN, foreign):
            with refused():
                await _branched(conversations, from_entry=entry_id)
        assert await state_of(conversations) == before

    async def test_entry_of_another_s_branch(self, conversations: ConversationStore) -> None:
        """An entry that only a fork's history has is not in this one's."""
        await saved(conversations, "a")
        fork = await conversations.fork("one", new_conversation_id="two")
        fork.messages += turn("b")
        (entry, _) = await conversations.save(fork)
        with refused():
            await _branched(conversations, from_entry=entry.id)

    async def test_usage_is_kept(self, conversations: ConversationStore) -> None:
        """What was spent stays spent, wherever the conversation goes on from."""
        await saved(conversations, "a", "b", usage=usage())
        for at in (2, 0):
            assert (await _branched(conversations, at=at)).usage == usage()
        assert (await loaded(conversations)).usage == usage()

    async def test_deferred_requests_at_the_head(self, conversations: ConversationStore) -> None:
        """What a conversation waits on stays while its head is the same."""
        await saved(conversations, "a", deferred_tool_requests=deferred())
        assert (await _branched(conversations, at=2)).deferred_tool_requests == deferred()
        head = (await entries_of(conversations))[-1].id
        again = await _branched(conversations, from_entry=head)
        assert again.deferred_tool_requests == deferred()
        assert (await loaded(conversations)).deferred_tool_requests == deferred()

    async def test_deferred_requests_elsewhere(self, conversations: ConversationStore) -> None:
        """What a conversation waited on is gone once its head moved, also on the way back."""
        await saved(conversations, "a", deferred_tool_requests=deferred())
        head = (await entries_of(conversations))[-1].id
        assert (await _branched(conversations, at=1)).deferred_tool_requests is None
        assert (await loaded(conversations)).deferred_tool_requests is None
        back = await _branched(conversations, from_entry=head)
        assert back.deferred_tool_requests is None

    async def test_branches_survive_saves(self, conversations: ConversationStore) -> None:
        """The list of branches stays as it is while the history only grows."""
        await saved(conversations, "a", "b")
        conversation = await _branched(conversations, at=2)
        branches = (await record_of(conversations)).branches
        for text in ("c", "d"):
            conversation.messages += turn(text)
            await conversations.save(conversation)
        assert (await record_of(conversations)).branches == branches
        assert messages_in(await conversations.read_history(branches[0])) == turns("a", "b")
