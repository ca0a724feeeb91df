"""What the tests of `miltscan check` share: servers that are well, and what is wrong among findings."""

from collections.abc import Iterable

from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, Level
from miltscan.engines.base import Observer

DAY = 86400.0
NOW = 1_000_000_000.0


def bad(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """Level and subject of what is not ok; each of them has a remedy."""
    wrong = [finding for finding in findings if finding.level is not Level.OK]
    assert all(finding.remedy for finding in wrong)
    return [(finding.level.value, finding.subject) for finding in wrong]


def works(configured: Settings, observer: Observer) -> None:
    """A probe under which every server is well."""
    for server in map(str, configured.engines[0].servers):
        observer.signatures("clamd", server, 27000, NOW)
        observer.canary_passed("clamd", server)
        observer.server_state("clamd", server, up=True, why="")
