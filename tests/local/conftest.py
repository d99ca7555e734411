from __future__ import annotations

import pytest

from mythline.local import foreign, strange, views, watch


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store puts off for a second or two, it puts off for a tenth of that.

    For tests of what it does then, rather than of when.
    """
    monkeypatch.setattr(watch, "HEAD_START", 0.0)
    monkeypatch.setattr(watch, "RETRY", 0.07)
    monkeypatch.setattr(watch, "QUIET_MS", 100)
    monkeypatch.setattr(views, "PAUSE_BLOCKED", 0.1)
    for module in (foreign, strange):
        monkeypatch.setattr(module, "SETTLED_AFTER", 0.2)
