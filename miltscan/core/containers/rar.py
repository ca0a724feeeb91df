"""Where a rar begins: at the first byte, or behind a program that extracts it. Pure. It opens none: clamd does."""

import re

from miltscan.core.containers.budget import MIB
from miltscan.core.containers.zip_headers import positions

RAR_BEGIN = b"Rar!\x1a\x07"
PROGRAM_BEGINS = (b"MZ", b"\x7fELF")
RAR_NAMES = re.compile(r"\.(?:rar|r\d\d|cbr)$", re.IGNORECASE)
"""Extensions that a mail program opens by a program for rar, whatever stands in front of it."""
_SIGNATURES = (RAR_BEGIN + b"\0", RAR_BEGIN + b"\1\0")  # of RAR 1.5 to 4, and of 5
_LOOKED = 4 * MIB  # bytes in which unrar looks for it (rardefs.hpp: MAXSFXSIZE)


def rar_behind(content: memoryview) -> bool:
    """Whether something else stands in front of a rar. A zip does not count: what is in it is looked into by itself."""
    if bytes(content[:2]) == b"PK":
        return False
    return any(next(positions(content[:_LOOKED], one), None) is not None for one in _SIGNATURES)
