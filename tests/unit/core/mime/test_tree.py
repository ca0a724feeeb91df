"""The structure that boundaries show: which parts there are, where each begins and ends, and what it declares."""

import time

import pytest

from miltscan.core.mime.closed import Anomaly, Decoding, ReaderLimit
from miltscan.core.mime.parameters import Name
from miltscan.core.mime.part import Bounds
from miltscan.core.mime.reader import read_message
from tests.fakes.wrappings import attached, b64, mail, mixed, qp, signed
from tests.unit.core.mime.golden import BOUNDS

A = Anomaly
MIXED = b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
MESSAGE = b"Content-Type: message/rfc822\n"
BASE64 = b"Content-Transfer-Encoding: base64\n"


def parts(data: bytes) -> list[tuple[str, bytes]]:
    """Path and bytes of each part, as it stands in the message."""
    return [(part.path, bytes(part.raw)) for part in read_message(data, BOUNDS).parts]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"A: b\n\ntext", [("0", b"text")]),
        (b"A: b\r\n\r\ntext\r\n", [("0", b"text\r\n")]),
        (MIXED + b"--b\n\none\n--b\n\ntwo\n--b--\n", [("1", b"one"), ("2", b"two")]),
        (MIXED + b"--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n\r\n--b--\r\n", [("1", b"one"), ("2", b"two\r\n")]),
        (MIXED + b"preamble\n--b\n\none\n--b--\nepilogue\n", [("1", b"one")]),
        (MIXED + b"--b\n\none", [("1", b"one")]),
        (MIXED + b"--b\n\none\n--b", [("1", b"one"), ("2", b"")]),
        (MIXED + b"--b\n--b\n\n\n--b--", [("1", b""), ("2", b"")]),
        (MIXED + b"--b\n\none\n--b--\n--b\n\ntwo\n--b--", [("1", b"one"), ("2", b""), ("3", b"two")]),
        (MIXED + b"--b\n\none\n--bx\ntwo\n--b--", [("1", b"one\n--bx\ntwo"), ("1", b"one"), ("2", b"two")]),
        (MIXED + b"--b\n" + MIXED + b"--b\n\none\n--b--\n", [("1", b""), ("2", b"one")]),
        (
            MIXED + b"--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c--\n--b\n\ntwo\n--b--",
            [("1.1", b"one"), ("2", b"two")],
        ),
        (MIXED + b"--b\n" + MESSAGE + b"\nA: b\n\none\n--b--", [("1.1", b"one")]),
        (
            MIXED + b"--b\n" + MESSAGE + b"\n" + MIXED.replace(b"=b", b"=c") + b"--c\n\none\n--c--\n--b--",
            [("1.1.1", b"one")],
        ),
        (b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nA: b\n\none\n--b--", [("1.1", b"one")]),
        (b"Content-Type: text/rfc822-headers\n\nA: b\n", [("0.1", b"")]),
        (MIXED + b"text", [("0", b"text")]),
    ],
)
def test_what_boundaries_show(data: bytes, expected: list[tuple[str, bytes]]) -> None:
    """The line end in front of a delimiter belongs to it; paths are those of IMAP where there is one reading."""
    assert parts(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (mail(b"Content-Type: application/x\r\n" + BASE64, b64(b"A: b\n\ntext")), ["0"]),
        (mail(b"Content-Type: application/x\r\n" + BASE64, b64(b"From: b\n\ntext")), ["0", "0/0"]),
        (mail(b"Content-Type: application/x\r\n" + BASE64, b64(b"X: y\n" * 2000 + b"\ntext")), ["0", "0/0"]),
        (mail(b"Content-Type: application/x\r\n" + BASE64, b64(b"\x00" + b"begin 644 a\n")), ["0"]),
        (mail(b"Content-Type: text/x\r\n" + BASE64, b64(b"Content-Type: a/b\n\ntext" * 2)), ["0", "0/0"]),
        (mail(b"Content-Type: text/x\r\n" + BASE64, b64(b"-\nContent-Type: a/b\n\ntext")), ["0"]),
        (mail(b"Content-Type: text/x\r\n" + BASE64, b64(b"-\nbegin 644 a\n")), ["0", "0/uu:1"]),
        (mail(MESSAGE + BASE64, b64(b"-\nContent-Type: a/b\n\ntext")), ["0", "0/flat:1"]),
        (mail(MESSAGE + BASE64, b"From: b\n\ntext"), ["0.1", "0"]),
    ],
)
def test_what_is_read_within_a_part(data: bytes, expected: list[str]) -> None:
    """A message, wherever it is; a text only if something in it is encoded."""
    paths = [part.path for part in read_message(data, BOUNDS).parts]
    assert list(dict.fromkeys(paths)) == expected


def test_what_a_part_declares() -> None:
    """Types and names are those of all fields and readings, in lower case what is a word of the standard."""
    head = b'Content-Type: Image/PNG; name="a.png"\nContent-Type: a/b\nContent-Disposition: inline; filename=b.exe\n'
    (part,) = read_message(head + b"\ntext", BOUNDS).parts
    assert part.types == (b"image/png", b"a/b")
    assert part.names == (Name(b"filename", b"b.exe"), Name(b"name", b"a.png"))


def test_a_part_of_two_readings_is_one() -> None:
    """What both say of it is kept."""
    data = MIXED.replace(b"=b", b"=b; boundary=c") + b"--c\n--b\nContent-Type: a/b; name=c\n\none\n--c--\n--b--"
    found = [part for part in read_message(data, BOUNDS).parts if bytes(part.raw) == b"one"]
    assert [part.names for part in found] == [(Name(b"name", b"c"),)]


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (b"Content-Type: text/plain\n\ntext", True),
        (b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--", False),
        (b"MIME-Version: 2.0\n" + BASE64 + b"\nQUJD", False),
        (b"MIME-Version: 1.0 (by hand)\n" + BASE64 + b"\nQUJD", True),
        (b"MIME-Version: 1.0\nMIME-Version: 1.0\n" + BASE64 + b"\nQUJD", False),
        (MIXED + b"--b \n\none\n--b--", False),
        (MIXED + b"preamble: text\n--b\n\none\n--b--", False),
        (MIXED + b"preamble, text\n--b\n\none\n--b--", True),
        (MIXED + b"--b\nContent-Type: multipart/mixed; boundary=bc\n\n--bc\n\none\n--bc--\n--b--", False),
        (MIXED + b"--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--c--\n--b--", True),
        (MIXED + b"--b\n\none\rtwo\n--b--", False),
        (MIXED + b"--b\n" + BASE64 + b"\nQUJD\n--b--", True),
        (MIXED + b"--b\nContent-Type: x/y\n\none\n--b--", False),
        (MIXED + b"--b\nContent-Type: application\n\none\n--b--", False),
        (MIXED + b"--b\nContent-Type: message/global\n\nA: b\n\none\n--b--", False),
        (MIXED + b"--b\nContent-Disposition: inline\nContent-Disposition: inline\n\none\n--b--", False),
        (MIXED + b"--b\nContent-Disposition: attachment; filename=a.p7m\n\none\n--b--", False),
        (mixed(b"\r\none"), True),
        (mixed(b"\r\none", kind=b"multipart/signed"), False),
        (attached(b"text", b"Content-Transfer-Encoding: 8bit\r\n"), True),
        (attached(qp(b"text"), b"Content-Transfer-Encoding: quoted-printable\r\n"), True),
    ],
)
def test_what_is_plain(data: bytes, *, plain: bool) -> None:
    """What scanners of raw mail are known to miss, or to take for something else, is not, nor what is unknown."""
    assert read_message(data, BOUNDS).plain is plain


@pytest.mark.parametrize(
    ("header", "malformed"),
    [
        (b"Content-Type: text/plain\n", False),
        (b"Content-Type: text/plain; name=a.txt\n", True),
        (b"Content-Type: application/pdf\n", True),
    ],
)
def test_broken_padding(header: bytes, *, malformed: bool) -> None:
    """It is malformed only where it is one of an attachment."""
    assert read_message(header + BASE64 + b"\nQUJD=QUJD", BOUNDS).malformed is malformed


@pytest.mark.parametrize(("depth", "limit"), [(1, ReaderLimit.DEPTH), (2, None)])
def test_the_depth_of_what_is_decoded(depth: int, limit: ReaderLimit | None) -> None:
    """A message in a part is one deeper than the part; so is one that is signed."""
    bounds = Bounds(time.thread_time, depth=depth)
    message = mixed(b"Content-Type: application/x\r\n" + BASE64 + b"\r\n" + b64(b"From: b\n\ntext"))
    assert read_message(message, bounds).limit is limit
    smime = mixed(b"Content-Type: application/pkcs7-mime\r\n" + BASE64 + b"\r\n" + b64(signed(b"text")))
    assert read_message(smime, bounds).limit is limit


def test_the_depth_of_messages() -> None:
    """Each of those within each other counts."""
    message = b"text"
    for _ in range(5):
        message = MESSAGE + b"\n" + message
    assert read_message(message, Bounds(time.thread_time, depth=5)).limit is None
    assert read_message(message, Bounds(time.thread_time, depth=4)).limit is ReaderLimit.DEPTH


def test_guesses_within_guesses_have_an_end() -> None:
    """What an unknown encoding may hold is looked into, but not what an unknown encoding within that may hold."""
    guess = b"MIME-Version: 1.0\nContent-Type: message/rfc822\nContent-Transfer-Encoding: x\n"
    inner = mail(guess, b64(b"From: a\n\nThe innermost one."))
    parts = [bytes(part.data) for part in read_message(mail(guess, b64(inner)), BOUNDS).parts]
    assert b"From: a\n\nThe innermost one." in parts
    assert b"The innermost one." not in parts


def test_encrypted_mail_is_marked() -> None:
    """It has no part that can be read but itself."""
    enveloped = bytes.fromhex("300b06092a864886f70d010703")
    reading = read_message(mail(b"Content-Type: application/pkcs7-mime\r\n" + BASE64, b64(enveloped)), BOUNDS)
    assert (reading.encrypted, [part.path for part in reading.parts]) == (True, ["0"])


def test_faults_of_a_signed_message_are_anomalies() -> None:
    """They are those of S/MIME, and what is there is read."""
    data = mail(b"Content-Type: application/pkcs7-mime\r\n" + BASE64, b64(signed(b"text" * 400)[:-200]))
    reading = read_message(data, BOUNDS)
    assert "cms-truncated" in reading.anomalies
    assert any(part.path == "0/0" and bytes(part.data).startswith(b"texttext") for part in reading.parts)


def test_a_large_message_is_read_from_a_view() -> None:
    """It is not copied: a part is a view of it, and what is decoded comes in pieces."""
    data = mail(b"Content-Type: application/x\r\n" + BASE64, b64(b"abc" * (1 << 20)))
    (part,) = read_message(memoryview(data), BOUNDS).parts
    assert part.raw.obj is data
    assert (part.decoding, len(part.data)) == (Decoding.BASE64, 3 << 20)
    assert max(map(len, part.chunks())) <= 1 << 20
