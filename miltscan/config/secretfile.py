"""Reads a small file that the settings name; a secret one (keys, tokens, passwords) only if no others can use it."""

import os
import stat
from pathlib import Path

from miltscan.config.ownership import loose_places

_LARGEST = 1 << 20  # bytes: a name like /dev/zero, given by mistake, must not fill the memory
_OTHERS = stat.S_IRWXO | stat.S_IWGRP


def read_file(file: str, *, secret: bool = True, user: int | None = None) -> bytes:
    """The file's bytes. Raises ValueError with the fault and the remedy, without the file's name in front.

    Other users must not read a secret, with which they could sign or log in, nor write or replace it; its group may
    read it. It must belong to root or to `user`, the user of the service; None means the user of this process.
    """
    try:
        with open(file, "rb", opener=_opened) as stream:
            status = os.fstat(stream.fileno())
            mode = status.st_mode
            content = stream.read(_LARGEST + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ValueError(f"cannot be read by user {os.geteuid()}: {reason}") from None
    if not stat.S_ISREG(mode) or len(content) > _LARGEST:
        raise ValueError(f"expected a regular file of at most {_LARGEST >> 20} MiB")
    if secret and (fault := _exposed(file, status, os.geteuid() if user is None else user)):
        raise ValueError(fault)
    return content


def _exposed(file: str, status: os.stat_result, user: int) -> str:
    """What lets others use or replace the secret; empty if nothing does."""
    if status.st_mode & _OTHERS:
        mode = stat.S_IMODE(status.st_mode)
        return f"mode {mode:04o} lets others read or write it; run: chmod u=rw,g=r,o= {file}"
    if status.st_uid not in {0, user}:
        if user == 0:
            return f"belongs to user {status.st_uid}, but miltscan runs as root; run it as user {status.st_uid}"
        return f"belongs to user {status.st_uid}: expected root or user {user}; run: chown {user} {file}"
    return next(loose_places(Path(file), user), "")


def _opened(file: str, flags: int) -> int:
    """Open without blocking, because a FIFO must not stop the service."""
    return os.open(file, flags | os.O_NONBLOCK)
