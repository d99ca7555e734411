"""Which texts PostgreSQL keeps as they are."""

import pytest

from mythline import open_store
from mythline.postgres.texts import shown, storable
from tests.postgres.support import texts, turn


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


@pytest.mark.parametrize("text", ["a\0b", "\0", "\0\0 a"])
async def test_a_nul_looks_the_same_in_every_store(database, tmp_path, text):
    shows: list[tuple[str | None, str]] = []
    for where in (database, str(tmp_path / "store")):
        async with open_store(where) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            await sessions.append("one", turn(text))
            found = await sessions.info("one")
            shows.append((found.title, found.preview))
            assert (await texts(sessions, "one"))[0] == text
    assert shows[0] == shows[1]
    assert "\ufffd" not in shows[0][1]
