"""What all tests share."""

from __future__ import annotations

import pytest

from tests.postgres.fixtures import database as database
from tests.postgres.fixtures import databases as databases
from tests.postgres.fixtures import new_database as new_database
from tests.postgres.fixtures import new_server as new_server
from tests.postgres.fixtures import pgbouncer as pgbouncer
from tests.postgres.fixtures import postgres_server as postgres_server
from tests.postgres.fixtures import proxy as proxy


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
