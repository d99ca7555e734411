"""Routes that refuse query parameters they don't know, so that a misspelt filter isn't ignored."""

from __future__ import annotations

from typing import Any

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Query
from fastapi.security import APIKeyQuery

from ..errors import InvalidInput


async def _check(request: Request) -> None:
    """Refuse what neither the route takes nor a dependency that an application set before it.

    Raises:
        InvalidInput: If there is an unknown parameter; names those that are known.
    """
    if not request.query_params:
        return
    # The route as it was included, with what the application's dependencies take.
    scope: dict[str, Any] = request.scope.get("fastapi", {})
    dependant: Dependant = (
        scope.get("effective_route_context") or request.scope["route"]
    ).dependant
    known = {
        field.alias for field in get_flat_params(dependant) if isinstance(field.field_info, Query)
    } | _keys(dependant)
    unknown = sorted(set(request.query_params.keys()) - known)
    if unknown:
        shown = ", ".join(ascii(name)[:60] for name in unknown[:5])
        told = f"Known are {', '.join(sorted(known))}." if known else "All goes into the body."
        raise InvalidInput(f"Unknown parameters: {shown}. {told}")


def _keys(dependant: Dependant) -> set[str]:
    """The parameters that carry an API key."""
    own = {dependant.call.model.name} if isinstance(dependant.call, APIKeyQuery) else set[str]()
    return own.union(*(_keys(each) for each in dependant.dependencies))


CLOSED = Depends(_check)
"""A dependency of a route that takes no unknown query parameters."""
