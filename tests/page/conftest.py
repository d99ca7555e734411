"""A server over a store of 10,000 sessions, and a browser that looks at it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.page import material
from tests.page.support import AGENT_MODULE, PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the server."""
    return tmp_path_factory.mktemp("page")


@contextmanager
def served(folder: Path, store: Path, *options: str) -> Generator[str]:
    """A server over a store, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = str(found.getsockname()[1])
    command = [sys.executable, "-m", "mythline", "serve", "--store", str(store), "--port", port]
    process = subprocess.Popen(
        [*command, *options],
        cwd=folder,
        env={**os.environ, "MYTHLINE_VIEWS": "off"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    log: list[str] = []
    reader = Thread(target=log.extend, args=(process.stdout,), daemon=True)
    try:
        for line in process.stdout:
            log.append(line)
            if "Started worker" in line:
                break
        assert process.poll() is None, "".join(log)
        # or a server that says much would wait for someone to read it
        reader.start()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)
        if reader.ident is not None:
            reader.join()
        process.stdout.close()


@pytest.fixture(scope="session")
def base(folder: Path) -> Generator[str]:
    """The address of the server."""
    asyncio.run(material.fill(folder / "store"))
    (folder / "my_agents.py").write_text(AGENT_MODULE)
    with served(folder, folder / "store", "--agent", "my_agents:companion") as address:
        yield address


@pytest.fixture(scope="session")
def api(base: str) -> Iterator[httpx.Client]:
    """A program that uses the same server."""
    with httpx.Client(base_url=f"{base}/api/", timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    """A browser without a window; for a module, as no event loop can run beside it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = os.environ.get("MYTHLINE_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium, or MYTHLINE_BROWSER")
    with playwright.sync_playwright() as running:
        # without its sandbox, as root has none; it sees nothing but this server
        browser = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Look:
    """A page in a browser, and what went wrong in it."""

    def __init__(self, browser: Any, base: str, **options: Any) -> None:
        size = {"width": 1280, "height": 820}
        settings = {"viewport": size, "locale": "en-GB", "timezone_id": "UTC", **options}
        self.base = base
        self.context: Any = browser.new_context(**settings)
        self.context.set_default_timeout(PATIENCE * 1000)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.expected: tuple[str, ...] = ()
        self.page: Any = self.tab()

    def tab(self) -> Any:
        page = self.context.new_page()
        page.on("console", lambda said: said.type == "error" and self.wrong.append(said.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", lambda dialog: (self.wrong.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.asked.append(request.url))
        return page

    def open(self, place: str = "", page: Any = None) -> Any:
        """Go to a place of the page, and wait for it."""
        page = page or self.page
        page.goto(f"{self.base}/{place}")
        page.locator("#sidebar .agent[aria-label]").wait_for(state="attached")
        return page

    def check(self) -> None:
        """Nothing went wrong, and no other host was asked for anything."""
        wrong = [each for each in self.wrong if not any(e in each for e in self.expected)]
        assert wrong == []
        own = (self.base, "data:", "blob:", "about:")
        assert [url for url in self.asked if not url.startswith(own)] == []


@pytest.fixture
def look(browser: Any, base: str) -> Generator[Look]:
    """A new visitor."""
    look = Look(browser, base)
    yield look
    look.check()
    look.context.close()


@pytest.fixture
def session(api: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A session of this test's own, with a turn in it."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:100]
    path = f"agents/{material.AGENT}/sessions"
    assert api.post(f"{path}/create", json={"session_id": name}).status_code == 201
    turn = [material.prompt(f"About {name}"), material.reply("An *answer*.")]
    assert api.post(f"{path}/{name}/messages", json={"messages": turn}).status_code == 201
    return name
