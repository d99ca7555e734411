"""Recognizing a history that the caller of a run passed, so that none is doubled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from pydantic_ai.messages import ModelMessage, ModelRequest, SystemPromptPart, repair_messages

from .. import messages

_ANY: Final = SystemPromptPart("")
"""Stands for whatever a dynamic system prompt said, and when."""


def beyond(stored: Sequence[ModelMessage], given: Sequence[ModelMessage]) -> int | None:
    """How many messages at the end of `given` the session doesn't hold; `None`: it is another.

    `given` may be the stored history, the end of it, or either with more messages after it. Each
    may be as it was stored or as a run repaired it. What a dynamic system prompt says doesn't
    count: each run says it anew, also in the messages that it was given.
    """
    if not stored:
        return len(given)
    stored, given = [*map(_undated, stored)], [*map(_undated, given)]
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
    # The end, and more after it. To the letter: what was said twice is no end of both.
    for shared in range(min(len(ours), len(theirs)) - 1, 0, -1):
        if ours[-shared] == theirs[0] and ours[-shared:] == theirs[:shared]:
            return len(theirs) - shared
    return None


def _alike(ones: Sequence[bytes], others: Sequence[bytes]) -> bool:
    return all(messages.same(one, other) for one, other in zip(ones, others, strict=True))


def _undated(message: ModelMessage) -> ModelMessage:
    """A message without what its dynamic system prompts said."""
    if not isinstance(message, ModelRequest) or not any(map(_is_dynamic, message.parts)):
        return message
    parts = [_ANY if _is_dynamic(part) else part for part in message.parts]
    return dataclasses.replace(message, parts=parts)


def _is_dynamic(part: object) -> bool:
    return isinstance(part, SystemPromptPart) and part.dynamic_ref is not None
