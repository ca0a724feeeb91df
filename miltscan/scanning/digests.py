"""SHA-256 of a message and of its parts, for the archive (docs/archive.md). It scans nothing and decides nothing.

What a scan of the parts has copied is hashed already, also what lies within archives. The rest is hashed here, without
a copy. Where the setting is off, no such object exists.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from miltscan.core.message import PREFACE, Message
from miltscan.core.mime.part import Part, Reading
from miltscan.scanning.files import bytes_of, forget_pages, is_text

_WINDOW = 2**20  # bytes between two signs of life for the MTA


@dataclass(slots=True)
class PartDigests:
    """The digests of one message, each once, `most` parts at most: attachments come before texts."""

    most: int
    detected: dict[bytes, None] = field(default_factory=dict)
    _known: dict[bytes, None] = field(default_factory=dict)
    _paths: set[str] = field(default_factory=set)

    def note(self, path: str, digest: bytes) -> None:
        """A part was copied completely, and has this digest."""
        self._paths.add(path)
        if len(self._known) < self.most:
            self._known[digest] = None

    def of(self, message: Message, reading: Reading, late: Callable[[], object]) -> tuple[bytes, ...]:
        """The digest of the message, then those of its parts; `late`, which is asked at each piece, ends the work."""
        content, whole = bytes_of(message.content, message.size, len(PREFACE)), hashlib.sha256()
        for begin in range(0, message.size, _WINDOW):
            late()
            whole.update(content[begin : begin + _WINDOW])
        forget_pages(content)
        for part in sorted(reading.parts, key=is_text):
            if len(self._known) >= self.most or late():
                break
            if part.path not in self._paths and (digest := _hashed(part, late)):
                self.note(part.path, digest)
        return (*dict.fromkeys((whole.digest(), *self._known)),)


def _hashed(part: Part, late: Callable[[], object]) -> bytes | None:
    """The digest of a part; None for an empty one, and where it is too late for all of it."""
    digest, empty = hashlib.sha256(), True
    for chunk in part.chunks():
        if late():
            return None
        digest.update(chunk)
        empty = empty and not chunk
    return None if empty else digest.digest()
