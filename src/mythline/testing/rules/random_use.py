"""Any sequence of operations does what it does to Pydantic AI's own store.

Needs Hypothesis. Where `CI` is set in the environment, it takes the same examples each time.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import (
    ConversationConflict,
    ConversationEntry,
    ConversationStore,
    InMemoryConversationStore,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.usage import RunUsage

from ..base import Rules
from ..samples import UNKNOWN, answer, deferred, prompt, serialised


class Step(NamedTuple):
    """One operation; the numbers choose among what is there when it is done."""

    verb: str
    which: int
    what: int
    where: int


@dataclass
class Side:
    """A store, and the conversations that someone has in hand."""

    store: ConversationStore
    hands: list[Conversation] = field(default_factory=list[Conversation])


class Game:
    """The same steps with two stores, whose outcomes must be the same."""

    verbs: ClassVar[Sequence[str]] = (
        "begin load load load_last add add replace remove serialise forget spend wait "
        "save save save save branch_at branch_from branch_stale fork fork_from delete"
    ).split()

    def __init__(
        self, reference: ConversationStore, store: ConversationStore, scopes: Sequence[str | None]
    ) -> None:
        self.sides = (Side(reference), Side(store))
        self.scopes = scopes
        tag = uuid.uuid4().hex[:12]
        self.names = [f"c{number}-{tag}" for number in range(3)]

    async def play(self, step: Step) -> None:
        """Do a step with both, and compare."""
        found = [await self._outcome(side, step) for side in self.sides]
        assert found[1] == found[0], step
        event(f"{step.verb}: {found[0] if isinstance(found[0], str) else found[0] is not None}")
        for name in self.names:
            await self._compare([name])

    async def end(self) -> None:
        """Compare all of it: what the conversations share, and the list."""
        await self._compare(self.names)
        for scope in {None, *self.scopes}:
            listed = [
                [
                    record.conversation_id
                    for record in await side.store.list_conversations(scope=scope)
                ]
                for side in self.sides
            ]
            found = [[name for name in names if name in self.names] for names in listed]
            assert found[1] == found[0], f"the list of {scope!r}"

    async def _outcome(self, side: Side, step: Step) -> Any:
        action: Callable[[Side, Step], Awaitable[Any]] = getattr(self, f"_{step.verb}")
        try:
            return await action(side, step)
        except ConversationConflict:
            return "conflict"
        except UserError:
            return "refused"

    def _name(self, step: Step) -> str:
        return self.names[step.which % len(self.names)]

    def _scope(self, number: int) -> str | None:
        return self.scopes[number % len(self.scopes) if number > 6 else 0]

    @staticmethod
    def _hand(side: Side, step: Step) -> Conversation | None:
        """One of the last few that were taken in hand: the older ones are mostly stale."""
        return side.hands[-1 - step.which % min(3, len(side.hands))] if side.hands else None

    @staticmethod
    def _message(number: int) -> Any:
        return (prompt if number % 2 else answer)(f"message {number % 5}")

    @classmethod
    def _take(cls, side: Side, conversation: Conversation | None) -> Any:
        if conversation is None:
            return None
        side.hands.append(conversation)
        return (
            conversation.messages,
            conversation.usage,
            conversation.deferred_tool_requests,
            conversation.new_message_index,
        )

    @staticmethod
    async def _entry(side: Side, name: str, where: int) -> str:
        """The id of an entry of the history or of a branch; sometimes of none."""
        record = await side.store.read_record(name)
        if record is None:
            return UNKNOWN
        found: list[str] = []
        for tip in [record.head_id, *record.branches]:
            line = await side.store.read_history(tip)
            found += [entry.id for entry in line if entry.id not in found]
        return [*found, UNKNOWN][where % (len(found) + 1)]

    # Verbs

    async def _begin(self, side: Side, step: Step) -> Any:
        messages = [self._message(step.where + number) for number in range(step.what % 4)]
        return self._take(side, Conversation(messages=messages, conversation_id=self._name(step)))

    async def _load(self, side: Side, step: Step) -> Any:
        found = await side.store.load(self._name(step), scope=self._scope(step.what))
        return self._take(side, found)

    async def _load_last(self, side: Side, step: Step) -> Any:
        return self._take(side, await side.store.load(self._name(step), limit=step.what % 4))

    async def _add(self, side: Side, step: Step) -> Any:
        if hand := self._hand(side, step):
            hand.messages += [self._message(step.where + n) for n in range(1 + step.what % 3)]

    async def _replace(self, side: Side, step: Step) -> Any:
        hand = self._hand(side, step)
        if hand and hand.messages:
            hand.messages[step.where % len(hand.messages)] = self._message(step.what)

    async def _remove(self, side: Side, step: Step) -> Any:
        if hand := self._hand(side, step):
            start = step.where % (len(hand.messages) + 1)
            del hand.messages[start : start + 1 + step.what]

    async def _serialise(self, side: Side, step: Step) -> Any:
        if side.hands:
            side.hands[-1] = serialised(side.hands[-1])

    async def _forget(self, side: Side, step: Step) -> Any:
        if hand := self._hand(side, step):
            hand.new_message_index = None

    async def _spend(self, side: Side, step: Step) -> Any:
        if hand := self._hand(side, step):
            hand.usage = hand.usage + RunUsage(requests=step.what, details={"x": 1})

    async def _wait(self, side: Side, step: Step) -> Any:
        if hand := self._hand(side, step):
            hand.deferred_tool_requests = deferred() if step.what % 2 else None

    async def _save(self, side: Side, step: Step) -> Any:
        if hand := self._hand(side, step):
            entries = await side.store.save(hand, scope=self._scope(step.what))
            return [entry.message for entry in entries], hand.new_message_index
        return None

    async def _revision(self, side: Side, name: str) -> str | None:
        record = await side.store.read_record(name)
        return record and record.revision

    async def _branch_at(self, side: Side, step: Step) -> Any:
        name = self._name(step)
        revision = await self._revision(side, name)
        return self._take(
            side,
            await side.store.branch(name, at=step.where - 1, expected_revision=revision),
        )

    async def _branch_from(self, side: Side, step: Step) -> Any:
        name = self._name(step)
        return self._take(
            side,
            await side.store.branch(
                name,
                from_entry=await self._entry(side, name, step.where),
                expected_revision=await self._revision(side, name),
                scope=self._scope(step.what),
            ),
        )

    async def _branch_stale(self, side: Side, step: Step) -> Any:
        if hand := self._hand(side, step):
            name, revision = hand.conversation_id, hand.revision
            return self._take(side, await side.store.branch(name, at=0, expected_revision=revision))
        return None

    async def _fork(self, side: Side, step: Step) -> Any:
        return self._take(
            side,
            await side.store.fork(
                self._name(step),
                at=step.where - 1 if step.where else None,
                new_conversation_id=self.names[step.what % len(self.names)],
            ),
        )

    async def _fork_from(self, side: Side, step: Step) -> Any:
        name = self._name(step)
        return self._take(
            side,
            await side.store.fork(
                name,
                from_entry=await self._entry(side, name, step.where),
                new_conversation_id=self.names[step.what % len(self.names)],
                scope=self._scope(step.where),
            ),
        )

    async def _delete(self, side: Side, step: Step) -> Any:
        await side.store.delete(self._name(step), scope=self._scope(step.what))

    # Comparing

    async def _compare(self, names: Sequence[str]) -> None:
        found = [await self._state(side, names) for side in self.sides]
        assert found[1] == found[0]

    @staticmethod
    async def _state(side: Side, names: Sequence[str]) -> dict[str, Any]:
        """All that can be seen of some conversations, with entry ids as numbers."""
        numbers: dict[str | None, int] = {None: -1}

        def plain(line: Sequence[ConversationEntry]) -> Any:
            return [
                (
                    numbers.setdefault(entry.id, len(numbers)),
                    numbers.get(entry.parent_id),
                    entry.message,
                )
                for entry in line
            ]

        found: dict[str, Any] = {}
        for name in names:
            record = await side.store.read_record(name)
            if record is None:
                continue
            found[name] = {
                "history": plain(await side.store.read_history(record.head_id)),
                "branches": [plain(await side.store.read_history(tip)) for tip in record.branches],
                "usage": record.usage,
                "deferred": record.deferred_tool_requests,
                "scope": record.scope,
                "fork": (record.forked_from, numbers.get(record.forked_at)),
            }
        return found


OPENING = [
    Step("begin", 0, 3, 0),
    Step("save", 0, 0, 0),
    Step("branch_at", 0, 0, 2),
    Step("add", 0, 1, 3),
    Step("save", 0, 0, 0),
]
"""A conversation with a history and a branch, to go on from."""


def some_steps() -> st.SearchStrategy[list[Step]]:
    """Twelve to forty steps."""
    number = st.integers(0, 9)
    step = st.builds(Step, st.sampled_from(Game.verbs), number, number, number)
    return st.lists(step, min_size=12, max_size=40)


SETTINGS = settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,  # names are new for each example
        HealthCheck.differing_executors,  # the suite runs over several stores
        HealthCheck.too_slow,
    ],
)
"""Those of `RandomRules.test_random_use`, for who overrides it with fewer examples."""


class RandomRules(Rules):
    """Over random sequences of operations, nothing differs from the in-memory store."""

    @SETTINGS
    @given(steps=some_steps())
    async def test_random_use(self, conversations: ConversationStore, steps: list[Step]) -> None:
        """Messages, entries, branches, usage, order and errors are those of the reference."""
        await self.play(conversations, steps)

    async def play(self, conversations: ConversationStore, steps: list[Step]) -> None:
        """Do these steps with both stores, after `OPENING`."""
        game = Game(InMemoryConversationStore(), conversations, self.scopes)
        for step in [*OPENING, *steps]:
            await game.play(step)
        await game.end()
