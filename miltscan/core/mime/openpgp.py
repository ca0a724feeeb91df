"""Recognizes an OpenPGP message (RFC 9580, RFC 3156), which only its recipient can read. Pure; never raises.

A message in armor that is signed and not encrypted looks alike, and is not readable here either. Signatures and keys
are no messages.
"""

_ARMOR = b"-----BEGIN PGP MESSAGE"
_LOOKED_AT = 64 * 1024  # bytes: text may stand in front of the armor
_NEW_FORMAT, _PACKET = 0x40, 0x80
_LENGTHS = {0: 1, 1: 2, 2: 4, 3: 0}
"""Bytes of the length of a packet in the old format, by its type (RFC 9580 4.2.2)."""
_VERSIONS = {1: (3, 6), 3: (4, 5, 6), 18: (1, 2), 20: (1,)}
"""Versions of the packets that begin a binary message, by type: keys by recipient or password, and encrypted data."""


def is_openpgp(data: bytes | memoryview) -> bool:
    """Whether `data` have an armored message in their beginning, or are a binary one."""
    head = bytes(data[:_LOOKED_AT])
    found = head.find(_ARMOR)
    return found == 0 or (found > 0 and head[found - 1] in b"\r\n") or _begins_binary(head)


def _begins_binary(head: bytes) -> bool:
    tag = head[0] if head else 0
    if not tag & _PACKET:
        return False
    if tag & _NEW_FORMAT:
        kind, length = tag & 0x3F, _new_length(head[1:2])
    else:
        kind, length = tag >> 2 & 0x0F, _LENGTHS[tag & 3]
    version = head[1 + length : 2 + length]
    return bool(version) and version[0] in _VERSIONS.get(kind, ())


def _new_length(first: bytes) -> int:
    """Bytes of the length of a packet in the new format, of which this is the first (RFC 9580 4.2.1)."""
    if first < b"\xc0" or b"\xe0" <= first < b"\xff":
        return 1
    return 2 if first < b"\xe0" else 5
