"""What an anti-spam server can reply, as a closed set; each protocol parses purely into it, and nothing else exists.

What is not exactly one known reply is `Failed`, so that no unknown or incomplete answer counts as "no spam".
"""

import re
from dataclasses import dataclass
from math import isfinite

from miltscan.core.edits import HeaderEdit
from miltscan.core.verdict import Fault, SpamAction
from miltscan.engines.reply import Failed, Limited

MAX_REPLY = 2**20
"""Bytes of the longest reply that is read; one of rspamd with all its symbols has about ten thousand."""
SYMBOLS_KEPT = 50
"""Names of rules that are kept of a reply."""
_LARGEST_SCORE = 1e6
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scored:
    """The server looked at the whole message; the fields are those of `core.verdict.Advice`, and its opinion `spam`."""

    spam: bool
    score: float
    threshold: float
    action: SpamAction
    symbols: tuple[str, ...]
    edits: tuple[HeaderEdit, ...] = ()
    text: str = ""


SpamReply = Scored | Limited | Failed


def garbled(detail: str) -> Failed:
    """A reply that is not one of the known forms."""
    return Failed(Fault.GARBLED, detail)


def is_score(value: object) -> bool:
    """Whether this is a number that can be a score: finite, of a size that a header can show."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and isfinite(value)
        and abs(value) <= _LARGEST_SCORE
    )


def symbol(name: str) -> str:
    """The name of a rule, fit for a header, a label and a log; what else is in it becomes `_`."""
    return name if _NAME.fullmatch(name) else re.sub(r"[^A-Za-z0-9_.:-]", "_", name[:64]) or "_"
