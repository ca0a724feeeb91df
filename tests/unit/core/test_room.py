"""Whether there was room to unpack a message."""

import pytest

from miltscan.core.room import LEAST_ROOM, Folder, Writer, no_room, parse_writer, room_needed

MIB = 2**20
FOLDER = Folder(device=1, inode=2, owner=10, group=20, mode=0o40755, free=64 * MIB, inodes=1000)
CLAMAV = Writer(10, frozenset({20}))
STATUS = "Name:\tclamd\nUid:\t10\t11\t12\t13\nGid:\t20\t21\t22\t23\nFDSize:\t64\nGroups:\t4 24 \nVmPeak:\t 1 kB\n"


@pytest.mark.parametrize(
    ("size", "scan_size", "needed"),
    [
        (0, 400 * MIB, LEAST_ROOM),
        (1000, 400 * MIB, LEAST_ROOM),
        (100_000, 400 * MIB, 20_000_000),
        (3_000_000, 400 * MIB, 400 * MIB),
        (3_000_000, 0, 600_000_000),  # no limit
        (3_000_000, MIB, LEAST_ROOM),
    ],
)
def test_the_room_that_a_message_needs(size: int, scan_size: int, needed: int) -> None:
    """A message needs two hundred times its size, at most MaxScanSize, and never less than 16 MiB."""
    assert room_needed(size, scan_size) == needed


@pytest.mark.parametrize(
    ("folder", "needed", "why"),
    [
        (FOLDER, 64 * MIB, ""),
        (FOLDER, 64 * MIB + 1, "64 MiB are free, 65 MiB are needed"),
        (FOLDER._replace(free=0), LEAST_ROOM, "0 MiB are free, 16 MiB are needed"),
        (FOLDER._replace(inodes=None), LEAST_ROOM, ""),
        (FOLDER._replace(inodes=256), LEAST_ROOM, ""),
        (FOLDER._replace(inodes=255), LEAST_ROOM, "255 inodes are free, 256 are needed"),
        (FOLDER._replace(mode=0o40555), LEAST_ROOM, "mode 0555 does not let its user 10 write"),
        (FOLDER._replace(owner=0), LEAST_ROOM, "mode 0755 does not let its user 10 write"),
    ],
)
def test_why_there_is_no_room(folder: Folder, needed: int, why: str) -> None:
    """The reason is a lack of bytes, of inodes or of the right to write, with its figures."""
    assert no_room(folder, CLAMAV, needed) == why


def test_without_a_writer_the_mode_does_not_count() -> None:
    """An access list may allow more than the mode shows."""
    assert no_room(FOLDER._replace(mode=0o40000), None, LEAST_ROOM) == ""


@pytest.mark.parametrize(
    ("owner", "group", "mode", "may"),
    [
        (10, 0, 0o700, True),
        (10, 0, 0o600, False),
        (10, 0, 0o500, False),
        (10, 20, 0o077, False),  # the owner's bits count for the owner
        (0, 20, 0o730, True),
        (0, 20, 0o707, False),
        (0, 21, 0o733, True),
        (0, 21, 0o1777, True),
        (0, 21, 0o775, False),
    ],
)
def test_who_may_write(owner: int, group: int, mode: int, *, may: bool) -> None:
    """The bits of the owner, else the group, else others must allow write and search, as for the kernel."""
    folder = FOLDER._replace(owner=owner, group=group, mode=0o40000 | mode)
    assert CLAMAV.may_write(folder) is may
    assert Writer(0, frozenset()).may_write(folder)


def test_the_writer_of_a_process() -> None:
    """The writer has the user and group for files, which are the last of four, and all other groups."""
    assert parse_writer(STATUS) == Writer(13, frozenset({23, 4, 24}))
    for text in ("", "Uid:\t10\n", STATUS.replace("Gid", "Git"), STATUS.replace("Uid:\t10", "Uid:\tx")):
        assert parse_writer(text) is None, text
