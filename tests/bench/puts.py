"""How fast messages are stored, next to the bare rate of the machine: write, fsync of the file, fsync of the folder."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from miltscan.quarantine.files import Files
from tests.fakes.entries import ENTRY


@dataclass(frozen=True, slots=True)
class Puts:
    """A load: messages of a size in bytes, over a number of threads."""

    messages: int = 400
    size: int = 30_000
    threads: int = 16


def bare(folder: Path, load: Puts) -> float:
    """Return the messages a second that the machine makes durable with the fewest calls possible."""
    folder.mkdir()
    content = os.urandom(load.size)

    def store(number: int) -> None:
        file = os.open(folder / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.write(file, content)
        os.fsync(file)
        os.close(file)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(directory)
        os.close(directory)

    return _rate(store, load)


def quarantined(folder: Path, load: Puts) -> float:
    """Return the messages a second that the quarantine stores."""
    files = Files(folder)
    files.prepare()
    message = os.memfd_create("message")
    os.write(message, os.urandom(load.size))
    rate = _rate(lambda _: files.put(ENTRY, message), load)
    os.close(message)
    return rate


def _rate(store: Callable[[int], object], load: Puts) -> float:
    with ThreadPoolExecutor(load.threads) as pool:
        began = time.monotonic()
        for _ in pool.map(store, range(load.messages)):
            pass
        return load.messages / (time.monotonic() - began)
