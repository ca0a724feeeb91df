"""The work of the reader grows as its input does: twice the message costs twice the steps and the bytes looked at."""

import pytest

from miltscan.core.mime import flat
from miltscan.core.mime.octets import Octets
from miltscan.core.mime.part import Bounds
from miltscan.core.mime.reader import read_message

HEAD = b"From: a\r\nMIME-Version: 1.0\r\n"
MIXED = HEAD + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
ENCODED = HEAD + b"Content-Transfer-Encoding: %b\r\n\r\n"
PART = b"\nContent-Type: multipart/mixed; boundary=x\n\n"
SHAPES = {
    "text": (HEAD + b"\r\n", b"some text\r\n"),
    "delimiters": (MIXED, b"--b\r\n"),
    "delimiters, close": (MIXED, b"--b--\r\n"),
    "delimiters, broken": (MIXED, b"--bx\r\n"),
    "parts": (MIXED, b"--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n"),
    "parts, broken": (MIXED, b"--b\r\nno field\r\nContent-Type: text/plain\r\n\r\ntext\r\n"),
    "parts, of the same boundary": (MIXED, b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"),
    "parts, of another boundary": (MIXED, b"--b\r\n" + PART),
    "hidden": (HEAD + b"\r\n", b"Content-Type: a/b\r\n\r\n"),
    "hidden, one header": (HEAD + b"\r\n", b"Content-Type: a/b\r\n"),
    "hidden, broken": (HEAD + b"\r\n", b"!\r\nContent-Type: a/b\r\n"),
    "hidden, of a boundary": (HEAD + b"\r\n", PART + b"--x\n"),
    "hidden, encoded": (HEAD + b"\r\n", b"\nContent-Transfer-Encoding: base64\n\nQUJD\n"),
    "hidden, messages": (HEAD + b"\r\n", b"\nContent-Type: message/rfc822\n\n"),
    "inline": (HEAD + b"\r\n", b"begin 644 a\n"),
    "inline, in base64": (ENCODED % b"base64", b"CmJlZ2luIDY0NCBhCg=="),
    "messages": (HEAD + b"Content-Type: message/rfc822\n\n", HEAD + b"Content-Type: message/rfc822\n\n"),
    "base64, padded": (ENCODED % b"base64", b"QUI=\r\n"),
    "unknown": (ENCODED % b"x", b"a=b\r\n"),
    "fields": (b"", b"a: b\r\n"),
    "fields, of the content": (b"", b"Content-Type: a/b\r\n"),
    "parameters": (HEAD + b"Content-Type: a/b", b"; name=c"),
    "boundaries": (HEAD + b"Content-Type: a/b", b"; boundary=c"),
    "comments": (HEAD + b"Content-Type: a/b", b"("),
    "quotes": (HEAD + b"Content-Type: a/b;boundary=", b'"\\"'),
}


class Work:
    """What is counted: calls of the clock, one for each step, and bytes that are searched or copied."""

    def __init__(self) -> None:
        self.amount = 0

    def clock(self) -> float:
        """Time that does not pass."""
        self.amount += 1
        return 0.0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """A counter of the work of all readings."""
    counted, find, piece = Work(), Octets.find, Octets.piece

    def counting_find(octets: Octets, needle: bytes, start: int, end: int) -> int:
        found = find(octets, needle, start, end)
        counted.amount += max(0, (found if found >= 0 else end) - start)
        return found

    def counting_piece(octets: Octets, start: int, end: int) -> bytes:
        counted.amount += max(0, end - start)
        return piece(octets, start, end)

    monkeypatch.setattr(flat, "_HEADER", 512)  # what is looked at around a line has an end, which is not near here
    monkeypatch.setattr(flat, "_ABOVE", 128)
    monkeypatch.setattr(Octets, "find", counting_find)
    monkeypatch.setattr(Octets, "piece", counting_piece)
    return counted


@pytest.mark.parametrize("shape", SHAPES)
def test_twice_the_message_is_twice_the_work(shape: str, work: Work) -> None:
    """Enough of what makes work that what is looked at once does not count; a header has no bound here."""
    head, unit = SHAPES[shape]
    amounts = []
    for number in (1000, 2000):
        work.amount = 0
        bounds = Bounds(work.clock, parts=10**6, header=10**6, fields=10**6, output=10**9)
        reading = read_message(head + unit * number, bounds)
        amounts.append(work.amount)
        assert reading.limit in (None, "depth", "candidates")
    assert amounts[1] < 2.2 * amounts[0]
