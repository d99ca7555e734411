"""Markdown of a message as HTML that is safe to show, for the page and the `html` export.

Raw HTML in it is shown as text. What is made is sanitized again by another library, so that a flaw
in one of them harms nobody.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore
    from markdown_it.token import Token

MAX_RENDERED: Final = 256 << 10
"""Characters up to which a text is rendered; a longer one is shown as it is."""

_TAGS: Final = set(
    "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre s strong "
    "table tbody td th thead tr ul".split()
)
_ATTRIBUTES: Final = {"a": {"href", "title", "class"}, "code": {"class"}, "ol": {"start"}}
_LANGUAGE: Final = re.compile(r"language-[A-Za-z0-9_+#.-]{1,40}")
_ADDRESS: Final = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
_SCHEMES: Final = {"http", "https", "mailto"}


def render_html(markdown_text: str) -> str:
    """The HTML of a message's content.

    CommonMark with tables and strikethrough. Links lead to `http`, `https` and `mailto` only, with
    `rel="noopener nofollow"`; pictures become links of the class
    `picture`, so nothing is loaded. A text of more than
    `MAX_RENDERED` characters comes as it is, in `<pre>`.
    """
    import nh3

    if len(markdown_text) > MAX_RENDERED:
        return f"<pre>{escape(markdown_text)}</pre>\n"
    return nh3.clean(
        _parser().render(markdown_text),
        tags=_TAGS,
        clean_content_tags={"script", "style"},
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        link_rel="noopener nofollow",
        url_schemes=_SCHEMES,
    )


def _attribute(tag: str, name: str, value: str) -> str | None:
    if tag == "a" and name == "href":  # a relative one would lead into the page's own server
        return value if _ADDRESS.match(value) else None
    if tag == "a" and name == "class":
        return value if value == "picture" else None
    if tag == "code" and name == "class":
        return value if _LANGUAGE.fullmatch(value) else None
    return value


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.core.ruler.push("pictures_as_links", _pictures_as_links)
    return parser


def _pictures_as_links(state: StateCore) -> None:
    for token in state.tokens:
        if token.children:
            token.children = _without_pictures(token.children)


def _without_pictures(tokens: list[Token]) -> list[Token]:
    from markdown_it.token import Token

    made: list[Token] = []
    links = 0
    for token in tokens:
        links += (token.type == "link_open") - (token.type == "link_close")
        if token.type != "image":
            made.append(token)
            continue
        text = Token("text", "", 0, content=token.content or "picture")
        address = token.attrGet("src")
        if links or not address:  # a link in a link is none
            made.append(text)
            continue
        opening = Token("link_open", "a", 1, attrs={"href": address, "class": "picture"})
        made += [opening, text, Token("link_close", "a", -1)]
    return made
