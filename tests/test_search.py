"""What the words of a text are, what a query means, and what a hit shows."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mythline.search import MAX_TERMS, MAX_WORD, SNIPPET, Term, parse, shown, snippet, words
from mythline.texts import MAX_TEXT, said

TEXTS = st.text(
    st.one_of(
        st.sampled_from("aB1 _\"*\n'’éß日ガｶﾞก้한😀\u200d\ufe0f\u0301\x00\ud800"), st.characters()
    )
)


def _words(text: str) -> list[str]:
    return [word.text for word in words(text)]


def _terms(text: str) -> list[str]:
    """Each term as it would be typed."""
    found = ((" ".join(term.words), term.prefix) for term in parse(text).terms)
    return [text + "*" * prefix for text, prefix in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Dragon's fire_ball, v2.5", "the dragon s fire ball v2 5"),
        ("Café CAFE\u0301 łódź Ørsted Straße İzmir ς", "cafe cafe lodz orsted strasse izmir σ"),
        ("ﬁn Ｆｕｌｌ x² ™", "fin full x2 tm"),
        ("co\u00adop zero\u200bwidth", "coop zero width"),
        ("日本語text", "日 本 語 text"),
        ("ガ ｶﾞ カ\u3099 カ", "ガ ガ ガ カ"),
        ("한국어 \u1112\u1161\u11ab", "한 국 어 한"),
        ("ก้าว", "ก้ า ว"),
        ("हिन्दी العَرَبِيَّة עִבְרִית", "हिन्दी العربية עברית"),
        ("👍🏽 ❤️ ❤ 👨‍👩‍👧 1️⃣", "👍 ❤ ❤ 👨 👩 👧 1"),
        ("\U0001fae8\U0001fadf", "\U0001fae8 \U0001fadf"),
        ("── │ ⠋ … — “”", ""),
        ("a\x00b\ud800c", "a b c"),
        ("́ combining first", "combining first"),
    ],
)
def test_words(text: str, expected: str) -> None:
    """Words are folded; unspaced scripts and symbols are a word each character."""
    assert _words(text) == expected.split()


def test_places_of_words() -> None:
    """Words tell where they are in the text as it was, accents and ligatures included."""
    text = "FIne cafe\u0301s: 日本 ❤️!"
    found = [text[word.start : word.end] for word in words(text)]
    assert found == ["FIne", "cafe\u0301s", "日", "本", "❤️"]


def test_long_word() -> None:
    """Of a very long word the start counts, in a query as in a text."""
    assert _words("a" * 1000) == _words("a" * 900) == ["a" * MAX_WORD]
    assert _words("é" * 1000) == ["e" * MAX_WORD]
    assert parse("a" * 1000).terms[0].words == ("a" * MAX_WORD,)


@given(TEXTS)
def test_words_are_tokens(text: str) -> None:
    """Words are in order, within the text, and come through a tokenizer that splits ASCII."""
    found = list(words(text))
    places = [place for word in found for place in (word.start, word.end)]
    assert places == sorted(places)
    assert all(0 <= word.start < word.end <= len(text) for word in found)
    for word in found:
        assert re.fullmatch(r"[0-9a-z\u0080-\U0010ffff]+", word.text)
        word.text.encode()
        assert len(word.text) <= MAX_WORD


@given(TEXTS, TEXTS)
def test_words_of_two_texts(one: str, other: str) -> None:
    """A text has the same words wherever a space stands before it."""
    assert _words(f"{one} {other}") == _words(one) + _words(other)
    assert _words(f"{one} {other}\u2019") == _words(one) + _words(other)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", []),
        ('"" * ( ) - "" \'', []),
        ("fire Dragon fire FIRE", ["fire", "dragon"]),
        ('"fire dragon" sha*', ["fire dragon", "sha*"]),
        ('"fire dra"* "fire dra*"', ["fire dra*"]),
        ("“fire dragon” «a b»", ["fire dragon", "a b"]),
        ('"fire dragon', ["fire", "dragon"]),
        ('say "a b" 5" c', ["say", "a b", "5", "c"]),
        ("fire AND NOT (ice OR fog)", ["fire", "and", "not", "ice", "or", "fog"]),
        ("NEAR(a b, 3) title:x ^y -z +w", ["near a", "b", "3", "title x", "y", "z", "w"]),
        ("well-known user@example.com", ["well known", "user example com"]),
        ("日本語 龍火*", ["日 本 語", "龍 火*"]),
        ("f*o o* *p", ["f o", "o*", "p"]),
        ("😀🎉 ok", ["😀 🎉", "ok"]),
        ("a\x00b \ud800", ["a b"]),
        ("'; DROP TABLE sessions; --", ["drop", "table", "sessions"]),
    ],
)
def test_parse(typed: str, expected: list[str]) -> None:
    """Words, phrases and beginnings; whatever else is typed counts for nothing."""
    assert _terms(typed) == expected


@pytest.mark.parametrize(
    ("word", "forms"),
    [
        ("dragon", ["dragons"]),
        ("dragons", ["dragon"]),
        ("story", ["stories"]),
        ("stories", ["storie", "story"]),
        ("day", ["days"]),
        ("box", ["boxes"]),
        ("boxes", ["boxe", "box"]),
        ("house", ["houses"]),
        ("class", ["classes"]),
        ("analysis", []),
        ("as", []),
        ("café", ["cafes"]),
        ("дракон", []),
        ("gpt4", []),
        ("dragon*", []),
        ('"dragon"', []),
        ("fire-dragon", []),
    ],
)
def test_forms(word: str, forms: list[str]) -> None:
    """A plain word stands for its plural or singular too; a phrase and a beginning don't."""
    assert list(parse(word).terms[0].forms) == forms


def test_long_queries() -> None:
    """Of very long queries, the first terms and words count, so that none costs too much."""
    assert len(parse(" ".join(f"w{n}" for n in range(5000))).terms) == MAX_TERMS
    assert parse("日" * 10_000 + "*").terms == (Term(("日",) * MAX_TERMS),)
    assert parse('"' * 10_000).terms == ()
    assert len(parse('"a b" ' * 2000).terms) == 1


@given(TEXTS)
def test_any_text_is_a_query(typed: str) -> None:
    """A query never fails, is bounded, and has no empty terms or repeats."""
    terms = parse(typed).terms
    assert len(set(terms)) == len(terms) <= MAX_TERMS
    assert all(0 < len(term.words) <= MAX_TERMS for term in terms)


@given(TEXTS, TEXTS, TEXTS)
def test_snippets(before: str, found: str, after: str) -> None:
    """A snippet is one short line, and marks are in it, in order; what is there is marked."""
    query = parse(found)
    text = f"{before} {found} {after}"
    made = snippet(text, query)
    assert len(made.text) <= SNIPPET
    assert made.text.splitlines() in ([], [made.text])
    made.text.encode()
    places = [place for mark in made.marks for place in mark]
    assert places == sorted(places)
    assert all(0 <= start < end <= len(made.text) for start, end in made.marks)
    assert bool(made.marks) == bool(query.terms)


def _marked(text: str, typed: str) -> tuple[str, list[str]]:
    made = snippet(text, parse(typed))
    return made.text, [made.text[start:end] for start, end in made.marks]


def test_marks() -> None:
    """Words, other forms, phrases and beginnings are marked as they are written."""
    text = "The Dragons of  Shadow\nglen: a dragon, cafe\u0301s, 火の龍."
    line = "The Dragons of Shadow glen: a dragon, cafe\u0301s, 火の龍."
    assert _marked(text, 'dragon "shadow glen" caf* の龍') == (
        line,
        ["Dragons", "Shadow glen", "dragon", "cafe\u0301s", "の龍"],
    )
    assert _marked(text, "dragons*") == (line, ["Dragons"])
    assert _marked(text, "shadow-glen glen") == (line, ["Shadow glen"])
    assert _marked(text, "nowhere") == (line, [])


def test_snippet_of_a_long_text() -> None:
    """The snippet is where most of the query is, begins with a word, and shows what it cut."""
    filling = "some other words, " * 100
    text = f"{filling}a dragon. {filling}a dragon that breathes fire {filling}a dragon."
    made, marked = _marked(text, "dragon fire")
    assert marked == ["dragon", "fire"]
    assert re.fullmatch(r"…\w.*, a dragon that breathes fire some .*\w,?…", made)
    assert len(made) > SNIPPET * 3 // 4
    made, marked = _marked("龍" * 1000 + "火の山" + "川" * 1000, "火の山")
    assert marked == ["火の山"]
    assert len(made) == SNIPPET
    made, marked = _marked("x" * 1000 + " fire " + "y" * 1000, "fire")
    assert marked == ["fire"]
    made, marked = _marked("a" * 1000, "a" * 1000)
    assert len(made) <= SNIPPET
    assert len(marked) == 1
    made, marked = _marked("fire" + " " * 5000 + "dragon", "dragon")
    assert marked == ["dragon"]


def test_best_role() -> None:
    """The role whose text has most of the query is shown; of equals, the first given."""
    texts: Any = {"user": "a dragon", "tool": "fire of a dragon", "assistant": "dragon"}
    assert shown(texts, parse("dragon fire"))[0] == "tool"
    assert shown(texts, parse("dragon"))[0] == "user"


def _body(kind: str, *parts: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"kind": kind, "parts": parts, **fields}).encode()


def test_texts_of_a_request() -> None:
    """Prompts and what tools returned, without instructions, files and their data."""
    picture = {"kind": "binary", "data": "cGljdHVyZQ==", "media_type": "image/png"}
    returned = {"found": [1, "two"], "none": None, "picture": picture, "url": "data:x;base64,eA"}
    body = _body(
        "request",
        {"part_kind": "system-prompt", "content": "secret"},
        {"part_kind": "user-prompt", "content": ["look", picture, {"content": "here"}]},
        {"part_kind": "tool-return", "tool_name": "t", "content": returned, "tool_call_id": "1"},
        {"part_kind": "retry-prompt", "tool_name": "t", "content": "wrong", "tool_call_id": "1"},
        {"part_kind": "retry-prompt", "content": "again", "tool_call_id": "1"},
        timestamp="1970-01-01T00:00:01Z",
    )
    assert said(body).texts == {
        "user": "look\nhere",
        "tool": "found\n1\ntwo\npicture\nwrong",
    }
    assert said(body).time == 1_000_000


def test_texts_of_a_response() -> None:
    """The model's text, and what its provider's tools returned; no thinking, no calls."""
    body = _body(
        "response",
        {"part_kind": "thinking", "content": "hm"},
        {"part_kind": "text", "content": "One."},
        {"part_kind": "tool-call", "tool_name": "t", "args": {"a": "b"}, "tool_call_id": "1"},
        {"part_kind": "builtin-tool-return", "tool_name": "t", "content": "Result."},
        {"part_kind": "text", "content": "Two."},
        {"part_kind": "of-tomorrow", "content": "?"},
    )
    assert said(body) == ({"assistant": "One.\nTwo.", "tool": "Result."}, None)


def test_texts_are_bounded() -> None:
    """What is looked through of a message is bounded, over all its parts."""
    part = {"part_kind": "user-prompt", "content": "x" * (MAX_TEXT - 10)}
    texts = said(_body("request", part, part, part)).texts
    assert len(texts["user"]) == MAX_TEXT + 1
