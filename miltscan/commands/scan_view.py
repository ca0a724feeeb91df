"""How `scan --explain` shows the structure of a message: its parts in all readings, and what was scanned."""

import time
from collections.abc import Iterator
from dataclasses import replace

from miltscan.commands.tables import Column, indented, size_text, table
from miltscan.core.mime.part import Bounds, Part
from miltscan.core.mime.reader import read_message
from miltscan.core.reply_text import status
from miltscan.core.report import Report
from miltscan.core.structure import ScannedPart
from miltscan.core.text import readable

_COLUMNS = (
    Column("part"),
    Column("size", right=True),
    Column("encoding"),
    Column("result"),
    Column("type"),
    Column("name"),
)
_LONGEST = 40  # characters of a type or a result, so that the columns fit


def structure_text(data: bytes, report: Report, width: int) -> Iterator[str]:
    """The lines about a message with these bytes, on which this is the report."""
    if report.message.structure is None:
        yield "  its structure was not read"
        return
    reading = read_message(data, Bounds(time.thread_time))
    if report.message.structure.plain:
        yield "  all mail programs read it alike: its parts are scanned with the message"
    elif reading.plain and not report.message.structure.anomalies:
        yield from indented("all mail programs read it alike: what is in its archives is scanned as well", width)
    else:
        odd = ", ".join(report.message.structure.anomalies) or "no anomaly with a name"
        yield from indented(f"it can be read in several ways: {odd}", width)
    if reading.limit:
        yield f"  it was not read to its end, because of a bound: {reading.limit}"
    scans = {(one.path, one.size): one for one in report.message.structure.scans}
    other = "with the message" if reading.plain else "not by itself"
    rows = [_row(part, scans, other) for part in reading.parts]
    rows += [[path, size_text(size), "", _result(one), "", ""] for (path, size), one in scans.items()]
    yield from (f"  {line}" for line in table(_COLUMNS, rows, width - 2))


def _row(part: Part, scans: dict[tuple[str, int], ScannedPart], other: str) -> list[str]:
    """The row of a part, which is taken out of `scans`; `other` is the result of one that is not there."""
    size = sum(map(len, part.chunks()))
    scan = scans.pop((part.path, size), None)
    types = readable(b", ".join(part.types), _LONGEST)
    names = ", ".join(readable(one.value) for one in part.names)
    return [part.path, size_text(size), part.decoding, _result(scan) if scan else other, types, names]


def _result(scan: ScannedPart) -> str:
    return readable(status(replace(scan.verdict, part="")), _LONGEST)
