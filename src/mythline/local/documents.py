"""The documents of the index: the words of stored messages, by place.

Everything here takes a connection inside a transaction. The index has no copy of the texts, so
that a message is taken out with the very words it was put in with: they come from its body again,
which must still be there. Where the index can't be trusted it is emptied, and built anew.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from .. import search
from ..texts import ROLES, told
from .database import SQL, Connection

log = logging.getLogger("mythline")

_LINE: Final = 20


class Document(NamedTuple):
    """The words of an entry, by `ROLES`, joined by spaces; and when it was said."""

    entry: int
    time: int
    words: tuple[str, ...]


def read(entry: int, entry_id: str, body: bytes) -> Document:
    """The document of a stored message."""
    texts, time = told(entry_id, body)
    words = tuple(" ".join(search.plain_words(texts.get(role, ""))) for role in ROLES)
    return Document(entry, time, words)


def token(place: int, word: str) -> str:
    """A word as it stands in the index for a place."""
    return f"{place}_{word}"


def _columns(document: Document, places: Sequence[int]) -> list[str | None]:
    return [
        " ".join(f"{place}_" + words.replace(" ", f" {place}_") for place in places)
        if words
        else None
        for words in document.words
    ]


def add(connection: Connection, found: Iterable[tuple[Document, Sequence[int]]]) -> None:
    """Put documents in, each for the places that have its entry now: new ones come last.

    The places up to the last one have it in the index already. `found` is in order of entries:
    the index writes what goes back on its own.
    """
    for document, places in found:
        if not any(document.words):
            continue
        if places[:-1]:
            connection.execute(
                SQL["drop_words"], (document.entry, *_columns(document, places[:-1]))
            )
        connection.execute(SQL["add_words"], (document.entry, *_columns(document, places)))
        connection.execute(SQL["add_document"], (document.entry, document.time))


def remove(connection: Connection, first: int, last: int) -> None:
    """Take the entries `first` to `last` of one line out, before they are dropped themselves.

    Raises nothing: a damaged index is emptied, to be built anew.
    """
    line = first >> _LINE
    places = connection.execute(SQL["indexed_places"], (line,)).fetchall()
    if not places:
        return
    try:
        if version(connection) != search.VERSION:
            raise sqlite3.DatabaseError("another version's words")
        for n, entry_id, body in connection.execute(SQL["documented"], (first, last)).fetchall():
            having = [place for place, until in places if until >= n]
            columns = _columns(read(n, entry_id, body), having)
            connection.execute(SQL["drop_words"], (n, *columns))
    except sqlite3.DatabaseError as error:
        log.warning("the search index is damaged, and is built anew: %s", error)
        reset(connection)
        return
    connection.execute(SQL["drop_documents"], (first, last))
    if first == line << _LINE:
        connection.execute(SQL["drop_indexed"], (line,))
    else:
        connection.execute(SQL["cut_indexed"], {"line": line, "last": first - 1})


def version(connection: Connection) -> int:
    """The version of the words in the index."""
    return connection.execute(SQL["search_state"]).fetchone()["version"]


def reset(connection: Connection) -> None:
    """Empty the index, and let all sessions be indexed anew."""
    try:
        connection.execute(SQL["remove_words"])
    except sqlite3.DatabaseError:  # too damaged to be dropped: make it an empty one first
        for name in ("empty_pages", "empty_terms", "empty_sizes", "empty_structure"):
            connection.execute(SQL[name])
        connection.execute(SQL["remove_words"])
    connection.execute(SQL["make_words"])
    connection.execute(SQL["drop_all_documents"])
    connection.execute(SQL["drop_all_indexed"])
    connection.execute(SQL["unindex_all"])
    connection.execute(SQL["set_search_version"], (search.VERSION,))
