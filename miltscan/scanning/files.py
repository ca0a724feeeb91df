"""Files within a message: their bytes behind a spool, and what rules may ask about them. It scans nothing."""

import hashlib
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

from miltscan.core.attachment_names import attachment_names
from miltscan.core.attachments import Attachment, look_at
from miltscan.core.contained import fault_of, head_of, may_be_zip
from miltscan.core.containers.budget import Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import decompress
from miltscan.core.containers.zip import ZipMember, read_zip
from miltscan.core.message import Content
from miltscan.core.mime.part import Part, Reading
from miltscan.core.verdict import Limit
from miltscan.scanning.spool import Spool

COPIED = 2**20
"""Bytes up to which a message is copied; the file of a larger one is never used for another one, and is mapped."""
MOST_FILES = 1000
"""Attachments and files in zips of one message that rules see; and as many in other archives."""
_DEPTH = 4  # zips within each other in which files are looked for
_HEAD = 64 * 1024  # bytes by which the type of a file is known


@dataclass(slots=True)
class MessageFiles:
    """The attachments of one message, and the files in its zips; `directory` and `memory` as for its spool.

    `unseen` means that there are more than a bound allows.
    """

    directory: Path
    memory: int
    bounds: ContainerBounds
    budget: Budget
    unseen: bool = False

    def of(self, reading: Reading) -> Iterator[Attachment]:
        """All of them, up to the bound; a text without a name is none. Raises OSError, SpoolError."""
        every = chain.from_iterable(
            self._looked_at(
                attachment_names(one.names), head_of(one, 2 * _HEAD), one.chunks, zipped=may_be_zip(one), depth=0
            )
            for one in reading.parts
            if not is_text(one)
        )
        yield from islice(every, MOST_FILES)
        self.unseen = self.unseen or reading.limit is not None or next(every, None) is not None

    def _looked_at(
        self, names: Sequence[str], head: bytes, chunks: Callable[[], Iterator[object]], *, zipped: bool, depth: int
    ) -> Iterator[Attachment]:
        if depth > _DEPTH or not zipped:
            self.unseen = self.unseen or zipped
            yield look_at(names, head[:_HEAD])
            return
        with closing(Spool(self.directory, self.memory)) as spool:
            _, fault = copy_part(chunks(), spool, self.budget)
            archive = read_zip(bytes_of(spool, spool.size) if spool.size else b"", self.bounds)
            self.unseen = self.unseen or bool(archive.exceeded - {ContainerLimit.FILE}) or fault is not None
            members = archive.members
            yield look_at(names, head[:_HEAD], {name for member in members for name in member.names})
            for member in members:
                yield from self._member(member, depth + 1)

    def _member(self, member: ZipMember, depth: int) -> Iterator[Attachment]:
        """A file in a zip, by the first of its readings; what no reader can decode has no content."""
        packed = next(iter((*member.readings, *member.others)), None)
        content = partial(decompress, packed, self.budget) if packed else partial(iter, ())
        first = next(content(), b"")
        self.unseen = self.unseen or isinstance(first, ContainerLimit)
        head = bytes(first) if isinstance(first, bytes | memoryview) else b""
        names = attachment_names((b"name", name) for name in member.names)
        yield from self._looked_at(names, head, content, zipped=head.startswith(b"PK"), depth=depth)


def bytes_of(content: Content, size: int, start: int = 0) -> bytes | memoryview:
    """So many bytes of a spool from an offset on. Raises OSError."""
    if size <= COPIED:
        return os.pread(content.fileno(), size, start)
    return memoryview(mmap.mmap(content.fileno(), start + size, prot=mmap.PROT_READ))[start:]


def forget_pages(content: bytes | memoryview) -> None:
    """Give the pages of a mapped file back, which else count as memory of the process until its message ends."""
    if isinstance(content, memoryview) and isinstance(content.obj, mmap.mmap):
        content.obj.madvise(mmap.MADV_DONTNEED)


def is_text(part: Part) -> bool:
    """Whether it is shown as text: scanned last, as most likely it is harmless."""
    return not part.names and all(one.startswith(b"text/") for one in part.types)


def copy_part(chunks: Iterator[object], spool: Spool, budget: Budget) -> tuple[bytes, tuple[Limit, str] | None]:
    """Write the content of a part to the spool; return its digest, and why it is not complete. Raises SpoolError."""
    digest = hashlib.sha256()
    for chunk in chunks:
        if late := budget.late():
            return digest.digest(), fault_of(late)
        if not isinstance(chunk, bytes | memoryview):
            return digest.digest(), fault_of(chunk)
        digest.update(chunk)
        spool.write(chunk)
    return digest.digest(), None
