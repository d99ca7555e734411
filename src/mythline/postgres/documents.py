"""The documents of the search index: how words stand in it, and how it is asked for them.

A word of an entry is a lexeme: the place (a number for owner and agent), `_`, a letter for whose
word it is, the word. Its positions tell phrases from words that are far from each other. Of scripts
without spaces, where all phrases are made of few characters that every text has, each two
neighbours are a lexeme more.

PostgreSQL keeps 1 MB for a message, 255 positions of a lexeme, and none above 16383. What goes
beyond is marked: a query then finds it by its single words, or by the mark alone, and the text
tells the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from .. import search
from ..operations import SearchRole
from ..texts import ROLES

MOST_BYTES: Final = 1_000_000
MOST_POSITIONS: Final = 255
LAST_POSITION: Final = 16_383
OPERANDS: Final = 1024
"""Words of an expression at the most. What isn't in it is looked for in the texts found."""

_SOME_OF_PLACES: Final = "+"  # not all positions and neighbours are there
_SOME_OF_WORDS: Final = "-"  # nor all words
_PHRASES: Final = (search.MAX_TERMS, 8, 3)


class Words(NamedTuple):
    """The words of an entry as PostgreSQL reads a `tsvector`; `is_whole` if all is there."""

    text: str
    is_whole: bool


class Expressions(NamedTuple):
    """A query as `tsquery`s, each for some places; `is_exact` if they find only what is meant."""

    texts: list[str]
    is_exact: bool


def _lexeme(place: int, role: SearchRole, word: str) -> str:
    return f"{place}_{role[0]}{word}"


def _pair(place: int, role: SearchRole, one: str, other: str) -> str:
    return f"{place}_{role[0].upper()}{one}+{other}"


def words(place: int, texts: Mapping[SearchRole, str]) -> Words:
    """The words of an entry for a place."""
    found: dict[str, list[int]] = {}
    pairs: dict[str, None] = {}
    at = 0
    is_whole = True
    for role in ROLES:
        before = ""
        for word in search.plain_words(texts.get(role, "")):
            at += 1
            positions = found.setdefault(_lexeme(place, role, word), [])
            if at <= LAST_POSITION and len(positions) < MOST_POSITIONS:
                positions.append(at)
            else:
                is_whole = False
            if not search.is_unspaced(word):
                before = ""
                continue
            if before:
                pairs[_pair(place, role, before, word)] = None
            before = word
        at += 1
    size = sum(_size(lexeme, len(positions)) for lexeme, positions in found.items())
    if size + sum(_size(pair, 0) for pair in pairs) > MOST_BYTES:
        found = {lexeme: list[int]() for lexeme in found}
        pairs.clear()
        is_whole = False
    kept = list(_fitting(found))
    written = [_written(lexeme, found[lexeme]) for lexeme in kept]
    written += [_written(pair, []) for pair in pairs]
    if not is_whole:
        written.append(_written(f"{place}_{_SOME_OF_PLACES}", []))
    if len(kept) < len(found):
        written.append(_written(f"{place}_{_SOME_OF_WORDS}", []))
    return Words(" ".join(written), is_whole)


def _size(lexeme: str, positions: int) -> int:
    size = len(lexeme) if lexeme.isascii() else len(lexeme.encode())
    return size + 1 + (2 + 2 * positions if positions else 0)


def _fitting(lexemes: Mapping[str, Sequence[int]]) -> Iterator[str]:
    left = MOST_BYTES
    for lexeme, positions in lexemes.items():
        left -= _size(lexeme, len(positions))
        if left < 0:
            return
        yield lexeme


def _written(lexeme: str, positions: Sequence[int]) -> str:
    return f"'{lexeme}':{','.join(map(str, positions))}" if positions else f"'{lexeme}'"


# Queries


def expressions(
    query: search.Query, places: Sequence[int], roles: Collection[SearchRole]
) -> Expressions:
    """The query in the index's own language; no text at all for one that finds nothing."""
    asked: list[SearchRole] = [role for role in ROLES if role in roles]
    if not query.terms or not places or not asked:
        return Expressions([], True)
    terms, is_exact = _narrowed(query.terms, len(asked))
    each = 1 + sum(_count(term, len(asked)) for term in terms)
    some = max(1, OPERANDS // each)
    groups = (places[at : at + some] for at in range(0, len(places), some))
    texts = [" | ".join(_of_place(terms, place, asked) for place in group) for group in groups]
    return Expressions(texts, is_exact)


def _narrowed(terms: Sequence[search.Term], roles: int) -> tuple[list[search.Term], bool]:
    """Terms that are few enough, and whether they are all that is meant."""
    for most in _PHRASES:
        short = [_shortened(term, most) for term in terms]
        if sum(_count(term, roles) for term in short) < OPERANDS:
            return short, short == list(terms)
    short = sorted(
        (_shortened(term, _PHRASES[-1]) for term in terms),
        key=lambda term: -sum(map(len, term.words)),
    )
    return short[: OPERANDS // (roles * 3 * _PHRASES[-1])], False


def _shortened(term: search.Term, most: int) -> search.Term:
    """A term that finds all that another one does, without its words after the first."""
    if len(term.words) <= most:
        return term
    return search.Term(term.words[:most])


def _count(term: search.Term, roles: int) -> int:
    count = len(term.words)
    return roles * (1 + len(term.forms) if count == 1 else 3 * count)


def _of_place(terms: Sequence[search.Term], place: int, roles: Sequence[SearchRole]) -> str:
    found = " & ".join(_term(term, place, roles) for term in terms)
    return f"(({found}) | '{place}_{_SOME_OF_WORDS}')"


def _term(term: search.Term, place: int, roles: Sequence[SearchRole]) -> str:
    if len(term.words) > 1:
        found = [_phrase(term, place, role) for role in roles]
    else:
        found = [
            f"'{_lexeme(place, role, word)}'{':*' if term.prefix else ''}"
            for role in roles
            for word in (*term.words, *term.forms)
        ]
    return f"({' | '.join(found)})"


def _phrase(term: search.Term, place: int, role: SearchRole) -> str:
    lexemes = [f"'{_lexeme(place, role, word)}'" for word in term.words]
    whole = term.words
    if term.prefix:
        lexemes[-1] += ":*"
        whole = term.words[:-1]
    pairs = [
        f"'{_pair(place, role, one, other)}'"
        for one, other in pairwise(whole)
        if search.is_unspaced(one) and search.is_unspaced(other)
    ]
    exact = " & ".join([f"({' <-> '.join(lexemes)})", *pairs])
    return f"({exact}) | ({' & '.join(lexemes)} & '{place}_{_SOME_OF_PLACES}')"
