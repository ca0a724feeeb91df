"""All that is known of one message after its decision, for its log line and its counts. It makes neither."""

from enum import StrEnum
from typing import NamedTuple

from miltscan.core.action import ActionName, Decision
from miltscan.core.lists import ListName
from miltscan.core.message import Message
from miltscan.core.probe import ProbeKind
from miltscan.core.receipt import ReceiptResult
from miltscan.core.verdict import Verdict

RECIPIENTS_SHOWN = 20
"""Recipients that a log line or a trace names: the first ones."""


class Place(StrEnum):
    """Where an exception was caught: a metric label and a log field, which docs/logging.md explains."""

    EOM = "eom"
    CONNECT = "connect"
    MEASURE = "measure"
    RECEIPT = "receipt"
    PROBE = "probe"
    REPORT = "report"
    KEEPER = "keeper"
    SHADOW = "shadow"
    MIME = "mime"


class Timed(NamedTuple):
    """A verdict and the seconds its engine took."""

    verdict: Verdict
    seconds: float


class Kept(NamedTuple):
    """The attempt to store a message in an area: the ID of its entry, or the `error`; the seconds it took."""

    area: str
    entry: str
    seconds: float
    error: str = ""


class Listed(NamedTuple):
    """The entry of a list that applied to a message, by its ID."""

    list: ListName
    entry: str


class Group(NamedTuple):
    """Recipients for whom the same was decided, by their positions in the envelope (from 0, ascending).

    `verdict` is theirs where lists make that of other recipients another one; None where the report's is that of all.
    What was done then: `kept` is the entry that was stored for them. `queue_id` is that of the delivery sendmail, which
    has a copy; `refusal` is its reply where it refused the copy, which was stored then.
    """

    recipients: tuple[int, ...]
    decision: Decision
    kept: Kept | None = None
    queue_id: str = ""
    refusal: str = ""
    verdict: Verdict | None = None


class Copies(NamedTuple):
    """The copies of a message that the delivery sendmail accepted and refused, by recipients; the seconds they took.

    With an `error` the message was tempfailed.
    """

    accepted: int
    refused: int
    seconds: float
    error: str = ""


class Shadow(NamedTuple):
    """What the candidate decides: the action and rule of the message, the strictest of those of its recipients.

    `differs` is the number of recipients for whom it is another action or area than that of the policy in force.
    """

    action: ActionName
    rule: str
    differs: int


class Report(NamedTuple):
    """One message, its verdicts (the deciding one as `verdict`) and the decision.

    `waited` is the time for a scan slot, `seconds` the whole time from EOM to the decision. `missing` are the verdicts
    of optional engines that did not look at the whole message. `receipt` is the result of the receipt check, None where
    receipts are not checked. `probe` is the kind of probe, None for mail. `kept` is None where nothing had to be
    stored. `listed` is None where no entry of a list applied; of several it is the first, one that denies if there is.
    `groups` are the decisions for recipients where these differ; each recipient is in one of them. Empty where
    `decision` applies to all. `observed` are the names of the rules that would have decided, were they enforced.
    `copies` is None where no copy was to be handed over.
    """

    message: Message
    verdict: Verdict
    decision: Decision
    verdicts: tuple[Timed, ...]
    waited: float
    seconds: float
    missing: tuple[Verdict, ...] = ()
    receipt: ReceiptResult | None = None
    probe: ProbeKind | None = None
    kept: Kept | None = None
    listed: Listed | None = None
    groups: tuple[Group, ...] = ()
    observed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shadow: Shadow | None = None
    copies: Copies | None = None
