"""Applications that tests use one after the other, each over a store of its own.

To make an application takes a tenth of a second, longer than most tests; and it is the same for
every store.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models.wrapper import WrapperModel

from mythline import open_store
from mythline.http import create_app
from mythline.store import Store
from tests.agents.support import Echo
from tests.http.support import Client


def _of_inner(name: str) -> property:
    return property(lambda stand_in: getattr(stand_in.inner, name))


_StandIn: Any = type(
    "_StandIn", (Store,), {name: _of_inner(name) for name in dir(Store) if name[0] != "_"}
)
"""A store that is whatever its `inner` is at the moment."""


class UsualApp:
    """The server's application over whichever store it is used for."""

    def __init__(self, **options: Any) -> None:
        self._store = _StandIn()
        self._app = create_app(self._store, **options)

    @contextmanager
    def over(self, place: Path | str) -> Generator[Client]:
        """A client of it, from when it starts over a store to when it has stopped."""
        self._store.inner = open_store(place)
        with Client(self._app, secret=str(place)) as client:
            yield client


class UsualBot(UsualApp):
    """The same with the agent `bot`."""

    def __init__(self) -> None:
        self._model = WrapperModel(Echo().model)
        super().__init__(agents={"bot": Agent(self._model)})

    @contextmanager
    def saying(self, echo: Echo, place: Path | str) -> Generator[Client]:
        """A client; what the agent says is `echo`'s."""
        self._model.wrapped = echo.model
        with self.over(place) as client:
            yield client
