"""What one sees: the list, a transcript, a search; and that it stays true while others work."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import pytest

from tests.page.conftest import Look
from tests.page.material import AGENT, MANY, call, prompt, reply, returned
from tests.page.support import PATIENCE, expect

HOME = f"?agent={AGENT}"
PATH = f"agents/{AGENT}/sessions"


def width_when_loaded(picture: Any) -> int:
    """The width of a picture. It is waited for by a promise: the policy allows no polling."""
    return picture.evaluate("image => image.decode().then(() => image.naturalWidth)")


def at(session: str, more: str = "") -> str:
    return f"{HOME}&session={session}{more}"


def rows(page: Any) -> Any:
    return page.locator("li.row")


# The list


def test_the_list_is_grouped_by_day_with_pinned_ones_on_top(look: Look, session: str):
    page = look.open(HOME)
    rows(page).first.wait_for()
    days = page.locator("li.day").all_inner_texts()
    assert days[:2] == ["Pinned", "Today"]
    assert rows(page).first.locator(".mark").get_attribute("title") == "Pinned"
    expect(page.locator(".total")).to_contain_text("10,0")


def test_without_an_agent_the_one_used_last_is_shown(look: Look):
    look.open()
    look.page.wait_for_url(re.compile(r"\?agent=\w+"))


def test_thousands_of_sessions_scroll_with_few_elements(look: Look):
    page = look.open(HOME)
    rows(page).first.wait_for()
    scroller = page.locator(".scroller")
    deepest, end = 0, time.monotonic() + PATIENCE
    while deepest < MANY and time.monotonic() < end:
        scroller.evaluate("element => { element.scrollTop = element.scrollHeight }")
        page.wait_for_timeout(10)
        assert rows(page).count() < 60
        last = rows(page).last.get_attribute("aria-posinset") or "0"
        deepest = max(deepest, int(last))
    assert deepest >= MANY
    tops = page.evaluate(
        "[...document.querySelectorAll('li.row')].map(e => e.getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)


def test_the_list_can_be_filtered_by_title_tag_and_order(look: Look):
    page = look.open(HOME)
    page.get_by_label("Filter the list by title").fill("northern pass")
    page.wait_for_url(re.compile("q=northern"))
    page.get_by_text("The whole of the river folk").wait_for(state="detached")
    assert all("northern pass" in title for title in rows(page).locator(".title").all_inner_texts())
    look.open(f"{HOME}&tag=maps")
    page.locator(".chips .tag").wait_for()
    rows(page).first.wait_for()
    assert all("maps" in each for each in rows(page).locator(".last").all_inner_texts())
    page.get_by_label("Not only the tag maps").click()
    page.locator("li.day", has_text="Pinned").wait_for()
    page.get_by_label("Order and tags").click()
    page.get_by_role("menuitemradio", name="By title, A to Z").click()
    page.wait_for_url(re.compile("order=title"))
    look.open(f"{HOME}&q=nothing-has-this")
    page.get_by_role("link", name="Show all").click()
    rows(page).first.wait_for()


def test_the_list_by_keyboard(look: Look):
    page = look.open(HOME)
    rows(page).first.wait_for()
    page.keyboard.press("g")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    held = page.evaluate("document.activeElement.closest('li').getAttribute('aria-posinset')")
    assert held == "3"
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("session="))
    page.locator(".item").first.wait_for()
    for _ in range(12):
        page.keyboard.press("PageDown")
    place = page.evaluate("document.activeElement.closest('li').getAttribute('aria-posinset')")
    assert int(place) > 40


# A transcript


def test_a_session_shows_all_that_was_said(look: Look):
    page = look.open(at("rich"))
    page.get_by_role("heading", name="Who are the keepers").wait_for()
    page.locator(".prose table").wait_for()
    assert page.locator(".code .c-word").count() > 3
    assert page.locator(".facts .badge").all_inner_texts() == ["Interrupted"]
    call = page.locator("details.tool-call").first
    assert not call.evaluate("element => element.open")
    call.locator("summary").click()
    text = call.inner_text()
    assert '"query": "keepers"' in text
    assert '"chapter": 3' in text
    denied = page.locator("details.tool-call").nth(1)
    expect(denied.locator(".state")).to_have_text("Denied")
    expect(page.locator("details.thinking")).to_have_count(1)
    image = page.locator(".picture img")
    image.scroll_into_view_if_needed()
    assert width_when_loaded(page.locator(".picture img")) == 320


def test_calls_with_the_same_id_have_each_its_own_result(
    look: Look, api: httpx.Client, session: str
):
    turns = [
        [
            prompt(f"Where is {n}?"),
            reply(call("look", {"at": n}, "again")),
            returned("look", f"{n} it is", "again"),
        ]
        for n in ("one", "two")
    ]
    messages = [message for turn in turns for message in turn]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": messages}).status_code == 201
    calls = look.open(at(session)).locator("details.tool-call")
    expect(calls.nth(1)).to_contain_text("two it is")
    expect(calls.nth(0)).to_contain_text("one it is")


def test_what_a_call_returned_is_shown_once_whatever_happens_then(
    look: Look, api: httpx.Client, session: str
):
    calls = reply(call("look", {"at": 1}, "first"), call("look", {"at": 2}, "second"))
    messages = [prompt("Look."), calls, returned("look", "It is there.", "first")]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": messages}).status_code == 201
    page = look.open(at(session))
    page.locator("details.tool-call").first.wait_for()
    more = [returned("look", "It isn't.", "second"), reply("The one, then.")]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": more}).status_code == 201
    page.locator(".item.assistant", has_text="The one, then.").wait_for()
    expect(page.locator(".returned")).to_have_count(2)
    expect(page.locator(".items > .returned")).to_have_count(0)


def test_a_picture_of_another_host_is_loaded_when_it_is_asked_for(look: Look):
    page = look.open(at("rich"))
    button = page.get_by_role("button", name="Show the picture from example.com")
    button.wait_for()
    assert not [url for url in look.asked if "example.com" in url]
    page.context.route("https://example.com/**", lambda route: route.abort())
    with page.expect_request("https://example.com/map.png"):
        button.click()
    look.asked = [url for url in look.asked if not url.startswith("https://example.com")]
    look.expected = ("ERR_FAILED",)


def test_a_long_session_begins_at_its_end_and_goes_back(look: Look):
    page = look.open(at("long"))
    items = page.locator(".transcript .item")
    page.get_by_text("Verse 399, please.").wait_for()
    assert items.count() < 150
    end = time.monotonic() + PATIENCE
    while items.count() < 800 and time.monotonic() < end:
        page.locator(".transcript").evaluate("element => { element.scrollTop = 0 }")
        page.wait_for_timeout(40)
    page.get_by_text("Verse 0, please.").wait_for()
    expect(items).to_have_count(800)
    page.get_by_role("button", name="To the end").click()
    page.get_by_text("Verse 399: the river carries").last.wait_for()


def test_a_link_leads_to_a_message_in_the_middle(look: Look, api: httpx.Client):
    messages = api.get(f"{PATH}/long?limit=500").json()["messages"]
    wanted = messages[0]
    page = look.open(at("long", f"#{wanted['entry_id']}"))
    target = page.locator(".item.target")
    target.wait_for()
    expect(target.locator(".prose")).to_have_text(wanted["content"])
    assert target.evaluate("e => Math.abs(e.getBoundingClientRect().top - 90) < 160")
    page.get_by_role("button", name="To the end").click()
    page.get_by_text("Verse 399, please.").wait_for()


def test_a_link_to_the_last_message_keeps_it_in_sight(look: Look, api: httpx.Client):
    messages = api.get(f"{PATH}/rich?include=tools").json()["messages"]
    wanted = next(message for message in messages if message["role"] == "assistant")
    page = look.open(at("rich", f"#{wanted['entry_id']}"))
    target = page.locator(".item.target")
    target.wait_for()
    assert width_when_loaded(page.locator(".picture img")) == 320
    box = page.locator(".transcript").bounding_box()
    assert target.bounding_box()["y"] >= box["y"]


def test_a_link_to_a_message_that_is_not_there_opens_its_session(look: Look):
    look.expected = ("422",)
    page = look.open(at("rich", "#01a218df-0000-7000-8000-000000000000"))
    page.get_by_text("That message isn't in this session.").wait_for()
    page.locator(".item.assistant").first.wait_for()
    page.wait_for_url(re.compile("session=rich$"))


def test_long_words_stay_within_a_narrow_screen(look: Look, api: httpx.Client, session: str):
    turn = [
        prompt("a" * 300),
        reply(call("t" * 80, {"k" * 100: "v" * 300}, "c1"), f"{'b' * 300}\n\n`{'c' * 300}`"),
    ]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": turn}).status_code == 201
    assert api.patch(f"{PATH}/{session}", json={"title": "W" * 200}).status_code == 200
    page = look.page
    page.set_viewport_size({"width": 390, "height": 800})
    look.open(at(session))
    page.locator("details.tool-call").wait_for()
    assert page.locator(".transcript").evaluate("e => e.scrollWidth - e.clientWidth") == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("details.tool-call .state").bounding_box()["x"] < 390


def test_a_session_opens_at_its_end_on_a_small_screen_too(
    look: Look, api: httpx.Client, session: str
):
    look.page.set_viewport_size({"width": 320, "height": 600})
    tags = [f"{'long ' * 8}{n}" for n in range(6)]
    assert api.patch(f"{PATH}/{session}", json={"tags": tags}).status_code == 200
    text = f"{'one long line ' * 40}\n" * 1000
    turn = [prompt("More?"), reply(text), prompt("Thanks."), reply("The end of it.")]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": turn}).status_code == 201
    page = look.open(at(session))
    page.get_by_label("Remove the tag").nth(5).wait_for()
    expect(page.get_by_role("main").get_by_text("The end of it.")).to_be_in_viewport()
    expect(page.get_by_role("button", name="To the end")).to_be_hidden()
    width = "element => element.scrollWidth - element.clientWidth"
    assert page.locator(".transcript").evaluate(width) == 0  # lines end where they can be read


def test_what_is_not_there_says_what_to_do(look: Look):
    look.expected = ("404",)
    page = look.open(at("never-was"))
    page.get_by_text("This session isn't here").wait_for()
    page.get_by_role("link", name="Open the trash").click()
    page.wait_for_url(re.compile("in=trash"))


# Search


def test_a_search_by_keyboard_opens_at_the_hit(look: Look):
    page = look.open(HOME)
    rows(page).first.wait_for()
    page.keyboard.press("/")
    page.get_by_role("combobox", name="Search in titles").wait_for()
    page.keyboard.type('"carries what the hills" 217')
    page.locator("#found mark").first.wait_for()
    assert "find=" in page.url
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.locator(".item.target").wait_for()
    expect(page.locator(".item.target")).to_contain_text("217")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search in titles").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("combobox", name="Search in titles").wait_for(state="detached")
    page.wait_for_url(lambda url: "find=" not in url)


def test_a_search_finds_words_that_are_still_typed_and_enter_need_not_wait(look: Look):
    page = look.open(HOME)
    rows(page).first.wait_for()
    page.keyboard.press("/")
    field = page.get_by_role("combobox", name="Search in titles")
    field.wait_for()
    page.keyboard.type("somebody wai")
    page.locator("#found mark", has_text="waits").wait_for()
    field.fill("somebody waits")
    page.keyboard.press("Enter")
    page.locator(".item", has_text="Somebody waits below.").wait_for()


def test_a_hit_in_a_branch_is_shown_as_one(look: Look):
    page = look.open(f"{HOME}&find=never+lit")
    page.get_by_text("in a branch").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("You are looking at a branch.").wait_for()
    page.get_by_text("The keeper never lit it at all.").last.wait_for()
    page.get_by_role("link", name="Back to the history").click()
    page.locator(".item", has_text="Somebody waits below.").wait_for()


# Live


def test_what_happens_elsewhere_appears(look: Look, api: httpx.Client, session: str):
    page = look.open(at(session))
    page.locator(".item.assistant").wait_for()
    other = look.open(HOME, look.tab())
    rows(other).first.wait_for()
    assert api.patch(f"{PATH}/{session}", json={"title": "Renamed there"}).status_code == 200
    page.get_by_role("heading", name="Renamed there").wait_for()
    rows(other).get_by_text("Renamed there").wait_for()
    more = [prompt("More?"), reply("Said from elsewhere.")]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": more}).status_code == 201
    page.locator(".item.assistant", has_text="Said from elsewhere.").wait_for()
    rows(other).get_by_text("Said from elsewhere.").wait_for()
    expect(page.locator(".item")).to_have_count(4)
    made = api.post(f"{PATH}/create", json={"title": "Made there"}).json()["session_id"]
    rows(page).get_by_text("Made there").wait_for()
    assert api.delete(f"{PATH}/{made}").status_code == 200
    rows(page).get_by_text("Made there").wait_for(state="detached")
    look.expected = ("404",)
    assert api.delete(f"{PATH}/{session}").status_code == 200
    page.get_by_text("This session was deleted.").wait_for()
    page.get_by_role("button", name="Restore it").click()
    rows(page).get_by_text("Renamed there").wait_for()


def test_what_happens_before_a_tab_listens_is_not_missed(
    look: Look, api: httpx.Client, session: str
):
    """As it begins late, and as it goes on for another tab that is closed."""

    def say(text: str) -> None:
        turn = {"messages": [prompt("More?"), reply(text)]}
        assert api.post(f"{PATH}/{session}/messages", json=turn).status_code == 201

    held: list[Any] = []
    first = look.page
    first.route("**/api/events*", lambda route: held.append(route))
    look.open(at(session), first)
    first.locator(".item.assistant").wait_for()
    say("Said early.")
    held.pop().continue_()
    first.locator(".item.assistant", has_text="Said early.").wait_for()

    def say_between(route: Any) -> None:
        say("Said between.")
        route.continue_()

    second = look.tab()
    second.route("**/api/events*", say_between)
    look.open(at(session), second)
    second.locator(".item.assistant", has_text="Said early.").wait_for()
    first.close()  # which listened for both
    second.locator(".item.assistant", has_text="Said between.").wait_for()


def test_a_message_that_one_came_for_stays_marked_when_a_tab_listens_late(
    look: Look, api: httpx.Client
):
    messages = api.get(f"{PATH}/rich?include=tools").json()["messages"]
    wanted = next(message for message in messages if message["role"] == "assistant")
    held: list[Any] = []
    page = look.page
    page.route("**/api/events*", lambda route: held.append(route))
    look.open(at("rich", f"#{wanted['entry_id']}"))
    page.locator(".item.target").wait_for()
    page.locator(".transcript .items").first.evaluate(
        "list => (list.firstElementChild.id = 'before')"
    )
    held.pop().continue_()
    page.locator("#before").wait_for(state="detached")
    page.locator(".item.target").wait_for()


def test_what_could_not_be_looked_at_is_looked_at_again(
    look: Look, api: httpx.Client, session: str
):
    look.expected = ("503",)
    page = look.open(at(session))
    page.locator(".item.assistant").wait_for()
    refused: list[str] = []

    def refuse(route: Any) -> None:
        """The first time that the list asks, and that the session does."""
        if len(refused) == 2:
            route.continue_()
            return
        refused.append(route.request.url)
        route.fulfill(status=503, content_type="application/problem+json", body="{}")

    page.route(f"**/{session}/info", refuse)
    more = [prompt("More?"), reply("Said meanwhile.")]
    assert api.post(f"{PATH}/{session}/messages", json={"messages": more}).status_code == 201
    page.locator(".item.assistant", has_text="Said meanwhile.").wait_for()
    rows(page).get_by_text("Said meanwhile.").wait_for()


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.slow)])
def test_every_state_has_an_address(look: Look, width: int):
    page = look.page
    page.set_viewport_size({"width": width, "height": 800})
    look.open(at("branched"))
    page.locator(".item").first.wait_for()
    page.keyboard.press("b")
    page.get_by_role("link", name="The keeper never lit it").click()
    page.get_by_text("You are looking at a branch.").wait_for()
    address = page.url
    page.go_back()
    page.locator(".item", has_text="Somebody waits below.").wait_for()
    page.goto(address)
    page.locator(".item", has_text="never lit it").wait_for()


def test_on_a_narrow_screen_the_list_or_a_session_is_shown(look: Look):
    page = look.page
    page.set_viewport_size({"width": 390, "height": 800})
    look.open(f"{HOME}&q=endings")
    rows(page).first.wait_for()
    expect(page.locator("main")).to_be_hidden()
    rows(page).get_by_text("Two endings").click()
    page.locator(".item").first.wait_for()
    expect(page.locator("#sidebar")).to_be_hidden()
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    page.get_by_role("button", name="Sessions").click()
    expect(page.locator("#sidebar")).to_be_visible()


def test_the_theme_is_the_systems_or_chosen(look: Look):
    page = look.open(HOME)
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(colour)
    assert light != dark
    page.get_by_label("Theme").click()
    page.get_by_role("menuitemradio", name="Light").click()
    assert page.evaluate(colour) == light
    page.reload()
    assert page.evaluate(colour) == light
