"""Events: what happens to sessions is told, once, in order, to those who may know."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest

from ...errors import InvalidCursor
from ...models import SessionEvent
from ...sessions import AgentSessions
from ...store import Store
from ..base import OpenStore, StoreRules
from ..samples import entries_of, ids, saved, turn

SOON = 20
"""Seconds within which an event must come; it comes within one."""


class EventRules(StoreRules):
    """`events`."""

    @staticmethod
    async def _take(events: AsyncGenerator[SessionEvent], count: int) -> list[SessionEvent]:
        return [await asyncio.wait_for(anext(events), SOON) for _ in range(count)]

    async def test_all_kinds(self, sessions: AgentSessions) -> None:
        """Each change is one event, in order, with the revision after it."""
        async with contextlib.aclosing(sessions.events()) as events:
            (ready,) = await self._take(events, 1)
            assert (ready.type, ready.session_id) == ("ready", None)
            await sessions.create("one")
            await sessions.append("one", turn("a"))
            await sessions.append("one", turn("b"))
            entries = ids(await entries_of(sessions))
            await sessions.branch_at("one", entries[1])
            await sessions.rename("one", "T")
            revision = (await sessions.info("one")).revision
            await sessions.update("one", pinned=True)
            await sessions.delete("one")
            await sessions.restore("one")
            await sessions.purge("one")
            found = await self._take(events, 9)
        assert [event.type for event in found] == [
            "created",
            "appended",
            "appended",
            "changed",
            "renamed",
            "updated",
            "deleted",
            "restored",
            "purged",
        ]
        assert {(event.agent_id, event.session_id) for event in found} == {(self.agent_id, "one")}
        assert found[4].revision == revision
        assert found[-1].revision is None
        assert len({event.event_id for event in found}) == 9
        times = [event.time for event in found]
        assert times == sorted(times)

    async def test_made_with_messages(self, sessions: AgentSessions) -> None:
        """A session that is made with its messages is made; a fork as well."""
        async with contextlib.aclosing(sessions.events()) as events:
            await self._take(events, 1)
            await saved(sessions, "a")
            await sessions.fork_at("one", new_session_id="two")
            found = await self._take(events, 2)
        assert [(event.type, event.session_id) for event in found] == [
            ("created", "one"),
            ("created", "two"),
        ]

    async def test_going_on(self, sessions: AgentSessions) -> None:
        """Who was away gets what was missed, and only that."""
        async with contextlib.aclosing(sessions.events()) as events:
            await self._take(events, 1)
            await sessions.create("one")
            (seen,) = await self._take(events, 1)
        await sessions.create("two")
        await sessions.rename("one", "T")
        async with contextlib.aclosing(sessions.events(after=seen.event_id)) as events:
            found = await self._take(events, 2)
            assert [(event.type, event.session_id) for event in found] == [
                ("created", "two"),
                ("renamed", "one"),
            ]
            await sessions.create("three")
            (last,) = await self._take(events, 1)
            assert last.session_id == "three"

    async def test_only_what_is_asked_for(self, sessions: AgentSessions, store: Store) -> None:
        """Other agents' and other owners' sessions are not told of."""
        alice = store.sessions(self.agent_id, owner="alice")
        async with (
            contextlib.aclosing(sessions.events()) as mine,
            contextlib.aclosing(store.events(None, None)) as all_agents,
            contextlib.aclosing(alice.events()) as hers,
        ):
            for events in (mine, all_agents, hers):
                await self._take(events, 1)
            await alice.create("hers")
            await store.sessions("other").create("other")
            await sessions.create("mine")
            assert [event.session_id for event in await self._take(mine, 1)] == ["mine"]
            assert [event.session_id for event in await self._take(hers, 1)] == ["hers"]
            found = await self._take(all_agents, 2)
            assert [event.session_id for event in found] == ["other", "mine"]

    async def test_another_store(self, store: Store, open_store: OpenStore) -> None:
        """What is done through another opening of the same place is told too."""
        async with (
            open_store() as other,
            contextlib.aclosing(store.sessions(self.agent_id).events()) as events,
        ):
            await self._take(events, 1)
            await other.sessions(self.agent_id).create("one")
            (event,) = await self._take(events, 1)
            assert (event.type, event.session_id) == ("created", "one")

    async def test_what_was_missed_is_said(self, sessions: AgentSessions) -> None:
        """An id that is no longer, or not yet, known gives `reset`; nonsense is refused."""
        await sessions.create("one")
        async with contextlib.aclosing(sessions.events(after="999999999999999")) as events:
            (reset,) = await self._take(events, 1)
            assert reset.type == "reset"
            await sessions.create("two")
            (event,) = await self._take(events, 1)
            assert event.session_id == "two"
        for after in ("x", "", "-1", "1.5", "9" * 40, "\x00"):
            with pytest.raises(InvalidCursor):
                async with contextlib.aclosing(sessions.events(after=after)) as events:
                    await anext(events)

    async def test_ends_with_the_store(self, open_store: OpenStore) -> None:
        """Who listens when the store is closed is let go."""
        store = open_store()
        await store.open()
        ready = asyncio.Event()

        async def listen() -> list[str]:
            found: list[str] = []
            async for event in store.events(None, self.agent_id):
                found.append(event.type)
                ready.set()
            return found

        listening = asyncio.create_task(listen())
        await asyncio.wait_for(ready.wait(), SOON)
        await store.close()
        assert await asyncio.wait_for(listening, SOON) == ["ready"]
