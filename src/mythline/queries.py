"""Named SQL from a commented file: `-- name: get_session`, then the statement."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


def load(package: str) -> dict[str, str]:
    """The statements of `queries.sql` in `package`, by name, in the order of the file."""
    text = resources.files(package).joinpath("queries.sql").read_text("utf-8")
    pieces = _NAME.split(text)[1:]
    return {name: body.strip() for name, body in zip(pieces[::2], pieces[1::2], strict=True)}


def migrations(package: str) -> list[tuple[int, str]]:
    """The numbered migrations of `package`, lowest first: their numbers and scripts."""
    folder = resources.files(package).joinpath("migrations")
    files = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(int(name[:4]), folder.joinpath(name).read_text("utf-8")) for name in files]
