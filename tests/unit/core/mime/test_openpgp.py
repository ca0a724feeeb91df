"""OpenPGP messages are recognized; signatures, keys and other data are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.mime.cms import CmsKind, read_cms
from miltscan.core.mime.openpgp import is_openpgp

ARMOR = b"-----BEGIN PGP MESSAGE-----\n\nhF4D\n-----END PGP MESSAGE-----\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ARMOR, True),
        (b"Hello,\r\n" + ARMOR, True),
        (b"you write -----BEGIN PGP MESSAGE-----", False),
        (b"-----BEGIN PGP SIGNATURE-----\n", False),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", False),
        (b"\x85\x01\x0c\x03key", True),
        (b"\x84\x5e\x03key", True),
        (b"\xc1\xc0\x4c\x03key", True),
        (b"\xc1\x5e\x06key", True),
        (b"\xc1\xff\0\0\1\0\x03key", True),
        (b"\xc1\xe1\x03key", True),
        (b"\x8c\x0d\x04password", True),
        (b"\x8c\x0d\x05password", True),
        (b"\xd2\x40\x01data", True),
        (b"\xd4\x40\x01data", True),
        (b"\xd4\x40\x00data", False),
        (b"\xd2\x40\x09\x01data", False),
        (b"\xc1\xe0\x03key", True),
        (b"\xc1\xdf\x00\x03key", True),
        (b"\x12\x40\x01data", False),
        (b"text\n\x20" + ARMOR, False),
        (b"\n" * 5000 + ARMOR, True),
        (b"\n" * 65_536 + ARMOR, False),
        (b"\x85\x01\x0c\x09key", False),
        (b"\xd2\x40", False),
        (b"\x99\x01\x0d\x04a public key", False),
        (b"\xd2", False),
        (b"", False),
        (b"PK\x03\x04", False),
    ],
)
def test_a_message_is_recognized(data: bytes, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """In armor at the begin of a line, or by the version of its first packet."""
    assert is_openpgp(data) is expected


def test_a_message_is_encrypted() -> None:
    """Nobody but its recipient can read it."""
    assert read_cms(ARMOR).kind is CmsKind.OPENPGP
    assert CmsKind.OPENPGP.encrypted


@given(st.binary(max_size=12))
def test_any_bytes_are_looked_at(data: bytes) -> None:
    """Nothing raises, in armor or not."""
    assert is_openpgp(data) in {True, False}
