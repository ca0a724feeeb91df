"""One transaction with several recipients: a reply for each, and the bytes that the server receives."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.probe import Stage
from miltscan.errors import MiltscanError
from miltscan.sandwich.transfer import Sent, ServerReply, Transaction, Transfer, crlf, stuffed, transfer

TIMEOUT = 30.0
OFFERS = b"250-x\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
OK = b"250 2.0.0 ok\r\n"
QUEUED = b"250 2.0.0 6AMG4FiU001852 Message accepted for delivery\r\n"


class Script:
    """A server that sends one reply for each command, in order; DATA's message is kept, dots and all."""

    def __init__(self, replies: Sequence[bytes]) -> None:
        self.replies = list(replies)
        self.commands: list[bytes] = []
        self.message = b""

    def play(self, listener: socket.socket) -> None:
        """Serve one connection; it is closed after the last reply."""
        session, _ = listener.accept()
        with session, session.makefile("rb") as lines:
            for reply in self.replies:
                session.sendall(reply)
                if reply.startswith(b"354"):
                    while (line := lines.readline()) not in {b".\r\n", b""}:
                        self.message += line
                    self.commands.append(line)
                else:
                    self.commands.append(lines.readline())


@contextmanager
def played(*replies: bytes) -> Iterator[tuple[Script, tuple[str, int]]]:
    """The script and the place of its server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = Script(replies)
        thread = threading.Thread(target=script.play, args=(listener,), daemon=True)
        thread.start()
        yield script, listener.getsockname()
        thread.join(TIMEOUT)


def sent_to(*replies: bytes, mail: Transfer | None = None) -> tuple[Script, Sent]:
    """What the server received, and the result."""
    with played(b"220 hello\r\n", *replies) as (script, place):
        sent = transfer(place, mail or two(), TIMEOUT)
    return script, sent


def two(content: bytes = b"Subject: x\r\n\r\nbody\r\n") -> Transfer:
    """A message for two recipients."""
    return Transfer(b"<a@example.org>", (b"<b@example.test>", b"<c@example.test>"), [content], len(content))


def test_one_transaction_for_all_recipients() -> None:
    """The message goes out once, and each recipient has the reply to it."""
    script, sent = sent_to(OFFERS, OK, OK, OK, b"354 go\r\n", QUEUED, OK)
    assert script.commands[1:] == [
        b"MAIL FROM:<a@example.org> SIZE=20\r\n",
        b"RCPT TO:<b@example.test>\r\n",
        b"RCPT TO:<c@example.test>\r\n",
        b"DATA\r\n",
        b".\r\n",
        b"quit\r\n",
        b"",
    ]
    assert script.message == b"Subject: x\r\n\r\nbody\r\n"
    assert sent.replies == (ServerReply(250, "2.0.0 6AMG4FiU001852 Message accepted for delivery"),) * 2
    assert [*sent.seconds] == [Stage.CONNECT, Stage.ENVELOPE, Stage.DATA]


def test_a_refused_recipient_keeps_its_own_reply() -> None:
    """One recipient is refused: the other one's mail is sent."""
    script, sent = sent_to(OFFERS, OK, b"550 5.1.1 User unknown\r\n", OK, b"354 go\r\n", QUEUED, OK)
    assert [reply.code for reply in sent.replies] == [550, 250]
    assert script.message
    assert [reply.accepted for reply in sent.replies] == [False, True]


CASES = {
    "MAIL": ((OFFERS, b"451 4.3.2 later\r\n", OK), [451, 451]),
    "every recipient": ((OFFERS, OK, b"550 no\r\n", b"450 no\r\n", OK), [550, 450]),
    "DATA": ((OFFERS, OK, b"550 no\r\n", OK, b"452 full\r\n", OK), [550, 452]),
    "message": ((OFFERS, OK, OK, OK, b"354 go\r\n", b"554 5.6.0 no\r\n", OK), [554, 554]),
    "closing": ((OFFERS, OK, b"550 no\r\n", b"421 bye\r\n"), [550, 421]),
    "closing for all": ((OFFERS, OK, b"421 bye\r\n"), [421, 421]),
    "gone at RCPT": ((OFFERS, OK, b"550 no\r\n"), [550, 0]),
    "gone after the dot": ((OFFERS, OK, OK, OK, b"354 go\r\n"), [0, 0]),
    "garbled at MAIL": ((OFFERS, b"\xff\xfe\r\n"), [0, 0]),
    "garbled at the end": ((OFFERS, OK, OK, OK, b"354 go\r\n", b"okay\r\n"), [0, 0]),
    "no EHLO, no HELO": ((b"500 what\r\n", b"502 no\r\n"), [502, 502]),
}


@pytest.mark.parametrize(("replies", "codes"), CASES.values(), ids=CASES)
def test_every_failure_is_a_reply(replies: Sequence[bytes], codes: list[int]) -> None:
    """Where the server fails, each recipient has the reply that decided; without one its code is 0."""
    script, sent = sent_to(*replies)
    assert [reply.code for reply in sent.replies] == codes
    assert all(reply.text for reply in sent.replies)
    assert not any(reply.accepted for reply in sent.replies)
    assert bool(script.message) is (b"354 go\r\n" in replies)


@pytest.mark.parametrize("name", CASES)
def test_only_a_message_without_a_reply_is_doubtful(name: str) -> None:
    """The server may have accepted it; after any reply it is known."""
    replies, _ = CASES[name]
    with played(b"220 hello\r\n", *replies) as (_, place):
        transaction = Transaction(place, two(), TIMEOUT)
        transaction.offer()
        assert not transaction.doubtful
        transaction.send()
        transaction.close()
    assert transaction.doubtful is (name in {"gone after the dot", "garbled at the end"})


def test_an_offer_sends_no_message() -> None:
    """The replies to the envelope are known; QUIT ends the session."""
    with played(b"220 hello\r\n", OFFERS, OK, b"550 5.1.1 no\r\n", OK, b"221 bye\r\n") as (script, place):
        transaction = Transaction(place, two(), TIMEOUT)
        sent = transaction.offer()
        transaction.close()
    assert [reply.code for reply in sent.replies] == [550, 250]
    assert script.commands[-2:] == [b"quit\r\n", b""]
    assert transaction.send() == sent  # closed


@pytest.mark.parametrize(
    ("offers", "mail", "rcpt"),
    [
        (b"250-x\r\n250 DSN\r\n", b" RET=HDRS ENVID=x+2B", b" NOTIFY=SUCCESS ORCPT=rfc822;b@example.test"),
        (b"250 x\r\n", b"", b""),
    ],
)
def test_arguments_of_rfc_3461(offers: bytes, mail: bytes, rcpt: bytes) -> None:
    """Only a server that offers them receives them."""
    asked = two()._replace(
        arguments=(b"RET=HDRS", b"ENVID=x+2B"),
        recipient_arguments=((b"NOTIFY=SUCCESS", b"ORCPT=rfc822;b@example.test"), ()),
    )
    script, _ = sent_to(offers, OK, OK, OK, b"354 go\r\n", QUEUED, OK, mail=asked)
    assert script.commands[1:4] == [
        b"MAIL FROM:<a@example.org>%b\r\n" % mail,
        b"RCPT TO:<b@example.test>%b\r\n" % rcpt,
        b"RCPT TO:<c@example.test>\r\n",
    ]


@pytest.mark.parametrize(
    ("sender", "recipient", "eight_bit", "command"),
    [
        (b"<>", b"<b@x.example>", False, b"MAIL FROM:<> SIZE=5\r\n"),
        (b"", b"b@x.example", True, b"MAIL FROM:<> SIZE=5 BODY=8BITMIME\r\n"),
        (b"<a>", b"<\xc3\xa4@x.example>", False, b"MAIL FROM:<a> SIZE=5 SMTPUTF8\r\n"),
        (b"<\xff@x>", b"<b>", False, b"MAIL FROM:<\xff@x> SIZE=5 SMTPUTF8\r\n"),
        (b"<a", b"<b@x.example>", False, b"MAIL FROM:<<a> SIZE=5\r\n"),
        (b'<"a b"@x.example>', b"<@r.example:b@x>", False, b'MAIL FROM:<"a b"@x.example> SIZE=5\r\n'),
    ],
)
def test_what_the_message_needs_and_the_server_offers(
    sender: bytes, recipient: bytes, command: bytes, *, eight_bit: bool
) -> None:
    """MAIL names the size, 8-bit content and addresses beyond ASCII; each address arrives byte for byte."""
    mail = Transfer(sender, (recipient,), [b"x\r\n\r\n"], 5, eight_bit)
    script, _ = sent_to(OFFERS, OK, OK, b"354 go\r\n", QUEUED, OK, mail=mail)
    assert script.commands[1] == command
    assert script.commands[2] == b"RCPT TO:<%b>\r\n" % recipient.strip(b"<>")


def test_nothing_is_announced_that_is_not_offered() -> None:
    """A server without extensions receives the message all the same."""
    mail = Transfer(b"<\xc3\xa4@x>", (b"<b>",), [b"\xe4\r\n"], 3, eight_bit=True)
    script, sent = sent_to(b"250 x\r\n", OK, OK, b"354 go\r\n", QUEUED, OK, mail=mail)
    assert script.commands[1] == b"MAIL FROM:<\xc3\xa4@x>\r\n"
    assert script.message == b"\xe4\r\n"
    assert sent.replies[0].accepted


def test_an_address_with_a_line_end_is_not_sent() -> None:
    """No address becomes a command of its own."""
    mail = Transfer(b"<a>", (b"<b>\r\nRCPT TO:<c>",), [b"\r\n"], 2)
    script, sent = sent_to(OFFERS, OK, mail=mail)
    assert script.commands[2:] == [b""]
    assert sent.replies[0].code == 0


def test_a_message_that_cannot_be_read_is_not_sent() -> None:
    """An exception of the chunks passes, and the server never receives the final dot."""

    def broken() -> Iterator[bytes]:
        yield b"Subject: x\r\n"
        raise MiltscanError("entry: broken")

    with (
        played(b"220 hello\r\n", OFFERS, OK, OK, OK, b"354 go\r\n") as (script, place),
        pytest.raises(MiltscanError, match="entry: broken"),
    ):
        transfer(place, two()._replace(chunks=broken()), TIMEOUT)
    assert script.commands[-2:] == [b"DATA\r\n", b""]


def test_a_server_that_hangs_up_within_the_message() -> None:
    """A server that closes the connection while the message is sent is a reply, too."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            session, _ = listener.accept()
            with session, session.makefile("rb") as lines:
                for reply in (b"220 hello\r\n", OFFERS, OK, OK, OK):
                    session.sendall(reply)
                    lines.readline()
                session.sendall(b"354 go\r\n")
                lines.readline()
                session.sendall(b"421 4.3.0 no more\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        large = two()._replace(chunks=[b"x" * 2**20 + b"\r\n"] * 64)
        sent = transfer(listener.getsockname(), large, TIMEOUT)
        thread.join(TIMEOUT)
    # its last words may have been lost with the connection
    assert sent.replies[0].code in {0, 421}
    assert sent.stage is Stage.DATA


CHUNKS = st.lists(st.text(alphabet="\r\n.a", max_size=6).map(str.encode), max_size=8)


@given(CHUNKS)
def test_line_ends_do_not_depend_on_the_chunks(chunks: list[bytes]) -> None:
    """The bytes are those of the whole message: each line end as CRLF, and one after the last line."""
    whole = b"".join(chunks)
    expected = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    if not expected.endswith(b"\r\n"):
        expected += b"\r\n"
    made = [*crlf(chunks)]
    assert b"".join(made) == expected
    lines = expected.split(b"\r\n")
    dotted = b"\r\n".join(b"." + line if line.startswith(b".") else line for line in lines)
    assert b"".join(stuffed(made)) == dotted
