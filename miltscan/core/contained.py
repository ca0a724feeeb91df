"""What lies within a part of a message where an engine may not see it: the members of a zip. Pure.

A zip about which all readers agree is left to the engine, which opens it. Otherwise each member is one more part, in
each of its readings.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from miltscan.core.anomalies import ZipAnomaly
from miltscan.core.containers.budget import Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import BZIP2, DEFLATE, STORED, decompress
from miltscan.core.containers.zip import ZipArchive, ZipMember, read_zip
from miltscan.core.mime.closed import Decoding
from miltscan.core.mime.openpgp import is_openpgp
from miltscan.core.mime.part import Part
from miltscan.core.mime.transfer import decode_chunks
from miltscan.core.verdict import Limit

_OPENED = frozenset({STORED, DEFLATE, BZIP2})
"""The methods of zip that clamd decodes; it passes LZMA and xz over without a word."""
_TEXT = 64 * 1024  # bytes of a text in which an OpenPGP message may begin
_ARMOR = b"-----BEGIN PGP MESSAGE"
_PGP = (b".pgp", b".gpg", b".asc")
_HEAD = 64  # encoded bytes of a part that show what it is
_PACKED = 512  # compressed bytes of a member that show what it is


class Inner(NamedTuple):
    """Something within a part, by its path; `chunks` returns bytes in pieces, and at last a fault if there is one.

    What an engine sees anyway is not `hidden`, and is only to be looked into.
    """

    path: str
    chunks: Callable[[], Iterator[object]]
    hidden: bool = True


class Inside(NamedTuple):
    """What is within a part, what is odd about it, and why some of it cannot be scanned."""

    inner: tuple[Inner, ...] = ()
    anomalies: frozenset[str] = frozenset()
    limits: tuple[tuple[Limit, str], ...] = ()


def may_contain(part: Part) -> bool:
    """Whether a part may be a zip: by its type, its names or its first bytes."""
    if b"zip" in b" ".join(part.types) or any(b".zip" in name.value.lower() for name in part.names):
        return True
    return head_of(part, _HEAD).startswith(b"PK")


def is_encrypted(part: Part) -> bool:
    """Whether it is an OpenPGP message, or a text with one, that only its recipients can read."""
    if part.raw.nbytes > len(_ARMOR) and _ARMOR in bytes(part.raw[:_TEXT]):
        return is_openpgp(part.raw[:_TEXT])
    known = b"pgp" in b" ".join(part.types) or any(one.value.lower().endswith(_PGP) for one in part.names)
    return known and is_openpgp(head_of(part, _TEXT))


def head_of(part: Part, size: int) -> bytes:
    """The begin of a part: what `size` bytes of it decode to."""
    head = part.raw[:size]
    if part.decoding is Decoding.IDENTITY:
        return bytes(head)
    return b"".join(map(bytes, decode_chunks(head, part.decoding)))


def look_inside(path: str, content: bytes | memoryview, bounds: ContainerBounds, budget: Budget) -> Inside:
    """What is within the part of this path; `budget` is that of the message. The work is linear in the content."""
    archive = read_zip(content, bounds)
    limits = [(Limit.LIMITS, f"part {path}: {one} of a zip") for one in sorted(archive.exceeded)]
    if ZipAnomaly.METHOD_UNKNOWN in archive.anomalies:
        limits.append((Limit.MALFORMED, f"part {path}: a zip with an unknown method of compression"))
    if not archive.anomalies and all(one.method in _OPENED for member in archive.members for one in member.readings):
        inner, complete = _archives(path, archive, budget)
        limits += [] if complete else [(Limit.LIMITS, f"part {path}: the bounds of zips within it")]
        return Inside(inner, limits=tuple(limits))
    if any(member.encrypted for member in archive.members):
        limits.append((Limit.ENCRYPTED, f"part {path}: a member of a zip"))
    inner = tuple(one for member in archive.members for one in _readings(path, member, budget))
    return Inside(inner, frozenset(archive.anomalies), tuple(limits))


def _archives(path: str, archive: ZipArchive, budget: Budget) -> tuple[tuple[Inner, ...], bool]:
    """The zips in a zip about which all readers agree: about them they may not. And whether all were looked for."""
    found, complete = list[Inner](), True
    for member in archive.members:
        for packed in member.readings[:1]:
            # bzip2 decodes whole blocks only; of the others a few bytes tell, and cost the budget little
            head = packed if packed.method == BZIP2 else packed._replace(data=packed.data[:_PACKED], size=None)
            first = next(decompress(head, budget), b"")
            complete = complete and not isinstance(first, ContainerLimit)
            if isinstance(first, bytes | memoryview) and bytes(first[:2]) == b"PK":
                found.append(Inner(f"{path}/zip:{member.path}", partial(decompress, packed, budget), hidden=False))
    return tuple(found), complete


def _readings(path: str, member: ZipMember, budget: Budget) -> Iterator[Inner]:
    for packed in (*member.readings, *member.others):
        yield Inner(f"{path}/zip:{member.path}", partial(decompress, packed, budget))


def fault_of(piece: object) -> tuple[Limit, str] | None:
    """Why what follows cannot be scanned; None where a broken content ends, which nobody can read."""
    return (Limit.LIMITS, str(piece)) if isinstance(piece, ContainerLimit) else None
