"""Opens a file as it is, or as the stream that it contains in compressed form, which its content shows.

For the forms that Python does not know, the program that reads them is a child. It gets the open file, never its name.
"""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, cast

Command = tuple[str, ...]


class PackedError(Exception):
    """Why the content of a file cannot be read, or not completely; fit for a user."""


@dataclass(frozen=True, slots=True)
class _Form:
    """A form of compression: how files begin, and how to read it: by Python, or by the first program that exists."""

    name: str
    begins: tuple[bytes, ...]
    open: Callable[[IO[bytes]], object] | None = None
    commands: tuple[Command, ...] = ()


_FORMS = (
    _Form("gzip", (b"\x1f\x8b",), gzip.open),
    _Form("bzip2", (b"BZh",), bz2.open),
    _Form("xz", (b"\xfd7zXZ",), lzma.open),
    # the second form begins with a frame that is skipped, as pzstd writes it
    _Form("zstd", (b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18"), commands=(("zstd", "-dcq"), ("zstdcat",))),
    _Form("lz4", (b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"), commands=(("lz4", "-dcq"),)),
    _Form("compress", (b"\x1f\x9d",), commands=(("uncompress", "-c"), ("gzip", "-dc"))),
    _Form("lzip", (b"LZIP",), commands=(("lzip", "-dcq"),)),
    _Form("lzop", (b"\x89LZO",), commands=(("lzop", "-dcq"),)),
    _Form("zip", (b"PK\x03\x04",), commands=(("funzip",),)),
    _Form("7z", (b"7z\xbc\xaf\x27\x1c",)),
)
_LONGEST = max(len(begin) for form in _FORMS for begin in form.begins)


@contextmanager
def unpacked(raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """The content of an open file. Raises PackedError, at the end as well, and what Python's own readers raise."""
    if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
        raise PackedError("is not a regular file, and logs are read several times: write its content to a file")
    start = os.pread(raw.fileno(), _LONGEST, 0)  # a child begins where the descriptor stands
    form = next((form for form in _FORMS if start.startswith(form.begins)), None)
    if form is None:
        yield raw
    elif form.open:
        with cast("IO[bytes]", form.open(raw)) as stream:
            yield stream
    else:
        with _through(_command(form), raw, form.name) as stream:
            yield stream


def _command(form: _Form) -> Command:
    for command in form.commands:
        if shutil.which(command[0]):
            return command
    remedy = f"install {form.commands[0][0]}" if form.commands else "unpack it"
    raise PackedError(f"compressed by {form.name}, cannot be read: {remedy}")


@contextmanager
def _through(command: Sequence[str], raw: IO[bytes], name: str) -> Iterator[IO[bytes]]:
    """What a program writes that reads the file; its status says whether the file is complete."""
    with subprocess.Popen(  # noqa: S603 - a fixed command without a shell
        command, stdin=raw, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        try:
            yield cast("IO[bytes]", child.stdout)
            if status := child.wait():
                raise PackedError(
                    f"compressed by {name}, cannot be read to its end: {command[0]} exited with status {status}"
                )
        finally:
            child.kill()
