"""Formats that sessions are exported to and imported from, one module each.

Pure functions over bytes: they know no store, and need Pydantic AI only to read other programs'
files. `export` writes an `ExportedSession`, `read` gives the `ImportedSession`s of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, cast, get_args

from ..errors import InvalidInput
from .types import ExportedSession, ImportedSession, Source

if TYPE_CHECKING:
    from .rendering import render_html
    from .sanitizing import sanitized
    from .sniffing import Format, read, sniff

__all__ = [
    "EXPORTS",
    "ExportFormat",
    "ExportedSession",
    "Format",
    "ImportedSession",
    "Source",
    "export",
    "read",
    "render_html",
    "sanitized",
    "sniff",
]

ExportFormat = Literal["json", "jsonl", "markdown", "html"]


class _Kind(NamedTuple):
    """An export format: its module, media type, and the suffix of a file."""

    module: str
    media_type: str
    suffix: str


EXPORTS: Final[dict[ExportFormat, _Kind]] = {
    "json": _Kind("array", "application/json", ".json"),
    "jsonl": _Kind("jsonl", "application/x-ndjson", ".jsonl"),
    "markdown": _Kind("markdown", "text/markdown; charset=utf-8", ".md"),
    "html": _Kind("html", "text/html; charset=utf-8", ".html"),
}
_HOMES: Final = {
    "Format": "sniffing",
    "read": "sniffing",
    "render_html": "rendering",
    "sanitized": "sanitizing",
    "sniff": "sniffing",
}


def export(session: ExportedSession, export_format: ExportFormat) -> Iterator[bytes]:
    """A session in a format, in pieces.

    Raises:
        InvalidInput: If there is no such format. It names those that there are.
    """
    if export_format not in EXPORTS:
        known = ", ".join(get_args(ExportFormat))
        raise InvalidInput(f"No format {export_format!r}. Known are: {known}.")
    module = import_module(f".{EXPORTS[export_format].module}", __name__)
    pieces = cast("Callable[[ExportedSession], Iterator[bytes]]", module.pieces)
    return pieces(session)


def __getattr__(name: str) -> object:
    """What needs a library that takes long to import, when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
