"""The bytes that an MTA sends for a session, prepared before the measurement; pure.

A burst is everything up to and including the next command that requires a reply. So a milter that negotiated steps
without a reply gets its message in few bursts, another milter in one for each step. Each template has `MARK` in its
queue ID, Message-ID and body, in place of the message's number: clamd would answer a repeated message from its cache.
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
_LINE = 78  # bytes of a line of base64 with its end
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
_LARGE = (
    10_000  # bytes from which a message is an attachment, like most larger mail; text costs rspamd many times as much
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
    """Return the bursts of a new session up to the end of its first message, as a template with `MARK`s."""
    return list(_bursts([*_OPENING, *_transaction(options, size)], options))


def further(options: Options, size: int) -> list[bytes]:
    """Return the bursts of each further message of a session, of about `size` bytes, as a template."""
    return list(_bursts(_transaction(options, size), options))


def content(size: int) -> bytes:
    """Return the same message in one piece, as a client of clamd sends it, as a template."""
    headers = _headers(size)
    head = b"".join(name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in headers)
    return head + b"\r\n" + _body(size, headers)


def _headers(size: int) -> tuple[tuple[bytes, bytes], ...]:
    return _HEADERS + (_ATTACHMENT if size >= _LARGE else _TEXT)


def _transaction(options: Options, size: int) -> list[Step]:
    lead = b"" if Protocol.HDR_LEADSPC in options.protocol else b" "  # which sendmail strips from a header's value
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
    """Return the body: the mark, and lines of base64 that cannot be compressed."""
    size -= sum(len(name) + len(value) + 3 for name, value in headers)
    noise = random.Random(1).randbytes(size)  # noqa: S311 - sample data
    lines = base64.encodebytes(noise).replace(b"\n", b"\r\n")
    # all lines are base64 of one length, as mail programs write it, and all of them read it
    whole = MARK + lines[len(MARK) : max(size // _LINE, 1) * _LINE]
    blank, odd = divmod(size - len(whole), 2)
    return whole + b" " * odd + b"\r\n" * blank


def _bursts(steps: Iterable[Step], options: Options) -> Iterator[bytes]:
    """Split as sendmail does, which sends macros even for a step that is left out. The last step must have a reply."""
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
