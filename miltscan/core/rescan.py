"""What follows from scanning a stored message again: a closed set of results, and the judgement. Pure.

Only engines that looked at the whole message clear it. An engine that fails, meets a limit or is not asked any more
clears nothing: the message stays as it is.
"""

from enum import StrEnum

from miltscan.core.report import Report
from miltscan.core.verdict import Outcome


class RescanResult(StrEnum):
    """What a rescan found: nothing any more, the same, something else, or no complete verdict. A metric label."""

    CLEARED = "cleared"
    DETECTED = "detected"
    RENAMED = "renamed"
    UNSCANNED = "unscanned"
    FAILED = "failed"


def judge(outcome: Outcome, signature: str | None, engine: str, report: Report) -> RescanResult:
    """The result of the scan `report` of a message of which `engine` gave `outcome` and `signature` before.

    What one engine detected, only this engine clears: it may be down or removed while the others are well.
    """
    verdict = report.verdict
    if verdict.outcome is Outcome.INFECTED:
        return RescanResult.DETECTED if verdict.signature == signature else RescanResult.RENAMED
    incomplete = [one for one in (verdict, *report.missing) if one.outcome is not Outcome.CLEAN]
    if incomplete:
        return RescanResult.FAILED if any(one.failed for one in incomplete) else RescanResult.UNSCANNED
    clean = {one.verdict.engine for one in report.verdicts if one.verdict.outcome is Outcome.CLEAN}
    if not clean or (outcome in {Outcome.INFECTED, Outcome.SPAM} and engine not in clean):
        return RescanResult.UNSCANNED
    return RescanResult.CLEARED
