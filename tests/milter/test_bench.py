"""The benchmark against a real libmilter filter: every part of it runs; no number is judged."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import cpu, load, measure, report
from tests.bench.filters import Filter
from tests.bench.load import Load, RefusedError
from tests.bench.report import Results
from tests.harness.milter import Milter
from tests.harness.processes import PATIENCE, Programs, wait_until

SCRIPT = Path(__file__).with_name("scripted_filter.py")
LOAD = Load(size=1_000, messages=7, sessions=2, in_session=3)


@pytest.fixture
def programs() -> Iterator[Programs]:
    """A private folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Programs(Path(folder)) as owner:
        yield owner
        for program in owner.running:
            program.kill()  # libmilter takes seconds to end by TERM


def start(programs: Programs, name: str, *words: str) -> Filter:
    """A scripted filter as one of those that are compared."""
    socket = programs.folder / f"{name}.sock"
    milter = Milter(programs, [sys.executable, SCRIPT, f"unix:{socket}", *words], socket, name=name)
    milter.start()
    milter.wait_ready()
    return Filter(name, "1", milter)


def test_two_filters_are_measured_and_reported(programs: Programs, tmp_path: Path) -> None:
    """One table row for a load, whatever the filters have negotiated, and both files written."""
    ours, seconds = measure.first_answer(lambda: start(programs, "ours", "noreply"))
    theirs = start(programs, "theirs")
    results = Results(
        where=report.surroundings(),
        costs=measure.costs([ours, theirs], [LOAD], 2),
        memory={"ours": measure.resident(ours, 0)},
        memory_with_sessions={"ours": measure.resident(ours, 5)},
        first_answer={"ours": seconds},
    )
    written = report.write(results, tmp_path)
    assert "| 1 KB | 2 | " in written.read_text()
    assert written.with_suffix(".json").exists()
    assert all(value > 0 for cost in results.costs for value in cost.rounds)


def test_every_message_is_sent(programs: Programs) -> None:
    """As many as the load says, in sessions of at most `in_session`."""
    filter_ = start(programs, "filter")
    load.run(filter_.socket, LOAD, iter(range(100)))
    log = filter_.milter.running.log
    wait_until(
        lambda: sum(line.startswith("eom") for line in log.read_text().splitlines()) == 7, PATIENCE, "7 messages"
    )


def test_a_filter_that_refuses_is_not_measured(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """To fail is cheap; a tempfail must not pass for a fast answer."""
    monkeypatch.setattr("tests.bench.packets._RECIPIENT", b"tempfail@example.test")
    with pytest.raises(RefusedError):
        load.run(start(programs, "filter").socket, LOAD, iter(range(100)))


def test_cpu_time_of_a_process_that_is_gone_is_an_error() -> None:
    """Its time would be missing from the sum."""
    assert cpu.seconds([os.getpid()]) > 0
    with pytest.raises(cpu.LostProcessError):
        cpu.seconds([2**22 + 1])  # above the kernel's largest process ID
