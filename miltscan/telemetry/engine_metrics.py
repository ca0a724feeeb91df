"""The metrics of engines and their servers, and what anti-spam engines say. It sets none."""

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram

from miltscan.core.verdict import Fault, Limit, SpamAction
from miltscan.telemetry.family import DURATIONS, Family, Label, closed

SYMBOLS_NAMED = 50
"""How many rules of anti-spam engines have a series of their own in each worker."""
OTHER_SYMBOL = "other"
_SCORES = (-10, -5, -2, 0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50)


class SizeClass(StrEnum):
    """How large a message is. There are few classes because each is a histogram for every server."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    HUGE = "huge"


SIZE_LIMITS = (32 * 2**10, 2**20, 10 * 2**20)
"""The largest small, medium and large message, in bytes."""
_ENGINE = Label("engine", "the names of the configured engines")
_SERVER = Label("server", "the configured servers of each engine")
_SIZE = Label("size", "one of small (up to 32 KiB), medium (1 MiB), large (10 MiB), huge", tuple(SizeClass))
_SYMBOL = Label(
    "symbol",
    f"the first {SYMBOLS_NAMED} rules that each worker sees match, and other for the rest; the log has more",
)

# Messages

SCAN_SECONDS = Family(
    Histogram,
    "scan_duration_seconds",
    "seconds",
    "Duration of a scan by one server of an engine, in seconds.",
    (_ENGINE, _SERVER, _SIZE),
    buckets=DURATIONS,
)

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
