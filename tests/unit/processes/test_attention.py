"""The clock that counts only while its owner looks."""

from miltscan.processes.attention import Attention


def test_it_counts_the_time_between_looks() -> None:
    """Time begins with the first look, whatever the clock of the machine shows."""
    attention = Attention(5.0)
    assert [attention.look(moment) for moment in (1000.0, 1001.0, 1005.0)] == [0.0, 1.0, 5.0]


def test_a_stop_of_its_owner_counts_as_one_step() -> None:
    """After a suspend of an hour nothing that is watched has been silent for longer than a step."""
    attention = Attention(5.0)
    assert [attention.look(moment) for moment in (1000.0, 4600.0, 4601.0)] == [0.0, 5.0, 6.0]
    assert attention.now == 6.0
