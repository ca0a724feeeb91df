"""The benchmarks with the real programs: they run, count what they should, and leave nothing; no number is judged."""

import subprocess
import sys

import pytest

from tests.bench import filters, handoff, load
from tests.bench.load import Load
from tests.harness.clamav import Clamd
from tests.harness.programs import CHECKOUT, MissingProgramError


@pytest.mark.parametrize("name", filters.FILTERS)
def test_every_filter_takes_clean_mail_and_finds_the_test_signature(name: str, clamd: Clamd) -> None:
    """Each installed filter accepts clean mail and detects the test signature; `make bench` installs the others."""
    try:
        chosen = filters.FILTERS[name](clamd.programs, clamd)
    except MissingProgramError as missing:
        pytest.skip(str(missing))
    sample = load.run(clamd.programs.folder, chosen.address, Load((1_000, 30_000), 6, 2, 2), 0)
    assert len(sample.latencies) == 6
    filters.prove(chosen)


def test_both_handoffs_are_measured() -> None:
    """The measurement, in a process that becomes the parent of orphans, has one row for each number of sessions."""
    command = [sys.executable, "-m", "tests.bench.handoff", "--rounds", "1", "--messages", "3"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=CHECKOUT, timeout=250)
    rows = [line.split(" | ") for line in ended.stdout.splitlines() if line[:3] in {"| 1", "| 8"}]
    assert len(rows) == 2
    assert all(float(cell) > 0 for row in rows for cell in row[1:5])


def test_cpu_time_of_ended_children_counts() -> None:
    """A child's work is in the sum after the child has ended."""
    before = handoff.ended_children()
    subprocess.run([sys.executable, "-c", "sum(range(3_000_000))"], check=True)
    assert handoff.ended_children() > before


def test_a_burst_is_measured_for_each_pair() -> None:
    """Each variant has a row with rates and CPU time above zero, and nothing is refused, lost or doubled."""
    command = [sys.executable, "-m", "tests.bench.tuning", "--rounds", "1", "--messages", "8", "untuned", "burst"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, cwd=CHECKOUT, timeout=250)
    rows = [line.strip("| ").split(" | ") for line in ended.stdout.splitlines() if line[:5] in {"| unt", "| bur"}]
    assert [row[0] for row in rows] == ["untuned", "burst"]
    assert all(float(row[column]) > 0 for row in rows for column in (1, 3, 5))
    assert [row[6:] for row in rows] == [["0", "0", "0"]] * 2
