"""The metrics of the service itself: its processes, settings and defects. It sets none."""

from prometheus_client import Counter, Gauge

from miltscan.core.report import Place
from miltscan.telemetry.family import Family, Label, closed
from miltscan.telemetry.sandwich_metrics import QueueName

_PROCESS = Label(
    "process",
    "one of supervisor, exporter, keeper, prober, tracer, and a number from 0 for each worker of both sockets",
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
PACKETS_DROPPED = Family(
    Counter,
    "packets_dropped_total",
    "packets",
    "Packets that the kernel dropped at a TCP socket for MTAs, of hosts not in milter.allow or for want of room.",
    (closed("socket", ("milter.socket", "verify.socket")),),
)
SOCKET_BOUND = Family(
    Gauge,
    "socket_bound",
    "1 or 0",
    "State of the file of a socket for MTAs: 1 if it is in its place, else 0.",
    (closed("socket", ("milter.socket", "verify.socket")),),
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
    (closed("queue", QueueName),),
)
THRESHOLD_QUEUE_MESSAGES = Family(
    Gauge,
    "threshold_queue_messages",
    "messages",
    "Threshold for the number of messages in a queue that grows.",
    (closed("queue", QueueName),),
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
