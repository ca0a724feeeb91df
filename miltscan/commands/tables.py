"""Tables and lists of facts for a terminal: hostile text cleaned, wide characters counted, no line too long.

A column of a terminal holds one narrow character; East Asian characters and emoji take two. Without a terminal the
width is that of COLUMNS, else 80, so that a line looks the same in a pipe.
"""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from miltscan.core.text import readable

_NARROWEST = 60  # below this width no table can be read
_GAP = "  "
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_KIBI = 1024
_ONE_DIGIT = 10  # below it, a size has one decimal
_SCANNED = 4  # characters read for each column: more than any text needs that fits


class Column(NamedTuple):
    """A column: its title, and whether it is aligned to the right, as numbers are."""

    title: str
    right: bool = False


def terminal_width() -> int:
    """The columns of the terminal."""
    return max(_NARROWEST, shutil.get_terminal_size((80, 24)).columns)


def fit(text: str, width: int) -> str:
    """The text, cleaned, in at most `width` columns; … marks what was left out."""
    clean = readable(text, _SCANNED * max(width, 1))
    if cell_len(clean) <= width:
        return clean
    return set_cell_size(clean, width - 1).rstrip() + "…"


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """A line of titles and a line for each row: only the last column is cut to fit `width`, the others are short."""
    cells = [[column.title for column in columns], *([readable(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(row[place]) for row in cells) for place in range(len(columns))]
    for row in cells:
        parts = [_padded(cell, wide, column) for cell, wide, column in zip(row, widths, columns, strict=True)]
        yield fit(_GAP.join(parts).rstrip(), width)


def facts(pairs: Iterable[tuple[str, str]], width: int) -> Iterator[str]:
    """A line for each pair of name and value, longer values on several lines; a pair without a value is left out."""
    known = [(name, value) for name, value in pairs if value]
    indent = max((len(name) for name, _ in known), default=0) + 2 * len(_GAP)
    for name, value in known:
        for number, line in enumerate(wrapped(value, width - indent)):
            yield f"{_GAP}{'' if number else name}".ljust(indent) + line


def wrapped(text: str, width: int) -> Iterator[str]:
    """The text, cleaned, in lines of at most `width` columns: broken between words, or within a word that is longer."""
    line = ""
    for word in readable(text).split(" "):
        if line and cell_len(line) + 1 + cell_len(word) <= width:
            line += f" {word}"
            continue
        if line:
            yield line
        line = word
        while cell_len(line) > width:
            head = set_cell_size(line, width).rstrip()  # half of a wide character becomes a blank
            yield head
            line = line[len(head) :]
    if line.strip():
        yield line.rstrip()


def indented(text: str, width: int) -> Iterator[str]:
    """The text in indented lines of at most `width` columns, from the second one on indented further."""
    for number, line in enumerate(wrapped(text, width - 2 * len(_GAP))):
        yield (_GAP + line) if number == 0 else (2 * _GAP + line)


def size_text(size: int) -> str:
    """Bytes in the unit that people read: `812 B`, `30 KiB`, `1.4 MiB`."""
    value, unit = float(size), 0
    while round(value) >= _KIBI and unit < len(_UNITS) - 1:
        value, unit = value / _KIBI, unit + 1
    digits = 1 if unit and value < _ONE_DIGIT else 0
    return f"{value:.{digits}f} {_UNITS[unit]}"


def time_text(time: float, *, seconds: bool = False) -> str:
    """A time in seconds of the epoch as local time, as `trace` shows it."""
    form = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(time).astimezone().strftime(form)


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun: `1 entry`, `2,000 entries`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _padded(cell: str, width: int, column: Column) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if column.right else cell + space
