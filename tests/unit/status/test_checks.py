"""The verdict: each fault has its sentence, and a service that is well has none."""

from dataclasses import replace
from typing import Any

import pytest

from miltscan.config.settings import Settings
from miltscan.config.validation import validated
from miltscan.core.finding import Level
from miltscan.status.checks import assess
from miltscan.status.history import STEP, History
from miltscan.status.model import Assessment, EngineStatus, QueueStatus, WorkersStatus
from miltscan.status.samples import Numbers

NOW = 1_800_000_000.0
ENGINE = EngineStatus(
    "clamd", "unix:/c", up=True, canary=NOW - 2, version=1, published=NOW - 3600, errors=0, queue=0, threads={}
)
WORKERS = WorkersStatus(2, 2, 0, 0, 0, [])
QUEUE = QueueStatus("delivery", 3, 1000, NOW - 30, readable=True)


def _lately(**unscanned: float) -> History:
    past = History()
    past.add(Numbers([]), NOW - STEP, 0)
    samples = [("miltscan_unscanned_total", {"reason": reason}, count) for reason, count in unscanned.items()]
    past.add(Numbers(samples), NOW, STEP)
    return past


def _verdict(**changes: Any) -> Assessment:  # noqa: ANN401 - whatever judge takes
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
    """In one sentence."""
    assert _verdict() == Assessment(Level.OK, "Mail is being scanned by 1 server", [])
    assert _verdict(engines=[ENGINE, ENGINE]).text == "Mail is being scanned by all 2 servers"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"engines": [ENGINE, replace(ENGINE, server="inet:1@b", up=False)]}, "down: inet:1@b"),
        ({"engines": [replace(ENGINE, published=NOW - 5 * 86400)]}, "5 days old"),
        ({"workers": replace(WORKERS, running=1)}, "1 of 2 workers run"),
        ({"workers": replace(WORKERS, exceptions=1)}, "1 exception since"),
        ({"workers": replace(WORKERS, lines_lost=2)}, "2 log lines could not"),
        ({"queues": [replace(QUEUE, oldest=NOW - 7200)]}, "delivery queue for 2.0 hours"),
        ({"queues": [replace(QUEUE, readable=False)]}, "delivery queue cannot be read"),
        ({"past": _lately(timeout=3)}, "3 messages of the last five minutes not scanned: timeout"),
    ],
)
def test_it_scans_but(changes: dict[str, Any], detail: str) -> None:
    """Somebody should look at it, and is told at what."""
    verdict = _verdict(**changes)
    assert verdict.level is Level.WARNING
    assert [detail in line for line in verdict.details] == [True]


@pytest.mark.parametrize("reason", ["encrypted", "too-large", "limits"])
def test_what_is_up_to_the_mail_is_no_fault_of_the_service(reason: str) -> None:
    """Whoever sends encrypted archives all day should not turn the page yellow for ever."""
    assert _verdict(past=_lately(**{reason: 5})).level is Level.OK


def test_what_probes_say_is_shown_beside_it() -> None:
    """More than one thing may be wrong."""
    down = replace(ENGINE, up=False)
    verdict = _verdict(unready=["not ready"], unproven=["clean probe: failed 10 s ago"], engines=[down])
    assert verdict.details == [
        "unix:/c is down; it last found the test signature 2 s ago",
        "clean probe: failed 10 s ago",
    ]


@pytest.mark.parametrize(("readiness", "level"), [(False, Level.WARNING), (True, Level.ERROR)])
def test_engines_that_are_well_do_not_hide_that_nothing_is_scanned(readiness: bool, level: Level) -> None:  # noqa: FBT001
    """As with a sendmail that has lost its filter: every canary passes, and every mail unscanned."""
    probe = {"interval": "1m", "readiness": readiness}
    settings = validated(Settings, {"probe": probe, "keys": {"file": "/k"}})
    verdict = _verdict(unproven=["clean probe: failed 10 s ago"], settings=settings)
    assert (verdict.level, verdict.text) == (level, "No probe proves that mail is being scanned")
    assert verdict.details[0] == "clean probe: failed 10 s ago"


@pytest.mark.parametrize(
    ("changes", "text", "details"),
    [
        (
            {"engines": [replace(ENGINE, up=False, canary=NOW - 40)]},
            "clients are told to come again later (4xx)",
            ["unix:/c is down; it last found the test signature 40 s ago"],
        ),
        (
            {"engines": [replace(ENGINE, up=False, canary=None)]},
            "clients are told to come again later (4xx)",
            ["unix:/c is down and has never found the test signature"],
        ),
        ({"engines": []}, "clients are told to come again later (4xx)", ["not ready"]),
        ({"workers": replace(WORKERS, running=0)}, "no worker runs", ["not ready"]),
        (
            {"settings": validated(Settings, {"policy": {"on_unscanned": {"no_engine": "accept"}}}), "engines": []},
            "mail passes UNSCANNED",
            ["not ready"],
        ),
    ],
)
def test_it_does_not_scan(changes: dict[str, Any], text: str, details: list[str]) -> None:
    """The reason, and what becomes of the mail meanwhile."""
    verdict = _verdict(unready=["not ready"], **changes)
    assert verdict.level is Level.ERROR
    assert text in verdict.text
    assert verdict.details == details
