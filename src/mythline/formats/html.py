"""The `html` format: what a person reads, as one file that loads nothing and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Final

from .blocks import Call, Files, Section, Text, facts, file_line, sections, when
from .rendering import render_html
from .types import ExportedSession

_STYLE: Final = """
:root { color-scheme: light dark; --line: #d5d9e0; --soft: #5c6470; --user: #eef4ff;
  --code: #f4f5f7; --bad: #a3262b; }
@media (prefers-color-scheme: dark) { :root { --line: #3a404a; --soft: #a4acb8;
  --user: #1c2738; --code: #20242b; --bad: #ff9a9e; } }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 48rem; margin: 0 auto;
  padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt, header, footer, summary { color: var(--soft); }
dd { margin: 0; }
article { border: 1px solid var(--line); border-radius: .5rem; margin: 1rem 0;
  padding: .6rem 1rem; }
article.user { background: var(--user); }
article > header, article > footer { font-size: .85rem; }
article > header strong { color: CanvasText; }
.state { color: var(--bad); }
.call { border-left: 3px solid var(--line); padding-left: .8rem; margin: .8rem 0; }
pre, code { font: .875em/1.45 ui-monospace, monospace; background: var(--code); }
pre { padding: .6rem; border-radius: .3rem; overflow-x: auto; white-space: pre-wrap; }
blockquote { border-left: 3px solid var(--line); margin-left: 0; padding-left: 1rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .2rem .5rem; text-align: left; }
@media print { body { max-width: none; } article { break-inside: auto; }
  article > header { break-after: avoid; } pre { overflow: visible; } }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
)
_NAMES: Final = {
    "user": "User",
    "assistant": "Assistant",
    "system": "System",
    "unreadable": "Not readable",
}


def pieces(session: ExportedSession) -> Iterator[bytes]:
    """The document in pieces: its head, a section each, and its end."""
    title = escape(session.details.title or session.details.session_id)
    told = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in facts(session)
    )
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<dl>\n{told}</dl>\n<main>\n"
    ).encode()
    for section in sections(session):
        yield "".join(_section(section)).encode()
    yield b"</main>\n</body>\n</html>\n"


def _section(section: Section) -> Iterator[str]:
    said = [f"<strong>{_NAMES[section.kind]}</strong>"]
    said += [escape(word) for word in (section.model, when(section.timestamp)) if word]
    yield f'<article class="{section.kind}">\n<header>{" · ".join(said)}</header>\n'
    for block in section.blocks:
        match block:
            case Text(content, True):
                yield (f"<details><summary>Thinking</summary>\n{render_html(content)}</details>\n")
            case Text(content):
                yield f"<div>{render_html(content)}</div>\n"
            case Files():
                yield _files(block)
            case Call():
                yield from _call(block)
    if section.state:
        yield f'<p class="state">{escape(section.state.capitalize())}.</p>\n'
    if section.usage:
        yield f"<footer>{escape(section.usage)}</footer>\n"
    yield "</article>\n"


def _files(files: Files) -> str:
    named = (file_line(file) for file in files.attachments)
    items = (f"<li><code>{escape(name)}</code> ({escape(said)})</li>" for name, said in named)
    return f"<ul>{''.join(items)}</ul>\n"


def _call(call: Call) -> Iterator[str]:
    yield '<div class="call">\n'
    name = f"<code>{escape(call.name)}</code>"
    if call.args is not None:
        yield f"<div>Tool call {name}{_state(call.state)}</div>\n"
        if call.args:
            yield f"<pre>{escape(call.args)}</pre>\n"
    if call.result is not None:
        yield f"<div>Result of {name}{_state(call.result.state)}</div>\n"
        if call.result.content:
            yield f"<pre>{escape(call.result.content)}</pre>\n"
        if call.result.attachments:
            yield _files(Files(call.result.attachments))
    yield "</div>\n"


def _state(state: str | None) -> str:
    return f' — <span class="state">{escape(state)}</span>' if state else ""
