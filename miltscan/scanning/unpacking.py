"""Archives that an engine does not open: has them opened by 7-Zip, with words of the message as passwords.

Nothing runs, and nothing is loaded, for a message without such an archive. What is opened spends from the bounds of the
message, as the members of zips do: docs/detection.md#archives.
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from miltscan.core.contained import Inner, Inside, files_within, head_of, is_container, pieces_of
from miltscan.core.containers.budget import MIB, Budget
from miltscan.core.containers.foreign import Listing, password_codes
from miltscan.core.mime.part import Reading
from miltscan.core.verdict import Limit
from miltscan.engines.base import Tick
from miltscan.scanning.files import bytes_of, forget_pages, is_text
from miltscan.scanning.spool import Spool

if TYPE_CHECKING:
    from miltscan.unpacker.child import Allowance
    from miltscan.unpacker.seven_zip import SevenZip

PROGRAM = "7zz"
"""7-Zip, of the Debian package 7zip."""
_MEMORY = 400 * MIB  # of address space: dictionaries of 256 MiB fit
_CPU_SECONDS = 20  # of one process
_SECONDS = 30.0  # for one archive
_PASSWORD_SECONDS = 10.0  # of these, for all passwords
_TICK = 0.5  # seconds
_TEXT = 128 * 1024  # encoded bytes of a text in which passwords are looked for
_HEAD = 64  # bytes that show what a file is
_turn = threading.Lock()
"""Held while an archive is opened: one at a time in each process, so that a flood of them leaves the host to others."""


class Opening(NamedTuple):
    """What the archives of a message may use: what is left of its bounds, and its deadline (time.monotonic seconds).

    `passwords` is called only for what is encrypted.
    """

    budget: Budget
    deadline: float
    tick: Tick
    passwords: Callable[[], Sequence[str]]


def find_program() -> str | None:
    """The path of 7-Zip; None where it is not installed."""
    return shutil.which(PROGRAM)


@dataclass(frozen=True, slots=True)
class Unpacking:
    """How archives are opened: by this program, in `directory` and `memory` as for messages."""

    program: str
    directory: Path
    memory: int

    def opened(self, path: str, inside: Inside, file: int, bounds: Opening) -> Inside:
        """What is within the archive of this path, by its descriptor. Raises OSError, SpoolError, as `tick`."""
        from miltscan.unpacker.child import Allowance  # noqa: PLC0415 - few messages need it
        from miltscan.unpacker.seven_zip import SevenZip  # noqa: PLC0415 - as above

        if inside.foreign is None:
            return inside
        with _one_at_a_time(bounds.deadline, bounds.tick) as free:
            if not free:
                return inside.unopened((Limit.TIMEOUT, f"part {path}: other archives took too long"))
            now = time.monotonic()
            allowance = Allowance(_CPU_SECONDS, _MEMORY, min(bounds.deadline, now + _SECONDS), bounds.tick)
            archive = SevenZip(self.program, inside.foreign, file, allowance)
            inner, unlocked = self._files(path, archive, bounds.budget, b""), False
            if any(limit is Limit.ENCRYPTED for limit, _ in archive.faults):
                until = min(allowance.deadline, now + _PASSWORD_SECONDS)
                password = _fitting(archive, bounds.passwords(), allowance._replace(deadline=until))
                if password:
                    archive = SevenZip(self.program, inside.foreign, file, allowance)
                    inner, unlocked = self._files(path, archive, bounds.budget, password), True
        if archive.complete:
            return inside.opened(inner, unlocked=unlocked)
        faults = ((limit, f"part {path}: {why}") for limit, why in archive.faults)
        return inside.unopened(*faults, inner=inner)

    def _files(self, path: str, archive: "SevenZip", budget: Budget, password: bytes) -> tuple[Inner, ...]:
        """The files of the archive as parts; what was written until a fault, if there was one."""
        listing = archive.listing(password)
        if listing is None:
            return ()
        if len(listing.files) > budget.bounds.members:
            archive.fail(Limit.LIMITS, "it has too many files")
            return ()
        with closing(Spool(self.directory, self.memory)) as spool, closing(archive.content(password)) as pieces:
            for piece in pieces:
                spool.write(piece)
                if exceeded := budget.spend(len(piece)):
                    archive.fail(Limit.LIMITS, str(exceeded))
                    break
            content = memoryview(bytes_of(spool, spool.size) if spool.size else b"")
        return tuple(_divided(f"{path}/{archive.kind.lower()}", content, listing, budget.bounds.file))


def words_of(reading: Reading, most: int) -> tuple[str, ...]:
    """Words of the texts of a message that may be passwords, at most so many."""
    from miltscan.core.passwords import passwords_in  # noqa: PLC0415 - few messages need it

    texts = (one for one in reading.parts if is_text(one)) if most else ()
    return passwords_in(((head_of(one, _TEXT), any(b"html" in kind for kind in one.types)) for one in texts), most)


def _divided(prefix: str, content: memoryview, listing: Listing, most: int) -> Iterator[Inner]:
    """The stream divided by the sizes of the list; as one file where they do not fit it.

    Of what an engine sees anyway only those files that may be archives themselves.
    """
    sizes = [one.size or 0 for one in listing.files]
    if sum(sizes) != len(content):
        sizes = [len(content)]
    files = [content[begin:end] for begin, end in pairwise([0, *accumulate(sizes)]) if end > begin]
    if listing.seen:
        files = [one for one in files if is_container(bytes(one[:_HEAD]))]
    for inner in files_within(prefix, files, partial(_read_once, most=most)):
        yield inner._replace(hidden=not listing.seen)


def _read_once(file: memoryview, most: int) -> Iterator[object]:
    yield from pieces_of(file, most)
    forget_pages(file)


def _fitting(archive: "SevenZip", passwords: Sequence[str], allowance: "Allowance") -> bytes:
    """The first password that opens all of the archive in time; empty if none does."""
    for password in (code for word in passwords for code in password_codes(archive.kind, word)):
        if time.monotonic() >= allowance.deadline:
            break
        if archive.opens(password, allowance):
            return password
    return b""


@contextmanager
def _one_at_a_time(deadline: float, tick: Tick) -> Iterator[bool]:
    """Whether it is this thread's turn before the deadline."""
    free = _turn.acquire(timeout=0)
    while not free and time.monotonic() < deadline:
        free = _turn.acquire(timeout=_TICK)
        tick()
    try:
        yield free
    finally:
        if free:
            _turn.release()
