"""Reopening: what was stored is there after the store was closed, all of it."""

from __future__ import annotations

from typing import Any

from pydantic_ai.conversation import Conversation

from ...sessions import AgentSessions
from ...store import Store
from ..base import OpenStore, StoreRules
from ..samples import branches_of, deferred, prompt, saved, serialised, turn, turns, usage
from .carrying import MESSAGES
from .turns import ODD_BODIES


async def _everything(store: Store, agent_id: str) -> Any:
    """All that can be seen, by every way of reading."""
    found: list[Any] = []
    for owner in (None, "alice"):
        found.append(await store.agents(owner))
        sessions = store.sessions(agent_id, owner=owner)
        page = await sessions.list()
        found += [page, await sessions.latest(), await sessions.list_conversations()]
        for info in page:
            name = info.session_id
            found += [
                await sessions.info(name),
                await sessions.entries(name),
                await sessions.load(name),
                await sessions.load_entries(name),
                await sessions.read_record(name),
                await branches_of(sessions, name),
                await sessions.transcript(name, include=["tools", "thinking", "system"]),
                b"".join(await sessions.export(name)),
            ]
    return found


class ReopeningRules(StoreRules):
    """A store that is opened again is the one that was closed."""

    async def _fill(self, store: Store) -> None:
        sessions = store.sessions(self.agent_id)
        await sessions.create("empty", title="Ünïcode", tags=["b", "a"], metadata={"k": [1, None]})
        first = await saved(
            sessions, "a", "b", "c", usage=usage(), deferred_tool_requests=deferred()
        )
        await sessions.fork("one", new_conversation_id="whole")
        await sessions.fork("one", at=3, new_conversation_id="part")
        branch = await sessions.branch("one", at=4, expected_revision=first.revision)
        branch.messages += turn("d")
        branch.deferred_tool_requests = deferred()
        await sessions.save(branch)
        tip = (await sessions.info("one")).branches[0]
        await sessions.fork("one", from_entry=tip, new_conversation_id="of-a-branch")
        await sessions.append("part", b"[" + b",".join(ODD_BODIES) + b"]", idempotency_key="k")
        every = Conversation(messages=list(MESSAGES.values()), conversation_id="every")
        await sessions.save(every)
        await saved(sessions, "x", conversation_id="deleted")
        await sessions.fork("deleted", new_conversation_id="orphan")
        await sessions.delete("deleted")
        await saved(sessions, "x", conversation_id="purged")
        await sessions.purge("purged")
        await saved(store.sessions(self.agent_id, owner="alice"), "a", "b")
        await saved(sessions, "a", conversation_id="scoped", scope="alice")

    async def test_everything(self, open_store: OpenStore) -> None:
        """Revisions, entries, branches, usage, requests, forks, titles, order: all the same."""
        async with open_store() as store:
            await self._fill(store)
            before = await _everything(store, self.agent_id)
        for _ in range(2):
            async with open_store() as store:
                assert await _everything(store, self.agent_id) == before

    async def test_while_it_is_open(self, store: Store, open_store: OpenStore) -> None:
        """Who opens the same place meanwhile sees the same."""
        await self._fill(store)
        before = await _everything(store, self.agent_id)
        async with open_store() as second:
            assert await _everything(second, self.agent_id) == before
        assert await _everything(store, self.agent_id) == before

    async def test_conversation_goes_on(self, open_store: OpenStore) -> None:
        """A conversation that was loaded before can be saved after, by its revision."""
        async with open_store() as store:
            conversation = await saved(store.sessions(self.agent_id), "a")
            conversation.messages += turn("b")
        async with open_store() as store:
            assert len(await store.sessions(self.agent_id).save(conversation)) == 2
            over_json = serialised(conversation)
            over_json.messages += turn("c")
        async with open_store() as store:
            sessions = store.sessions(self.agent_id)
            assert len(await sessions.save(over_json)) == 2
            assert await sessions.history("one") == turns("a", "b", "c")
            assert await branches_of(sessions) == []

    async def test_one_turn_at_a_time(self, open_store: OpenStore) -> None:
        """A session that is continued over many openings is whole."""
        for number in range(6):
            async with open_store() as store:
                sessions = store.sessions(self.agent_id)
                conversation = await sessions.load("one") or Conversation(conversation_id="one")
                conversation.messages += turn(str(number))
                assert len(await sessions.save(conversation)) == 2
                await sessions.append("one", [prompt(f"more {number}")])
        async with open_store() as store:
            sessions = store.sessions(self.agent_id)
            assert len(await sessions.history("one")) == 18
            assert (await sessions.info("one")).branches == ()

    async def test_branches_can_be_gone_back_to(self, open_store: OpenStore) -> None:
        """A branch that was left before can be gone back to after."""
        async with open_store() as store:
            sessions = store.sessions(self.agent_id)
            first = await saved(sessions, "a", "b")
            await sessions.branch("one", at=1, expected_revision=first.revision)
        async with open_store() as store:
            sessions = store.sessions(self.agent_id)
            info = await sessions.info("one")
            (tip,) = info.branches
            back = await sessions.branch("one", from_entry=tip, expected_revision=info.revision)
            assert back.messages == turns("a", "b")

    async def test_repeats_are_known(self, open_store: OpenStore) -> None:
        """An append that is repeated after is still known by its key."""
        async with open_store() as store:
            sessions: AgentSessions = store.sessions(self.agent_id)
            await sessions.create("one")
            first = await sessions.append("one", turn("a"), idempotency_key="k")
        async with open_store() as store:
            sessions = store.sessions(self.agent_id)
            assert await sessions.append("one", turn("a"), idempotency_key="k") == first
            assert len(await sessions.history("one")) == 2
