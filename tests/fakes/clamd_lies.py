"""How a fake clamd answers a scan: honestly, or with one of the lies and faults that an engine must survive.

A behaviour is a callable that is given the scan and does what it likes with it: read all of the content or some, send
anything, close. Replies are those of clamd 1.4. The server that calls them is `tests/fakes/clamd.py`.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from tests.fakes.eicar import holds_base64_eicar, holds_eicar

CANARY_BYTES: Final = 4096  # a canary shows itself within these

# The replies of clamd instead of a verdict, without the name of a stream or file in front.
ERRORS: Final = (
    b"INSTREAM size limit exceeded. ERROR",
    b"Error writing to temporary file ERROR",
    b"No file descriptor received. ERROR",
    b"Not a regular file ERROR",
    b"UNKNOWN COMMAND",
    b"COMMAND READ TIMED OUT\n",
)


class Scan(Protocol):
    """One scan that a client asked for."""

    def peek(self, size: int) -> bytes:
        """At least `size` bytes of the content, less only where it ends before."""

    def content(self) -> bytes:
        """All of the content."""

    def answer(self, text: bytes) -> None:
        """Send a whole reply: session number, name of the stream or file, text, end."""

    def say(self, text: bytes) -> None:
        """Send a reply without the name in front: text, end."""

    def reply(self, text: bytes) -> bytes:
        """The bytes that answer(text) sends."""

    def send(self, data: bytes) -> None:
        """Send these bytes and no others; OSError when the client has gone."""

    def close(self, *, reset: bool = False) -> None:
        """Close the connection; over TCP with a reset if asked for, over a unix socket if bytes are unread."""

    def wait(self, event: threading.Event) -> bool:
        """Wait for the event, or (False) for the end of the server."""


Behaviour = Callable[[Scan], None]


def honest(scan: Scan) -> None:
    """Read it all; FOUND if EICAR is in there, plain or in base64, else OK."""
    scan.answer(b"Eicar-Test-Signature FOUND" if holds_eicar(scan.content()) else b"OK")


def always_ok(scan: Scan) -> None:
    """OK for any content: a clamd without its temporary folder."""
    scan.content()
    scan.answer(b"OK")


def close_without_answer(scan: Scan) -> None:
    """Read it all and hang up: a clamd that died."""
    scan.content()
    scan.close()


def reset_in_mid_stream(scan: Scan) -> None:
    """Take the first piece and reset the connection."""
    scan.peek(1)
    scan.close(reset=True)


def half_reply(scan: Scan) -> None:
    """Close the connection in the middle of OK."""
    scan.content()
    scan.send(scan.reply(b"OK")[:-2])
    scan.close()


def reply_without_end(scan: Scan) -> None:
    """Hang up after OK, before the NUL or LF that ends a reply."""
    scan.content()
    scan.send(scan.reply(b"OK")[:-1])
    scan.close()


def two_replies(scan: Scan) -> None:
    """OK and a signature in one breath, so that one of them is a lie."""
    scan.content()
    scan.send(scan.reply(b"OK") + scan.reply(b"Eicar-Test-Signature FOUND"))


def endless_reply(scan: Scan) -> None:
    """Send until the client goes away."""
    scan.content()
    scan.send(scan.reply(b"OK")[:-1])
    while True:
        scan.send(b"K" * 65536)


def garbage(scan: Scan) -> None:
    """Bytes that are no reply, with an end."""
    scan.content()
    scan.say(bytes(range(1, 256)).replace(b"\n", b""))


def not_utf8(scan: Scan) -> None:
    """A reply with bytes that are not UTF-8, and OK in it to tempt."""
    scan.content()
    scan.answer(b"\xff\xfe\x80 OK")


def wrong_name(scan: Scan) -> None:
    """OK for something that was not to be scanned."""
    scan.content()
    scan.say(b"/var/tmp/other: OK")


def says(text: bytes) -> Behaviour:
    """Any text as verdict, such as b"Heuristics.Encrypted.Zip FOUND"."""

    def behaviour(scan: Scan) -> None:
        scan.content()
        scan.answer(text)

    return behaviour


def fails(text: bytes) -> Behaviour:
    """One of ERRORS as reply, then the end of the connection."""

    def behaviour(scan: Scan) -> None:
        scan.content()
        if text.endswith(b"\n"):  # clamd's time-out message ends so even after a z command
            scan.send(text)
        else:
            scan.say(text)
        scan.close()

    return behaviour


def too_large(limit: int) -> Behaviour:
    """StreamMaxLength: past `limit` bytes an error while the client still writes, and the connection is closed."""

    def behaviour(scan: Scan) -> None:
        if len(scan.peek(limit + 1)) <= limit:
            honest(scan)
            return
        scan.say(ERRORS[0])
        scan.close()

    return behaviour


@dataclass(slots=True)
class Slow:
    """Send nothing until `released` is set, then do `then`; `entered` is set when a scan waits. Never set: a hang."""

    then: Behaviour = honest
    entered: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def __call__(self, scan: Scan) -> None:
        """Take the content, wait, go on; close when the server ends first."""
        scan.content()
        self.entered.set()
        if scan.wait(self.released):
            self.then(scan)
        else:
            scan.close()


def starts_canary(start: bytes) -> bool:
    """Whether a mail with this start is a canary, a small or a large one."""
    return b"Subject: miltscan large-canary" in start or holds_base64_eicar(start)


def unless_canary(lie: Behaviour, is_canary: Callable[[bytes], bool] = starts_canary) -> Behaviour:
    """Honest to a canary, which is given the first 4096 bytes to show itself, and `lie` to all other mail."""

    def behaviour(scan: Scan) -> None:
        (honest if is_canary(scan.peek(CANARY_BYTES)) else lie)(scan)

    return behaviour


limits_exceeded: Final = says(b"Heuristics.Limits.Exceeded.MaxFileSize FOUND")
encrypted: Final = says(b"Heuristics.Encrypted.Zip FOUND")

# None of these may ever count as clean, for any content (always_ok does: only a canary shows it).
FAULTS: Final[Mapping[str, Behaviour]] = {
    "close_without_answer": close_without_answer,
    "reset_in_mid_stream": reset_in_mid_stream,
    "half_reply": half_reply,
    "reply_without_end": reply_without_end,
    "two_replies": two_replies,
    "endless_reply": endless_reply,
    "garbage": garbage,
    "not_utf8": not_utf8,
    "wrong_name": wrong_name,
    **{text.decode().strip(): fails(text) for text in ERRORS},
}
