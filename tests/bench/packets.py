"""The bytes that an MTA sends for a session, made before the clock runs; pure.

A burst is everything up to and including the next command that the milter answers, so a milter that negotiated steps
without a reply gets its message in few bursts, another one a burst a step. Each template of a message holds `MARK` in
its queue ID, Message-ID and body, for the message's number: no two are the same, or clamd would answer from its cache.
"""

import base64
import random
from collections.abc import Iterable, Iterator

from tests.fakes.milter_wire import (
    Command,
    Options,
    Protocol,
    Stage,
    body_chunks,
    connect_payload,
    encode,
    encode_macros,
    strings,
)
from tests.fakes.mta import DEFAULT_MACROS, default_values

MARK = b"@" * 14
Step = tuple[Command, bytes]

_SENDER, _RECIPIENT = b"alice@example.org", b"bob@example.test"
_HEADERS = (
    (b"Received", b" from client.example.test (client.example.test [192.0.2.1])\n\tby mx.example.test with ESMTP"),
    (b"From", b" Alice <alice@example.org>"),
    (b"To", b" Bob <bob@example.test>"),
    (b"Subject", b" Minutes of the last meeting"),
    (b"Date", b" Mon, 10 Nov 2025 09:35:12 +0000"),
    (b"Message-ID", b" <" + MARK + b"@example.org>"),
    (b"MIME-Version", b" 1.0"),
)
_TEXT = ((b"Content-Type", b" text/plain; charset=us-ascii"),)
_ATTACHMENT = ((b"Content-Type", b" application/octet-stream"), (b"Content-Transfer-Encoding", b" base64"))
_LARGE = 10_000  # bytes from which a message is an attachment, as larger mail is: text costs rspamd many times as much
_OPENING: list[Step] = [
    (Command.CONNECT, connect_payload(b"client.example.test", b"4", 40000, b"192.0.2.1")),
    (Command.HELO, strings(b"client.example.test")),
]
_VALUES = default_values() | {
    b"i": MARK,
    b"{mail_addr}": _SENDER,
    b"{rcpt_addr}": _RECIPIENT,
    b"{msg_id}": b"<" + MARK + b"@example.org>",
}


def first(options: Options, size: int) -> list[bytes]:
    """The bursts of a new session up to the end of its first message, a template with `MARK`s."""
    return list(_bursts([*_OPENING, *_transaction(options, size)], options))


def further(options: Options, size: int) -> list[bytes]:
    """The bursts of each further message of a session, of about `size` bytes; a template as well."""
    return list(_bursts(_transaction(options, size), options))


def content(size: int) -> bytes:
    """The same message as one piece, as clamd gets it from a client of its own; a template as well."""
    headers = _headers(size)
    head = b"".join(name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in headers)
    return head + b"\r\n" + _body(size, headers)


def _headers(size: int) -> tuple[tuple[bytes, bytes], ...]:
    return _HEADERS + (_ATTACHMENT if size >= _LARGE else _TEXT)


def _transaction(options: Options, size: int) -> list[Step]:
    lead = b"" if Protocol.HDR_LEADSPC in options.protocol else b" "  # what sendmail cuts off a header's value
    headers = _headers(size)
    return [
        (Command.MAIL, strings(b"<" + _SENDER + b">", b"SIZE=%d" % size)),
        (Command.RCPT, strings(b"<" + _RECIPIENT + b">")),
        (Command.DATA, b""),
        *((Command.HEADER, strings(name, value.removeprefix(lead))) for name, value in headers),
        (Command.EOH, b""),
        *((Command.BODY, chunk) for chunk in body_chunks(_body(size, headers))),
        (Command.EOM, b""),
    ]


def _body(size: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """What fills the message up: lines of base64 that does not compress, the first one the mark."""
    size -= sum(len(name) + len(value) + 3 for name, value in headers)
    noise = random.Random(1).randbytes(size)  # noqa: S311 - sample data
    return (MARK + b"\r\n" + base64.encodebytes(noise).replace(b"\n", b"\r\n"))[:size]


def _bursts(steps: Iterable[Step], options: Options) -> Iterator[bytes]:
    """As sendmail sends them: macros go even for a step that is left out. The last step must be one with a reply."""
    burst = b""
    for command, payload in steps:
        burst += _macros(command, options)
        if options.sends(command):
            burst += encode(command, payload)
        if options.sends(command) and options.replies(command):
            yield burst
            burst = b""


def _macros(command: Command, options: Options) -> bytes:
    stage = Stage.__members__.get(command.name)
    if stage is None or not (names := options.macros.get(stage, DEFAULT_MACROS.get(stage, ()))):
        return b""
    return encode_macros(command, {name: _VALUES[name] for name in names if name in _VALUES})
