"""The log lines of releases and deletions: as they are documented, and as trace reads them from syslog."""

import json
import syslog
from datetime import UTC, datetime

import pytest

from docs.generator import log_events
from miltscan.core.text import readable
from miltscan.quarantine.audit import deletion_line, release_lines
from miltscan.quarantine.release import Delivery, Order, Release
from miltscan.sandwich.logline import EventKind, handoff_id, parse_line
from miltscan.telemetry import audit
from tests.fakes.entries import ANN, BOB, entry

KEPT = entry(id="01jdq4xk2m8v3n7w5rst", queue_id="6AMG9F89004499")
QUEUED = "250 2.0.0 6AMG9FSt004502 Message accepted for delivery"
RELEASE = Release(
    KEPT,
    Order("root", reason="asked for"),
    (
        Delivery(ANN, "6AMG9FSt004502", QUEUED),
        Delivery(BOB, "", "550 5.1.1 no", "use --to"),
        Delivery(b"<\xff\x1b>", "", "550 5.1.1 no"),
    ),
)
HOSTILE = Release(
    entry(id=KEPT.id, queue_id=KEPT.queue_id, sender=b'<"\x00\n">' * 900),
    Order("root", reason="\u202e" * 900),
    tuple(Delivery(b"<\xe4%d>" % number * 99, "6AMG9FSt004502", "\\" * 500) for number in range(50)),
)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """What goes to syslog: priority and text."""
    lines: list[tuple[int, str]] = []
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: lines.append((priority, text)))
    return lines


@pytest.mark.parametrize("release", [RELEASE, HOSTILE], ids=["release", "hostile"])
def test_lines_are_documented(release: Release, written: list[tuple[int, str]]) -> None:
    """Every line has the documented fields and bounds, and syslog can take it, whatever the texts are."""
    for line in (*release_lines(release), deletion_line(release.entry, "keeper", "expired")):
        audit.write_audit(*line)
    assert {json.loads(text)["event"] for _, text in written} <= {one.name for one in log_events.QUARANTINE_EVENTS}
    for _, text in written:
        assert log_events.deviations(json.loads(text)) == []
        assert len(text) <= 2000
        assert text.isascii()
        assert text.isprintable()


def test_a_line_for_each_reply(written: list[tuple[int, str]]) -> None:
    """Recipients with one reply share a line; a failure is a warning."""
    for line in release_lines(RELEASE):
        audit.write_audit(*line)
    done, refused = (json.loads(text) for _, text in written)
    assert [priority for priority, _ in written] == [syslog.LOG_INFO, syslog.LOG_WARNING]
    assert (done["event"], done["recipients"], done["delivery"]) == ("released", [ANN.decode()], "6AMG9FSt004502")
    assert (refused["event"], refused["recipients_count"]) == ("release_failed", 2)
    assert refused["recipients"] == [BOB.decode(), readable("<\\xff\x1b>")]
    assert (done["by"], done["reason"]) == ("root", "asked for")


@pytest.mark.parametrize("release", [RELEASE, HOSTILE], ids=["release", "hostile"])
def test_trace_reads_the_lines(release: Release, written: list[tuple[int, str]]) -> None:
    """In syslog, a line links the queue IDs of both sendmails and names the entry."""
    audit.write_audit(*next(release_lines(release)))
    line = f"Nov 22 16:00:00 mx miltscan[7]: {written[0][1]}"
    event = parse_line(line, datetime(2026, 11, 23, tzinfo=UTC))
    assert (event.kind, event.queue_id) == (EventKind.QUARANTINE, "6AMG9F89004499")
    assert handoff_id(event) == "6AMG9FSt004502"
    assert event.get("entry") == KEPT.id
