"""What rules may ask about an attachment: its names, extensions and type by content. Pure; total.

    look_at(names, content)      # `names` from attachment_names.py, the begin of the content

An extension is what Windows takes for one: it drops dots and blanks at the end of a name. Characters that are not
shown, such as those that turn the direction of a text, are no part of it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from unicodedata import category

from miltscan.core.anomalies import AttachmentAnomaly
from miltscan.core.file_extensions import HARMLESS, PROGRAMS, fits
from miltscan.core.file_types import FileType, type_of

_LONGEST = 20  # characters of an extension; what is longer is a sentence with a dot


@dataclass(frozen=True, slots=True)
class Attachment:
    """The facts about one part of a message or one member of an archive."""

    names: tuple[str, ...]
    """Its names in every reading, without control characters; other characters are the sender's choice."""
    extensions: tuple[str, ...]
    """Their extensions in lower case, without the dot, each once."""
    double_extensions: tuple[str, ...]
    """Those that show a harmless file and are a program, such as `pdf.exe`."""
    type: FileType
    fits: bool
    """Whether the type has each of the extensions, as far as both are known."""

    @property
    def anomalies(self) -> Iterator[AttachmentAnomaly]:
        """What is odd about its name."""
        if self.double_extensions:
            yield AttachmentAnomaly.DOUBLE_EXTENSION
        if not self.fits:
            yield AttachmentAnomaly.TYPE_DIFFERS


def look_at(names: Sequence[str], content: bytes | memoryview, members: Collection[bytes] = ()) -> Attachment:
    """Return the facts about a file; `members` are the names in it if it is a zip that has been read."""
    return of_type(names, type_of(content, members))


def of_type(names: Sequence[str], kind: FileType) -> Attachment:
    """Return the facts about a file whose type is known."""
    endings = [_ending(name) for name in names]
    extensions = tuple(dict.fromkeys(last for _, last in endings if last))
    double = dict.fromkeys(f"{before}.{last}" for before, last in endings if before in HARMLESS and last in PROGRAMS)
    return Attachment(tuple(names), extensions, tuple(double), kind, all(fits(kind, each) for each in extensions))


def _ending(name: str) -> tuple[str, str]:
    """The last two extensions; empty where there is none."""
    file = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(character for character in file if category(character) not in {"Cc", "Cf"})
    rest, dot, last = shown.rstrip(". \u00a0").rpartition(".")
    if not dot or len(last) > _LONGEST:
        return "", ""
    before = rest.rstrip().rpartition(".")[2]
    return before.strip().lower(), last.strip().lower()
