"""What the exporter measures itself, queues and disk, and that a gauge ends with the thing that it measures."""

import asyncio
import math
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from miltscan.config.settings import Settings
from miltscan.exporter import measure
from miltscan.exporter.measure import Measurement
from miltscan.telemetry import mail_metrics, metrics, sandwich_metrics, service_metrics
from miltscan.telemetry.family import Family
from miltscan.telemetry.sandwich_metrics import QueueName
from tests.fakes.delivery import fake_delivery


@pytest.fixture(autouse=True)
def _fresh_metrics() -> Iterator[None]:
    """Let counts begin at 0, in memory."""
    for family in metrics.FAMILIES:
        family.reset()
    yield
    for family in metrics.FAMILIES:
        family.reset()


def _value(family: Family, *labels: str) -> float | None:  # type: ignore[type-arg]
    """Return the value of a series; None if it does not exist or has ended."""
    if not family.knows(*labels):
        return None
    value = float(family.child(*labels)._value.get())  # noqa: SLF001
    return None if math.isnan(value) else value


def _settings(folder: Path, incoming: str) -> Settings:
    return Settings.model_validate(
        {"queues": {"incoming": incoming, "delivery": ""}, "spool": {"directory": str(folder)}}
    )


def _queue(folder: Path) -> str:
    (folder / "mqueue").mkdir()
    for name in ("qfA", "dfA"):
        (folder / "mqueue" / name).write_bytes(b"x" * 10)
    return str(folder / "mqueue")


def test_a_queue_and_the_disk(tmp_path: Path) -> None:
    """The configured queue and the disk are measured, and nothing else."""
    Measurement(_settings(tmp_path, _queue(tmp_path))).measure()
    assert (_value(sandwich_metrics.QUEUE_ENTRIES, "incoming"), _value(sandwich_metrics.QUEUE_BYTES, "incoming")) == (
        1,
        20,
    )
    assert (_value(sandwich_metrics.QUEUE_OLDEST, "incoming") or 0) > 0
    assert _value(sandwich_metrics.QUEUE_READABLE, "delivery") is None
    assert (_value(mail_metrics.SPOOL_FREE_BYTES) or 0) > 0


def test_a_sendmail_that_listens(tmp_path: Path) -> None:
    """A listener counts as 1, a closed port as 0; without its queue the sendmail is not on this host."""
    queue = _queue(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        values = {"incoming": queue, "delivery": f"{queue}*", "incoming_port": port, "delivery_port": port}
        whole = {"queues": values, "spool": {"directory": str(tmp_path)}}
        measured = Measurement(Settings.model_validate(whole))
        measured.measure()
        assert [_value(sandwich_metrics.SENDMAIL_LISTENING, name) for name in ("incoming", "delivery")] == [1, 1]
    measured.measure()
    assert [_value(sandwich_metrics.SENDMAIL_LISTENING, name) for name in ("incoming", "delivery")] == [0, 0]
    for changed in ({"incoming_port": 0}, {"incoming": str(tmp_path / "none")}, {"incoming": ""}):
        measured.reload(Settings.model_validate({**whole, "queues": {**values, **changed}}))
        measured.measure()
        assert _value(sandwich_metrics.SENDMAIL_LISTENING, "incoming") is None


def test_a_sendmail_that_greets(tmp_path: Path) -> None:
    """Only a greeting counts as up: a port that accepts connections, or closes meanwhile, does not."""
    values = {"incoming": _queue(tmp_path), "delivery": "", "incoming_port": 0}
    with fake_delivery() as server:
        values["incoming_port"] = server.port
        measured = Measurement(Settings.model_validate({"queues": values, "spool": {"directory": str(tmp_path)}}))
        measured.measure()
        assert _value(sandwich_metrics.SENDMAIL_UP, "incoming") is None
        asyncio.run(measured.greet(QueueName.INCOMING))
        asyncio.run(measured.greet(QueueName.DELIVERY))
        assert (_value(sandwich_metrics.SENDMAIL_UP, "incoming"), _value(sandwich_metrics.SENDMAIL_UP, "delivery")) == (
            1,
            None,
        )
    measured.measure()
    asyncio.run(measured.greet(QueueName.INCOMING))
    assert _value(sandwich_metrics.SENDMAIL_UP, "incoming") == 0


def test_thresholds_are_exported(tmp_path: Path) -> None:
    """Alerts compare with the settings in force, also after a reload."""
    measured = Measurement(_settings(tmp_path, ""))
    measured.measure()
    assert _value(service_metrics.THRESHOLD_QUEUE_AGE, "incoming") == 1800
    measured.reload(Settings.model_validate({"thresholds": {"incoming_age": "10m", "unscanned_percent": 20}}))
    measured.measure()
    assert (_value(service_metrics.THRESHOLD_QUEUE_AGE, "incoming"), _value(service_metrics.THRESHOLD_UNSCANNED)) == (
        600,
        0.2,
    )


def test_what_is_gone_has_no_numbers(tmp_path: Path) -> None:
    """An empty queue has no oldest entry, an unreadable one no numbers, and one that is not configured no series."""
    queue = _queue(tmp_path)
    measured = Measurement(_settings(tmp_path, queue))
    measured.measure()
    for file in Path(queue).iterdir():
        file.unlink()
    measured.reload(_settings(tmp_path, queue))
    measured.measure()
    assert (_value(sandwich_metrics.QUEUE_ENTRIES, "incoming"), _value(sandwich_metrics.QUEUE_OLDEST, "incoming")) == (
        0,
        None,
    )
    with capture_logs() as lines:
        for _ in range(3):
            measured.reload(_settings(tmp_path / "gone", "/nonexistent/mqueue"))
            measured.measure()
    assert [line["event"] for line in lines] == ["queue_unreadable"]
    assert (
        _value(sandwich_metrics.QUEUE_ENTRIES, "incoming"),
        _value(sandwich_metrics.QUEUE_READABLE, "incoming"),
    ) == (None, 0)
    assert _value(mail_metrics.SPOOL_FREE_BYTES) is None
    measured.reload(_settings(tmp_path, ""))
    measured.measure()
    assert _value(sandwich_metrics.QUEUE_READABLE, "incoming") is None


def test_a_queue_is_measured_at_its_interval(tmp_path: Path) -> None:
    """A measurement before the interval is over measures only the disk."""
    queue = _queue(tmp_path)
    measured = Measurement(_settings(tmp_path, queue))
    measured.measure()
    (Path(queue) / "qfB").touch()
    measured.measure()
    assert _value(sandwich_metrics.QUEUE_ENTRIES, "incoming") == 1


def test_a_bug_does_not_end_the_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception is counted and logged, and the next measurement tries again."""

    def broken(_path: str) -> None:
        raise ValueError("broken")

    monkeypatch.setattr(measure, "read_depth", broken)
    with capture_logs() as lines:
        Measurement(_settings(tmp_path, "/somewhere")).measure()
    assert [(line["event"], line["where"]) for line in lines] == [("exception", "measure")]
    assert _value(service_metrics.EXCEPTIONS, "measure") == 1
