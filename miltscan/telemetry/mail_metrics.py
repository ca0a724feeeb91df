"""The metrics of messages: what became of them, structure, rules, lists, receipts, mail in flight. It sets none."""

from enum import StrEnum
from itertools import product

from prometheus_client import Counter, Gauge, Histogram

from miltscan.core.action import ActionName
from miltscan.core.anomalies import ANOMALIES
from miltscan.core.lists import ListName
from miltscan.core.message import Direction
from miltscan.core.receipt import ReceiptResult
from miltscan.core.signature import CLASSES
from miltscan.core.structure import Agreement
from miltscan.core.verdict import Fault, Limit, Outcome
from miltscan.telemetry.family import DURATIONS, Family, Label, closed

SIGNATURES_NAMED = 50
"""How many signatures have a series of their own in each worker; the others share `OTHER_SIGNATURE`."""
OTHER_SIGNATURE = "other"
RULES_NAMED = 200
"""How many rules have a series of their own in each worker."""
OTHER_RULE = "other"
_BYTES = tuple(4**power for power in range(5, 15))  # 1 KiB to 256 MiB


class CopyFate(StrEnum):
    """What the delivery sendmail did with a copy for a recipient; `failed` once for a message that was tempfailed."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failed"


_CODE = Label(
    "code",
    "reply codes of the policy and of the milter: 250, 451, 550, 552; and those of rules",
    ("250", "451", "550", "552"),
)
_SIGNATURE = Label(
    "signature", f"the first {SIGNATURES_NAMED} that each worker finds, and other for the rest; the log has every name"
)
_RULE = Label(
    "rule",
    f"the first {RULES_NAMED} rules that each worker sees match, and other for the rest; the log has all",
)

# Messages

MESSAGES = Family(
    Counter,
    "messages_total",
    "messages",
    "Messages, by direction, outcome and action.",
    (closed("direction", Direction), closed("outcome", Outcome), closed("action", ActionName)),
    # the alert MiltscanInfectedOutgoing fires at the first one
    known=product((Direction.OUTBOUND, Direction.SUBMISSION), (Outcome.INFECTED,), ActionName),
)
UNSCANNED = Family(
    Counter,
    "unscanned_total",
    "messages",
    "Messages that were not scanned completely, by reason.",
    (closed("reason", (*Limit, *Fault)),),
)
REPLIES = Family(Counter, "smtp_replies_total", "replies", "SMTP replies to messages, by code.", (_CODE,))
DETECTIONS = Family(
    Counter,
    "detections_total",
    "messages",
    "Detections, by class of the signature; allowed ones count, too.",
    (closed("class", CLASSES),),
)
SIGNATURE_DETECTIONS = Family(
    Counter, "signature_detections_total", "messages", "Detections, by name of the signature.", (_SIGNATURE,)
)
MESSAGE_SECONDS = Family(
    Histogram,
    "message_duration_seconds",
    "seconds",
    "Time from EOM to the decision on a message, in seconds.",
    buckets=DURATIONS,
)
SLOT_WAIT_SECONDS = Family(
    Histogram,
    "slot_wait_seconds",
    "seconds",
    "Time that a message waits for a scan slot, in seconds.",
    buckets=DURATIONS,
)
MESSAGE_BYTES = Family(Histogram, "message_size_bytes", "bytes", "Size of messages, in bytes.", buckets=_BYTES)
SHED = Family(Counter, "shed_total", "messages", "Messages that were not scanned because every scan slot stayed busy.")

# Mail in flight

SESSIONS = Family(Gauge, "sessions", "connections", "Open MTA connections.", multiprocess_mode="livesum")
SESSIONS_REFUSED = Family(
    Counter,
    "sessions_refused_total",
    "connections",
    "MTA connections that were closed at once because half of the file descriptors of every worker were in use.",
)
TRANSACTIONS = Family(
    Gauge, "transactions_in_flight", "messages", "Messages between MAIL and their reply.", multiprocess_mode="livesum"
)
SPOOL_FILES = Family(Gauge, "spool_files", "files", "Messages in flight that are on disk.", multiprocess_mode="livesum")
SPOOL_BYTES = Family(
    Gauge, "spool_bytes", "bytes", "Disk space used by messages in flight, in bytes.", multiprocess_mode="livesum"
)
SPOOL_FREE_BYTES = Family(Gauge, "spool_free_bytes", "bytes", "Free disk space at spool.directory, in bytes.")

# The quarantine

COPIES = Family(
    Counter,
    "copies_total",
    "copies",
    "Copies that were handed over to the delivery sendmail, by recipients; a message that was tempfailed counts once.",
    (closed("result", CopyFate),),
)
COPY_SECONDS = Family(
    Histogram,
    "copy_duration_seconds",
    "seconds",
    "Time that it takes to hand all copies of a message over to the delivery sendmail, in seconds.",
    buckets=DURATIONS,
)

# Structure

STRUCTURES = Family(
    Counter,
    "structures_total",
    "messages",
    "Messages by how mail programs read their structure: all alike (sampled: the parts were scanned all the same; "
    "missed: and one was worse than the whole message), or in several ways.",
    (closed("reading", Agreement),),
)
ANOMALY_MESSAGES = Family(
    Counter,
    "anomalies_total",
    "messages",
    "Messages by what is odd about their structure; a message may have several.",
    (closed("anomaly", ANOMALIES),),
)
PARTS_SCANNED = Family(Counter, "parts_scanned_total", "parts", "Parts of messages that were scanned by themselves.")
STRUCTURE_SECONDS = Family(
    Histogram,
    "structure_seconds",
    "seconds",
    "CPU time that it takes to read the structure of a message, in seconds.",
    buckets=DURATIONS,
)

# Rules

RULE_MATCHES = Family(
    Counter,
    "rule_matches_total",
    "messages",
    "Messages that a rule matched, by rule; one that is not enforced decides nothing.",
    (_RULE, closed("enforced", ("yes", "no"))),
)
SHADOW_DECISIONS = Family(
    Counter,
    "shadow_decisions_total",
    "messages",
    "Messages by what the policy of `run --shadow` decides, compared with the policy in force.",
    (closed("result", ("same", "differs")),),
)
SOURCES_STALE = Family(
    Gauge,
    "rule_sources_stale",
    "sources",
    "Files and maps of rules that a worker cannot read, so that it uses their last content.",
)

# Allow and deny lists

LIST_HITS = Family(
    Counter,
    "list_hits_total",
    "messages",
    "Messages to which an entry of the allow or deny list applied.",
    (closed("list", ListName),),
)
LIST_ENTRIES = Family(
    Gauge,
    "list_entries",
    "entries",
    "Entries of the allow and deny list.",
    (closed("list", ListName),),
)
LISTS_STALE = Family(
    Gauge,
    "lists_stale",
    "1 or 0",
    "State of the file of the lists: 1 if a worker cannot read it and uses the last lists, else 0.",
    multiprocess_mode="livemax",
)
LISTS_BROKEN = Family(
    Gauge,
    "lists_broken_lines",
    "lines",
    "Lines of the file of the lists that cannot be read and are skipped.",
    multiprocess_mode="livemax",
)

# The service itself

RECEIPTS = Family(
    Counter,
    "receipts_total",
    "messages",
    "Messages at the delivery side, by result of the receipt check.",
    (closed("result", ReceiptResult),),
)
