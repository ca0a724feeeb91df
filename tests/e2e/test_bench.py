"""The benchmark of the two handoffs: it runs, counts what it should, and leaves nothing; no number is judged."""

import subprocess
import sys

from tests.bench import handoff
from tests.harness.programs import CHECKOUT


def test_both_handoffs_are_measured() -> None:
    """In a process of its own, as it becomes the parent of orphans: one row for each number of sessions."""
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
