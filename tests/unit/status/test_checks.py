"""The assessment at the top of the status page has a sentence for each fault, and none for a service without one."""

from dataclasses import replace
from typing import Any

import pytest

from miltscan.config.settings import Settings
from miltscan.core import faults
from miltscan.core.finding import Level
from miltscan.status.checks import Seen, assess
from miltscan.status.history import STEP, History
from miltscan.status.model import Assessment, EngineStatus, QueueStatus, WorkersStatus
from miltscan.status.samples import Numbers
from miltscan.status.trend import QueueTrend

NOW = 1_800_000_000.0
DAY = 86400
UNREADY = faults.server_down("clamd unix:/c", "refused", fatal=True)
ENGINE = EngineStatus(
    "clamd",
    "unix:/c",
    "clamd",
    required=True,
    up=True,
    degraded=False,
    watched=True,
    canary=NOW - 2,
    version=1,
    published=NOW - 3600,
    errors=0,
    queue=0,
    threads={},
)
WORKERS = WorkersStatus(2, 2, 0, 0, 0, [])
QUEUE = QueueStatus("delivery", 3, 1000, NOW - 30, readable=True)


def _lately(**unscanned: float) -> History:
    past = History()
    past.add(Numbers([]), NOW - STEP, 0)
    samples = [("miltscan_unscanned_total", {"reason": reason}, count) for reason, count in unscanned.items()]
    past.add(Numbers(samples), NOW, STEP)
    return past


def _not_stored(count: float) -> History:
    past = History()
    past.add(Numbers([]), NOW - STEP, 0)
    past.add(Numbers([("miltscan_quarantine_put_errors_total", {}, count)]), NOW, STEP)
    return past


def _delayed(messages: int, slow: int) -> History:
    past = History()
    past.add(Numbers([]), NOW - STEP, 0)
    buckets = {"5.0": messages - slow, "10.0": messages, "+Inf": messages}
    name = "miltscan_message_duration_seconds_bucket"
    samples = [(name, {"le": bound}, float(count)) for bound, count in buckets.items()]
    past.add(Numbers([*samples, ("miltscan_messages_total", {"outcome": "clean"}, messages)]), NOW, STEP)
    return past


def _trend(before: float, since: float) -> QueueTrend:
    trend = QueueTrend()
    for ago, length in ((7200, before), (5400, before), (1200, since)):
        trend.add(NOW - ago, {"delivery": length})
    return trend


def _assessment(**changes: Any) -> Assessment:  # noqa: ANN401 - any field of Seen
    parts: dict[str, Any] = {
        "unready": [],
        "engines": [ENGINE],
        "workers": WORKERS,
        "queues": [QUEUE],
        "past": History(),
        "settings": Settings(),
        "at": NOW,
    }
    return assess(Seen(**parts | changes))


def test_all_is_well() -> None:
    """A service without a fault has one sentence and no details."""
    assert _assessment() == Assessment(Level.OK, "Mail is being scanned by 1 server", [], [])
    assert _assessment(engines=[ENGINE, ENGINE]).text == "Mail is being scanned by all 2 servers"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        (
            {"engines": [ENGINE, replace(ENGINE, server="inet:1@b", up=False)]},
            "clamd inet:1@b: is down; it last passed",
        ),
        (
            {
                "engines": [
                    ENGINE,
                    replace(ENGINE, server="unix:/b", up=False, why="cannot start: /d has no signatures"),
                ]
            },
            "clamd unix:/b: cannot start: /d has no signatures; it last passed its self-test 2 s ago",
        ),
        ({"engines": [replace(ENGINE, published=NOW - 5 * DAY)]}, "clamd unix:/c: signatures 1 are 5.0 days old"),
        ({"engines": [replace(ENGINE, degraded=True)]}, "clamd unix:/c: had no room to unpack a message"),
        ({"workers": replace(WORKERS, running=1)}, "workers: 1 of 2 are running"),
        ({"workers": replace(WORKERS, exceptions=1)}, "unexpected exceptions since the start: 1"),
        ({"workers": replace(WORKERS, lines_lost=2)}, "lines lost since the start: 2"),
        ({"queues": [replace(QUEUE, queue="incoming", oldest=NOW - 7200)]}, "incoming queue: waiting messages: 3"),
        ({"queues": [replace(QUEUE, oldest=NOW - 6 * DAY)]}, "the oldest for 144.0 hours"),
        ({"queues": [replace(QUEUE, readable=False)]}, "delivery queue: cannot be read"),
        ({"past": _lately(timeout=3)}, "messages not scanned in the last five minutes: 3 (timeout)"),
        ({"past": _lately(limits=30)}, "was not scanned completely in the last 15 minutes (30 messages; limit 5%)"),
        ({"past": _not_stored(3)}, "quarantine: messages that could not be stored in the last 15 minutes: 3"),
        ({"degraded": [faults.log_stalled(1, 0)]}, "log: cannot be written by 1 process"),
        (
            {"trend": _trend(10, 600), "queues": [replace(QUEUE, entries=800)]},
            "delivery queue: grows: 800 messages wait, 10 on average",
        ),
    ],
)
def test_it_scans_but(changes: dict[str, Any], detail: str) -> None:
    """Each fault that does not stop the scan makes the page yellow and has its own line."""
    found = _assessment(**changes)
    assert found.level is Level.WARNING
    assert [detail in line for line in found.details] == [True]
    assert [bool(one.remedy) for one in found.findings] == [True]


def test_what_mail_itself_causes_is_no_fault() -> None:
    """A broken message, or one that the allow list names, is no reason for an administrator to get up."""
    reasons = dict.fromkeys(("too-large", "limits", "encrypted", "malformed", "allowed"), 1.0)
    assert _assessment(past=_lately(**reasons)).level is Level.OK


def test_thresholds_are_those_of_the_site() -> None:
    """A site that accepts older signatures and longer waits is not warned."""
    limits = {"signature_age": "10d", "delivery_age": "10d", "unscanned_percent": 100, "delivery_messages": 1000}
    changes: dict[str, Any] = {
        "engines": [replace(ENGINE, published=NOW - 5 * DAY)],
        "queues": [replace(QUEUE, oldest=NOW - 6 * DAY, entries=800)],
        "past": _lately(limits=30),
        "trend": _trend(10, 600),
    }
    assert len(_assessment(**changes).details) == 4
    assert _assessment(**changes, settings=Settings.model_validate({"thresholds": limits})).details == []


def test_slow_mail_is_a_warning() -> None:
    """One message in twenty above the threshold, of at least twenty."""
    assert [line.partition(":")[0] for line in _assessment(past=_delayed(20, 2)).details] == ["latency"]
    assert _assessment(past=_delayed(19, 2)).details == []
    assert _assessment(past=_delayed(100, 4)).details == []


@pytest.mark.parametrize(
    ("queue", "listening", "text", "detail"),
    [
        (
            "delivery",
            False,
            "not delivered",
            "delivery sendmail: accepts no connections, because it is down or the load",
        ),
        ("delivery", True, "not delivered", "delivery sendmail: accepts connections and does not greet"),
        ("incoming", False, "No mail arrives", "incoming sendmail: accepts no connections"),
    ],
)
def test_a_sendmail_that_does_not_answer_stops_mail(queue: str, text: str, detail: str, *, listening: bool) -> None:
    """The page is red, and names the remedy and how much mail waits."""
    waits = QueueStatus("incoming", 7, 1000, NOW - 30, readable=True)
    dead = replace(QUEUE, queue=queue, up=False, listening=listening)
    found = _assessment(queues=[dead] if queue == "incoming" else [waits, dead])
    assert (found.level, text in found.text, detail in found.details[0]) == (Level.ERROR, True, True)
    assert f"miltscan-{queue}" in found.findings[0].remedy
    assert ("(messages: 7)" in found.details[0]) is (queue == "delivery")


@pytest.mark.parametrize(("kind", "remedy"), [("clamd", faults.CLAMD_LOG), ("rspamd", faults.READ_LOG)])
def test_only_a_clamd_has_a_temporary_folder(kind: str, remedy: str) -> None:
    """The remedy of another engine that is down does not send anybody there."""
    down = replace(ENGINE, engine="other", type=kind, server="inet:1@b", up=False, why="garbled")
    (found,) = _assessment(engines=[ENGINE, down]).findings
    assert found.remedy == remedy


@pytest.mark.parametrize("reason", ["encrypted", "too-large", "limits"])
def test_a_reason_caused_by_the_mail_is_not_a_fault_of_the_service(reason: str) -> None:
    """A sender of encrypted archives does not turn the page yellow."""
    assert _assessment(past=_lately(**{reason: 5})).level is Level.OK


def test_failed_probes_are_shown_next_to_failed_engines() -> None:
    """The page lists all faults, not only the first."""
    down = replace(ENGINE, up=False)
    found = _assessment(unready=[UNREADY], unproven=[faults.probe_failed("clean", "failed 10 s ago")], engines=[down])
    assert found.details == [UNREADY.line, "clean probe: failed 10 s ago"]


@pytest.mark.parametrize(("readiness", "level"), [(False, Level.WARNING), (True, Level.ERROR)])
def test_engines_that_are_well_do_not_hide_that_nothing_is_scanned(readiness: bool, level: Level) -> None:  # noqa: FBT001
    """When sendmail has lost its filter every self-test passes and every message is unscanned: the probe shows it."""
    probe = {"interval": "1m", "readiness": readiness}
    settings = Settings.model_validate({"probe": probe, "keys": {"file": "/k"}})
    found = _assessment(unproven=[faults.probe_failed("clean", "failed 10 s ago")], settings=settings)
    assert (found.level, found.text) == (level, "No probe proves that mail is being scanned")
    assert found.details[0] == "clean probe: failed 10 s ago"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"engines": []}, "clients receive a temporary error (4xx) and try again later"),
        ({"workers": replace(WORKERS, running=0)}, "sendmail cannot reach miltscan"),
        ({"unready": [faults.socket_lost("milter.socket")]}, "sendmail cannot reach miltscan"),
        ({"unready": [faults.worker_hangs("0", 20, alone=True)]}, "sendmail cannot reach miltscan"),
        (
            {"settings": Settings.model_validate({"policy": {"on_unscanned": {"no_engine": "accept"}}}), "engines": []},
            "mail passes UNSCANNED",
        ),
    ],
)
def test_it_does_not_scan(changes: dict[str, Any], text: str) -> None:
    """The page gives the reason, and states what happens to mail meanwhile."""
    found = _assessment(**{"unready": [UNREADY], **changes})
    assert found.level is Level.ERROR
    assert text in found.text
    assert len(found.details) == 1


def test_what_follows_from_a_fault_is_not_listed() -> None:
    """Without an engine all mail is unscanned: the page has the cause only."""
    assert _assessment(unready=[UNREADY], past=_lately(connect=50)).details == [UNREADY.line]
