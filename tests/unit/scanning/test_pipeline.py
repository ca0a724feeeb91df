"""From a message at its EOM to the report: slots, deadline, engines."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from miltscan.core.action import Accept, ActionName, Choice, Reject, TempFail
from miltscan.core.edits import InsertHeader
from miltscan.core.lists import Consultation, ListEntry, ListName, Lists, ListScope
from miltscan.core.message import Envelope, Message
from miltscan.core.report import Listed, Report
from miltscan.core.verdict import Advice, Fault, Limit, Outcome, SpamAction, Verdict
from miltscan.engines.base import Tick
from miltscan.scanning.pipeline import Bounded, Pipeline, SpamFilter, scan_slots
from tests.fakes.engine import ScriptedEngine
from tests.fakes.list_entries import listed
from tests.fakes.messages import message, policy

CLEAN = Verdict.clean("a")
INFECTED = Verdict.infected("b", "Eicar")
ERROR = Verdict.error("c", Fault.CLOSED)
UNSCANNED = Verdict.unscanned("d", Limit.ENCRYPTED)


class Ticks:
    """Counts the signs of life, and can do something at one."""

    def __init__(self, at_tick: Callable[[], None] = lambda: None) -> None:
        self.count = 0
        self.at_tick = at_tick

    def __call__(self) -> None:
        """One tick."""
        self.count += 1
        self.at_tick()


def _pipeline(engines: Sequence[ScriptedEngine], slots: int = 1, queue_wait: float = 0.01) -> Pipeline:
    return Pipeline(engines, policy(), scan_slots(slots), 60.0, queue_wait)


def _verdicts(report: Report) -> list[Verdict]:
    return [timed.verdict for timed in report.verdicts]


def _free(pipeline: Pipeline) -> int:
    """How many slots are free."""
    return pipeline.slots.qsize()


@pytest.mark.parametrize(
    ("verdicts", "asked", "deciding", "action"),
    [
        ([CLEAN], 1, CLEAN, Accept),
        ([CLEAN, ERROR], 2, ERROR, TempFail),
        ([ERROR, CLEAN], 2, ERROR, TempFail),
        ([UNSCANNED, INFECTED], 2, INFECTED, Reject),
        ([ERROR, INFECTED, CLEAN], 2, INFECTED, Reject),
        ([INFECTED, CLEAN, CLEAN], 1, INFECTED, Reject),
    ],
)
def test_engines_are_asked_until_one_says_infected(
    verdicts: list[Verdict], asked: int, deciding: Verdict, action: type
) -> None:
    """An error asks on, for the next engine may know a virus; nothing is worse than infected."""
    engines = [ScriptedEngine(verdict) for verdict in verdicts]
    report = _pipeline(engines).process(message(), Ticks())
    assert [len(engine.deadlines) for engine in engines] == [1] * asked + [0] * (len(verdicts) - asked)
    assert _verdicts(report) == verdicts[:asked]
    assert report.verdict is deciding
    assert isinstance(report.decision.action, action)


def _listed(engines: Sequence[ScriptedEngine], *entries: ListEntry, **choices: Any) -> Pipeline:  # noqa: ANN401
    """A pipeline with these entries in its lists, and with these choices of the policy."""

    def consult(mail: Message, _tick: Tick) -> Consultation:
        return Consultation(Lists(entries), mail, 0.0, lambda: "5a" * 32)

    return replace(_pipeline(engines), consult=consult, policy=policy(**choices))


ACCEPTS = {"on_unscanned": {Limit.ALLOWED: ActionName.ACCEPT}}


def test_an_allowed_detection_does_not_hide_that_of_another_engine() -> None:
    """All engines are asked; what the second one finds decides."""
    engines = [ScriptedEngine(Verdict.infected("a", "X")), ScriptedEngine(INFECTED)]
    report = _listed(engines, listed(signature="X"), **ACCEPTS).process(message(), Ticks())
    assert [engine.asked for engine in engines] == [1, 1]
    assert (report.verdict, report.decision.rule) == (INFECTED, "policy.on_infected")
    assert report.listed == Listed(ListName.ALLOW, "00000000")


@pytest.mark.parametrize(
    ("second", "rule", "action"),
    [
        (CLEAN, "policy.on_unscanned.allowed", Accept),
        (ERROR, "policy.on_error", TempFail),
        (Verdict.unscanned("b", Limit.TIMEOUT), "policy.on_unscanned.timeout", TempFail),
    ],
)
def test_an_allowed_detection_is_no_milder_than_a_failure(second: Verdict, rule: str, action: type) -> None:
    """A failure of another required engine still decides."""
    engines = [ScriptedEngine(Verdict.infected("a", "X")), ScriptedEngine(second)]
    report = _listed(engines, listed(signature="X"), **ACCEPTS).process(message(), Ticks())
    assert (report.decision.rule, type(report.decision.action)) == (rule, action)


def test_an_allowed_suspicion_is_clean_and_marked() -> None:
    """The header names it; clamd has looked at all of the message."""
    engine = ScriptedEngine(Verdict.infected("a", "Heuristics.X"))
    report = _listed([engine, ScriptedEngine(CLEAN)], listed(signature="Heuristics.X")).process(message(), Ticks())
    assert (report.verdict.outcome, report.verdict.signature) == (Outcome.CLEAN, "Heuristics.X")
    assert report.decision.edits[0] == InsertHeader("X-Virus-Status", "Clean (allowed: Heuristics.X)")


def test_an_allowed_detection_of_an_optional_engine_marks_the_message() -> None:
    """The policy decides about it as about one of a required engine."""
    engines = [ScriptedEngine(CLEAN), ScriptedEngine(Verdict.infected("b", "X"), name="b", required=False)]
    pipeline = _listed(engines, listed(signature="X"), optional=frozenset("b"), **ACCEPTS)
    report = pipeline.process(message(), Ticks())
    assert report.decision.edits[0] == InsertHeader("X-Virus-Status", "Unscanned (allowed: X)")
    assert report.missing == ()


def test_without_a_required_verdict_nothing_is_allowed() -> None:
    """The allowed detection of an optional engine is no opinion of a required one."""
    engines = [ScriptedEngine(Verdict.infected("b", "X"), name="b", required=False)]
    pipeline = _listed(engines, listed(signature="X"), optional=frozenset("b"), **ACCEPTS)
    assert pipeline.process(message(), Ticks()).verdict.reason is Limit.NO_ENGINE


TWO = message(envelope=Envelope(b"<sender@example.org>", (b"<user@example.test>", b"<b@other.example>")))


def _each(*entries: ListEntry) -> Callable[[Message, Tick], Consultation]:
    """These lists, asked for each recipient."""
    return lambda mail, _tick: Consultation(Lists(entries), mail, 0.0, str, ListScope.EACH)


def test_what_is_allowed_for_one_recipient_is_scanned_on_for_it() -> None:
    """The other one has the decision on the first detection, and the worst verdict stands for the message."""
    found, other = Verdict.infected("a", "X"), Verdict.unscanned("b", Limit.ENCRYPTED)
    engines = [ScriptedEngine(found), ScriptedEngine(other)]
    choices = policy(on_unscanned={Limit.ALLOWED: ActionName.ACCEPT, Limit.ENCRYPTED: ActionName.ACCEPT})
    entry = listed(signature="X", recipient="user@example.test")
    report = replace(_pipeline(engines), consult=_each(entry), policy=choices).process(TWO, Ticks())
    assert [engine.asked for engine in engines] == [1, 1]
    assert (report.verdict, _verdicts(report), report.listed) == (
        found,
        [found, other],
        Listed(ListName.ALLOW, entry.id),
    )
    assert [(one.recipients, one.decision.rule, one.verdict) for one in report.groups] == [
        ((0,), "policy.on_unscanned.allowed", found.allowed_by(entry.id, complete=False)),
        ((1,), "policy.on_infected", found),
    ]


class Filter:
    """An anti-spam engine that says spam."""

    def __init__(self) -> None:
        advice = Advice(SpamAction.REJECT, 5.0)
        self.engine = ScriptedEngine(Verdict.scored("spam", "", 9.0, advice, spam=True), name="spam", required=False)
        self.filter = SpamFilter(Bounded(self.engine, None, None), scan_slots(1), frozenset())

    def pipeline(self, *entries: ListEntry, verdict: Verdict = CLEAN) -> Pipeline:
        """A pipeline with it, which quarantines spam."""
        chosen = policy(on_spam=Choice(ActionName.QUARANTINE), filters=frozenset({"spam"}))
        made = replace(_pipeline([ScriptedEngine(verdict)]), filters=(self.filter,), policy=chosen)
        return replace(made, consult=_each(*entries))


def test_a_recipient_who_is_exempt_from_spam_has_none() -> None:
    """The engine is asked for the other one; the exempt one's mail is clean, and the log names the entry."""
    asked, entry = Filter(), listed(sender=".org", recipient="@example.test")
    report = asked.pipeline(entry).process(TWO, Ticks())
    assert asked.engine.asked == 1
    assert [(one.recipients, one.decision.rule) for one in report.groups] == [((0,), "clean"), ((1,), "policy.on_spam")]
    assert (report.verdict.outcome, report.listed) == (Outcome.SPAM, Listed(ListName.ALLOW, entry.id))


def test_an_exemption_that_saves_nobody() -> None:
    """For exempt mail no engine is asked; for mail that is refused all the same the entry does not count."""
    asked, entry = Filter(), listed(sender=".org")
    report = asked.pipeline(entry).process(TWO, Ticks())
    assert (asked.engine.asked, report.decision.rule, report.groups) == (0, "clean", ())
    assert report.listed == Listed(ListName.ALLOW, entry.id)
    assert asked.pipeline(entry, verdict=INFECTED).process(TWO, Ticks()).listed is None


@pytest.mark.parametrize(
    ("fields", "verdict", "text"),
    [
        ({"sender": "@example.org"}, CLEAN, "Sender denied here"),
        ({"sender": "@example.org"}, ERROR, "Sender denied here"),
        ({"digest": "5a" * 32}, CLEAN, "Content denied here"),
        ({"signature": "Eicar"}, INFECTED, "Eicar in this message denied here"),
    ],
)
def test_a_denied_message_is_rejected(fields: dict[str, Any], verdict: Verdict, text: str) -> None:
    """The reply names the queue ID and what is denied; the policy is not asked."""
    pipeline = _listed([ScriptedEngine(verdict)], listed("deny", **fields), on_infected=ActionName.ACCEPT)
    report = pipeline.process(message(), Ticks())
    assert str(report.decision.reply) == f"550 5.7.1 {text} (5AMEkX012345)"
    assert (report.decision.rule, report.listed) == ("list.deny", Listed(ListName.DENY, "00000000"))


def test_a_denied_sender_without_a_scan() -> None:
    """Also where no slot is free, and where the message is too large."""
    entry = listed("deny", sender="@example.org")
    busy = replace(_listed([], entry), slots=scan_slots(0))
    settled = message(settled=Verdict.unscanned("session", Limit.TOO_LARGE))
    for pipeline, mail in ((busy, message()), (_listed([], entry), settled)):
        assert pipeline.process(mail, Ticks()).decision.rule == "list.deny"


def test_no_engine_is_no_clean() -> None:
    """A pipeline without an engine tempfails."""
    report = _pipeline([]).process(message(), Ticks())
    assert report.verdict.reason is Limit.NO_ENGINE
    assert isinstance(report.decision.action, TempFail)


def test_settled_message_is_put_to_no_engine() -> None:
    """What is known needs no slot either."""
    settled = Verdict.unscanned("session", Limit.TOO_LARGE)
    engine = ScriptedEngine(CLEAN)
    report = _pipeline([engine], slots=0).process(message(settled=settled), Ticks())
    assert (engine.deadlines, _verdicts(report), report.verdict) == ([], [settled], settled)


def test_all_engines_share_one_deadline() -> None:
    """It is the timeout from the moment the slot was had."""
    engines = [ScriptedEngine(CLEAN), ScriptedEngine(CLEAN)]
    before = time.monotonic()
    _pipeline(engines).process(message(), Ticks())
    (first,), (second,) = (engine.deadlines for engine in engines)
    assert first == second
    assert before + 60 <= first <= time.monotonic() + 60


def test_an_optional_engine_marks_and_does_not_decide() -> None:
    """Its failure is in the report next to the verdict of the required engine, and the message is accepted."""
    engines = [ScriptedEngine(CLEAN), ScriptedEngine(ERROR, name="c", required=False)]
    pipeline = Pipeline(engines, policy(optional=frozenset({"c"})), scan_slots(1), 60.0, 0.0)
    report = pipeline.process(message(), Ticks())
    assert (report.verdict, report.missing, report.decision.action) == (CLEAN, (ERROR,), Accept())
    assert _verdicts(report) == [CLEAN, ERROR]


@pytest.mark.parametrize("settled", [Verdict.unscanned("session", Limit.TOO_LARGE), None])
def test_a_verdict_of_our_own_is_no_optional_engine(settled: Verdict | None) -> None:
    """An optional engine that is named like a part of miltscan cannot turn a known verdict into another one."""
    names = frozenset({"session", "pipeline"})
    pipeline = Pipeline([], policy(optional=names), scan_slots(0), 60.0, 0.0)
    report = pipeline.process(message(settled=settled), Ticks())
    assert report.verdict.reason is (Limit.TOO_LARGE if settled else Limit.BUSY)
    assert report.missing == ()


def test_an_engine_whose_time_is_used_up_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no part in the delay: no server of it is called, and none of it is blamed."""
    times = iter([0.0, 0.0, *[60.0] * 9])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    slow, next_one = ScriptedEngine(CLEAN), ScriptedEngine(CLEAN, name="next")
    report = Pipeline([slow, next_one], policy(), scan_slots(1), 60.0, 0.0).process(message(), Ticks())
    assert (slow.asked, next_one.asked) == (1, 0)
    verdict = report.verdict
    assert (verdict.engine, verdict.reason, verdict.server) == ("next", Limit.TIMEOUT, "")


@pytest.mark.parametrize(
    ("timeout", "expected"), [(None, 1000.0), (5.0, 105.0), (2000.0, 1000.0)], ids=["none", "its own", "that of all"]
)
def test_the_earlier_deadline_counts(timeout: float | None, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine's own timeout begins when it is asked, and never passes what is left of that of all engines."""
    monkeypatch.setattr("time.monotonic", lambda: 100.0)
    engine = ScriptedEngine(CLEAN)
    assert Bounded(engine, timeout, None).scan(message(), 1000.0, Ticks()) is CLEAN
    assert engine.deadlines == [expected]


@pytest.mark.parametrize(("size", "asked"), [(99, 1), (100, 1), (101, 0)])
def test_an_engine_is_not_asked_for_what_is_too_large_for_it(size: int, asked: int) -> None:
    """What it did not see it does not call clean."""
    engine = ScriptedEngine(CLEAN, name="a", required=False)
    bounded = Bounded(engine, None, 100)
    assert (bounded.name, bounded.required) == ("a", False)
    verdict = bounded.scan(message(size=size), 1000.0, Ticks())
    assert engine.asked == asked
    detail = "101 bytes, a is asked for at most 100"
    assert verdict == (CLEAN if asked else Verdict.unscanned("a", Limit.TOO_LARGE, detail))


def test_busy_is_unscanned() -> None:
    """No slot within the wait: no engine is asked, and the client keeps its mail."""
    engine = ScriptedEngine(CLEAN)
    ticks = Ticks()
    pipeline = _pipeline([engine], slots=0)
    report = pipeline.process(message(), ticks)
    assert engine.deadlines == []
    assert report.verdict.reason is Limit.BUSY
    assert isinstance(report.decision.action, TempFail)
    assert report.waited >= pipeline.queue_wait
    assert ticks.count
    assert _free(pipeline) == 0


def test_wait_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """The MTA receives progress while a message waits for a slot, and the message is scanned when one is free."""
    monkeypatch.setattr("miltscan.scanning.pipeline._TICK", 0.001)
    pipeline = _pipeline([ScriptedEngine(CLEAN)], slots=0, queue_wait=60.0)
    ticks = Ticks()
    ticks.at_tick = lambda: pipeline.slots.put(None) if ticks.count == 3 else None
    report = pipeline.process(message(), ticks)
    assert ticks.count == 3
    assert report.verdict is CLEAN
    assert report.waited > 0
    assert _free(pipeline) == 1


def test_no_wait_is_asked_for() -> None:
    """With a wait of 0 s a busy service replies that at once."""
    assert _pipeline([], slots=0, queue_wait=0.0).process(message(), Ticks()).verdict.reason is Limit.BUSY


def test_slot_is_given_back() -> None:
    """After a verdict, and after a defect, which is the caller's to answer."""
    pipeline = _pipeline([ScriptedEngine(CLEAN)])
    pipeline.process(message(), Ticks())
    assert _free(pipeline) == 1

    def fail(_tick: Tick) -> None:
        raise ZeroDivisionError

    broken = _pipeline([ScriptedEngine(CLEAN, fail)])
    with pytest.raises(ZeroDivisionError):
        broken.process(message(), Ticks())
    assert _free(broken) == 1


def test_scans_never_pass_the_slots() -> None:
    """Four messages at once over two slots: never three in an engine, and all are scanned."""
    lock, running, most = threading.Lock(), 0, 0
    together = threading.Barrier(2)

    def work(_tick: Tick) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(60)
        with lock:
            running -= 1

    pipeline = _pipeline([ScriptedEngine(CLEAN, work)], slots=2, queue_wait=60.0)
    reports: list[Report] = []
    threads = [threading.Thread(target=lambda: reports.append(pipeline.process(message(), Ticks()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 2
    assert [report.verdict for report in reports] == [CLEAN] * 4


def test_engine_gets_the_tick() -> None:
    """What an engine ticks is what the MTA gets."""
    ticks = Ticks()
    _pipeline([ScriptedEngine(CLEAN, lambda tick: tick())]).process(message(), ticks)
    assert ticks.count == 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of the pipeline that shows 10 seconds when it is first read, and 2 more each time."""
    readings = count(10, 2)
    monkeypatch.setattr(
        "miltscan.scanning.pipeline.time",
        SimpleNamespace(monotonic=lambda: float(next(readings)), localtime=time.localtime),
    )


@pytest.mark.usefixtures("clock")
def test_the_times_of_a_report() -> None:
    """The wait for a slot, the scan of each engine, and the whole are differences of the clock."""
    report = _pipeline([ScriptedEngine(CLEAN), ScriptedEngine(CLEAN)]).process(message(), Ticks())
    assert (report.waited, [timed.seconds for timed in report.verdicts], report.seconds) == (2.0, [2.0, 2.0], 8.0)
    assert report.message == message()


@pytest.mark.usefixtures("clock")
def test_the_times_of_a_report_without_a_scan() -> None:
    """No engine took any time, and the whole is the wait and the decision."""
    report = _pipeline([]).process(message(settled=CLEAN), Ticks())
    assert (report.waited, [timed.seconds for timed in report.verdicts], report.seconds) == (2.0, [0.0], 4.0)


class NoSlots(SimpleQueue[None]):
    """Never a slot; keeps how long each call would have waited, None for not at all."""

    waits: list[float | None]

    def get(self, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002 - as the queue's
        """Nothing, at once."""
        self.waits.append(timeout if block else None)
        raise Empty


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("queue_wait", "waits"), [(4.5, [None, 1.0, 0.5]), (3.5, [None, 1.0]), (2.0, [None])])
def test_waits_for_a_slot_are_short(queue_wait: float, waits: list[float | None]) -> None:
    """The first look does not wait; then each wait is a second at most, the last one ends with queue_wait."""
    slots, ticks = NoSlots(), Ticks()
    slots.waits = []
    report = Pipeline([], policy(), slots, 60.0, queue_wait).process(message(), ticks)
    assert report.verdict.reason is Limit.BUSY
    assert (slots.waits, ticks.count) == (waits, len(waits) - 1)


@pytest.mark.parametrize("name", ActionName)
def test_policy_of_the_pipeline_decides(name: ActionName) -> None:
    """The action is the one that the policy names."""
    pipeline = Pipeline([ScriptedEngine(INFECTED)], policy(on_infected=name), scan_slots(1), 60.0, 1.0)
    assert pipeline.process(message(), Ticks()).decision.action.name is name
