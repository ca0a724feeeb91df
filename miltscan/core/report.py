"""All that is known of one message when it is done: what the log line and the metrics are made from; makes neither."""

from typing import NamedTuple

from miltscan.core.action import Decision
from miltscan.core.message import Message
from miltscan.core.probe import ProbeKind
from miltscan.core.receipt import ReceiptResult
from miltscan.core.verdict import Verdict


class Timed(NamedTuple):
    """A verdict and the seconds its engine took."""

    verdict: Verdict
    seconds: float


class Report(NamedTuple):
    """One message, its verdicts (the deciding one as `verdict`) and the decision.

    `waited` is the time for a scan slot, `seconds` the whole time from EOM to the decision. `receipt` says what the
    message's receipt is worth; None where none was looked for. `probe` says which probe it is; None for mail.
    """

    message: Message
    verdict: Verdict
    decision: Decision
    verdicts: tuple[Timed, ...]
    waited: float
    seconds: float
    receipt: ReceiptResult | None = None
    probe: ProbeKind | None = None
