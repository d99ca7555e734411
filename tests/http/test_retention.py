"""The server's schedule of pruning, and whether it is ready."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mythline import open_store
from mythline.errors import InvalidInput, StoreUnavailable
from mythline.http import create_app, retention
from mythline.settings import Settings, read_settings
from tests.http.support import BASE, Client, Recording


@pytest.fixture
def store(place: Path) -> Recording:
    return Recording(open_store(place))


def setting(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"MYTHLINE_{name.upper()}", value)


# Settings


def test_nothing_is_pruned_unless_it_is_set(place: Path, caplog: pytest.LogCaptureFixture):
    with Client(create_app(place)) as client:
        client.create("x")
        assert client.get("/api/retention").json() == {
            "trash_days": 30.0,
            "schedule": None,
            "last_run": None,
            "would_prune": [],
        }
        assert client.ids() == ["x"]
    assert caplog.records == []


def test_settings(monkeypatch: pytest.MonkeyPatch):
    setting(monkeypatch, prune_older_than="90d", prune_keep="500", prune_every="12h")
    settings = read_settings()
    assert settings.prune_older_than == timedelta(days=90)
    assert (settings.prune_keep, settings.prune_max_bytes) == (500, None)
    assert settings.prune_every == timedelta(hours=12)
    setting(monkeypatch, prune_older_than="", prune_keep="", prune_every="")
    assert read_settings() == Settings()
    assert Settings().prune_every == timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prune_older_than", "90"),
        ("prune_older_than", "soon"),
        ("prune_keep", "-1"),
        ("prune_keep", "some"),
        ("prune_max_bytes", "-1"),
        ("prune_every", "0s"),
        ("prune_every", "daily"),
        ("max_body_size", "1"),
    ],
)
def test_a_setting_that_cant_be_is_named(
    monkeypatch: pytest.MonkeyPatch, place: Path, name: str, value: str
):
    setting(monkeypatch, **{name: value})
    with pytest.raises(InvalidInput, match=f"MYTHLINE_{name.upper()}: "):
        create_app(place)


@pytest.mark.parametrize(
    ("value", "days"), [("", 30.0), ("0", 0.0), ("7", 7.0), ("0.5", 0.5), ("Never", None)]
)
def test_how_long_the_trash_keeps(
    monkeypatch: pytest.MonkeyPatch, place: Path, value: str, days: float | None
):
    setting(monkeypatch, trash_days=value)
    with Client(create_app(place)) as client:
        assert client.get("/api/retention").json()["trash_days"] == days
        client.create("x")
        client.delete(f"{BASE}/x")
        trashed = client.get(f"{BASE}/trash").json()
        assert len(trashed) == (days != 0)
        for found in trashed:
            assert (found["purges"] is None) is (days is None)
    assert open_store(place, trash_days=3).trash_days == 3
    assert open_store(place, trash_days="never").trash_days is None


@pytest.mark.parametrize("value", ["-1", "30d", "nan", "inf", "36501", "soon"])
def test_days_that_cant_be(monkeypatch: pytest.MonkeyPatch, place: Path, value: str):
    setting(monkeypatch, trash_days=value)
    with pytest.raises(InvalidInput, match="MYTHLINE_TRASH_DAYS"):
        open_store(place)


# The schedule


def test_the_schedule_is_announced_and_shown(
    monkeypatch: pytest.MonkeyPatch, place: Path, caplog: pytest.LogCaptureFixture
):
    setting(monkeypatch, prune_older_than="90d", prune_keep="2", prune_max_bytes="100000")
    with Client(create_app(place)) as client:
        (announced,) = [record for record in caplog.records if record.name == "mythline.http"]
        assert announced.levelno == logging.WARNING
        for words in ("Every 1d", "the trash", "not saved for 90d", "last 2 of", "100000 bytes"):
            assert words in announced.getMessage()
        for name in "abc":
            client.create(name)
        size = client.get(f"{BASE}/a/info").json()["size"]
        shown = client.get("/api/retention").json()
        assert datetime.fromisoformat(shown["schedule"].pop("next_run"))
        assert shown["schedule"] == {
            "older_than": "90d",
            "keep": 2,
            "max_bytes": 100_000,
            "every": "1d",
        }
        assert shown["would_prune"] == [{"agent_id": "researcher", "pruned": 1, "bytes": size}]
        assert shown["last_run"] is None
        assert len(client.ids()) == 3  # nothing was done by looking


def test_without_a_trash_the_announcement_says_so(
    monkeypatch: pytest.MonkeyPatch, store: Recording, caplog: pytest.LogCaptureFixture
):
    setting(monkeypatch, prune_keep="1")
    store.trash_days = 0
    with Client(create_app(store)) as client:
        assert "for good" in caplog.text
        assert client.get("/api/retention").json()["trash_days"] == 0
    store.trash_days = None
    with Client(create_app(store)) as client:
        assert client.get("/api/retention").json()["trash_days"] is None


def test_the_server_prunes_on_schedule(
    monkeypatch: pytest.MonkeyPatch, store: Recording, caplog: pytest.LogCaptureFixture
):
    """Every agent's sessions of no owner; those of owners stay."""
    setting(monkeypatch, prune_keep="1", prune_every="1s")
    pruned = asyncio.Event()
    run = retention.Keeper.run

    async def noting(self: Any) -> None:
        await run(self)
        pruned.set()

    monkeypatch.setattr(retention.Keeper, "run", noting)
    caplog.set_level(logging.INFO)
    with Client(create_app(store)) as client:
        for base in (BASE, BASE.replace("researcher", "writer")):
            for name in "abc":
                client.create(name, base=base)
        portal = client.portal
        assert portal is not None
        hers = store.sessions("researcher", "alice")
        for name in "ab":
            portal.call(hers.create, name)
        portal.call(pruned.wait)
        if len(client.ids(BASE)) > 1:  # it ran before they were made
            pruned.clear()
            portal.call(pruned.wait)
        assert client.ids() == ["c"]
        assert len(portal.call(hers.list)) == 2
        assert [each["session_id"] for each in client.get(f"{BASE}/trash").json()] == ["b", "a"]
        last = client.get("/api/retention").json()["last_run"]
        assert last["error"] is None
        assert last["started"].endswith("Z")
    assert "Pruned" in caplog.text


async def test_a_run_that_fails_is_told_and_tried_again(store: Recording):
    async with store:
        keeper = retention.Keeper(store, Settings(prune_keep=0))
        await store.sessions("a").create("x")
        for error, told in [
            (StoreUnavailable("Not now. Try again."), "Not now. Try again."),
            (RuntimeError("a secret"), "Something went wrong in the server. It was logged."),
        ]:
            store.error = error
            await keeper.run()
            store.error = None
            last = (await keeper.state()).last_run
            assert last is not None
            assert (last.error, last.pruned) == (told, 0)
        await keeper.run()
        last = (await keeper.state()).last_run
        assert last is not None
        assert (last.error, last.pruned, last.agents[0].agent_id) == (None, 1, "a")


def test_stopping_doesnt_wait_for_the_schedule(monkeypatch: pytest.MonkeyPatch, place: Path):
    setting(monkeypatch, prune_keep="1", prune_every="30d")
    with Client(create_app(place)) as client:
        shown = client.get("/api/retention").json()["schedule"]
        soon = datetime.fromisoformat(shown["next_run"]) - datetime.now().astimezone()
        assert soon <= retention.FIRST


# Ready


def test_ready_is_when_the_store_answers(store: Recording):
    with Client(create_app(store)) as client:
        assert client.get("/ready").json() == {"status": "ready"}
        store.error = StoreUnavailable("The store can't be reached. Try again.")
        response = client.get("/ready")
        assert (response.status_code, "retry-after" in response.headers) == (503, True)
        assert client.get("/health").status_code == 200
        store.error = None
        assert client.get("/ready").status_code == 200


def test_ready_opens_a_store_that_couldnt_be_opened_before(store: Recording):
    store.error = StoreUnavailable("The store can't be reached. Try again.")
    with Client(create_app(store)) as client:
        assert client.get("/ready").status_code == 503
        store.error = None
        assert client.get("/ready").status_code == 200
