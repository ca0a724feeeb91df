"""Opaque S/MIME by hand: signed and compressed messages in every form of lengths and strings."""

import zlib
from collections.abc import Callable

ENTITY = b"Content-Type: text/plain\r\n\r\n" + b"a signed line\r\n" * 2000
PKCS7 = bytes.fromhex("06092a864886f70d0107")
DATA, SIGNED, ENVELOPED = (PKCS7 + bytes([number]) for number in (1, 2, 3))
COMPRESSED = bytes.fromhex("060b2a864886f70d0109100109")
VERSION, ALGORITHMS = b"\x02\x01\x01", b"\x31\x0d\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
SIGNERS = b"\x31\x00"
NULL = b"\x05\x00"


def element(tag: int, *contents: bytes) -> bytes:
    """An element of definite length; its length takes four bytes."""
    joined = b"".join(contents)
    return bytes([tag, 0x84]) + len(joined).to_bytes(4, "big") + joined


def open_element(tag: int, *contents: bytes) -> bytes:
    """An element of indefinite length."""
    return bytes([tag, 0x80]) + b"".join(contents) + b"\0\0"


Maker = Callable[..., bytes]


def message(kind: bytes, octets: bytes, make: Maker = element, inner: bytes = DATA) -> bytes:
    """A message of a kind whose content is in `octets`, an element."""
    content = make(0x30, inner, make(0xA0, octets))
    algorithm = b"\x30\x0d\x06\x0b*\x86H\x86\xf7\r\x01\t\x10\x03\x08" if kind == COMPRESSED else ALGORITHMS
    return make(0x30, kind, make(0xA0, make(0x30, VERSION, algorithm, content, SIGNERS)))


def pieces(size: int, make: Maker = element) -> list[bytes]:
    """The entity as octet strings of `size` bytes each."""
    return [make(0x04, ENTITY[at : at + size]) for at in range(0, len(ENTITY), size)]


FORMS = {
    "definite": message(SIGNED, element(0x04, ENTITY)),
    "indefinite around it": message(SIGNED, element(0x04, ENTITY), open_element),
    "pieces": message(SIGNED, element(0x24, *pieces(1000))),
    "pieces, indefinite": message(SIGNED, open_element(0x24, *pieces(1000)), open_element),
    "pieces of one byte": message(SIGNED, open_element(0x24, *pieces(1)), open_element),
    "pieces of pieces": message(
        SIGNED, open_element(0x24, element(0x24, *pieces(999)[:5]), open_element(0x24, *pieces(999)[5:]))
    ),
    "long tags in front": message(SIGNED, element(0x04, ENTITY)).replace(VERSION, b"\x3f\x81\x01\x01\x01"),
    "compressed": message(COMPRESSED, element(0x04, zlib.compress(ENTITY))),
    "signed, then compressed": message(
        COMPRESSED, element(0x04, zlib.compress(message(SIGNED, element(0x04, ENTITY))))
    ),
    "compressed, then signed": message(
        SIGNED, element(0x04, message(COMPRESSED, element(0x04, zlib.compress(ENTITY)))), inner=COMPRESSED
    ),
    "signed twice, one type in front": message(
        SIGNED,
        element(0x04, element(0x30, VERSION, ALGORITHMS, element(0x30, DATA, element(0xA0, element(0x04, ENTITY))))),
        inner=SIGNED,
    ),
    "behind the content": message(SIGNED, element(0x04, ENTITY)) + b"more",
    "data": element(0x30, DATA, element(0xA0, element(0x04, ENTITY))),
}
