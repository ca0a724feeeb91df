"""Reads a small file that the settings name; a secret one (keys, tokens, passwords) only if no others can use it."""

import os
import stat

_LARGEST = 1 << 20  # bytes: a name like /dev/zero, given by mistake, must not fill the memory
_OTHERS = stat.S_IRWXO | stat.S_IWGRP


def read_file(file: str, *, secret: bool = True) -> bytes:
    """The file's bytes. Raises ValueError with the fault and the remedy, without the file's name in front.

    Others must neither read a secret, with which they could sign or log in, nor write it; its group may read it.
    """
    try:
        with open(file, "rb", opener=_opened) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            content = stream.read(_LARGEST + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"cannot be read by user {os.geteuid()}: {reason}") from None
    if not stat.S_ISREG(mode) or len(content) > _LARGEST:
        raise ValueError(f"expected a regular file of at most {_LARGEST >> 20} MiB")
    if secret and mode & _OTHERS:
        raise ValueError(f"mode {stat.S_IMODE(mode):04o} lets others read or write it; run: chmod u=rw,g=r,o= {file}")
    return content


def _opened(file: str, flags: int) -> int:
    """Open without blocking, because a FIFO must not stop the service."""
    return os.open(file, flags | os.O_NONBLOCK)
