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
from miltscan.core.contained import fault_of, may_contain
from miltscan.core.containers.budget import Budget, ContainerBounds, ContainerLimit
from miltscan.core.containers.decompress import decompress
from miltscan.core.containers.zip import read_zip
from miltscan.core.message import Content
from miltscan.core.mime.part import Part, Reading
from miltscan.core.verdict import Limit
from miltscan.scanning.spool import Spool

_COPIED = 2**20  # bytes; the file of a larger message is never used for another one, so it can be mapped
_MOST_FILES = 1000  # attachments and files in zips of one message that rules see
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
            self._looked_at(attachment_names(one.names), one.chunks, zipped=may_contain(one), depth=0)
            for one in reading.parts
            if not is_text(one)
        )
        yield from islice(every, _MOST_FILES)
        self.unseen = self.unseen or next(every, None) is not None

    def _looked_at(
        self, names: Sequence[str], chunks: Callable[[], Iterator[object]], *, zipped: bool, depth: int
    ) -> Iterator[Attachment]:
        head = next((bytes(one) for one in chunks() if isinstance(one, bytes | memoryview)), b"")[:_HEAD]
        zipped = zipped or head.startswith(b"PK")
        if depth > _DEPTH or not zipped:
            self.unseen = self.unseen or zipped
            yield look_at(names, head)
            return
        with closing(Spool(self.directory, self.memory)) as spool:
            _, fault = copy_part(chunks(), spool)
            archive = read_zip(bytes_of(spool, spool.size) if spool.size else b"", self.bounds)
            self.unseen = self.unseen or bool(archive.exceeded - {ContainerLimit.FILE}) or fault is not None
            members = archive.members
            yield look_at(names, head, {name for member in members for name in member.names})
            for member in members:
                inner = attachment_names((b"name", name) for name in member.names)
                packed = next(iter((*member.readings, *member.others)), None)
                content = partial(decompress, packed, self.budget) if packed else _no_content
                yield from self._looked_at(inner, content, zipped=False, depth=depth + 1)


def _no_content() -> Iterator[object]:
    """The pieces of a member that no reader can decode."""
    return iter(())


def bytes_of(content: Content, size: int) -> memoryview:
    """The first bytes of a spool. Raises OSError."""
    if size <= _COPIED:
        return memoryview(os.pread(content.fileno(), size, 0))
    return memoryview(mmap.mmap(content.fileno(), size, prot=mmap.PROT_READ))


def is_text(part: Part) -> bool:
    """Whether it is shown as text: scanned last, as most likely it is harmless."""
    return not part.names and all(one.startswith(b"text/") for one in part.types)


def copy_part(chunks: Iterator[object], spool: Spool) -> tuple[bytes, tuple[Limit, str] | None]:
    """Write the content of a part to the spool; return its digest, and why it is not complete. Raises SpoolError."""
    digest = hashlib.sha256()
    for chunk in chunks:
        if not isinstance(chunk, bytes | memoryview):
            return digest.digest(), fault_of(chunk)
        digest.update(chunk)
        spool.write(bytes(chunk))
    return digest.digest(), None
