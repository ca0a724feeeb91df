"""Header blocks: the fields Content-*, and the places where a body may begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime.fields import HeaderFields, read_fields
from miltscan.core.mime.octets import Octets

LIMIT = 200
words = st.sampled_from(
    [b"a: b", b"\r\n", b"\n", b" ", b"\t", b":", b"Content-Type: x/y", b"\0", b"\r", b"--b", b"From "]
)


def read(data: bytes, limit: int = LIMIT) -> HeaderFields:
    """The header at the beginning of some bytes."""
    return read_fields(Octets(data), 0, len(data), limit)


@pytest.mark.parametrize(
    ("data", "types", "body"),
    [
        (b"Content-Type: a/b\r\n\r\nbody", [b"a/b"], 21),
        (b"content-type:a/b \t\n\nbody", [b"a/b"], 20),
        (b"X: y\r\nContent-Type:\r\n\ta/b;\r\n c=d\r\n\r\nbody", [b"a/b; c=d"], 36),
        (b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", [b"a/b", b"c/d"], 40),
        (b"X-Content-Type: a/b\r\n\r\n", [], 23),
        (b"From a Mon Jan  1\r\nX: y\r\n\r\nbody", [], 27),
        (b">From a Mon Jan  1\nX: y\n\nbody", [], 25),
        (b"\r\nbody", [], 2),
        (b"\nbody", [], 1),
        (b"X: y\r\n", [], 6),
    ],
)
def test_a_header_by_the_standard(data: bytes, types: list[bytes], body: int) -> None:
    """All readers agree on its fields, and on where the body begins."""
    header = read(data)
    assert (list(header.types), header.bodies, header.strict, header.usual) == (types, (body,), True, True)
    assert (header.end, header.whole) == (body, True)


@pytest.mark.parametrize(
    ("data", "types", "bodies"),
    [
        (b"Content-Type: a/b\r\nno field\r\nX: y\r\n\r\nbody", [b"a/b"], [37, 19]),
        (b"no field\r\nContent-Type: a/b\r\n\r\nbody", [b"a/b"], [31, 0]),
        (b"Content-Type: a/b\r\n \r\nX: y\r\n\r\nbody", [b"a/b"], [30, 22, 19]),
        (b"Content-Type a/b\r\n\r\nbody", [b"a/b"], [20, 0]),
        (b"Content-Type : a/b\r\n\r\nbody", [b"a/b"], [22, 0]),
        (b"X: y\rContent-Type: a/b\r\n\r\nbody", [b"a/b"], [26, 0]),
        (b"X: y\r\n Content-Type: a/b\r\n\r\nbody", [b"a/b"], [28]),
        (b"Content-Type: a/b\0\r\n\r\nbody", [b"a/b\0"], [22, 0]),
        (b"--b: c\r\nContent-Type: a/b\r\n\r\nbody", [b"a/b"], [29, 0]),
        (b"body", [], [0]),
        (b"X: y\r\nbody", [], [6]),
        (b"", [], [0]),
    ],
)
def test_a_header_that_is_broken(data: bytes, types: list[bytes], bodies: list[int]) -> None:
    """A field is found wherever a reader may see one, and every place where a body may begin, the likeliest first."""
    header = read(data)
    assert (list(header.types), list(header.bodies), header.strict) == (types, bodies, False)


def test_the_other_fields() -> None:
    """Encoding, disposition and version are found as the type is."""
    header = read(b"MIME-Version: 1.0\nContent-Disposition: inline\nContent-Transfer-Encoding: base64\n\n")
    assert (header.versions, header.dispositions, header.encodings) == ((b"1.0",), (b"inline",), (b"base64",))


@pytest.mark.parametrize("data", [b"X: y;\r\nContent-Type: a/b\r\n\r\n", b"X: " + b"y" * 997 + b"\r\n\r\n"])
def test_what_scanners_misunderstand(data: bytes) -> None:
    """A semicolon at the end of a field, and a line that is too long, are by the grammar but not usual."""
    header = read(data, limit=2000)
    assert (header.strict, header.usual) == (True, False)


@pytest.mark.parametrize("data", [b"X: y;\r\n z\r\n\r\n", b"X: " + b"y" * 995 + b"\r\n\r\n"])
def test_what_is_usual(data: bytes) -> None:
    """A fold behind a semicolon, and a line of 998 bytes."""
    assert read(data, limit=2000).usual


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"X: y\r\n" * 100 + b"\r\n", False),
        (b"X: y\r\n" * 20 + b"\r\n" + b"b" * 200, True),
        (b"b" * 400, True),
        (b"X: y\r\nno field\r\n" + b"b" * 400, True),
        (b"X: " + b"y" * 400, True),
    ],
)
def test_a_header_beyond_the_bound(data: bytes, *, whole: bool) -> None:
    """What has no end within the bound, and is a header there, is one that is not read to its end."""
    assert read(data).whole == whole


@given(st.lists(words, max_size=20).map(b"".join))
def test_bodies_are_within(data: bytes) -> None:
    """A body begins within the bytes, in front of which a line ends."""
    header = read(data)
    assert header.bodies
    assert all(0 <= body <= len(data) and (not body or data[body - 1] == ord("\n")) for body in header.bodies)
