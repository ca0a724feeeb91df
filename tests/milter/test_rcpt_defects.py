"""A defect of ours at RCPT, over the wire: the client keeps its mail, and the service names the defect."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.milter_wire import Code, Protocol
from tests.fakes.mta import Message
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, scanned

BROKEN = str(Path(__file__).with_name("broken_service.py"))
A, BUG, C = b"<a@example.test>", b"<bug@example.test>", b"<c@example.test>"
NOT_C: dict[str, Any] = {"name": "not c", "when": {"recipient": "c@example.test"}, "action": "reject"}
NOT_BUG: dict[str, Any] = {"name": "not bug", "when": {"recipient": "bug@example.test"}, "action": "reject"}
LATER: dict[str, Any] = {"name": "later", "when": {"recipient": "@later.test", "size_from": "1B"}, "action": "reject"}
INTERNAL_ERROR = b"451 4.3.0 Internal error, try again later (BUG)"


@pytest.mark.parametrize(
    ("defect", "rules", "waits"),
    [
        ("rcpt", [], False),
        ("rcpt", [LATER], False),
        ("rcpt", [NOT_C], True),
        ("ruling", [NOT_C], True),
        ("refused", [NOT_BUG], True),
    ],
)
def test_a_defect_at_rcpt_is_a_tempfail(own: Fleet, defect: str, rules: list[dict[str, Any]], *, waits: bool) -> None:
    """The recipients have no other answer than without it, nothing is scanned, and the next message is accepted."""
    daemon = own(rule=rules)
    daemon.command = (sys.executable, BROKEN, defect, "run")
    daemon.start()
    daemon.wait_ready()
    with daemon.mta() as mta:
        assert (Protocol.NR_RCPT not in mta.options.protocol) is waits
        result = mta.send_message(Message(recipients=(A, BUG, C), queue_id=b"BUG"))
        assert (result.refused, result.reply.smtp) == ((), INTERNAL_ERROR)
        assert mta.send_message(Message(recipients=(A,))).accepted
    assert_named(daemon)


def test_a_recipient_that_was_refused_before_the_defect_stays_refused(own: Fleet) -> None:
    """The client learns of both: one recipient is refused for good, and the message is to be sent again."""
    daemon = own(rule=[NOT_C])
    daemon.command = (sys.executable, BROKEN, "ruling", "run")
    daemon.start()
    daemon.wait_ready()
    with daemon.mta() as mta:
        result = mta.send_message(Message(recipients=(A, C, BUG), queue_id=b"BUG"))
    assert (result.refused, result.reply.smtp) == ((b"c@example.test",), INTERNAL_ERROR)
    assert [reply.smtp[:3] for reply in result.log if reply.code is Code.REPLYCODE] == [b"550", b"451"]
    assert_named(daemon)


def assert_named(daemon: Daemon) -> None:
    """One line with the traceback, one counted exception, and the line of the message."""
    (line,) = daemon.logged("exception")
    assert (line["exception"], line["where"]) == ("RuntimeError: defect at RCPT", "eom")
    assert any("steps.py" in frame for frame in line["traceback"])
    daemon.wait_metric("exceptions_total", 1)
    message = daemon.line_of("BUG")
    assert (message["action"], message["rule"], message["reason"]) == ("tempfail", "exception", "exception")
    assert len(scanned(daemon.clamd)) <= 1
