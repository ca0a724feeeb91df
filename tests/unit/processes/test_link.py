"""The link between the supervisor and a child: both ends of a pair, in one process and across a fork."""

import os
from itertools import pairwise

from miltscan.processes.link import link_pair, received


def test_beats_change_with_each_sign_of_life() -> None:
    """The count begins again after 255 signs of life."""
    ours, theirs = link_pair()
    seen = [ours.beats]
    for _ in range(600):
        theirs.beat()
        seen.append(ours.beats)
    assert seen[254:258] == [254, 255, 0, 1]
    assert all(one != other for one, other in pairwise(seen))
    ours.close()
    theirs.close()


def test_a_forked_child_shows_life_to_a_reader_that_reads_nothing() -> None:
    """The memory is shared, and a sign of life is there after the end of the child."""
    ours, theirs = link_pair()
    if (pid := os.fork()) == 0:
        for _ in range(1000):
            theirs.beat()
        os._exit(0)
    os.waitpid(pid, 0)
    theirs.close()
    assert ours.beats != 0
    assert received(ours) is None
    ours.close()
