"""A finding as a line for a person."""

import pytest

from miltscan.core.finding import Diagnosis, Finding, error, ok, warning


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


def test_causes_are_separated_from_effects() -> None:
    """An effect of an effect follows from the first cause; a circle, or a cause that is absent or ok, hides nothing."""
    first = error("first", "a", "b").named("1")
    second = error("second", "a", "b").named("2").because("1")
    third = warning("third", "a", "b").because("absent", "2")
    circle = [error("x", "a", "b").named("x").because("y"), error("y", "a", "b").named("y").because("x")]
    well = ok("well", "a").named("w")
    alone = error("alone", "a", "b").because("w")
    diagnosis = Diagnosis()
    for one in (third, second, first, well, alone, *circle):
        diagnosis.add(0, one)
    assert [diagnosis.cause_of(one) for one in (first, second, third, alone)] == [None, first, first, None]
    assert [diagnosis.cause_of(one) for one in circle] == [None, None]
    assert (first, 2) in diagnosis.repairs()
    assert (alone, 0) in diagnosis.repairs()
