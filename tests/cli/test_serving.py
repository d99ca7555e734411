"""`mythline serve`."""

from pathlib import Path

import pytest

from .support import invoke, process


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_serve_refuses_other_addresses_than_loopback(host: str, tmp_path: Path):
    ran = process("serve", "--host", host, "--store", tmp_path)
    assert ran.code == 2
    assert "--insecure" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_serve_refuses_settings_that_cant_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MYTHLINE_PRUNE_OLDER_THAN", "soon")
    ran = invoke("serve", "--store", tmp_path)
    assert ran.code == 2
    assert "MYTHLINE_PRUNE_OLDER_THAN" in ran.err
    assert "30d" in ran.err
    assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []
