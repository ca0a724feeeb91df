"""The reader on whole messages: it never raises, it is deterministic, and it finds what the standard says."""

import time
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime import reader
from miltscan.core.mime.octets import PIECE, Octets
from miltscan.core.mime.part import Bounds, Reading
from miltscan.core.mime.reader import read_message

BOUNDS = Bounds(clock=time.thread_time)
WORDS = (
    b'Content-Type: |multipart/mixed|message/rfc822|text/plain|; boundary=|b|"|=|\r\n|\n| |--b|--b--|:|=41|\0|\xff|'
    b"Content-Transfer-Encoding: |base64|quoted-printable|x-uue|QUJD|begin 644 a\n|=ybegin \n|"
    b"(This file must be converted with BinHex 4.0)\n:|boundary*0*=|=?us-ascii?q?b?=|filename="
).split(b"|")
hostile = st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=8)), max_size=60).map(b"".join)


def contents(reading: Reading) -> list[bytes]:
    """The content of every part."""
    return [bytes(part.data) for part in reading.parts]


@given(hostile)
def test_it_never_raises(data: bytes) -> None:
    """Whatever the bytes are, all parts can be decoded, and a second reading finds the same."""
    reading = read_message(data, BOUNDS)
    assert contents(reading) == contents(read_message(data, BOUNDS))
    assert read_message(memoryview(data), BOUNDS).anomalies == reading.anomalies


LINES = (
    b"Subject: a\r\n|Content-Type: text/plain\r\n|MIME-Version: 1.0\r\n|Content-Type: text/html; name=a\r\n|\r\n|\n|"
    b"text\r\n|To: a;\r\n|\r|a\rb|begin 644 a\r\n|Content-Type: text/plain; boundary=b\r\n|--b\r\n|no field\r\n|"
    b"Content-Transfer-Encoding: 8bit\r\n|Content-Transfer-Encoding: base64\r\n|Content-Type: application/pdf\r\n|"
    b"Content-Type: message/rfc822\r\n|Content-Type: text/rfc822-headers\r\n| folded\r\n|"
    b"Content-Disposition: inline; filename=a.p7m\r\n"
).split(b"|")


@given(st.one_of(hostile, st.lists(st.sampled_from(LINES), max_size=9).map(b"".join)))
def test_a_short_text_is_read_as_any_other_message(data: bytes) -> None:
    """By fewer steps. Where they do not suffice nothing of them remains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "short_text", lambda *_: None)
        by_all_steps = read_message(data, BOUNDS)
    assert read_message(data, BOUNDS) == by_all_steps


def test_short_texts_take_fewer_steps() -> None:
    """What most small messages are; anything else takes all of them."""
    octets = Octets(b"Subject: a\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nHello\r\n")
    assert reader.short_text(octets, BOUNDS) == read_message(bytes(octets.view), BOUNDS)
    assert reader.short_text(octets, BOUNDS._replace(header=5)) is None
    assert reader.short_text(octets, BOUNDS._replace(output=5)) is None
    assert reader.short_text(octets, BOUNDS._replace(fields=1)) is None
    assert reader.short_text(Octets(bytes(octets.view).replace(b"plain", b"calendar")), BOUNDS)
    assert (
        reader.short_text(Octets(bytes(octets.view).replace(b"text/plain", b"multipart/mixed; boundary=b")), BOUNDS)
        is None
    )
    assert reader.short_text(Octets(bytes(octets.view) + b"x" * PIECE), BOUNDS) is None


@given(st.binary(max_size=300), st.sampled_from(["base64", "quoted-printable"]))
def test_an_attachment_is_found(content: bytes, encoding: str) -> None:
    """The parts of a mail made by Python's email package are those that it was made of, and the mail is plain."""
    mail = EmailMessage(policy=SMTP)
    mail["Subject"] = "report"
    mail.set_content("See the attachment.")
    mail.add_attachment(content, "application", "octet-stream", cte=encoding, filename="report.bin")
    reading = read_message(mail.as_bytes(), BOUNDS)
    assert content in contents(reading)
    assert (reading.anomalies, reading.limit) == (frozenset(), None)


def text_mail(mail: EmailMessage) -> None:
    """One text."""
    mail.set_content("Dear Bob,\n\nbegin with the report.\n\n-- \nAlice\n")


def html_mail(mail: EmailMessage) -> None:
    """A text in two forms, with characters that have to be encoded."""
    mail.set_content("Grüße\n")
    mail.add_alternative("<p style='color: red'>Gr\u00fc\u00dfe</p>\n" * 20, subtype="html")


def forwarded_mail(mail: EmailMessage) -> None:
    """A message within a message."""
    inner = EmailMessage(policy=SMTP)
    inner["Subject"] = "the first one"
    html_mail(inner)
    mail.set_content("See below.\n")
    mail.add_attachment(inner)


@pytest.mark.parametrize("build", [text_mail, html_mail, forwarded_mail])
def test_everyday_mail_is_plain(build: Callable[[EmailMessage], None]) -> None:
    """Nothing of it needs a second scan."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = "alice@example.org"
    mail["Subject"] = "report"
    build(mail)
    for data in (mail.as_bytes(), mail.as_bytes().replace(b"\r\n", b"\n")):
        reading = read_message(data, BOUNDS)
        assert (reading.plain, reading.anomalies, reading.limit) == (True, frozenset(), None)
