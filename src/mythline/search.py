"""Searching in text: what the words of a text are, what a query means, and what a hit shows.

Every store indexes the words that `words` gives of the texts of a message (`mythline.texts`),
and takes queries as `parse` reads them, so a search means the same everywhere.

A word is a run of letters and digits, without regard to case and accents. Scripts that put no
spaces between words (Chinese, Japanese, Thai, …), Korean, whose words end in particles, and
symbols such as emoji count as a word each character, and a run of them in a query as a phrase:
so any part of such a text is found.

Words hold no ASCII character but letters and digits, and are never empty: joined by spaces, a
tokenizer that splits ASCII gives them back, whatever version of Unicode it knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

VERSION: Final = 1
"""Changes whenever `words` or `texts.said` give something else: indexes are built anew then."""
MAX_TERMS: Final = 64
"""Terms of a query that count, and words of a phrase; what comes after them is left out."""
MAX_WORD: Final = 64
"""Characters of a word that count."""
SNIPPET: Final = 200
"""Characters of a snippet at the most."""

_DENSE: Final = 140
_BEFORE: Final = 40
_ENOUGH: Final = 64

_ASCII_WORD: Final = re.compile(r"[0-9a-z]+")
_PIECE: Final = re.compile(r"[0-9A-Za-z]+|[^\x00-\x7f]")
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3041-\u318f\u31a0-\u31ff\uff66-\uff9f"  # Kana, Bopomofo; Hangul that is not composed
    "\u1100-\u11ff\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc]"  # Hangul
)
_NO_SYMBOL: Final = re.compile("[\u2500-\u259f\u2800-\u28ff]")  # frames, blocks, spinners
_NEW_EMOJI: Final = re.compile("[\U0001f000-\U0001faff]")  # of a later Unicode than Python's
_INSIDE: Final = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff\uff9e\uff9f]")
"""The vowels and ends of Korean syllables, and the voicing of narrow Katakana."""
_PLAIN: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th"}
)
_QUOTES: Final = str.maketrans("“”„‟«»", '""""""')
_TYPED: Final = re.compile(r'"([^"]*)"\*?|[^\s"]+')


SearchRole = Literal["user", "assistant", "tool"]
"""Whose words: prompts, the model's text, what tools returned."""


class Word(NamedTuple):
    """A word as it is compared, and where it is in its text (`end` exclusive)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Term:
    """Words that must follow each other; with `prefix`, the last one may go on.

    Attributes:
        words: The words, at least one.
        prefix: Whether what begins with the last word is meant too.
        forms: For a single word: others that count as well, its plural or singular.
    """

    words: tuple[str, ...]
    prefix: bool = False
    forms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """What a text must have to be found: every one of `terms`, anywhere."""

    terms: tuple[Term, ...]


class Snippet(NamedTuple):
    """A part of a text on one line, and where in it something was found (ends exclusive)."""

    text: str
    marks: tuple[tuple[int, int], ...]


class Shown(NamedTuple):
    """Whose text is shown of a message, its snippet, and whether its texts have the whole query."""

    role: SearchRole
    snippet: Snippet
    is_whole: bool


# Words


def words(text: str) -> Iterator[Word]:
    """The words of a text, in order, folded: small letters, without accents."""
    if text.isascii():
        for found in _ASCII_WORD.finditer(text.lower()):
            yield Word(found[0][:MAX_WORD], found.start(), found.end())
        return
    word, start, end, kind = "", 0, 0, ""
    for found in _PIECE.finditer(text):
        piece, at = found[0], found.start()
        now, folded = ("letter", piece.lower()) if piece.isascii() else _look(piece)
        goes_on = bool(word) and at == end
        if now == "inside":  # of a character, if there is one
            now = "mark" if goes_on and kind == "single" else "single"
        if goes_on and (now in ("mark", "ignored") or now == kind == "letter"):
            word += folded
        else:
            if word:
                yield Word(_composed(word), start, end)
            word = folded if now in ("letter", "single") else ""
            start, kind = at, now
        end = found.end()
    if word:
        yield Word(_composed(word), start, end)


def plain_words(text: str) -> list[str]:
    """The words of a text without their places: as `words`, and faster."""
    if not text.isascii():
        return [word.text for word in words(text)]
    return [word[:MAX_WORD] for word in _ASCII_WORD.findall(text.lower())]


def is_unspaced(word: str) -> bool:
    """Whether a word is a character of a script that puts no spaces between its words."""
    return word >= "\u0e00" and _UNSPACED.match(word) is not None


def _composed(word: str) -> str:
    return word[:MAX_WORD] if word.isascii() else unicodedata.normalize("NFC", word)[:MAX_WORD]


_Kind = Literal["letter", "single", "mark", "inside", "ignored", "space"]


@lru_cache(1 << 14)
def _look(character: str) -> tuple[_Kind, str]:
    """What a character beyond ASCII is to a word, and what it is compared as."""
    category = unicodedata.category(character)
    if category[0] == "M":
        return ("mark", character) if _matters(character) else ("ignored", "")
    if category == "Cf":
        return ("space" if character == "\u200b" else "ignored"), ""
    if "\U0001f3fb" <= character <= "\U0001f3ff":  # skin colours
        return "ignored", ""
    is_symbol = category == "So" and not _NO_SYMBOL.match(character)
    if is_symbol or (category == "Cn" and _NEW_EMOJI.match(character)):
        return "single", _folded(character) or character
    folded = _folded(character) if category[0] in "LN" else ""
    if not folded:
        return "space", ""
    if _INSIDE.match(character):
        return "inside", folded
    return ("single" if _UNSPACED.match(character) else "letter"), folded


def _folded(character: str) -> str:
    plain = character
    for _ in range(2):  # what has become small may come apart
        parts = unicodedata.normalize("NFKD", plain).casefold()
        plain = "".join(
            part
            for part in parts
            if part.isalnum() or (unicodedata.category(part)[0] == "M" and _matters(part))
        )
    return plain.translate(_PLAIN)


def _matters(mark: str) -> bool:
    """Whether a mark tells words apart: a vowel sign does, an accent doesn't.

    By its combining class: 10 to 36 are points of Hebrew, Arabic and Syriac, from 200 on accents.
    """
    place = unicodedata.combining(mark)
    if place == 0:
        return unicodedata.category(mark) != "Me" and "VARIATION" not in unicodedata.name(mark, "")
    return 1 < place < 10 or 36 < place < 200


# Queries


def parse(text: str) -> Query:
    """The query that a person typed. Any text is one.

    What stands without a space between is one term: `well-known` is a phrase of two words, as is
    `"well known"`. A `*` after a term stands for any end of its last word. A quotation mark
    without another one counts for nothing, and so does everything else that is no word.
    """
    terms: dict[Term, None] = {}
    for typed in _TYPED.finditer(text.translate(_QUOTES)):
        piece = typed[0]
        found = list(words(piece))
        if not found:
            continue
        prefix = piece[found[-1].end :].lstrip('"').startswith("*") and len(found) <= MAX_TERMS
        term = tuple(word.text for word in found[:MAX_TERMS])
        is_plain = len(term) == 1 and not prefix and typed[1] is None
        terms[Term(term, prefix, _forms(term[0]) if is_plain else ())] = None
        if len(terms) == MAX_TERMS:
            break
    return Query(tuple(terms))


_HISSING: Final = ("s", "x", "z", "ch", "sh")


def _forms(word: str) -> tuple[str, ...]:
    """The plural or the singular of an English word, as far as its spelling tells."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return ()
    if word.endswith("is"):
        return ()
    if word.endswith("s") and not word.endswith(("ss", "us")):
        found = [word[:-1]]
        if word.endswith("ies") and len(word) > 4:
            found.append(word[:-3] + "y")
        elif word.endswith("es") and word[:-2].endswith(_HISSING):
            found.append(word[:-2])
        return tuple(found)
    if word.endswith("y") and word[-2] not in "aeiou":
        return (word[:-1] + "ies",)
    return (word + ("es" if word.endswith(_HISSING) else "s"),)


# Snippets


class _Match(NamedTuple):
    start: int
    end: int
    term: int


def _matches(text: str, query: Query) -> list[_Match]:
    """Where terms of a query are in a text, in order of their ends."""
    found: list[_Match] = []
    terms = query.terms
    whole: dict[str, list[int]] = {}
    begun: list[int] = []
    for index, term in enumerate(terms):
        if term.prefix:
            begun.append(index)
        for form in (term.words[-1], *term.forms):
            whole.setdefault(form, []).append(index)
    starts = tuple(terms[index].words[-1] for index in begun)
    missing = set(range(len(terms)))
    seen: list[Word] = []
    for word in words(text):
        seen.append(word)
        ending = whole.get(word.text, ())
        if starts and word.text.startswith(starts):
            more = [index for index in begun if word.text.startswith(terms[index].words[-1])]
            ending = sorted({*ending, *more})
        for index in ending:
            before = terms[index].words[:-1]
            since = len(seen) - 1 - len(before)
            if since >= 0 and all(
                one.text == other for one, other in zip(seen[since:-1], before, strict=True)
            ):
                found.append(_Match(seen[since].start, word.end, index))
                missing.discard(index)
        if not missing and len(found) >= _ENOUGH:
            break
    return found


def snippet(text: str, query: Query) -> Snippet:
    """The part of a text, at most `SNIPPET` characters, that has most of a query."""
    return _snippet(text, _matches(text, query))


def shown(texts: Mapping[SearchRole, str], query: Query) -> Shown:
    """Of the texts of a message by role, the one that has most of a query, and its snippet."""
    found = {role: _matches(text, query) for role, text in texts.items()}
    terms = {role: {match.term for match in matches} for role, matches in found.items()}
    role: SearchRole = max(texts, key=lambda role: len(terms[role]))
    is_whole = len(set[int]().union(*terms.values())) == len(query.terms)
    return Shown(role, _snippet(texts[role], found[role]), is_whole)


def _snippet(text: str, matches: list[_Match]) -> Snippet:
    best, most = matches[:1], (0, 0)
    first = 0
    for last, match in enumerate(matches):
        while match.end - matches[first].start > _DENSE and first < last:
            first += 1
        some = matches[first : last + 1]
        value = len({one.term for one in some}), len(some)
        if value > most:
            best, most = some, value
    start = min((match.start for match in best), default=0)
    end = max((match.end for match in best), default=0)
    low = max(0, start - 4 * SNIPPET)
    line, places = _on_one_line(text[low : end + 4 * SNIPPET])
    first_at, last_at = places[start - low], places[end - low]
    begin = max(0, min(first_at - _BEFORE, len(line) - SNIPPET + 2))
    if begin or low:  # after a space, if there is one
        begin = line.find(" ", begin, first_at) + 1 or begin
    stop = min(len(line), begin + SNIPPET - 2)
    if stop < len(line):
        stop = max(line.rfind(" ", min(last_at, stop), stop), 0) or stop
    before = "…" if low or begin else ""
    shift = len(before) - begin
    marks: list[tuple[int, int]] = []
    for match in sorted(matches):
        if match.start < low or match.end - low >= len(places):
            continue
        here = places[match.start - low], min(places[match.end - low], stop)
        if here[0] < begin or here[0] >= here[1]:
            continue
        if marks and here[0] + shift < marks[-1][1]:
            marks[-1] = marks[-1][0], max(marks[-1][1], here[1] + shift)
        else:
            marks.append((here[0] + shift, here[1] + shift))
    after = "…" if stop < len(line) or end + 4 * SNIPPET < len(text) else ""
    return Snippet(before + line[begin:stop] + after, tuple(marks))


_UNEVEN: Final = re.compile("^ |  | $|[^\\S ]|[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def _on_one_line(text: str) -> tuple[str, Sequence[int]]:
    """A text without runs of blanks, and where each of its characters, and its end, is then."""
    if not _UNEVEN.search(text):
        return text, range(len(text) + 1)
    line: list[str] = []
    places: list[int] = []
    for character in text:
        places.append(len(line))
        if character.isspace() or unicodedata.category(character) == "Cc":
            if line and line[-1] != " ":
                line.append(" ")
        else:
            line.append("\ufffd" if "\ud800" <= character <= "\udfff" else character)
    if line and line[-1] == " ":
        line.pop()
    places.append(len(line))
    return "".join(line), [min(place, len(line)) for place in places]
