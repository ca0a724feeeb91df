"""Archives that an engine does not open: has them opened by 7-Zip, with words of the message as passwords.

Nothing runs, and nothing is loaded, for a message without such an archive. What is opened spends from the bounds of the
message, as the members of zips do: docs/detection.md#archives.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, chain, pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from miltscan.core.attachment_names import attachment_names
from miltscan.core.attachments import Attachment, look_at
from miltscan.core.contained import Inside, files_within, head_of, pieces_of
from miltscan.core.containers.budget import MIB, Budget
from miltscan.core.containers.foreign import NAMELESS, Foreign, Listing, password_codes
from miltscan.core.mime.part import Reading
from miltscan.core.verdict import Limit
from miltscan.engines.base import Tick
from miltscan.scanning.files import bytes_of, forget_pages, is_text
from miltscan.scanning.spool import Spool
from miltscan.scanning.turns import archive_turn

if TYPE_CHECKING:
    from miltscan.unpacker.child import Allowance
    from miltscan.unpacker.seven_zip import SevenZip

PROGRAM = "7zz"
"""7-Zip, of the Debian package 7zip."""
_MEMORY = 400 * MIB  # of address space: dictionaries of 256 MiB fit
_CPU_SECONDS = 20  # of one process
_SECONDS = 30.0  # for one archive
_PASSWORD_SECONDS = 10.0  # to try passwords, for all archives of a message
_TEXT = 128 * 1024  # encoded bytes of a text in which passwords are looked for
_LOOKED_AT = 64 * 1024  # bytes by which the type of a file is known


@dataclass(slots=True)
class Passwords:
    """The words of a message that are tried, found only if one is needed; and the seconds that are left for this."""

    words: Callable[[], Sequence[str]]
    seconds: float = field(default_factory=lambda: _PASSWORD_SECONDS)


class Opening(NamedTuple):
    """What the archives of a message may use: what is left of its bounds, and its deadline (time.monotonic seconds).

    With `looks` there are facts about the files, for rules.
    """

    budget: Budget
    deadline: float
    tick: Tick
    passwords: Passwords
    looks: bool = False


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
        with archive_turn(bounds.deadline, bounds.tick) as free:
            if not free:
                return inside.unopened((Limit.TIMEOUT, f"part {path}: other archives took too long"))
            now = time.monotonic()
            allowance = Allowance(_CPU_SECONDS, _MEMORY, min(bounds.deadline, now + _SECONDS), bounds.tick)
            archive = SevenZip(self.program, inside.foreign, file, allowance)
            found, unlocked = self._files(path, archive, bounds, b""), False
            sealed = any(limit is Limit.ENCRYPTED for limit, _ in archive.faults)
            if sealed and (password := _fitting(archive, bounds.passwords, allowance)):
                archive = SevenZip(self.program, inside.foreign, file, allowance)
                found, unlocked = self._files(path, archive, bounds, password), True
        if archive.complete:
            return inside.opened(found, unlocked=unlocked)
        faults = ((limit, f"part {path}: {why}") for limit, why in archive.faults)
        return inside.unopened(*faults, found=found)

    def _files(self, path: str, archive: "SevenZip", bounds: Opening, password: bytes) -> Inside:
        """The files of the archive; what was written until a fault, if there was one."""
        budget = bounds.budget
        listing = archive.listing(password)
        if listing is None:
            return Inside()
        if len(listing.files) > budget.bounds.members:
            archive.fail(Limit.LIMITS, "it has too many files")
            return Inside()
        with closing(Spool(self.directory, self.memory)) as spool, closing(archive.content(password)) as pieces:
            for piece in pieces:
                spool.write(piece)
                if exceeded := budget.spend(len(piece)):
                    archive.fail(Limit.LIMITS, str(exceeded))
                    break
            content = memoryview(bytes_of(spool, spool.size) if spool.size else b"")
        files = _divided(content, listing)
        kept, read = [one for one in files if len(one)], partial(_read_once, most=budget.bounds.file)
        inner = tuple(files_within(f"{path}/{archive.kind.lower()}", kept, read, budget.bounds.file))
        return Inside(inner, files=tuple(_facts(archive.kind, listing, files)) if bounds.looks else ())


def words_of(head: bytes, reading: Reading, most: int) -> tuple[str, ...]:
    """Words of the Subject and of the texts of a message that begins with `head`: they may be passwords."""
    from miltscan.core.header_text import subject_of  # noqa: PLC0415 - few messages need it
    from miltscan.core.passwords import passwords_in  # noqa: PLC0415 - as above

    texts = (one for one in reading.parts if is_text(one)) if most else ()
    contents = ((head_of(one, _TEXT), any(b"html" in kind for kind in one.types)) for one in texts)
    return passwords_in(chain([(subject_of(head).encode(errors="replace"), False)], contents), most)


def _divided(content: memoryview, listing: Listing) -> list[memoryview]:
    """The stream divided by the sizes of the list; as one file where they do not fit it."""
    sizes = [one.size or 0 for one in listing.files]
    if sum(sizes) != len(content):
        return [content]
    return [content[begin:end] for begin, end in pairwise([0, *accumulate(sizes)])]


def _facts(kind: Foreign, listing: Listing, files: Sequence[memoryview]) -> Iterator[Attachment]:
    """What rules may ask about the files; of what is not divided only the names are known."""
    contents = files if len(files) == len(listing.files) else [memoryview(b"")] * len(listing.files)
    for listed, content in zip(listing.files, contents, strict=True):
        names = () if kind in NAMELESS else attachment_names([(b"name", listed.name.encode())])
        yield look_at(names, content[:_LOOKED_AT])


def _read_once(file: memoryview, most: int) -> Iterator[object]:
    yield from pieces_of(file, most)
    forget_pages(file)


def _fitting(archive: "SevenZip", passwords: Passwords, allowance: "Allowance") -> bytes:
    """The first password that opens all of the archive in time; empty if none does."""
    began = time.monotonic()
    allowance = allowance._replace(deadline=min(allowance.deadline, began + passwords.seconds))
    words = passwords.words() if passwords.seconds > 0 else ()
    codes = (code for word in words for code in password_codes(archive.kind, word))
    in_time = takewhile(lambda _: time.monotonic() < allowance.deadline, codes)
    found = next((password for password in in_time if archive.opens(password, allowance)), b"")
    passwords.seconds -= time.monotonic() - began
    return found
