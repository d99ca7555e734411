"""Talking with an agent: what comes is shown, what is stopped is kept, what waits is answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.page.conftest import Look
from tests.page.material import prompt, reply
from tests.page.support import expect
from tests.page.test_doing import until

HOME = "?agent=companion"


@pytest.fixture
def page(look: Look) -> Any:
    page = look.open(HOME)
    page.get_by_label("Message", exact=True).wait_for()
    return page


def say(page: Any, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")


def answered(page: Any, text: str) -> None:
    """Wait for an answer that is stored."""
    page.locator(".items > .item.assistant", has_text=text).last.wait_for()
    page.locator(".pending").wait_for(state="detached")


def test_a_first_message_makes_a_session(page: Any):
    say(page, "hello")
    answered(page, "You said hello to me.")
    page.wait_for_url(re.compile("session="))
    expect(page.locator(".item.assistant strong")).to_have_text("hello")
    expect(page.locator("details.thinking")).to_have_count(1)
    expect(page.locator("h1")).to_have_text("hello")


def test_an_answer_is_stopped_and_kept_also_over_a_reload(page: Any, look: Look):
    say(page, "wait for it")
    page.locator(".pending", has_text="You said **wait for it**").wait_for()
    page.keyboard.press("Escape")
    answered(page, "You said wait for it")
    expect(page.locator(".facts .badge")).to_have_text("Interrupted")
    say(page, "wait again")
    page.locator(".pending", has_text="You said **wait again**").wait_for()
    look.expected = ("ERR_",)
    page.reload()
    answered(page, "You said wait again")
    expect(page.locator(".items > .item.user")).to_have_count(2)


def test_a_prompt_is_edited_and_answered_again(page: Any, api: httpx.Client):
    say(page, "one")
    answered(page, "You said one")
    say(page, "two")
    answered(page, "You said two")
    page.keyboard.press("ArrowUp")
    page.get_by_text("You write this prompt anew.").wait_for()
    expect(page.get_by_label("Message", exact=True)).to_have_value("two")
    say(page, "three")
    answered(page, "You said three")
    page.get_by_role("button", name="1 branch", exact=True).wait_for()
    assert page.locator(".items > .item.user").all_inner_texts()[1].startswith("three")
    page.locator(".item.assistant").last.get_by_label("Answer again").click()
    page.get_by_role("button", name="2 branches", exact=True).wait_for()
    answered(page, "You said three")
    expect(page.locator(".items > .item.user")).to_have_count(2)


def test_a_call_is_allowed_or_denied(page: Any):
    say(page, "delete chapter 3")
    page.get_by_text("May the agent call").wait_for()
    page.reload()
    page.get_by_text("May the agent call").wait_for()
    expect(page.locator(".fold.waits .state")).to_have_text("Waiting for approval")
    expect(page.get_by_label("Message", exact=True)).to_be_hidden()
    page.get_by_label("Allow").check()
    page.get_by_role("button", name="Go on").click()
    answered(page, "The tool said: deleted 3")
    say(page, "delete it again")
    page.get_by_label("Deny").check()
    page.get_by_label("Why delete_chapter is denied").fill("Too much.")
    page.get_by_role("button", name="Go on").click()
    answered(page, "The tool said: Too much.")
    expect(page.locator(".fold.tool-call .state").last).to_have_text("Denied")


def test_an_agent_that_fails_is_told_and_what_came_is_kept(page: Any):
    say(page, "fail now")
    page.locator(".toast.wrong").wait_for()
    assert "secret" not in page.locator(".toast.wrong").inner_text()
    answered(page, "You said fail now")
    expect(page.locator(".items > .item.user")).to_have_count(1)


def test_another_turn_that_came_first_makes_this_one_a_branch(
    page: Any, api: httpx.Client, folder: Path
):
    say(page, "one")
    answered(page, "You said one")
    path = f"agents/companion/sessions/{re.findall('session=([^&#]+)', page.url)[0]}"
    say(page, "wait for the other")
    page.locator(".pending", has_text="You said").wait_for()
    turn = [{"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "I was first"}]}]
    assert api.post(f"{path}/messages", json={"messages": turn}).status_code == 201
    try:
        (folder / "go").touch()
        page.get_by_text("Your turn is kept as a branch.").wait_for()
    finally:
        (folder / "go").unlink()
    page.locator(".items > .item", has_text="I was first").wait_for()
    page.get_by_role("button", name="Show it").click()
    page.locator(".items > .item", has_text="wait for the other").first.wait_for()


def test_another_session_is_read_and_talked_in_while_an_answer_comes(
    page: Any, look: Look, api: httpx.Client, folder: Path
):
    say(page, "the first")
    answered(page, "You said the first")
    first = re.findall("session=([^&#]+)", page.url)[0]
    look.open(HOME)
    say(page, "wait in the second")
    page.locator(".pending", has_text="You said **wait in").wait_for()
    second = re.findall("session=([^&#]+)", page.url)[0]
    page.locator(f'li.row[data-session="{first}"] a').click()
    page.locator(".items > .item.assistant", has_text="the first").wait_for()
    expect(page.get_by_label("Stop")).to_be_hidden()
    say(page, "and more")
    answered(page, "You said and more")
    path = f"agents/companion/sessions/{first}"
    turn = [{"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "Elsewhere"}]}]
    assert api.post(f"{path}/messages", json={"messages": turn}).status_code == 201
    page.locator(".items > .item", has_text="Elsewhere").wait_for()
    page.locator(f'li.row[data-session="{second}"] a').click()
    page.locator(".pending", has_text="You said **wait in").wait_for()
    expect(page.get_by_label("Stop")).to_be_visible()
    try:
        (folder / "go").touch()
        answered(page, "You said wait in the second to me.")
    finally:
        (folder / "go").unlink()
    expect(page.locator(".items > .item.user")).to_have_count(1)


def test_what_is_asked_for_twice_in_a_row_is_done_once(page: Any, look: Look, api: httpx.Client):
    say(page, "one")
    answered(page, "You said one")
    page.locator(".item.assistant").last.get_by_label("Answer again").dblclick()
    page.get_by_role("button", name="1 branch", exact=True).wait_for()
    answered(page, "You said one")
    path = f"agents/companion/sessions/{re.findall('session=([^&#]+)', page.url)[0]}"
    assert len(api.get(f"{path}/info").json()["branches"]) == 1
    begun = api.get("agents/companion/sessions").json()
    look.open(HOME)
    field = page.get_by_label("Message", exact=True)
    field.fill("new")
    field.press("Enter")
    field.fill("newer")
    field.press("Enter")
    page.wait_for_url(re.compile("session="))
    answered(page, "You said new to me.")
    assert len(api.get("agents/companion/sessions").json()) == len(begun) + 1


def test_a_long_answer_is_laid_out_as_often_as_it_is_seen(page: Any):
    page.evaluate(
        """() => {
          const place = Object.getOwnPropertyDescriptor(Element.prototype, "scrollTop");
          globalThis.scrolls = 0;
          Object.defineProperty(document.querySelector(".transcript"), "scrollTop", {
            get() { return place.get.call(this); },
            set(value) { globalThis.scrolls += 1; place.set.call(this, value); },
          });
        }"""
    )
    say(page, "much")
    answered(page, "You said much")
    assert page.evaluate("scrolls") < 1500  # of 3,000 pieces that came


def test_who_writes_goes_on_writing_when_the_session_goes_another_way(page: Any, api: httpx.Client):
    made = [turn for n in range(12) for turn in (prompt(f"Prompt {n}"), reply("Much. " * 200))]
    assert (
        api.post("agents/companion/sessions/create", json={"session_id": "ways"}).status_code == 201
    )
    path = "agents/companion/sessions/ways"
    stored = api.post(f"{path}/messages", json={"messages": made})
    assert stored.status_code == 201
    page.goto(page.url + "&session=ways")
    page.locator(".item.user", has_text="Prompt 11").wait_for()
    field = page.get_by_label("Message", exact=True)
    field.fill("I was ")
    page.locator(".transcript").evaluate("element => (element.scrollTop -= 1500)")
    page.get_by_role("button", name="To the end").wait_for()
    assert api.post(f"{path}/branch", json={"entry_id": stored.json()["entry_ids"][-3]}).is_success
    page.get_by_role("button", name="1 branch", exact=True).wait_for()
    expect(page.locator(".item.user", has_text="Prompt 11")).to_have_count(0)
    page.keyboard.type("here")
    expect(field).to_have_value("I was here")


def test_nothing_is_said_in_a_session_that_was_deleted(page: Any, look: Look, api: httpx.Client):
    look.expected = ("404",)
    say(page, "hello")
    answered(page, "You said hello")
    session = re.findall("session=([^&#]+)", page.url)[0]
    assert api.delete(f"agents/companion/sessions/{session}").status_code == 200
    page.get_by_text("This session was deleted.", exact=True).wait_for()
    assert page.title() == "hello · Mythline"
    say(page, "are you there?")
    page.get_by_text("Restore it to go on.").wait_for()
    assert api.get(f"agents/companion/sessions/{session}/exists").json() == {"exists": False}
    page.get_by_role("button", name="Restore it").click()
    page.get_by_text("This session was deleted.", exact=True).wait_for(state="detached")
    expect(page.get_by_label("Message", exact=True)).to_have_value("are you there?")


def test_what_is_written_but_not_sent_outlives_a_reload(page: Any):
    say(page, "hello")
    answered(page, "You said hello")
    field = page.get_by_label("Message", exact=True)
    field.fill("half a thou")
    page.reload()
    until(page, lambda: field.input_value() == "half a thou")


def test_an_agent_that_is_not_mounted_has_no_message_field(look: Look):
    page = look.open("?agent=story_researcher&session=rich")
    page.locator(".item").first.wait_for()
    expect(page.get_by_label("Message", exact=True)).to_be_hidden()
