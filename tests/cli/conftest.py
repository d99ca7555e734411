"""Stores to work on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mythline import open_store

from .support import tool_turn, turn


@pytest.fixture(params=["directory", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    """A store that `fill` filled: a directory, and a database."""
    if request.param == "directory":
        return str(request.getfixturevalue("folder"))
    database: str = request.getfixturevalue("ready_database")
    fill(database)
    return database


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that `fill` filled."""
    fill(tmp_path / "store")
    return tmp_path / "store"


def fill(location: str | Path) -> None:
    """Fill a store: `researcher` with road-1 to road-3, `writer` with draft and shared.

    Both have `shared`; the sessions of `researcher` were saved first, in the order of their names.
    """

    async def save() -> None:
        async with open_store(location) as store:
            research, writing = store.sessions("researcher"), store.sessions("writer")
            for number in (1, 2, 3):
                await research.create(f"road-{number}", tags=["lore"] if number == 2 else ())
                said = f"The old road, part {number}"
                await research.append(f"road-{number}", turn(said, "It is long."))
            await research.create("shared")
            await research.append("shared", tool_turn())
            await writing.create("draft", title="Chapter one")
            await writing.create("shared")
            await store.sessions("researcher", owner="alice").create("road-1", title="Alice's")

    asyncio.run(save())
