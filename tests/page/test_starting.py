"""The page of a store in which there is nothing yet, and of a server that can't answer."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.page.conftest import Look, served
from tests.page.material import prompt
from tests.page.support import expect


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a server without sessions."""
    folder = tmp_path_factory.mktemp("nothing")
    with served(folder, folder / "store") as address:
        yield address


@pytest.mark.parametrize("width", [1280, 390])
def test_it_says_how_to_begin(look: Look, width: int):
    page = look.page
    page.set_viewport_size({"width": width, "height": 800})
    look.open()
    page.get_by_role("heading", name="No sessions yet").wait_for()
    expect(page.get_by_label("The agent's id")).to_be_visible()
    page.get_by_label("The agent's id").fill("no id!")
    page.keyboard.press("Enter")
    assert "session=" not in page.url


def test_a_server_that_fails_is_not_taken_for_an_empty_one(look: Look):
    look.expected = ("503",)
    problem = {"title": "Unavailable", "status": 503, "detail": "The store is away."}
    look.page.context.route(
        "**/api/agents", lambda route: route.fulfill(status=503, body=json.dumps(problem))
    )
    page = look.open()
    page.get_by_text("The store is away.").wait_for()
    expect(page.get_by_text("No sessions yet")).to_be_hidden()
    page.context.unroute("**/api/agents")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="No sessions yet").wait_for()


def test_the_first_session_can_be_imported(look: Look, tmp_path: Path):
    file = tmp_path / "from-elsewhere.json"
    file.write_text(json.dumps([prompt("Where am I?")]))
    page: Any = look.open()
    with page.expect_file_chooser() as chooser:
        page.get_by_label("Import files").click()
    chooser.value.set_files([file])
    page.get_by_label("The id of their agent").fill("traveller")
    page.get_by_role("button", name="Import", exact=True).click()
    page.get_by_role("link", name=re.compile("from-elsewhere")).click()
    page.locator(".item.user", has_text="Where am I?").wait_for()
    page.wait_for_url(re.compile("agent=traveller"))
