"""Archives that another program opens: how they begin, and what that program says about them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.containers.decompress import ALONE, LZIP
from miltscan.core.containers.foreign import (
    Foreign,
    ListedFile,
    foreign_kind,
    is_proven,
    lzma_method,
    password_codes,
    read_errors,
    read_listing,
)
from miltscan.core.verdict import Limit
from tests.fakes.archives import as_alone, as_lzip, as_lzw, as_zstd

RULER = "------------------- ----- ------------ ------------  ------------------------\n"
ROWS = (
    "2026-11-29 15:08:44 ....A         3668          170  eicar.com\n"
    "1980-01-01 00:00:00 D....            0            0  a folder\n"
    "                    .....                            of unknown size\n"
    "                    ..... 1234567890123           12  moved columns\n"
)
HEAD = "Path = /proc/self/fd/3\nType = 7z\nMethod = {}\n\n   Date      Time    Attr         Size   Compressed  Name\n"
TOTALS = "2026-11-29 15:08:44               3668          170  1 files\n"
FILES = (ListedFile("eicar.com", 3668), ListedFile("of unknown size", None), ListedFile(" moved columns", None))


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4", Foreign.SEVEN_ZIP),
        (as_zstd(b"a"), Foreign.ZSTD),
        (b"\x5f\x2a\x4d\x18\4\0\0\0abcd" + as_zstd(b"a"), Foreign.ZSTD),
        (as_lzw(b"a"), Foreign.LZW),
        (b"MSWIM\0\0\0", Foreign.WIM),
        (b"\xed\xab\xee\xdb\3", Foreign.RPM),
        (b"xar!\0", Foreign.XAR),
        (b"hsqs\1", Foreign.SQUASHFS),
        (b"PK\3\4", None),
        (b"Rar!\x1a\7", None),
        (b"\x60\x2a\x4d\x18", None),
        (b"7z", None),
        (b"", None),
    ],
)
def test_archives_are_known_by_their_begin(head: bytes, kind: Foreign | None) -> None:
    """A zip is none of them: only its headers show whether it has to be opened."""
    assert foreign_kind(head) is kind


@pytest.mark.parametrize(
    ("head", "method"),
    [
        (as_alone(b"a"), ALONE),
        (as_lzip(b"a"), LZIP),
        (b"\x5d\0\0\x80\0" + b"\xff" * 8, ALONE),
        (b"\x5d\0\0\xc0\0" + bytes(8), ALONE),  # 1.5 times a power of two
        (b"\x5d\0\0\x90\0" + bytes(8), None),
        (b"\xe1\0\0\x80\0" + bytes(8), None),
        (b"\x5d\0\0\x80\0" + b"\0\0\0\0\x40\0\0\0", None),  # 256 GiB
        (b"\x5d\0\0\x80\0" + bytes(7), None),
        (bytes(20), None),
        (b"LZIP\0", None),
        (b"A text of a mail", None),
    ],
)
def test_lzma_is_known_by_its_begin(head: bytes, method: int | None) -> None:
    """A .lzma has no signature, but fields of which few values are possible."""
    assert lzma_method(head) == method


@pytest.mark.parametrize(
    ("kind", "method", "sealed"),
    [
        (Foreign.SEVEN_ZIP, "LZMA2:12 BCJ", False),
        (Foreign.SEVEN_ZIP, "LZMA2:12 7zAES", True),
        (Foreign.SEVEN_ZIP, "", False),
        (Foreign.ZIP, "7zAES", False),
    ],
)
def test_the_list_of_files(kind: Foreign, method: str, *, sealed: bool) -> None:
    """Folders are no files; a size outside its columns is unknown; the methods of a 7z say whether it is encrypted."""
    listing = read_listing(kind, HEAD.format(method) + RULER + ROWS + RULER + TOTALS)
    assert listing is not None
    assert (listing.files, listing.sealed) == (FILES, sealed)


@pytest.mark.parametrize(
    ("text", "proven"),
    [
        ("Path = a\nCRC = 5077AF47\nEncrypted = +\n\nPath = b\nCRC = \nEncrypted = -\n", True),
        ("Path = a\nCRC = 5077AF47\nEncrypted = +\n\nPath = b\nCRC = \nEncrypted = +\n", False),
        ("Path = CRC = 5077AF47\nEncrypted = +\nMethod = Copy 7zAES\nCRC = \n", False),
        ("", True),
    ],
)
def test_what_shows_that_a_password_fits(text: str, *, proven: bool) -> None:
    """A checksum of each encrypted file; one that is empty needs none."""
    assert is_proven(text) is proven


def test_a_comment_that_looks_like_the_list() -> None:
    """It stands above the real one, which alone counts."""
    listing = read_listing(Foreign.ZIP, f"Comment = \n{{\n{RULER}{ROWS}{RULER}}}\n{RULER}{ROWS[:63]}{RULER}{TOTALS}")
    assert listing is not None
    assert listing.files == FILES[:1]


@pytest.mark.parametrize("text", ["", "Errors: 1\n", RULER])
def test_no_list(text: str) -> None:
    """What 7-Zip cannot open has none."""
    assert read_listing(Foreign.WIM, text) is None


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("ERROR: Wrong password : a\nERROR: Wrong password : b\n", [Limit.ENCRYPTED, Limit.ENCRYPTED]),
        ("ERROR: Data Error in encrypted file. Wrong password? : a", [Limit.ENCRYPTED]),
        ("ERROR: /file : Cannot open encrypted archive. Wrong password?\n", [Limit.ENCRYPTED]),
        ("ERROR: /file\nCannot open encrypted archive. Wrong password?\n", [Limit.ENCRYPTED]),
        ("ERROR: Unsupported Method : a", [Limit.MALFORMED]),
        ("\n\nERROR: Can't allocate required memory!\n", [Limit.LIMITS]),
        ("\nSystem ERROR:\nerrno=1 : Operation not permitted\n", [Limit.LIMITS]),
        ("ERROR: Data Error : a", []),
        ("ERROR: Unsupported Method : Wrong password : a", [Limit.MALFORMED]),
        ("ERROR: CRC Failed : ERROR: Wrong password : a", []),
        ("ERRORS:\nUnexpected end of archive\n", []),
    ],
)
def test_errors(text: str, limits: list[Limit]) -> None:
    """Names within the archive decide nothing, and what is broken is no limit."""
    assert [limit for limit, _ in read_errors(text, "/file")] == limits


def test_a_password_of_a_zip_has_several_codes() -> None:
    """Programs for Windows encrypt zips by the code page of the country, others by UTF-8; 7z knows characters."""
    assert password_codes(Foreign.ZIP, "grün") == (b"gr\xc3\xbcn", b"gr\xfcn", b"gr\x81n")
    assert password_codes(Foreign.ZIP, "plain") == (b"plain",)
    assert password_codes(Foreign.SEVEN_ZIP, "grün") == (b"gr\xc3\xbcn",)


@given(st.binary(max_size=40), st.text(max_size=400), st.sampled_from(Foreign))
def test_nothing_makes_them_fail(head: bytes, text: str, kind: Foreign) -> None:
    """Bytes of a message and lines of a program are hostile."""
    foreign_kind(head)
    lzma_method(head)
    list(read_errors(text, "/file"))
    listing = read_listing(kind, RULER + text + "\n" + RULER)
    assert listing is not None
    assert all(one.size is None or one.size >= 0 for one in listing.files)
