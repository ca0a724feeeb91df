"""The bytes of a message behind a descriptor, for every engine that sends them, and messages of our own in memory."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from miltscan.errors import SpoolError

_CHUNK = 128 * 1024  # bytes of a message held in memory at once


def file_chunks(descriptor: int, offset: int = 0) -> Iterator[bytes]:
    """The file's content from `offset` on, in chunks; raises SpoolError if it cannot be read."""
    try:
        while chunk := os.pread(descriptor, _CHUNK, offset):
            yield chunk
            offset += len(chunk)
    except OSError as error:
        raise SpoolError(f"cannot read the spooled message: {error}") from error


@contextmanager
def spooled(data: bytes) -> Iterator[int]:
    """A descriptor of a memory file with this content, like the spool of a small message."""
    descriptor = os.memfd_create("miltscan-canary")
    try:
        os.write(descriptor, data)  # memory takes it whole
        yield descriptor
    finally:
        os.close(descriptor)
