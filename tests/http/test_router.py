"""The router in an application of the user's own: owners, errors, and the store's life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.testclient import TestClient

from mythline import open_store, session_router
from mythline.errors import InvalidId, StoreClosed, StoreTooNew, StoreUnavailable
from mythline.store import SessionKey
from tests.http.support import JSON, Client, Recording, answer, call_app, dumps, turn

BASE = "/api/research/sessions"


def current_user(user: Annotated[str | None, Header()] = None) -> str | None:
    if user == "nobody":
        raise HTTPException(401, "Log in.", {"WWW-Authenticate": "Bearer"})
    return user


def application(store: Any, **options: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(
        session_router(store, "researcher", prefix="/research", **options), prefix="/api"
    )
    return app


@pytest.fixture
def store(place: Path) -> Recording:
    return Recording(open_store(place))


# Routes


def test_the_routes_of_one_agent(store: Recording):
    with Client(application(store)) as client:
        session_id = client.create(base=BASE)
        response = client.post(f"{BASE}/create", json={"session_id": "x"})
        assert response.headers["location"] == f"{BASE}/x"
        client.add("x", "Hello", base=BASE)
        assert client.ids(BASE) == ["x", session_id]
        assert client.get(f"{BASE}/latest").json() == {"session_id": "x"}
        assert len(client.get(f"{BASE}/x").json()["messages"]) == 2
        assert client.get(f"{BASE}/x/info").json()["agent_id"] == "researcher"
        assert client.delete(f"{BASE}?confirm=true").json() == {"deleted": 2}


def test_without_an_agent_the_path_names_it(store: Recording):
    app = FastAPI()
    app.include_router(session_router(store, prefix="/v1"))
    with Client(app) as client:
        client.create("x", base="/v1/agents/writer/sessions")
        assert client.get("/v1/agents").json()[0]["agent_id"] == "writer"


def test_an_agent_that_is_none_is_refused_at_once(store: Recording):
    with pytest.raises(InvalidId):
        session_router(store, "../x")


def test_links_lead_to_where_the_application_is_mounted(store: Recording):
    outer = FastAPI()
    outer.mount("/deep er", application(store))
    with Client(outer) as client:
        base = f"/deep%20er{BASE}"
        for name in ("a", "b"):
            response = client.post(f"{base}/create", json={"session_id": name})
            assert response.headers["location"] == f"{base}/{name}"
            assert client.get(response.headers["location"]).status_code == 200
        response = client.get(f"{base}?limit=1")
        assert [s["session_id"] for s in client.get(response.links["next"]["url"]).json()] == ["a"]


def test_links_are_those_of_the_client_where_a_proxy_cuts_paths(store: Recording):
    with TestClient(application(store), root_path="/behind a proxy/") as client:
        for name in ("a", "b"):
            response = client.post(f"{BASE}/create", json={"session_id": name})
            assert response.headers["location"] == f"/behind%20a%20proxy{BASE}/{name}"
        link = client.get(f"{BASE}?limit=1").links["next"]["url"]
        assert link.startswith(f"/behind%20a%20proxy{BASE}?limit=1&cursor=")


# Owners


@pytest.mark.parametrize("owner", [current_user, Depends(current_user)])
def test_owners_never_learn_of_each_other(store: Recording, owner: Any):
    with Client(application(store, owner=owner)) as client:

        def ask(user: str | None, method: str, path: str, **options: Any) -> Any:
            headers = {"User": user} if user else {}
            return client.request(method, f"{BASE}{path}", headers=headers, **options)

        for user in ("alice", "bob", None):
            made = ask(user, "POST", "/create", json={"session_id": "same", "title": user})
            assert made.status_code == 201
            ask(user, "POST", "/same/messages", json={"messages": turn(f"I am {user}")})
        ask("alice", "POST", "/create", json={"session_id": "hers"})
        hers = ask("alice", "GET", "/hers/info").headers["etag"]

        for user in ("alice", "bob", None):
            assert f"I am {user}" in ask(user, "GET", "/same").text
        assert [s["session_id"] for s in ask("bob", "GET", "").json()] == ["same"]
        assert ask("bob", "GET", "/latest").json() == {"session_id": "same"}

        for method, path, options in [
            ("GET", "", {}),
            ("GET", "/info", {}),
            ("GET", "/exists", {}),
            ("GET", "/messages", {}),
            ("GET", "/export", {}),
            ("GET", "/messages", {"params": {"before": "x"}}),
            ("DELETE", "", {}),
            ("DELETE", "?permanent=true", {}),
            ("POST", "/messages", {"json": {"messages": turn("Hi")}}),
        ]:
            for user in ("bob", None):
                for tag in ({}, {"If-Match": hers}, {"If-None-Match": hers}):
                    headers = {**tag, **({"User": user} if user else {})}
                    other, none = (
                        client.request(method, f"{BASE}/{name}{path}", headers=headers, **options)
                        for name in ("hers", "none")
                    )
                    assert other.status_code == none.status_code
                    assert other.text.replace("hers", "none") == none.text
                    assert {**other.headers, "date": ""} == {**none.headers, "date": ""}

        assert ask("bob", "DELETE", "?confirm=true").json() == {"deleted": 1}
        assert ask("alice", "GET", "/same/exists").json() == {"exists": True}
        assert ask(None, "GET", "/same/exists").json() == {"exists": True}
        assert ask("bob", "POST", "/create", json={"session_id": "hers"}).status_code == 201
        assert ask("alice", "GET", "/hers/info").headers["etag"] == hers
        assert ask("alice", "DELETE", "/same").status_code == 200
        assert ask("alice", "GET", "/same/exists").json() == {"exists": False}
        assert ask(None, "GET", "/same/exists").json() == {"exists": True}


def test_a_session_that_was_saved_with_a_scope_is_out_of_reach_without_an_owner(
    store: Recording,
):
    """Pydantic AI's contract lets the library find such a session; the API doesn't."""
    from pydantic_ai.conversation import Conversation

    app = application(store)
    with Client(app) as client:
        portal = client.portal
        assert portal is not None
        sessions = store.sessions("researcher")

        async def save() -> None:
            await sessions.save(Conversation(messages=[], conversation_id="x"), scope="alice")

        portal.call(save)
        assert client.get(f"{BASE}/x/exists").json() == {"exists": False}
        assert client.get(f"{BASE}/x").status_code == 404
        assert client.delete(f"{BASE}/x").status_code == 404
        assert client.delete(f"{BASE}?confirm=true").json() == {"deleted": 0}
        assert portal.call(sessions.read_record, "x") is not None


@pytest.mark.parametrize("bad", ["", "x" * 257, 7, "\ud800", ["alice"]])
def test_an_owner_that_is_none_is_refused(store: Recording, bad: Any):
    """An empty name, above all, is not "no owner"."""
    with Client(application(store, owner=lambda: bad)) as client:
        assert client.get(BASE).status_code == 422
        assert client.post(f"{BASE}/create").status_code == 422


def test_owners_with_an_agent_in_the_path(store: Recording):
    app = FastAPI()
    app.include_router(session_router(store, owner=current_user))
    with Client(app) as client:
        client.post("/agents/a/sessions/create", headers={"User": "alice"})
        assert client.get("/agents").json() == []
        assert len(client.get("/agents", headers={"User": "alice"}).json()) == 1
        assert client.get("/agents/a/sessions", headers={"User": "nobody"}).status_code == 401


# Errors


def test_errors_are_problems_though_the_application_has_handlers_of_its_own(store: Recording):
    app = application(store, owner=current_user)

    @app.exception_handler(Exception)
    @app.exception_handler(HTTPException)
    async def never(_request: Request, _error: Exception) -> JSONResponse:
        raise AssertionError("the router left an error to the application")

    with Client(app) as client:
        for method, path, body, status in [
            ("GET", "/none", None, 404),
            ("GET", "/latest", None, 404),
            ("GET", "/search", None, 422),
            ("GET", "?limit=0", None, 422),
            ("GET", "/a.b", None, 422),
            ("PUT", "/x", None, 405),
            ("POST", "/import", {}, 400),
            ("POST", "/create", {"x": 1}, 422),
            ("DELETE", "", None, 400),
        ]:
            response = client.request(method, f"{BASE}{path}", json=body)
            assert response.status_code == status
        response = client.get(BASE, headers={"User": "nobody"})
        assert (response.status_code, response.json()["detail"]) == (401, "Log in.")
        assert response.headers["www-authenticate"] == "Bearer"
        store.error = RuntimeError("a secret")
        assert client.get(BASE).status_code == 500


def test_what_a_dependency_raises_is_left_to_the_application(store: Recording):
    class NotLoggedIn(Exception):
        pass

    def owner() -> str:
        raise NotLoggedIn

    app = application(store, owner=owner)

    @app.exception_handler(NotLoggedIn)
    async def log_in(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"log": "in"}, 302)

    with TestClient(app) as client:
        assert client.get(BASE, follow_redirects=False).json() == {"log": "in"}


def test_what_a_dependency_says_beside_text(store: Recording):
    def owner() -> str:
        raise HTTPException(403, {"why": ["a", "b"]})

    with TestClient(application(store, owner=owner)) as client:
        response = client.get(BASE)
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["errors"] == {"why": ["a", "b"]}


def test_the_rest_of_the_application_keeps_its_errors(store: Recording):
    with TestClient(application(store)) as client:
        assert client.get("/nothing").json() == {"detail": "Not Found"}


def test_errors_of_pydantic_ai(store: Recording):
    from pydantic_ai.conversation_store import ConversationConflict
    from pydantic_ai.exceptions import UserError

    with Client(application(store)) as client:
        for error, status in [(ConversationConflict("x"), 409), (UserError("Don't."), 422)]:
            store.error = error
            response = client.get(f"{BASE}/x/info")
            assert response.status_code == status


def test_a_limit_of_the_routers_own(store: Recording):
    with Client(application(store, max_body_size=1000)) as client:
        client.create("x", base=BASE)
        body = dumps({"messages": [answer("x" * 1000)]})
        response = client.post(f"{BASE}/x/messages", content=body, headers=JSON)
        assert response.status_code == 413
        assert client.add("x", "Hello", base=BASE)


# Methods


def test_methods(store: Recording):
    with Client(application(store)) as client:
        client.create("x", base=BASE)
        client.add("x", "Hello", base=BASE)
        for path, allowed in [
            ("", "DELETE, GET, HEAD, OPTIONS"),
            ("/trash", "DELETE, GET, HEAD, OPTIONS"),
            ("/prune", "OPTIONS, POST"),
            ("/x/fork", "OPTIONS, POST"),
            ("/x/branch", "OPTIONS, POST"),
            ("/x/restore", "OPTIONS, POST"),
            ("/x/branches", "GET, HEAD, OPTIONS"),
            ("/latest", "GET, HEAD, OPTIONS"),
            ("/create", "OPTIONS, POST"),
            ("/import", "OPTIONS, POST"),
            ("/x", "DELETE, GET, HEAD, OPTIONS, PATCH"),
            ("/x/exists", "GET, HEAD, OPTIONS"),
            ("/x/messages", "GET, HEAD, OPTIONS, POST"),
        ]:
            for method in {"PUT", "PATCH", "TRACE", "BREW"} - set(allowed.split(", ")):
                response = client.request(method, f"{BASE}{path}")
                assert (response.status_code, response.headers["allow"]) == (405, allowed)
            response = client.options(f"{BASE}{path}")
            assert (response.status_code, response.headers["allow"]) == (204, allowed)
            if "GET" in allowed:
                got, head = client.get(f"{BASE}{path}"), client.head(f"{BASE}{path}")
                assert (head.status_code, head.content) == (200, b"")
                assert dict(head.headers) == dict(got.headers)
                start, *rest = call_app(client, "HEAD", f"{BASE}{path}")
                assert (start["status"], b"".join(part["body"] for part in rest)) == (200, b"")
            else:
                assert client.head(f"{BASE}{path}").status_code == 405
        assert client.head(f"{BASE}/none").status_code == 404
        assert client.delete(f"{BASE}/latest").status_code == 405
        for method in ("POST", "PUT", "OPTIONS"):  # a route to come, not a session
            assert client.request(method, f"{BASE}/run").status_code == 404


# The store's life


class Away(Recording):
    """A store that takes a moment to find that it can't be opened, so that others wait for it."""

    async def open(self) -> None:
        await asyncio.sleep(0)
        raise StoreUnavailable("The store can't be reached. Try again.")


def is_open(store: Recording, client: TestClient) -> bool:
    async def ask() -> bool:
        try:
            await store.inner.get(SessionKey(None, "a", "x"))
        except StoreClosed:
            return False
        return True

    assert client.portal is not None
    return client.portal.call(ask)


def test_the_router_opens_and_closes_the_store(store: Recording):
    app = application(store)
    for number in (1, 2):  # an application can be started again
        with Client(app) as client:
            assert store.opened == number
            assert client.get(BASE).status_code == 200
        assert store.closed == number


def test_a_store_that_the_application_opens_is_left_to_it(store: Recording):
    closed_by_then: list[int] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with store:
            yield
            closed_by_then.append(store.closed)
            await store.sessions("researcher").create("at-the-end")

    app = FastAPI(lifespan=lifespan)
    app.include_router(session_router(store, "researcher"))
    with Client(app) as client:
        client.create(base="/sessions")
    assert (store.opened, store.closed, closed_by_then) == (1, 1, [0])


def test_two_routers_share_a_store(store: Recording):
    app = FastAPI()
    for name in ("one", "two"):
        app.include_router(session_router(store, name, prefix=f"/{name}"))
    with Client(app) as client:
        for name in ("one", "two"):
            client.create(name, base=f"/{name}/sessions")
            assert client.ids(f"/{name}/sessions") == [name]
        assert is_open(store, client)
    assert (store.opened, store.closed) == (1, 1)


@pytest.mark.local  # each request has an event loop of its own here
def test_without_a_lifespan_the_first_request_opens_the_store(store: Recording):
    """As in an application that is mounted in another, whose lifespan nobody runs."""
    client = Client(application(store))
    assert store.opened == 0
    client.create("x", base=BASE)
    assert client.ids(BASE) == ["x"]
    assert store.opened == 1


async def test_requests_at_the_same_time_open_the_store_once(store: Recording):
    transport = httpx.ASGITransport(application(store))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answers = await asyncio.gather(*(client.get(BASE) for _ in range(20)))
    assert {response.status_code for response in answers} == {200}
    assert store.opened == 1
    await store.close()


def test_the_store_may_be_opened_from_one_event_loop_after_the_other(store: Recording):
    """As by a test that makes a loop for each request, while the database is away."""
    app = application(Away(store.inner))

    async def ask() -> set[int]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answers = await asyncio.gather(*(client.get(BASE) for _ in range(5)))
        return {response.status_code for response in answers}

    assert asyncio.run(ask()) == {503}
    assert asyncio.run(ask()) == {503}


def test_a_store_that_cant_be_opened_yet(store: Recording):
    store.error = StoreUnavailable("The store can't be reached. Try again.")
    with Client(application(store)) as client:
        response = client.get(BASE)
        assert (response.status_code, "retry-after" in response.headers) == (503, True)
        store.error = StoreTooNew(9, 1)
        assert client.get(BASE).status_code == 503
        store.error = None
        assert client.get(BASE).status_code == 200
    assert store.closed == 1


def test_an_owner_may_be_a_generator(store: Recording):
    ended: list[str] = []

    async def owner() -> AsyncGenerator[str]:
        yield "alice"
        ended.append("alice")

    with Client(application(store, owner=owner)) as client:
        client.create("x", base=BASE)
        assert client.ids(BASE) == ["x"]
    assert ended == ["alice", "alice"]
