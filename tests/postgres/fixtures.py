"""Fixtures for everything that is tested over PostgreSQL."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack

import pytest

from tests.postgres.databases import Databases, ReadyDatabases
from tests.postgres.pgbouncer import PgBouncer
from tests.postgres.proxy import Proxy
from tests.postgres.servers import FAST, GivenServer, Server, a_server


@pytest.fixture(scope="session")
def postgres_server() -> Generator[GivenServer | Server]:
    """The server that the tests of this run share; nobody may stop it."""
    server = a_server()
    with server if isinstance(server, Server) else contextlib.nullcontext():
        yield server


@pytest.fixture(scope="session")
def databases(postgres_server: GivenServer | Server) -> Generator[Databases]:
    """The databases that the tests of this run share, one after the other."""
    with Databases(postgres_server) as databases:
        yield databases


@pytest.fixture
def new_database(
    postgres_server: GivenServer | Server, databases: Databases
) -> Generator[Callable[[], str]]:
    """Makes a database that is empty; its DSN. All are gone when the test is over."""
    taken: list[str] = []

    def new() -> str:
        taken.append(databases.take())
        return postgres_server.dsn(taken[-1])

    yield new
    for name in taken:
        databases.give_back(name)


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """The DSN of a database that is empty."""
    return new_database()


@pytest.fixture(scope="session")
def ready_databases(postgres_server: GivenServer | Server) -> Generator[ReadyDatabases]:
    """Those of them that have the schema."""
    with ReadyDatabases(postgres_server) as databases:
        yield databases


@pytest.fixture
def ready_database(
    postgres_server: GivenServer | Server, ready_databases: ReadyDatabases
) -> Generator[str]:
    """The DSN of a database with Mythline's schema, and nothing in it: in less time."""
    name = ready_databases.take()
    yield postgres_server.dsn(name)
    ready_databases.give_back(name)


@pytest.fixture
def new_server() -> Generator[Callable[..., Server]]:
    """Starts a server of the test's own, `new_server(DURABLE)`; removed when the test is over.

    A standby is the test's to close, or to give to a `with`.
    """
    with ExitStack() as servers:

        def new(settings: Mapping[str, str] = FAST) -> Server:
            return servers.enter_context(Server(settings))

        yield new


@pytest.fixture
def proxy(database: str) -> Generator[Proxy]:
    """A proxy in front of the server; `proxy.dsn(database)` leads through it."""
    with Proxy(database) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def pgbouncer(postgres_server: GivenServer | Server) -> Generator[PgBouncer]:
    """PgBouncer in transaction mode in front of the server; `pgbouncer.dsn(database)`."""
    if PgBouncer.program() is None:
        pytest.skip("needs PgBouncer: apt-get install pgbouncer")
    with PgBouncer(postgres_server.dsn()) as pgbouncer:
        yield pgbouncer
