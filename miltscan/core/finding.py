"""A finding: one fact about the surroundings of the service, its level, and its remedy. It looks at nothing itself."""

from dataclasses import dataclass
from enum import StrEnum

from miltscan.core.text import readable


class Level(StrEnum):
    """The severity: an error stops the service or mail, or lets mail pass unscanned; a warning may lead to one."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact: its subject, what was found, and what to do about it (empty for a finding that is ok)."""

    level: Level
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.level:7}  {self.subject}: {self.text}"
        return readable(f"{line}; {self.remedy}" if self.remedy else line)


def ok(subject: str, text: str) -> Finding:
    """A finding that needs no action."""
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """A finding that may lead to an error."""
    return Finding(Level.WARNING, subject, text, remedy)


def error(subject: str, text: str, remedy: str) -> Finding:
    """A finding that stops the service or mail, or lets mail pass unscanned."""
    return Finding(Level.ERROR, subject, text, remedy)
