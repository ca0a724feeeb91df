"""Which entries of the quarantine a command takes: the options of a filter, and what they mean."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from miltscan.config.units import parse_duration
from miltscan.quarantine.entry import State

if TYPE_CHECKING:
    from miltscan.quarantine.selection import Selection

AreaOption = Annotated[str, typer.Option("--area", metavar="NAME", help="Only entries of this area.")]
SenderOption = Annotated[
    str, typer.Option("--sender", metavar="ADDRESS", help="Only from this sender; @example.org means the domain.")
]
RecipientOption = Annotated[
    str, typer.Option("--recipient", metavar="ADDRESS", help="Only to this recipient; @example.org means the domain.")
]
SignatureOption = Annotated[
    str, typer.Option("--signature", metavar="NAME", help="Only with this signature; * stands for any text.")
]
StateOption = Annotated[
    State | None, typer.Option("--state", metavar="STATE", help="Only stored, cleared, releasing or released ones.")
]
SinceOption = Annotated[
    str, typer.Option("--since", metavar="TIME", help="Only received since then: 2d (ago), 2026-11-22T10:30.")
]
UntilOption = Annotated[
    str, typer.Option("--until", metavar="TIME", help="Only received before then: 30d (ago), 2026-11-22T10:30.")
]


def selection(  # noqa: PLR0913 - one parameter for each option
    now: float,
    *,
    area: str = "",
    sender: str = "",
    recipient: str = "",
    signature: str = "",
    state: State | None = None,
    since: str = "",
    until: str = "",
    text: str = "",
) -> "Selection":
    """The selection that these options mean at `now` (epoch, seconds)."""
    from miltscan.quarantine.selection import Selection  # noqa: PLC0415 - SQLAlchemy is not for the service

    older, newer = moment(until, "--until", now), moment(since, "--since", now)
    return Selection(area, sender, recipient, signature, state, older, newer, text)


def moment(text: str, option: str, now: float) -> float | None:
    """The time (epoch, seconds) that `text` names: an age before `now`, or a local date or time; None if empty."""
    if not text:
        return None
    try:
        return now - parse_duration(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        expected = "expected an age such as 2d or 12h, or a time such as 2026-11-22 or 2026-11-22T10:30"
        raise typer.BadParameter(expected, param_hint=option) from None
