"""The verdict at the top of the page: can the service scan, and what should somebody look at? Plain words. Pure."""

from collections.abc import Iterator, Sequence

from miltscan.config.settings import Settings
from miltscan.core.action import ActionName
from miltscan.core.finding import Level
from miltscan.core.verdict import Limit
from miltscan.status import history
from miltscan.status.history import History
from miltscan.status.model import Assessment, EngineStatus, QueueStatus, WorkersStatus

_SIGNATURES_OLD = 3 * 86400.0  # seconds; ClamAV publishes every day
_QUEUE_OLD = 3600.0  # seconds: a few queue runs have not got rid of it
_LATELY = 300.0  # seconds
_UP_TO_THE_MAIL = {Limit.TOO_LARGE, Limit.LIMITS, Limit.ENCRYPTED}  # why mail is not scanned by a service that is well

_WHY_UNPROVEN = "workers and engines are well: why a probe failed stands in the last errors, and in the log"

_MEANING = {
    ActionName.TEMPFAIL: "clients are told to come again later (4xx)",
    ActionName.REJECT: "clients' mail is refused (5xx)",
    ActionName.ACCEPT: "mail passes UNSCANNED",
    ActionName.DISCARD: "mail is discarded",
    ActionName.HOLD: "mail is held in sendmail's queue",
}


def assess(  # noqa: PLR0913 - all that the verdict hangs on
    *,
    unready: Sequence[str],
    unproven: Sequence[str] = (),
    engines: Sequence[EngineStatus],
    workers: WorkersStatus,
    queues: Sequence[QueueStatus],
    past: History,
    settings: Settings,
    at: float,
) -> Assessment:
    """The verdict at Unix time `at`; `unready` is what speaks against workers and engines, a line each.

    `unproven` is what the last probes say against the whole way, of which an engine that is well knows nothing.
    """
    others = [*_workers(workers), *_mail(past), *_queues(queues, at)]
    if unready:
        consequence = _consequence(workers, settings)
        why = [_canary(engine, at) for engine in engines] if workers.running and engines else unready
        return Assessment(Level.ERROR, f"Mail is not being scanned: {consequence}", [*why, *unproven, *others])
    details = [*_engines(engines, at), *others]
    if unproven:
        level = Level.ERROR if settings.probe.readiness else Level.WARNING
        return Assessment(level, "No probe proves that mail is being scanned", [*unproven, _WHY_UNPROVEN, *details])
    if details:
        return Assessment(Level.WARNING, "Mail is being scanned, but something needs a look", details)
    return Assessment(Level.OK, f"Mail is being scanned by {_up(engines)}", [])


def _up(engines: Sequence[EngineStatus]) -> str:
    return "1 server" if len(engines) == 1 else f"all {len(engines)} servers"


def _consequence(workers: WorkersStatus, settings: Settings) -> str:
    if not workers.running:
        return "no worker runs, what clients hear is up to the F= of the MTA's milter line"
    return _MEANING[settings.policy.on_unscanned.no_engine]


def _workers(workers: WorkersStatus) -> Iterator[str]:
    if 0 < workers.running < workers.configured:
        yield f"{workers.running:g} of {workers.configured} workers run"
    if workers.exceptions:
        yield f"{_many(workers.exceptions, 'exception')} since the start: see the last errors, and the log"
    if workers.lines_lost:
        yield f"{_many(workers.lines_lost, 'log line')} could not be written"


def _engines(engines: Sequence[EngineStatus], at: float) -> Iterator[str]:
    down = [engine.server for engine in engines if not engine.up]
    if down:
        yield f"down: {', '.join(down)}"
    for engine in engines:
        if engine.published is not None and at - engine.published > _SIGNATURES_OLD:
            days = (at - engine.published) / 86400
            yield f"{engine.server}: its signatures are {days:.0f} days old: does freshclam run?"


def _canary(engine: EngineStatus, at: float) -> str:
    state = "is up" if engine.up else "is down"
    if engine.canary is None:
        return f"{engine.server} {state} and has never found the test signature"
    return f"{engine.server} {state}; it last found the test signature {at - engine.canary:.0f} s ago"


def _mail(past: History) -> Iterator[str]:
    lately = history.unscanned(past.last(_LATELY))
    ours = {reason: count for reason, count in lately.items() if count >= 1 and reason not in _UP_TO_THE_MAIL}
    for reason, count in ours.items():
        yield f"{_many(count, 'message')} of the last five minutes not scanned: {reason}"


def _queues(queues: Sequence[QueueStatus], at: float) -> Iterator[str]:
    for queue in queues:
        if not queue.readable:
            yield f"the {queue.queue} queue cannot be read"
        elif queue.oldest is not None and at - queue.oldest > _QUEUE_OLD:
            yield f"a message has been in the {queue.queue} queue for {(at - queue.oldest) / 3600:.1f} hours"


def _many(count: float, thing: str) -> str:
    return f"{count:g} {thing}" if count == 1 else f"{count:g} {thing}s"
