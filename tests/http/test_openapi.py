"""The routes as they are declared, and the API against its own description."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mythline import open_store, session_router
from mythline.http import create_app
from mythline.ids import RESERVED
from tests.http.support import BASE, Client

VERBS = {
    "list_sessions",
    "delete_all_sessions",
    "get_latest_session",
    "create_session",
    "import_session",
    "get_session",
    "delete_session",
    "session_exists",
    "get_session_info",
    "get_messages",
    "get_file",
    "append_messages",
    "export_session",
    "export_sessions",
    "search_sessions",
    "update_session",
    "fork_session",
    "branch_session",
    "list_branches",
    "restore_session",
    "list_trash",
    "empty_trash",
    "prune_sessions",
    "session_events",
}
OF_ALL = {"list_agents", "search", "events"}
OF_SERVER = {"health", "ready", "get_retention", "doctor"}
STREAMS = ("/events",)


@contextmanager
def ignoring_unsatisfiable() -> Generator[None]:
    """Some operations take nothing that could be wrong."""
    with suppress(Unsatisfiable):
        yield


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of an application's document, with its path and method."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of operation ids that are there twice
        document = app.openapi()
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """It is only looked at: nothing is asked of it, so its store is never opened."""
    return create_app(tmp_path_factory.mktemp("described"))


def test_operation_ids_are_verbs(app: FastAPI):
    assert {
        operation["operationId"] for _, _, operation in operations(app)
    } == VERBS | OF_ALL | OF_SERVER


def test_with_agents_there_are_the_verbs_that_run_them(place: Path):
    app = create_app(place, agents=[Agent(TestModel(), name="researcher")])
    found = {operation["operationId"]: operation for _, _, operation in operations(app)}
    assert found.keys() == VERBS | OF_ALL | OF_SERVER | {"run_agent", "chat", "ag_ui"}
    for verb in ("run_agent", "chat", "ag_ui"):
        assert "text/event-stream" in found[verb]["responses"]["200"]["content"]
        assert "409" in found[verb]["responses"]
        assert "application/json" in found[verb]["requestBody"]["content"]


def test_operation_ids_of_two_agents_differ(place: Path):
    app = FastAPI()
    store = open_store(place)
    for agent in ("one", "two"):
        app.include_router(session_router(store, agent, prefix=f"/{agent}"))
    found = [operation["operationId"] for _, _, operation in operations(app)]
    assert sorted(found) == sorted(f"{verb}_{agent}" for verb in VERBS for agent in ("one", "two"))


def test_no_path_with_an_id_comes_before_one_that_it_would_take(app: FastAPI):
    routes = [
        (route.path or "", route.methods or set())
        for route in iter_route_contexts(app.routes)
        if route.path
    ]
    assert len(routes) > len(VERBS)
    for index, (path, methods) in enumerate(routes):
        pattern = re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path))
        for later, later_methods in routes[index + 1 :]:
            if "{session_id}" in path and "{session_id}" not in later and pattern.fullmatch(later):
                shared = (methods & later_methods) if methods and later_methods else {"any"}
                assert not shared, f"{path} takes {later}"


def test_every_word_in_the_place_of_an_id_is_reserved(app: FastAPI):
    """Else a session could have a route's name."""
    words = {
        match[1]
        for route in iter_route_contexts(app.routes)
        if (match := re.fullmatch(r".*/sessions/([a-z]+)", route.path or ""))
    }
    assert {"latest", "create", "import", "search", "trash", "events", "prune"} <= words <= RESERVED


def test_every_route_that_is_declared_is_reached(idle: Client):
    """By its own path: none is taken by one that comes before it."""
    app: Any = idle.app
    for route in iter_route_contexts(app.routes):
        if not isinstance(route.original_route, APIRoute):
            continue
        path = (
            (route.path or "")
            .replace(":path}", "}")
            .format(
                agent_id="researcher", session_id="x", entry_id="e", number=0, version="v", name="n"
            )
        )
        if path.endswith(STREAMS):  # they have no end
            assert idle.head(path).headers["content-type"].startswith("text/event-stream")
            assert idle.get(f"{path}?x=y").status_code == 422
            continue
        for method in route.methods or ():
            response = idle.request(method, path)
            assert response.status_code != 405, (method, path)
            assert "There is nothing at this path" not in response.text, (method, path)


def test_every_operation_says_what_it_answers(app: FastAPI):
    for path, method, operation in operations(app):
        answers = operation["responses"]
        assert operation.get("description") or operation.get("summary")
        (good,) = [status for status in answers if status.startswith("2")]
        kind = "text/event-stream" if path.endswith(STREAMS) else "application/json"
        kind = "application/octet-stream" if "/files/" in path else kind
        kind = "application/zip" if path.endswith("/sessions/export") else kind
        schema = answers[good]["content"][kind]["schema"]
        assert list(answers[good]["content"]) == [kind] or path.endswith("/export")
        assert "$ref" in schema or schema["type"] in ("array", "string"), (path, method)
        for status, response in answers.items():
            if status[0] in "45":
                assert list(response["content"]) == ["application/problem+json"]
        if "/sessions/{session_id}" in path and not path.endswith("/exists"):
            assert "404" in answers
        assert "HTTPValidationError" not in str(operation)


def test_bodies_are_described(app: FastAPI):
    document = app.openapi()["paths"]
    base = "/api/agents/{agent_id}/sessions"
    kinds = document[f"{base}/import"]["post"]["requestBody"]["content"]
    assert set(kinds) == {"application/json", "multipart/form-data"}
    append = document[f"{base}/{{session_id}}/messages"]["post"]
    assert "messages" in str(append["requestBody"])
    headers = {p["name"].lower() for p in append["parameters"] if p["in"] == "header"}
    assert headers == {"if-match", "idempotency-key"}


def test_the_document_has_no_version_of_the_program(app: FastAPI):
    from importlib.metadata import version

    assert version("mythline") not in str(app.openapi())


# The API against its description


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Client]:
    app = create_app(tmp_path, agents={"researcher": Agent(TestModel())}, max_body_size=1 << 20)
    with Client(app) as client:
        yield client


@pytest.mark.filterwarnings("ignore::UserWarning")  # what an adapter leaves out of a request
def test_requests_made_from_the_description_get_the_answers_it_describes(
    running: Client, subtests: pytest.Subtests
):
    idle = running
    if not idle.get(f"{BASE}/0/exists").json()["exists"]:
        idle.create("0")  # the shortest id, which generated requests hit now and then
        idle.add("0", "Hello")
    app: Any = idle.app
    schema = schemathesis.openapi.from_dict(app.openapi())
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
        response_headers_conformance,
    ]
    statuses: Counter[int] = Counter()
    bounds = settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],  # pyright: ignore[reportArgumentType]
    )
    for found in schema.exclude(path_regex="/events$").get_all_operations():  # they have no end
        operation = cast("Any", found).ok()
        for mode in GenerationMode:

            @bounds
            @given(operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                wanted = requests.Request(**case.as_transport_kwargs("http://localhost")).prepare()
                response = idle.request(
                    str(wanted.method),
                    str(wanted.url),
                    content=cast("bytes | None", wanted.body),
                    headers={**wanted.headers},
                )
                case.validate_response(response, checks=checks)
                statuses[response.status_code] += 1

            with subtests.test(operation.label, mode=mode.value), ignoring_unsatisfiable():
                ask()
    assert {200, 201, 400, 404, 422} <= statuses.keys(), statuses
    assert sum(statuses.values()) > 150
