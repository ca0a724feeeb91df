"""The fake MTA without a milter: its bytes compared with sendmail's, and its reaction to invalid replies."""

import socket

import pytest

from tests.fakes.milter_wire import (
    Actions,
    Command,
    Options,
    Protocol,
    ProtocolError,
    Stage,
    body_chunks,
    packet,
    parse_macro_lists,
    split_packet,
)
from tests.fakes.mta import MTA, Message

# Taken down from sendmail 8.17.1.9 of Debian 12: nothing negotiated away, leading blanks not asked for, an empty body.
# Only {mail_addr} and {rcpt_addr} are changed: they had no host there, the recipient being local.
SENDMAIL = [
    b"O\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff",
    b"DCj\0mx.example.test\0_\0root@localhost\0{client_addr}\x000\0",
    b"Clocalhost\0U",
    b"DH",
    b"Hc.example.test\0",
    b"UXYZZY\0",
    b"DMi\x006AMEj0Lb008646\0{mail_mailer}\0local\0{mail_host}\0\0{mail_addr}\0root@mx.example.test\0",
    b"M<root@mx.example.test>\0SIZE=10\0",
    b"DR{rcpt_mailer}\0local\0{rcpt_host}\0\0{rcpt_addr}\0root@mx.example.test\0",
    b"R<root@mx.example.test>\0",
    b"T",
    b"LSubject\0 two\0",
    b"LX-Fold\0a\n\tb\0",
    b"LX-None\0x\0",
    b"LMessage-ID\0<q@example.test>\0",
    b"N",
    b"DE{msg_id}\0<q@example.test>\0",
    b"E",
]
MESSAGE = Message(
    sender=b"<root@mx.example.test>",
    sender_args=(b"SIZE=10",),
    recipients=(b"<root@mx.example.test>",),
    headers=((b"Subject", b"  two"), (b"X-Fold", b" a\n\tb"), (b"X-None", b"x"), (b"Message-ID", b" <q@example.test>")),
    body=b"",
    queue_id=b"6AMEj0Lb008646",
)


def packets(data: bytes) -> list[bytes]:
    """Everything that was sent, without the lengths."""
    found = []
    while split := split_packet(data):
        content, data = split
        found.append(content)
    assert data == b""
    return found


def test_bytes_are_those_of_sendmail() -> None:
    """The same session makes the same packets in the same order."""
    ours, milter = socket.socketpair()
    with milter, MTA(ours) as mta:
        milter.sendall(packet(b"O", bytes.fromhex("00000006 000001ff 00000000")) + packet(b"c") * 12)
        mta.negotiate()
        mta.values = {b"j": b"mx.example.test", b"_": b"root@localhost", b"{client_addr}": b"0"}
        mta.values |= {b"{mail_mailer}": b"local", b"{mail_host}": b"", b"{rcpt_mailer}": b"local", b"{rcpt_host}": b""}
        mta.connect(b"localhost", b"U")
        mta.helo(b"c.example.test")
        mta.unknown(b"XYZZY")
        mta.greeted = True
        assert mta.send_message(MESSAGE).accepted
        assert packets(milter.recv(65536)) == SENDMAIL


def test_macros_go_even_for_a_skipped_step() -> None:
    """Sendmail sends them whether or not the command follows."""
    ours, milter = socket.socketpair()
    with milter, MTA(ours) as mta:
        mta.options = Options(protocol=Protocol.NOHELO)
        assert mta.helo() == ()
        assert packets(milter.recv(65536)) == [b"DH"]


def test_skip_ends_the_body() -> None:
    """After SKIP no further chunk is sent."""
    ours, milter = socket.socketpair()
    with milter, MTA(ours) as mta:
        mta.options = Options(protocol=Protocol.SKIP)
        milter.sendall(packet(b"c") + packet(b"s"))
        mta.body(b"123456", chunk_size=1)
        assert packets(milter.recv(65536)) == [b"B1", b"B2"]


@pytest.mark.parametrize(
    "sent",
    [packet(b"?"), packet(b""), packet(b"O", b"short"), packet(b"c"), packet(b"O", bytes(12) + b"\0\0\0\5cut")],
)
def test_nonsense_of_the_milter_is_a_protocol_error(sent: bytes) -> None:
    """A code that is not a reply, or a truncated negotiation, is reported as the milter's fault."""
    ours, milter = socket.socketpair()
    with milter, MTA(ours) as mta:
        milter.sendall(sent)
        with pytest.raises(ProtocolError):
            mta.negotiate()


@pytest.mark.parametrize("last", [b"", b"\0\0", b"\0\0\0\2", b"\0\0\0\2c"])
def test_half_a_packet_is_none(last: bytes) -> None:
    """Bytes are missing, so there is nothing to read yet."""
    assert split_packet(last) is None


def test_tables() -> None:
    """The masks cover every bit of mfdef.h, and a step's bits are its own."""
    assert (sum(Actions) - Actions.ALL, sum(Protocol) - Protocol.ALL) == (0, 0)
    assert Options(protocol=Protocol.NOBODY).sends(Command.BODY) is False
    assert Options(protocol=Protocol.NR_BODY).replies(Command.BODY) is False
    assert parse_macro_lists(b"\0\0\0\2i j\0\0\0\0\5\0") == {Stage.MAIL: (b"i", b"j"), Stage.EOM: ()}
    assert list(body_chunks(b"abc", 2)) == [b"ab", b"c"]
