"""Jobs: work in a thread, called again after the pause that it returns, and after a bug."""

import json
import threading

import pytest

from miltscan.core.report import Place
from miltscan.daemon.jobs import Job
from miltscan.telemetry import log, service_metrics
from tests.harness.processes import PATIENCE, wait_until


def test_it_is_called_after_its_pause_and_when_woken() -> None:
    """A pause of no time repeats it at once; a long one ends when something has changed."""
    calls: list[float] = []

    def work() -> float:
        calls.append(0.0 if len(calls) < 3 else 600.0)
        return calls[-1]

    job = Job("test", work, Place.KEEPER)
    wait_until(lambda: len(calls) == 4, PATIENCE, "four calls")
    job.wake()
    wait_until(lambda: len(calls) == 5, PATIENCE, "a fifth call")
    job.end()
    job.join(PATIENCE)
    assert len(calls) == 5


def test_an_end_does_not_wait_for_work() -> None:
    """The present call goes on, and is the last."""
    begun, free, calls = threading.Event(), threading.Event(), []

    def work() -> float:
        calls.append(1)
        begun.set()
        free.wait(PATIENCE)
        return 0.0

    job = Job("test", work, Place.KEEPER)
    assert begun.wait(PATIENCE)
    job.end()
    job.join(0.01)
    free.set()
    job.join(PATIENCE)
    assert calls == [1]


def test_a_bug_is_counted_and_logged(capfd: pytest.CaptureFixture[str]) -> None:
    """The thread goes on."""
    log.configure("json", "info")
    before = service_metrics.EXCEPTIONS.child("keeper")._value.get()  # noqa: SLF001
    seen = []

    def work() -> float:
        seen.append(1)
        raise RuntimeError("x")

    job = Job("test", work, Place.KEEPER)
    wait_until(lambda: service_metrics.EXCEPTIONS.child("keeper")._value.get() == before + 1, PATIENCE, "a count")  # noqa: SLF001
    job.wake()
    wait_until(lambda: len(seen) == 2, PATIENCE, "a second call")
    job.end()
    job.join(PATIENCE)
    line = json.loads(capfd.readouterr().out.splitlines()[0])
    assert (line["event"], line["where"], line["exception"]) == ("exception", "keeper", "RuntimeError: x")
