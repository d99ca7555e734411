"""Searching in text: what the words of a text are, what a query means, and what a hit shows.

Every store indexes the words that `words` gives and takes queries as `parse` reads them, so a
search means the same everywhere.

A word is a run of letters and digits, without regard to case and accents. Scripts that put no
spaces between words (Chinese, Japanese, Thai, …) and symbols such as emoji count as a word each
character, and a run of them in a query as a phrase: so any part of such a text is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

MAX_TERMS: Final = 64
"""Terms of a query that count; what comes after them is left out."""


class Word(NamedTuple):
    """A word as it is compared, and where it is in its text (`end` exclusive)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must follow each other; with `prefix`, the last one may go on."""

    words: tuple[str, ...]
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What a text must have to be found: every one of `terms`, anywhere."""

    terms: tuple[Term, ...]


def parse(text: str) -> Query:
    """The query that a person typed. Any text is one."""
    raise NotImplementedError
