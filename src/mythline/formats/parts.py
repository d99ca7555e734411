"""Parts of Pydantic AI's messages, made of what other programs say.

They hold nothing that has an effect beyond what was said: links to pictures are `http` and
`https`, and what a provider signed is left out, as it only holds for the very messages it sent.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from pydantic_ai.messages import UserContent

Outcome = Literal["success", "failed", "denied", "interrupted"]

_DATA: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[^,;]*)*;base64,", re.ASCII)
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


def said(content: str | Sequence[UserContent]) -> list[Any]:
    """What a person said: text, or text and files. Nothing if it is empty."""
    from pydantic_ai.messages import UserPromptPart

    if isinstance(content, str):
        return [UserPromptPart(content)] if content.strip() else []
    kept = [item for item in content if not isinstance(item, str) or item.strip()]
    if not kept:
        return []
    if all(isinstance(item, str) for item in kept):
        return [UserPromptPart("\n\n".join(str(item) for item in kept))]
    return [UserPromptPart(kept)]


def instructed(content: str) -> list[Any]:
    """A system prompt."""
    from pydantic_ai.messages import SystemPromptPart

    return [SystemPromptPart(content)] if content.strip() else []


def answered(content: str) -> list[Any]:
    """Text of the model."""
    from pydantic_ai.messages import TextPart

    return [TextPart(content)] if content.strip() else []


def thought(content: str) -> list[Any]:
    """Thinking of the model."""
    from pydantic_ai.messages import ThinkingPart

    return [ThinkingPart(content)] if content.strip() else []


def call(name: str, args: dict[str, Any], call_id: str) -> list[Any]:
    """A call of a tool."""
    from pydantic_ai.messages import ToolCallPart

    return [ToolCallPart(name or "tool", args, call_id)]


def result(name: str, content: str, call_id: str, outcome: Outcome = "success") -> list[Any]:
    """What a tool gave back. An empty name is that of its call."""
    from pydantic_ai.messages import ToolReturnPart

    return [ToolReturnPart(name, content, call_id, outcome=outcome)]


def picture(address: str) -> UserContent:
    """A picture by its address: a link, or what a `data:` address holds."""
    from pydantic_ai.messages import ImageUrl

    if address.startswith(("http://", "https://")):
        return ImageUrl(address)
    match = _DATA.match(address)
    if match:
        return binary(address[match.end() :], match[1])
    return note("picture")


def binary(data: str, media_type: str) -> UserContent:
    """A file of its base64; a note in its place if that is none."""
    from pydantic_ai.messages import BinaryContent

    if not _MEDIA_TYPE.fullmatch(media_type):
        return note("file")
    try:
        return BinaryContent(base64.b64decode(data, validate=True), media_type=media_type)
    except ValueError:
        return note("file", media_type)


def note(kind: str, *facts: Any, why: str = "not in what was imported") -> str:
    """Stands for what isn't there: a file, say, with its name, type and size."""
    told = ", ".join(str(fact) for fact in facts if fact)
    return f"[{kind}{': ' if told else ''}{told} — {why}]"


def size(number: int) -> str:
    """A number of bytes in words; empty if it isn't known."""
    return f"{number:,} bytes" if number else ""
