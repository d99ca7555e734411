"""What is wrong in a store, found while someone waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from fastapi import Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import StreamingResponse

from .. import models
from ..errors import StoreError, StoreUnavailable
from ..store import SessionKey, Store
from .stopping import until_stopped


class Finding(BaseModel):
    """Something that is wrong, as `mythline doctor` tells it."""

    model_config = ConfigDict(from_attributes=True)

    kind: str
    explanation: str
    agent_id: str | None
    session_id: str | None
    can_fix: bool


ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "What is wrong, as an array, each finding on a line as it is found.",
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": Finding.model_json_schema()},
                "example": [
                    {
                        "kind": "search",
                        "explanation": "The search index is damaged. Searches may miss messages "
                        "until it is built anew.",
                        "agent_id": None,
                        "session_id": None,
                        "can_fix": True,
                    }
                ],
            }
        },
    }
}


async def doctor(request: Request) -> StreamingResponse:
    """Look through the whole store, and say what is wrong; nothing is changed.

    It takes its time, milliseconds for each session, and ends when the client leaves.
    """
    state = request.state
    try:
        await state.mythline_store.get(SessionKey(None, "_", "_"))
    except StoreUnavailable:
        raise  # a problem with its status, rather than an array that breaks off
    except StoreError:
        pass  # what is damaged is what is looked for
    whole = _lines(state.mythline_store, state.mythline_owner)
    return StreamingResponse(whole, media_type="application/json")


async def _lines(store: Store, owner: str | None) -> AsyncGenerator[bytes]:
    """The array, or what there is of it when the server stops."""
    start = b"["
    with until_stopped() as stopped:
        async with aclosing(store.check()) as findings:
            while (found := await _next(findings, stopped)) is not None:
                if found.owner != owner:
                    continue
                yield start + b"\n" + Finding.model_validate(found).model_dump_json().encode()
                start = b","
        if not stopped.is_set():
            yield (b"[" if start == b"[" else b"\n") + b"]\n"


async def _next(
    findings: AsyncGenerator[models.Finding], stopped: asyncio.Event
) -> models.Finding | None:
    """The next finding; `None` after the last, or once the server stops."""
    found = asyncio.ensure_future(anext(findings, None))
    stop = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({found, stop}, return_when=asyncio.FIRST_COMPLETED)
        return found.result() if found.done() else None
    finally:
        for task in (found, stop):
            task.cancel()
        await asyncio.wait({found, stop})
