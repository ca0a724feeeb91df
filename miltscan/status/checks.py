"""The assessment at the top of the page: can the service scan, and what does an administrator have to check? Pure."""

from collections.abc import Iterator, Sequence

from miltscan.config.settings import Settings
from miltscan.core.action import ActionName
from miltscan.core.finding import Level
from miltscan.core.thresholds import QUEUE_AGE, SIGNATURE_AGE
from miltscan.core.verdict import Limit
from miltscan.status import history
from miltscan.status.history import History
from miltscan.status.model import Assessment, EngineStatus, QueueStatus, WorkersStatus

_RECENT = 300.0  # seconds
_CAUSED_BY_MAIL = {Limit.TOO_LARGE, Limit.LIMITS, Limit.ENCRYPTED}  # reasons that occur while the service is fine

_WHY_UNPROVEN = "workers and engines are up: the last errors below and the log say why the probe failed"

_CONSEQUENCES = {
    ActionName.TEMPFAIL: "clients receive a temporary error (4xx) and try again later",
    ActionName.REJECT: "clients receive a permanent error (5xx)",
    ActionName.ACCEPT: "mail passes UNSCANNED",
    ActionName.DISCARD: "mail is discarded",
    ActionName.HOLD: "mail is held in sendmail's queue",
    ActionName.QUARANTINE: "mail is kept in the quarantine",
}


def assess(  # noqa: PLR0913 - everything that the assessment depends on
    *,
    unready: Sequence[str],
    unproven: Sequence[str] = (),
    degraded: Sequence[str] = (),
    engines: Sequence[EngineStatus],
    workers: WorkersStatus,
    queues: Sequence[QueueStatus],
    past: History,
    settings: Settings,
    at: float,
) -> Assessment:
    """Return the assessment at Unix time `at`; `unready` is why workers or engines cannot scan, a line each.

    `unproven` is how the last probes failed, a line each: a fault between client and engine that neither notices.
    `degraded` is what is wrong although mail is scanned as usual.
    """
    others = [*degraded, *_workers(workers), *_mail(past), *_queues(queues, at)]
    if unready:
        if workers.running:
            consequence = _CONSEQUENCES[settings.policy.on_unscanned.no_engine.action]
        else:
            consequence = "no worker is running; F= of the MTA's milter line decides what clients receive"
        return Assessment(Level.ERROR, f"Mail is not being scanned: {consequence}", [*unready, *unproven, *others])
    details = [*_engines(engines, at), *others]
    if unproven:
        level = Level.ERROR if settings.probe.readiness else Level.WARNING
        return Assessment(level, "No probe proves that mail is being scanned", [*unproven, _WHY_UNPROVEN, *details])
    if details:
        return Assessment(Level.WARNING, "Mail is being scanned, but there are warnings", details)
    up = "1 server" if len(engines) == 1 else f"all {len(engines)} servers"
    return Assessment(Level.OK, f"Mail is being scanned by {up}", [])


def _workers(workers: WorkersStatus) -> Iterator[str]:
    if 0 < workers.running < workers.configured:
        yield f"{workers.running:g} of {workers.configured} workers are running"
    if workers.exceptions:
        yield f"{_count(workers.exceptions, 'exception')} since the start: see the last errors below, and the log"
    if workers.lines_lost:
        yield f"{_count(workers.lines_lost, 'log line')} could not be written"


def _engines(engines: Sequence[EngineStatus], at: float) -> Iterator[str]:
    down = [f"{one.engine} {one.server}{'' if one.required else ' (optional)'}" for one in engines if not one.up]
    if down:
        yield f"down: {', '.join(down)}"
    for engine in engines:
        if engine.degraded:
            yield (
                f"{engine.engine} {engine.server} had no room to unpack a message, which counts as unscanned: "
                "its temporary folder is full or too small. Free space there, or use a larger TemporaryDirectory"
            )
        if engine.published is not None and at - engine.published > SIGNATURE_AGE:
            days = (at - engine.published) / 86400
            yield (
                f"{engine.engine} {engine.server}: the signatures are {days:.0f} days old. "
                "Check that freshclam is running."
            )


def _mail(past: History) -> Iterator[str]:
    for reason, count in history.unscanned(past.last(_RECENT)).items():
        if count >= 1 and reason not in _CAUSED_BY_MAIL:
            yield f"{_count(count, 'message')} not scanned in the last five minutes: {reason}"


def _queues(queues: Sequence[QueueStatus], at: float) -> Iterator[str]:
    for queue in queues:
        if not queue.listening:
            yield f"the {queue.queue} sendmail accepts no connections: it is down, or the load is above its RefuseLA"
        if not queue.readable:
            yield f"the {queue.queue} queue cannot be read"
        elif queue.oldest is not None and at - queue.oldest > QUEUE_AGE[queue.queue]:
            yield f"a message has been in the {queue.queue} queue for {(at - queue.oldest) / 3600:.1f} hours"


def _count(count: float, thing: str) -> str:
    return f"{count:g} {thing}" if count == 1 else f"{count:g} {thing}s"
