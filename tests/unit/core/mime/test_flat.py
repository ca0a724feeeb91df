"""The parts that no boundary shows: where each begins and ends."""

import pytest

from miltscan.core.mime.closed import Anomaly, Decoding
from miltscan.core.mime.reader import read_message
from tests.unit.core.mime.golden import BOUNDS

A = Anomaly
HEAD = b"From: a\n\n"
PART = b"Content-Type: a/b\n\n"
LONG = b"X: " + b"y" * 5000 + b"\n"


def hidden(data: bytes) -> list[tuple[str, bytes]]:
    """Path and bytes of each part that boundaries do not show."""
    parts = read_message(data, BOUNDS).parts
    return [(part.path, bytes(part.raw)) for part in parts if ":" in part.path]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"text\n", []),
        (PART + b"one", [("flat:1", b"one")]),
        (b"text\n" + PART + b"one\n--b--\n", [("flat:1", b"one"), ("flat:1", b"one\n--b--\n")]),
        (b"text\r\nContent-Type: a/b\r\n\r\none\r\n--b", [("flat:1", b"one"), ("flat:1", b"one\r\n--b")]),
        (PART + b"one\n- two\n", [("flat:1", b"one\n- two\n")]),
        (
            b"--b\n" + PART + b"one\n--b\n" + PART + b"two",
            [("flat:1", b"one"), ("flat:1", b"one\n--b\n"), ("flat:2", b"two")],
        ),
        (b"-b\n" + PART + b"one\n-b\n" + PART + b"two", [("flat:1", b"one\n-b\n"), ("flat:2", b"two")]),
        (b"A: b\n" + PART + b"one", [("flat:1", b"one")]),
        (b"text\n\nA: b\n" + PART + b"one\n\nA: c\n" + PART + b"two", [("flat:1", b"one\n\n"), ("flat:2", b"two")]),
        (LONG + PART + b"one", [("flat:1", b"one")]),
        (b"Content-Type: a/b\none", [("flat:1", b"one")]),
        (
            b"Content-Type: a/b\n--b\nContent-Type: c/d\n--b",
            [("flat:1", b""), ("flat:1", b"--b\n"), ("flat:2", b""), ("flat:2", b"--b")],
        ),
        (b"Content-Type: a/b\nContent-Disposition: inline\n\none", [("flat:1", b"one")]),
        (b"begin 644 a\ntext\nend\n=ybegin a\n", [("uu:1", b"begin 644 a\ntext\nend\n"), ("yenc:2", b"=ybegin a\n")]),
        (b"text (This file must be converted with BinHex", [("binhex:1", b"(This file must be converted with BinHex")]),
    ],
)
def test_where_a_part_is(body: bytes, expected: list[tuple[str, bytes]]) -> None:
    """It begins at its header, and ends at the next line with two hyphens or at the next part; both are read."""
    assert list(dict.fromkeys(hidden(HEAD + body))) == expected


def test_headers_that_boundaries_show_are_no_hidden_ones() -> None:
    """Nor is what is clean base64, whatever its characters are."""
    data = b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: a/b\n\none\n--b--"
    assert hidden(data) == []


@pytest.mark.parametrize("encoding", [b"7bit", b"quoted-printable", b"x"])
def test_a_body_that_is_not_base64_may_hide_one(encoding: bytes) -> None:
    """It is searched as it stands."""
    data = b"Content-Transfer-Encoding: " + encoding + b"\n\ntext\n\nContent-Type: a/b\n\none"
    assert ("flat:1", b"one") in hidden(data)


@pytest.mark.parametrize(
    ("body", "anomalies"),
    [
        (b"text", {A.BOUNDARY_ABSENT}),
        (b"--c\n" + PART + b"one", {A.BOUNDARY_ABSENT, A.HIDDEN_PART, A.HIDDEN_ATTACHMENTS}),
        (b"--b\n\none\n--b--\n" + PART, {A.HIDDEN_PART}),
    ],
)
def test_parts_of_a_multipart_without_its_boundary(body: bytes, anomalies: set[Anomaly]) -> None:
    """They are what a mail program may show although nothing shows them by the standard: malformed."""
    reading = read_message(b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" + body, BOUNDS)
    assert reading.anomalies == anomalies
    assert reading.malformed == (A.HIDDEN_ATTACHMENTS in anomalies)


def test_a_hidden_part_is_decoded_as_any_other() -> None:
    """By what its header says, which is that around the line at which it was found."""
    data = HEAD + b"text\n\nContent-Transfer-Encoding: base64\nX: y\nContent-Type: a/b\n\nQUJD"
    parts = [part for part in read_message(data, BOUNDS).parts if part.path == "flat:1"]
    assert [(part.decoding, part.types, part.data) for part in parts] == [(Decoding.BASE64, (b"a/b",), b"ABC")]
