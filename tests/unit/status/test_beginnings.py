"""Since when the assessment and its findings have been what they are."""

from miltscan.core.finding import Level
from miltscan.status.beginnings import Beginnings
from miltscan.status.model import Assessment, ShownFinding

DOWN = "Mail is not being scanned"
CLAMD = ("clamd unix:/c", "start it")
LOG = ("log", "free its disk")


def _assessment(*faults: tuple[str, str], age: int = 0) -> Assessment:
    findings = [ShownFinding(Level.ERROR, subject, f"for {age} s", remedy) for subject, remedy in faults]
    level, text = (Level.ERROR, DOWN) if faults else (Level.OK, "Mail is being scanned")
    return Assessment(level, text, [], findings)


def _since(now: Assessment) -> tuple[float | None, list[float | None]]:
    return now.since, [one.since for one in now.findings]


def test_a_fault_keeps_its_beginning() -> None:
    """A text with an age changes all the time, and another fault has its own beginning."""
    seen = Beginnings()
    assert _since(seen.dated(10, _assessment())) == (10, [])
    assert _since(seen.dated(20, _assessment(CLAMD))) == (20, [20])
    assert _since(seen.dated(30, _assessment(LOG, CLAMD, age=10))) == (20, [30, 20])
    assert _since(seen.dated(40, _assessment(LOG, age=20))) == (20, [30])


def test_a_fault_that_returns_begins_again() -> None:
    """So does the sentence at the top."""
    seen = Beginnings()
    for at, now in ((10, _assessment(CLAMD)), (20, _assessment())):
        seen.dated(at, now)
    assert _since(seen.dated(30, _assessment(CLAMD))) == (30, [30])
