"""create_app: the server's application."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from ..agents.named import AnyAgent, by_id, import_agents
from ..opening import open_store
from ..settings import read_settings
from ..store import SessionKey, Store
from . import doctor, life_schemas, retention, schemas
from .page import page
from .problems import problem_of, problems
from .route import ProblemRoute, close_paths
from .router import session_router
from .security import HEADERS, Guard


def create_app(
    store: Store | str | Path | None = None,
    *,
    agents: Mapping[str, AnyAgent] | Sequence[AnyAgent] = (),
    allowed_hosts: Collection[str] = (),
    max_body_size: int | None = None,
) -> FastAPI:
    """The server's application: the page at `/`, all agents' session API under `/api`, `/docs`.

    It opens the store when it starts and closes it when it stops.

    Args:
        store: A store, or where it is; see `mythline.open_store`.
        agents: The agents that can be run, by their ids, or those whose names are their ids;
            besides those that `MYTHLINE_AGENTS` names.
        allowed_hosts: Names to answer to besides `localhost`, IP addresses and those of
            `MYTHLINE_ALLOWED_HOSTS`; `*` for any.
        max_body_size: Bytes that a request may have; `MYTHLINE_MAX_BODY_SIZE` if `None`.

    Raises:
        InvalidInput: If no store can be where `store` says, or an agent can't be run.
    """
    settings = read_settings()
    runnable = import_agents(settings.agents) | by_id(agents)
    opened = store if isinstance(store, Store) else open_store(store)
    keeper = retention.Keeper(opened, settings)
    app = FastAPI(
        title="Mythline",
        summary="Sessions for Pydantic AI agents.",
        version="1",  # of the API
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            HTTPException: _answer,
            RequestValidationError: _answer,
            Exception: _answer_unexpected,
        },
    )
    app.add_middleware(Guard, allowed_hosts=(*settings.allowed_hosts, *allowed_hosts))
    sessions = session_router(
        opened,
        prefix="/api",
        agents=runnable,
        max_body_size=max_body_size or settings.max_body_size,
    )
    app.include_router(sessions)
    app.state.mythline_keeper = keeper
    app.include_router(_own)
    app.include_router(page)
    app.include_router(_stored(sessions, keeper))
    return app


_own = APIRouter(
    route_class=ProblemRoute, tags=["server"], generate_unique_id_function=lambda r: r.name
)


@_own.get("/health")
async def health() -> schemas.Health:
    """Whether the server runs."""
    return schemas.Health()


async def ready(request: Request) -> life_schemas.Ready:
    """Whether the store answers."""
    await request.state.mythline_store.get(SessionKey(None, "_", "_"))
    return life_schemas.Ready()


@_own.get("/docs", include_in_schema=False)
async def docs() -> HTMLResponse:
    """The API's documents, with Swagger UI from a CDN: the one page that loads what isn't ours."""
    page = get_swagger_ui_html(openapi_url="openapi.json", title="Mythline")
    page.headers["Content-Security-Policy"] = _policy_for(bytes(page.body).decode())
    return page


close_paths(_own)


def _stored(sessions: APIRouter, keeper: retention.Keeper) -> APIRouter:
    """The server's routes that need the store, opened as for those of the sessions."""
    router = APIRouter(
        route_class=ProblemRoute,
        tags=["server"],
        dependencies=sessions.dependencies,
        lifespan=keeper.lifespan,
        generate_unique_id_function=lambda route: route.name,
    )
    router.add_api_route("/ready", ready, methods=["GET"], responses=problems())
    router.add_api_route(
        "/api/doctor",
        doctor.doctor,
        methods=["GET"],
        response_class=StreamingResponse,
        responses=doctor.ANSWER | problems(),
    )
    router.routes.extend(retention.routes.routes)
    close_paths(router)
    return router


def _policy_for(html: str) -> str:
    """A policy that lets a page load what it names, and its inline script by its hash."""
    inline = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    hashes = [hashlib.sha256(script.encode()).digest() for script in inline]
    scripts = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes]
    scripts += re.findall(r'<script src="([^"]+)"', html)
    styles = re.findall(r'rel="stylesheet" href="([^"]+)"', html)
    icons = re.findall(r'rel="shortcut icon" href="([^"]+)"', html)
    return (
        "default-src 'none'; connect-src 'self'; frame-ancestors 'none'; "
        f"script-src {' '.join(scripts)}; style-src 'unsafe-inline' {' '.join(styles)}; "
        f"img-src data: {' '.join(icons)}"
    )


async def _answer(request: Request, error: Exception) -> Response:
    return problem_of(error, request)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    """As `_answer`; outside of `Guard`, so the headers are set here."""
    response = problem_of(error, request)
    response.headers.update(HEADERS)
    return response
