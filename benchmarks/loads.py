"""Loading a history, against Pydantic AI reading the same messages from one JSON array."""

from __future__ import annotations

import json
from collections.abc import Iterator
from time import perf_counter

from pydantic_ai.messages import ModelMessagesTypeAdapter
from pydantic_core import to_jsonable_python

from mythline import open_store

from .material import AGENT, Options, filled, history, scratch
from .measure import Line, compare, figure


async def run(options: Options) -> Iterator[Line]:
    found: list[Line] = []
    with scratch(options.directory, "loads") as path:
        async with open_store(path / "store") as store:
            sessions = store.sessions(AGENT)
            for size, rounds in (
                (10, 1500),
                (50, 600),
                (options.messages // 10, 150),
                (options.messages, 21),
            ):
                name = f"loaded-{size}"
                conversation = await filled(sessions, name, size)
                await store.settle(sessions._key(name))
                array = ModelMessagesTypeAdapter.dump_json(conversation.messages)
                found.append(
                    await compare(
                        f"load {size:,} messages / validate_json",
                        lambda name=name: sessions.load(name),
                        lambda array=array: ModelMessagesTypeAdapter.validate_json(array),
                        rounds=options.rounds(rounds) if size < 10_000 else min(rounds, 15),
                        bound=1.3,
                    )
                )
            folder = path / "store" / AGENT / "context_memory"
            for size in 10, options.messages // 10:
                messages = history(size)
                data = json.dumps(to_jsonable_python(messages), indent=2).encode()
                pairs: list[tuple[float, float]] = []
                for number in range(options.rounds(75)):
                    name = f"foreign-{size}-{number}"
                    (folder / f"{name}.json").write_bytes(data)
                    start = perf_counter()
                    await sessions.load(name)
                    middle = perf_counter()
                    ModelMessagesTypeAdapter.validate_json(data)
                    pairs.append((middle - start, perf_counter() - middle))
                what = f"first load of a file of {size:,} messages / validate_json"
                found.append(figure(what, pairs))
    return iter(found)
