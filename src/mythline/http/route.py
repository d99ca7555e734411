"""ProblemRoute: how the routes of a router of Mythline's answer errors and methods.

All of it happens inside the router, so that the handlers of an application that it is mounted in
are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Message, Receive, Scope, Send

from ..ids import RESERVED
from .problems import EXPECTED, LOG, MEDIA_TYPE, problem, problem_of

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def _guarded(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """An endpoint whose unexpected errors are problems; those of a user's dependency are not."""

    @wraps(endpoint)
    async def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return await endpoint(*args, **kwargs)
        except EXPECTED:
            raise
        except Exception as error:
            LOG.exception("Unexpected error in %s", endpoint.__name__)
            raise HTTPException(500) from error

    return guarded


class ProblemRoute(APIRoute):
    """A route that answers errors with problems, and HEAD as it answers GET."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, _guarded(endpoint), **options)

    def get_route_handler(self) -> Handler:
        """FastAPI's handler, with errors as problems."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except EXPECTED as error:
                response = problem_of(error, request)
            response.headers.setdefault("Cache-Control", "private, no-cache")
            return response

        return handle

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any route, but HEAD matches where GET does, unless the route is for HEAD."""
        if (
            scope["type"] == "http"
            and scope["method"] == "HEAD"
            and "HEAD" not in (self.methods or ())
        ):
            scope = {**scope, "method": "GET"}
        return super().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As any route, but without a body for HEAD; a body limit's answer is a problem."""
        if scope["type"] == "http":
            send = _limits_as_problems(scope, receive, send)
            if scope["method"] == "HEAD" and "GET" in (self.methods or ()):
                scope, send = {**scope, "method": "GET"}, _without_body(send)
        await super().handle(scope, receive, send)


def _without_body(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return sent


def _limits_as_problems(scope: Scope, receive: Receive, send: Send) -> Send:
    """Starlette's body limit answers plain text by itself; this sends a problem instead."""
    is_replaced = False

    async def sent(message: Message) -> None:
        nonlocal is_replaced
        if message["type"] == "http.response.start" and message["status"] == 413:
            headers = dict(message.get("headers", ()))
            if not headers.get(b"content-type", b"").startswith(MEDIA_TYPE.encode()):
                is_replaced = True
                await problem(413)(scope, receive, send)
        if not is_replaced:
            await send(message)

    return sent


class _OtherMethods:
    """Answers the methods that a path doesn't take."""

    def __init__(self, methods: set[str]) -> None:
        more = {"OPTIONS", *(["HEAD"] if "GET" in methods else [])}
        self._allowed = {"Allow": ", ".join(sorted(methods | more))}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path_params"].get("session_id") in RESERVED:
            answer = problem(404)
        elif scope["method"] == "OPTIONS":
            answer = Response(status_code=204, headers=self._allowed)
        else:
            answer = problem(405, headers=self._allowed)
        await answer(scope, receive, send)


def close_paths(router: APIRouter) -> None:
    """Let the paths that a router has by now take no other methods."""
    methods: dict[str, set[str]] = {}
    closed: set[str] = set()
    for route in router.routes:
        if isinstance(route, ProblemRoute):
            methods.setdefault(route.path, set()).update(route.methods or ())
        elif isinstance(route, Route):
            closed.add(route.path)
    for path in methods.keys() - closed:
        others = _OtherMethods(methods[path])
        router.routes.append(Route(path, others, include_in_schema=False))
