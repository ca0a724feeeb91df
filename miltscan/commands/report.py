"""The findings of `check` and `doctor` for a person: as they come, then what has to be repaired, in order."""

import shutil
import sys
import textwrap
from collections.abc import Iterable

from miltscan.commands.terminal import say
from miltscan.core.finding import Diagnosis, Finding, Level
from miltscan.core.text import readable
from miltscan.doctor.steps import Step

_FOLLOWS = ("", " (another finding follows from this)", " ({} other findings follow from this)")
_LABEL = 9  # columns of the level


def print_steps(steps: Iterable[Step], *, problems: bool) -> Diagnosis:
    """Print each step as soon as it is done, without the effects of a fault that is shown; then the repairs.

    With `problems` only the repairs.
    """
    report = Diagnosis()
    for number, step in enumerate(steps, 1):
        if not problems:
            say(f"{number}. {step.title}", "bold")
        shown = 0
        for finding in step.findings:
            report.add(step.rank, finding)
            if not problems and not report.cause_of(finding):
                print_finding(finding, "   ")
                shown += 1
        if step.findings and not problems and not shown:
            say("   each finding here follows from one above")
    _print_repairs(report, heading=not problems)
    return report


def _print_repairs(report: Diagnosis, *, heading: bool) -> None:
    repairs = report.repairs()
    if not repairs:
        say("everything is ok")
        return
    if heading:
        say("To repair, in this order:", "bold")
    for number, (finding, effects) in enumerate(repairs, 1):
        more = _FOLLOWS[min(effects, 2)].format(effects)
        print_finding(finding, f"{number:2}. ", more)
    errors = sum(finding.level is Level.ERROR for finding, _ in repairs)
    say(f"errors: {errors}, warnings: {len(repairs) - errors}")


def print_finding(finding: Finding, head: str = "", more: str = "") -> None:
    """Print one finding: one line for a program; on a terminal wrapped, with the remedy on its own line to copy."""
    if not sys.stdout.isatty():
        say(f"{head}{finding}{more}", finding.level)
        return
    indent = " " * (len(head) + _LABEL)
    text = readable(f"{finding.level:7}  {finding.subject}: {finding.text}{more}")
    width = max(40, shutil.get_terminal_size().columns)
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
    if finding.remedy:
        lines.append(readable(f"{indent}-> {finding.remedy}"))
    say("\n".join(lines), finding.level)
