"""`mythline serve`."""

from pathlib import Path

import pytest

from .support import process


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_serve_refuses_other_addresses_than_loopback(host: str, tmp_path: Path):
    ran = process("serve", "--host", host, "--store", tmp_path)
    assert ran.code == 2
    assert "--insecure" in ran.err
    assert list(tmp_path.iterdir()) == []
