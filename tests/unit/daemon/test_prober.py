"""The prober: when it sends, what it records, and that it obeys orders while a probe waits."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from miltscan.config.keyfile import Loaded
from miltscan.config.load import parse_settings
from miltscan.core.keys import Key
from miltscan.core.probe import ProbeKind, Stage
from miltscan.daemon import prober
from miltscan.daemon.prober import Prober
from miltscan.processes.link import DRAIN, link_pair
from miltscan.scanning.probe_run import Result
from miltscan.telemetry import log, sandwich_metrics, service_metrics
from tests.harness.processes import PATIENCE, wait_until

KEYS = (Key("k", b"k" * 32),)
SECONDS = {Stage.CONNECT: 0.001, Stage.ENVELOPE: 0.002, Stage.DATA: 0.003}


def loaded(interval: str = "1m") -> Loaded:
    """Return a configuration with a probe."""
    return Loaded(parse_settings(f"keys.file = '/k'\nprobe.interval = '{interval}'".encode(), "f"), KEYS)


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[list[Result]]:
    """Return what the next runs yield, in order; the last result repeats."""
    log.configure("json", "info")
    queue: list[list[Result]] = []

    def run(_options: object, _key: Key) -> Iterator[Result]:
        yield from queue.pop(0) if len(queue) > 1 else queue[0]

    monkeypatch.setattr(prober, "run_probes", run)
    return queue


def both(why: str = "", seconds: dict[Stage, float] = SECONDS) -> list[Result]:
    """Return two probes that ended like this."""
    return [Result(kind, why, "550 5.7.1 x", seconds) for kind in ProbeKind]


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what was logged since the last call."""
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def value(family: Any, *labels: str) -> float:  # noqa: ANN401  of any gauge
    """Return the value of a gauge."""
    number: float = family.child(*labels)._value.get()  # noqa: SLF001
    return number


def test_a_change_is_logged_and_each_failure(results: list[list[Result]], capfd: pytest.CaptureFixture[str]) -> None:
    """A probe that succeeds every minute does not write a line every minute, but each failure writes one."""
    results += [both(), both(), both("no reply"), both("no reply"), both()]
    ours = Prober(loaded())
    logged = []
    for _ in range(5):
        ours.probe()
        logged.append([(line["event"], line["message"]) for line in lines(capfd)])
    works, fails = [[(f"probe_{how}", kind) for kind in ProbeKind] for how in ("works", "fails")]
    assert logged == [works, [], fails, fails, works]


def test_metrics_show_the_last_run(results: list[list[Result]]) -> None:
    """The metrics show the last run, without a duration of a stage that it did not reach."""
    results += [both(), both("no reply", {Stage.CONNECT: 0.5})]
    ours, began = Prober(loaded()), time.time()
    ours.probe()
    assert [value(sandwich_metrics.PROBE_SUCCESS, kind) for kind in ProbeKind] == [1, 1]
    assert value(sandwich_metrics.PROBE_SECONDS, "clean", "data") == 0.003
    assert value(sandwich_metrics.PROBE_LAST_RUN, "signature") >= began
    ours.probe()
    assert [value(sandwich_metrics.PROBE_SUCCESS, kind) for kind in ProbeKind] == [0, 0]
    assert value(sandwich_metrics.PROBE_SECONDS, "clean", "connect") == 0.5
    gone = value(sandwich_metrics.PROBE_SECONDS, "clean", "data")
    assert gone != gone  # noqa: PLR0124 - NaN


@pytest.mark.parametrize(("interval", "why", "pause"), [("1m", "", 60), ("1m", "x", 10), ("5s", "x", 5), ("5s", "", 5)])
def test_a_failed_one_is_repeated_sooner(results: list[list[Result]], interval: str, why: str, pause: float) -> None:
    """A failed probe is repeated sooner, so that the end of a fault is seen soon."""
    results.append(both(why))
    assert Prober(loaded(interval)).probe() == pause


def test_a_bug_is_counted_and_logged(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """An exception is counted and logged, and the next probe is sent all the same."""
    log.configure("json", "info")

    def broken(_options: object, _key: Key) -> list[Result]:
        raise RuntimeError("x")

    monkeypatch.setattr(prober, "run_probes", broken)
    before = service_metrics.EXCEPTIONS.child("probe")._value.get()  # noqa: SLF001
    assert Prober(loaded()).probe() == 60
    assert service_metrics.EXCEPTIONS.child("probe")._value.get() == before + 1  # noqa: SLF001
    (line,) = lines(capfd)
    assert (line["event"], line["where"], line["exception"]) == ("exception", "probe", "RuntimeError: x")


def test_without_keys_there_is_no_probe(capfd: pytest.CaptureFixture[str]) -> None:
    """Without keys, which a reload may remove, no probe is sent."""
    log.configure("json", "info")
    assert Prober(Loaded(loaded().settings, ())).probe() == 60
    assert [line["event"] for line in lines(capfd)] == ["probe_off"]


@pytest.mark.parametrize("end", ["drain", "death"])
def test_orders_are_obeyed_while_a_probe_waits(monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    """A reload probes at once with the new settings, and a stop waits for no reply."""
    seen: list[float] = []
    stuck = threading.Event()

    def run(options: Any, _key: Key) -> list[Result]:  # noqa: ANN401  the settings of the probe
        seen.append(options.timeout)
        if len(seen) == 2:
            stuck.wait(PATIENCE)
        return []

    monkeypatch.setattr(prober, "run_probes", run)
    monkeypatch.setattr(prober, "_FIRST", 0.0)
    log.configure("json", "error")
    ours, theirs = link_pair()
    thread = threading.Thread(target=Prober(loaded()).run, args=(theirs,), daemon=True)
    thread.start()
    wait_until(lambda: len(seen) == 1, PATIENCE, "the first probe")
    new = parse_settings(b"keys.file = '/k'\nprobe.interval = '1m'\nprobe.timeout = '7s'", "f")
    ours.send(Loaded(new, KEYS))
    wait_until(lambda: seen == [90.0, 7.0], PATIENCE, "a probe with the new settings")
    if end == "drain":
        ours.send(DRAIN)
    else:
        ours.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    stuck.set()
