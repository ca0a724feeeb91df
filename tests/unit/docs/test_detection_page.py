"""docs/detection.md names every anomaly, decoding and bound of the reader, and no other."""

import re
import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import pytest

from miltscan.core.anomalies import AttachmentAnomaly, CmsAnomaly, ZipAnomaly
from miltscan.core.mime.closed import MALFORMED, Anomaly, Decoding, ReaderLimit
from miltscan.core.mime.part import MIB, Bounds

PAGE = (Path(__file__).parents[3] / "docs" / "detection.md").read_text()


def rows(head: str) -> dict[str, list[str]]:
    """The cells of each row of the table that begins with this cell, by the name in the first one."""
    lines = PAGE[PAGE.index(f"\n| {head} |") + 1 :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {first.strip(" `"): others for first, *others in cells}


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("anomaly", [*Anomaly, *CmsAnomaly, *ZipAnomaly, *AttachmentAnomaly]),
        ("decoding", Decoding),
        ("bound", ReaderLimit),
    ],
)
def test_a_table_names_all(head: str, names: Iterable[StrEnum]) -> None:
    """Each has one row; a new one without a row is an error."""
    assert list(rows(head)) == list(names)


def test_what_is_malformed_is_marked() -> None:
    """The text of these rows begins with the word, and of no others."""
    assert {name for name, (text,) in rows("anomaly").items() if text.startswith("Malformed:")} == MALFORMED


def test_the_values_of_the_bounds() -> None:
    """They are the defaults of the code."""
    bounds, values = Bounds(time.thread_time), {name: cells[0] for name, cells in rows("bound").items()}
    for name in ("depth", "parts", "fields", "candidates"):
        assert values[name] == str(getattr(bounds, name))
    for name in ("header", "output", "memory"):
        number, unit = values[name].split()
        assert int(number) * {"KiB": 1024, "MiB": MIB}[unit] == getattr(bounds, name)
    assert re.findall(r"[\d.]+", values["seconds"]) == [f"{bounds.seconds:g}", f"{bounds.seconds_per_mb:g}"]
