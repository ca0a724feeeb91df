"""Every metric of miltscan, defined once, and the few functions that feed them; it knows no log and no HTTP.

Several processes count at once (prometheus_client's multiprocess mode): each writes memory-mapped files in one
directory, named after its slot, and the exporter adds them up at a scrape. A slot is the name of a place in the
service (`supervisor`, `0`, `1` ...), not a pid: a respawned worker goes on with its predecessor's files, so
counters never fall and files do not pile up. Two live processes must never share a slot.

prometheus_client wants the directory at import, in the environment. Here a metric is made when it is first used, and
anew in `attach`, so the module can be imported before a fork; without `attach` it counts in memory (unit tests).
"""

import os
import platform
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Any, Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from miltscan import __version__
from miltscan.core.message import direction
from miltscan.core.report import Report
from miltscan.core.verdict import Fault, Limit
from miltscan.errors import StartError

_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client's multiprocess values look for it
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120)
_BYTES = tuple(4**power for power in range(5, 15))  # 1 KiB to 256 MiB
_MTA_ACCEPTS = "250"

Kind = TypeVar("Kind", Counter, Gauge, Histogram)


class Place(StrEnum):
    """Where an exception was caught; a metric label."""

    EOM = "eom"  # at the end of a message or in a step before it: the message was tempfailed
    REPORT = "report"  # after the MTA was told: the message's counters or its line are missing


class Family(Generic[Kind]):
    """One metric: its definition, and the children (one per set of label values) that this process uses.

    `known` lists label values that exist from the start with 0: a series that appears with its first event shows no
    increase, and an alert on it stays silent.
    """

    def __init__(
        self,
        kind: type[Kind],
        name: str,
        question: str,
        labels: tuple[str, ...] = (),
        known: Iterable[str] = (),
        **options: Any,  # noqa: ANN401 - handed through: buckets, multiprocess_mode
    ) -> None:
        self.kind: type[Kind] = kind
        self.name = f"miltscan_{name}"
        self.question = question
        self.labels = labels
        self._known = [(value,) for value in known] if labels else [()]
        self._options = options
        self.reset()
        FAMILIES.append(self)

    def reset(self) -> None:
        """Forget every child: what is counted from now on goes where the process is attached."""
        self._children: dict[tuple[str, ...], Kind] = {}
        self._parent: Kind | None = None

    def child(self, *labels: str) -> Kind:
        """The counter, gauge or histogram for these label values; kept, as prometheus_client's own look-up is slow."""
        try:
            return self._children[labels]
        except KeyError:
            return self._children.setdefault(labels, self.parent.labels(*labels) if labels else self.parent)

    @property
    def parent(self) -> Kind:
        """prometheus_client's own metric of this process."""
        if self._parent is None:
            self._parent = self.kind(self.name, self.question, self.labels, registry=None, **self._options)
        return self._parent

    def begin(self) -> None:
        """Make the series that are known from the start."""
        for labels in self._known:
            self.child(*labels)


FAMILIES: list[Family[Any]] = []

MESSAGES = Family(
    Counter, "messages_total", "How many messages, which way, and how did they end?", ("direction", "outcome", "action")
)
UNSCANNED = Family(
    Counter,
    "unscanned_total",
    "How many messages were not scanned wholly, by the limit or the fault that decided?",
    ("reason",),
    known=(*Limit, *Fault),
)
REPLIES = Family(
    Counter,
    "smtp_replies_total",
    "What did clients hear for their messages? 250 is the MTA's own reply to what we accepted, held or discarded.",
    ("code",),
    known=("250", "451", "550", "552"),
)
SCAN_SECONDS = Family(
    Histogram, "scan_duration_seconds", "How long does an engine take for a message?", ("engine",), buckets=_SECONDS
)
MESSAGE_SECONDS = Family(
    Histogram, "message_duration_seconds", "How much time does miltscan add at EOM?", buckets=_SECONDS
)
SLOT_WAIT_SECONDS = Family(
    Histogram, "slot_wait_seconds", "How long do messages wait for a scan slot?", buckets=_SECONDS
)
MESSAGE_BYTES = Family(Histogram, "message_size_bytes", "How big are messages?", buckets=_BYTES)
SHED = Family(Counter, "shed_total", "How many messages were put off because every scan slot stayed busy?")
SESSIONS = Family(Gauge, "sessions", "How many MTA connections are open?", multiprocess_mode="livesum")
TRANSACTIONS = Family(
    Gauge, "transactions_in_flight", "How many messages are between MAIL and their reply?", multiprocess_mode="livesum"
)
ENGINE_ERRORS = Family(
    Counter, "engine_errors_total", "How often did an exchange with an engine fail, and why?", ("engine", "reason")
)
ENGINE_UP = Family(
    Gauge,
    "engine_up",
    "Is the server of an engine up (1) for every worker? 0 if one worker or more sees it down.",
    ("engine", "server"),
    multiprocess_mode="livemin",
)
CANARY_PASSED = Family(
    Gauge,
    "canary_last_success_timestamp_seconds",
    "When did the server last find the test signature?",
    ("engine", "server"),
    multiprocess_mode="livemax",
)
SIGNATURES = Family(
    Gauge,
    "signature_database_version",
    "Which signature database does the server use?",
    ("server",),
    multiprocess_mode="livemostrecent",
)
SIGNATURES_PUBLISHED = Family(
    Gauge,
    "signature_database_published_timestamp_seconds",
    "When was that signature database published? Its age is time() less this.",
    ("server",),
    multiprocess_mode="livemostrecent",
)
EXCEPTIONS = Family(
    Counter, "exceptions_total", "How many bugs of ours were met, and where?", ("where",), known=tuple(Place)
)
HTTP_REFUSED = Family(
    Counter,
    "http_refused_total",
    "How many connections or requests did the exporter not serve, and why?",
    ("reason",),
    known=("network", "crowd", "tls", "request", "credentials", "busy", "response"),
)
LOG_LINES_LOST = Family(Counter, "log_lines_lost_total", "How many log lines could not be written?")
WORKERS = Family(Gauge, "workers", "How many workers run?", multiprocess_mode="livesum")
RESPAWNS = Family(Counter, "worker_respawns_total", "How many dead workers were replaced?")
RELOADS = Family(
    Counter,
    "reloads_total",
    "How many reloads of the configuration went well or failed?",
    ("result",),
    ("ok", "failed"),
)
RELOADED = Family(
    Gauge,
    "config_last_reload_success_timestamp_seconds",
    "Since when is the present configuration in use?",
    multiprocess_mode="mostrecent",
)
BUILD = Family(Gauge, "build_info", "Which versions run? Always 1.", ("version", "python"), multiprocess_mode="livemax")


def prepare(directory: Path) -> None:
    """An empty directory (0700) for a new service: last time's counters are gone, as after any restart. StartError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        for file in directory.glob("*.db"):
            file.unlink()
    except OSError as error:
        raise StartError(
            f"metrics directory {directory}: {error.strerror}; it must be a directory that this user owns"
        ) from error


def attach(directory: Path, slot: str) -> None:
    """Count in `directory` as `slot` from now on. To be called in each process after the fork, before any thread."""
    os.environ[_DIRECTORY] = str(directory)
    worker_gone(slot)  # of a predecessor that died unseen
    values.ValueClass = values.MultiProcessValue(slot.__str__)  # type: ignore[no-untyped-call]
    for family in FAMILIES:
        family.reset()
        family.begin()


def worker_gone(slot: str) -> None:
    """Drop the live gauges of a process that has ended; its counters stay."""
    if _DIRECTORY in os.environ:
        mark_process_dead(slot)  # type: ignore[no-untyped-call]


def collected(directory: Path) -> CollectorRegistry:
    """All processes' metrics together, read anew whenever the registry is asked."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(directory))  # type: ignore[no-untyped-call]
    return registry


def started() -> None:
    """Say what runs, and since when; once, by the supervisor."""
    BUILD.child(__version__, platform.python_version()).set(1)
    RELOADED.child().set_to_current_time()


def reloaded(*, ok: bool) -> None:
    """The configuration was read again: it is in use now (`ok`), or the former one stays."""
    RELOADS.child("ok" if ok else "failed").inc()
    if ok:
        RELOADED.child().set_to_current_time()


def record(report: Report) -> None:
    """Count one message."""
    message, verdict, decision = report.message, report.verdict, report.decision
    way = direction(message.client, message.envelope)
    MESSAGES.child(way, verdict.outcome, decision.action.name).inc()
    REPLIES.child(str(decision.reply.code) if decision.reply else _MTA_ACCEPTS).inc()
    MESSAGE_BYTES.child().observe(message.size)
    MESSAGE_SECONDS.child().observe(report.seconds)
    SLOT_WAIT_SECONDS.child().observe(report.waited)
    for timed in report.verdicts:
        SCAN_SECONDS.child(timed.verdict.engine).observe(timed.seconds)
    if verdict.reason is not None:
        UNSCANNED.child(verdict.reason).inc()
    if verdict.reason is Limit.BUSY:
        SHED.child().inc()


def documentation() -> str:
    """docs/metrics.md."""
    rows = [
        f"| `{family.name}` | {family.kind.__name__.lower()} | {', '.join(family.labels)} | {family.question} |"
        for family in FAMILIES
    ]
    return "\n".join([_HEAD, *rows, ""])


_HEAD = """\
# Metrics

Served by the exporter at `/metrics`, as text or OpenMetrics. Each label is bounded: servers and engines come from
the configuration, all others from closed lists. A test compares this page with the code; it is made by

    python -c 'from miltscan.telemetry import metrics; print(metrics.documentation(), end="")'

| name | type | labels | the question it answers |
| --- | --- | --- | --- |"""
