"""The `markdown` format: what a person reads, in CommonMark that nothing said can break.

Each text stands in a block quote, so its headings, fences and lists end with it. HTML and pictures
in it lose their effect, except in code, where they have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Final

from .blocks import Call, Files, Section, Text, facts, file_line, sections, when
from .types import ExportedSession

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>&#|~!])")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]")
_TICKS: Final = re.compile(r"`+")
_CODE_SPAN: Final = re.compile(r"(?<!`)(`+)(?!`)(.*?)(?<!`)\1(?!`)", re.DOTALL)
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
_PICTURE: Final = re.compile(r"!(?=\[)")
_NAMES: Final = {
    "user": "User",
    "assistant": "Assistant",
    "system": "System",
    "unreadable": "Not readable",
}


def pieces(session: ExportedSession) -> Iterator[bytes]:
    """The document in pieces: its head, then a section each."""
    title = session.details.title or session.details.session_id
    head = [f"# {escaped(title)}", ""]
    head += [f"- **{name}:** {escaped(value)}" for name, value in facts(session)]
    yield ("\n".join(head) + "\n").encode()
    for section in sections(session):
        yield ("\n" + "\n\n".join(_section(section)) + "\n").encode()


def _section(section: Section) -> Iterator[str]:
    said = [_NAMES[section.kind], section.model or "", when(section.timestamp)]
    yield "## " + " · ".join(escaped(word) for word in said if word)
    for block in section.blocks:
        match block:
            case Text(content, is_thinking):
                quoted = quote(inert(content))
                yield _folded("Thinking", quoted) if is_thinking else quoted
            case Files():
                yield _files(block)
            case Call():
                yield from _call(block)
    if section.state:
        yield f"*{escaped(section.state.capitalize())}.*"
    if section.usage:
        yield f"*{escaped(section.usage)}*"


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>"


def _files(files: Files) -> str:
    named = (file_line(file) for file in files.attachments)
    return "\n".join(f"- {code(name)} ({escaped(said)})" for name, said in named)


def _call(call: Call) -> Iterator[str]:
    state = f" — {escaped(call.state)}" if call.state else ""
    if call.args is not None:
        yield f"**Tool call** {code(call.name)}{state}"
        if call.args:
            yield fence(call.args, "json" if call.args[0] in "{[" else "")
    if call.result is not None:
        state = f" — {escaped(call.result.state)}" if call.result.state else ""
        yield f"**Result** of {code(call.name)}{state}"
        if call.result.content:
            yield fence(call.result.content)
        if call.result.attachments:
            yield _files(Files(call.result.attachments))


def escaped(text: str) -> str:
    """`text` on one line, so that Markdown shows its characters."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return _SPECIAL.sub(r"\\\1", line)


def code(text: str) -> str:
    """`text` as a code span on one line."""
    line = " ".join(_CONTROL.sub(" ", text).split()) or " "
    ticks = "`" * (_longest_run(line) + 1)
    space = " " if line[0] in "` " or line[-1] in "` " else ""
    return f"{ticks}{space}{line}{space}{ticks}"


def fence(text: str, language: str = "") -> str:
    """`text` as a fenced block that nothing in it can end."""
    ticks = "`" * max(3, _longest_run(text) + 1)
    lines = _CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return f"{ticks}{language}\n{lines}\n{ticks}"


def _longest_run(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)


def quote(text: str) -> str:
    """`text` as a block quote."""
    lines = _CONTROL.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
    return "\n".join(f"> {line}" if line else ">" for line in lines)


def inert(text: str) -> str:
    """Markdown with its tags and pictures made text, outside of code.

    If that can't be told apart for sure, code shows `&lt;` where it has `<`.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not _TAG.search(text) and not _PICTURE.search(text):
        return text
    careful = _outside_code(text)
    if _has_effect(careful):
        return _disarmed(text)
    return careful


def _outside_code(text: str) -> str:
    lines = text.split("\n")
    kept = {
        number
        for token in _parser().parse(text)
        if token.type in ("fence", "code_block") and token.map
        for number in range(*token.map)
    }
    made: list[str] = []
    run: list[str] = []
    for number, line in enumerate(lines):
        if number in kept:
            if run:
                made.append(_without_effect("\n".join(run)))
                run = []
            made.append(line)
        else:
            run.append(line)
    if run:
        made.append(_without_effect("\n".join(run)))
    return "\n".join(made)


def _without_effect(text: str) -> str:
    made: list[str] = []
    position = 0
    for span in _CODE_SPAN.finditer(text):
        made += [_disarmed(text[position : span.start()]), span[0]]
        position = span.end()
    return "".join([*made, _disarmed(text[position:])])


def _disarmed(text: str) -> str:
    return _PICTURE.sub("&#33;", _TAG.sub("&lt;", text))


def _has_effect(text: str) -> bool:
    def any_in(tokens: list[Token]) -> bool:
        return any(
            token.type in ("html_block", "html_inline", "image") or any_in(token.children or [])
            for token in tokens
        )

    return any_in(_parser().parse(quote(text)))


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")
