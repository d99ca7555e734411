"""The server's application over a new store, and a client that checks every answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mythline.http import create_app
from tests.agents.support import Echo
from tests.http.support import Client
from tests.http.usual import UsualApp, UsualBot


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


@pytest.fixture(scope="session")
def usual_app() -> UsualApp:
    return UsualApp(max_body_size=1 << 20)


@pytest.fixture
def client(place: Path | str, usual_app: UsualApp) -> Iterator[Client]:
    with usual_app.over(place) as client:
        yield client


@pytest.fixture(scope="session")
def usual_bot() -> UsualBot:
    return UsualBot()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def bot(place: Path | str, usual_bot: UsualBot, echo: Echo) -> Iterator[Client]:
    """A client of an application with the agent `bot`, which says what `echo` does."""
    with usual_bot.saying(echo, place) as client:
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
