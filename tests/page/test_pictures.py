"""Pictures of the main views, kept in `MYTHLINE_PICTURES` for someone to look at."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.page.conftest import Look
from tests.page.material import AGENT

WIDE, PHONE = (1280, 820), (390, 800)
VIEWS = {
    "list": f"?agent={AGENT}",
    "session": f"?agent={AGENT}&session=rich",
    "search": f"?agent={AGENT}&session=rich&find=keepers",
    "branch": f"?agent={AGENT}&session=branched",
    "storage": f"?agent={AGENT}&session=long&show=storage",
    "chat": "?agent=companion",
}


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_main_views(browser: Any, base: str, tmp_path: Path, theme: str, size: tuple[int, int]):
    where = Path(os.environ.get("MYTHLINE_PICTURES") or tmp_path)
    where.mkdir(parents=True, exist_ok=True)
    viewport = dict(zip(("width", "height"), size, strict=True))
    look = Look(browser, base, color_scheme=theme, viewport=viewport)
    for name, place in VIEWS.items():
        page = look.open(place)
        page.locator(".row, .note button").first.wait_for(state="attached")
        page.wait_for_timeout(900)
        page.screenshot(path=where / f"{name}-{theme}-{size[0]}.png")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert not re.search(r"undefined|NaN|\[object", page.locator("body").inner_text())
    look.check()
    look.context.close()
