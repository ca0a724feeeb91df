"""The assessment at the top of the page: can the service scan, and what does an administrator have to repair? Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from miltscan.config.settings import Settings
from miltscan.core import faults, thresholds
from miltscan.core.action import ActionName
from miltscan.core.finding import Finding, Level, warning
from miltscan.core.verdict import Limit
from miltscan.status import history
from miltscan.status.history import History
from miltscan.status.model import Assessment, EngineStatus, QueueStatus, ShownFinding, WorkersStatus
from miltscan.status.trend import QueueTrend

_RECENT = 300.0  # seconds
_CAUSED_BY_MAIL = {Limit.TOO_LARGE, Limit.LIMITS, Limit.ENCRYPTED, Limit.MALFORMED, Limit.ALLOWED}
"""Reasons that occur while the service is fine."""
_WHY_UNPROVEN = warning("workers and engines", "are up", "the last errors below and the log say why the probe failed")

_CONSEQUENCES = {
    ActionName.TEMPFAIL: "clients receive a temporary error (4xx) and try again later",
    ActionName.REJECT: "clients receive a permanent error (5xx)",
    ActionName.ACCEPT: "mail passes UNSCANNED",
    ActionName.DISCARD: "mail is discarded",
    ActionName.HOLD: "mail is held in sendmail's queue",
    ActionName.QUARANTINE: "mail is kept in the quarantine",
}
_UNREACHED = "sendmail cannot reach miltscan; F= of its milter line decides what clients receive (T: 451)"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the assessment depends on. `at` is Unix time.

    `unready` is why the service cannot scan, `unproven` how the last probes failed: a fault between client and engine
    that neither notices. `degraded` is what is wrong although mail is scanned as usual.
    """

    engines: Sequence[EngineStatus]
    workers: WorkersStatus
    queues: Sequence[QueueStatus]
    past: History
    settings: Settings
    at: float
    unready: Sequence[Finding] = ()
    unproven: Sequence[Finding] = ()
    degraded: Sequence[Finding] = ()
    trend: QueueTrend = field(default_factory=QueueTrend)


def assess(seen: Seen) -> Assessment:
    """Return the assessment: its sentence is about the first thing to repair."""
    down, around = [*_sendmails(seen.queues)], [*seen.degraded, *_workers(seen.workers), *_queues(seen)]
    if seen.unready:  # that mail is not scanned follows from it
        found = [*seen.unready, *seen.unproven, *down, *around]
        return _assessment(Level.ERROR, f"Mail is not being scanned: {_consequence(seen)}", found)
    findings = [*down, *_engines(seen), *around, *_mail(seen)]
    if down:
        return _assessment(Level.ERROR, _STOPPED[down[0].subject], [*findings, *seen.unproven])
    if seen.unproven:
        level = Level.ERROR if seen.settings.probe.readiness else Level.WARNING
        found = [*seen.unproven, _WHY_UNPROVEN, *findings]
        return _assessment(level, "No probe proves that mail is being scanned", found)
    if findings:
        return _assessment(Level.WARNING, "Mail is being scanned, but there are warnings", findings)
    up = "1 server" if len(seen.engines) == 1 else f"all {len(seen.engines)} servers"
    return _assessment(Level.OK, f"Mail is being scanned by {up}", [])


_STOPPED = {
    "incoming sendmail": "No mail arrives: the incoming sendmail does not answer",
    "delivery sendmail": "Mail is being scanned, but not delivered: the delivery sendmail does not answer",
}


def _assessment(level: Level, text: str, findings: Sequence[Finding]) -> Assessment:
    shown = [ShownFinding(one.level, one.subject, one.text, one.remedy) for one in findings]
    return Assessment(level, text, [one.line for one in findings], shown)


def _consequence(seen: Seen) -> str:
    lost = any(finding.subject.endswith(".socket") for finding in seen.unready)
    if not seen.workers.running or lost or any(one.subject.startswith("worker") for one in seen.unready):
        return _UNREACHED
    return _CONSEQUENCES[seen.settings.policy.on_unscanned.no_engine.action]


def _sendmails(queues: Sequence[QueueStatus]) -> Iterator[Finding]:
    waiting = {queue.queue: queue.entries for queue in queues}
    for queue in queues:
        if not queue.up:
            yield faults.sendmail_down(queue.queue, waiting.get("incoming"), listening=queue.listening)


def _workers(workers: WorkersStatus) -> Iterator[Finding]:
    if 0 < workers.running < workers.configured:
        yield faults.workers_low(workers.running, workers.configured)
    if workers.exceptions:
        yield faults.exceptions(workers.exceptions)
    if workers.lines_lost:
        yield faults.log_lost(workers.lines_lost)


def _engines(seen: Seen) -> Iterator[Finding]:
    for engine in seen.engines:
        subject = f"{engine.engine} {engine.server}"
        if not engine.up:
            age = None if engine.canary is None else seen.at - engine.canary
            optional = "" if engine.required else " (optional)"
            log = faults.CLAMD_LOG if engine.type == "clamd" else faults.READ_LOG
            yield faults.server_down(f"{subject}{optional}", engine.why, fatal=False, log=log, age=age)
        if engine.degraded:
            yield faults.server_degraded(subject)
        if engine.published is not None:
            limit = seen.settings.thresholds.signature_age
            yield from _faulty(faults.signatures(subject, engine.version, seen.at - engine.published, limit))


def _mail(seen: Seen) -> Iterator[Finding]:
    for reason, count in history.unscanned(seen.past.last(_RECENT)).items():
        if count >= 1 and reason not in _CAUSED_BY_MAIL:
            yield faults.not_scanned(count, reason)
    if count := sum(point.not_stored for point in seen.past.last(history.SPAN)):
        yield faults.not_stored(count)
    points, limits = seen.past.last(thresholds.SHARE_WINDOW), seen.settings.thresholds
    unscanned = sum(count for reason, count in history.unscanned(points).items() if reason != Limit.ENCRYPTED)
    messages, limit = max(unscanned, sum(history.messages(points).values())), limits.unscanned_percent / 100
    if unscanned >= thresholds.LEAST_UNSCANNED and unscanned > limit * messages:
        yield faults.unscanned_share(unscanned / messages, unscanned, limit)
    lately = seen.past.last(thresholds.LATENCY_WINDOW)
    (slow,) = history.latency(lately, 0.95)
    if (
        slow is not None
        and slow > limits.latency
        and sum(history.messages(lately).values()) >= thresholds.LEAST_MESSAGES
    ):
        yield faults.slow_mail(slow, limits.latency)


def _queues(seen: Seen) -> Iterator[Finding]:
    limits = seen.settings.thresholds
    for queue in seen.queues:
        if not queue.readable:
            yield faults.queue_unreadable(queue.queue)
        elif queue.entries:
            age = None if queue.oldest is None else seen.at - queue.oldest
            yield from _faulty(faults.queue_waiting(queue.queue, queue.entries, age, limits.queue_age[queue.queue]))
            before = seen.trend.grown_from(queue.queue, queue.entries, seen.at)
            if before is not None and queue.entries > limits.queue_messages[queue.queue]:
                yield faults.queue_growing(queue.queue, queue.entries, before)


def _faulty(finding: Finding) -> list[Finding]:
    return [] if finding.level is Level.OK else [finding]
