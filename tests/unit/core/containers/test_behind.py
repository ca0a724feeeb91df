"""A rar or a 7z behind something else."""

from zlib import crc32

import pytest

from miltscan.core.containers.behind import has_rar, seven_zip_behind
from miltscan.core.containers.foreign import SEVEN_ZIP_BEGIN

SIGNATURE = b"Rar!\x1a\x07\1\0"
_LOOKED = 4 << 20


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"MZ" + SIGNATURE, True),
        (b"MZ" + b"Rar!\x1a\x07\0", True),
        (bytes(_LOOKED - len(SIGNATURE)) + SIGNATURE, True),
        (bytes(_LOOKED - len(SIGNATURE) + 1) + SIGNATURE, False),
        (b"MZ" + SIGNATURE[:-1], False),
        (b"PK\3\4" + SIGNATURE, True),
        (b"Rar!\x1a\x07\2", True),
        (b"", False),
    ],
    ids=[
        "version 5",
        "version 4",
        "as far as unrar looks",
        "further",
        "a part of it",
        "behind another begin",
        "a later version",
        "nothing",
    ],
)
def test_a_rar_behind(content: bytes, expected: bool) -> None:  # noqa: FBT001 - a table
    """It is found as far from the begin as unrar looks."""
    assert has_rar(memoryview(content)) is expected


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        (b"MZ", True),
        (b"MZ" + SEVEN_ZIP_BEGIN + bytes(99), True),
        (b"MZ" + bytes((8 << 20) - 8), True),
        (b"MZ" + bytes(8 << 20), False),
        (b"PK", False),
    ],
    ids=["near", "behind a wrong one", "as far as 7-Zip looks", "further", "no program"],
)
def test_a_7z_behind(front: bytes, expected: bool) -> None:  # noqa: FBT001 - a table
    """It is all that follows its first header; one further from the begin than 7-Zip looks is none."""
    rest = bytes(range(20))
    archive = SEVEN_ZIP_BEGIN + b"\0\4" + crc32(rest).to_bytes(4, "little") + rest + b"and the files"
    assert seven_zip_behind(memoryview(front + archive)) == (archive if expected else None)
    assert seven_zip_behind(memoryview(front + archive[:31])) is None
