"""docs/status-faults.md is made by `make pictures`; it has each fault that this causes."""

from pathlib import Path

from tests.demo.faults import FAULTS

DOCS = Path(__file__).parents[3] / "docs"


def test_each_fault_has_its_section() -> None:
    """A section has the picture, and what the command prints: the fault, since when, and the remedy."""
    sections = (DOCS / "status-faults.md").read_text().split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections] == [fault.title for fault in FAULTS]
    for fault, section in zip(FAULTS, sections, strict=True):
        assert f"(images/fault-{fault.name}.png)" in section
        assert [word for word in (fault.shown, "(since ", "-> ") if word not in " ".join(section.split())] == []
