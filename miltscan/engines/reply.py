"""What every engine's servers can reply instead of an opinion."""

from dataclasses import dataclass

from miltscan.core.verdict import Fault, Limit


@dataclass(frozen=True, slots=True)
class Limited:
    """The server did not look at the whole message."""

    limit: Limit
    detail: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No opinion: the server is gone, or replied with an error or with something unknown.

    `refused` means that it accepts no message in this form; another form may do.
    """

    fault: Fault
    detail: str
    refused: bool = False
