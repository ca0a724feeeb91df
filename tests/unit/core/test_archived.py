"""Who receives a message, and which digests a detection concerns."""

import pytest

from miltscan.core.action import Accept, Action, Copy, Decision, Discard, Hold, Quarantine, Redirect, Reject, Reply
from miltscan.core.archived import detected_digests, receivers
from miltscan.core.message import Envelope
from miltscan.core.report import Group, Kept, Report, Timed
from miltscan.core.structure import Structure
from miltscan.core.verdict import Verdict
from tests.fakes.messages import message

ANN, BOB, EVE, ARCHIVE = b"<ann@example.test>", b"<bob@example.test>", b"<eve@example.test>", b"<archive@example.test>"
WHOLE, PART, BAD = (bytes([number]) * 32 for number in range(3))
REFUSAL = Reject(Reply(550, "5.7.1", "no"))


def report(action: Action, *groups: Group, verdict: Verdict | None = None) -> Report:
    """A report on a message to three recipients."""
    structure = Structure(True, False, (), 0.0, digests=(WHOLE, PART, BAD), detected=(BAD,))  # noqa: FBT003
    mail = message(envelope=Envelope(b"<>", (ANN, BOB, EVE)), structure=structure)
    verdict = verdict or Verdict.clean("clamd")
    return Report(mail, verdict, Decision(action, "x"), (Timed(verdict, 0.0),), 0.0, 0.0, groups=groups)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Accept(), (ANN, BOB, EVE)),
        (Hold("x"), (ANN, BOB, EVE)),
        (Copy((ARCHIVE,)), (ANN, BOB, EVE, ARCHIVE)),
        (Redirect((ARCHIVE,)), (ARCHIVE,)),
        (REFUSAL, ()),
        (Discard(), ()),
        (Quarantine("default"), ()),
    ],
)
def test_who_receives_a_message(action: Action, expected: tuple[bytes, ...]) -> None:
    """Those to whom the action leaves or sends it; sendmail's queue counts, as it may be released from there."""
    assert receivers(report(action)) == expected


def test_recipients_with_decisions_of_their_own() -> None:
    """Those whose copy was refused or whose mail is in the quarantine have not received it."""
    groups = (
        Group((0,), Decision(Accept(), "a")),
        Group((1,), Decision(REFUSAL, "b"), kept=Kept("refused", "1", 0.0)),
        Group((2,), Decision(Copy((ARCHIVE,)), "c"), queue_id="4B1x"),
    )
    assert receivers(report(Accept(), *groups)) == (ANN, EVE, ARCHIVE)
    refused = groups[2]._replace(refusal="550 5.1.1 unknown")
    assert receivers(report(Accept(), *groups[:2], refused)) == (ANN,)


def test_what_a_detection_concerns() -> None:
    """The detected parts, else the message; nothing where an entry of a list has made something else of it."""
    found = Verdict.infected("clamd", "Test")
    bad = report(REFUSAL, verdict=found)
    assert detected_digests(bad) == (BAD,)
    structure = Structure(True, False, (), 0.0, digests=(WHOLE, PART))  # noqa: FBT003
    assert detected_digests(bad._replace(message=bad.message._replace(structure=structure))) == (WHOLE,)
    assert detected_digests(report(Accept(), verdict=found.allowed_by("1", complete=True))) == ()
    assert detected_digests(report(Accept())) == ()
    assert detected_digests(bad._replace(message=bad.message._replace(structure=None))) == ()
