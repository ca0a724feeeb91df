"""A rar, wherever unrar finds it in a file, and a 7z behind the program that extracts it. Pure."""

import re
from zlib import crc32

from miltscan.core.containers.budget import MIB
from miltscan.core.containers.foreign import SEVEN_ZIP_BEGIN
from miltscan.core.containers.zip_headers import positions

RAR_BEGIN = b"Rar!\x1a\x07"
PROGRAM_BEGINS = (b"MZ", b"\x7fELF")
RAR_NAMES = re.compile(r"\.(?:rar|r\d\d|cbr)", re.IGNORECASE)
"""Extensions of files that are opened by a program which looks for the rar, whatever stands in front of it."""
_RARS = (RAR_BEGIN + b"\0", RAR_BEGIN + b"\1\0")  # RAR 1.5 to 4, and 5
_RAR_LOOKED = 4 * MIB  # bytes in which unrar looks for it (rardefs.hpp: MAXSFXSIZE)
_SEVEN_ZIP_LOOKED = 8 * MIB  # bytes in which 7-Zip 26.02 does; in a file named .7z it does not look
_START = 32  # bytes of the first header of a 7z


def has_rar(content: memoryview) -> bool:
    """Whether it is a rar, or something in front of one that unrar finds."""
    begins = bytes(content[: len(RAR_BEGIN)]) == RAR_BEGIN
    return begins or any(next(positions(content[:_RAR_LOOKED], one), None) is not None for one in _RARS)


def seven_zip_behind(content: memoryview) -> memoryview | None:
    """The 7z behind a program, with all that follows it; for 7-Zip, too, the first one counts."""
    if not bytes(content[:4]).startswith(PROGRAM_BEGINS):
        return None
    found = positions(content[:_SEVEN_ZIP_LOOKED], SEVEN_ZIP_BEGIN)
    return next((content[at:] for at in found if _is_whole(content[at : at + _START])), None)


def _is_whole(start: memoryview) -> bool:
    """Whether the first header of a 7z is one: the four bytes behind its version are a checksum of the rest."""
    return len(start) == _START and int.from_bytes(start[8:12], "little") == crc32(start[12:])
