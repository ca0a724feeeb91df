"""What lies within a part of a message where an engine may not see it: the files of an archive. Pure.

A zip about which all readers agree is left to the engine, which opens it. Otherwise each member is one more part, in
each of its readings. So is what ar, .lz and .lzma contain. What the engine opens, as zip, tar, .gz, .bz2 and .xz, is
looked into all the same: for archives within it that the engine does not open. Others are only recognized here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

from miltscan.core.anomalies import ZipAnomaly
from miltscan.core.attachment_names import every_name
from miltscan.core.attachments import Attachment
from miltscan.core.containers.ar import AR_MAGIC, ar_members
from miltscan.core.containers.behind import PROGRAM_BEGINS, RAR_BEGIN, RAR_NAMES, has_rar, seven_zip_behind
from miltscan.core.containers.budget import MIB, Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import BZIP2, DEFLATE, STORED, Packed, decompress
from miltscan.core.containers.foreign import FOREIGN_BEGINS, Foreign, foreign_kind, lzma_method
from miltscan.core.containers.streams import STREAM_BEGINS, StreamFile, may_go_on, stream_file
from miltscan.core.containers.tar import TAR_END, TAR_HEAD, as_tar, is_tar, tar_members, tar_size
from miltscan.core.containers.zip import ZipArchive, read_zip
from miltscan.core.containers.zip_headers import CENTRAL, END, LOCAL, positions
from miltscan.core.mime.closed import Decoding
from miltscan.core.mime.openpgp import is_openpgp
from miltscan.core.mime.part import Part
from miltscan.core.mime.transfer import decode_chunks
from miltscan.core.verdict import Limit

_OPENED = frozenset({STORED, DEFLATE, BZIP2})
"""The methods of zip that clamd decodes; it passes LZMA and xz over without a word."""
_BEGINS = (b"PK", AR_MAGIC, RAR_BEGIN, *FOREIGN_BEGINS, *STREAM_BEGINS)
_FIRST_BYTES = frozenset(begin[:1] for begin in _BEGINS)
_TEXT = 64 * 1024  # bytes of a text in which an OpenPGP message may begin
_ARMOR = b"-----BEGIN PGP MESSAGE"
_ZIP_NAMES = re.compile(
    r"\.(?:zip|jar|[we]ar|apk|aab|ipa|xap|xpi|crx|(?:msix|appx)(?:bundle)?|nupkg|vsix|whl|kmz|cbz|epub|3mf|o?xps|thmx|"
    r"(?:doc|dot|ppt|pot|pps|sld|xls|xlt|xla|vsd|vst|vss)[xm]|xlsb|o[dt][tspgfbm])",
    re.IGNORECASE,
)
"""Extensions of formats whose programs find the zip by its end, whatever stands in front of it."""
_PGP = (".pgp", ".gpg", ".asc")
_ALONE = 50
"""Up to so many files of an archive are scanned one by one, and more together: a few scans of thousands of files."""
_TOGETHER = 32 * MIB  # bytes of a tar of files that are scanned together
_HEAD = TAR_HEAD  # bytes that show what it is
_ENCODED = 2 * _HEAD  # encoded bytes of a part that decode to as many, in base64
_PACKED = 1024  # compressed bytes of a member that show what it is


class Inner(NamedTuple):
    """Something within a part, by its path; `chunks` returns bytes in pieces, and at last a fault if there is one.

    What an engine sees anyway is not `hidden`, and is only to be looked into.
    """

    path: str
    chunks: Callable[[], Iterator[object]]
    hidden: bool = True


Reason = tuple[Limit, str]


class Inside(NamedTuple):
    """What is within a part, what is odd about it, and why some of it cannot be scanned.

    `foreign` is the form of an archive that another program has to open; `unless_opened` is why the engine's verdict
    does not suffice where it is not opened. `unlocked` means that it was, by a password. `files` are the facts about
    what is in it, for rules. `holds` means that it is an archive, and not an empty one. `alone` are all files of an
    archive that the engine opens, of which else only the archives are looked into. `rar` means that it is one, or in
    front of one, which clamd opens only with a library of its own.
    """

    inner: tuple[Inner, ...] = ()
    anomalies: frozenset[str] = frozenset()
    limits: tuple[Reason, ...] = ()
    foreign: Foreign | None = None
    unless_opened: tuple[Reason, ...] = ()
    unlocked: bool = False
    files: tuple[Attachment, ...] = ()
    holds: bool = False
    alone: tuple[Inner, ...] = ()
    rar: bool = False

    def opened(self, found: "Inside", *, unlocked: bool) -> "Inside":
        """The same where the archive was opened completely; `found` is what is within."""
        inner = (*self.inner, *found.inner)
        return self._replace(inner=inner, foreign=None, unless_opened=(), unlocked=unlocked, files=found.files)

    def unopened(self, *faults: Reason, found: "Inside | None" = None) -> "Inside":
        """The same where it was not, for these reasons; `found` is what is known of it."""
        limits = (*self.limits, *self.unless_opened, *faults)
        inner, files = (found.inner, found.files) if found else ((), ())
        return self._replace(inner=(*self.inner, *inner), limits=limits, foreign=None, unless_opened=(), files=files)


def may_contain(part: Part) -> bool:
    """Whether a part may be an archive to look into: by its type, its names or its first bytes."""
    head = head_of(part, _ENCODED)
    return head.startswith(PROGRAM_BEGINS) or is_container(head) or named_zip(part) or _named(part, RAR_NAMES, b"rar")


def may_be_zip(part: Part) -> bool:
    """Whether a part may be a zip."""
    return named_zip(part) or head_of(part, _ENCODED).startswith(b"PK")


def is_container(head: bytes) -> bool:
    """Whether what begins like this may be an archive to look into. Asked of each part of each message."""
    begins = head[:1] in _FIRST_BYTES and head.startswith(_BEGINS)
    return begins or lzma_method(head) is not None or is_tar(head)


def named_zip(part: Part) -> bool:
    """Whether a part has the name of a zip, or of one of the many formats that are zips."""
    return _named(part, _ZIP_NAMES, b"zip")


def _named(part: Part, names: re.Pattern[str], kind: bytes) -> bool:
    return (bool(part.names) and any(map(names.search, every_name(part.names)))) or kind in b" ".join(part.types)


def is_encrypted(part: Part) -> bool:
    """Whether it is an OpenPGP message, or a text with one, that only its recipients can read."""
    if part.raw.nbytes > len(_ARMOR) and _ARMOR in bytes(part.raw[:_TEXT]):
        return is_openpgp(part.raw[:_TEXT])
    known = b"pgp" in b" ".join(part.types) or any(one.lower().endswith(_PGP) for one in every_name(part.names))
    return known and is_openpgp(head_of(part, _TEXT))


def head_of(part: Part, size: int) -> bytes:
    """The begin of a part: what `size` bytes of it decode to."""
    head = part.raw[:size]
    if part.decoding is Decoding.IDENTITY:
        return bytes(head)
    return b"".join(map(bytes, decode_chunks(head, part.decoding)))


def look_inside(path: str, content: bytes | memoryview, bounds: ContainerBounds, budget: Budget) -> Inside:
    """What is within the part of this path; `budget` is that of the message. The work is linear in the content."""
    view = memoryview(content)
    if (inside := _by_its_begin(path, view, bounds, budget)) is None:
        inside = _in_zip(path, read_zip(content, bounds), budget)
    elif not _zips_are_within(view):
        # readers of zips look at the end, whatever stands in front
        zipped = _in_zip(path, read_zip(content, bounds), budget)
        limits = (*inside.limits, *zipped.limits, *zipped.unless_opened)
        inside = inside._replace(inner=(*inside.inner, *zipped.inner), anomalies=zipped.anomalies, limits=limits)
    return _behind(path, view, bounds, inside)


def _zips_are_within(content: memoryview) -> bool:
    """Whether all records of zips stand in archives that are looked into by themselves, as the documents in a tar."""
    if next(positions(content, END), None) is None:
        return True
    members = [one for one in tar_members(content) if is_container(bytes(one[:_HEAD]))] if is_tar(content) else []
    return all(
        sum(1 for _ in positions(content, kind)) == sum(1 for one in members for _ in positions(one, kind))
        for kind in (LOCAL, CENTRAL, END)
    )


def _by_its_begin(path: str, content: memoryview, bounds: ContainerBounds, budget: Budget) -> Inside | None:
    """What is within an archive that is known by its first bytes; None for all others."""
    head = bytes(content[:_HEAD])
    if foreign := foreign_kind(head):
        return Inside(foreign=foreign, holds=True)
    if method := lzma_method(head):
        packed = Packed(method, content, None)
        return Inside((Inner(f"{path}/lzma:0", partial(decompress, packed, budget)),), holds=True)
    if head.startswith(AR_MAGIC):
        members = [one for one in ar_members(content, bounds) if len(one)]
        exceeded = len(members) > bounds.members
        limits = ((Limit.LIMITS, f"part {path}: {ContainerLimit.MEMBERS} of an ar"),) if exceeded else ()
        pieces = partial(pieces_of, most=bounds.file)
        inner = tuple(files_within(f"{path}/ar", members, pieces, bounds.file))
        return Inside(inner, limits=limits, holds=bool(members))
    if form := stream_file(head):
        return _in_stream(path, form, content, budget)
    return _in_tar(path, content, bounds) if is_tar(head) else None


def _behind(path: str, content: memoryview, bounds: ContainerBounds, found: Inside) -> Inside:
    """The same, and a rar, or a 7z behind the program that extracts it, whatever else the begin may be read as."""
    rar, archive = has_rar(content), seven_zip_behind(content)
    inner = (Inner(f"{path}/sfx:0", partial(pieces_of, archive, bounds.file)),) if archive else ()
    return found._replace(rar=rar, inner=found.inner + inner, holds=bool(found.holds or rar or inner))


def _in_stream(path: str, form: StreamFile, content: memoryview, budget: Budget) -> Inside:
    """What a .gz, .bz2 or .xz decodes to, if it may be an archive, or more than the engine decodes."""
    packed = Packed(form.method, content, None)
    first, hidden = next(decompress(packed, budget), b""), may_go_on(form, content)
    if not hidden and isinstance(first, bytes | memoryview) and not is_container(bytes(first[:_HEAD])):
        return Inside(holds=True)
    file = Inner(f"{path}/{form.name}:0", partial(decompress, packed, budget), hidden)
    return Inside((file,), holds=True, alone=() if hidden else (file._replace(hidden=True),))


def _in_tar(path: str, content: memoryview, bounds: ContainerBounds) -> Inside:
    """The archives in a tar; the engine opens the tar itself."""
    members = [*islice(tar_members(content), bounds.members + 1)]
    files = [
        Inner(f"{path}/tar:{number}", partial(pieces_of, member, bounds.file)) for number, member in enumerate(members)
    ]
    archives = [
        file._replace(hidden=False)
        for file, member in zip(files[: bounds.members], members, strict=False)
        if is_container(bytes(member[:_HEAD]))
    ]
    exceeded = len(members) > bounds.members
    limits = ((Limit.LIMITS, f"part {path}: {ContainerLimit.MEMBERS} of a tar"),) if exceeded else ()
    alone = tuple(files) if archives and len(files) <= _ALONE else ()
    return Inside(tuple(archives), limits=limits, holds=bool(members), alone=alone)


def files_within(
    prefix: str, files: Sequence[memoryview], pieces: Callable[[memoryview], Iterator[object]], largest: int
) -> Iterator[Inner]:
    """The files of an archive as parts; many are scanned together, except what may be an archive itself.

    `largest` is the bound on a file: an engine would not scan more of them together either.
    """
    waiting: list[tuple[int, memoryview]] = []
    size, most = 0, min(_TOGETHER, largest) - TAR_END
    for number, file in enumerate(files):
        if len(files) <= _ALONE or tar_size(len(file)) > most or is_container(bytes(file[:_HEAD])):
            yield Inner(f"{prefix}:{number}", partial(pieces, file))
            continue
        if waiting and size + tar_size(len(file)) > most:
            yield _together(prefix, waiting)
            waiting, size = [], 0
        waiting.append((number, file))
        size += tar_size(len(file))
    if waiting:
        yield _together(prefix, waiting)


def _together(prefix: str, numbered: Sequence[tuple[int, memoryview]]) -> Inner:
    files = [file for _, file in numbered]
    return Inner(f"{prefix}:{numbered[0][0]}-{numbered[-1][0]}", partial(as_tar, files))


def pieces_of(file: memoryview, most: int) -> Iterator[memoryview | ContainerLimit]:
    """A file in pieces of a MiB; the bound if it has more than `most` bytes, which an engine would not scan."""
    if len(file) > most:
        yield ContainerLimit.FILE
        return
    yield from (file[begin : begin + MIB] for begin in range(0, len(file), MIB))


def _in_zip(path: str, archive: ZipArchive, budget: Budget) -> Inside:
    limits = [(Limit.LIMITS, f"part {path}: {one} of a zip") for one in sorted(archive.exceeded)]
    sealed, holds = any(member.encrypted for member in archive.members), bool(archive.members)
    if not archive.anomalies and all(one.method in _OPENED for member in archive.members for one in member.readings):
        inner, complete = _archives(path, archive, budget)
        limits += [] if complete else [(Limit.LIMITS, f"part {path}: the bounds of zips within it")]
        alone = _files(path, archive, budget) if inner and not sealed and len(archive.members) <= _ALONE else ()
        foreign = Foreign.ZIP if sealed else None
        return Inside(inner, limits=tuple(limits), foreign=foreign, holds=holds, alone=alone)
    unless_opened = [(Limit.ENCRYPTED, f"part {path}: a member of a zip")] if sealed else []
    if ZipAnomaly.METHOD_UNKNOWN in archive.anomalies:
        unless_opened.append((Limit.MALFORMED, f"part {path}: a zip with an unknown method of compression"))
    inner = _files(path, archive, budget)
    foreign, anomalies = Foreign.ZIP if unless_opened else None, frozenset(archive.anomalies)
    if anomalies - {ZipAnomaly.METHOD_UNKNOWN}:  # the program that opens it sees only one of the readings
        return Inside(inner, anomalies, (*limits, *unless_opened), foreign, holds=holds)
    return Inside(inner, anomalies, tuple(limits), foreign, tuple(unless_opened), holds=holds)


def _archives(path: str, archive: ZipArchive, budget: Budget) -> tuple[tuple[Inner, ...], bool]:
    """The archives in a zip about which all readers agree: about them they may not. And whether all were looked for."""
    found, complete = list[Inner](), True
    for member in archive.members:
        for packed in member.readings[:1]:
            # bzip2 decodes whole blocks only; of the others a few bytes tell, and cost the budget little
            head = packed if packed.method == BZIP2 else packed._replace(data=packed.data[:_PACKED], size=None)
            first = next(decompress(head, budget), b"")
            complete = complete and not isinstance(first, ContainerLimit)
            if isinstance(first, bytes | memoryview) and is_container(bytes(first[:_HEAD])):
                found.append(Inner(f"{path}/zip:{member.path}", partial(decompress, packed, budget), hidden=False))
    return tuple(found), complete


def _files(path: str, archive: ZipArchive, budget: Budget) -> tuple[Inner, ...]:
    """Every member in each of its readings."""
    return tuple(
        Inner(f"{path}/zip:{member.path}", partial(decompress, packed, budget))
        for member in archive.members
        for packed in (*member.readings, *member.others)
    )


def fault_of(piece: object) -> tuple[Limit, str] | None:
    """Why what follows cannot be scanned; None where a broken content ends, which nobody can read."""
    return (Limit.LIMITS, str(piece)) if isinstance(piece, ContainerLimit) else None
