"""Which verdict decides."""

from itertools import permutations

import pytest

from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, missing, worst

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
    """Infected before error before unscanned before clean, in any order of the engines' answers."""
    assert {worst(order) for order in permutations(verdicts)} == {expected}


def test_worst_of_equals_is_the_first() -> None:
    """Two engines of one opinion: the first one's signature is named."""
    assert worst([CLEAN, INFECTED, Verdict.infected("e", "Other")]) is INFECTED


OPTIONAL = frozenset({"o", "p"})
OPTIONAL_CLEAN = Verdict.clean("o")
OPTIONAL_ERROR = Verdict.error("o", Fault.CONNECT)
OPTIONAL_UNSCANNED = Verdict.unscanned("p", Limit.TOO_LARGE)
OPTIONAL_INFECTED = Verdict.infected("o", "Eicar")


@pytest.mark.parametrize(
    ("verdicts", "expected", "absent"),
    [
        ([CLEAN, OPTIONAL_CLEAN], CLEAN, []),
        ([CLEAN, OPTIONAL_ERROR], CLEAN, [OPTIONAL_ERROR]),
        ([CLEAN, OPTIONAL_UNSCANNED], CLEAN, [OPTIONAL_UNSCANNED]),
        ([CLEAN, OPTIONAL_ERROR, OPTIONAL_UNSCANNED], CLEAN, [OPTIONAL_ERROR, OPTIONAL_UNSCANNED]),
        ([CLEAN, OPTIONAL_INFECTED], OPTIONAL_INFECTED, []),
        ([ERROR, OPTIONAL_INFECTED], OPTIONAL_INFECTED, []),
        ([ERROR, OPTIONAL_CLEAN], ERROR, []),
        ([UNSCANNED, OPTIONAL_ERROR], UNSCANNED, [OPTIONAL_ERROR]),
        ([OPTIONAL_INFECTED], OPTIONAL_INFECTED, []),
    ],
)
def test_an_optional_engine_decides_only_by_what_it_finds(
    verdicts: list[Verdict], expected: Verdict, absent: list[Verdict]
) -> None:
    """Its infection counts like any other; its failure is kept separate from the verdicts of the required engines."""
    for order in permutations(verdicts):
        assert worst(order, OPTIONAL) == expected
        assert [*missing(order, OPTIONAL)] == [one for one in order if one in absent]


@pytest.mark.parametrize("verdicts", [[OPTIONAL_CLEAN], [OPTIONAL_CLEAN, OPTIONAL_ERROR], [OPTIONAL_UNSCANNED]])
def test_without_a_required_engine_nothing_is_clean(verdicts: list[Verdict]) -> None:
    """The opinion of an optional engine does not stand in for that of a required one."""
    verdict = worst(verdicts, OPTIONAL)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNSCANNED, Limit.NO_ENGINE)


@pytest.mark.parametrize(
    ("verdict", "failed"),
    [
        (CLEAN, False),
        (INFECTED, False),
        (ERROR, True),
        (Verdict("o", Outcome.ERROR), True),
        *(
            (Verdict.unscanned("o", limit), limit in {Limit.TIMEOUT, Limit.NO_ENGINE, Limit.ENGINE_UNABLE})
            for limit in Limit
        ),
    ],
)
def test_a_failure_is_not_the_doing_of_the_message(verdict: Verdict, *, failed: bool) -> None:
    """A message that is encrypted or too large does not make its engine a failed one."""
    assert verdict.failed is failed


def test_no_verdict_is_not_clean() -> None:
    """Silence is not an opinion."""
    verdict = worst([])
    assert (verdict.outcome, verdict.reason) == (Outcome.UNSCANNED, Limit.NO_ENGINE)


def test_clean_is_the_mildest_outcome() -> None:
    """An outcome added at the wrong end would let a clean verdict of another engine hide it."""
    assert next(iter(Outcome)) is Outcome.CLEAN
