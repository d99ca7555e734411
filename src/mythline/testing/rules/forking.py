"""Forking: a new conversation that shares the history of another."""

from __future__ import annotations

import pytest
from pydantic_ai.conversation_store import ConversationStore
from pydantic_ai.usage import RunUsage

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


class ForkingRules(Rules):
    """A fork points at entries that are stored, and goes its own way from there."""

    async def test_whole_fork(self, conversations: ConversationStore) -> None:
        """Without a point, a fork has the whole history, and says where it is from."""
        original = await saved(conversations, "a", "b")
        fork = await conversations.fork("one", new_conversation_id="two")
        assert fork.conversation_id == "two"
        assert fork.messages == turns("a", "b")
        assert fork.new_message_index == 4
        assert fork.revision not in (None, original.revision)
        assert fork == await loaded(conversations, "two")
        record = await record_of(conversations, "two")
        head = (await record_of(conversations)).head_id
        assert (record.forked_from, record.forked_at, record.head_id) == ("one", head, head)

    async def test_entries_are_shared(self, conversations: ConversationStore) -> None:
        """A fork has the very entries of the original, ids and all."""
        await saved(conversations, "a", "b")
        await conversations.fork("one", at=3, new_conversation_id="two")
        assert await entries_of(conversations, "two") == (await entries_of(conversations))[:3]

    async def test_generated_id(self, conversations: ConversationStore) -> None:
        """Without an id, every fork gets a new one of its own."""
        await saved(conversations, "a")
        forks = [await conversations.fork("one") for _ in range(3)]
        names = {fork.conversation_id for fork in forks}
        assert len(names) == 3
        assert "one" not in names
        for fork in forks:
            assert await loaded(conversations, fork.conversation_id) == fork

    @pytest.mark.parametrize("at", range(5))
    async def test_fork_at(self, conversations: ConversationStore, at: int) -> None:
        """`at` keeps so many messages of the history."""
        await saved(conversations, "a", "b")
        entries = await entries_of(conversations)
        fork = await conversations.fork("one", at=at, new_conversation_id="two")
        assert fork.messages == turns("a", "b")[:at]
        assert fork == await loaded(conversations, "two")
        record = await record_of(conversations, "two")
        point = entries[at - 1].id if at else None
        assert (record.forked_from, record.forked_at, record.head_id) == ("one", point, point)

    @pytest.mark.parametrize("where", range(4))
    async def test_fork_from_entry(self, conversations: ConversationStore, where: int) -> None:
        """`from_entry` keeps the history up to that entry, itself the last."""
        await saved(conversations, "a", "b")
        entries = await entries_of(conversations)
        fork = await conversations.fork(
            "one", from_entry=entries[where].id, new_conversation_id="two"
        )
        assert fork.messages == turns("a", "b")[: where + 1]
        assert (await record_of(conversations, "two")).forked_at == entries[where].id

    async def test_from_a_branch(self, conversations: ConversationStore) -> None:
        """A fork can start in a branch that the original left."""
        first = await saved(conversations, "a", "b")
        left = await entries_of(conversations)
        await conversations.branch("one", at=0, expected_revision=first.revision)
        for where, name in ((3, "end"), (2, "middle")):
            fork = await conversations.fork(
                "one", from_entry=left[where].id, new_conversation_id=name
            )
            assert fork.messages == turns("a", "b")[: where + 1]
            assert await entries_of(conversations, name) == left[: where + 1]

    async def test_original_is_as_before(self, conversations: ConversationStore) -> None:
        """A fork changes nothing of the original: no revision, no branch, no time."""
        await saved(conversations, "a", "b", usage=usage(), deferred_tool_requests=deferred())
        before = await state_of(conversations)
        await conversations.fork("one", at=1)
        await conversations.fork("one")
        assert await state_of(conversations) == before

    async def test_both_carry_on(self, conversations: ConversationStore) -> None:
        """Original and fork go on from the same point without seeing each other."""
        original = await saved(conversations, "a")
        fork = await conversations.fork("one", new_conversation_id="two")
        for text in ("b", "d"):
            original.messages += turn(text)
            await conversations.save(original)
            fork.messages += turn(text.upper())
            await conversations.save(fork)
        assert (await loaded(conversations)).messages == turns("a", "b", "d")
        assert (await loaded(conversations, "two")).messages == turns("a", "B", "D")
        one, two = await entries_of(conversations), await entries_of(conversations, "two")
        assert ids(one[:2]) == ids(two[:2])
        assert not set(ids(one[2:])) & set(ids(two[2:]))
        assert two[2].parent_id == one[1].id

    async def test_run_on_a_fork(self, conversations: ConversationStore) -> None:
        """A run from a fork's conversation is saved under the fork's id."""
        await saved(conversations, "a")
        fork = await conversations.fork("one", new_conversation_id="two")
        result = await agent().run("b", conversation=fork)
        assert len(await conversations.save(result)) == 2
        assert (await loaded(conversations, "two")).messages == result.all_messages()
        assert (await loaded(conversations)).messages == turn("a")

    async def test_many_of_one_point(self, conversations: ConversationStore) -> None:
        """The same point can be forked more than once, to go several ways."""
        await saved(conversations, "a", "b")
        for name in ("x", "y", "z"):
            fork = await conversations.fork("one", at=2, new_conversation_id=name)
            fork.messages += turn(name)
            await conversations.save(fork)
        for name in ("x", "y", "z"):
            assert (await loaded(conversations, name)).messages == turns("a", name)
        assert (await loaded(conversations)).messages == turns("a", "b")

    async def test_origin_is_kept(self, conversations: ConversationStore) -> None:
        """Where a fork is from stays known through saves, branches and rewrites."""
        await saved(conversations, "a", "b")
        point = (await entries_of(conversations))[2].id
        fork = await conversations.fork("one", at=3, new_conversation_id="two")
        fork.messages += turn("c")
        await conversations.save(fork)
        fork = await conversations.branch("two", at=1, expected_revision=fork.revision)
        fork.messages[0] = prompt("instead")
        await conversations.save(fork)
        record = await record_of(conversations, "two")
        assert (record.forked_from, record.forked_at) == ("one", point)

    async def test_not_a_fork(self, conversations: ConversationStore) -> None:
        """A conversation that is no fork is from nowhere."""
        await saved(conversations, "a")
        record = await record_of(conversations)
        assert (record.forked_from, record.forked_at) == (None, None)

    async def test_fork_of_a_fork(self, conversations: ConversationStore) -> None:
        """A fork of a fork is from the fork, and shares the entries of both."""
        await saved(conversations, "a", "b")
        fork = await conversations.fork("one", at=2, new_conversation_id="two")
        fork.messages += turn("c")
        await conversations.save(fork)
        last = await conversations.fork("two", at=3, new_conversation_id="three")
        assert last.messages == turns("a", "c")[:3]
        assert (await record_of(conversations, "three")).forked_from == "two"
        assert (
            await entries_of(conversations, "three") == (await entries_of(conversations, "two"))[:3]
        )

    async def test_branches_stay_behind(self, conversations: ConversationStore) -> None:
        """A fork starts without branches, whatever the original left."""
        first = await saved(conversations, "a", "b")
        await conversations.branch("one", at=2, expected_revision=first.revision)
        await conversations.fork("one", new_conversation_id="two")
        assert (await record_of(conversations, "two")).branches == []
        assert await branches_of(conversations) == [turns("a", "b")]

    async def test_fork_branches_in_what_it_shares(self, conversations: ConversationStore) -> None:
        """A fork can branch within the history it shares; the original doesn't notice."""
        await saved(conversations, "a", "b")
        before = await state_of(conversations)
        fork = await conversations.fork("one", new_conversation_id="two")
        fork = await conversations.branch("two", at=1, expected_revision=fork.revision)
        fork.messages.append(prompt("else"))
        await conversations.save(fork)
        assert await branches_of(conversations, "two") == [turns("a", "b")]
        assert await state_of(conversations) == before

    async def test_rewritten_fork(self, conversations: ConversationStore) -> None:
        """A fork whose shared history is rewritten leaves the original's as it is."""
        await saved(conversations, "a", "b")
        before = await state_of(conversations)
        fork = await conversations.fork("one", new_conversation_id="two")
        fork.messages[0] = prompt("else")
        await conversations.save(fork)
        assert (await loaded(conversations, "two")).messages[0] == prompt("else")
        assert await state_of(conversations) == before

    async def test_whole_fork_carries_on(self, conversations: ConversationStore) -> None:
        """A fork of the whole history has its usage, and waits on the same calls."""
        await saved(conversations, "a", usage=usage(), deferred_tool_requests=deferred())
        head = (await entries_of(conversations))[-1].id
        forks = [
            await conversations.fork("one"),
            await conversations.fork("one", at=2),
            await conversations.fork("one", from_entry=head),
        ]
        for fork in forks:
            assert fork.usage == usage()
            assert fork.deferred_tool_requests == deferred()
            assert await loaded(conversations, fork.conversation_id) == fork

    async def test_part_starts_fresh(self, conversations: ConversationStore) -> None:
        """A fork of a part has spent nothing and waits on nothing."""
        await saved(conversations, "a", usage=usage(), deferred_tool_requests=deferred())
        head = (await entries_of(conversations))[0].id
        forks = [
            await conversations.fork("one", at=0),
            await conversations.fork("one", at=1),
            await conversations.fork("one", from_entry=head),
        ]
        for fork in forks:
            assert fork.usage == RunUsage()
            assert fork.deferred_tool_requests is None
            assert await loaded(conversations, fork.conversation_id) == fork

    async def test_usage_is_apart(self, conversations: ConversationStore) -> None:
        """What a fork spends is not the original's, and the other way round."""
        original = await saved(conversations, "a", usage=usage())
        fork = await conversations.fork("one", new_conversation_id="two")
        fork.usage += RunUsage(requests=10)
        original.usage += RunUsage(requests=100)
        await conversations.save(fork)
        await conversations.save(original)
        assert (await loaded(conversations, "two")).usage.requests == 13
        assert (await loaded(conversations)).usage.requests == 103

    async def test_fork_of_nothing(self, conversations: ConversationStore) -> None:
        """An empty conversation can be forked."""
        await saved(conversations)
        fork = await conversations.fork("one", new_conversation_id="two")
        assert fork.messages == []
        record = await record_of(conversations, "two")
        assert (record.forked_from, record.forked_at) == ("one", None)

    async def test_id_that_exists(self, conversations: ConversationStore) -> None:
        """A fork doesn't take the place of a conversation, not even of its original."""
        await saved(conversations, "a")
        await saved(conversations, "b", conversation_id="two")
        before = await state_of(conversations), await state_of(conversations, "two")
        with conflict("two"):
            await conversations.fork("one", new_conversation_id="two")
        with conflict("one"):
            await conversations.fork("one", at=1, new_conversation_id="one")
        assert (await state_of(conversations), await state_of(conversations, "two")) == before

    async def test_fork_refused(self, conversations: ConversationStore) -> None:
        """A fork needs a conversation that is stored, and one point that is in it."""
        await saved(conversations, "a", "b")
        await saved(conversations, "c", conversation_id="two")
        (entry, *_) = ids(await entries_of(conversations))
        (foreign, _) = ids(await entries_of(conversations, "two"))
        with refused():
            await conversations.fork("unknown")
        with refused():
            await conversations.fork("one", at=1, from_entry=entry)
        for at in (-1, 5):
            with refused():
                await conversations.fork("one", at=at)
        for entry_id in (UNKNOWN, foreign):
            with refused():
                await conversations.fork("one", from_entry=entry_id)
        assert len(await conversations.list_conversations()) == 2

    async def test_deleted_original(self, conversations: ConversationStore) -> None:
        """A fork is whole after its original was deleted, and goes on."""
        await saved(conversations, "a", "b")
        await conversations.fork("one", at=3, new_conversation_id="two")
        entries = await entries_of(conversations, "two")
        await conversations.delete("one")
        assert await entries_of(conversations, "two") == entries
        fork = await loaded(conversations, "two")
        fork.messages += turn("c")
        new = await conversations.save(fork)
        assert await entries_of(conversations, "two") == [*entries, *new]
        assert messages_in(entries) == turns("a", "b")[:3]
        assert (await record_of(conversations, "two")).forked_from == "one"

    async def test_deleted_fork(self, conversations: ConversationStore) -> None:
        """The original is whole after a fork of it was deleted."""
        await saved(conversations, "a", "b")
        before = await state_of(conversations)
        fork = await conversations.fork("one", at=3, new_conversation_id="two")
        fork.messages += turn("c")
        await conversations.save(fork)
        await conversations.delete("two")
        assert await state_of(conversations) == before

    async def test_deleted_in_the_middle(self, conversations: ConversationStore) -> None:
        """A fork of a fork is whole after the two it came from were deleted."""
        await saved(conversations, "a", "b")
        fork = await conversations.fork("one", at=3, new_conversation_id="two")
        fork.messages += turn("c")
        await conversations.save(fork)
        await conversations.fork("two", at=4, new_conversation_id="three")
        entries = await entries_of(conversations, "three")
        await conversations.delete("one")
        await conversations.delete("two")
        assert await entries_of(conversations, "three") == entries
        assert len(entries) == 4

    async def test_deleted_original_of_a_branch(self, conversations: ConversationStore) -> None:
        """A fork that started in a branch is whole after the original was deleted."""
        first = await saved(conversations, "a", "b")
        tip = (await entries_of(conversations))[-1].id
        await conversations.branch("one", at=0, expected_revision=first.revision)
        await conversations.fork("one", from_entry=tip, new_conversation_id="two")
        await conversations.delete("one")
        assert (await loaded(conversations, "two")).messages == turns("a", "b")

    async def test_branch_of_a_fork_survives(self, conversations: ConversationStore) -> None:
        """What a fork left as a branch stays when the original that had it is deleted."""
        await saved(conversations, "a", "b")
        fork = await conversations.fork("one", new_conversation_id="two")
        await conversations.branch("two", at=1, expected_revision=fork.revision)
        await conversations.delete("one")
        assert await branches_of(conversations, "two") == [turns("a", "b")]
