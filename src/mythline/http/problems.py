"""Errors as `application/problem+json` (RFC 9457).

An error's message says what to do and names nothing of the server; what went wrong inside is
logged.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from http.client import responses as phrases
from typing import Any, Final, cast

from fastapi.exceptions import RequestValidationError
from fastapi.utils import is_body_allowed_for_status_code
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.exceptions import UserError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..errors import MythlineError, RevisionConflict, SessionBusy, status_of

LOG: Final = logging.getLogger("mythline.http")
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = "5"  # seconds
MOST_ERRORS: Final = 20


class AgentFailed(Exception):
    """A run of an agent failed, for reasons that are the server's to know: they are logged."""

    def __init__(self, session_id: str, *, is_model: bool) -> None:
        self.session_id = session_id
        self.status = 502 if is_model else 500
        what = "The agent's model did not answer." if is_model else "The agent failed."
        super().__init__(f"{what} It was logged. The session has what it did; try again.")


EXPECTED: Final = (
    MythlineError,
    AgentFailed,
    ConversationConflict,
    UserError,
    RequestValidationError,
    HTTPException,
    ClientDisconnect,
)
"""What a request can end with that is no fault in the program."""

_DETAILS: Final = {
    400: "The body can't be read. Send valid JSON that doesn't nest deep.",
    404: "There is nothing at this path. /docs lists the paths.",
    405: "This path doesn't take that method. The Allow header lists those it takes.",
    413: "The body is larger than this server takes. Send less at a time.",
    500: "Something went wrong in the server. It was logged. Try again, or report it.",
}

_UNREADABLE: Final = "There was an error parsing the body"  # what FastAPI says of too deep JSON


def problem(
    status: int,
    detail: str | None = None,
    *,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem as a response.

    Args:
        status: The HTTP status.
        detail: What went wrong and what to do; a sentence for the status if `None`.
        kind: The name of its type, `SessionNotFound` say; `about:blank` if `None`.
        headers: More headers.
        members: More members of the problem.
    """
    phrase = phrases.get(status, "Problem")
    words = "" if kind is None else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).capitalize()
    content = {
        "type": f"urn:mythline:{words.lower().replace(' ', '-')}" if words else "about:blank",
        "title": words or phrase,
        "status": status,
        "detail": detail or _DETAILS.get(status, phrase),
    }
    # ASCII, as a name that a client sent may hold what UTF-8 doesn't
    body = json.dumps(content | members, default=str).encode()
    return Response(body, status, dict(headers or {}), MEDIA_TYPE)


def problem_of(error: Exception, request: Request) -> Response:
    """The problem for an error, which is logged if it is the server's."""
    match error:
        case MythlineError():
            return _of_ours(error, request)
        case AgentFailed():
            return problem(
                error.status, str(error), kind="AgentFailed", session_id=error.session_id
            )
        case ConversationConflict():
            return problem(409, str(error), kind="RevisionConflict")
        case UserError():
            return problem(422, str(error), kind="InvalidInput")
        case RequestValidationError():
            return _of_validation(error)
        case HTTPException():
            return _of_http(error)
        case ClientDisconnect():
            return problem(400, "The connection was closed before the request was whole.")
        case _:
            LOG.error("Unexpected error: %s %s", request.method, _path(request), exc_info=error)
            return problem(500)


def _of_ours(error: MythlineError, request: Request) -> Response:
    status = status_of(error)
    if isinstance(error, RevisionConflict) and "if-match" in request.headers:
        status = 412
    if status >= 500:
        LOG.error("%s: %s %s", error, request.method, _path(request), exc_info=error)
    headers = {"Retry-After": RETRY_AFTER} if status == 503 else None
    if isinstance(error, SessionBusy):
        headers = {"Retry-After": str(error.retry_after)}
    return problem(status, str(error), kind=type(error).__name__, headers=headers)


def _of_validation(error: RequestValidationError) -> Response:
    found = cast("list[dict[str, Any]]", list(error.errors()))
    errors = [
        {"loc": [_shortened(step) for step in each["loc"]], "msg": _shortened(each["msg"])}
        for each in found[:MOST_ERRORS]
    ]
    named = ", ".join(dict.fromkeys(".".join(map(str, each["loc"])) for each in errors))
    detail = f"The request isn't as it should be: {named}. `errors` says why."
    if found[0]["type"] == "json_invalid":
        detail = "The body is not JSON: `errors` says at which character. Send valid JSON."
    return problem(422, detail, kind="InvalidRequest", errors=errors)


def _of_http(error: HTTPException) -> Response:
    detail: Any = error.detail
    status = error.status_code
    if not is_body_allowed_for_status_code(status):
        return Response(status_code=status, headers=error.headers)
    if not isinstance(detail, str):
        return problem(status, headers=error.headers, errors=detail)
    is_default = detail in (phrases.get(status), _UNREADABLE) or status == 413
    return problem(status, None if is_default else detail, headers=error.headers)


def _path(request: Request) -> str:
    return ascii(request.scope["path"])[:200]


def _shortened(step: Any) -> Any:
    return step if isinstance(step, int) else str(step)[:200]


_SCHEMA: Final[dict[str, Any]] = {
    "title": "Problem",
    "description": "A problem (RFC 9457). `detail` says what to do.",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "description": "With 422: where and why.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["loc", "msg"],
                "properties": {
                    "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                    "msg": {"type": "string"},
                },
            },
        },
    },
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of these statuses, of 422 and of a store that can't answer."""
    every: tuple[int | str, ...] = (*sorted({*statuses, 422}), "5XX")
    content = {MEDIA_TYPE: {"schema": _SCHEMA}}
    return {
        status: {
            "description": phrases[status] if isinstance(status, int) else "The store can't answer",
            "content": content,
        }
        for status in every
    }
