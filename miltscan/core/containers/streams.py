"""Recognizes the files .gz, .bz2 and .xz. An engine decodes them; within them may be what it does not. Pure."""

from typing import NamedTuple

from miltscan.core.containers.decompress import BZIP2_FILE, GZIP_FILE, XZ_FILE
from miltscan.core.containers.zip_headers import positions


class StreamFile(NamedTuple):
    """A format whose files are compressed streams, one behind the other."""

    name: str
    method: int
    """That of `decompress`."""
    begin: bytes


_FORMS = (
    StreamFile("gz", GZIP_FILE, b"\x1f\x8b\x08"),
    StreamFile("bz2", BZIP2_FILE, b"BZh"),
    StreamFile("xz", XZ_FILE, b"\xfd7zXZ\0"),
)
STREAM_BEGINS = tuple(one.begin for one in _FORMS)
"""The bytes by which one of them begins."""


def stream_file(head: bytes) -> StreamFile | None:
    """The form of a file that begins like this."""
    return next((one for one in _FORMS if head.startswith(one.begin)), None)


def may_go_on(form: StreamFile, data: memoryview) -> bool:
    """Whether there may be a second stream: clamd decodes none of those of a .bz2, nor one behind zeros in a .gz."""
    return next(positions(data[1:], form.begin), None) is not None
