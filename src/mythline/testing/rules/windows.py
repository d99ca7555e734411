"""Windows: loading only the last messages, and saving from there."""

from __future__ import annotations

import pytest
from pydantic_ai import Agent
from pydantic_ai.capabilities import ProcessHistory
from pydantic_ai.conversation_store import ConversationStore
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.test import TestModel

from ..base import Rules
from ..samples import (
    agent,
    branches_of,
    entries_of,
    loaded,
    messages_in,
    prompt,
    record_of,
    refused,
    saved,
    serialised,
    turn,
    turns,
    usage,
)


class WindowRules(Rules):
    """A window holds the last messages; saving it changes the whole."""

    @pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5, 1000, 1 << 70])
    async def test_last_messages(self, conversations: ConversationStore, limit: int) -> None:
        """A window is the end of the history, with the usage and revision of the whole."""
        whole = await saved(conversations, "a", "b", usage=usage())
        window = await loaded(conversations, limit=limit)
        assert window.messages == (turns("a", "b")[-limit:] if limit else [])
        assert window.new_message_index == len(window.messages)
        assert window.revision == whole.revision
        assert window.usage == usage()
        entries = await conversations.load_entries("one", limit=limit)
        assert entries == ((await entries_of(conversations))[-limit:] if limit else [])

    @pytest.mark.parametrize("limit", [0, 1, 2, 3, 4, 5])
    async def test_append_to_the_whole(self, conversations: ConversationStore, limit: int) -> None:
        """What is added to a window is appended to the whole conversation."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        window = await loaded(conversations, limit=limit)
        window.messages += turn("c")
        new = await conversations.save(window)
        assert messages_in(new) == turn("c")
        assert await entries_of(conversations) == [*before, *new]
        assert (await record_of(conversations)).branches == []

    @pytest.mark.parametrize("limit", [0, 1, 3])
    async def test_window_goes_on(self, conversations: ConversationStore, limit: int) -> None:
        """A window that was saved can be extended and saved again."""
        await saved(conversations, "a", "b")
        window = await loaded(conversations, limit=limit)
        for text in ("c", "d"):
            window.messages += turn(text)
            assert len(await conversations.save(window)) == 2
        assert (await loaded(conversations)).messages == turns("a", "b", "c", "d")
        assert (await record_of(conversations)).branches == []

    @pytest.mark.parametrize("limit", [0, 1, 3])
    async def test_unchanged_window(self, conversations: ConversationStore, limit: int) -> None:
        """Saving a window as it is stores nothing and leaves nothing."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        assert await conversations.save(await loaded(conversations, limit=limit)) == []
        assert await entries_of(conversations) == before

    @pytest.mark.parametrize("limit", [0, 1, 2])
    async def test_run_from_a_window(self, conversations: ConversationStore, limit: int) -> None:
        """A run from a window adds its messages to the whole."""
        await saved(conversations, "a", "b")
        result = await agent().run("c", conversation=await loaded(conversations, limit=limit))
        new = await conversations.save(result)
        assert messages_in(new) == result.new_messages()
        assert (await loaded(conversations)).messages == [
            *turns("a", "b"),
            *result.new_messages(),
        ]

    async def test_run_that_trims(self, conversations: ConversationStore) -> None:
        """A run from a window whose history a capability trimmed still adds to the whole."""
        await saved(conversations, "a", "b")

        def last(messages: list[ModelMessage]) -> list[ModelMessage]:
            return messages[-1:]

        working = Agent(TestModel(), capabilities=[ProcessHistory(last)])
        result = await working.run("c", conversation=await loaded(conversations, limit=2))
        assert len(await conversations.save(result)) == 2
        assert len(await entries_of(conversations)) == 6
        assert (await record_of(conversations)).branches == []

    @pytest.mark.parametrize("where", range(3))
    async def test_window_rewritten(self, conversations: ConversationStore, where: int) -> None:
        """A message replaced in a window branches off the message before it, within the whole."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        window = await loaded(conversations, limit=3)
        window.messages[where] = prompt("instead")
        wanted = turns("a", "b")
        wanted[where + 1] = prompt("instead")
        new = await conversations.save(window)
        assert messages_in(new) == wanted[where + 1 :]
        assert new[0].parent_id == before[where].id
        assert (await loaded(conversations)).messages == wanted
        assert await branches_of(conversations) == [turns("a", "b")]

    async def test_window_emptied(self, conversations: ConversationStore) -> None:
        """Cutting all messages off a window leaves what was before it."""
        await saved(conversations, "a", "b")
        before = await entries_of(conversations)
        window = await loaded(conversations, limit=2)
        window.messages.clear()
        assert await conversations.save(window) == []
        assert await entries_of(conversations) == before[:2]
        assert await branches_of(conversations) == [turns("a", "b")]

    async def test_serialised_window(self, conversations: ConversationStore) -> None:
        """A window that came over JSON is compared with as many stored messages."""
        await saved(conversations, "a", "b")
        window = serialised(await loaded(conversations, limit=2))
        window.messages += turn("c")
        assert messages_in(await conversations.save(window)) == turn("c")
        assert (await loaded(conversations)).messages == turns("a", "b", "c")
        assert (await record_of(conversations)).branches == []

    async def test_serialised_window_rewritten(self, conversations: ConversationStore) -> None:
        """A window rewritten after a way over JSON branches within the whole."""
        await saved(conversations, "a", "b")
        window = serialised(await loaded(conversations, limit=2))
        window.messages[0] = prompt("instead")
        await conversations.save(window)
        assert (await loaded(conversations)).messages == [
            *turn("a"),
            prompt("instead"),
            turn("b")[1],
        ]
        assert await branches_of(conversations) == [turns("a", "b")]

    async def test_serialised_nothing(self, conversations: ConversationStore) -> None:
        """A window of no messages that came over JSON appends too."""
        await saved(conversations, "a", "b")
        window = serialised(await loaded(conversations, limit=0))
        window.messages += turn("c")
        assert messages_in(await conversations.save(window)) == turn("c")
        assert (await loaded(conversations)).messages == turns("a", "b", "c")

    async def test_serialised_window_before_a_run(self, conversations: ConversationStore) -> None:
        """A run from a window that came over JSON adds its messages to the whole."""
        await saved(conversations, "a", "b")
        window = serialised(await loaded(conversations, limit=2))
        result = await agent().run("c", conversation=window)
        assert len(await conversations.save(result)) == 2
        assert len(await entries_of(conversations)) == 6
        assert (await record_of(conversations)).branches == []

    async def test_window_without_an_index(self, conversations: ConversationStore) -> None:
        """Without an index a window is taken for the whole history, rewritten from the start."""
        await saved(conversations, "a", "b")
        window = await loaded(conversations, limit=2)
        window.new_message_index = None
        assert messages_in(await conversations.save(window)) == turn("b")
        assert (await loaded(conversations)).messages == turn("b")
        assert await branches_of(conversations) == [turns("a", "b")]

    @pytest.mark.parametrize("limit", [-1, -100])
    async def test_negative(self, conversations: ConversationStore, limit: int) -> None:
        """A limit is not negative, whether the conversation is stored or not."""
        await saved(conversations, "a")
        for conversation_id in ("one", "unknown"):
            with refused():
                await conversations.load(conversation_id, limit=limit)
            with refused():
                await conversations.load_entries(conversation_id, limit=limit)

    async def test_over_a_branch_point(self, conversations: ConversationStore) -> None:
        """A window reaches back over the point where a branch or a fork began."""
        first = await saved(conversations, "a", "b")
        branch = await conversations.branch("one", at=3, expected_revision=first.revision)
        branch.messages += turn("c")
        await conversations.save(branch)
        fork = await conversations.fork("one", at=4, new_conversation_id="two")
        fork.messages += turn("d")
        await conversations.save(fork)
        for conversation_id in ("one", "two"):
            whole = await entries_of(conversations, conversation_id)
            for limit in range(1, len(whole) + 1):
                window = await conversations.load_entries(conversation_id, limit=limit)
                assert window == whole[-limit:]
