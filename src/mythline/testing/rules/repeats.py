"""Idempotency keys: an append that is sent again is stored once."""

from __future__ import annotations

import asyncio

import pytest

from ...errors import IdempotencyMismatch, InvalidInput, RevisionConflict
from ...models import now_micros
from ...sessions import AgentSessions
from ...store import ANY, Append, SessionKey, Store
from ..base import StoreRules
from ..samples import UNKNOWN, saved, turn, turns
from .turns import ODD_BODIES


class RepeatRules(StoreRules):
    """A repeat under a key stores nothing, for a day."""

    async def test_repeat_under_a_key(self, sessions: AgentSessions) -> None:
        """A repeat under the same key stores nothing, and tells what the first one did."""
        await sessions.create("one")
        first = await sessions.append("one", turn("a"), idempotency_key="k")
        assert await sessions.append("one", turn("a"), idempotency_key="k") == first
        await sessions.append("one", turn("b"))
        before = await sessions.info("one")
        assert await sessions.append("one", turn("a"), idempotency_key="k") == first
        assert await sessions.info("one") == before
        assert await sessions.history("one") == turns("a", "b")

    async def test_repeat_with_a_revision(self, sessions: AgentSessions) -> None:
        """A repeat is one also when the revision it went on from has been passed."""
        session = await saved(sessions, "a")
        arguments = {"expected_revision": session.revision, "idempotency_key": "k"}
        first = await sessions.append("one", turn("b"), **arguments)
        assert await sessions.append("one", turn("b"), **arguments) == first
        assert len(await sessions.history("one")) == 4

    async def test_other_messages_under_a_key(self, sessions: AgentSessions) -> None:
        """A key is for one turn: with other messages it is refused."""
        await sessions.create("one")
        await sessions.append("one", turn("a"), idempotency_key="k")
        for other in (turn("b"), turn("a")[:1], turns("a", "a")):
            with pytest.raises(IdempotencyMismatch):
                await sessions.append("one", other, idempotency_key="k")
        assert await sessions.history("one") == turn("a")

    async def test_keys_are_of_a_session(self, sessions: AgentSessions) -> None:
        """The same key for two sessions is two keys; a session made again has none."""
        for name in ("one", "two"):
            await sessions.create(name)
            await sessions.append(name, turn(name), idempotency_key="k")
        assert await sessions.history("two") == turn("two")
        await sessions.delete("one")
        await sessions.create("one")
        await sessions.append("one", turn("again"), idempotency_key="k")
        assert await sessions.history("one") == turn("again")

    async def test_failed_append_uses_no_key(self, sessions: AgentSessions) -> None:
        """An append that was refused leaves its key unused."""
        first = await saved(sessions, "a")
        with pytest.raises(RevisionConflict):
            await sessions.append("one", turn("b"), expected_revision=UNKNOWN, idempotency_key="k")
        await sessions.append(
            "one", turn("c"), expected_revision=first.revision, idempotency_key="k"
        )
        assert await sessions.history("one") == turns("a", "c")

    async def test_race_under_a_key(self, sessions: AgentSessions) -> None:
        """Repeats at the same time are stored once, and all told the same."""
        await sessions.create("one")
        done = await asyncio.gather(
            *(sessions.append("one", turn("a"), idempotency_key="k") for _ in range(8))
        )
        assert len(set(done)) == 1
        assert await sessions.history("one") == turn("a")

    async def test_key_of_yesterday(self, store: Store, sessions: AgentSessions) -> None:
        """A key is kept for a day."""
        await sessions.create("one")
        key = SessionKey(None, self.agent_id, "one")
        hour = 3_600_000_000
        for number, hours in enumerate((50, 25, 0.5, 0)):
            append = Append(
                revision=f"r{number}",
                expected=ANY,
                entry_ids=[f"e{number}"],
                bodies=[ODD_BODIES[0]],
                updated=now_micros() - int(hours * hour),
                idempotency_key="k",
                digest=b"d",
            )
            done = await store.append(key, append)
            stored = min(number, 2)
            assert (done.entry_ids, done.message_count) == ((f"e{stored}",), stored + 1)

    @pytest.mark.parametrize("key", ["", "x" * 256, "\ud800"])
    async def test_length_of_a_key(self, sessions: AgentSessions, key: str) -> None:
        """A key has 1 to 255 characters."""
        await sessions.create("one")
        with pytest.raises(InvalidInput):
            await sessions.append("one", turn("a"), idempotency_key=key)
        await sessions.append("one", turn("a"), idempotency_key="ü" * 255)
