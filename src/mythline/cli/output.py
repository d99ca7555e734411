"""What is printed: for people on a terminal, as plain lines in a pipe, or as JSON for programs.

Text of sessions is other people's: what would steer a terminal never gets to one.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Controls (C0 without line break, DEL, C1), marks that turn the direction of what follows, line
# separators, invisible operators, and half characters. Joiners stay: emoji and scripts need them.
_UNSAFE: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
LEAST: Final = 12
"""Columns of a terminal that a shortened cell gets at least."""
_SPACES: Final = frozenset("\t\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")


def clean(text: str) -> str:
    """Text of any number of lines without what would steer a terminal.

    Line breaks stay, tabs become spaces, other controls U+FFFD.
    """
    return _UNSAFE.sub(_replaced, text.replace("\r\n", "\n").expandtabs(4))


def plain(text: str) -> str:
    """`clean` text on one line."""
    return clean(text).replace("\n", " ")


def _replaced(match: re.Match[str]) -> str:
    return " " if match[0] in _SPACES else "\ufffd"


def escaped(document: str) -> str:
    """A JSON document that says the same without what would steer a terminal."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", document)


def print_json(value: object) -> None:
    """Print a value as JSON, indented, with all that is unsafe escaped.

    So is all but ASCII where the encoding isn't UTF-8: it might not have the character.
    """
    is_utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    print_line(escaped(json.dumps(value, ensure_ascii=not is_utf8, indent=2)))


def print_line(text: str = "") -> None:
    """Print a line that is known to be safe."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Tell the person something beside the result: on stderr, in one line."""
    sys.stderr.write(plain(text) + "\n")
    sys.stderr.flush()


def has_colour(stream: IO[str]) -> bool:
    """Whether what is written to `stream` may be coloured (https://no-color.org)."""
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") not in ("dumb", "unknown")
    )


def console(stream: IO[str] | None = None, *, coloured: bool | None = None) -> Console:
    """A rich console that writes text as it is: no markup, no emoji codes, no guessing."""
    from rich.console import Console

    class Paper(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 - it is called where the error is handled

    out = sys.stdout if stream is None else stream
    coloured = has_colour(out) if coloured is None else coloured
    return Paper(
        file=out,
        force_terminal=coloured,
        color_system="auto" if coloured else None,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
    )


def print_table(
    columns: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    shorten: str | None = None,
    spare: Sequence[str] = (),
) -> None:
    """A table as wide as the terminal; in a pipe, one line a row with tabs between, all of it.

    Args:
        columns: Their names, which a pipe doesn't get.
        lines: A text for each column.
        shorten: The column that is cut where there is no room; all others are folded.
        spare: Columns that a narrow terminal doesn't get, the first to go first.
    """
    if not sys.stdout.isatty():
        for line in lines:
            print_line("\t".join(map(plain, line)))
        return
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    paper = console()
    cells = {name: [plain(line[place]) for line in lines] for place, name in enumerate(columns)}
    widths = {name: max(map(cell_len, (name, *texts))) for name, texts in cells.items()}
    if shorten is not None:
        for name in (*spare, ""):
            taken = sum(widths.values()) - widths[shorten] + 2 * (len(widths) - 1)
            room = paper.width - taken
            if name == "" or room >= min(LEAST, widths[shorten]):
                widths[shorten] = max(room, LEAST)
                break
            del widths[name]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, width in widths.items():
        cut = name == shorten
        table.add_column(name, overflow="ellipsis" if cut else "fold", no_wrap=cut, max_width=width)
    for row in zip(*(cells[name] for name in widths), strict=True):
        table.add_row(*map(Text, row))
    paper.print(table)


def marked(text: str, marks: Sequence[tuple[int, int]], style: str) -> Text:
    """One line of text with some of its parts in a style."""
    from rich.text import Text

    shown = Text()
    end = 0
    for start, stop in [*marks, (len(text), len(text))]:
        shown.append(plain(text[end:start]))
        shown.append(plain(text[start:stop]), style)
        end = stop
    return shown


def utc(moment: datetime | None) -> str | None:
    """A time as JSON has it: RFC 3339 in UTC with `Z`."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def local(moment: datetime | None) -> str:
    """A time to the minute on the clock here."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


_UNITS: Final = (
    (365 * 86400, "year"),
    (30 * 86400, "month"),
    (7 * 86400, "week"),
    (86400, "day"),
    (3600, "hour"),
    (60, "minute"),
)


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago a time was, or how far ahead it is, in one unit."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    for unit, name in _UNITS:
        if (count := int(abs(seconds) // unit)) > 0:
            words = f"{count} {name}{'s' if count > 1 else ''}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"


def when(moment: datetime | None) -> str:
    """A time in a table: how long ago on a terminal, and the time too where there is room.

    In a pipe, the time alone.
    """
    if moment is None:
        return ""
    if not sys.stdout.isatty():
        return local(moment)
    from shutil import get_terminal_size

    wide = get_terminal_size().columns >= 120
    return f"{local(moment)}, {ago(moment)}" if wide else ago(moment)


def size(count: int) -> str:
    """Bytes as people read them, in powers of 1000."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def number(count: int, thing: str) -> str:
    """`1 session`, `1,234 sessions`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def fields_of(item: Any, names: Sequence[str]) -> dict[str, Any]:
    """Some attributes of an object as JSON has them."""
    return {name: _json(getattr(item, name)) for name in names}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value)
    return list(value) if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
