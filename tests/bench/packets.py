"""The bytes that an MTA sends for a session, made before the clock runs; pure.

A burst is everything up to and including the next command that the milter answers, so a milter that negotiated steps
without a reply gets its message in few bursts, another one a burst a step. Each template of a message holds `MARK` in
its queue ID, Message-ID and body; what takes its place is as long, so the packets' lengths stay true.
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
    (b"Content-Type", b" text/plain; charset=us-ascii"),
)
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


def marked(template: Iterable[bytes], number: int) -> Iterator[bytes]:
    """The bursts of the `number`-th message: no two are the same, so that clamd has no answer in its cache."""
    mark = b"B%013d" % number
    return (burst.replace(MARK, mark) for burst in template)


def _transaction(options: Options, size: int) -> list[Step]:
    lead = b"" if Protocol.HDR_LEADSPC in options.protocol else b" "  # what sendmail cuts off a header's value
    body = _body(size - sum(len(name) + len(value) + 3 for name, value in _HEADERS))
    return [
        (Command.MAIL, strings(b"<" + _SENDER + b">", b"SIZE=%d" % size)),
        (Command.RCPT, strings(b"<" + _RECIPIENT + b">")),
        (Command.DATA, b""),
        *((Command.HEADER, strings(name, value.removeprefix(lead))) for name, value in _HEADERS),
        (Command.EOH, b""),
        *((Command.BODY, chunk) for chunk in body_chunks(body)),
        (Command.EOM, b""),
    ]


def _body(size: int) -> bytes:
    """Lines of text that does not compress, the first one the mark."""
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
