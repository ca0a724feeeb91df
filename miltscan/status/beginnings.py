"""Since when the assessment and each of its findings have been what they are. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from miltscan.status.model import Assessment, ShownFinding

_Key = tuple[str, str]


@dataclass(slots=True)
class Beginnings:
    """When what the last assessment says began (Unix time), in memory that its findings bound."""

    _begun: dict[_Key, float] = field(default_factory=dict)

    def dated(self, at: float, now: Assessment) -> Assessment:
        """Return the assessment of Unix time `at` with `since`; a finding that was missing in between begins again."""
        keys = [_sentence(now), *map(_fault, now.findings)]
        self._begun = {key: self._begun.get(key, at) for key in keys}
        return replace(now, since=self._begun[_sentence(now)], findings=[*self._findings(now)])

    def _findings(self, now: Assessment) -> Iterator[ShownFinding]:
        for one in now.findings:
            yield replace(one, since=self._begun[_fault(one)])


def _sentence(now: Assessment) -> _Key:
    return now.level, now.text


def _fault(finding: ShownFinding) -> _Key:
    return finding.subject, finding.remedy  # the text has ages and counts, which change while the fault lasts
