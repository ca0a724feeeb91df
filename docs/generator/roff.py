"""The few requests of man(7) that the manual pages need; every text is escaped here."""

import re
from collections.abc import Iterable

from miltscan import __version__


def _escaped(words: str) -> str:
    """Text that roff prints as it is: no request at the start of a line, a real hyphen for each one."""
    plain = words.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga")
    return re.sub(r"^([.'])", r"\\&\1", plain, flags=re.MULTILINE)


def _marked(words: str) -> str:
    """A text with `code` in bold and links as their words."""
    without_links = re.sub(r"\[([^\]`]+)\]\([^)]+\)", r"\1", words)
    pieces = without_links.split("`")
    if len(pieces) % 2 == 0:  # an odd backquote is only that
        return _escaped(without_links)
    return "".join(
        f"\\fB{_escaped(piece)}\\fR" if number % 2 else _escaped(piece) for number, piece in enumerate(pieces)
    )


def title(name: str, number: int) -> str:
    """The first request of a page."""
    return f'.TH "{_escaped(name).upper()}" {number} "" "miltscan {__version__}" "miltscan"\n'


def section(name: str) -> str:
    """The heading of a section."""
    return f'.SH "{_escaped(name)}"\n'


def heading(name: str, line: str) -> str:
    """A section with one line, in which a hyphen separates a name from its meaning."""
    subject, _, meaning = line.partition(" - ")
    return f"{section(name)}{_escaped(subject)} \\- {_escaped(meaning)}\n"


def text(words: str) -> str:
    """Paragraphs, which a blank line separates; one that begins with a backspace keeps its lines."""
    blocks = [block.strip("\n") for block in re.split(r"\n\s*\n", words.strip("\n")) if block.strip("\n\x08 ")]
    return "".join(
        example(block.removeprefix("\x08").strip("\n").splitlines())
        if block.startswith("\x08")
        else f".PP\n{_marked(block)}\n"
        for block in blocks
    )


def example(lines: Iterable[str]) -> str:
    """Lines as they are."""
    return ".PP\n.nf\n" + "".join(f"{_escaped(line)}\n" for line in lines) + ".fi\n"


def entry(name: str, meaning: str) -> str:
    """A term in bold, and its meaning below it."""
    return f".TP\n\\fB{_escaped(name)}\\fR\n{_marked(meaning) or chr(92) + '&'}\n"
