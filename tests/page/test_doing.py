"""What one does with sessions, by mouse and keyboard, with a way back."""

from __future__ import annotations

import json
import re
import time
import zipfile
from pathlib import Path
from typing import Any

import httpx

from tests.page.conftest import Look
from tests.page.material import AGENT, prompt, reply
from tests.page.support import PATIENCE, expect
from tests.page.test_reading import HOME, PATH, at, rows


def info(api: httpx.Client, session: str) -> Any:
    response = api.get(f"{PATH}/{session}/info")
    return response.json() if response.status_code == 200 else None


def opened(look: Look, session: str) -> Any:
    page = look.open(at(session))
    page.locator(".item.assistant").first.wait_for()
    return page


def until(page: Any, condition: Any) -> None:
    """Wait for something that the server knows."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "It did not come to be as expected."
        page.wait_for_timeout(20)


def test_a_session_is_renamed_in_its_place(look: Look, api: httpx.Client, session: str):
    page = opened(look, session)
    page.keyboard.press("r")
    title = page.get_by_label("Title", exact=True)
    title.fill("Another name")
    title.press("Escape")
    assert "Another" not in page.locator("h1").inner_text()
    page.keyboard.press("r")
    title.fill("Another name")
    title.press("Enter")
    rows(page).get_by_text("Another name").wait_for()
    page.locator("h1", has_text="Another name").wait_for()
    assert info(api, session)["title"] == "Another name"


def test_tags_pins_and_archives(look: Look, api: httpx.Client, session: str):
    page = opened(look, session)
    page.get_by_label("Add a tag").fill("mine")
    page.get_by_label("Add a tag").press("Enter")
    page.get_by_label("Remove the tag mine").wait_for()
    assert info(api, session)["tags"] == ["mine"]
    page.get_by_label("Remove the tag mine").click()
    page.get_by_label("Remove the tag mine").wait_for(state="detached")
    assert info(api, session)["tags"] == []
    page.locator("main h1").click(position={"x": 600, "y": 4}, force=True)
    page.keyboard.press("p")
    page.get_by_role("button", name="Unpin").wait_for()
    assert info(api, session)["pinned"]
    page.keyboard.press("p")
    page.get_by_role("button", name="Pin", exact=True).wait_for()
    page.keyboard.press("e")
    page.locator(".toast", has_text="Archived").wait_for()
    assert info(api, session)["archived"]
    page.get_by_role("button", name="Undo").click()
    until(page, lambda: not info(api, session)["archived"])


def test_changes_in_a_row_are_not_taken_for_others(look: Look, session: str):
    """What was asked for before the answer to a change came doesn't bring back what was before."""
    page = opened(look, session)
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append((route, route.fetch()))

    page.context.route(f"**/{session}/info", hold, times=1)
    page.keyboard.press("p")
    page.get_by_role("button", name="Unpin").wait_for()
    until(page, lambda: bool(held))
    page.keyboard.press("p")
    page.get_by_role("button", name="Pin", exact=True).wait_for()
    ((route, old),) = held
    assert old.json()["pinned"]
    with page.expect_response(f"**/{session}/info"):
        route.fulfill(response=old)
    with page.expect_response(f"**/{session}/info"):  # it is asked for again
        pass
    page.keyboard.press("p")
    page.get_by_role("button", name="Unpin").wait_for()


def test_a_change_that_comes_too_late_says_so(look: Look, api: httpx.Client, session: str):
    look.expected = ("412",)
    page = opened(look, session)
    page.context.route("**/api/events", lambda route: route.abort())  # it doesn't hear of it
    look.expected += ("ERR_FAILED",)
    opened(look, session)
    page.keyboard.press("r")
    page.get_by_label("Title", exact=True).fill("Mine")
    assert api.patch(f"{PATH}/{session}", json={"title": "Theirs"}).status_code == 200
    page.get_by_label("Title", exact=True).press("Enter")
    page.get_by_text("changed elsewhere").wait_for()
    assert info(api, session)["title"] == "Theirs"
    page.get_by_role("button", name="Keep mine").click()
    until(page, lambda: info(api, session)["title"] == "Mine")


def test_what_changes_while_one_types_is_not_overwritten(
    look: Look, api: httpx.Client, session: str
):
    look.expected = ("412",)
    page = opened(look, session)
    page.keyboard.press("r")
    page.get_by_label("Title", exact=True).fill("Mine")
    assert api.patch(f"{PATH}/{session}", json={"title": "Theirs"}).status_code == 200
    until(page, lambda: page.title() == "Theirs · Mythline")
    page.get_by_label("Title", exact=True).press("Enter")
    page.get_by_text("changed elsewhere").wait_for()
    assert info(api, session)["title"] == "Theirs"
    page.get_by_role("button", name="Reload").click()
    field = page.get_by_label("Add a tag")
    field.fill("mine")
    change = {"title": "Again", "tags": ["theirs"]}
    assert api.patch(f"{PATH}/{session}", json=change).status_code == 200
    until(page, lambda: page.title() == "Again · Mythline")
    field.press("Enter")
    until(page, lambda: info(api, session)["tags"] == ["mine", "theirs"])


def test_what_is_deleted_comes_back(look: Look, api: httpx.Client, session: str):
    page = opened(look, session)
    page.get_by_role("toolbar", name="This session").get_by_label("Delete").click()
    page.get_by_text(re.compile("^Deleted ")).wait_for()
    assert info(api, session) is None
    assert session not in page.url
    page.keyboard.press("Control+z")
    page.wait_for_url(re.compile(f"session={session}$"))
    page.locator(".item.assistant").first.wait_for()
    assert info(api, session)


def test_the_trash_restores_and_purges(look: Look, api: httpx.Client, session: str):
    look.expected = ("404",)
    assert api.delete(f"{PATH}/{session}").status_code == 200
    page = look.open(f"{HOME}&in=trash&session={session}")
    row = page.locator(f'li.row[data-session="{session}"]')
    row.wait_for()
    expect(row).to_contain_text("Gone in 30 days")
    page.get_by_role("button", name="Restore it").click()
    page.locator(".item.assistant").first.wait_for()
    assert api.delete(f"{PATH}/{session}").status_code == 200
    look.open(f"{HOME}&in=trash")
    row.hover()
    row.get_by_role("checkbox").check()
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    row.wait_for(state="detached")
    assert api.post(f"{PATH}/{session}/restore").status_code == 404


def test_several_at_once(look: Look, api: httpx.Client):
    made = [api.post(f"{PATH}/create").json()["session_id"] for _ in range(3)]
    page = look.open(at(made[0]))
    rows(page).first.wait_for()
    page.keyboard.press("g")
    for session in made:
        row = page.locator(f'li.row[data-session="{session}"]')
        row.locator("a").focus()
        page.keyboard.press("x")
    page.get_by_text("3 selected").wait_for()
    page.get_by_role("toolbar", name="Selected").get_by_label("Tag").click()
    page.get_by_role("dialog").get_by_label("Tag", exact=True).last.fill("batch")
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("^Tagged")).wait_for()
    assert all(info(api, session)["tags"] == ["batch"] for session in made)
    look.open(f"{HOME}&tag=batch")
    rows(page).nth(2).wait_for()
    page.keyboard.press("g")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.get_by_text("3 selected").wait_for()
    page.keyboard.press("Delete")
    page.get_by_text("Deleted 3 sessions.").hover()  # so it stays
    page.get_by_text("No session matches.").wait_for()
    page.get_by_role("button", name="Undo").click()
    rows(page).nth(2).wait_for()


def test_several_are_exported_as_a_zip(look: Look, tmp_path: Path):
    page = look.open(HOME)
    rows(page).first.wait_for()
    page.keyboard.press("g")
    page.keyboard.press("x")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    page.get_by_role("toolbar", name="Selected").get_by_label("Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=re.compile("JSONL")).click()
    download.value.save_as(tmp_path / "it.zip")
    with zipfile.ZipFile(tmp_path / "it.zip") as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2
        assert all(json.loads(archive.read(name).splitlines()[0]) for name in archive.namelist())


def test_one_is_exported_in_every_format(look: Look):
    page = opened(look, "rich")
    for label, suffix in (
        ("Markdown", "md"),
        ("HTML", "html"),
        ("JSON", "json"),
        ("JSONL", "jsonl"),
    ):
        page.get_by_label("More").click()
        with page.expect_download() as download:
            page.get_by_role("menuitem", name=re.compile(f"Export as {label}\\b")).click()
        assert download.value.suggested_filename == f"rich.{suffix}"


def test_files_are_imported_with_a_report(look: Look, tmp_path: Path):
    look.expected = ("400", "409")
    good, bad = tmp_path / "brought-here.json", tmp_path / "bad.json"
    good.write_text(json.dumps([prompt("Where from?"), reply("From a file.")]))
    bad.write_text("no JSON")
    page = look.open(HOME)
    for _ in range(2):
        with page.expect_file_chooser() as chooser:
            page.get_by_label("Import files").click()
        chooser.value.set_files([good, bad])
        page.get_by_text(re.compile("from 2 files")).wait_for()
        if page.get_by_role("button", name="Import under another id").count():
            break
        page.get_by_role("link", name=re.compile("brought-here")).click()
        page.locator(".item", has_text="From a file.").wait_for()
    page.get_by_role("button", name="Import under another id").click()
    page.get_by_text("Imported as brought-here").wait_for()
    expect(page.locator(".report .wrong")).to_have_count(2)


def test_a_fork_goes_its_own_way(look: Look, api: httpx.Client, session: str):
    more = [prompt("More?"), reply("More.")]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": more}).status_code == 201
    page = opened(look, session)
    first = page.locator(".item.assistant").first
    first.hover()
    first.get_by_label("Fork from here").click()
    page.get_by_text("This is the fork.").wait_for()
    page.locator(".head a", has_text="Fork").wait_for()
    expect(page.locator(".item")).to_have_count(2)
    look.expected = ("404",)  # of the fork, that the page may be about to read anew
    page.get_by_role("button", name="Undo").click()
    page.wait_for_url(re.compile(f"session={session}$"))
    page.locator(".item").nth(3).wait_for()


def test_a_long_title_is_cut_between_characters(look: Look, api: httpx.Client, session: str):
    title = f"a{'🐉' * 150}"
    assert api.patch(f"{PATH}/{session}", json={"title": title}).status_code == 200
    page = opened(look, session)
    page.keyboard.press("f")
    page.get_by_text("This is the fork.").wait_for()
    expect(page.locator("h1")).to_have_text(f"{title} (fork)")


def test_going_back_leaves_a_branch_that_one_can_switch_to(
    look: Look, api: httpx.Client, session: str
):
    more = [prompt("More?"), reply("More was said.")]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": more}).status_code == 201
    page = opened(look, session)
    page.locator(".item", has_text="More was said.").wait_for()
    first = page.locator(".item.assistant").first
    first.hover()
    first.get_by_label("Go back to here").click()
    page.get_by_text("A branch parts here").wait_for()
    expect(page.locator(".item")).to_have_count(2)
    page.get_by_text("A branch parts here").click()
    page.get_by_role("dialog").get_by_text("Parts after message 2").wait_for()
    page.get_by_role("button", name="Switch", exact=True).click()
    page.locator(".item", has_text="More was said.").wait_for()
    assert info(api, session)["message_count"] == 4


def test_storage_says_what_a_prune_would_take(look: Look):
    page = look.open(f"{HOME}&show=storage")
    page.get_by_role("row", name=re.compile(AGENT)).get_by_text("MB").wait_for()
    page.get_by_text("can be restored for 30 days").wait_for()
    page.get_by_label("Not saved for").fill("600d")
    page.get_by_role("button", name="What would go?").click()
    page.get_by_text("would go to the trash").wait_for()
    expect(page.get_by_role("button", name=re.compile("^Move .* to the trash"))).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_url(re.compile("^(?!.*show=)"))


def test_storage_says_what_is_wrong(look: Look):
    page = look.open(f"{HOME}&show=storage")
    # the whole store would take its time: what the server sends, as `/api/doctor` does
    page.context.route(
        "**/api/doctor",
        lambda route: route.fulfill(
            content_type="application/json",
            body='[\n{"kind":"history","explanation":"<b>1 message</b> is missing.",'
            f'"agent_id":"{AGENT}","session_id":"rich","can_fix":false}},\n'
            '{"kind":"search","explanation":"The index is damaged.","agent_id":null,'
            '"session_id":null,"can_fix":true}\n]\n',
        ),
    )
    page.get_by_role("button", name="Look for what is wrong").click()
    page.get_by_text("2 findings. “mythline doctor --fix” mends 1 of them.").wait_for()
    expect(page.locator(".findings li")).to_have_count(2)
    expect(page.get_by_text("<b>1 message</b> is missing.")).to_be_visible()
    page.context.unroute("**/api/doctor")
    page.context.route("**/api/doctor", lambda route: route.fulfill(body="[]\n"))
    page.get_by_role("button", name="Look again").click()
    page.get_by_text("Nothing is wrong.").wait_for()
    page.context.unroute("**/api/doctor")
    page.context.route("**/api/doctor", lambda route: route.fulfill(body="["))
    page.get_by_role("button", name="Look again").click()
    page.get_by_text("The server stopped before the end.").wait_for()
    page.locator(".findings").wait_for(state="attached")
    page.context.unroute("**/api/doctor")
    page.get_by_role("button", name="Look again").click()
    page.get_by_role("progressbar", name="Looking through the whole store").wait_for()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped.").wait_for()


def test_work_on_many_shows_how_far_it_is(look: Look):
    page = look.open(f"{HOME}&q=salt")
    rows(page).nth(2).wait_for()
    page.keyboard.press("g")
    for _ in range(24):
        page.keyboard.press("Shift+ArrowDown")
    page.get_by_text("25 selected").wait_for()
    held: list[Any] = []
    goes: list[bool] = []

    def hold(route: Any) -> None:
        if goes or route.request.method != "PATCH":
            route.continue_()
        else:
            held.append(route)

    page.context.route(re.compile("/sessions/session_"), hold)
    page.get_by_role("toolbar", name="Selected").get_by_label("Archive").click()
    bar = page.get_by_role("progressbar", name="25 sessions…")
    bar.wait_for()
    until(page, lambda: len(held) == 6)
    assert bar.evaluate("bar => [bar.value, bar.max]") == [0, 25]
    held.pop().continue_()
    until(page, lambda: bar.evaluate("bar => bar.value") == 1)
    until(page, lambda: len(held) == 6)  # the next one is sent
    goes.append(True)
    for route in held:
        route.continue_()
    page.get_by_text("Archived 25 sessions.").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("25 sessions…").wait_for(state="detached")
