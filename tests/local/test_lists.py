"""How lists are read: by an index in their order, whatever they leave out."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from mythline import open_store
from mythline.local import lists
from mythline.local.database import SQL
from mythline.operations import Listing
from mythline.testing.rules.listing import ListingRules


class TestFrequentTags(ListingRules):
    """All that holds for lists, where each tag is one that many sessions have."""

    @pytest.fixture
    def open_store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(lists, "FREQUENT", 0)
        return lambda: open_store(tmp_path / "store")


async def _plans(path: Path, listing: Listing) -> list[str]:
    """The steps of the plans for all that SQLite reads for a list."""
    async with open_store(path):
        pass
    steps: list[str] = []
    with closing(sqlite3.connect(path / "sessions.sqlite3")) as connection:
        connection.row_factory = sqlite3.Row
        connection.create_function("casefold", 1, str.casefold)

        def explain(statement: str, names: Any) -> Any:
            found = connection.execute(f"EXPLAIN QUERY PLAN {statement}", names)
            steps.extend(row["detail"] for row in found)
            return connection.execute(statement, names)

        class Explained:
            execute = staticmethod(explain)

        lists.page(Explained(), "", "agent", listing)  # type: ignore[arg-type]
        explain(SQL["pending"], ("", "agent")).fetchall()
    return steps


@pytest.mark.parametrize("archived", [False, True, None])
@pytest.mark.parametrize("order", ["recent", "created", "title"])
async def test_nothing_is_sorted(tmp_path: Path, order: Any, archived: bool | None):
    """A page costs what is on it; only pinned sessions, of which there are few, are sorted."""
    steps = await _plans(tmp_path, Listing(limit=50, order=order, archived=archived))
    assert steps
    assert not [step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN")]
    assert any("sessions_pending" in step for step in steps)
    steps = await _plans(
        tmp_path, Listing(limit=50, order=order, archived=archived, pinned_first=True)
    )
    assert [step for step in steps if "sessions_pinned" in step]
    assert len([step for step in steps if "TEMP B-TREE" in step]) == 1


async def test_pages_of_a_frequent_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """They aren't sorted either."""
    async with open_store(tmp_path) as store:
        await store.sessions("agent").create("one", tags=["x"])
    assert any("TEMP B-TREE" in step for step in await _plans(tmp_path, Listing(limit=5, tag="x")))
    monkeypatch.setattr(lists, "FREQUENT", 0)
    steps = await _plans(tmp_path, Listing(limit=5, tag="x"))
    assert not [step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN")]
