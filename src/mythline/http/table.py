"""All routes of one agent's sessions, in the order in which they are tried."""

from __future__ import annotations

from fastapi import APIRouter

from . import branching, describing, events, finding, pruning, routes, transfer, trash
from .route import ProblemRoute, close_paths


def _joined() -> APIRouter:
    table = APIRouter(route_class=ProblemRoute)
    # Paths without an id come first, so that no id takes their place; and are closed by then,
    # or DELETE /sessions/latest would be about a session.
    for part in (
        finding.fixed,
        trash.fixed,
        pruning.fixed,
        events.fixed,
        routes.fixed,
        transfer.fixed,
    ):
        table.routes.extend(part.routes)
    close_paths(table)
    for part in (
        routes.routes,
        transfer.routes,
        describing.routes,
        branching.routes,
        trash.routes,
    ):
        table.routes.extend(part.routes)
    close_paths(table)
    return table


def _joined_for_all() -> APIRouter:
    table = APIRouter(route_class=ProblemRoute)
    for part in (routes.agents, finding.everywhere, events.everywhere):
        table.routes.extend(part.routes)
    close_paths(table)
    return table


of_agent = _joined()
"""Relative to an agent."""

of_all = _joined_for_all()
"""What is about all agents."""
