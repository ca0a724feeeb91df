"""Messages and policies for tests that care about one field of them; holds no expectation."""

from dataclasses import replace
from typing import Any

from miltscan.core.action import ActionName, Choice
from miltscan.core.message import Client, Envelope, Message
from miltscan.core.policy import Policy
from miltscan.core.verdict import Limit


class NoContent:
    """A content that must not be read."""

    def retain(self) -> None:
        """Nothing is used again."""

    def fileno(self) -> int:
        """No descriptor."""
        return -1


_MESSAGE = Message(
    client=Client("mail.example.org", "192.0.2.1"),
    envelope=Envelope(b"<sender@example.org>", (b"<user@example.test>",)),
    queue_id="5AMEkX012345",
    message_id=b"<1@example.org>",
    headers=(),
    size=100,
    content=NoContent(),
)
_POLICY = Policy(
    on_infected=Choice(ActionName.REJECT),
    on_error=Choice(ActionName.TEMPFAIL),
    on_unscanned=dict.fromkeys(Limit, Choice(ActionName.TEMPFAIL)),
    scanned_by="miltscan 1 at mx.example.test",
    foreign=(b"x-virus-", b"x-miltscan-"),
)


def message(**fields: Any) -> Message:  # noqa: ANN401 - any field of a message
    """A message with these fields."""
    return _MESSAGE._replace(**fields)


def policy(**fields: Any) -> Policy:  # noqa: ANN401 - any field of a policy
    """A policy with these choices; an action without an area may be named alone, and one with addresses has one."""
    return replace(_POLICY, **{name: _chosen(value) for name, value in fields.items()})


def _chosen(value: Any) -> Any:  # noqa: ANN401 - any value of a policy
    if isinstance(value, ActionName):
        return Choice(value, to=("other@example.test",) if value in {ActionName.REDIRECT, ActionName.COPY} else ())
    return {key: _chosen(one) for key, one in value.items()} if isinstance(value, dict) else value
