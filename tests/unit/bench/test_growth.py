"""The sweeps: their tables."""

from tests.bench import growth
from tests.bench.cpu import Memory
from tests.bench.law import BOTH
from tests.unit.bench.support import series

NAMES = ("sessions", "size", "mixed")


def test_every_sweep_has_its_tables() -> None:
    """Each sweep has tables of rate, p99 and CPU time; laws, size of a host and memory are shown as well."""
    memory = {"2 workers": [Memory(30.4, 31, 20.4), Memory(27, 27, 10)]}
    text = "\n".join(growth.markdown({name: [series(BOTH, [1])] for name in NAMES}, memory, "a test database"))
    assert all(text.count(f"### {name}: ") == 3 for name in NAMES)
    assert "- clamd: a test database\n" in text
    assert "| 2 workers | 30, 27 | 30 |" in text
    assert [text.count(title) for title in ("### The law\n", "### The size of a host\n")] == [1, 1]
