"""What the archive keeps of an accepted message, and which digests a detection concerns. Pure.

The archive answers one question: who received a part that is detected only now? A digest is SHA-256 of the decoded
bytes of a part, or of the whole message as received.
"""

from typing import NamedTuple

from miltscan.core.action import KEPT, Action, Copy, Redirect
from miltscan.core.report import Report
from miltscan.core.verdict import Outcome

DIGEST_SIZE = 32
"""Bytes of a SHA-256."""


class AcceptedMail(NamedTuple):
    """An accepted message: its envelope as received (hostile bytes), the client's address, and the time (epoch, s).

    `recipients` are the first of `recipients_count`: those who receive the message, not those who were refused.
    """

    time: float
    queue_id: str
    client: str
    sender: bytes
    recipients: tuple[bytes, ...]
    recipients_count: int


class Detected(NamedTuple):
    """A digest that is detected now: the signature, the queue ID of the message with it, and the time (epoch, s)."""

    digest: bytes
    signature: str
    queue_id: str
    time: float


def receivers(report: Report) -> tuple[bytes, ...]:
    """Who receives the message, or may still receive it from sendmail's queue; nobody if it was refused or kept."""
    everybody = report.message.envelope.recipients
    if not report.groups:
        return _addressed(report.decision.action, everybody)
    found = dict[bytes, None]()
    for group in report.groups:
        kept_instead = group.kept is not None or group.refusal
        if not kept_instead:
            found |= dict.fromkeys(_addressed(group.decision.action, tuple(everybody[one] for one in group.recipients)))
    return (*found,)


def _addressed(action: Action, recipients: tuple[bytes, ...]) -> tuple[bytes, ...]:
    if not isinstance(action, KEPT):
        return ()
    if isinstance(action, Redirect):
        return action.to
    return (*recipients, *action.to) if isinstance(action, Copy) else recipients


def detected_digests(report: Report) -> tuple[bytes, ...]:
    """The digests that the report's detection concerns: of the parts that were detected, else of the message.

    Whoever received the same message received the same parts, so that the part says all.
    """
    structure = report.message.structure
    if structure is None or report.verdict.outcome is not Outcome.INFECTED:
        return ()
    return structure.detected or structure.digests[:1]
