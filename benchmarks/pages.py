"""A page of a long history, against the same of a short one."""

from __future__ import annotations

from collections.abc import Iterator

from mythline import open_store

from .material import AGENT, Options, filled, scratch
from .measure import Line, compare

SHORT = 100
LIMIT = 50


async def run(options: Options) -> Iterator[Line]:
    found: list[Line] = []
    with scratch(options.directory, "pages") as path:
        async with open_store(path / "store") as store:
            sessions = store.sessions(AGENT)
            for name, size in ("long", options.messages), ("short", SHORT):
                await filled(sessions, name, size)
                await store.settle(sessions._key(name))
            middle = {
                "long": (await sessions.entries("long")).entries[options.messages // 2].entry_id,
                "short": (await sessions.entries("short")).entries[SHORT // 2].entry_id,
            }

            def edges(name: str, how: str) -> tuple[str | None, str | None]:
                return middle[name] if how == "before" else None, (
                    middle[name] if how == "after" else None
                )

            def entries(name: str, how: str) -> object:
                before, after = edges(name, how)
                return sessions.entries(name, limit=LIMIT, before=before, after=after)

            def transcript(name: str, how: str) -> object:
                before, after = edges(name, how)
                return sessions.transcript(name, limit=LIMIT, before=before, after=after)

            for what, page in ("messages", entries), ("transcript", transcript):
                found += [
                    await compare(
                        f"page of {what}, {how}, of {options.messages:,} / {SHORT}",
                        lambda page=page, how=how: page("long", how),
                        lambda page=page, how=how: page("short", how),
                        rounds=options.rounds(300),
                        bound=2.0,
                    )
                    for how in ("last", "before", "after")
                ]
    return iter(found)
