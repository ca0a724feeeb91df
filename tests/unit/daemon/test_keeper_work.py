"""What the keeper decides without a service: orders, results, settings of mails, one log line for a fault."""

import json

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.verdict import Outcome
from miltscan.daemon.keeping import ClockWatch, Health
from miltscan.daemon.notifying import mails_of
from miltscan.daemon.releases import results_of, resumed
from miltscan.quarantine.audience import Told
from miltscan.quarantine.entry import Event, Standing, State
from miltscan.quarantine.release import Delivery, Order, Release
from miltscan.telemetry import log
from miltscan.telemetry.keeper_metrics import ReleaseResult
from tests.fakes.entries import ANN, BOB, NOW, entry


def releasing(*recipients: bytes, reason: str = "") -> Event:
    """The begin of a release."""
    return Event(NOW, "ann", State.RELEASING, recipients, reason=reason)


def test_an_interrupted_release_is_resumed() -> None:
    """For those without a result, as its author was allowed to; a finished one is not."""
    begun, done = releasing(ANN, BOB, reason="asked for"), Event(NOW, "ann", State.RELEASED, (ANN,))
    assert resumed(Standing(entry(), (begun, done))) == Order("keeper", (BOB,), infected=True, reason="asked for")
    assert resumed(Standing(entry(), (begun, done, done._replace(recipients=(BOB,))))) is None
    assert resumed(Standing(entry())) is None
    clean = Standing(entry(outcome=Outcome.ERROR), (releasing(),))
    assert resumed(clean) == Order("keeper", (ANN, BOB), infected=False, reason="the release did not finish")


@pytest.mark.parametrize(
    ("queue_id", "reply", "result"),
    [
        ("6AMG9FSt004502", "250 2.0.0 ok", ReleaseResult.RELEASED),
        ("", "450 4.2.0 later", ReleaseResult.TEMPFAILED),
        ("", "550 5.1.1 unknown", ReleaseResult.REJECTED),
        ("", "Connection refused", ReleaseResult.UNREACHABLE),
        ("", "250 2.0.0 ok (without a queue ID: it may have the message or not)", ReleaseResult.UNREACHABLE),
        ("", "", ReleaseResult.UNREACHABLE),
    ],
)
def test_a_result_has_one_label(queue_id: str, reply: str, result: ReleaseResult) -> None:
    """Only a queue ID is a success."""
    assert results_of(Release(entry(), Order("keeper"), (Delivery(ANN, queue_id, reply),))) == [result]


def test_the_settings_of_mails() -> None:
    """Each area has its own; without a sender it is the postmaster of this host."""
    text = b"""
        [quarantine.area.loud]
        notice = "both"
        max_age = "3d"
        [delivery]
        server = "inet:1025@127.0.0.2"
        [notice]
        administrators = ["root@example.org"]
    """
    mails = mails_of(parse_settings(text, "f"), "mx.example.org")
    assert mails.areas["loud"] == (Told(recipients=True, administrators=True), Told.of("none"), 3 * 86400.0)
    assert mails.areas["default"].notice == Told.of("none")
    assert (mails.server, mails.sender) == (("127.0.0.2", 1025), ("postmaster@mx.example.org", "mx.example.org"))
    assert mails.administrators == (b"root@example.org",)


def test_a_fault_is_logged_once(capfd: pytest.CaptureFixture[str]) -> None:
    """And its end; another reason is another fault."""
    log.configure("json", "info")
    health = Health("index")
    for why in ("a", "a", "b"):
        health.fails(why)
    health.works()
    health.works()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(line["event"], line.get("why")) for line in lines] == [
        ("keeper_fails", "a"),
        ("keeper_fails", "b"),
        ("keeper_works", None),
    ]


def test_a_clock_that_was_set_ahead_deletes_nothing() -> None:
    """All messages look old then. After a day the clock is believed; small corrections are not noticed."""
    watch, boot = ClockWatch(), 1_790_000_000.0
    assert [watch.is_ahead(boot + running, running) for running in (0.0, 60.0)] == [False, False]
    year = boot + 365 * 86400
    assert [watch.is_ahead(year + running, running) for running in (120.0, 180.0, 3600.0)] == [True] * 3
    assert not watch.is_ahead(boot + 4000, 4000)
    assert [watch.is_ahead(year + 5000 + after, 5000 + after) for after in (0.0, 86399.0, 86400.0, 86460.0)] == [
        True,
        True,
        False,
        False,
    ]
    assert not watch.is_ahead(year + 3500 + 90_000, 90_000)
    assert not watch.is_ahead(boot + 90_060, 90_060)
