"""The report: tables with a row for each load, files in a folder with a telling name, and a page with results."""

import json
from pathlib import Path

import pytest

from tests.bench import alone, report, targets, where
from tests.bench.report import Results
from tests.bench.targets import Figure
from tests.bench.whole import Whole
from tests.unit.bench.support import series

WHERE = {"date": "2026-01-02T03:04:05+00:00", "machine": "x86_64, 2 x Some(R) CPU @ 2.00GHz", "miltscan": "0.1"}
RESULTS = Results(
    WHERE,
    [series("accept", [9, 10, 11]), series("miltscan", [1, 2, 3]), series("clamav-milter", [2, 4, 6])],
    memory={"miltscan": [20.04, 30]},
    first_answer={"miltscan": 0.5},
    whole={"no filter": [Whole(100, 90, 16)], "miltscan": [Whole(95, 85, 17)]},
    alone=[Figure(alone.IDLE, (60, 61, 62), "a note"), Figure(alone.START, (1.5,))],
)


@pytest.mark.parametrize(
    "row",
    [
        "| 1 KB | 8 | 32 | 10.0 (9.00 to 11.0) | 2.00 (1.00 to 3.00) | 4.00 (2.00 to 6.00) |",
        "| clamav-milter | together | 1 KB | 8 | 32 | <= 1.1 | 0.50 | 0.00 | met |",
        "| clamav-milter | rate | 1 KB | 8 | 32 | >= 1.2 | 0.50 | 0.00 | MISSED |",
        "| memory of supervisor, one worker and exporter at rest (PSS) | <= 75 MB | 61 MB | 1.5 | met | a note |",
        "| from the start to the first reply | <= 1 s | 1.5 s | 0 | MISSED |  |",
        "2 of 5 targets missed by more than the noise.",
        "| 1 KB | 8 | 32 | 10.0 | 4.00 | 2.5 | 10.0 (9.00 to 11.0) |",
        "| miltscan | 95.0 (95.0 to 95.0) | 85.0 (85.0 to 85.0) | 17.0 (17.0 to 17.0) |",
        "| miltscan | 20.0, 30.0 |  | 0.50 |",
    ],
)
def test_rows(row: str) -> None:
    """The report has rows for medians, targets, headroom, whole sandwiches and memory."""
    assert row in report.markdown(RESULTS).splitlines()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.123"), (1.2345, "1.23"), (12.345, "12.3"), (1234.5, "1234")],
)
def test_three_digits_that_tell(value: float, shown: str) -> None:
    """A figure has three significant digits, as more would be noise."""
    assert report.cell([value]) == f"{shown} ({shown} to {shown})"


def test_the_folder_names_machine_and_versions(tmp_path: Path) -> None:
    """The folder has both forms, and the JSON has every round."""
    folder = report.write(RESULTS, tmp_path)
    assert folder.name == "2026-01-02T03-04-05+00-00_x86_64-2-x-Some-R-CPU-2.00GHz_miltscan-0.1"
    assert (folder / "results.md").read_text().startswith("# Benchmark\n\n- date: 2026")
    stored = json.loads((folder / "results.json").read_text())
    assert [one["cpu"] for one in stored["series"][1]["rounds"]] == [1, 2, 3]


def test_surroundings_say_what_numbers_depend_on() -> None:
    """The surroundings have machine and versions; a missing package is unknown."""
    assert {"date", "machine", "kernel", "miltscan", "libmilter", "ClamAV"} <= where.surroundings().keys()
    assert where.package_version("no-such-package-here") == "unknown"


def test_a_page_keeps_what_is_around_the_result(tmp_path: Path) -> None:
    """Only the text between the marks of a page changes, each time; a page without marks is an error."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- result -->\nold\n<!-- end of result -->\nafter\n")
    for text in ("new", "newer"):
        report.document(page, text)
    assert page.read_text() == "before\n<!-- result -->\n\nnewer\n<!-- end of result -->\nafter\n"
    page.write_text(page.read_text() + "<!-- growth -->\n<!-- end of growth -->\n")
    report.document(page, "grown", "growth")
    assert page.read_text().endswith("after\n<!-- growth -->\n\ngrown\n<!-- end of growth -->\n")
    page.write_text("nothing")
    with pytest.raises(ValueError, match="nothing between"):
        report.document(page, "new")
    assert page.read_text() == "nothing"


def test_a_page_shows_its_pictures(tmp_path: Path) -> None:
    """The pictures are next to the page, always with the same names, so that it never shows those of another run."""
    picture = tmp_path / "rate.png"
    for content in (b"old", b"new"):
        picture.write_bytes(content)
        assert report.illustrate(tmp_path / "page.md", [picture]) == "![rate](images/result-rate.png)\n"
    assert (tmp_path / "images" / "result-rate.png").read_bytes() == b"new"


def test_judgements_of_nothing_are_a_head() -> None:
    """No row, no error."""
    assert len([*report.judgements(targets.judged([]))]) == 2


def test_a_part_has_its_own_tables_only() -> None:
    """A run of one part has no tables of the others."""
    text = report.markdown(Results(WHERE, [], alone=RESULTS.alone))
    assert [line for line in text.splitlines() if line.startswith("#")] == ["### Targets"]
