"""STATS: recorded answers of clamd, and texts that are not answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.load import Load
from miltscan.engines.clamd.stats import parse_stats

IDLE = (  # ClamAV 1.4
    "POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 1  idle 0 max 12 idle-timeout 30\nQUEUE: 0 items\n"
    "\tSTATS 0.000002 \n\nMEMSTATS: heap N/A mmap N/A used N/A free N/A releasable N/A pools 1 pools_used 5.882M "
    "pools_total 5.964M\nEND"
)
BUSY = (
    "POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 12  idle 0 max 12 idle-timeout 30\nQUEUE: 38 items\n"
    "\tFILDES 0.102003 \n\tINSTREAM 12.000001 (null)\n\nMEMSTATS: heap 9.082M mmap 0.000M used 6.902M free 2.184M "
    "releasable 0.129M pools 1 pools_used 565.979M pools_total 565.999M\nEND"
)
TWO_POOLS = (
    "POOLS: 2\n\nSTATE: VALID PRIMARY\nTHREADS: live 2  idle 1 max 10 idle-timeout 30\nQUEUE: 3 items\n\n"
    "STATE: VALID SECONDARY\nTHREADS: live 1  idle 0 max 5 idle-timeout 30\nQUEUE: 1 items\n\nMEMSTATS: heap N/A\nEND"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (IDLE, Load(0, 1, 0, 12)),
        (BUSY, Load(38, 12, 0, 12)),
        (TWO_POOLS, Load(4, 3, 1, 15)),
        (IDLE.replace("POOLS: 1\n", ""), None),
        (IDLE.replace("QUEUE: 0", "QUEUE: many"), None),
        (IDLE.replace("live 1 ", "live -1 "), None),
        (IDLE.replace("live 1 ", "live " + "9" * 400), None),
        ("UNKNOWN COMMAND", None),
        ("COMMAND UNAVAILABLE", None),
        ("COMMAND READ TIMED OUT", None),
        ("None", None),
        ("", None),
    ],
)
def test_answers(text: str, expected: Load | None) -> None:
    """An answer that has all numbers is a load, any other text is not."""
    assert parse_stats(text) == expected


@given(st.text() | st.text().map("POOLS: {}".format) | st.text().map(IDLE.replace("items", "{}").format))
def test_no_answer_makes_it_raise(text: str) -> None:
    """Any text of a peer gives a load or None."""
    parse_stats(text)
