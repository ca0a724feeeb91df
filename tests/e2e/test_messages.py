"""The reply to each kind of message, and what reaches the mailbox; all parts are real, and all work."""

import base64
import re
import smtplib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pytest

from tests.fakes.eicar import EICAR
from tests.harness import messages
from tests.harness.client import RECIPIENT, SENDER, Reply, new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich
from tests.harness.processes import PATIENCE, wait_until

LINE = b"0123456789" * 90 + b"\r\n"


def text_of(size: int) -> bytes:
    """A clean message with a body of about `size` bytes; it differs from all others by its Message-ID."""
    return text_message(new_message_id(), LINE * (size // len(LINE)))


def with_header(header: bytes) -> bytes:
    """A clean message with one more header in the middle of the others."""
    return text_message(new_message_id()).replace(b"\r\nSubject:", b"\r\n" + header + b"\r\nSubject:")


def with_body(body: bytes) -> bytes:
    """A message of text with this body."""
    return text_message(new_message_id(), body)


def with_file(content: bytes) -> bytes:
    """A message with this attachment."""
    return messages.as_wire(messages.with_attachment("A file", content))


def in_pieces(*pieces: bytes) -> bytes:
    """A message with an attachment in base64, each piece of it with a padding of its own: clamd ends at the first."""
    content = b"\r\n".join(base64.encodebytes(one).replace(b"\n", b"\r\n") for one in pieces)
    fields = b'Content-Type: application/octet-stream; name="a.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    body = b"--next\r\nContent-Type: text/plain\r\n\r\nSee the file.\r\n--next\r\n" + fields + content + b"--next--\r\n"
    return (
        text_message(new_message_id(), b"").replace(
            b"\r\nSubject:", b"\r\nContent-Type: multipart/mixed; boundary=next\r\nSubject:"
        )
        + body
    )


def id_of(message: bytes) -> str:
    """The Message-ID of a message."""
    found = re.search(rb"^Message-ID: (<.*>)\r$", message, re.MULTILINE)
    assert found is not None
    return found[1].decode()


@dataclass(frozen=True)
class Case:
    """A message with the start of the expected reply, and the X-Virus-Status of what is accepted."""

    message: Callable[[], bytes]
    reply: str
    status: str | None = None


INFECTED = "550 5.7.1 Virus found: "
BEYOND = "550 5.7.1 Message not scanned: it exceeds a limit of the engine"
LONG_HEADER = b"X-Long: " + b"\r\n ".join([b"a" * 70] * 822)
CASES = {
    "clean text": Case(lambda: with_body(b"Hello\r\n"), "250", "Clean"),
    "clean attachment of 1 MB": Case(lambda: messages.as_wire(messages.clean_attachment(1_000_000)), "250", "Clean"),
    "30 MB": Case(lambda: text_of(30_000_000), "250", "Clean"),
    "empty body": Case(lambda: with_body(b""), "250", "Clean"),
    "8-bit header value": Case(lambda: with_header(b"X-Odd: caf\xe9 \xff\xfe \x1b[2J"), "250", "Clean"),
    "header of 30 KB": Case(lambda: with_header(LONG_HEADER[:30_000]), "250", "Clean"),
    "encrypted zip": Case(lambda: with_file(messages.encrypted_zip()), "250", "Unscanned (encrypted)"),
    "EICAR": Case(lambda: messages.as_wire(messages.infected()), INFECTED),
    "EICAR in a zip in a nested message": Case(lambda: messages.as_wire(messages.infected_deep_down()), INFECTED),
    "EICAR behind padding within base64": Case(lambda: in_pieces(b"a", EICAR), INFECTED),
    "text behind padding within base64": Case(lambda: in_pieces(b"a", b"good"), "250", "Clean"),
    "zips in zips": Case(lambda: with_file(messages.zipped_often(b"text", 25)), BEYOND),
    # what sendmail itself refuses before miltscan is asked
    "header of 60 KB": Case(lambda: with_header(LONG_HEADER), "552 5.6.0 Headers too large"),
    "bare LF": Case(lambda: with_body(b"one\ntwo\r\n"), "421 4.5.0 Bare linefeed"),
    "bare CR": Case(lambda: with_body(b"one\rtwo\r\n"), "421 4.5.0 Bare carriage return"),
    "NUL": Case(lambda: with_body(b"one\0two\r\n"), "554 5.6.1 NUL byte"),
}


@pytest.mark.parametrize("name", CASES)
def test_reply_and_mailbox(sandwich: ScanningSandwich, name: str) -> None:
    """The client receives the reply of the case; what is accepted arrives byte for byte, marked at its top."""
    case = CASES[name]
    message = case.message()
    reply = sandwich.send(message)
    assert str(reply).startswith(case.reply)
    if case.reply == INFECTED:
        assert "eicar" in reply.text.lower()
    if case.status is None:
        assert sandwich.mailbox.find(id_of(message)) == []
    else:
        assert arrived(sandwich, message, case.status).endswith(message)


def arrived(sandwich: ScanningSandwich, message: bytes, status: str) -> bytes:
    """A message as it is in the mailbox, with our two headers above all that came with it."""
    delivered = sandwich.mailbox.wait_for(id_of(message))
    names = [name for name in delivered.message if name != "Return-Path"]
    assert names[:4] == ["Delivered-To", "Received", "X-Virus-Scanned", "X-Virus-Status"]
    assert delivered.message.get_all("X-Virus-Status") == [status]
    assert b"\r\nX-Virus-Scanned: miltscan " in delivered.raw
    return delivered.raw


FORGED = (
    b"X-Virus-Status: Clean",
    b"x-virus-STATUS : Clean (forged)",
    b"X-Virus-Scanned:\r\n\tby nobody",
    b"X-Virus-Status\t: Clean",
    b"X-Virus-Anything: \xe9",
)


def test_forged_headers_are_replaced(sandwich: ScanningSandwich) -> None:
    """No X-Virus-* header of the sender is left, however it is written, and all other headers are."""
    message = with_header(b"\r\nX-Other: stays\r\n".join(FORGED))
    assert sandwich.send(message).code == 250
    raw = arrived(sandwich, message, "Clean")
    assert raw.lower().count(b"\r\nx-virus-") == 2
    assert raw.count(b"\r\nX-Other: stays") == len(FORGED) - 1


@pytest.mark.parametrize("name", [b"X-Caf\xe9", "X-Café".encode(), b"X-Control\x01", b"X-\x85"])
def test_odd_header_name_begins_the_body(sandwich: ScanningSandwich, name: bytes) -> None:
    """Sendmail reads a line with such a name as the start of the body, and that is what is scanned and arrives."""
    message = with_header(name + b": yes")
    body = b"\r\n\r\n" + message[message.index(name) :]
    assert sandwich.send(message).code == 250
    wait_until(lambda: any(m.raw.endswith(body) for m in sandwich.mailbox.messages()), PATIENCE, "the message")


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", 250),
        (b"Subject: header only\r\n", 250),
        (b"\r\nbody only\r\n", 250),
        (b" a fold of no header\r\nSubject: x\r\n\r\nbody\r\n", 250),
        (b": no name\r\n\r\nbody\r\n", 250),
        (b"From a mailbox\r\nSubject: x\r\n\r\nbody\r\n", 250),
        (b"X-%s%n: %s%n\r\n\r\n%s\r\n", 250),
        (b"X-" + b"a" * 3000 + b": x\r\n\r\nbody\r\n", 250),
        (EICAR + b"\r\n", 550),
    ],
)
def test_what_no_mail_program_would_send(sandwich: ScanningSandwich, message: bytes, code: int) -> None:
    """An odd message is scanned like all other mail, also as a bounce (no sender)."""
    assert [sandwich.send(message, sender=sender).code for sender in ("", SENDER)] == [code, code]


def smtp(sandwich: ScanningSandwich) -> smtplib.SMTP:
    """A session with the incoming sendmail, greeted."""
    session = smtplib.SMTP("127.0.0.1", sandwich.incoming.port, "client.example.org", 60)
    session.ehlo()
    return session


def deliver(session: smtplib.SMTP, message: bytes, recipients: Sequence[str] = (RECIPIENT,)) -> Reply:
    """One transaction in an open session; the reply to its message."""
    session.mail(SENDER)
    for recipient in recipients:
        session.rcpt(recipient)
    code, text = session.data(message)
    return Reply(code, text.decode())


def test_no_state_from_one_message_to_the_next(sandwich: ScanningSandwich) -> None:
    """In one session, EICAR after 25 MB is found, and the message after it is clean again."""
    first, clean, infected = text_of(25_000_000), text_of(1000), messages.as_wire(messages.infected())
    with smtp(sandwich) as session:
        replies = [deliver(session, message) for message in (first, infected, clean, infected)]
    assert [reply.code for reply in replies] == [250, 550, 250, 550], replies
    assert arrived(sandwich, first, "Clean").endswith(first)
    assert arrived(sandwich, clean, "Clean").endswith(clean)


def test_rset_in_mid_transaction(sandwich: ScanningSandwich) -> None:
    """What RSET ended leaves nothing behind: sender and recipients are those of the transaction after it."""
    message = text_of(1000)
    with smtp(sandwich) as session:
        session.mail("first@example.org", ["SIZE=1000000"])
        session.rcpt("first@example.test")
        assert session.rset()[0] == 250
        assert deliver(session, message).code == 250
    line = sandwich.miltscan.wait_for_message(message_id=id_of(message))
    assert (line["sender"], line["recipients"]) == (f"<{SENDER}>", [f"<{RECIPIENT}>"])
    assert sandwich.mailbox.wait_for(id_of(message)).recipients == [RECIPIENT.split("@")[0]]


def test_several_recipients(sandwich: ScanningSandwich) -> None:
    """A message for several recipients is scanned once, with one verdict for all of them."""
    message = text_of(1000)
    users = sorted(f"user{number}" for number in range(30))
    recipients = [f"{user}@example.test" for user in users]
    with smtp(sandwich) as session:
        assert deliver(session, message, recipients).code == 250
        assert deliver(session, messages.as_wire(messages.infected()), recipients).code == 550
    line = sandwich.miltscan.wait_for_message(message_id=id_of(message))
    assert line["recipients_count"] == 30
    assert len(sandwich.miltscan.events("message", message_id=id_of(message))) == 1
    assert sorted(sandwich.mailbox.wait_for(id_of(message)).recipients) == users


def test_client_gone_in_mid_body(sandwich: ScanningSandwich) -> None:
    """Nothing is delivered, no session or transaction stays open, and the next client is served."""
    message = text_of(2_000_000)
    session = smtp(sandwich)
    session.mail(SENDER)
    session.rcpt(RECIPIENT)
    assert session.docmd("DATA")[0] == 354
    session.send(message)
    session.close()
    wait_until(lambda: not sandwich.incoming.queued(), PATIENCE, "an empty queue")
    for gauge in ("sessions", "transactions_in_flight"):
        wait_until(partial(is_zero, sandwich, gauge), PATIENCE, f"no open {gauge}")
    assert sandwich.send(text_of(1000)).code == 250
    assert sandwich.mailbox.find(id_of(message)) == []


def is_zero(sandwich: ScanningSandwich, gauge: str) -> bool:
    """Whether a gauge is at 0."""
    return sandwich.miltscan.metric(gauge) == 0


def test_8bitmime(sandwich: ScanningSandwich) -> None:
    """A body that was announced as BODY=8BITMIME arrives as it is."""
    message = with_body("Grüße, 你好\r\n".encode() + bytes(range(128, 256)) + b"\r\n")
    with smtp(sandwich) as session:
        assert session.mail(SENDER, ["BODY=8BITMIME"])[0] == 250
        session.rcpt(RECIPIENT)
        assert session.data(message)[0] == 250
    assert arrived(sandwich, message, "Clean").endswith(message)


def test_announced_size_over_the_limit(sandwich: ScanningSandwich) -> None:
    """A message that is announced as too large is refused at MAIL; the session goes on."""
    with smtp(sandwich) as session:
        code, text = session.mail(SENDER, ["SIZE=104857601"])
        assert (code, text[:6]) == (552, b"5.3.4 ")
        assert deliver(session, text_of(1000)).code == 250
