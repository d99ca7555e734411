"""`/api/doctor`: what is wrong in the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mythline import create_app, open_store
from mythline.http import doctor, stopping
from mythline.models import Finding
from tests.http.support import Client, Recording


def test_nothing_is_wrong(place: Path):
    with Client(create_app(place)) as client:
        client.create("x")
        assert client.get("/api/doctor").json() == []


def test_what_is_wrong_is_told_and_nothing_of_other_owners(place: Path):
    async def check(*, fix: bool = False) -> AsyncGenerator[Finding]:
        assert not fix
        place: dict[str, Any] = {"agent_id": "writer", "session_id": "x", "can_fix": True}
        yield Finding(kind="branch", explanation="Another's.", owner="alice", **place)
        yield Finding(kind="counters", explanation="Wrong.", **place)
        yield Finding(kind="orphan", explanation="Kept.")

    store = Recording(open_store(place))
    store.check = check  # type: ignore[method-assign]
    with Client(create_app(store)) as client:
        answer = client.get("/api/doctor")
        assert answer.json() == [
            {
                "kind": "counters",
                "explanation": "Wrong.",
                "agent_id": "writer",
                "session_id": "x",
                "can_fix": True,
            },
            {
                "kind": "orphan",
                "explanation": "Kept.",
                "agent_id": None,
                "session_id": None,
                "can_fix": False,
            },
        ]
        lines = answer.text.split("\n")
        assert [json.loads(line.rstrip(",")) for line in lines[1:-2]]  # one a line, to be shown


async def test_it_ends_when_the_server_stops():
    ended = asyncio.Event()

    class Endless:
        async def get(self, key: object) -> None:
            pass

        async def check(self) -> AsyncGenerator[Finding]:
            try:
                yield Finding(kind="orphan", explanation="Kept.")
                await asyncio.Event().wait()
            finally:
                ended.set()

    state = SimpleNamespace(mythline_store=Endless(), mythline_owner=None)
    request: Any = SimpleNamespace(state=state)
    pieces: Any = (await doctor.doctor(request)).body_iterator
    assert b"Kept." in await anext(pieces)
    for _, call in list(stopping._open):
        call()
    assert await anext(pieces, None) is None
    assert ended.is_set()
