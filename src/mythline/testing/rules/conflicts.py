"""Conflicts: a save never overwrites what someone else stored."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import ConversationConflict, ConversationStore

from ..base import Rules
from ..samples import (
    UNKNOWN,
    agent,
    conflict,
    loaded,
    record_of,
    saved,
    serialised,
    state_of,
    turn,
    turns,
)


class ConflictRules(Rules):
    """Compare and swap by revision; a conflict leaves nothing behind."""

    async def test_saved_meanwhile(self, conversations: ConversationStore) -> None:
        """A save from a revision that is no longer the stored one conflicts."""
        await saved(conversations, "a")
        mine, theirs = await loaded(conversations), await loaded(conversations)
        theirs.messages += turn("theirs")
        await conversations.save(theirs)
        mine.messages += turn("mine")
        before = await state_of(conversations)
        with conflict():
            await conversations.save(mine)
        assert await state_of(conversations) == before

    async def test_saved_meanwhile_without_messages(self, conversations: ConversationStore) -> None:
        """Also a save that stored no message is one that happened meanwhile."""
        await saved(conversations, "a")
        mine, theirs = await loaded(conversations), await loaded(conversations)
        await conversations.save(theirs)
        with conflict():
            await conversations.save(mine)

    async def test_conflict_leaves_the_object(self, conversations: ConversationStore) -> None:
        """A conflict doesn't advance the conversation that was to be saved."""
        first = await saved(conversations, "a")
        mine = await loaded(conversations)
        await conversations.save(first)
        revision = mine.revision
        mine.messages += turn("mine")
        for _ in range(2):
            with conflict():
                await conversations.save(mine)
        assert (mine.revision, mine.new_message_index) == (revision, 2)
        assert mine.messages == turns("a", "mine")

    async def test_repeat_after_a_load(self, conversations: ConversationStore) -> None:
        """After a conflict: load again, repeat the change, save."""
        first = await saved(conversations, "a")
        stale = await loaded(conversations)
        first.messages += turn("theirs")
        await conversations.save(first)
        stale.messages += turn("mine")
        with conflict():
            await conversations.save(stale)
        fresh = await loaded(conversations)
        fresh.messages += turn("mine")
        await conversations.save(fresh)
        assert (await loaded(conversations)).messages == turns("a", "theirs", "mine")

    async def test_run_meanwhile(self, conversations: ConversationStore) -> None:
        """A run's result conflicts if the conversation was saved while the run was going."""
        await saved(conversations, "a")
        result = await agent().run("mine", conversation=await loaded(conversations))
        theirs = await loaded(conversations)
        theirs.messages += turn("theirs")
        await conversations.save(theirs)
        before = await state_of(conversations)
        with conflict():
            await conversations.save(result)
        assert await state_of(conversations) == before

    async def test_deleted_meanwhile(self, conversations: ConversationStore) -> None:
        """A save of a conversation that was deleted conflicts, and doesn't bring it back."""
        conversation = await saved(conversations, "a")
        await conversations.delete("one")
        conversation.messages += turn("b")
        with conflict():
            await conversations.save(conversation)
        assert await conversations.load("one") is None
        assert await conversations.list_conversations() == []

    async def test_created_meanwhile(self, conversations: ConversationStore) -> None:
        """A conversation that wasn't loaded conflicts with one that has its id already."""
        await saved(conversations, "theirs")
        before = await state_of(conversations)
        with conflict():
            await saved(conversations, "mine")
        with conflict():
            await saved(conversations)
        with conflict():
            await saved(conversations, "theirs")
        assert await state_of(conversations) == before

    async def test_run_over_an_id_that_exists(self, conversations: ConversationStore) -> None:
        """A run that was only given the id of a stored conversation conflicts with it."""
        await saved(conversations, "a")
        result = await agent().run("b", conversation_id="one")
        with conflict():
            await conversations.save(result)

    async def test_deleted_and_created_again(self, conversations: ConversationStore) -> None:
        """A copy from before a delete can't be saved over a conversation made again."""
        await saved(conversations, "a")
        old = await loaded(conversations)
        await conversations.delete("one")
        again = await saved(conversations, "a")
        assert again.revision != old.revision
        before = await state_of(conversations)
        old.messages += turn("b")
        with conflict():
            await conversations.save(old)
        assert await state_of(conversations) == before

    async def test_revision_that_was_never_given(self, conversations: ConversationStore) -> None:
        """A made-up revision conflicts, whether the conversation is there or not."""
        with conflict():
            await saved(conversations, "a", revision=UNKNOWN)
        assert await conversations.load("one") is None
        await saved(conversations, "a")
        with conflict():
            await saved(conversations, "a", revision=UNKNOWN)

    async def test_conflict_before_comparison(self, conversations: ConversationStore) -> None:
        """A stale copy that would have to be compared conflicts as well."""
        await saved(conversations, "a", "b")
        stale = serialised(await loaded(conversations))
        fresh = await loaded(conversations)
        fresh.messages += turn("c")
        await conversations.save(fresh)
        before = await state_of(conversations)
        del stale.messages[1:]
        with conflict():
            await conversations.save(stale)
        stale.new_message_index = None
        with conflict():
            await conversations.save(stale)
        assert await state_of(conversations) == before

    @pytest.mark.parametrize("writers", [2, 8])
    async def test_race_from_one_revision(
        self, conversations: ConversationStore, writers: int
    ) -> None:
        """Of any number of saves from the same revision, exactly one wins."""
        await saved(conversations, "a")
        copies = [await loaded(conversations) for _ in range(writers)]
        for number, copy in enumerate(copies):
            copy.messages += turn(f"writer {number}")
        outcomes = await asyncio.gather(
            *(conversations.save(copy) for copy in copies), return_exceptions=True
        )
        won = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, list)]
        assert len(won) == 1
        lost = [outcome for outcome in outcomes if not isinstance(outcome, list)]
        assert all(isinstance(outcome, ConversationConflict) for outcome in lost)
        assert (await loaded(conversations)).messages == turns("a", f"writer {won[0]}")
        assert (await record_of(conversations)).revision == copies[won[0]].revision

    async def test_race_to_create(self, conversations: ConversationStore) -> None:
        """Of two first saves under one id, exactly one wins."""
        outcomes = await asyncio.gather(
            *(saved(conversations, text) for text in ("a", "b", "c")), return_exceptions=True
        )
        (won,) = (outcome for outcome in outcomes if isinstance(outcome, Conversation))
        assert sum(isinstance(outcome, ConversationConflict) for outcome in outcomes) == 2
        assert await loaded(conversations) == won

    async def test_race_with_one_object(self, conversations: ConversationStore) -> None:
        """An object that is saved twice at once is stored once, whole."""
        conversation = await saved(conversations, "a")
        conversation.messages += turn("b")
        outcomes = await asyncio.gather(
            conversations.save(conversation),
            conversations.save(conversation),
            return_exceptions=True,
        )
        stored = [outcome for outcome in outcomes if isinstance(outcome, list) and outcome]
        assert len(stored) == 1
        others = [outcome for outcome in outcomes if outcome not in stored]
        assert all(outcome == [] or isinstance(outcome, ConversationConflict) for outcome in others)
        assert (await loaded(conversations)).messages == turns("a", "b")

    @pytest.mark.parametrize("steps", range(4))
    async def test_unknown_outcome(self, conversations: ConversationStore, steps: int) -> None:
        """A save that its caller gave up on can be repeated: the turn is stored once, whole."""
        for scope in self.scopes:
            name = f"of-{scope}"
            conversation = await saved(conversations, "a", conversation_id=name, scope=scope)
            conversation.messages += turn("b")
            saving = asyncio.create_task(conversations.save(conversation))
            for _ in range(steps):
                await asyncio.sleep(0)
            saving.cancel()
            await asyncio.wait([saving])
            with suppress(ConversationConflict):  # it was stored
                await conversations.save(conversation)
            assert (await loaded(conversations, name)).messages == turns("a", "b")
            assert (await record_of(conversations, name)).branches == []

    async def test_race_with_a_delete(self, conversations: ConversationStore) -> None:
        """A delete and a save at once: in the end there is no conversation."""
        conversation = await saved(conversations, "a")
        conversation.messages += turn("b")
        outcome, _ = await asyncio.gather(
            conversations.save(conversation), conversations.delete("one"), return_exceptions=True
        )
        assert isinstance(outcome, list | ConversationConflict)
        assert await conversations.load("one") is None

    async def test_race_with_a_branch(self, conversations: ConversationStore) -> None:
        """A branch and a save from the same revision: exactly one wins."""
        conversation = await saved(conversations, "a", "b")
        assert conversation.revision is not None
        conversation.messages += turn("c")
        outcomes = await asyncio.gather(
            conversations.save(conversation),
            conversations.branch("one", at=2, expected_revision=conversation.revision),
            return_exceptions=True,
        )
        lost = [isinstance(outcome, ConversationConflict) for outcome in outcomes]
        assert sorted(lost) == [False, True]
        wanted = turn("a") if lost[0] else turns("a", "b", "c")
        assert (await loaded(conversations)).messages == wanted

    async def test_everyone_gets_in(self, conversations: ConversationStore) -> None:
        """Writers that load again after a conflict all get in, each once."""

        async def add(number: int) -> None:
            while True:
                conversation = await loaded(conversations)
                conversation.messages += turn(f"writer {number}")
                try:
                    await conversations.save(conversation)
                except ConversationConflict:
                    continue
                return

        await saved(conversations)
        await asyncio.gather(*(add(number) for number in range(6)))
        messages = (await loaded(conversations)).messages
        said = [messages[index : index + 2] for index in range(0, len(messages), 2)]
        assert len(said) == 6
        assert all(turn(f"writer {number}") in said for number in range(6))
        assert (await record_of(conversations)).branches == []
