"""The assessment at the top of the status page has a sentence for each fault, and none for a service without one."""

from dataclasses import replace
from typing import Any

import pytest

from miltscan.config.settings import Settings
from miltscan.core.finding import Level
from miltscan.status.checks import assess
from miltscan.status.history import STEP, History
from miltscan.status.model import Assessment, EngineStatus, QueueStatus, WorkersStatus
from miltscan.status.samples import Numbers

NOW = 1_800_000_000.0
ENGINE = EngineStatus(
    "clamd",
    "unix:/c",
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


def _assessment(**changes: Any) -> Assessment:  # noqa: ANN401 - any argument of assess
    parts: dict[str, Any] = {
        "unready": [],
        "engines": [ENGINE],
        "workers": WORKERS,
        "queues": [QUEUE],
        "past": History(),
        "settings": Settings(),
        "at": NOW,
    }
    return assess(**parts | changes)


def test_all_is_well() -> None:
    """A service without a fault has one sentence and no details."""
    assert _assessment() == Assessment(Level.OK, "Mail is being scanned by 1 server", [])
    assert _assessment(engines=[ENGINE, ENGINE]).text == "Mail is being scanned by all 2 servers"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"engines": [ENGINE, replace(ENGINE, server="inet:1@b", up=False)]}, "down: clamd inet:1@b"),
        ({"engines": [replace(ENGINE, published=NOW - 5 * 86400)]}, "clamd unix:/c: the signatures are 5 days old"),
        ({"workers": replace(WORKERS, running=1)}, "1 of 2 workers are running"),
        ({"workers": replace(WORKERS, exceptions=1)}, "1 exception since"),
        ({"workers": replace(WORKERS, lines_lost=2)}, "2 log lines could not"),
        ({"queues": [replace(QUEUE, queue="incoming", oldest=NOW - 7200)]}, "incoming queue for 2.0 hours"),
        ({"queues": [replace(QUEUE, oldest=NOW - 6 * 86400)]}, "delivery queue for 144.0 hours"),
        ({"queues": [replace(QUEUE, readable=False)]}, "delivery queue cannot be read"),
        ({"queues": [replace(QUEUE, listening=False)]}, "the delivery sendmail accepts no connections"),
        ({"past": _lately(timeout=3)}, "3 messages not scanned in the last five minutes: timeout"),
    ],
)
def test_it_scans_but(changes: dict[str, Any], detail: str) -> None:
    """Each fault that does not stop the scan makes the page yellow and has its own line."""
    found = _assessment(**changes)
    assert found.level is Level.WARNING
    assert [detail in line for line in found.details] == [True]


@pytest.mark.parametrize("reason", ["encrypted", "too-large", "limits"])
def test_a_reason_caused_by_the_mail_is_not_a_fault_of_the_service(reason: str) -> None:
    """A sender of encrypted archives does not turn the page yellow."""
    assert _assessment(past=_lately(**{reason: 5})).level is Level.OK


def test_failed_probes_are_shown_next_to_failed_engines() -> None:
    """The page lists all faults, not only the first."""
    down = replace(ENGINE, up=False)
    found = _assessment(unready=["not ready"], unproven=["clean probe: failed 10 s ago"], engines=[down])
    assert found.details == ["not ready", "clean probe: failed 10 s ago"]


@pytest.mark.parametrize(("readiness", "level"), [(False, Level.WARNING), (True, Level.ERROR)])
def test_engines_that_are_well_do_not_hide_that_nothing_is_scanned(readiness: bool, level: Level) -> None:  # noqa: FBT001
    """When sendmail has lost its filter every self-test passes and every message is unscanned: the probe shows it."""
    probe = {"interval": "1m", "readiness": readiness}
    settings = Settings.model_validate({"probe": probe, "keys": {"file": "/k"}})
    found = _assessment(unproven=["clean probe: failed 10 s ago"], settings=settings)
    assert (found.level, found.text) == (level, "No probe proves that mail is being scanned")
    assert found.details[0] == "clean probe: failed 10 s ago"


@pytest.mark.parametrize(
    ("changes", "text", "details"),
    [
        ({"engines": []}, "clients receive a temporary error (4xx) and try again later", ["not ready"]),
        ({"workers": replace(WORKERS, running=0)}, "no worker is running", ["not ready"]),
        (
            {"settings": Settings.model_validate({"policy": {"on_unscanned": {"no_engine": "accept"}}}), "engines": []},
            "mail passes UNSCANNED",
            ["not ready"],
        ),
    ],
)
def test_it_does_not_scan(changes: dict[str, Any], text: str, details: list[str]) -> None:
    """The page gives the reason, and states what happens to mail meanwhile."""
    found = _assessment(unready=["not ready"], **changes)
    assert found.level is Level.ERROR
    assert text in found.text
    assert found.details == details
