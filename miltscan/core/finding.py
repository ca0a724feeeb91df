"""A finding: one thing seen in the world around the service, how bad it is and what to do. It looks at nothing."""

from dataclasses import dataclass
from enum import StrEnum

from miltscan.core.text import readable


class Level(StrEnum):
    """How bad a finding is: an error breaks mail or the start of the service, a warning is worse than it seems."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing seen: about what, what it is, and what to do (empty where nothing is to do)."""

    level: Level
    subject: str
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.level:7}  {self.subject}: {self.text}"
        return readable(f"{line}; {self.remedy}" if self.remedy else line)


def ok(subject: str, text: str) -> Finding:
    """All is well with it."""
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """It is worse than it seems."""
    return Finding(Level.WARNING, subject, text, remedy)


def error(subject: str, text: str, remedy: str) -> Finding:
    """It breaks mail, or lets it pass unscanned."""
    return Finding(Level.ERROR, subject, text, remedy)
