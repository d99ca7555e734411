"""The statements of the local store, as the `sqlite3` of every Python takes them."""

from __future__ import annotations

import re

from mythline.local.database import SQL


def test_parameters_are_named_or_in_their_order() -> None:
    """Up to 3.12.3, Python 3.12 takes `?1` for a named one, and warns of a sequence of values."""
    assert [name for name, statement in SQL.items() if re.search(r"\?\d", statement)] == []
