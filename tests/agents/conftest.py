from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agents.support import CountingStore, Echo, Room


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with CountingStore(tmp_path / "store") as store:
        yield Room(store)


@pytest.fixture
def echo() -> Echo:
    return Echo()
