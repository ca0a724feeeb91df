"""What a rescan means: only engines that looked at the whole message clear it."""

import pytest

from miltscan.core.action import Accept, Decision
from miltscan.core.report import Report, Timed
from miltscan.core.rescan import RescanResult, judge
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict, missing, worst
from tests.fakes import messages

CLEAN, OTHER = Verdict.clean("clamd"), Verdict.clean("second")
SAME, NEW = Verdict.infected("clamd", "Old.Name"), Verdict.infected("clamd", "New.Name")


def report(*verdicts: Verdict, optional: frozenset[str] = frozenset({"second"})) -> Report:
    """A report as the pipeline makes it, with an optional engine `second`."""
    timed = tuple(Timed(verdict, 0.1) for verdict in verdicts)
    deciding, absent = worst(verdicts, optional), missing(verdicts, optional)
    return Report(messages.message(), deciding, Decision(Accept(), "clean"), timed, 0.0, 0.1, absent)


@pytest.mark.parametrize(
    ("verdicts", "result"),
    [
        ((CLEAN,), RescanResult.CLEARED),
        ((CLEAN, OTHER), RescanResult.CLEARED),
        ((SAME,), RescanResult.DETECTED),
        ((NEW,), RescanResult.RENAMED),
        ((CLEAN, Verdict.infected("second", "Old.Name")), RescanResult.DETECTED),
        ((Verdict.unscanned("clamd", Limit.LIMITS),), RescanResult.UNSCANNED),
        ((Verdict.unscanned("clamd", Limit.ENCRYPTED),), RescanResult.UNSCANNED),
        ((Verdict.unscanned("clamd", Limit.NO_ENGINE),), RescanResult.FAILED),
        ((Verdict.unscanned("clamd", Limit.ENGINE_UNABLE),), RescanResult.FAILED),
        ((Verdict.unscanned("clamd", Limit.TIMEOUT),), RescanResult.FAILED),
        ((Verdict.error("clamd", Fault.CONNECT),), RescanResult.FAILED),
        ((CLEAN, Verdict.error("second", Fault.CONNECT)), RescanResult.FAILED),
        ((CLEAN, Verdict.unscanned("second", Limit.ENCRYPTED)), RescanResult.UNSCANNED),
        ((), RescanResult.FAILED),
    ],
)
def test_an_infected_message(verdicts: tuple[Verdict, ...], result: RescanResult) -> None:
    """An engine that fails or meets a limit clears nothing, required or not."""
    assert judge(Outcome.INFECTED, "Old.Name", "clamd", report(*verdicts)) is result


def test_only_the_engine_that_detected_it_clears() -> None:
    """Where it was removed from the settings, the others know nothing of what it found."""
    assert judge(Outcome.INFECTED, "Old.Name", "second", report(CLEAN)) is RescanResult.UNSCANNED
    assert judge(Outcome.INFECTED, "Old.Name", "second", report(CLEAN, OTHER)) is RescanResult.CLEARED


def test_engines_against_viruses_do_not_clear_spam() -> None:
    """They know nothing of it; otherwise an update of their signatures would release it."""
    assert judge(Outcome.SPAM, None, "rspamd", report(CLEAN, OTHER)) is RescanResult.UNSCANNED


@pytest.mark.parametrize("outcome", [Outcome.UNSCANNED, Outcome.ERROR])
def test_an_unscanned_message(outcome: Outcome) -> None:
    """It was never detected, so a complete scan by the present engines clears it."""
    assert judge(outcome, None, "pipeline", report(CLEAN)) is RescanResult.CLEARED
    assert judge(outcome, None, "pipeline", report(NEW)) is RescanResult.RENAMED


def test_no_result_of_an_engine_but_clean_clears() -> None:
    """Every limit and every fault, of a required engine and of an optional one."""
    bad = [Verdict.unscanned("x", limit) for limit in Limit] + [Verdict.error("x", fault) for fault in Fault]
    for optional in (frozenset[str](), frozenset({"x"})):
        results = {judge(Outcome.ERROR, None, "x", report(CLEAN, one, optional=optional)) for one in bad}
        assert results == {RescanResult.FAILED, RescanResult.UNSCANNED}
