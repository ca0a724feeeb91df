"""The benchmark with a real libmilter filter and a clamd: every part runs; no figure is judged."""

import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import alone, cpu, filters, load, measure, native, report, targets, where
from tests.bench.filters import Filter
from tests.bench.load import Address, Load, RefusedError
from tests.bench.report import Results
from tests.fakes.clamd import FakeClamd
from tests.harness.milter import Milter
from tests.harness.processes import PATIENCE, Programs, wait_until

SCRIPT = Path(__file__).with_name("scripted_filter.py")
LOAD = Load((1_000, 3_000), messages=7, sessions=2, in_session=3)


@pytest.fixture
def programs() -> Iterator[Programs]:
    """Yield programs in a private folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, Programs(Path(folder)) as owner:
        yield owner
        for program in owner.running:
            program.kill()  # libmilter takes seconds to end by TERM


def start(programs: Programs, name: str, *words: str) -> Filter:
    """Start a scripted filter as one of those that are compared."""
    socket = programs.folder / f"{name}.sock"
    milter = Milter(programs, [sys.executable, SCRIPT, f"unix:{socket}", *words], socket, name=name)
    milter.start()
    milter.wait_ready()
    return Filter(name, "1", milter)


def test_two_filters_are_measured_and_reported(programs: Programs, tmp_path: Path) -> None:
    """Two filters give one row for a load, with any negotiation, and both files are written."""
    ours, seconds = measure.first_answer(programs.folder, lambda: start(programs, targets.OURS, "noreply"))
    theirs = start(programs, "theirs")
    results = Results(
        where=where.surroundings(),
        series=measure.rounds(programs.folder, [ours, theirs], [LOAD], 2),
        memory={targets.OURS: measure.resident(ours, 0)},
        memory_with_sessions={targets.OURS: measure.resident(ours, 5)},
        first_answer={targets.OURS: seconds},
    )
    written = report.write(results, tmp_path)
    assert "| 1 KB | 2 | 3 | " in (written / "results.md").read_text()
    assert len(json.loads((written / "results.json").read_text())["series"]) == 2
    assert all(one.cpu > 0 and one.rate > 0 and one.p99 >= one.p50 > 0 for s in results.series for one in s.rounds)


def test_every_message_is_sent_with_a_number_of_its_own(programs: Programs) -> None:
    """All messages of a load are sent and timed, in sessions with at most `in_session` messages."""
    filter_ = start(programs, "filter")
    sample = load.run(programs.folder, filter_.address, LOAD, 100)
    assert len(sample.latencies) == 7
    assert sample.seconds * LOAD.sessions >= sum(sample.latencies) - 0.01
    log = filter_.milter.running.log
    wait_until(
        lambda: sum(line.startswith("eom") for line in log.read_text().splitlines()) == 7, PATIENCE, "7 messages"
    )


def test_clamd_gets_every_message_whole(programs: Programs) -> None:
    """Messages go to clamd by descriptor, several in a session, with their numbers in place of the marks."""
    with FakeClamd.unix(programs.folder / "clamd.ctl") as clamd:
        load.run(programs.folder, Address("clamd", programs.folder / "clamd.ctl"), LOAD, 100)
        assert sorted(content.count(b"B%013d" % number) for number, content in _by_number(clamd)) == [2] * 7
        assert clamd.commands.count(b"IDSESSION") == 3


def _by_number(clamd: FakeClamd) -> Iterator[tuple[int, bytes]]:
    for content in clamd.contents:
        yield int(content.partition(b"<B")[2].partition(b"@")[0]), content


def test_a_finding_is_not_measured(programs: Programs) -> None:
    """A reply of clamd other than OK is an error, because only clean messages are sent."""
    with (
        FakeClamd.unix(programs.folder / "clamd.ctl", lambda scan: scan.answer(b"Some-Name FOUND")),
        pytest.raises(RefusedError, match="Some-Name FOUND"),
    ):
        load.run(programs.folder, Address("clamd", programs.folder / "clamd.ctl"), LOAD, 100)


def test_a_filter_that_refuses_is_not_measured(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tempfail is an error, because it must not count as a fast reply."""
    monkeypatch.setattr("tests.bench.packets._RECIPIENT", b"tempfail@example.test")
    with pytest.raises(RefusedError, match="the milter answered t"):
        load.run(programs.folder, start(programs, "filter").address, LOAD, 100)


def test_a_filter_that_is_gone_is_an_error(programs: Programs) -> None:
    """A filter that has ended gives one line and no result."""
    filter_ = start(programs, "filter")
    load.run(programs.folder, filter_.address, LOAD, 0)
    filter_.milter.kill()
    with pytest.raises(RefusedError, match="generator: "):
        load.run(programs.folder, filter_.address, LOAD, 100)


def test_the_filter_that_accepts_takes_the_load(programs: Programs) -> None:
    """The filter in C accepts the whole load, and is the only one that need not detect the test signature."""
    socket = programs.folder / "accept.sock"
    milter = Milter(programs, [native.accept(programs.folder), f"unix:{socket}"], socket, name=filters.ACCEPT)
    milter.start()
    milter.wait_ready()
    chosen = Filter(filters.ACCEPT, "", milter)
    filters.prove(chosen)
    assert len(load.run(programs.folder, chosen.address, LOAD, 0).latencies) == 7
    with pytest.raises(filters.UnprovenError):
        filters.prove(Filter("scanner", "", milter))


def test_miltscan_is_measured_alone(programs: Programs) -> None:
    """Each bound has a figure; only figures that a busy machine does not change are judged."""
    sizes = alone.Sizes(sessions=3, idle=20, slow=2, large=3, bytes=2_000_000)
    with FakeClamd.unix(programs.folder / "clamd.ctl") as clamd:
        found = {one.bound: one for one in alone.measured(programs, clamd.address, 1, sizes)}
    assert found.keys() == {alone.START, alone.IDLE, alone.BUSY, alone.NEXT, alone.SLOW, alone.LARGE}
    assert found[alone.SLOW].middle >= 2
    assert found[alone.IDLE].middle > 1
    assert found[alone.NEXT].note == "20 connections, each a session that has begun"
    assert not any(program.alive for program in programs.running)


def test_memory_and_descriptors_of_this_process() -> None:
    """Memory is as the kernel reports it; descriptors are at most the hard limit, and no fewer than before."""
    memory = cpu.memory(os.getpid())
    assert 1 < memory.proportional <= memory.resident
    assert memory.peak > 1  # counted in another way: a little below what is resident it may be
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert cpu.descriptors(1) == before[0]
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
        assert cpu.descriptors(before[0]) == before[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    with pytest.raises(cpu.LostProcessError):
        cpu.memory(2**22 + 1)


def test_cpu_time_of_a_process_that_is_gone_is_an_error() -> None:
    """A process that has ended is an error, because its CPU time would be missing from the sum."""
    assert cpu.seconds([os.getpid()]) > 0
    with pytest.raises(cpu.LostProcessError):
        cpu.seconds([2**22 + 1])  # above the kernel's largest process ID
