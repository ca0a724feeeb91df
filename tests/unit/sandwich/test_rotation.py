"""Which files of a folder are older files of a log, and their order."""

import pytest

from miltscan.sandwich.rotation import rotations

NUMBERED = ["maillog.12.gz", "maillog.2.xz", "maillog.1.bz2", "maillog.0"]
DATED = [
    "maillog-20251231.gz",
    "maillog.2026-01-01",
    "maillog-2026112709.zst",
    "maillog-2026112710.lz4",
    "maillog_20261127T110000.Z",
    "maillog-20261128-1795773601",
    "maillog.20261129",
]


@pytest.mark.parametrize("names", [NUMBERED, DATED])
def test_rotations_are_known_by_their_names(names: list[str]) -> None:
    """The oldest comes first, whatever time a copy of the files has."""
    assert rotations("maillog", [*sorted(names), "maillog", "maillogs", "mail"], lambda _name: 0) == names


def test_of_both_styles_the_time_tells() -> None:
    """A log that was rotated by number and later by date has no order in its names."""
    changed = {"maillog.1": 2.0, "maillog-20261127": 1.0, "maillog.old": 0.0}
    assert rotations("maillog", changed, changed.__getitem__) == ["maillog.old", "maillog-20261127", "maillog.1"]


def test_the_extension_may_stay_at_the_end() -> None:
    """The option extension of logrotate keeps it there; another log with a similar name is another log."""
    names = ["mail-20261126.log.gz", "mail-20261127.log", "mail-8.18.log", "mail-old.log.1", "mailx.log"]
    assert rotations("mail.log", names, lambda _name: 0) == names[:2]


@pytest.mark.parametrize(
    "name", ["maillog.bak", "maillog~", "maillog.1.gz.tmp", "maillog.12345", "maillog.", "maillog.x1", "maillog.1.save"]
)
def test_other_names_are_no_rotation(name: str) -> None:
    """What an administrator or editor made may be something else."""
    assert rotations("maillog", [name], lambda _name: 0) == []


def test_a_name_with_wildcards_or_expressions_is_itself() -> None:
    """The characters of a name have no special meaning."""
    assert rotations("*.log", ["a.log.1", "*.log.1"], lambda _name: 0) == ["*.log.1"]
    assert rotations("(", ["(.1"], lambda _name: 0) == ["(.1"]
