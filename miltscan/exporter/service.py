"""The exporter: a process for /metrics, /healthz, /readyz and the status page. It counts no mail itself.

`ROUTES` maps each path to its function; `http_server` keeps slow, huge and malformed requests from disturbing others.
"""

import asyncio
import gzip
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from urllib.parse import parse_qs

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from miltscan.config.keyfile import Loaded
from miltscan.config.settings import Settings
from miltscan.core.finding import Finding
from miltscan.core.text import readable
from miltscan.errors import StartError
from miltscan.exporter import access, health
from miltscan.exporter.exchange import Request, Response
from miltscan.exporter.http_server import HttpServer, Refusal
from miltscan.exporter.measure import Measurement
from miltscan.processes.link import ChildLink, received
from miltscan.processes.signals import Signals
from miltscan.status import page as status_page
from miltscan.status.history import STEP
from miltscan.status.page import StatusPage, numbers
from miltscan.status.samples import Numbers
from miltscan.telemetry import log, service_metrics
from miltscan.telemetry.countfile import keep_all
from miltscan.telemetry.merge import collected
from miltscan.telemetry.sandwich_metrics import QueueName

_BEAT = 1.0  # seconds between two signs of life to the supervisor
_PEERS_WARNED = 64  # whose wrong names are logged as a warning: a network of attackers must not fill the log


@dataclass(slots=True)
class ExporterState:
    """What responses are made from: the metrics directory, the settings in force, and the status page."""

    directory: Path
    settings: Settings
    page: StatusPage = field(init=False)

    def __post_init__(self) -> None:
        self.page = StatusPage(self.directory, health.all_findings)


def serve_exporter(
    listener: socket.socket,
    directory: Path,
    settings: Settings,
    link: ChildLink | None = None,
    events: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM, or until the supervisor's end of `link` closes; settings that arrive on it take effect.

    The status page receives its last detections and errors from `events`. Raises StartError if the files for the access
    have a fault.
    """
    asyncio.run(_serve(listener, ExporterState(directory, settings), link, events))


def respond(state: ExporterState, request: Request) -> Response:
    """Return the response to a request, from what the metrics directory holds now."""
    if request.method not in {"GET", "HEAD"}:
        return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"use GET or HEAD\n", headers={"Allow": "GET, HEAD"})
    route = ROUTES.get(request.path)
    return route(state, request) if route else Response(HTTPStatus.NOT_FOUND, b"not found\n")


def _status(state: ExporterState, request: Request) -> Response:
    page = state.page.page(request.path, state.settings)
    return _compressed(request, Response(HTTPStatus.OK, page.body, page.content_type, status_page.HEADERS))


def _message(state: ExporterState, request: Request) -> Response:
    page = state.page.find(parse_qs(request.query).get("id", [""])[0])
    return Response(HTTPStatus.OK, page.body, page.content_type, status_page.HEADERS)


def _metrics(state: ExporterState, request: Request) -> Response:
    began, registry = time.monotonic(), collected(state.directory)
    for standard in (ProcessCollector, PlatformCollector, GCCollector):  # of the exporter itself
        standard(registry=registry)
    encode, content_type = _encoder(request.headers.get("accept", ""))
    response = _compressed(request, Response(HTTPStatus.OK, encode(registry), content_type))
    service_metrics.SCRAPE_SECONDS.child().set(time.monotonic() - began)  # for the next response
    return response


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the encoder that the client prefers; the plain text format for any header that names none.

    `choose_encoder` raises for a version that is not a number (TypeError for `text/plain;version=zz`). Its content type
    repeats the version, which may contain what no header of a response may: `int` ignores a no-break space.
    """
    with suppress(Exception):
        encode, content_type = choose_encoder(accept)
        if content_type.isascii() and content_type.isprintable():
            return encode, content_type
    return choose_encoder("")


def _compressed(request: Request, response: Response) -> Response:
    """Return the response, compressed if the client accepts that."""
    if not gzip_accepted(request.headers.get("accept-encoding", "")):
        return response
    headers = {**response.headers, "Content-Encoding": "gzip"}
    return replace(response, body=gzip.compress(response.body, 1), headers=headers)


def _healthz(state: ExporterState, request: Request) -> Response:
    seen, unknown = _seen(state)
    return _health(request, _lines([] if unknown else health.no_worker(seen)), unknown)


def _readyz(state: ExporterState, request: Request) -> Response:
    (seen, unknown), now = _seen(state), time.time()
    reasons = [] if unknown else health.not_ready(seen, state.settings, now, state.page.recent.reasons)
    return _health(request, _lines(reasons), [*unknown, *_lines(health.degraded(seen, state.settings, now))])


def _lines(findings: Sequence[Finding]) -> list[str]:
    return [finding.line for finding in findings]


def _seen(state: ExporterState) -> tuple[Numbers, list[str]]:
    """Return the metrics, and why health cannot be known from them: what cannot be written cannot be read.

    Then the service counts as alive and ready, because mail is scanned as usual.
    """
    fault = keep_all()
    try:
        seen = numbers(state.directory)
    except OSError as error:
        seen, fault = Numbers([]), fault or f"{state.directory}: {error.strerror}"
    unknown = fault and not seen.total("workers")
    return seen, [f"health is unknown, as metrics are in memory only: {fault}"] if unknown else []


def _health(request: Request, reasons: list[str], degraded: Sequence[str] = ()) -> Response:
    """Return ok, or the reasons why not: they name servers, so only a client with credentials receives them.

    A service that is degraded answers 200, with what is wrong in place of ok.
    """
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    marked = [*reasons, *(f"degraded: {fault}" for fault in degraded)]
    lines = marked if request.trusted else marked and ["not ok" if reasons else "degraded"]
    return Response(status, "".join(f"{readable(line)}\n" for line in lines or ["ok"]).encode())


Route = Callable[[ExporterState, Request], Response]
ROUTES: dict[str, Route] = {
    **dict.fromkeys(status_page.PATHS, _status),
    status_page.FIND: _message,
    "/metrics": _metrics,
    "/healthz": _healthz,
    "/readyz": _readyz,
}
"""The function for each path. An exception in it becomes a 500. While it runs no other request is answered."""
PUBLIC = frozenset({"/healthz", "/readyz"})
"""Paths that need no credentials: the health check of an orchestrator has none."""


async def _serve(
    listener: socket.socket, state: ExporterState, link: ChildLink | None, events: socket.socket | None
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    # not by add_signal_handler: asyncio closes its descriptor first, and a second TERM would be written to it
    loop.add_reader(Signals([signal.SIGTERM]).fileno(), stop.set)
    allowed = access.load_access(state.settings.exporter)
    server = HttpServer(listener, allowed, lambda request: respond(state, request), PUBLIC, _Refused())
    measurement = Measurement(state.settings)
    measurement.start()
    if link:
        loop.add_reader(link.fileno(), _obey, link, state, server, measurement, stop)
    if events:
        loop.add_reader(events.fileno(), state.page.recent.read, events)
    works = (server.serve(), _sample(state), _beat(link), stop.wait(), *map(measurement.greet_again, QueueName))
    tasks = [loop.create_task(work) for work in works]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    for task in done:
        task.result()  # an exception ends the process, which the supervisor logs and replaces


async def _sample(state: ExporterState) -> None:
    """Add a point to the history at each step; a point that cannot be read is left out."""
    while True:
        with suppress(Exception):
            state.page.sample(state.settings)
        await asyncio.sleep(STEP)


async def _beat(link: ChildLink | None) -> None:
    """Show the supervisor that the loop works."""
    while True:
        if link:
            link.beat()
        await asyncio.sleep(_BEAT)


def _obey(
    link: ChildLink, state: ExporterState, server: HttpServer, measurement: Measurement, stop: asyncio.Event
) -> None:
    order = received(link)
    if order is None:
        stop.set()
    elif isinstance(order, Loaded):
        state.settings = settings = order.settings
        log.configure(settings.log.format, settings.log.level)
        try:
            server.access = access.load_access(settings.exporter)
        except (
            StartError
        ) as error:  # the supervisor checked the files, so one changed since: the access stays as it was
            log.logger().error("access_failed", why=str(error).splitlines())
        measurement.reload(settings)


@dataclass(slots=True)
class _Refused:
    """Counts and logs what is refused; the first wrong name of a peer is a warning, as it may be Prometheus."""

    warned: set[str] = field(default_factory=set)

    def __call__(self, reason: Refusal, peer: str) -> None:
        service_metrics.HTTP_REFUSED.child(reason).inc()
        if reason is Refusal.HOST and peer not in self.warned and len(self.warned) < _PEERS_WARNED:
            self.warned.add(peer)
            log.logger().warning("http_refused", reason=reason.value, peer=peer)
        else:
            log.logger().debug("http_refused", reason=reason.value, peer=peer)
