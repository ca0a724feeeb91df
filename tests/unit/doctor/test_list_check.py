"""What `check` finds about the allow and deny lists."""

from pathlib import Path

import pytest

from miltscan.core.finding import Level
from miltscan.doctor.list_check import list_findings
from miltscan.scanning.listfile import ListFile
from tests.fakes.list_entries import listed
from tests.unit.doctor.support import faults


@pytest.fixture
def file(tmp_path: Path) -> ListFile:
    """A file that does not exist yet."""
    return ListFile(tmp_path / "lists.jsonl")


def test_lists_without_a_fault(file: ListFile) -> None:
    """Their entries are counted; without a file they are empty, and without a path there is nothing to say."""
    assert list(list_findings("")) == []
    assert "0 entries allow, 0 deny" in next(list_findings(str(file.path))).text
    file.add(listed(list_id="", signature="X"))
    file.add(listed("deny", "", signature="Eicar-Test-Signature"))
    file.add(listed(list_id="", signature="Eicar-Test-Signature", until=5.0))
    (found,) = list_findings(str(file.path))
    assert (found.level, found.text) == (Level.OK, f"{file.path}: 1 entries allow, 1 deny")


@pytest.mark.parametrize("name", ["Eicar-Test-Signature", "Win.Test.EICAR_HDB-1"])
def test_an_entry_that_allows_the_test_signature(file: ListFile, name: str) -> None:
    """The remedy is the command that removes it."""
    entry = file.add(listed(list_id="", signature=name))
    (found,) = faults(list_findings(str(file.path)))
    assert found.level is Level.WARNING
    assert found.remedy == f"run: miltscan lists remove {entry.id} --reason TEXT"


def test_broken_lines(file: ListFile) -> None:
    """The first one is named."""
    file.add(listed(list_id="", signature="X"))
    with file.path.open("ab") as raw:
        raw.write(b"x\ny\n")
    (found,) = faults(list_findings(str(file.path)))
    assert (found.level, "2 lines cannot be read" in found.text, "line 3" in found.text) == (Level.WARNING, True, True)


def test_a_file_of_another_format_is_an_error(file: ListFile) -> None:
    """The service would not start with it."""
    file.path.write_text("{}\n")
    (found,) = faults(list_findings(str(file.path)))
    assert (found.level, found.remedy) == (Level.ERROR, "restore the file, or move it away to begin with empty lists")
