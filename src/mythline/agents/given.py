"""Recognizing a history that the caller of a run passed, so that none is doubled."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_ai.messages import ModelMessage, repair_messages

from .. import messages


def beyond(stored: Sequence[ModelMessage], given: Sequence[ModelMessage]) -> int | None:
    """How many messages at the end of `given` the session doesn't hold; `None`: it is another.

    `given` may be the stored history, the end of it, or either with more messages after it. Each
    may be as it was stored or as a run repaired it.
    """
    if not stored:
        return len(given)
    found = _beyond(stored, given)
    if found is None:
        repaired = repair_messages(given, repair_last_response=False)
        found = _beyond(repair_messages(stored, repair_last_response=False), repaired)
        if found is not None and found > len(given):  # pragma: no cover
            return None
    return found


def _beyond(stored: Sequence[ModelMessage], given: Sequence[ModelMessage]) -> int | None:
    ours = messages.dump(stored)
    theirs = messages.dump(given)
    more = len(theirs) - len(ours)
    if more >= 0 and _alike(ours, theirs[: len(ours)]):
        return more
    if more < 0 and _alike(ours[more * -1 :], theirs):
        return 0
    return None


def _alike(ones: Sequence[bytes], others: Sequence[bytes]) -> bool:
    return all(messages.same(one, other) for one, other in zip(ones, others, strict=True))
