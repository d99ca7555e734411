"""What all verbs have in common: their options, the store that is open while they work."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec

from ..errors import StoreCorrupt
from .options import AgentOption, JsonOption, OwnerOption, StoreOption
from .place import Place, store_at

P = ParamSpec("P")
After = Callable[[], None] | None
"""What a verb leaves to be done when the store is closed: printing what a person reads slowly."""


class ReaderGone(Exception):
    """Who read the output is gone, as `head` is when it has enough."""


def verb(
    *,
    makes: bool = False,
    opens: bool = True,
    damaged: Callable[[StoreCorrupt, bool], None] | None = None,
) -> Callable[[Callable[Concatenate[Place, P], Awaitable[After]]], Callable[..., None]]:
    """A command out of a coroutine function that is given a `Place` and its own parameters.

    The command has `--store`, `--agent`, `--owner` and `--json` besides.

    Args:
        makes: Whether the store is made where none is.
        opens: Whether it is given an open store.
        damaged: Tells of a damaged database, as JSON or not; without, that is an error.
    """
    shared: dict[str, Any] = {
        "store": StoreOption,
        "agent": AgentOption,
        "owner": OwnerOption,
        "as_json": JsonOption,
    }

    def decorate(
        function: Callable[Concatenate[Place, P], Awaitable[After]],
    ) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**given: Any) -> None:
            options = {name: given.pop(name) for name in shared}
            bound: Callable[[Place], Awaitable[After]] = functools.partial(function, **given)

            async def work() -> After:
                store = store_at(options["store"], make=makes)
                place = Place(
                    store,
                    owner=options["owner"],
                    agent=options["agent"],
                    as_json=options["as_json"],
                    location=options["store"],
                )
                async with store if opens else contextlib.nullcontext():
                    return await bound(place)

            try:
                after = asyncio.run(work())
                if after is not None:
                    after()
                sys.stdout.flush()
            except StoreCorrupt as error:
                if damaged is None:
                    raise
                damaged(error, options["as_json"])
            except BrokenPipeError:  # Typer would make 1 of it
                raise ReaderGone from None

        own = inspect.signature(function, eval_str=True)
        _, *parameters = own.parameters.values()
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        parameters += [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=False if name == "as_json" else None,
                annotation=annotation,
            )
            for name, annotation in shared.items()
        ]
        command.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportAttributeAccessIssue]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate
