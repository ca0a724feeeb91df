"""Which verdict decides."""

from itertools import permutations

import pytest

from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, worst

CLEAN = Verdict.clean("a")
UNSCANNED = Verdict.unscanned("b", Limit.ENCRYPTED)
ERROR = Verdict.error("c", Fault.CLOSED)
INFECTED = Verdict.infected("d", "Eicar")


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([CLEAN], CLEAN),
        ([CLEAN, UNSCANNED], UNSCANNED),
        ([CLEAN, ERROR], ERROR),
        ([CLEAN, INFECTED], INFECTED),
        ([UNSCANNED, ERROR], ERROR),
        ([UNSCANNED, INFECTED], INFECTED),
        ([ERROR, INFECTED], INFECTED),
        ([CLEAN, UNSCANNED, ERROR, INFECTED], INFECTED),
    ],
)
def test_worst_does_not_depend_on_the_order(verdicts: list[Verdict], expected: Verdict) -> None:
    """Infected before error before unscanned before clean, in whatever order the engines answered."""
    assert {worst(order) for order in permutations(verdicts)} == {expected}


def test_worst_of_equals_is_the_first() -> None:
    """Two engines of one opinion: the first one's signature is named."""
    assert worst([CLEAN, INFECTED, Verdict.infected("e", "Other")]) is INFECTED


def test_no_verdict_is_not_clean() -> None:
    """Silence is not an opinion."""
    verdict = worst([])
    assert (verdict.outcome, verdict.reason) == (Outcome.UNSCANNED, Limit.NO_ENGINE)


def test_clean_is_the_mildest_outcome() -> None:
    """An outcome added at the wrong end would let a clean verdict of another engine hide it."""
    assert next(iter(Outcome)) is Outcome.CLEAN
