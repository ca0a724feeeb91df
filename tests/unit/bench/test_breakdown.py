"""Where the time of a message goes: the cost of clocks is subtracted, and the rows add up."""

import time

import pytest

from tests.bench import timed
from tests.bench.breakdown import ROWS, Part, per_message, rows, table

PARTS = dict.fromkeys(("connect", "close", "envfrom", "envrcpt", "metrics"), 1.0) | {
    "header": 8.0,
    "body": 20.0,
    "spool": 15.0,
    "eom": 100.0,
    "exchange": 50.0,
    "looks": 4.0,
    "structure": 7.0,
    "decision": 5.0,
    "answer": 10.0,
    "log": 20.0,
}


@pytest.mark.parametrize(
    ("part", "microseconds"),
    [
        (Part(10, 100_000, 0), 9.9),  # ten calls, each with 100 ns of its own clock
        (Part(10, 100_000, 20), 8.9),  # and two clocked calls within it, which add 500 ns
        (Part(0, 0, 0), 0.0),
    ],
)
def test_clocks_are_taken_off(part: Part, microseconds: float) -> None:
    """The cost of a clock is subtracted, for each call of a part in a message."""
    found = per_message({"eom": Part(10, 0, 0), "log": part}, inside=100, around=500)
    assert found["log"] == pytest.approx(microseconds)


def test_rows_add_up() -> None:
    """Each part is counted once, and the rest is what belongs to no part."""
    found = rows(PARTS, total=300.0)
    assert [*found] == [*ROWS]
    assert sum(found.values()) == pytest.approx(300.0)
    assert (found["body"], found["eom"], found["session"]) == (5.0, 8.0, 2.0)
    assert (found["exchange"], found["looks"]) == (46.0, 4.0)
    assert found["rest"] == pytest.approx(300.0 - 133.0)


def test_what_has_a_clock_exists() -> None:
    """No function is missing that has moved since; each part but the callbacks of libmilter has one at least."""
    assert [name for owner, name, _ in timed.CLOCKED if not callable(getattr(owner, name, None))] == []
    parts = {part for *_, part in timed.CLOCKED}
    assert {*ROWS} - parts - {*timed.CALLBACKS} == {"session", "rest"}


def test_table() -> None:
    """The table has a column for each size."""
    lines = [*table({1_000: rows(PARTS, 300.0), 30_000: rows(PARTS, 400.0)})]
    assert lines[0] == "| part | 1 KB, µs | 30 KB, µs |"
    assert "| log line | 20 | 20 |" in lines
    assert lines[-1] == "| **all of it** | **300** | **400** |"


def test_a_clock_counts_what_is_clocked_within() -> None:
    """Clocked calls within a call are counted, also if it raises."""

    def inner() -> None:
        raise ValueError("on purpose")

    clocked = timed.clocked("test inner", inner)

    def outer() -> None:
        for _ in range(3):
            with pytest.raises(ValueError, match="on purpose"):
                clocked()
        end = time.thread_time_ns() + 1_000_000
        while time.thread_time_ns() < end:
            pass

    timed.clocked("test outer", outer)()
    assert timed._clocks["test outer"].within == 3  # noqa: SLF001 - what its worker writes
    assert timed._clocks["test inner"].calls == 3  # noqa: SLF001 - as above
    assert timed._clocks["test outer"].spent >= 1_000_000  # noqa: SLF001 - as above


def test_the_cost_of_a_clock() -> None:
    """A clock adds more to a clock around it than to its own measurement."""
    inside, around = timed.cost()
    assert 0 < inside < around
