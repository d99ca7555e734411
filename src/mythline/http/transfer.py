"""Sessions as files: exports in every format, and imports of what other programs wrote."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from ..archives import export_all
from ..errors import InvalidInput, InvalidMessages, SessionExists
from ..formats import EXPORTS, ExportFormat, ImportedSession
from ..formats.archive import ARCHIVES, ArchiveKind
from ..models import Imported
from ..sessions import AgentSessions, OnConflict
from ..transfer import read_aside
from . import answers, bodies, schemas
from .closed import CLOSED
from .parameters import SessionId, Sessions
from .problems import problems
from .route import ProblemRoute

fixed = APIRouter(route_class=ProblemRoute)
routes = APIRouter(route_class=ProblemRoute)


@routes.get(
    "/sessions/{session_id}/export",
    response_class=StreamingResponse,
    responses=problems(404) | {200: {"content": schemas.EXPORTED}},
)
async def export_session(
    sessions: Sessions,
    session_id: SessionId,
    format: Annotated[  # noqa: A002
        ExportFormat,
        Query(
            description="`json` is the array of messages, `jsonl` all there is of the session, "
            "`markdown` and `html` what a person reads."
        ),
    ] = "json",
) -> StreamingResponse:
    """A session as a file."""
    pieces = await sessions.export(session_id, format)
    kind = EXPORTS[format]
    name = f"{session_id}{kind.suffix}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(pieces, headers=headers, media_type=kind.media_type)


@fixed.get(
    "/sessions/export",
    response_class=StreamingResponse,
    dependencies=[CLOSED],
    responses=problems() | {200: {"content": schemas.ARCHIVED}},
)
async def export_sessions(
    sessions: Sessions,
    format: Annotated[  # noqa: A002
        ArchiveKind, Query(description="Which kind of archive.")
    ] = "zip",
) -> StreamingResponse:
    """All sessions of this agent as one archive, each as `jsonl`; not those in the trash."""
    found = export_all(
        sessions.store, kind=format, owners=[sessions.owner], agents=[sessions.agent_id]
    )
    name = f"{sessions.agent_id}.{format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    pieces = (piece async for _, piece in found)
    first = await anext(pieces)  # what a store refuses is a problem, rather than an empty answer
    return StreamingResponse(_from(first, pieces), headers=headers, media_type=ARCHIVES[format])


async def _from(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async with aclosing(rest):
        async for piece in rest:
            yield piece


@fixed.post(
    "/sessions/import",
    status_code=201,
    openapi_extra=schemas.IMPORT_BODY,
    response_model_exclude_none=True,
    responses=problems(400, 409, 413, 415),
)
async def import_session(
    request: Request,
    response: Response,
    sessions: Sessions,
    session_id: Annotated[
        str | None,
        Query(description="Its id; the file's own, its name or a generated one if left out."),
    ] = None,
    on_conflict: Annotated[OnConflict, Query(description="What if the id is taken.")] = "error",
) -> schemas.ImportedSession:
    """Make a session of a file: an export, or what another program wrote; or one of each in it.

    The sessions of an archive become this agent's, whoever's they were.

    The format is told by what is in it. The messages are sanitized as Pydantic AI does it for
    those of a client.
    """
    asked = await bodies.read_import(request, session_id, on_conflict)
    found = await read_aside(asked.data)
    if len(found) != 1 and asked.session_id is not None:
        raise InvalidInput(
            f"The file holds {len(found)} sessions, which can't all have one id. Leave "
            "`session_id` out."
        )
    if len(found) != 1:
        done = await _import_each(sessions, found, asked.on_conflict)
        made = next(one for one in done if one.status in ("imported", "unchanged"))
        response.headers["Location"] = answers.path_to(request, made.session_id)
        return schemas.ImportedSession(
            session_id=made.session_id,
            message_count=made.message_count,
            sessions=[schemas.ImportedOne.of(one) for one in done],
        )
    identity = asked.session_id or found[0].session_id or bodies.id_of(asked.file_name)
    stored = await sessions.store_imported(found[0], identity, asked.on_conflict)
    response.headers.update(answers.tagged(stored.revision))
    response.headers["Location"] = answers.path_to(request, stored.session_id)
    return schemas.ImportedSession(session_id=stored.session_id, message_count=stored.message_count)


async def _import_each(
    sessions: AgentSessions, found: list[ImportedSession], on_conflict: OnConflict
) -> list[Imported]:
    """Store the sessions of a file, each whole or not at all; what became of them, in order.

    Raises:
        SessionExists: If none is here, as the ids of all are taken by others.
        InvalidMessages: If none is here, and not for that.
    """
    done = [await sessions.take(session, on_conflict) for session in found]
    if any(one.status in ("imported", "unchanged") for one in done):
        return done
    for one in done:
        if await sessions.exists(one.session_id):
            raise SessionExists(one.session_id)
    raise InvalidMessages(done[0].error or "None of the sessions could be stored.")
