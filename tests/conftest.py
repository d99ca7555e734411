"""What all tests share."""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres.fixtures import database as database
from tests.postgres.fixtures import databases as databases
from tests.postgres.fixtures import new_database as new_database
from tests.postgres.fixtures import new_server as new_server
from tests.postgres.fixtures import pgbouncer as pgbouncer
from tests.postgres.fixtures import postgres_server as postgres_server
from tests.postgres.fixtures import proxy as proxy
from tests.postgres.fixtures import ready_database as ready_database
from tests.postgres.fixtures import ready_databases as ready_databases

# How long an example takes tells of the machine's other work.
settings.register_profile(
    "patient", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

HANGS = 150.0
"""Seconds after which an async test hangs. It fails, and shows where it waits; others go on.

Half of what ends the whole run (`faulthandler_timeout`), which is for all the rest.
"""


FIRST = [f"tests/{start}" for start in ("page/", "test_", "postgres/", "local/", "cli/", "http/")]
"""What has long modules. A process that begins one last would be left alone with it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the order but for what is to come first."""
    places = {start: place for place, start in enumerate(FIRST)}

    def place(item: pytest.Item) -> int:
        found = (places[start] for start in FIRST if item.nodeid.startswith(start))
        return next(found, len(FIRST))

    items.sort(key=place)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Give an async test a limit; anyio's plugin runs it."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test) or pyfuncitem.get_closest_marker("slow"):
        return

    @functools.wraps(test)
    async def limited(**arguments: Any) -> None:
        async with asyncio.timeout(HANGS):
            await test(**arguments)

    pyfuncitem.obj = limited
