"""The catalogue: every metric of miltscan, defined once, with unit, labels and the question it answers. It feeds none.

`recording` feeds those of messages; who knows a thing sets the others. docs/metrics.md is made from it by `catalogue`.
"""

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

from miltscan.core.action import ActionName
from miltscan.core.message import Direction
from miltscan.core.probe import ProbeKind, Stage
from miltscan.core.receipt import ReceiptResult
from miltscan.core.signature import CLASSES
from miltscan.core.verdict import Fault, Limit, Outcome
from miltscan.telemetry.family import DEFINED, Family, Label, closed

SIGNATURES_NAMED = 50
"""Signatures that each worker gives a series of their own; the others are `OTHER_SIGNATURE`."""
OTHER_SIGNATURE = "other"

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
_BYTES = tuple(4**power for power in range(5, 15))  # 1 KiB to 256 MiB


class Place(StrEnum):
    """Where an exception was caught; a metric label."""

    EOM = "eom"  # at the end of a message or in a step before it: the message was tempfailed
    MEASURE = "measure"  # in the exporter, measuring queues and disk
    RECEIPT = "receipt"  # in signing or checking a receipt: the message was scanned, here or at the delivery side
    PROBE = "probe"  # in the prober, or at a probe: it was refused, or it was ordinary mail
    REPORT = "report"  # after the MTA was told: the message's counters or its line are missing


class SizeClass(StrEnum):
    """How big a message is; few, as each is a histogram of its own for every server."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    HUGE = "huge"


SIZE_LIMITS = (32 * 2**10, 2**20, 10 * 2**20)
"""Bytes up to which a message is small, medium, large."""


class QueueName(StrEnum):
    """The queues of the two sendmails."""

    INCOMING = "incoming"
    DELIVERY = "delivery"


_ENGINE = Label("engine", "the engines that are built in: clamd")
_SERVER = Label("server", "the addresses in clamd.servers")
_SIZE = Label("size", "one of small (up to 32 KiB), medium (1 MiB), large (10 MiB), huge", tuple(SizeClass))
_QUEUE = closed("queue", QueueName)
_MESSAGE = closed("message", ProbeKind)
_PROCESS = Label("process", "one of supervisor, exporter, prober, and a number from 0 for each worker of both sockets")
_CODE = Label("code", "reply codes of the policy and of the milter: 250, 451, 550, 552", ("250", "451", "550", "552"))
_SIGNATURE = Label(
    "signature", f"the first {SIGNATURES_NAMED} that each worker finds, and other for the rest; the log names them all"
)

# Messages

MESSAGES = Family(
    Counter,
    "messages_total",
    "messages",
    "How many messages, which way, and how did they end?",
    (closed("direction", Direction), closed("outcome", Outcome), closed("action", ActionName)),
)
UNSCANNED = Family(
    Counter,
    "unscanned_total",
    "messages",
    "How many messages were not scanned wholly, by the limit or the fault that decided?",
    (closed("reason", (*Limit, *Fault)),),
)
REPLIES = Family(
    Counter,
    "smtp_replies_total",
    "replies",
    "What did clients hear for their messages? 250 is the MTA's own reply to what we accepted, held or discarded.",
    (_CODE,),
)
DETECTIONS = Family(
    Counter,
    "detections_total",
    "messages",
    "How many messages were infected, by the class of the signature that was found (a word in its name)?",
    (closed("class", CLASSES),),
)
SIGNATURE_DETECTIONS = Family(
    Counter,
    "signature_detections_total",
    "messages",
    "Which signatures were found, and how often? One that has a series keeps it until the next start.",
    (_SIGNATURE,),
)
SCAN_SECONDS = Family(
    Histogram,
    "scan_duration_seconds",
    "seconds",
    "How long does a server of an engine take for a message of this size?",
    (_ENGINE, _SERVER, _SIZE),
    buckets=_SECONDS,
)
MESSAGE_SECONDS = Family(
    Histogram, "message_duration_seconds", "seconds", "How much time does miltscan add at EOM?", buckets=_SECONDS
)
SLOT_WAIT_SECONDS = Family(
    Histogram, "slot_wait_seconds", "seconds", "How long do messages wait for a scan slot?", buckets=_SECONDS
)
MESSAGE_BYTES = Family(
    Histogram, "message_size_bytes", "bytes", "How big are messages, and how much do they make?", buckets=_BYTES
)
SHED = Family(Counter, "shed_total", "messages", "How many were put off because every scan slot stayed busy?")

# What is under way

SESSIONS = Family(Gauge, "sessions", "connections", "How many MTA connections are open?", multiprocess_mode="livesum")
TRANSACTIONS = Family(
    Gauge,
    "transactions_in_flight",
    "messages",
    "How many messages are between MAIL and their reply?",
    multiprocess_mode="livesum",
)
SPOOL_FILES = Family(
    Gauge,
    "spool_files",
    "files",
    "How many messages under way are on disk, being too large for memory?",
    multiprocess_mode="livesum",
)
SPOOL_BYTES = Family(
    Gauge, "spool_bytes", "bytes", "How much disk do messages under way take?", multiprocess_mode="livesum"
)
SPOOL_FREE_BYTES = Family(
    Gauge,
    "spool_free_bytes",
    "bytes",
    "How much is free where spool.directory is?",
    multiprocess_mode="livemostrecent",
)

# Engines

ENGINE_ERRORS = Family(
    Counter,
    "engine_errors_total",
    "exchanges",
    "How often did an exchange with an engine fail, and why?",
    (_ENGINE, closed("reason", Fault)),
)
ENGINE_UP = Family(
    Gauge,
    "engine_up",
    "1 or 0",
    "Is the server of an engine up (1) for every worker? 0 if one worker or more sees it down.",
    (_ENGINE, _SERVER),
    multiprocess_mode="livemin",
)
CANARY_PASSED = Family(
    Gauge,
    "canary_last_success_timestamp_seconds",
    "seconds since 1970",
    "When did the server last find the test signature?",
    (_ENGINE, _SERVER),
    multiprocess_mode="livemax",
)
SIGNATURES = Family(
    Gauge,
    "signature_database_version",
    "version",
    "Which signature database does the server use?",
    (_SERVER,),
    multiprocess_mode="livemostrecent",
)
SIGNATURES_PUBLISHED = Family(
    Gauge,
    "signature_database_published_timestamp_seconds",
    "seconds since 1970",
    "When was that signature database published? Its age is time() less this.",
    (_SERVER,),
    multiprocess_mode="livemostrecent",
)
CLAMD_QUEUE = Family(
    Gauge,
    "clamd_queue_length",
    "commands",
    "How many commands wait for a thread of clamd, by its STATS at the last canary?",
    (_SERVER,),
    multiprocess_mode="livemostrecent",
)
CLAMD_THREADS = Family(
    Gauge,
    "clamd_threads",
    "threads",
    "How many threads of clamd work, how many wait for work, and how many may there be (MaxThreads)?",
    (_SERVER, closed("state", ("live", "idle", "max"))),
    multiprocess_mode="livemostrecent",
)

# The queues of the sandwich

QUEUE_ENTRIES = Family(
    Gauge,
    "queue_entries",
    "messages",
    "How many messages wait in a sendmail's queue?",
    (_QUEUE,),
    multiprocess_mode="livemostrecent",
)
QUEUE_BYTES = Family(
    Gauge,
    "queue_bytes",
    "bytes",
    "How much disk do their files take?",
    (_QUEUE,),
    multiprocess_mode="livemostrecent",
)
QUEUE_OLDEST = Family(
    Gauge,
    "queue_oldest_timestamp_seconds",
    "seconds since 1970",
    "Since when does the oldest message wait? No series while the queue is empty.",
    (_QUEUE,),
    multiprocess_mode="livemostrecent",
)
QUEUE_READABLE = Family(
    Gauge,
    "queue_readable",
    "1 or 0",
    "Could the queue be read (1)? If not, the other numbers of it are missing.",
    (_QUEUE,),
    multiprocess_mode="livemostrecent",
)

# The probe

PROBE_SUCCESS = Family(
    Gauge,
    "probe_success",
    "1 or 0",
    "Did the last probe go through the incoming sendmail to an engine of ours, and was its verdict right (1)?",
    (_MESSAGE,),
    multiprocess_mode="livemostrecent",
)
PROBE_SECONDS = Family(
    Gauge,
    "probe_duration_seconds",
    "seconds",
    "How long did each stage of the last probe take? No series for a stage that it did not reach.",
    (_MESSAGE, closed("stage", Stage)),
    multiprocess_mode="livemostrecent",
)
PROBE_LAST_RUN = Family(
    Gauge,
    "probe_last_run_timestamp_seconds",
    "seconds since 1970",
    "When did the last probe end, well or not?",
    (_MESSAGE,),
    multiprocess_mode="livemostrecent",
)

# The service itself

EXCEPTIONS = Family(
    Counter,
    "exceptions_total",
    "exceptions",
    "How many bugs of ours were met, and where?",
    (closed("where", Place),),
)
HTTP_REFUSED = Family(
    Counter,
    "http_refused_total",
    "requests",
    "How many connections or requests did the exporter not serve, and why?",
    (closed("reason", ("network", "crowd", "tls", "request", "credentials", "busy", "response")),),
)
RECEIPTS = Family(
    Counter,
    "receipts_total",
    "messages",
    "What were the receipts of messages worth at the delivery side? Only those with a valid one are not scanned there.",
    (closed("result", ReceiptResult),),
)
LOG_LINES_LOST = Family(Counter, "log_lines_lost_total", "lines", "How many log lines could not be written?")
TRACES = Family(
    Counter,
    "traces_total",
    "traces",
    "What became of the traces of messages: exported, dropped on the way to the tracer, or failed at the collector?",
    (closed("result", ("exported", "failed", "dropped")),),
)
WORKERS = Family(Gauge, "workers", "processes", "How many workers run?", multiprocess_mode="livesum")
WORKERS_CONFIGURED = Family(
    Gauge,
    "workers_configured",
    "processes",
    "How many workers should run?",
    multiprocess_mode="livemostrecent",
)
RESPAWNS = Family(Counter, "worker_respawns_total", "processes", "How many dead workers were replaced?")
RELOADS = Family(
    Counter,
    "reloads_total",
    "reloads",
    "How many reloads of the configuration went well or failed?",
    (closed("result", ("ok", "failed")),),
)
RELOADED = Family(
    Gauge,
    "config_last_reload_success_timestamp_seconds",
    "seconds since 1970",
    "Since when is the present configuration in use?",
    multiprocess_mode="mostrecent",
)
CONFIG = Family(
    Gauge,
    "config_info",
    "always 1",
    "Which configuration is in use? Two services with the same hash use the same.",
    (Label("hash", "one at a time: the first 12 digits of its SHA-256"),),
    multiprocess_mode="livemostrecent",
)
BUILD = Family(
    Gauge,
    "build_info",
    "always 1",
    "Which versions run?",
    (Label("version", "one"), Label("python", "one")),
    multiprocess_mode="livemax",
)
RESIDENT = Family(
    Gauge,
    "process_resident_memory_bytes",
    "bytes",
    "How much memory does each process hold?",
    (_PROCESS,),
    multiprocess_mode="livemostrecent",
)
CPU = Family(
    Counter,
    "process_cpu_seconds_total",
    "seconds",
    "How much CPU does each process use? A worker goes on with its predecessor's count.",
    (_PROCESS,),
)
DESCRIPTORS = Family(
    Gauge,
    "process_open_fds",
    "descriptors",
    "How many file descriptors does each process have open?",
    (_PROCESS,),
    multiprocess_mode="livemostrecent",
)
SCRAPE_SECONDS = Family(
    Gauge,
    "scrape_duration_seconds",
    "seconds",
    "How long did the exporter take for its last answer to a scrape?",
    multiprocess_mode="livemostrecent",
)

FAMILIES = tuple(DEFINED)
"""Every metric, in the order of this page."""
