"""What can be done with a message, as closed types; `policy` decides, the milter carries it out."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.edits import HeaderEdit


class ActionName(StrEnum):
    """The actions by the names that the configuration, the log and the metrics use."""

    ACCEPT = "accept"
    TEMPFAIL = "tempfail"
    REJECT = "reject"
    DISCARD = "discard"
    HOLD = "hold"
    QUARANTINE = "quarantine"
    REDIRECT = "redirect"
    COPY = "copy"


DEFAULT_AREA = "default"
"""The area of the quarantine that exists in every configuration."""
REFUSED_AREA = "refused"
"""The area for mail of recipients that were refused while the message was accepted for others."""


class Choice(NamedTuple):
    """An action as the administrator names it: `quarantine:AREA`; `area` is empty where none is meant.

    Only two actions have an area: `quarantine`, and `discard` with a copy that is kept there. Only `redirect` and
    `copy` have addresses, `to`.
    """

    action: ActionName
    area: str = ""
    to: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.action}:{self.area}" if self.area else str(self.action)


WITH_AREA = (ActionName.QUARANTINE, ActionName.DISCARD)
"""The actions that may name an area."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: code, enhanced status (RFC 3463) and text (printable ASCII, one line)."""

    code: int
    status: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.status} {self.text}"


@dataclass(frozen=True, slots=True)
class Accept:
    """The MTA accepts the message and the client receives 250."""

    name = ActionName.ACCEPT


@dataclass(frozen=True, slots=True)
class TempFail:
    """The client keeps the message and receives a 4xx reply."""

    reply: Reply
    name = ActionName.TEMPFAIL


@dataclass(frozen=True, slots=True)
class Reject:
    """The client keeps the message and receives a 5xx reply."""

    reply: Reply
    name = ActionName.REJECT


@dataclass(frozen=True, slots=True)
class Discard:
    """The client receives 250 and the message is dropped; with an `area` a copy is kept there."""

    area: str = ""
    name = ActionName.DISCARD


@dataclass(frozen=True, slots=True)
class Hold:
    """The client receives 250 and the message stays in sendmail's own queue, quarantined with `reason`."""

    reason: str
    name = ActionName.HOLD


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The client receives 250 and the message is kept in an area of our store, from which it can be released."""

    area: str
    name = ActionName.QUARANTINE


@dataclass(frozen=True, slots=True)
class Redirect:
    """The client receives 250, and the delivery sendmail the message for the addresses `to`, not for the recipients."""

    to: tuple[bytes, ...]
    name = ActionName.REDIRECT


@dataclass(frozen=True, slots=True)
class Copy:
    """The MTA accepts the message, and the delivery sendmail receives a copy for the addresses `to`."""

    to: tuple[bytes, ...]
    name = ActionName.COPY


Action = Accept | TempFail | Reject | Discard | Hold | Quarantine | Redirect | Copy
KEPT = (Accept, Hold, Redirect, Copy)
"""With these actions somebody receives the message, so that its headers are edited."""
_REFUSALS = (TempFail, Reject)


@dataclass(frozen=True, slots=True)
class RemoveRecipient:
    """Removes a recipient from the MTA's message; the address is as RCPT gave it."""

    address: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """Adds a recipient to the MTA's message, with the ESMTP arguments of its RCPT."""

    address: bytes
    arguments: tuple[bytes, ...] = ()


RecipientEdit = RemoveRecipient | AddRecipient


class Decision(NamedTuple):
    """The action, the name of the rule that chose it, and the header edits in the order in which they are made.

    `recipients` are the edits of the MTA's envelope, in their order; there are none where all recipients are alike.
    """

    action: Action
    rule: str
    edits: tuple[HeaderEdit, ...] = ()
    recipients: tuple[RecipientEdit, ...] = ()

    @property
    def reply(self) -> Reply | None:
        """Our reply to the client; None where the MTA sends its own 250."""
        return self.action.reply if isinstance(self.action, _REFUSALS) else None

    def edited(self, edits: tuple[HeaderEdit, ...]) -> "Decision":
        """The decision with these edits after its own; unchanged where the message is not kept."""
        return self._replace(edits=(*self.edits, *edits)) if isinstance(self.action, KEPT) else self
