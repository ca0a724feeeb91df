"""The members of an ar archive, whole or cut."""

import pytest

from miltscan.core.containers.ar import ar_members
from miltscan.core.containers.budget import ContainerBounds
from tests.fakes.archives import as_ar

ARCHIVE = as_ar(b"2.0\n", b"odd", b"data")


def members(data: bytes, most: int = 10) -> list[bytes]:
    """The content of each."""
    return [bytes(one) for one in ar_members(memoryview(data), ContainerBounds(members=most))]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (ARCHIVE, [b"2.0\n", b"odd", b"data"]),
        (ARCHIVE[:-2], [b"2.0\n", b"odd", b"da"]),
        (ARCHIVE[:-5], [b"2.0\n", b"odd"]),
        (ARCHIVE.replace(b"3         `", b"-3        `"), [b"2.0\n"]),
        (ARCHIVE.replace(b"3         `", b"9999999999`"), [b"2.0\n", ARCHIVE[ARCHIVE.index(b"odd") :]]),
        (ARCHIVE.replace(b"data.tar".ljust(16), b"#1/2".ljust(16)), [b"2.0\n", b"odd", b"data", b"ta"]),
        (ARCHIVE.replace(b"data.tar".ljust(16), b"#1/9999".ljust(16)), [b"2.0\n", b"odd", b"data", b""]),
        (ARCHIVE.replace(b"data.tar".ljust(16), b"#1/-1".ljust(16)), [b"2.0\n", b"odd", b"data"]),
        (b"!<arch>\n", []),
        (b"", []),
    ],
)
def test_members(data: bytes, found: list[bytes]) -> None:
    """What stands where a header says, as far as the archive goes."""
    assert members(data) == found


def test_one_more_than_allowed() -> None:
    """So the caller sees that there are too many."""
    assert members(ARCHIVE, 1) == [b"2.0\n", b"odd"]
