"""A message and its envelope, as immutable values; the spool keeps the bytes."""

import ipaddress
from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Protocol

from miltscan.core.edits import Header
from miltscan.core.structure import Structure
from miltscan.core.verdict import Verdict

PREFACE = b"Received: from miltscan by localhost; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
"""Precedes each message in the spool: clamd treats a stream as a mail only if it begins like one, and would scan a
message with unusual headers or none as plain text (tests/e2e/test_messages.py)."""


class Content(Protocol):
    """The bytes of a message behind a file descriptor, `PREFACE` first."""

    def fileno(self) -> int:
        """A descriptor that can be read from offset 0 by pread or be passed to another process."""

    def retain(self) -> None:
        """Another process may still read the file after this message: it must not be used for the next one."""


class _NoContent:
    def fileno(self) -> int:
        return -1

    def retain(self) -> None:
        return


NO_CONTENT: Content = _NoContent()
"""The content of a message of which only the envelope, headers or a log line are known; nothing must read it."""


class Client(NamedTuple):
    """The SMTP client as the MTA names it: host name (from DNS, hostile) and address.

    The address is `local` for a program on the MTA's host, `unknown` where the MTA's text could not be decoded.
    """

    name: str
    address: str


class Destination(NamedTuple):
    """The ESMTP arguments of a RCPT, and the `target` that the MTA makes of its address: mailer, host and address.

    A part of the target is empty where the MTA does not name it.
    """

    arguments: tuple[bytes, ...] = ()
    target: tuple[str, str, str] = ("", "", "")


class Envelope(NamedTuple):
    """Sender and recipients as in MAIL and RCPT; `local` means that every recipient's mailer is the local one.

    `arguments` are the ESMTP arguments of MAIL. `destinations` are those of the recipients, in their order; there are
    none where recipients cannot have different decisions. `editable` means that the MTA lets us add and remove
    recipients.
    """

    sender: bytes
    recipients: tuple[bytes, ...] = ()
    authenticated: bool = False
    local: bool = False
    arguments: tuple[bytes, ...] = ()
    destinations: tuple[Destination, ...] = ()
    editable: bool = False


class Circumstances(NamedTuple):
    """What else the MTA knows of the session, for anti-spam engines and rules; each text is hostile, empty if unknown.

    `helo` is the name in HELO or EHLO, `user` the one who authenticated, `mta` the name of our MTA's host, `daemon`
    that of its port (DaemonPortOptions).
    """

    helo: str = ""
    user: str = ""
    tls_version: str = ""
    cipher: str = ""
    mta: str = ""
    daemon: str = ""


NO_CIRCUMSTANCES = Circumstances()


class Message(NamedTuple):
    """One whole message at its EOM; `size` in bytes without the preface.

    `settled` is a verdict that is known without an engine: the message exceeded a limit on arrival, or could not be
    kept. No engine is asked then. `structure` is None unless it was read.
    """

    client: Client
    envelope: Envelope
    queue_id: str
    message_id: bytes
    headers: Sequence[Header]
    size: int
    content: Content
    settled: Verdict | None = None
    circumstances: Circumstances = NO_CIRCUMSTANCES
    structure: Structure | None = None


class Direction(StrEnum):
    """The direction of a message, as far as the session shows it; a metric label."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    SUBMISSION = "submission"


def direction(client: Client, envelope: Envelope) -> Direction:
    """Authenticated mail is submission; of a private or loopback client internal or outbound; all other inbound.

    An outside client that is not authenticated cannot relay, so its mail is inbound with any mailer.
    """
    if envelope.authenticated:
        return Direction.SUBMISSION
    if not _is_private(client.address):
        return Direction.INBOUND
    return Direction.INTERNAL if envelope.local else Direction.OUTBOUND


@lru_cache(maxsize=1024)  # the same clients return; without it this costs more than the rest of a log line's fields
def _is_private(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return address == "local"  # a program on this host (`sendmail -bs`); anybody else may be an outsider
