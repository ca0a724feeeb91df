"""The exporter: a process of its own for /metrics, /healthz, /readyz and the status page; it counts no mail itself.

`ROUTES` says which path is answered by what; service/http.py keeps slow, huge and wrong peers from disturbing anybody.
"""

import asyncio
import gzip
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

from prometheus_client import Gauge
from prometheus_client.exposition import choose_encoder, gzip_accepted

from miltscan.config.keyfile import Loaded
from miltscan.config.settings import Probe, Settings
from miltscan.core.probe import Kind
from miltscan.errors import StartError
from miltscan.service import access
from miltscan.service.exchange import Request, Response
from miltscan.service.http import Refusal, Server
from miltscan.service.measure import Measure
from miltscan.service.supervisor import Link, received
from miltscan.status import board
from miltscan.status.board import Board
from miltscan.status.history import STEP
from miltscan.status.numbers import Numbers
from miltscan.telemetry import log, metrics
from miltscan.telemetry.family import Family
from miltscan.telemetry.merge import collected

_CANARIES_MISSED = 3  # a service whose last passed canary is older than this many intervals is not ready
_PROBES_MISSED = 3


@dataclass(slots=True)
class Site:
    """What the pages are made of: the folder of the counters, the settings in force, and what the status page keeps."""

    directory: Path
    settings: Settings
    board: Board = field(init=False)

    def __post_init__(self) -> None:
        self.board = Board(self.directory, _why_unready, _why_unproven)


def serve(
    listener: socket.socket,
    directory: Path,
    settings: Settings,
    link: Link | None = None,
    events: socket.socket | None = None,
) -> None:
    """Answer until SIGTERM, or until the supervisor's end of `link` closes; new settings that come down it count.

    From `events` the status page has its last detections and errors. Raises StartError if the files that the access
    needs are wrong.
    """
    asyncio.run(_serve(listener, Site(directory, settings), link, events))


def respond(site: Site, request: Request) -> Response:
    """The response to a request, from what stands in the metrics directory now."""
    if request.method not in {"GET", "HEAD"}:
        return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET or HEAD\n", headers={"Allow": "GET, HEAD"})
    page = ROUTES.get(request.path)
    return page(site, request) if page else Response(HTTPStatus.NOT_FOUND, b"not here\n")


def _status(site: Site, request: Request) -> Response:
    page = site.board.page(request.path, site.settings)
    return _packed(request, Response(HTTPStatus.OK, page.body, page.content_type, board.HEADERS))


def _metrics(site: Site, request: Request) -> Response:
    began, registry = time.monotonic(), collected(site.directory)
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    response = _packed(request, Response(HTTPStatus.OK, encode(registry), content_type))
    metrics.SCRAPE_SECONDS.child().set(time.monotonic() - began)  # it stands in the next answer
    return response


def _packed(request: Request, whole: Response) -> Response:
    """The response, compressed if the client takes it."""
    if not gzip_accepted(request.headers.get("accept-encoding", "")):
        return whole
    headers = {**whole.headers, "Content-Encoding": "gzip"}
    return replace(whole, body=gzip.compress(whole.body, 1), headers=headers)


def _healthz(site: Site, request: Request) -> Response:
    return _health(request, _no_worker(_samples(site.directory)))


def _readyz(site: Site, request: Request) -> Response:
    return _health(request, _reasons(_samples(site.directory), site.settings))


def _health(request: Request, reasons: list[str]) -> Response:
    """The reasons name servers: they are for those who may read the metrics."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    told = reasons if request.trusted else reasons and ["not ok"]
    return Response(status, "".join(f"{line}\n" for line in told or ["ok"]).encode())


Page = Callable[[Site, Request], Response]
ROUTES: dict[str, Page] = {
    **dict.fromkeys(board.PATHS, _status),
    "/metrics": _metrics,
    "/healthz": _healthz,
    "/readyz": _readyz,
}
"""What answers a path. A page that raises is a 500 and nothing worse; while it works no other is answered."""
PUBLIC = frozenset({"/healthz", "/readyz"})
"""Answered without credentials: an orchestrator's probe has none."""


def ready_within(settings: Settings) -> float:
    """How old (seconds) a passed canary may be for the service to be ready."""
    return _CANARIES_MISSED * settings.clamd.canary_interval


Samples = Mapping[str, Mapping[str, float]]
"""Values by metric name and by the value of the label `server` or `message` (empty where there is neither)."""


def _samples(directory: Path) -> Samples:
    found: dict[str, dict[str, float]] = {}
    for metric in collected(directory).collect():
        for sample in metric.samples:
            label = sample.labels.get("server") or sample.labels.get("message", "")
            found.setdefault(sample.name, {})[label] = sample.value
    return found


def unready(samples: Samples, now: float, within: float) -> list[str]:
    """Why the service is not ready, a line each; empty if a worker runs and has a server to ask.

    That is a server that every worker takes for up, and that passed a canary at most `within` seconds ago.
    """
    passed = samples.get(metrics.CANARY_PASSED.name, {})
    up = samples.get(metrics.ENGINE_UP.name, {})
    faults = [_fault(server, now - then, within, up=bool(up.get(server))) for server, then in passed.items()]
    if None in faults:
        return _no_worker(samples)
    return _no_worker(samples) + ([fault for fault in faults if fault] or ["no engine server has passed its canary"])


def unproven(samples: Samples, now: float, probe: Probe) -> list[str]:
    """What the last probes say against the service, a line each: one that is too old says nothing any more."""
    within = _PROBES_MISSED * (probe.interval + probe.timeout)
    return [reason for kind in Kind if (reason := _unproven(samples, now, within, kind))]


def _unproven(samples: Samples, now: float, within: float, kind: Kind) -> str:
    ran, well = (samples.get(name, {}).get(kind) for name in (metrics.PROBE_LAST_RUN.name, metrics.PROBE_SUCCESS.name))
    if ran is None:
        return f"{kind} probe: none has ended yet"
    if now - ran > within:
        return f"{kind} probe: the last one ended {now - ran:.0f} s ago, more than {within:g}"
    return "" if well else f"{kind} probe: failed {now - ran:.0f} s ago"


def _why_unready(numbers: Numbers, settings: Settings) -> list[str]:
    samples = _picked(numbers, "server", metrics.CANARY_PASSED, metrics.ENGINE_UP, metrics.WORKERS)
    return unready(samples, time.time(), ready_within(settings))


def _why_unproven(numbers: Numbers, settings: Settings) -> list[str]:
    """Whether or not /readyz asks for it: that nothing is scanned must not look well."""
    samples = _picked(numbers, "message", metrics.PROBE_LAST_RUN, metrics.PROBE_SUCCESS)
    return unproven(samples, time.time(), settings.probe) if settings.probe.interval else []


def _picked(numbers: Numbers, label: str, *families: Family[Gauge]) -> Samples:
    return {family.name: numbers.by(family.name.removeprefix("miltscan_"), label) for family in families}


def _reasons(samples: Samples, settings: Settings) -> list[str]:
    now, probe = time.time(), settings.probe
    asked = probe.readiness and probe.interval  # a reload brings the one without the other, which takes a restart
    return unready(samples, now, ready_within(settings)) + (unproven(samples, now, probe) if asked else [])


def _fault(server: str, age: float, within: float, *, up: bool) -> str | None:
    if age > within:
        return f"{server}: passed its canary {age:.0f} s ago, more than {within:g}"
    return None if up else f"{server}: is down, its canary passed {age:.0f} s ago"


def _no_worker(samples: Samples) -> list[str]:
    running = samples.get(metrics.WORKERS.name, {}).get("", 0)
    return [] if running >= 1 else ["no worker runs"]


async def _serve(listener: socket.socket, site: Site, link: Link | None, events: socket.socket | None) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    entry = access.load(site.settings.exporter)
    server = Server(listener, entry, lambda request: respond(site, request), PUBLIC, _refused)
    measure = Measure(site.settings)
    measure.start()
    if link:
        loop.add_reader(link.fileno(), _obey, link, site, server, measure, stop)
    if events:
        loop.add_reader(events.fileno(), site.board.ring.read, events)
    tasks = [loop.create_task(work) for work in (server.serve(), _sample(site.board), stop.wait())]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()  # a server that has failed fails the process: it is replaced, and the log says why


async def _sample(page: Board) -> None:
    """A point of history at each step; one that could not be read is left out."""
    while True:
        with suppress(Exception):
            page.sample()
        await asyncio.sleep(STEP)


def _obey(link: Link, site: Site, server: Server, measure: Measure, stop: asyncio.Event) -> None:
    order = received(link)
    if order is None:
        stop.set()
    elif isinstance(order, Loaded):
        site.settings = settings = order.settings
        log.configure(settings.log.format, settings.log.level)
        _reload(server, settings)
        measure.follow(settings)


def _reload(server: Server, settings: Settings) -> None:
    """The supervisor has found the files good; one that was changed since leaves the access as it is."""
    try:
        server.access = access.load(settings.exporter)
    except StartError as error:
        log.logger().error("access_failed", why=str(error).splitlines())


def _refused(reason: Refusal, peer: str) -> None:
    metrics.HTTP_REFUSED.child(reason).inc()
    log.logger().debug("http_refused", reason=reason.value, peer=peer)
