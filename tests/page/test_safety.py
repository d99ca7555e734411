"""Nothing that someone wrote runs; and everyone can use the page: names, roles, focus, contrast."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.page.conftest import Look
from tests.page.material import AGENT, binary, call, prompt, reply, returned
from tests.page.support import expect
from tests.page.test_reading import HOME, PATH, at, rows

PAYLOADS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1)></svg>",
    "\"><iframe src='javascript:alert(1)'></iframe>",
    "[a](javascript:alert(1)) [b](data:text/html,<script>alert(1)</script>)",
    '![x](javascript:alert(1)) ![y](x"onerror=alert(1)//)',
    "<a href='jAvAsCrIpT:alert(1)'>c</a>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "`</code></pre><img src=x onerror=alert(1)>`",
    '```"><img src=x onerror=alert(1)>\ncode\n```',
    "<style>*{background:url(https://evil.example)}</style>",
    "<base href=https://evil.example/><meta http-equiv=refresh content='0;url=https://evil.example'>",
    "</textarea></title></noscript><img src=x onerror=alert(1)>",
    "${alert(1)} {{constructor.constructor('alert(1)')()}}",
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>'


def test_nothing_that_someone_wrote_runs(look: Look, api: httpx.Client):
    everything = "\n\n".join(PAYLOADS)
    messages: list[Any] = [
        prompt(
            everything,
            binary(SVG, "image/svg+xml", identifier=PAYLOADS[1]),
            binary(SVG, "text/html", identifier=PAYLOADS[1]),
            {"url": "javascript:alert(1)", "kind": "image-url"},
            {"url": "javascript:alert(1)", "kind": "document-url"},
        ),
        reply(
            {"content": everything, "part_kind": "thinking"},
            everything,
            call(PAYLOADS[1], {PAYLOADS[1]: everything}, 'c"><img src=x onerror=alert(1)>'),
            call("text", everything, "c2"),
            model_name=PAYLOADS[1],
            finish_reason="stop",
        ),
        returned(PAYLOADS[1], everything, 'c"><img src=x onerror=alert(1)>'),
        {"parts": [{"content": everything, "part_kind": "system-prompt"}], "kind": "request"},
    ]
    tags = [payload[:64] for payload in PAYLOADS[:6]]
    title = (PAYLOADS[0] + PAYLOADS[1])[:200]
    made = api.post(f"{PATH}/create", json={"session_id": "xss", "title": title, "tags": tags})
    assert made.status_code == 201
    added = api.post(f"{PATH}/xss/messages", json={"messages": messages})
    assert added.status_code == 201, added.text
    look.expected = ("net::ERR",)
    page = look.open(at("xss"))
    page.locator(".item.assistant").first.wait_for()
    for fold in page.locator("details.fold summary").all():
        fold.click()
    expect(page.locator("h1")).to_contain_text(title)
    expect(page.locator(".item.user img")).to_have_count(0)
    scripts = page.evaluate(
        "document.querySelectorAll('main script, main style, main svg a').length"
    )
    assert scripts == 0
    for attribute in page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes].map(a => a.name))"
    ):
        assert not attribute.startswith("on"), attribute
    for href in page.evaluate("[...document.querySelectorAll('a')].map(a => a.protocol)"):
        assert href in ("http:", "https:", "mailto:", ":")  # the last: without an address
    page.goto(f"{look.base}/?agent={AGENT}&find=onerror")
    page.locator("#found mark").first.wait_for()
    page.keyboard.press("Escape")
    page.goto(f"{look.base}/?agent=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&session=%3Cscript%3E")
    look.expected += ("404", "422")
    page.locator(".agent .told", has_text="<img").wait_for()
    api.delete(f"{PATH}/xss", params={"permanent": True})
    assert [said for said in look.wrong if said == "1"] == []


def test_files_of_messages_never_run(api: httpx.Client):
    files = prompt(
        "x", binary(SVG, "image/svg+xml", identifier='a"\r\nX: y'), binary(b"<b>", "text/html")
    )
    api.post(f"{PATH}/create", json={"session_id": "with-files"})
    added = api.post(f"{PATH}/with-files/messages", json={"messages": [files]}).json()
    (entry,) = added["entry_ids"]
    for number, data in enumerate((SVG, b"<b>")):
        response = api.get(f"{PATH}/with-files/files/{entry}/{number}")
        assert response.content == data
        assert response.headers["content-type"] == "application/octet-stream"
        assert response.headers["content-disposition"].startswith("attachment")
        assert "sandbox" in response.headers["content-security-policy"]
        assert "x" not in response.headers
    assert api.get(f"{PATH}/with-files/files/{entry}/2").status_code == 404
    assert api.get(f"{PATH}/with-files/files/none/0").status_code == 422
    assert api.get(f"{PATH}/rich/files/{entry}/0").status_code == 422  # another session's


# What every visitor needs

NAMELESS = """
() => {
  const wrong = [];
  const seen = e => e.checkVisibility && e.checkVisibility({visibilityProperty: true});
  const name = e => (e.getAttribute('aria-label') || e.innerText || e.getAttribute('alt')
    || e.getAttribute('title') || (e.labels && e.labels[0] && e.labels[0].innerText) || '').trim();
  const parts = 'a, button, input, textarea, select, [role=option], img, iframe, summary, dialog,'
    + 'nav, main, [role=toolbar], [role=menu]';
  for (const e of document.querySelectorAll(parts))
    if (seen(e) && !name(e)) wrong.push('nameless: ' + e.outerHTML.slice(0, 120));
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push('twice: ' + id);
  for (const e of document.querySelectorAll('[aria-controls], [aria-activedescendant]')) {
    for (const attribute of ['aria-controls', 'aria-activedescendant']) {
      const id = e.getAttribute(attribute);
      if (id && !document.getElementById(id)) wrong.push(attribute + ' of nothing: ' + id);
    }
  }
  for (const e of document.querySelectorAll('a a, a button, button button, button a'))
    wrong.push('nested: ' + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll('[tabindex]'))
    if (e.tabIndex > 0) wrong.push('tabindex: ' + e.outerHTML.slice(0, 120));
  for (const list of document.querySelectorAll('ul, ol'))
    for (const e of list.children)
      if (e.tagName !== 'LI') wrong.push('in a list: ' + e.outerHTML.slice(0, 80));
  for (const e of document.querySelectorAll('li[role]')) wrong.push('no item: ' + e.outerHTML);
  for (const e of document.querySelectorAll('button[aria-label]'))
    if (!e.getAttribute('aria-label').includes(e.innerText.trim()))
      wrong.push('called otherwise than it reads: ' + e.outerHTML.slice(0, 120));
  const levels = [...document.querySelectorAll('h1, h2, h3, h4')].filter(seen)
    .map(e => +e.tagName[1]);
  if (innerWidth > 800 && levels.filter(level => level === 1).length !== 1) wrong.push('no h1');
  const regions = [...document.querySelectorAll('[role=region]')].map(e => e.ariaLabel);
  if (new Set(regions).size < regions.length) wrong.push('regions of the same name');
  if (!document.documentElement.lang) wrong.push('no language');
  return wrong;
}
"""

CONTRAST = """
() => {
  const luminance = ([r, g, b]) => {
    const linear = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const [x, y, z] = [r, g, b].map(v => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const parse = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3]));
  const ground = (e) => {
    const chain = [];
    for (let n = e; n; n = n.parentElement)
      chain.unshift(parse(getComputedStyle(n).backgroundColor));
    return chain.reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const wrong = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    const seen = e.checkVisibility({opacityProperty: true, visibilityProperty: true});
    if (!walker.currentNode.data.trim() || !seen) continue;
    if (e.closest('.visually-hidden, .skip, option, :disabled')) continue;
    const style = getComputedStyle(e);
    const back = ground(e);
    const text = over(parse(style.color), back);
    const [light, dark] = [luminance(text), luminance(back)].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5))
      wrong.push(`${ratio.toFixed(2)} ${e.className}: ${walker.currentNode.data.slice(0, 40)}`);
  }
  return [...new Set(wrong)];
}
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_names_roles_and_contrast(browser: Any, base: str, theme: str):
    look = Look(browser, base, color_scheme=theme)
    look.expected = ("404",)
    page = look.page

    def check(what: str) -> None:
        assert page.evaluate(NAMELESS) == [], what
        assert page.evaluate(CONTRAST) == [], what

    look.open(at("rich"))
    page.locator(".item.assistant").first.wait_for()
    for fold in page.locator("details.fold summary").all():
        fold.click()
    page.locator(".item.user").first.hover()
    check("a session")
    page.get_by_label("More").click()
    check("a menu")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    check("the keys")
    page.keyboard.press("Escape")
    for place, shown in (
        ("&find=keepers", page.locator("#found mark")),
        ("&show=storage", page.get_by_text("can be restored for 30 days")),
        ("&in=trash", rows(page).or_(page.get_by_text("The trash is empty."))),
        ("&session=branched&at=none", page.get_by_role("heading", name="That didn't work")),
    ):
        look.open(f"{HOME}{place}")
        shown.first.wait_for()
        check(place)
    look.open(at("branched"))
    page.get_by_text("A branch parts here").click()
    check("branches")
    look.open("?agent=companion")
    page.get_by_label("Message", exact=True).wait_for()
    check("chat")
    look.context.close()


def test_the_focus_goes_in_order_and_comes_back(look: Look):
    page = look.open(at("rich"))
    page.locator(".item").first.wait_for()
    seen: list[str] = []
    for _ in range(14):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(e => e.getAttribute('aria-label') || e.innerText.trim().split('\\n')[0])"
                "(document.activeElement)"
            )
        )
    assert seen[0] == "Skip to the session"
    assert seen[1].startswith("Agent: ")
    assert seen.index("Search everything") < seen.index("Sessions") < seen.index("Order and tags")
    assert sum(name in page.locator("li.row .title").all_inner_texts() for name in seen) <= 1
    page.get_by_label("More").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "menuitem"
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "More"
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "More"
    rows(page).first.wait_for()


def test_a_server_that_stops_answering_says_what_to_do(look: Look):
    look.expected = ("ERR_", "Failed to load")
    page = look.open(f"{HOME}&q=northern")
    rows(page).nth(3).wait_for()
    page.context.route("**/api/**", lambda route: route.abort())
    rows(page).nth(3).locator("a").click()
    page.get_by_text("The server doesn't answer.").first.wait_for()
    page.context.unroute("**/api/**")
    page.get_by_role("main").get_by_role("button", name="Try again").click()
    page.locator(".item").first.wait_for()
    assert re.search("session=", page.url)
