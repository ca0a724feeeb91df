"""A finding: one fact about the surroundings of the service, its level, and its remedy. It looks at nothing itself.

One fault may have many effects, each with a finding of its own. A finding names the fault that it is (`named`), or the
faults of which it may be an effect (`because`). `Diagnosis` separates causes from effects: an
administrator reads the causes only, in the order of repair.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
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
    topic: str = field(default="", compare=False)
    causes: tuple[str, ...] = field(default=(), compare=False)

    def named(self, topic: str) -> "Finding":
        """This finding as the fault `topic`, of which others may be effects."""
        return replace(self, topic=topic)

    def because(self, *causes: str) -> "Finding":
        """This finding as an effect of the first of these faults that exists."""
        return replace(self, causes=(*self.causes, *causes))

    @property
    def line(self) -> str:
        """The fact without level and remedy."""
        return f"{self.subject}: {self.text}"

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


@dataclass(slots=True)
class Diagnosis:
    """All findings that are not ok: `add` them with the place of their step in the order of repair."""

    _faults: list[tuple[int, Finding]] = field(default_factory=list)

    def add(self, rank: int, found: Finding) -> None:
        """Keep the finding, unless it is ok."""
        if found.level is not Level.OK:
            self._faults.append((rank, found))

    def cause_of(self, found: Finding) -> Finding | None:
        """The fault, of those added so far, from which this finding follows; None if it stands for itself."""
        seen, cause = {found.topic}, found
        while above := self._named(cause.causes, seen):
            seen.add(above.topic)
            cause = above
            # a circle has no cause, and must not hide all of its members
            if found.topic and found.topic in above.causes:
                return None
        return None if cause is found else cause

    def _named(self, topics: Iterable[str], seen: set[str]) -> Finding | None:
        """The first fault with one of these topics; one that was `seen` would close a circle."""
        wanted = [topic for topic in topics if topic and topic not in seen]
        return next((one for topic in wanted for _, one in self._faults if one.topic == topic), None)

    def repairs(self) -> list[tuple[Finding, int]]:
        """Each fault that stands for itself, with the number of its effects.

        By rank; within one, those with effects first, then errors.
        """
        causes = [self.cause_of(one) for _, one in self._faults]
        alone = [
            (rank, one, sum(cause is one for cause in causes))
            for (rank, one), cause in zip(self._faults, causes, strict=True)
            if cause is None
        ]
        alone.sort(key=lambda fault: (fault[0], not fault[2], fault[1].level is not Level.ERROR))
        return [(one, effects) for _, one, effects in alone]
