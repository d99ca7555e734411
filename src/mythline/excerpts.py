"""What lists show of a history: the start of its first prompt, and of its last text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from . import messages

PREVIEW: Final = 200
"""Characters of a preview at the most."""
TITLE: Final = 80
"""Characters of an offered title at the most."""
LOOK: Final = 50
"""Messages that are looked through for either."""


def opening(bodies: Iterable[bytes]) -> str:
    """The start of the first prompt in some messages, one line; empty if there is none."""
    texts = (messages.prompt(body) for body in bodies)
    return messages.excerpt(next((text for text in texts if text.strip()), ""), TITLE)


def preview(bodies: Iterable[bytes]) -> str:
    """The start of the first text in some messages, one line; empty if there is none.

    Of the last one, if they come newest first.
    """
    texts = (messages.text(body) for body in bodies)
    return messages.excerpt(next((text for text in texts if text.strip()), ""), PREVIEW)
