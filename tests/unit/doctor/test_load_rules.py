"""The rules for load limits: the .cf files, the load of the host, and the title of the process."""

import pytest

from miltscan.core.finding import Level
from miltscan.doctor.load_rules import handover_findings, load_findings, title_findings
from tests.unit.doctor.support import DELIVERY, INCOMING, cf, only


@pytest.mark.parametrize(
    ("options", "load", "level", "words"),
    [
        ("O RefuseLA=64\nO QueueLA=128\n", 1.0, "", ""),
        ("O RefuseLA=64\nO QueueLA=128\n", 63.4, "", ""),
        ("O RefuseLA=64\nO QueueLA=128\n", 63.5, "error", "load average 63.5, RefuseLA=64: it refuses all connections"),
        ("O RefuseLA=64\nO QueueLA=32\n", 40.0, "warning", "QueueLA=32: large messages and queue runs wait"),
        ("O RefuseLA=0\nO QueueLA=2000\n", 900.0, "", ""),
        ("", 23.0, "warning", "QueueLA=16"),
        ("", 24.0, "error", "RefuseLA=24"),
        ("O DaemonPortOptions=Name=b, Port=587, Listen=511, r=5\nO QueueLA=99\n", 5.0, "error", "RefuseLA=5"),
        (
            "O DaemonPortOptions=Name=b, Port=587, Listen=511, r=0\nO RefuseLA=9\nO QueueLA=99\n",
            9.0,
            "error",
            "RefuseLA=9",
        ),
    ],
)
def test_the_load_against_the_limits(options: str, load: float, level: str, words: str) -> None:
    """Sendmail compares the rounded load with its limits, by default 8 and 12 for each CPU; 0 is no limit."""
    assert only(load_findings("incoming", cf(INCOMING + options), load, 2), level, words)


def test_no_limit_is_shown() -> None:
    """A file without a limit reports that it never refuses."""
    (found,) = load_findings("delivery", cf(DELIVERY + "O RefuseLA=0\n"), 1.0, 2)
    assert (found.level, found.text) == (Level.OK, "load average 1.0; refuses connections never, queues from 16")


@pytest.mark.parametrize(
    ("title", "level", "text"),
    [
        ("sendmail: MTA: accepting connections", "", ""),
        ("sendmail: delaying connections on daemon in: load average=9 >= 8", "warning", "load average=9 >= 8"),
        (
            "sendmail: rejecting connections on daemon MTA-v4: load average: 37  ",
            "error",
            "daemon MTA-v4: load average: 37",
        ),
        (
            "sendmail: delivery: rejecting connections on daemon delivery: 9 children, max 9",
            "error",
            "9 children, max 9",
        ),
    ],
)
def test_the_title_of_the_process(title: str, level: str, text: str) -> None:
    """A daemon that has closed its ports says so in its title, and why."""
    assert only(title_findings("incoming", title), level, text)


@pytest.mark.parametrize(
    ("incoming", "delivery", "level"),
    [
        ("O RefuseLA=64\n", "O RefuseLA=128\n", ""),
        ("", "", "warning"),
        ("O RefuseLA=0\n", "", ""),
        ("", "O RefuseLA=0\n", ""),
        ("O RefuseLA=0\n", "O RefuseLA=0\n", ""),
        ("O RefuseLA=64\n", "", "warning"),
    ],
)
def test_delivery_refuses_later(incoming: str, delivery: str, level: str) -> None:
    """A delivery sendmail that refuses first keeps accepted mail in incoming's queue."""
    found = handover_findings(cf(INCOMING + incoming), cf(DELIVERY + delivery), 2)
    assert only(found, level, "accepted mail waits in incoming's queue" if level else "")
