"""Which texts PostgreSQL keeps as they are."""

import pytest

from mythline.postgres.texts import shown, storable


@pytest.mark.parametrize(
    "text", ["", "plain", "Żółć 🎲 \U0010ffff", "\ud7ff\ue000", "\x01\x7f\x80"]
)
def test_kept(text):
    assert storable(text)
    assert shown(text) is text


@pytest.mark.parametrize("code", [0, 0xD800, 0xDBFF, 0xDC00, 0xDFFF])
@pytest.mark.parametrize("text", ["plain{}", "{}é", "é{}🎲"])
def test_not_kept(text, code):
    bad = chr(code)
    assert not storable(text.format(bad))
    assert shown(text.format(bad)) == text.format("\ufffd")
