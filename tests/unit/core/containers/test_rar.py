"""Where a rar begins behind something else."""

import pytest

from miltscan.core.containers.rar import rar_behind

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
        (b"PK\3\4" + SIGNATURE, False),
        (b"", False),
    ],
    ids=["version 5", "version 4", "as far as unrar looks", "further", "another version", "in a zip", "nothing"],
)
def test_a_rar_behind(content: bytes, expected: bool) -> None:  # noqa: FBT001 - a table
    """It is found as far from the begin as unrar looks."""
    assert rar_behind(memoryview(content)) is expected
