"""`markdown` and `html`: what a person reads is there, and nothing in it has an effect."""

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mythline.formats import html, markdown
from mythline.formats.rendering import MAX_RENDERED, render_html
from mythline.formats.types import ExportedSession
from tests.formats import samples
from tests.formats.samples import answer, call, prompt, request, response, session, text

DEFERRED = b'{"calls":[{"tool_call_id":"c8"}],"approvals":[{"tool_call_id":"c9"}]}'
TALK = session(
    [
        *samples.chain(
            *samples.EVERY_PART,
            request(prompt("And then?"), state="interrupted"),
            response(
                text("# Heading\n\n```python\nprint(1)\n"),
                call("a", None, "c7"),
                call("b", "{not json", "c8"),
                call("c", {"x": ["`````"]}, "c9"),
                state="incomplete",
            ),
            request(answer("a", "Not allowed.", "c7", outcome="denied")),
            response(text("Too long"), finish_reason="length", usage={"output_tokens": 4096}),
            b'{"kind":"dream","parts":[]}',
            response({"part_kind": "hologram", "content": "x"}),
            request(answer("late", {"kind": "binary", "data": "QUJD"}, "c99", outcome="failed")),
        )
    ],
    title="A talk",
    tags=("x", "y"),
    usage=b'{"requests":5,"input_tokens":1234}',
    deferred_tool_requests=DEFERRED,
)


def as_markdown(talk: ExportedSession = TALK) -> str:
    return b"".join(markdown.pieces(talk)).decode()


def as_html(talk: ExportedSession = TALK) -> str:
    return b"".join(html.pieces(talk)).decode()


def test_markdown_has_what_a_person_reads():
    page = as_markdown()
    for part in [
        "# A talk\n", "- **Agent:** helper", "- **Created:** 2026-03-01 12:30:15 UTC",
        "- **Tags:** x, y", "- **Usage:** 5 requests, 1,234 tokens in",
        "## User · 2026-03-01 12:30:15 UTC", "## Assistant · test-1 · 2026-03-01 12:30:15 UTC",
        "> Be kind.", "> What is this?", "- `https://example.com/a.png` (image url)",
        "- `a1b2c3` (image/png, 8 bytes)", "- `file-1` (uploaded file)",
        "<details><summary>Thinking</summary>\n\n> Hm.\n\n</details>",
        '**Tool call** `look`\n\n```json\n{\n  "path": "a/b"', "*12 tokens in, 3 tokens out*",
        "**Result** of `look`\n\n```\n{\n  \"found\": true\n}\n```",
        "**Result** of `ask` — to be tried again", "**Result** of `ask` — interrupted",
        "**Result** of `a` — denied\n\n```\nNot allowed.", "**Tool call** `b` — waiting for its",
        "**Tool call** `c` — waiting for approval\n\n``````json", "{not json", "*Interrupted.*",
        "*Incomplete.*", "*Cut off: the limit of tokens was reached.*", "*4,096 tokens out*",
        "## Not readable", "message of the kind 'dream'", "part of the kind 'hologram'",
        "**Result** of `late` — failed\n\n- `file` (binary, 3 bytes)",
    ]:  # fmt: skip
        assert part in page, part
    assert samples.PNG not in page


def test_html_has_what_a_person_reads():
    page = as_html()
    for part in [
        "<title>A talk</title>", "<dt>Tags</dt><dd>x, y</dd>", "<strong>User</strong>",
        "<strong>Assistant</strong> · test-1 · 2026-03-01 12:30:15 UTC", "<p>Be kind.</p>",
        "<li><code>a1b2c3</code> (image/png, 8 bytes)</li>",
        "<details><summary>Thinking</summary>\n<p>Hm.</p>", "Tool call <code>look</code>",
        "&quot;path&quot;: &quot;a/b&quot;", "<footer>12 tokens in, 3 tokens out</footer>",
        'Result of <code>a</code> — <span class="state">denied</span>',
        'Tool call <code>c</code> — <span class="state">waiting for approval</span>',
        '<p class="state">Incomplete.</p>', "message of the kind &#x27;dream&#x27;",
        '<code class="language-python">print(1)',
    ]:  # fmt: skip
        assert part in page or part.replace("&#x27;", "'") in page, part
    assert samples.PNG not in page


def test_an_empty_session_is_a_whole_document():
    assert as_markdown(session([])).startswith("# one\n")
    assert as_html(session([])).endswith("</html>\n")


def test_calls_stand_with_their_results_whatever_is_between():
    talk = session(
        samples.chain(
            response(call("a", {}, "1"), call("b", {}, "2")),
            request(answer("b", "for b", "2"), answer("a", "for a", "1")),
        )
    )
    page = as_markdown(talk)
    assert re.search(r"`a`.*for a.*`b`.*for b", page, re.DOTALL)


def test_documents_come_in_pieces():
    bodies = [request(prompt(f"Prompt {n}")) for n in range(50)]
    talk = session(samples.chain(*bodies))
    assert len(list(markdown.pieces(talk))) == 51
    assert len(list(html.pieces(talk))) == 52


# Nothing that anyone said, named or tagged has an effect.

ATTACKS = [
    "<script>alert(1)</script>",
    "<ScRiPt\n>alert(1)</sCrIpT >",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=x onerror=alert(1)//",
    '"><svg/onload=alert(1)>',
    "'\"--></style></script></title></textarea></pre></details><svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext><table><mglyph><style><img src onerror=alert(1)>",
    "<style>@import url(//evil.example/x.css);</style>",
    '<div style="background:url(javascript:alert(1))">',
    '<iframe srcdoc="<script>alert(1)</script>"></iframe>',
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" &#14; javascript:alert(1)">x</a>',
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A&#x61&#x76ascript:alert(1))",
    "[x](\\j\\avascript:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](\x01javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox(1))",
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x](/api/agents)",
    "[x]: javascript:alert(1)\n\n[x]",
    "<javascript:alert(1)>",
    "![x](https://evil.example/pixel.png)",
    "![x](javascript:alert(1))",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "[![x](https://evil.example/a.png)](javascript:alert(1))",
    '![x](https://evil.example/a.png" onerror="alert(1))',
    '[x](https://a.example "t\\" onmouseover=alert(1)")',
    "```<script>alert(1)</script>\nx\n```",
    '```x"onmouseover=alert(1)\nx\n```',
    "`<script>alert(1)</script>`",
    "``` `<img src=x onerror=alert(1)>",
    "`a\n\n<img src=x onerror=alert(1)>\n\nb`",
    "<!-- <img src=x onerror=alert(1)> -->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<?php echo 1 ?>",
    "</details></article></main><script>alert(1)</script>",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<form action=//evil.example><input type=submit>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\x00<scr\x00ipt>alert(1)</script>",
    "| <img src=x onerror=alert(1)> |\n|-|\n| ![x](//evil.example) |",
    "<x" + " a" * 50 + " onclick=alert(1)>",
]

HARMLESS: set[str] = set(
    "html head meta title style body h1 h2 h3 h4 h5 h6 dl dt dd main article header footer strong "
    "div span details summary ul ol li code pre p br a blockquote em del s hr table thead tbody "
    "tr th td".split()
)


class Harmless(HTMLParser):
    """Refuses whatever could run, load, or lead to where it may not."""

    def __init__(self, allowed: set[str]) -> None:
        super().__init__(convert_charrefs=True)
        self.allowed = allowed

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.allowed, tag
        for name, value in attrs:
            where = (tag, name)
            if where == ("a", "href"):
                assert re.match(r"(https?|mailto):", value or ""), value
            elif where == ("code", "class"):
                assert re.fullmatch(r"language-[\w+#.-]+", value or ""), value
            elif where == ("a", "class"):
                assert value == "picture"
            elif tag == "a":
                assert name in ("rel", "title"), where
            elif tag == "meta":
                assert name in ("charset", "http-equiv", "content", "name")
            else:
                assert where in {
                    ("html", "lang"), ("article", "class"), ("p", "class"), ("div", "class"),
                    ("span", "class"), ("ol", "start"),
                }, where  # fmt: skip

    handle_startendtag = handle_starttag

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)


def check(page: str, allowed: set[str]) -> None:
    parser = Harmless(allowed)
    parser.feed(page)
    parser.close()


def everywhere(attack: str) -> ExportedSession:
    """A session that has `attack` in every field that can hold text."""
    said = attack
    binary = {"data": "QUJD", "media_type": said, "kind": "binary", "identifier": said}
    link = {"url": said, "kind": "image-url", "media_type": said}
    return session(
        samples.chain(
            request(
                {"content": said, "timestamp": said, "part_kind": "system-prompt"},
                prompt([said, binary, link]),
                timestamp=said,
            ),
            response(
                {"content": said, "part_kind": "thinking"},
                text(said),
                call(said, {said: [said]}, said),
                call(said, said, "2"),
                {"part_kind": said},
                model_name=said,
                timestamp=said,
                finish_reason=said,
                state=said,
            ),
            request(answer(said, said, said), answer(said, [said, binary], "3", outcome=said)),
            b'{"kind":%s,"parts":[]}' % json.dumps(said).encode(),
        ),
        title=attack,
        tags=(attack,),
        forked_from=attack,
        agent_id=attack,
        session_id=attack,
    )


@pytest.mark.parametrize("attack", ATTACKS)
def test_html_is_harmless(attack: str):
    check(render_html(attack), HARMLESS - {"html", "head", "meta", "style", "body", "article"})
    page = as_html(everywhere(attack))
    check(page, HARMLESS)
    assert page.count("<meta") == 4
    assert page.count("<style>") == page.count("</style>") == 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_markdown_is_harmless(attack: str):
    """Raw HTML is only what the export itself writes, and no picture is loaded."""
    for content in (attack, f"> {attack}", f"- {attack}", f"a `b\n{attack}", f"```\n{attack}"):
        tokens = MarkdownIt("commonmark").enable("table").parse(as_markdown(everywhere(content)))
        for token in tokens:
            children = token.children or []
            assert not [x for x in children if x.type in ("html_inline", "image")], children
            if token.type == "html_block":
                own = ("<details><summary>Thinking</summary>\n", "</details>\n")
                assert token.content in own, token.content


@pytest.mark.parametrize(
    "broken",
    [
        "```\nnever closed", "~~~~\nnever closed", "# Heading\nSetext\n===", "- a\n  - b\n\n1. x",
        "> quoted\nlazy", "<div>\nraw", "<!-- never closed", "    indented", "a\n---", "``` `` `",
        "| a |\n|-|", "line  \nbreak\r\nand\rmore", "\ttab", "</details>", "[x]: /url\n", "***",
    ],
)  # fmt: skip
def test_nothing_said_breaks_the_structure_of_markdown(broken: str):
    talk = session(
        samples.chain(
            request(prompt(broken)),
            response({"content": broken, "part_kind": "thinking"}, text(broken), call("t", broken)),
            request(answer("t", broken)),
            response(text("The end.")),
        )
    )
    tokens = MarkdownIt("commonmark").parse(as_markdown(talk))
    headings = [
        tokens[place + 1].content.split(" ")[0]
        for place, token in enumerate(tokens)
        if token.type == "heading_open" and token.level == 0
    ]
    assert headings == ["one", "User", "Assistant", "Assistant"]
    fences = [token.content for token in tokens if token.type == "fence" and token.level == 0]
    assert fences == [broken.replace("\r\n", "\n").replace("\r", "\n") + "\n"] * 2
    assert [t.content.strip() for t in tokens if t.type == "html_block" and t.level == 0] == [
        "<details><summary>Thinking</summary>",
        "</details>",
    ]


@settings(deadline=None)  # machines are slow at times
@given(st.text(alphabet="<>`!*[]()&#;:/\\ \n\t-=_~|'\"ascript123", max_size=60))
def test_any_text_is_harmless(said: str):
    check(render_html(said), HARMLESS)
    careful = MarkdownIt("commonmark").parse(markdown.quote(markdown.inert(said)))
    kinds = {t.type for t in careful} | {c.type for t in careful for c in t.children or []}
    assert not kinds & {"html_block", "html_inline", "image"}


def test_code_keeps_its_characters():
    said = "Use `<b>` and\n\n```html\n<b>![x](y)</b>\n```\n\nnot <b>."
    assert markdown.inert(said) == said.replace("not <b>", "not &lt;b>")


# What is allowed


@pytest.mark.parametrize(
    ("said", "made"),
    [
        (
            "[x](https://a.example/?q=1&r=2)",
            '<p><a href="https://a.example/?q=1&amp;r=2" rel="noopener nofollow">x</a></p>\n',
        ),
        ("[x](mailto:a@b.example)", '<p><a href="mailto:a@b.example" rel="noopener nofollow">x'),
        (
            "![a cat](https://a.example/c.png)",
            '<p><a href="https://a.example/c.png" class="picture" '
            'rel="noopener nofollow">a cat</a></p>\n',
        ),
        (
            "[![a cat](https://a.example/c.png)](https://b.example)",
            '<p><a href="https://b.example" rel="noopener nofollow">a cat</a></p>\n',
        ),
        ("```c++\nx<y>\n```", '<pre><code class="language-c++">x&lt;y&gt;\n</code></pre>\n'),
        ("| a |\n|---|\n| b |", "<table>\n<thead>\n<tr>\n<th>a</th>"),
        ("~~a~~ **b** *c*", "<p><s>a</s> <strong>b</strong> <em>c</em></p>\n"),
        ("<b>x</b> &amp; 1 < 2", "<p>&lt;b&gt;x&lt;/b&gt; &amp; 1 &lt; 2</p>\n"),
        ("3. x", '<ol start="3">\n<li>x</li>\n</ol>\n'),
    ],
)
def test_markdown_is_rendered(said: str, made: str):
    assert render_html(said).startswith(made)


def test_a_very_long_text_comes_as_it_is():
    said = "<b>" * (MAX_RENDERED // 3 + 1)
    assert render_html(said) == f"<pre>{said.replace('<', '&lt;').replace('>', '&gt;')}</pre>\n"
