"""The sweeps: what a processor does in a day, and the tables of what was measured."""

from tests.bench import growth
from tests.bench.load import Load
from tests.unit.bench.support import series

BOTH = "miltscan and clamd"


def test_a_day_of_one_processor() -> None:
    """Two milliseconds of CPU of miltscan and clamd a message are 43,200,000 messages a day; others are no matter."""
    large = Load((1_000_000,), 8, 8)
    rows = [*growth.sizing([series(BOTH, [1, 2, 30]), series("miltscan", [1]), series(BOTH, [50], large)])][2:]
    assert rows == ["| 1 KB | 2.00 | 43,200,000 |", "| 1 MB | 50.00 | 1,728,000 |"]


def test_every_sweep_has_its_tables() -> None:
    """Rate, p99 and CPU of each, and the memory of each process."""
    names = ("sessions", "size", "workers", "servers", "mixed")
    text = "\n".join(growth.markdown({name: [series(BOTH, [1])] for name in names}, {"2 workers": [1, 2]}))
    assert all(text.count(f"### {name}: ") == 3 for name in names)
    assert "- 2 workers: 1.0, 2.0" in text
