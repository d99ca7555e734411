"""The server's application over a new store, and a client that checks every answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mythline.http import create_app
from tests.http.support import Client


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests run over both stores, except those that are about one of them."""
    if "place" in metafunc.fixturenames and not list(metafunc.definition.iter_markers("local")):
        metafunc.parametrize("place", ["local", "postgres"], indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where the store is: a folder, or the address of a database."""
    if getattr(request, "param", "local") == "postgres":
        return request.getfixturevalue("ready_database")
    return tmp_path / "kept-here"


@pytest.fixture
def client(place: Path | str) -> Iterator[Client]:
    with Client(create_app(place, max_body_size=1 << 20), secret=str(place)) as client:
        yield client


@pytest.fixture(scope="module")
def idle_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store of `idle` is."""
    return tmp_path_factory.mktemp("idle") / "kept-here"


@pytest.fixture(scope="module")
def idle(idle_place: Path) -> Iterator[Client]:
    """A client that a module's tests share, for what is refused and changes nothing."""
    app = create_app(idle_place, max_body_size=1 << 20)
    with Client(app, secret=str(idle_place)) as client:
        yield client
