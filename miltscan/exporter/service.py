"""The exporter: a process of its own for /metrics, /healthz, /readyz and the status page; it counts no mail itself.

`ROUTES` maps each path to its answer; `http_server` keeps slow, huge and malformed requests from disturbing others.
"""

import asyncio
import gzip
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

from prometheus_client.exposition import choose_encoder, gzip_accepted

from miltscan.config.keyfile import Loaded
from miltscan.config.settings import Settings
from miltscan.errors import StartError
from miltscan.exporter import access, health
from miltscan.exporter.exchange import Request, Response
from miltscan.exporter.http_server import HttpServer, Refusal
from miltscan.exporter.measure import Measure
from miltscan.processes.link import Link, received
from miltscan.status import page as status_page
from miltscan.status.history import STEP
from miltscan.status.page import StatusPage
from miltscan.telemetry import log, metrics
from miltscan.telemetry.merge import collected


@dataclass(slots=True)
class Site:
    """What the pages are made of: the folder of the counters, the settings in force, and what the status page keeps."""

    directory: Path
    settings: Settings
    board: StatusPage = field(init=False)

    def __post_init__(self) -> None:
        self.board = StatusPage(self.directory, health.why_unready, health.why_unproven)


def serve_exporter(
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
    return _packed(request, Response(HTTPStatus.OK, page.body, page.content_type, status_page.HEADERS))


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
    return _health(request, health.no_worker(health.samples_in(site.directory)))


def _readyz(site: Site, request: Request) -> Response:
    return _health(request, health.not_ready(health.samples_in(site.directory), site.settings))


def _health(request: Request, reasons: list[str]) -> Response:
    """The reasons name servers: they are for those who may read the metrics."""
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    told = reasons if request.trusted else reasons and ["not ok"]
    return Response(status, "".join(f"{line}\n" for line in told or ["ok"]).encode())


Page = Callable[[Site, Request], Response]
ROUTES: dict[str, Page] = {
    **dict.fromkeys(status_page.PATHS, _status),
    "/metrics": _metrics,
    "/healthz": _healthz,
    "/readyz": _readyz,
}
"""What answers a path. A page that raises is a 500 and nothing worse; while it works no other is answered."""
PUBLIC = frozenset({"/healthz", "/readyz"})
"""Answered without credentials: an orchestrator's probe has none."""


async def _serve(listener: socket.socket, site: Site, link: Link | None, events: socket.socket | None) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    entry = access.load_access(site.settings.exporter)
    server = HttpServer(listener, entry, lambda request: respond(site, request), PUBLIC, _refused)
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


async def _sample(page: StatusPage) -> None:
    """A point of history at each step; one that could not be read is left out."""
    while True:
        with suppress(Exception):
            page.sample()
        await asyncio.sleep(STEP)


def _obey(link: Link, site: Site, server: HttpServer, measure: Measure, stop: asyncio.Event) -> None:
    order = received(link)
    if order is None:
        stop.set()
    elif isinstance(order, Loaded):
        site.settings = settings = order.settings
        log.configure(settings.log.format, settings.log.level)
        _reload(server, settings)
        measure.follow(settings)


def _reload(server: HttpServer, settings: Settings) -> None:
    """The supervisor has found the files good; one that was changed since leaves the access as it is."""
    try:
        server.access = access.load_access(settings.exporter)
    except StartError as error:
        log.logger().error("access_failed", why=str(error).splitlines())


def _refused(reason: Refusal, peer: str) -> None:
    metrics.HTTP_REFUSED.child(reason).inc()
    log.logger().debug("http_refused", reason=reason.value, peer=peer)
