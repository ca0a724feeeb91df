"""The catalogue: every metric of miltscan, defined once, with name, unit, labels and help. It sets none.

`recording` sets those of messages; the module that knows a value sets the others. docs/metrics.md is made from it.
"""

from enum import StrEnum
from itertools import product

from prometheus_client import Counter, Gauge, Histogram

from miltscan.core.action import ActionName
from miltscan.core.anomalies import ANOMALIES
from miltscan.core.lists import ListName
from miltscan.core.message import Direction
from miltscan.core.probe import ProbeKind, Stage
from miltscan.core.receipt import ReceiptResult
from miltscan.core.report import Place
from miltscan.core.rescan import RescanResult
from miltscan.core.signature import CLASSES
from miltscan.core.structure import Agreement
from miltscan.core.verdict import Fault, Limit, Outcome, SpamAction
from miltscan.telemetry.family import DEFINED, Family, Label, closed

SIGNATURES_NAMED = 50
"""How many signatures have a series of their own in each worker; the others share `OTHER_SIGNATURE`."""
OTHER_SIGNATURE = "other"

RULES_NAMED = 200
"""How many rules have a series of their own in each worker."""
OTHER_RULE = "other"
SYMBOLS_NAMED = 50
"""How many rules of anti-spam engines have a series of their own in each worker."""
OTHER_SYMBOL = "other"

_SCORES = (-10, -5, -2, 0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
_BYTES = tuple(4**power for power in range(5, 15))  # 1 KiB to 256 MiB


class SizeClass(StrEnum):
    """How large a message is. There are few classes because each is a histogram for every server."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    HUGE = "huge"


SIZE_LIMITS = (32 * 2**10, 2**20, 10 * 2**20)
"""The largest small, medium and large message, in bytes."""


class QueueName(StrEnum):
    """The queues of the two sendmails."""

    INCOMING = "incoming"
    DELIVERY = "delivery"


class ReleaseResult(StrEnum):
    """How an attempt to release a message ended; `unreachable` also where the connection broke."""

    RELEASED = "released"
    TEMPFAILED = "tempfailed"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    FAILED = "failed"


class CopyFate(StrEnum):
    """What the delivery sendmail did with a copy for a recipient; `failed` once for a message that was tempfailed."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    FAILED = "failed"


_ENGINE = Label("engine", "the names of the configured engines")
_SERVER = Label("server", "the configured servers of each engine")
_SIZE = Label("size", "one of small (up to 32 KiB), medium (1 MiB), large (10 MiB), huge", tuple(SizeClass))
_QUEUE = closed("queue", QueueName)
_MESSAGE = closed("message", ProbeKind)
_PROCESS = Label(
    "process",
    "one of supervisor, exporter, keeper, prober, tracer, and a number from 0 for each worker of both sockets",
)
_AREA = Label("area", "the areas of the quarantine, and those of former settings in which messages remain")
_CODE = Label(
    "code",
    "reply codes of the policy and of the milter: 250, 451, 550, 552; and those of rules",
    ("250", "451", "550", "552"),
)
_SIGNATURE = Label(
    "signature", f"the first {SIGNATURES_NAMED} that each worker finds, and other for the rest; the log has every name"
)

_SYMBOL = Label(
    "symbol",
    f"the first {SYMBOLS_NAMED} rules that each worker sees match, and other for the rest; the log has more",
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
SCAN_SECONDS = Family(
    Histogram,
    "scan_duration_seconds",
    "seconds",
    "Duration of a scan by one server of an engine, in seconds.",
    (_ENGINE, _SERVER, _SIZE),
    buckets=_SECONDS,
)
MESSAGE_SECONDS = Family(
    Histogram,
    "message_duration_seconds",
    "seconds",
    "Time from EOM to the decision on a message, in seconds.",
    buckets=_SECONDS,
)
SLOT_WAIT_SECONDS = Family(
    Histogram,
    "slot_wait_seconds",
    "seconds",
    "Time that a message waits for a scan slot, in seconds.",
    buckets=_SECONDS,
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

# Engines

ENGINE_ERRORS = Family(
    Counter,
    "engine_errors_total",
    "exchanges",
    "Failed exchanges with an engine, by reason.",
    (_ENGINE, closed("reason", Fault)),
)
ENGINE_UP = Family(
    Gauge,
    "engine_up",
    "1 or 0",
    "State of the server of an engine: 1 if every worker sees it up, else 0.",
    (_ENGINE, _SERVER),
    multiprocess_mode="livemin",
)
ENGINE_DEGRADED = Family(
    Gauge,
    "engine_degraded",
    "1 or 0",
    "Lack of room of the server of an engine: 1 if it could not unpack a message in the last minute, else 0.",
    (_ENGINE, _SERVER),
    multiprocess_mode="livemax",
)
ENGINE_WATCHED = Family(
    Gauge,
    "engine_watched",
    "1 or 0",
    "Visibility of the temporary folder of the server of an engine: 1 if miltscan sees it, else 0.",
    (_ENGINE, _SERVER),
    multiprocess_mode="livemin",
)
ENGINE_REQUIRED = Family(
    Gauge,
    "engine_required",
    "1 or 0",
    "Role of an engine: 1 if mail must be scanned by it, 0 if it is optional.",
    (_ENGINE,),
)
ENGINE_MISSING = Family(
    Counter,
    "optional_engine_unscanned_total",
    "messages",
    "Messages that an optional engine did not scan completely, by reason.",
    (_ENGINE, closed("reason", (*Limit, *Fault))),
)
SPAM_SCORE = Family(
    Histogram, "spam_score", "points", "Score that an anti-spam engine gives a message.", (_ENGINE,), buckets=_SCORES
)
SPAM_ACTIONS = Family(
    Counter,
    "spam_actions_total",
    "messages",
    "Messages that an anti-spam engine scored, by the action that it proposed.",
    (_ENGINE, closed("action", SpamAction)),
)
SPAM_SYMBOLS = Family(
    Counter,
    "spam_symbols_total",
    "messages",
    "Messages in which a rule of an anti-spam engine matched, by rule.",
    (_ENGINE, _SYMBOL),
)
CANARY_PASSED = Family(
    Gauge,
    "canary_last_success_timestamp_seconds",
    "seconds since 1970",
    "Time when the server last passed its self-test, in seconds since 1970.",
    (_ENGINE, _SERVER),
    multiprocess_mode="livemax",
)
SIGNATURES = Family(
    Gauge, "signature_database_version", "version", "Version of the signature database in use.", (_ENGINE, _SERVER)
)
SIGNATURES_PUBLISHED = Family(
    Gauge,
    "signature_database_published_timestamp_seconds",
    "seconds since 1970",
    "Time when the signature database in use was published, in seconds since 1970.",
    (_ENGINE, _SERVER),
)
CLAMD_QUEUE = Family(
    Gauge, "clamd_queue_length", "commands", "Commands that wait for a thread of clamd.", (_ENGINE, _SERVER)
)
CLAMD_THREADS = Family(
    Gauge,
    "clamd_threads",
    "threads",
    "Threads of clamd, by state.",
    (_ENGINE, _SERVER, closed("state", ("live", "idle", "max"))),
)

# The queues of the sandwich

QUEUE_ENTRIES = Family(Gauge, "queue_entries", "messages", "Messages in a sendmail queue.", (_QUEUE,))
QUEUE_BYTES = Family(Gauge, "queue_bytes", "bytes", "Disk space used by a sendmail queue, in bytes.", (_QUEUE,))
QUEUE_OLDEST = Family(
    Gauge,
    "queue_oldest_timestamp_seconds",
    "seconds since 1970",
    "Arrival time of the oldest message in a sendmail queue, in seconds since 1970.",
    (_QUEUE,),
)
QUEUE_READABLE = Family(
    Gauge, "queue_readable", "1 or 0", "Readability of a sendmail queue: 1 if it could be read, else 0.", (_QUEUE,)
)
SENDMAIL_LISTENING = Family(
    Gauge,
    "sendmail_listening",
    "1 or 0",
    "State of the port of a sendmail: 1 if a process listens on it, else 0.",
    (_QUEUE,),
)
SENDMAIL_UP = Family(
    Gauge,
    "sendmail_up",
    "1 or 0",
    "State of a sendmail: 1 if it greets the exporter, else 0.",
    (_QUEUE,),
)

# The quarantine

QUARANTINE_PUT_SECONDS = Family(
    Histogram,
    "quarantine_put_duration_seconds",
    "seconds",
    "Time that it takes to store a message durably, in seconds.",
    buckets=_SECONDS,
)
QUARANTINE_PUT_ERRORS = Family(
    Counter,
    "quarantine_put_errors_total",
    "messages",
    "Messages that could not be stored, so that their clients received 451.",
)
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
    buckets=_SECONDS,
)
QUARANTINE_ENTRIES = Family(Gauge, "quarantine_entries", "entries", "Messages in an area of the quarantine.", (_AREA,))
QUARANTINE_BYTES = Family(
    Gauge, "quarantine_bytes", "bytes", "Size of the messages in an area of the quarantine, in bytes.", (_AREA,)
)
QUARANTINE_OLDEST = Family(
    Gauge,
    "quarantine_oldest_timestamp_seconds",
    "seconds since 1970",
    "Arrival time of the oldest message in an area of the quarantine, in seconds since 1970.",
    (_AREA,),
)
QUARANTINE_CLEARED = Family(
    Gauge,
    "quarantine_cleared",
    "entries",
    "Messages in an area of the quarantine in which the last rescan found nothing.",
    (_AREA,),
)
QUARANTINE_UNINDEXED = Family(
    Gauge, "quarantine_unindexed", "entries", "Messages in the quarantine that are not in its index."
)
QUARANTINE_RELEASES = Family(
    Counter,
    "quarantine_releases_total",
    "releases",
    "Releases by the keeper, by result.",
    (closed("result", ReleaseResult),),
)
QUARANTINE_MAILS = Family(
    Counter,
    "quarantine_mails_total",
    "mails",
    "Notices, summaries and notices of late detections, by result.",
    (closed("kind", ("notice", "summary", "late")), closed("result", ("sent", "refused", "doubtful", "dropped"))),
)
QUARANTINE_RESCANS = Family(
    Counter,
    "quarantine_rescans_total",
    "scans",
    "Rescans of stored messages by the keeper, by result.",
    (closed("result", RescanResult),),
)
QUARANTINE_EXPIRED = Family(
    Counter, "quarantine_expired_total", "entries", "Messages that the keeper deleted by the rules of their area."
)
QUARANTINE_DISK_BYTES = Family(
    Gauge, "quarantine_disk_bytes", "bytes", "Size of the file system of quarantine.directory, in bytes."
)
QUARANTINE_FREE_BYTES = Family(
    Gauge, "quarantine_free_bytes", "bytes", "Free disk space at quarantine.directory, in bytes."
)
KEEPER_CONFIGURED = Family(
    Gauge, "keeper_configured", "1 or 0", "Existence of a keeper of the quarantine: 1 if the service has one, else 0."
)
KEEPER_LAST_ROUND = Family(
    Gauge,
    "keeper_last_round_timestamp_seconds",
    "seconds since 1970",
    "Time when the keeper last completed a round, in seconds since 1970.",
)

# The archive

ARCHIVED = Family(
    Counter,
    "archived_messages_total",
    "messages",
    "Messages whose digests were to be archived, by result: kept, dropped on the way to the keeper, or not written.",
    (closed("result", ("kept", "dropped", "failed")),),
)
ARCHIVE_SEARCHES = Family(
    Counter,
    "archive_searches_total",
    "digests",
    "Detected digests that were looked up in the archive, by result: delivered before, unknown, or no room to note it.",
    (closed("result", ("delivered", "unknown", "skipped")),),
)
ARCHIVE_BYTES = Family(Gauge, "archive_bytes", "bytes", "Size of the archive of digests, in bytes.")

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
    buckets=_SECONDS,
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

# The probe

PROBE_SUCCESS = Family(
    Gauge, "probe_success", "1 or 0", "Result of the last probe: 1 for success, 0 for failure.", (_MESSAGE,)
)
PROBE_SECONDS = Family(
    Gauge,
    "probe_duration_seconds",
    "seconds",
    "Duration of a stage of the last probe, in seconds.",
    (_MESSAGE, closed("stage", Stage)),
)
PROBE_LAST_RUN = Family(
    Gauge,
    "probe_last_run_timestamp_seconds",
    "seconds since 1970",
    "Time when the last probe ended, in seconds since 1970.",
    (_MESSAGE,),
)

# The service itself

EXCEPTIONS = Family(
    Counter,
    "exceptions_total",
    "exceptions",
    "Unexpected exceptions in miltscan's own code, by place.",
    (closed("where", Place),),
)
HTTP_REFUSED = Family(
    Counter,
    "http_refused_total",
    "requests",
    "Connections and requests that the exporter refused, by reason.",
    (closed("reason", ("network", "crowd", "tls", "request", "host", "credentials", "busy", "response")),),
)
PEERS_REFUSED = Family(
    Counter,
    "peers_refused_total",
    "connections",
    "Connections to a TCP socket for MTAs from hosts that are not in milter.allow.",
)
SOCKET_BOUND = Family(
    Gauge,
    "socket_bound",
    "1 or 0",
    "State of the file of a socket for MTAs: 1 if it is in its place, else 0.",
    (closed("socket", ("milter.socket", "verify.socket")),),
)
RECEIPTS = Family(
    Counter,
    "receipts_total",
    "messages",
    "Messages at the delivery side, by result of the receipt check.",
    (closed("result", ReceiptResult),),
)
LOG_LINES_LOST = Family(Counter, "log_lines_lost_total", "lines", "Log lines that could not be written.")
LOG_STALLED = Family(
    Gauge,
    "log_stalled",
    "processes",
    "Processes whose last log line could not be written.",
    multiprocess_mode="livesum",
)
METRICS_IN_MEMORY = Family(
    Gauge,
    "metrics_in_memory",
    "processes",
    "Processes that cannot write their counts to exporter.directory.",
    multiprocess_mode="livesum",
)
TRACES = Family(
    Counter,
    "traces_total",
    "traces",
    "Traces of messages, by result of the export.",
    (closed("result", ("exported", "failed", "dropped")),),
)
WORKERS = Family(Gauge, "workers", "processes", "Running workers.", multiprocess_mode="livesum")
WORKERS_CONFIGURED = Family(Gauge, "workers_configured", "processes", "Configured workers.")
RESPAWNS = Family(Counter, "worker_respawns_total", "processes", "Workers that died and were replaced.")
RELOADS = Family(
    Counter,
    "reloads_total",
    "reloads",
    "Reloads of the configuration, by result.",
    (closed("result", ("ok", "failed")),),
)
RELOADED = Family(
    Gauge,
    "config_last_reload_success_timestamp_seconds",
    "seconds since 1970",
    "Time when the current configuration took effect, in seconds since 1970.",
    multiprocess_mode="mostrecent",
)
CONFIG = Family(
    Gauge,
    "config_info",
    "always 1",
    "Hash of the configuration in use; the value is 1.",
    (Label("hash", "one at a time: the first 12 digits of its SHA-256"),),
)
KEYS = Family(
    Gauge,
    "key_info",
    "always 1",
    "Keys of receipts and probes in use, by their id; the value is 1.",
    (Label("key", "the ids in the key file"), closed("use", ("signs", "verifies"))),
)
BUILD = Family(
    Gauge,
    "build_info",
    "always 1",
    "Versions of miltscan and Python; the value is 1.",
    (Label("version", "one"), Label("python", "one")),
    multiprocess_mode="livemax",
)
UPKEEP = Family(
    Gauge,
    "process_upkeep_timestamp_seconds",
    "seconds since 1970",
    "Time when the main thread of a process last did its upkeep, in seconds since 1970.",
    (_PROCESS,),
)
RESIDENT = Family(
    Gauge, "process_resident_memory_bytes", "bytes", "Resident memory of a process, in bytes.", (_PROCESS,)
)
CPU = Family(Counter, "process_cpu_seconds_total", "seconds", "CPU time used by a process, in seconds.", (_PROCESS,))
DESCRIPTORS = Family(Gauge, "process_open_fds", "descriptors", "Open file descriptors of a process.", (_PROCESS,))
SCRAPE_SECONDS = Family(
    Gauge, "scrape_duration_seconds", "seconds", "Time that the exporter took to answer the last scrape, in seconds."
)

# The table [thresholds]

THRESHOLD_SIGNATURE_AGE = Family(
    Gauge, "threshold_signature_age_seconds", "seconds", "Threshold for the age of signatures, in seconds."
)
THRESHOLD_QUEUE_AGE = Family(
    Gauge,
    "threshold_queue_age_seconds",
    "seconds",
    "Threshold for the age of the oldest message in a queue, in seconds.",
    (_QUEUE,),
)
THRESHOLD_QUEUE_MESSAGES = Family(
    Gauge,
    "threshold_queue_messages",
    "messages",
    "Threshold for the number of messages in a queue that grows.",
    (_QUEUE,),
)
THRESHOLD_LATENCY = Family(
    Gauge,
    "threshold_latency_seconds",
    "seconds",
    "Threshold for the latency that is added to one message in twenty, in seconds.",
)
THRESHOLD_UNSCANNED = Family(
    Gauge,
    "threshold_unscanned_ratio",
    "share of messages",
    "Threshold for the share of messages that are not scanned completely.",
)

FAMILIES = tuple(DEFINED)
"""Every metric, in the order of this module."""
