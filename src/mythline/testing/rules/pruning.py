"""Pruning: by age, by number, by size; and what stays whatever the bounds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ...errors import InvalidInput
from ...sessions import AgentSessions
from ...store import Save, SessionKey, Store
from ..base import StoreRules
from ..samples import saved


class PruningRules(StoreRules):
    """`prune`."""

    async def _aged(self, sessions: AgentSessions, **days: float) -> None:
        """Sessions that were saved so many days ago."""
        for name, age in days.items():
            await saved(sessions, name * 10, conversation_id=name)
            info = await sessions.info(name)
            then = info.last_modified - timedelta(days=age)
            save = Save(
                revision=f"{name}-aged",
                expected=info.revision,
                head_id=info.head_id,
                updated=int(then.timestamp() * 1_000_000),
            )
            await sessions.store.save(SessionKey(None, self.agent_id, name), save)

    async def _left(self, sessions: AgentSessions) -> list[str]:
        return sorted(info.session_id for info in await sessions.list(archived=None))

    @pytest.mark.parametrize(
        ("bounds", "pruned"),
        [
            ({"older_than": timedelta(days=30)}, ["d", "c"]),
            ({"older_than": timedelta(days=300)}, []),
            ({"keep": 3}, ["d"]),
            ({"keep": 0}, ["d", "c", "b", "a"]),
            ({"keep": 4}, []),
            ({"max_bytes": 0}, ["d", "c", "b", "a"]),
            ({"max_bytes": 1 << 30}, []),
            ({"older_than": timedelta.max}, []),
            ({"older_than": timedelta(days=100), "keep": 2}, ["d", "c"]),
        ],
    )
    async def test_prune_bounds(
        self, sessions: AgentSessions, bounds: dict[str, Any], pruned: list[str]
    ) -> None:
        """What is outside of any bound goes to the trash, the oldest first; dry runs only tell."""
        await self._aged(sessions, d=200, c=40, b=3, a=0)
        sizes = {info.session_id: info.size for info in await sessions.list()}
        wanted = sum(sizes[name] for name in pruned)
        told = await sessions.prune(**bounds, dry_run=True)
        assert (told.pruned, told.bytes, list(told.sessions)) == (len(pruned), wanted, pruned)
        assert told.dry_run
        assert await self._left(sessions) == ["a", "b", "c", "d"]
        done = await sessions.prune(**bounds)
        assert (done.pruned, done.bytes, done.sessions) == (told.pruned, told.bytes, told.sessions)
        assert not done.dry_run
        assert await self._left(sessions) == sorted({"a", "b", "c", "d"} - set(pruned))
        assert {info.session_id for info in await sessions.trash()} == set(pruned)

    async def test_prune_by_size(self, sessions: AgentSessions) -> None:
        """The oldest go until the rest fits."""
        await self._aged(sessions, d=4, c=3, b=2, a=1)
        sizes = [info.size for info in await sessions.list()]
        done = await sessions.prune(max_bytes=sizes[0] + sizes[1])
        assert done.sessions == ("d", "c")

    async def test_pinned_ones_stay(self, sessions: AgentSessions, store: Store) -> None:
        """Pinned sessions stay, and don't count; archived ones do; others' are not touched."""
        alice = store.sessions(self.agent_id, owner="alice")
        await saved(alice, "x")
        await saved(store.sessions("other"), "x")
        await self._aged(sessions, d=200, c=100, b=50, a=20)
        await sessions.update("d", pinned=True)
        await sessions.update("c", archived=True)
        assert (await sessions.prune(keep=3)).pruned == 0
        assert (await sessions.prune(keep=1)).sessions == ("c", "b")
        assert (await sessions.prune(keep=0, older_than=timedelta(), max_bytes=0)).pruned == 1
        assert await self._left(sessions) == ["d"]
        assert await alice.exists("one")
        assert await store.sessions("other").exists("one")

    @pytest.mark.parametrize(
        "bounds", [{}, {"keep": -1}, {"max_bytes": -1}, {"older_than": timedelta(days=-1)}]
    )
    async def test_prunes_refused(self, sessions: AgentSessions, bounds: dict[str, Any]) -> None:
        """No bound at all, and negative ones."""
        await saved(sessions, "a")
        with pytest.raises(InvalidInput):
            await sessions.prune(**bounds)
        assert await sessions.exists("one")
