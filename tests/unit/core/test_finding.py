"""A finding as a line for a person."""

import pytest

from miltscan.core.finding import Finding, error, ok, warning


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (ok("clamd", "up"), "ok       clamd: up"),
        (warning("keys", "no key", "run miltscan keys new"), "warning  keys: no key; run miltscan keys new"),
        (error("spool", "full\x1b", "free some space"), r"error    spool: full\x1b; free some space"),
    ],
)
def test_a_finding_is_one_line(finding: Finding, line: str) -> None:
    """The line has the level, the subject and the text, then the remedy if there is one."""
    assert str(finding) == line
