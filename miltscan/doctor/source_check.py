"""The files and maps that rules name, for `miltscan check`: whether they can be read."""

from collections.abc import Iterator

from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, error, ok
from miltscan.doctor.topics import denied
from miltscan.scanning.assemble import source_faults

_KEY = "rule"


def source_findings(settings: Settings) -> Iterator[Finding]:
    """A finding for each source that cannot be read; none where no rule names one."""
    named = sorted({source for one in settings.rule for source in one.sources})
    if not named:
        return
    faults = source_faults(settings)
    for fault in faults:
        text, _, remedy = fault.partition("; ")
        yield error(_KEY, text, remedy).because(*denied(fault))
    if not faults:
        yield ok(_KEY, f"{', '.join(named)}: can be read")
