"""The bounds of the reader: each is met at its value, has its name, and nothing is read beyond it."""

from collections.abc import Callable
from functools import partial
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime.closed import Decoding, ReaderLimit
from miltscan.core.mime.part import Bounds
from miltscan.core.mime.reader import read_message
from tests.fakes.wrappings import FAMILIES, attached, b64, binhex, mail, mixed, nested, signed


def stopped() -> float:
    """A clock that stands still."""
    return 0.0


def parts(number: int) -> bytes:
    """A multipart of so many parts."""
    head = b"Content-Type: multipart/mixed; boundary=b\r\n"
    return mail(head, b"--b\r\nContent-Type: text/plain\r\n\r\ntext\r\n" * number + b"--b--\r\n")


def hidden(number: int) -> bytes:
    """So many parts that no boundary shows, each of which may end at two places."""
    return mail(b"Content-Type: text/plain\r\n", b"Content-Type: a/b\r\n\r\n--\r\n" * number)


def fields(number: int) -> bytes:
    """A header of so many lines and one more, which is empty."""
    return b"A: b\r\n" * number + b"\r\ntext"


def header(size: int) -> bytes:
    """A header of so many bytes, in short lines."""
    return b"A: b\r\n" * (size // 6) + b"\r\ntext"


def candidates(number: int) -> bytes:
    """A multipart with so many boundary parameters, each of which occurs."""
    names = [b"b%db" % one for one in range(number)]
    delimiters = b"".join(b"--%b\r\n\r\ntext\r\n" % name for name in names)
    return mail(
        b"Content-Type: multipart/mixed" + b"".join(b"; boundary=" + name for name in names) + b"\r\n", delimiters
    )


def decoded(size: int) -> bytes:
    """A base64 text in which something is encoded, of so many bytes."""
    text = b"begin 644 a\r\n".ljust(size)
    return mail(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n", b64(text))


def body(size: int) -> bytes:
    """A text of so many bytes."""
    return mail(b"Content-Type: text/plain\r\n", b"a" * size)


def smime(depth: int) -> bytes:
    """Opaque S/MIME within each other."""
    content = signed(b"text")
    for _ in range(depth - 1):
        content = signed(content)
    return mail(b"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n", b64(content))


@pytest.mark.parametrize(
    ("limit", "build", "most", "bounds"),
    [
        (ReaderLimit.DEPTH, partial(nested, b"text"), 5, {"depth": 5}),
        (ReaderLimit.PARTS, parts, 7, {"parts": 7}),
        (ReaderLimit.PARTS, hidden, 3, {"parts": 7}),
        (ReaderLimit.FIELDS, fields, 19, {"fields": 20}),
        (ReaderLimit.HEADER, header, 600, {"header": 600}),
        (ReaderLimit.CANDIDATES, candidates, 3, {"candidates": 3}),
        (ReaderLimit.OUTPUT, body, 100, {"output": 100}),
        (ReaderLimit.MEMORY, decoded, 100, {"memory": 100}),
    ],
)
def test_a_bound_has_its_name(
    limit: ReaderLimit, build: Callable[[int], bytes], most: int, bounds: dict[str, int]
) -> None:
    """What has the size of the bound is read, and what is larger is not, and says so."""
    within = read_message(build(most), Bounds(stopped, **bounds))
    beyond = read_message(build(most + 6), Bounds(stopped, **bounds))
    assert (within.limit, beyond.limit) == (None, limit)
    assert not beyond.plain


def test_more_candidates_than_are_looked_for() -> None:
    """Those that do not occur are not counted, but there is an end to looking for them."""
    none = b"".join(b"; boundary=x%dx" % one for one in range(50))
    reading = read_message(mail(b"Content-Type: multipart/mixed" + none + b"\r\n", b"text"), Bounds(stopped))
    assert reading.limit is ReaderLimit.CANDIDATES


def test_the_time_is_a_bound() -> None:
    """The clock of the caller ends the reading, and what was found by then is returned."""
    ticks = count()
    reading = read_message(parts(100), Bounds(lambda: float(next(ticks)), seconds=250))
    assert reading.limit is ReaderLimit.SECONDS
    assert 0 < len(reading.parts) < 100


def test_a_large_message_has_more_time() -> None:
    """A second for each MiB, here."""
    ticks = count()
    reading = read_message(body(1 << 20), Bounds(lambda: float(next(ticks)), seconds=0, seconds_per_mb=20))
    assert reading.limit is None


def test_a_large_binhex_file_is_not_decoded() -> None:
    """Its decoder holds the whole of it."""
    reading = read_message(mail(b"Content-Type: text/plain\r\n", binhex(b"abc" * 100)), Bounds(stopped, memory=100))
    assert reading.limit is ReaderLimit.MEMORY
    assert Decoding.BINHEX not in [part.decoding for part in reading.parts]


def test_the_bounds_of_signed_messages() -> None:
    """They are those of containers, under one name."""
    assert read_message(smime(3), Bounds(stopped)).limit is None
    assert read_message(smime(1), Bounds(stopped, memory=20)).limit is ReaderLimit.MEMORY


FORMS = [build for forms in FAMILIES.values() for build in forms.values()]


@given(st.sampled_from(FORMS), st.integers(0, 3000), st.integers(1, 6))
def test_no_more_than_the_bounds(build: Callable[[bytes], bytes], output: int, number: int) -> None:
    """All parts together are no larger than the bound, nor are there more of them, whatever the message is."""
    reading = read_message(build(b"report" * 20), Bounds(stopped, output=output, parts=number))
    assert sum(len(chunk) for part in reading.parts for chunk in part.chunks()) <= output
    assert len(reading.parts) <= number


def test_parts_are_views_of_the_message() -> None:
    """Nothing is copied that is not decoded."""
    data = attached(b"a" * 5000, b"") + mixed(b"")
    reading = read_message(data, Bounds(stopped))
    assert {part.raw.obj is data for part in reading.parts} == {True}
