"""The archives that another program has to open, by how they begin, and what 7-Zip reports about them. Pure; total.

Which ones, docs/detection.md has: those that clamd opens with every method of theirs are not here.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from miltscan.core.containers.decompress import ALONE, LZIP
from miltscan.core.verdict import Limit


class Foreign(StrEnum):
    """The forms of archives by the names that 7-Zip has for them; each is opened as what it is and nothing else."""

    SEVEN_ZIP = "7z"
    ZIP = "zip"
    ZSTD = "zstd"
    LZW = "Z"
    WIM = "wim"
    RPM = "Rpm"
    XAR = "Xar"
    SQUASHFS = "SquashFS"


NAMELESS = frozenset({Foreign.ZSTD, Foreign.LZW})
"""The forms that contain one file, without its name."""
_CODES = ("utf-8", "cp1252", "cp850", "cp1251", "cp866")


def password_codes(kind: Foreign, word: str) -> tuple[bytes, ...]:
    """The bytes that a word may be as a password: of a zip those of the code page where it was made, else UTF-8."""
    codes = [code for code in _CODES if word.encode(code, "ignore").decode(code) == word]
    return tuple(dict.fromkeys(word.encode(code) for code in (codes if kind is Foreign.ZIP else codes[:1])))


SEVEN_ZIP_BEGIN = b"7z\xbc\xaf\x27\x1c"
_MAGIC: Sequence[tuple[bytes, Foreign]] = (
    (SEVEN_ZIP_BEGIN, Foreign.SEVEN_ZIP),
    (b"\x28\xb5\x2f\xfd", Foreign.ZSTD),
    *((b"%c\x2a\x4d\x18" % first, Foreign.ZSTD) for first in range(0x50, 0x60)),  # a frame that is skipped (RFC 8878)
    (b"\x1f\x9d", Foreign.LZW),
    (b"MSWIM\0\0\0", Foreign.WIM),
    (b"\xed\xab\xee\xdb", Foreign.RPM),
    (b"xar!", Foreign.XAR),
    (b"hsqs", Foreign.SQUASHFS),
    (b"sqsh", Foreign.SQUASHFS),
)
FOREIGN_BEGINS = tuple(magic for magic, _ in _MAGIC)
"""The bytes by which one of them begins."""
_LZIP = b"LZIP\x01"
_LZMA_HEADER, _LARGEST_LZMA = 13, 1 << 38
_LAST_OF_SIZE = (b"\0", b"\xff")
"""The last byte of a .lzma's header, by which most other files are told apart."""
_MOST_PROPERTIES = 9 * 5 * 5
_UNKNOWN_SIZE = (1 << 64) - 1


def foreign_kind(head: bytes) -> Foreign | None:
    """The form of an archive that begins like this, a zip excepted."""
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def lzma_method(head: bytes) -> int | None:
    """The method (`decompress`) of a file that begins like this, if it is a .lz or a .lzma.

    A .lzma has no signature; the rule is that of liblzma (alone_decoder.c): fields that a compressor can have written.
    """
    if head[_LZMA_HEADER - 1 : _LZMA_HEADER] not in _LAST_OF_SIZE or head[0] >= _MOST_PROPERTIES:
        return LZIP if head.startswith(_LZIP) else None
    dictionary, size = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    lowest = dictionary & -dictionary
    power = dictionary in (lowest, lowest * 3)
    if head.startswith(_LZIP):
        return LZIP
    return ALONE if power and dictionary >= _SMALLEST and (size == _UNKNOWN_SIZE or size < _LARGEST_LZMA) else None


_SMALLEST = 4096  # bytes of a dictionary: smaller ones no compressor writes


class ListedFile(NamedTuple):
    """A file in an archive: its name, cleaned by 7-Zip of line ends only, and its size if the archive says it."""

    name: str
    size: int | None


class Listing(NamedTuple):
    """The files of an archive in the order of their content; `sealed` means a 7z with encrypted ones."""

    files: tuple[ListedFile, ...]
    sealed: bool


_RULER = "------------------- ----- ------------ ------------  "
_FOLDER, _SIZE, _SIZE_END, _NAME = 20, 26, 38, 53  # columns of the table
_METHOD, _AES = "Method = ", "7zAES"


def read_listing(kind: Foreign, text: str) -> Listing | None:
    """What `7zz l` prints; None if it has no table.

    Only the last table counts: a comment in front of it may look like one. Within it each file is one line.
    """
    lines = text.split("\n")
    rulers = [number for number, line in enumerate(lines) if line.startswith(_RULER)]
    if len(rulers) < 2:  # noqa: PLR2004 - one above the table, one below
        return None
    rows = lines[rulers[-2] + 1 : rulers[-1]]
    files = tuple(_listed(row) for row in rows if row[_FOLDER : _FOLDER + 1] != "D")
    method = next((line for line in lines[: rulers[0]] if line.startswith(_METHOD)), _METHOD)
    return Listing(files, kind is Foreign.SEVEN_ZIP and _AES in method)


def is_proven(text: str) -> bool:
    """Whether each encrypted file has a checksum, by `7zz l -slt` about a 7z: without one any password seems to fit."""
    return not any({"Encrypted = +", "CRC = "} <= {*block.split("\n")} for block in text.split("\n\n"))


def _listed(row: str) -> ListedFile:
    size = row[_SIZE:_SIZE_END].strip()
    aligned = row[_SIZE_END : _SIZE_END + 1] == " "  # a number that is too long moves the columns
    return ListedFile(row[_NAME:], int(size) if aligned and size.isdecimal() and size.isascii() else None)


_UNKNOWN_METHOD, _TOO_LARGE = "an unknown method of compression", "too much memory to decompress it"
_REASONS: Sequence[tuple[str, Limit, str]] = (
    ("Wrong password : ", Limit.ENCRYPTED, "encrypted"),
    ("Data Error in encrypted file. Wrong password? : ", Limit.ENCRYPTED, "encrypted"),
    ("CRC Failed in encrypted file. Wrong password? : ", Limit.ENCRYPTED, "encrypted"),
    ("Cannot open encrypted archive. Wrong password?", Limit.ENCRYPTED, "encrypted"),
    ("Headers Error in encrypted archive. Wrong password?", Limit.ENCRYPTED, "encrypted"),
    ("Unsupported Method : ", Limit.MALFORMED, _UNKNOWN_METHOD),
    ("Unsupported method", Limit.MALFORMED, _UNKNOWN_METHOD),
    ("Unsupported feature", Limit.MALFORMED, _UNKNOWN_METHOD),
    ("Can't allocate required memory", Limit.LIMITS, _TOO_LARGE),
    ("Cannot allocate memory", Limit.LIMITS, _TOO_LARGE),
    ("System ERROR:", Limit.LIMITS, "the system refused 7-Zip something"),
)
"""How lines of 7-Zip's errors begin (its ExtractCallbackConsole.cpp and OpenArchive.cpp), and what they mean here."""


def read_errors(text: str, archive: str) -> Iterator[tuple[Limit, str]]:
    """Why 7-Zip did not open all of an archive, by what it prints about the file `archive`.

    That the archive is broken is no reason: nobody can read it. Names of files within it are in these lines, but never
    at their begin.
    """
    for line in text.split("\n"):
        rest = line.removeprefix("ERROR: ").removeprefix(f"{archive} : ")
        yield from ((limit, why) for begin, limit, why in _REASONS if rest.startswith(begin))
