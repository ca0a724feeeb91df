"""Many messages counted at once: the same sums as one by one, bounded names, and exemplars."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Histogram

from miltscan.core.action import Accept, Decision, Reject, Reply
from miltscan.core.report import Copies, Group, Kept, Report
from miltscan.core.verdict import Advice, SpamAction, Verdict
from miltscan.telemetry import engine_metrics, exemplars, family, keeper_metrics, mail_metrics, recording
from miltscan.telemetry.exemplars import Exemplar, Exemplars
from miltscan.telemetry.family import observe

MakeReport = Callable[..., Report]
REJECT = Decision(Reject(Reply(550, "5.7.1", "Virus")), "policy.on_infected")


def _samples(one: family.Family[Any]) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *map(str, sample.labels.items())): sample.value
        for metric in one.parent.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def _values() -> Sequence[float]:
    chance = random.Random(4)  # noqa: S311
    return [0.0, 0.001, 120, 121, *(chance.expovariate(1) for _ in range(200))]


def test_many_at_once_are_as_many_one_by_one() -> None:
    """Every bucket and the sum are the same as one by one, also at the bounds."""
    bounds = mail_metrics.MESSAGE_SECONDS.parent._upper_bounds  # noqa: SLF001
    expected = Histogram("miltscan_expected", "?", registry=None, buckets=bounds)
    for value in _values():
        expected.observe(value)
    observe(mail_metrics.MESSAGE_SECONDS, (), [(value, "A") for value in _values()], 1.0)
    found = [*_samples(mail_metrics.MESSAGE_SECONDS).values()]
    (wanted,) = expected.collect()
    assert found == pytest.approx([one.value for one in wanted.samples if not one.name.endswith("_created")])


@pytest.mark.parametrize(
    ("size", "name"),
    [
        (0, "small"),
        (32 * 2**10, "small"),
        (32 * 2**10 + 1, "medium"),
        (2**20 + 1, "large"),
        (10 * 2**20, "large"),
        (2**31, "huge"),
    ],
)
def test_size_classes(make_report: MakeReport, size: int, name: str) -> None:
    """A message of exactly the limit belongs to the smaller class."""
    report = make_report()
    recording.record_reports([report._replace(message=report.message._replace(size=size))])
    assert engine_metrics.SCAN_SECONDS.knows("clamd", "unix:/run/clamd.ctl", name)


def test_a_verdict_without_a_server_took_no_time(make_report: MakeReport) -> None:
    """A verdict without a server is not counted as a scan."""
    recording.record_reports([make_report(Verdict.clean("clamd"))])
    assert engine_metrics.SCAN_SECONDS.used == 0


def test_what_is_stored_is_counted_apart_from_what_is_not(make_report: MakeReport) -> None:
    """A message in the quarantine has its duration there, one that could not be stored is an error."""
    stored, failed = Kept("default", "id", 0.2, ""), Kept("default", "", 9.0, "disk full")
    seconds, errors = keeper_metrics.QUARANTINE_PUT_SECONDS, keeper_metrics.QUARANTINE_PUT_ERRORS
    before = _total(seconds, "_sum"), _total(seconds, "_count"), _total(errors, "_total")
    recording.record_reports([make_report()._replace(kept=kept) for kept in (None, stored, failed)])
    after = _total(seconds, "_sum"), _total(seconds, "_count"), _total(errors, "_total")
    assert [now - then for then, now in zip(before, after, strict=True)] == pytest.approx([0.2, 1, 1])


def test_copies_are_counted_by_what_became_of_them(make_report: MakeReport) -> None:
    """By recipients; a message that was tempfailed for its copies is one failure. What groups store is stored."""
    stored = Group((1,), Decision(Accept(), "rule"), Kept("refused", "id", 0.2))
    split = make_report()._replace(groups=(Group((0,), Decision(Accept(), "clean")), stored), copies=Copies(3, 1, 0.5))
    failed = make_report()._replace(copies=Copies(0, 0, 1.5, "copies: 451 later"))
    recording.record_reports([split, failed, make_report()])
    counts = {labels[1]: value for labels, value in _samples(mail_metrics.COPIES).items()}
    assert counts == {"('result', 'accepted')": 3, "('result', 'refused')": 1, "('result', 'failed')": 1}
    assert (_total(mail_metrics.COPY_SECONDS, "_sum"), _total(mail_metrics.COPY_SECONDS, "_count")) == (2.0, 2)
    assert _total(keeper_metrics.QUARANTINE_PUT_SECONDS, "_count") == 1


def _total(one: family.Family[Any], ending: str) -> float:
    return sum(value for (name, *_), value in _samples(one).items() if name.endswith(ending))


def test_signatures_have_a_bounded_number_of_series(make_report: MakeReport) -> None:
    """The first signatures keep their series, and text that is not printable becomes escapes."""
    names = ["\x1b[2J" + "x" * 500, *(f"Win.Trojan.A-{number}" for number in range(500))]
    recording.record_reports(make_report(Verdict.infected("clamd", name), REJECT) for name in names + names[:2])
    found = {labels[1]: value for labels, value in _samples(mail_metrics.SIGNATURE_DETECTIONS).items()}
    assert len(found) == mail_metrics.SIGNATURES_NAMED + 1
    assert sum(found.values()) == len(names) + 2
    assert found["('signature', 'Win.Trojan.A-0')"] == 2
    assert all(name.isprintable() and len(name) < 150 for name in found)
    assert mail_metrics.DETECTIONS.child("Trojan")._value.get() == 501  # noqa: SLF001


def test_rules_of_anti_spam_engines_have_a_bounded_number_of_series(make_report: MakeReport) -> None:
    """Those of all engines together; scores and proposed actions are counted by engine."""
    names = [f"RULE_{number}" for number in range(200)]
    for name in names + names[:2]:
        advice = Advice(SpamAction.ADD_HEADER, 5.0, (name,))
        recording.record_reports([make_report(Verdict.scored("rspamd", "s", 7.0, advice, spam=True))])
    found = {labels[2]: value for labels, value in _samples(engine_metrics.SPAM_SYMBOLS).items()}
    assert len(found) == engine_metrics.SYMBOLS_NAMED + 1
    assert (sum(found.values()), found["('symbol', 'RULE_0')"]) == (202, 2)
    assert engine_metrics.SPAM_ACTIONS.child("rspamd", "add header")._value.get() == 202  # noqa: SLF001
    assert _total(engine_metrics.SPAM_SCORE, "_count") == 202


def test_exemplars_are_the_newest_of_all_processes(tmp_path: Path) -> None:
    """The newest exemplar of all files is used; broken files and odd queue IDs are ignored."""
    for slot, when in (("0", 10.0), ("1", 20.0)):
        mine = Exemplars()
        mine.attach(tmp_path, slot)
        mine.keep("both", f"Q{slot}", 0.5, when)
        mine.keep(f"only {slot}", f"Q{slot}", 0.5, when)
        for wrong in ('a"b', "é", "x" * 65, "", "a b"):
            mine.keep("wrong", wrong, 0.5, when)
        mine.write()
    (tmp_path / "exemplars_2.json").write_bytes(b"{")
    (tmp_path / "exemplars_3.json").mkdir()
    one, two = Exemplar("Q0", 0.5, 10.0), Exemplar("Q1", 0.5, 20.0)
    assert exemplars.read_exemplars(tmp_path) == {"both": two, "only 0": one, "only 1": two}


def test_exemplars_are_written_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exemplars are written once a second, the last of them as well."""
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    mine = Exemplars()
    mine.attach(tmp_path, "0")
    for number in range(3):
        mine.keep("a", f"Q{number}", 0.5, 1.0)
        mine.write()
    assert exemplars.read_exemplars(tmp_path)["a"].queue_id == "Q0"
    now += 1.5
    mine.write()
    assert exemplars.read_exemplars(tmp_path)["a"].queue_id == "Q2"
