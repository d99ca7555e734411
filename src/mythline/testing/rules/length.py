"""Very long histories."""

from __future__ import annotations

from pydantic_ai.conversation import Conversation

from ...sessions import AgentSessions
from ..base import StoreRules
from ..samples import answer, prompt, turn

COUNT = 3000


class LengthRules(StoreRules):
    """A history of thousands of messages is one like any other, and its pages are small."""

    async def test_long_history(self, sessions: AgentSessions) -> None:
        """Saved at once, read in windows, continued, branched, forked and read as a whole."""
        whole = [(answer if number % 2 else prompt)(f"m{number}") for number in range(COUNT)]
        conversation = Conversation(messages=list(whole), conversation_id="one")
        entries = await sessions.save(conversation)
        ids = [entry.id for entry in entries]
        assert len(ids) == COUNT
        assert (await sessions.info("one")).message_count == COUNT
        assert await sessions.history("one") == whole

        for start in (0, 1, 999, 1500, 2990):
            page = await sessions.entries("one", limit=10, after=ids[start])
            found = [entry.entry_id for entry in page.entries]
            assert found == ids[start + 1 : start + 11]
            assert (page.first, page.total) == (start + 1, COUNT)
            assert (
                await sessions.history("one", limit=3, before=ids[start])
                == whole[max(0, start - 3) : start]
            )
            items = await sessions.transcript("one", limit=7, before=ids[start])
            assert [item.content for item in items] == [
                f"m{number}" for number in range(max(0, start - 7), start)
            ]

        window = await sessions.load("one", limit=20)
        assert window is not None
        assert window.messages == whole[-20:]
        window.messages += turn("a")
        assert len(await sessions.save(window)) == 2
        await sessions.append("one", turn("b"))
        conversation = await sessions.load("one")
        assert conversation is not None
        assert len(conversation.messages) == COUNT + 4

        fork = await sessions.fork("one", at=2000, new_conversation_id="two")
        fork.messages += turn("c")
        await sessions.save(fork)
        assert await sessions.history("two", limit=3) == [whole[1999], *turn("c")]
        back = await sessions.branch(
            "one", from_entry=ids[1000], expected_revision=conversation.revision
        )
        assert back.messages == whole[:1001]
        assert (await sessions.info("one")).message_count == 1001
        forth = await sessions.branch(
            "one",
            from_entry=(await sessions.info("one")).branches[0],
            expected_revision=back.revision,
        )
        assert len(forth.messages) == COUNT + 4
        await sessions.purge("one")
        assert await sessions.history("two") == [*whole[:2000], *turn("c")]

    async def test_many_turns(self, sessions: AgentSessions) -> None:
        """A history that grew turn by turn is the same as one that was saved at once."""
        await sessions.create("one")
        for number in range(300):
            await sessions.append("one", turn(str(number)))
        page = await sessions.entries("one")
        assert page.total == len(page.entries) == 600
        assert [entry.parent_id for entry in page.entries] == [
            None,
            *(entry.entry_id for entry in page.entries[:-1]),
        ]
        assert await sessions.history("one", limit=4) == [*turn("298"), *turn("299")]
