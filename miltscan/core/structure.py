"""What is known of the structure of a message after it was read. Pure; `core.mime` reads it."""

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from miltscan.core.verdict import Verdict

if TYPE_CHECKING:
    from miltscan.core.attachments import Attachment


class Agreement(StrEnum):
    """Whether mail programs read a message alike; a metric label and a field of the log."""

    PLAIN = "plain"
    SAMPLED = "sampled"
    """They do, and the parts were scanned all the same."""
    MISSED = "missed"
    """As before, and a part was worse than the whole: what miltscan takes for plain is not."""
    SEVERAL = "several"


class ScannedPart(NamedTuple):
    """A part that an engine has scanned by itself: its path, and its size in bytes."""

    path: str
    size: int
    verdict: Verdict


class Structure(NamedTuple):
    """How the structure of a message was read; `seconds` of CPU time.

    `plain` means that all mail programs read it alike; then its parts are scanned only if it is `sampled`, and `missed`
    means that a part was worse than the whole. `scans` are the parts that were scanned by themselves. `attachments` are
    the files in it, also those within zips, where rules ask for them; then `depth` is the number of messages and
    archives in which the deepest file lies. `encrypted` means S/MIME or OpenPGP. For the archive, `digests` are SHA-256
    of the message, then of its parts; `detected` those of parts that were detected by themselves.
    """

    plain: bool
    sampled: bool
    anomalies: tuple[str, ...]
    seconds: float
    scans: tuple[ScannedPart, ...] = ()
    missed: bool = False
    attachments: "tuple[Attachment, ...]" = ()
    encrypted: bool = False
    depth: int = 0
    digests: tuple[bytes, ...] = ()
    detected: tuple[bytes, ...] = ()

    @property
    def agreement(self) -> Agreement:
        """Whether mail programs read it alike."""
        if not self.plain:
            return Agreement.SEVERAL
        return Agreement.MISSED if self.missed else Agreement.SAMPLED if self.sampled else Agreement.PLAIN


def anomalies_of(structure: Structure) -> frozenset[str]:
    """What is odd about the structure, and about the names of attachments."""
    if not structure.attachments:
        return frozenset(structure.anomalies)
    return frozenset(structure.anomalies).union(*(one.anomalies for one in structure.attachments))
