"""Asks 7-Zip about one archive: what is in it, whether a password opens it, what its files contain.

    seven_zip = SevenZip("/usr/bin/7zz", Foreign.WIM, descriptor, allowance)
    listing = seven_zip.listing(password)
    for piece in seven_zip.content(password): ...        # of all files, one behind the other
    seven_zip.faults                                     # why not all of it is known

Each of these is a process of its own (`child.py`). No name within an archive is ever one of a file: all content goes to
standard output. A password is standard input, because every user of a host can see arguments.

7-Zip and not libarchive: that one opens neither wim, nor encrypted 7z, nor SquashFS.
"""

from collections.abc import Generator
from dataclasses import dataclass, field

from miltscan.core.containers.foreign import Foreign, Listing, is_proven, read_errors, read_listing
from miltscan.core.verdict import Limit
from miltscan.unpacker.child import ARCHIVE, Allowance, Sandboxed

_WARNING = 1  # exit status: all was read, and something was odd
_LONGEST_LIST = 4 << 20  # bytes; 10,000 names of 400 characters
_FIXED = ("-mmt=1", "-bd", "-sccUTF-8")  # one thread, no progress, UTF-8


@dataclass(slots=True)
class SevenZip:
    """One archive, of this form, in the file behind this descriptor. Its methods raise OSError and what `tick` does."""

    program: str
    kind: Foreign
    file: int
    allowance: Allowance
    complete: bool = True
    """Whether 7-Zip read all of what it was asked for."""
    faults: list[tuple[Limit, str]] = field(default_factory=list)
    """Why it did not; empty although incomplete if the archive is broken, which nobody can read."""

    def listing(self, password: bytes = b"") -> Listing | None:
        """The files in the archive; None, and not complete, if it cannot be opened."""
        text = self._printed("l", password)
        found = None if text is None else read_listing(self.kind, text)
        if found is None and self.complete:
            self.fail(Limit.ENGINE_UNABLE, "7-Zip printed no list of files")  # as a version that prints another one
        if found and found.sealed and not is_proven(self._printed("l", password, "-slt") or ""):
            self.fail(Limit.ENCRYPTED, "encrypted without a checksum, so that any password seems to fit")
        return found

    def content(self, password: bytes = b"") -> Generator[bytes, None, None]:
        """The content of all files, in the order of the list."""
        yield from self._run("x", password, "-so")

    def opens(self, password: bytes, allowance: Allowance) -> bool:
        """Whether this is the password of all encrypted files."""
        trial = SevenZip(self.program, self.kind, self.file, allowance)
        for _ in trial._run("t", password):
            pass
        return trial.complete

    def _printed(self, command: str, password: bytes, *more: str) -> str | None:
        """What a command prints; None, and not complete, if that is too long."""
        text = bytearray()
        for piece in self._run(command, password, *more):
            text += piece
            if len(text) > _LONGEST_LIST:
                self.fail(Limit.LIMITS, "its list of files is too long")
                return None
        return text.decode("utf-8", "replace")

    def _run(self, command: str, password: bytes, *more: str) -> Generator[bytes, None, None]:
        arguments = (self.program, command, *_FIXED, f"-t{self.kind}", *more, ARCHIVE)
        locale = "C" if self.kind is Foreign.ZIP else "C.UTF-8"  # with the first one bytes are what they are
        with Sandboxed(arguments, self.file, password + b"\n", self.allowance, locale) as child:
            yield from child.pieces()
            # at a bound of CPU time or memory; elapsed time may be over by the host's fault
            if why := child.broken_off:
                self.fail(Limit.TIMEOUT if child.late else Limit.LIMITS, why)
                return
            if why := child.host_fault:  # not the message's
                self.fail(Limit.ENGINE_UNABLE, why)
            elif child.status > _WARNING:
                self.complete = False
                self.faults += dict.fromkeys(read_errors(child.messages, ARCHIVE))
                if child.is_cut and not self.faults:  # the reason may be in what was not kept
                    self.fail(Limit.LIMITS, "it has too many errors")

    def fail(self, limit: Limit, why: str) -> None:
        """Note that not all of it was read."""
        self.complete = False
        self.faults.append((limit, why))
