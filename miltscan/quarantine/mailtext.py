"""Text of others in our mails: printable, of bounded length, and without anything that a mail program makes a link.

Mail programs turn text into links by themselves. Security reports therefore write `http[:]//www[.]example[.]org`:
a reader understands it, and no program finds a host name, an address or a scheme in it. All text that is not miltscan's
own is shown this way: subjects, authors, addresses, signatures. No part of it gets into a header of a mail.
"""

import re
import unicodedata
from collections.abc import Iterator

from miltscan.core.text import readable

WIDTH = 76
"""Columns of the text part, below the 78 of RFC 5322 section 2.1.1."""
_DOTS = ".\u3002\uff0e\uff61"  # IDNA takes the others for a full stop, too (RFC 3490 section 3.1)
_LINKS = re.compile(
    rf"(?<=\S)[{_DOTS}](?=[^\W\d_]{{2}})"  # in front of anything like a top-level domain, of a host or an address
    rf"|(?<=www)[{_DOTS}](?=\S)"
    r"|(?<=[a-z0-9+-]):(?=//)|(?<=[a-z]):(?=\S)"  # a scheme: http://, tel:, mailto:
    r"|\\\\(?=\S)",  # a share of Windows: \\host\share
    re.IGNORECASE,
)
_MARKS = 4  # combining characters in a row: no script needs more, and a heap of them covers the lines around it


def defanged(text: str) -> str:
    """The text with brackets around what would make a mail program show a link."""
    return _LINKS.sub(lambda found: f"[{found[0]}]", text)


def shown_text(text: bytes | str, limit: int = 120) -> str:
    """Text of somebody else for a mail: printable, of at most `limit` characters and the brackets of `defanged`."""
    escaped = readable(readable(text, limit), limit)  # an escape is longer than its character
    return defanged("".join(_few_marks(escaped)))


def _few_marks(text: str) -> Iterator[str]:
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character).startswith("M") else 0
        if marks <= _MARKS:
            yield character


def mail_address(path: bytes) -> str:
    """A sender or recipient for a mail; the empty sender of bounces as `<>`."""
    return shown_text(path.removeprefix(b"<").removesuffix(b">"), 100) or "<>"


def shown_size(count: int) -> str:
    """A number of bytes for people, in steps of 1,024."""
    value, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004 - see above
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"  # noqa: PLR2004 - one digit


def hang(text: str, indent: int = 0, width: int = WIDTH) -> str:
    """The text in lines of at most `width` columns, two for a wide character; all but the first are indented."""
    return ("\n" + " " * indent).join(_lines(text, width - indent))


def fill(text: str, width: int = WIDTH) -> str:
    """A paragraph in lines of at most `width` columns, whatever its own lines were."""
    return hang(" ".join(text.split()), 0, width)


def _lines(text: str, room: int) -> Iterator[str]:
    """Break at blanks, or within a word that is longer than a line."""
    line, used = "", 0
    for word in re.findall(r"\S+|\s+", text):
        if used and used + _columns(word) > room:
            yield line.rstrip()
            line, used = "", 0
            if word.isspace():
                continue
        for character in word:
            if used + _columns(character) > room:
                yield line
                line, used = "", 0
            line, used = line + character, used + _columns(character)
    yield line.rstrip()


def _columns(text: str) -> int:
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
