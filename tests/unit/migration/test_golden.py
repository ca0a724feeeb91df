"""Imports of complete files: each folder of tests/corpus/migration has an input and the resulting files."""

import subprocess
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.migration.files import read_source
from miltscan.migration.formats import draft, recognise
from miltscan.migration.render import as_files
from tests.harness import programs

CORPUS = Path(__file__).parents[2] / "corpus" / "migration"
CASES = sorted(folder.name for folder in CORPUS.iterdir())
RESULTS = ("miltscan.toml", "site.m4", "differences.txt")


def source(case: str) -> Path:
    """The input file, which is the one that is not a result."""
    (file,) = [file for file in (CORPUS / case).iterdir() if file.name not in RESULTS]
    return file


@pytest.mark.parametrize("case", CASES)
def test_the_import_equals_the_golden_files(case: str) -> None:
    """All three files are equal to the golden ones."""
    file = source(case)
    text = read_source(file)
    made = as_files(draft(recognise(file.name, text), text), file.name)
    assert made == {name: (CORPUS / case / name).read_text() for name in RESULTS}


@pytest.mark.parametrize("case", CASES)
def test_the_configuration_loads(case: str) -> None:
    """The service accepts the configuration unchanged."""
    parse_settings((CORPUS / case / "miltscan.toml").read_bytes(), "miltscan.toml")


@pytest.mark.parametrize("case", CASES)
def test_sendmail_is_built_from_the_settings(case: str, tmp_path: Path) -> None:
    """The build succeeds, and every value of the file is in one of the two configurations."""
    site = CORPUS / case / "site.m4"
    make = ["make", "-s", "-C", str(programs.CHECKOUT / "sendmail"), f"OUT={tmp_path}", f"SITE={site}"]
    where = [f"CF_DIR={programs.data('/usr/share/sendmail/cf')}", f"M4={programs.find('m4')}"]
    subprocess.run([*make, *where], check=True, capture_output=True)
    built = (tmp_path / "incoming.cf").read_text() + (tmp_path / "delivery.cf").read_text()
    values = [line.split("`")[2].partition("'")[0] for line in site.read_text().splitlines() if "define(" in line]
    assert [value for value in values if value != "program" and value not in built] == []


def test_formats_are_recognised_by_their_text() -> None:
    """A copy with another name has the same format."""
    found = {source(case).name: recognise("copy", source(case).read_text()) for case in CASES}
    assert found == {name: name for name in ("clamav-milter.conf", "imss.ini", "intscan.ini")}
