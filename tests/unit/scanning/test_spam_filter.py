"""Anti-spam engines in the pipeline: about which mail they are asked, for how long, and by how many at a time."""

import threading
import time
from collections.abc import Callable

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.action import Accept, ActionName, Choice, Reject
from miltscan.core.message import Client, Direction, Envelope
from miltscan.core.report import Report
from miltscan.core.verdict import Advice, Limit, Outcome, SpamAction, Verdict
from miltscan.engines.base import Tick
from miltscan.scanning.assemble import pipeline_for
from miltscan.scanning.entries import entry_for
from miltscan.scanning.pipeline import Bounded, Pipeline, SpamFilter, scan_slots
from tests.fakes.engine import ScriptedEngine
from tests.fakes.messages import message, policy

SPAM = Verdict.scored("rspamd", "s", 8.0, Advice(SpamAction.REJECT, 5.0, ("A",)), spam=True)
ENCRYPTED = Verdict.unscanned("fake", Limit.ENCRYPTED)


def nothing() -> None:
    """No sign of life."""


def engine(verdict: Verdict = SPAM, work: Callable[[Tick], None] = lambda _tick: None) -> ScriptedEngine:
    """An anti-spam engine."""
    return ScriptedEngine(verdict, work, name="rspamd", required=False)


def pipeline(
    first: Verdict,
    rspamd: ScriptedEngine,
    *,
    slots: int = 1,
    spared: frozenset[Direction] = frozenset(),
    timeout: float | None = 20.0,
    **changes: Choice,
) -> Pipeline:
    """A required engine with this verdict, then the anti-spam engine."""
    chosen = policy(
        optional=frozenset({"rspamd"}),
        filters=frozenset({"rspamd"}),
        on_unscanned={limit: Choice(ActionName.ACCEPT) for limit in Limit},
        **changes,
    )
    one = SpamFilter(Bounded(rspamd, timeout, 1000), scan_slots(slots), spared)
    return Pipeline([ScriptedEngine(first)], chosen, scan_slots(1), 60.0, 0.0, [one])


def outcomes(report: Report) -> list[tuple[str, Outcome]]:
    """Who gave which verdict."""
    return [(one.engine, one.outcome) for one, _ in report.verdicts]


@pytest.mark.parametrize(
    ("first", "asked", "outcome"),
    [
        (Verdict.clean("fake"), 1, Outcome.SPAM),
        (ENCRYPTED, 1, Outcome.UNSCANNED),
        (Verdict.infected("fake", "X"), 0, Outcome.INFECTED),
    ],
)
def test_an_engine_is_asked_about_what_would_be_accepted(first: Verdict, asked: int, outcome: Outcome) -> None:
    """Infected mail has its answer already."""
    rspamd = engine()
    report = pipeline(first, rspamd).process(message(), nothing)
    assert (rspamd.asked, report.verdict.outcome) == (asked, outcome)


def test_spam_in_what_was_not_scanned_is_stored_as_spam() -> None:
    """So that a later scan by engines against viruses does not clear it."""
    keeping = pipeline(ENCRYPTED, engine(), on_spam=Choice(ActionName.QUARANTINE, "spam"))
    report = keeping.process(message(), nothing)
    assert report.decision.rule == "policy.on_spam"
    entry = entry_for(report, "spam", 0.0, 0)
    assert (entry.outcome, entry.engine) == (Outcome.SPAM, "rspamd")


def test_mail_that_an_engine_is_spared_has_no_opinion() -> None:
    """Its direction decides; other mail is asked about."""
    rspamd = engine()
    made = pipeline(Verdict.clean("fake"), rspamd, spared=frozenset({Direction.SUBMISSION}))
    user = message(envelope=Envelope(b"<a@b>", (b"<c@d>",), authenticated=True))
    assert outcomes(made.process(user, nothing)) == [("fake", Outcome.CLEAN)]
    assert made.process(message(), nothing).verdict.outcome is Outcome.SPAM
    assert rspamd.asked == 1


def test_an_engine_is_not_asked_about_large_mail() -> None:
    """The message is marked and accepted, however small its other limits are."""
    rspamd = engine()
    report = pipeline(Verdict.clean("fake"), rspamd, slots=0, timeout=0.0).process(message(size=1001), nothing)
    assert [one.reason for one in report.missing] == [Limit.TOO_LARGE]
    assert isinstance(report.decision.action, Accept)
    assert rspamd.asked == 0


def test_a_full_engine_is_waited_for_within_its_timeout() -> None:
    """Then the message passes as busy; no scan slot is taken meanwhile."""
    made = pipeline(Verdict.clean("fake"), engine(), slots=0, timeout=0.1)
    began = time.monotonic()
    report = made.process(message(), nothing)
    assert [one.reason for one in report.missing] == [Limit.BUSY]
    assert 0.1 <= time.monotonic() - began < 10
    assert report.seconds >= 0.1


def test_an_anti_spam_engine_takes_no_scan_slot() -> None:
    """While it is slow, other mail is scanned."""
    inside, go_on = threading.Event(), threading.Event()

    def work(_tick: Tick) -> None:
        inside.set()
        go_on.wait(60)

    made = pipeline(Verdict.clean("fake"), engine(work=work), spared=frozenset({Direction.SUBMISSION}))
    slow = threading.Thread(target=made.process, args=(message(), nothing))
    slow.start()
    assert inside.wait(60)
    user = message(envelope=Envelope(b"<a@b>", authenticated=True))
    assert made.process(user, nothing).verdict.outcome is Outcome.CLEAN
    go_on.set()
    slow.join(60)
    assert made.slots.qsize() == 1


def test_the_deadline_is_that_of_the_engine() -> None:
    """Within that of all engines."""
    for timeout, expected in ((20.0, 20.0), (None, 60.0), (200.0, 60.0)):
        rspamd = engine()
        pipeline(Verdict.clean("fake"), rspamd, timeout=timeout).process(message(), nothing)
        assert rspamd.deadlines[0] - time.monotonic() == pytest.approx(expected, abs=10)


def test_spam_is_rejected_by_choice() -> None:
    """The slot of the engine is free afterwards, also where it raises."""
    made = pipeline(Verdict.clean("fake"), engine(), on_spam=Choice(ActionName.REJECT))
    assert isinstance(made.process(message(), nothing).decision.action, Reject)
    broken = pipeline(Verdict.clean("fake"), ScriptedEngine(RuntimeError("bug"), name="rspamd", required=False))
    with pytest.raises(RuntimeError):
        broken.process(message(), nothing)
    assert [one.filters[0].slots.qsize() for one in (made, broken)] == [1, 1]


SETTINGS = b"""
milter.workers = 2
[clamd]
[[engine]]
type = "rspamd"
concurrent_scans = 5
skip_internal = true
[[engine]]
type = "spamd"
timeout = ""
"""


def test_settings_become_filters() -> None:
    """Each worker has its share of the slots, rounded up; without anti-spam engines nothing of them is left."""
    settings = parse_settings(SETTINGS, "f")
    engines = [ScriptedEngine(SPAM, name=one.name, required=one.required) for one in settings.engines]
    made = pipeline_for(settings, engines, scan_slots(1), "mx")
    assert [one.name for one in made.engines] == ["clamd"]
    rspamd, spamd = made.filters
    assert (rspamd.engine.name, rspamd.engine.timeout, rspamd.engine.skip_above) == ("rspamd", 20.0, 2**20)
    assert (rspamd.slots.qsize(), rspamd.spared) == (3, frozenset({Direction.INTERNAL}))
    assert (spamd.engine.timeout, spamd.slots.qsize(), spamd.spared) == (None, 3, frozenset())
    assert made.policy.filters == {"rspamd", "spamd"}
    assert b"x-spam-" in made.policy.foreign
    plain = settings.without_filters()
    alone = pipeline_for(plain, engines[:1], scan_slots(1), "mx")
    assert (alone.filters, alone.policy.filters, b"x-spam-" in alone.policy.foreign) == ([], frozenset(), False)
    assert plain.without_filters() is plain


def test_the_client_of_internal_mail() -> None:
    """A private address with local recipients, as `skip_internal` means it."""
    rspamd = engine()
    made = pipeline(Verdict.clean("fake"), rspamd, spared=frozenset({Direction.INTERNAL}))
    inside = message(client=Client("pc", "10.0.0.7"), envelope=Envelope(b"<a@b>", (b"<c@d>",), local=True))
    assert made.process(inside, nothing).verdict.outcome is Outcome.CLEAN
    assert rspamd.asked == 0
