"""The exporter: a process of its own that answers /metrics, /healthz and /readyz; it counts nothing itself.

One thread, one event loop: a connection costs a little memory and at most `_REQUEST_TIMEOUT` seconds, whatever its
peer sends or fails to read, so nobody can keep a scrape from its answer by being slow, huge or wrong.
"""

import asyncio
import gzip
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, gzip_accepted

from miltscan.config.settings import Settings
from miltscan.errors import StartError
from miltscan.service.supervisor import Link, received
from miltscan.telemetry import metrics

_REQUEST_TIMEOUT = 5  # seconds for request and response each; Prometheus gives up after 10 by default
_REQUEST_LIMIT = 8192  # bytes of request line and headers, as in Apache and nginx
_CONNECTIONS = 64
_CANARIES_MISSED = 3  # a service whose last passed canary is older than this many intervals is not ready
_INDEX = b"""<!doctype html><title>miltscan</title>
<p><a href="/metrics">metrics</a> <a href="/healthz">healthz</a> <a href="/readyz">readyz</a>
"""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response without its framing."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """The part of an HTTP request that matters here; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


def bind(host: str, port: int) -> socket.socket:
    """The listening socket (port 0: any free one). To be called before the fork. Raises StartError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_CONNECTIONS)
    except OSError as error:
        raise StartError(
            f"exporter.listen: cannot listen on {host}:{port}: {error.strerror}; is another service there?"
        ) from error


def serve(listener: socket.socket, directory: Path, settings: Settings, link: Link | None = None) -> None:
    """Answer until SIGTERM, or until the supervisor's end of `link` closes; new settings that come down it count."""
    asyncio.run(_serve(listener, directory, settings, link))


def ready_within(settings: Settings) -> float:
    """How old (seconds) a passed canary may be for the service to be ready."""
    return _CANARIES_MISSED * settings.clamd.canary_interval


def respond(request: Request, directory: Path, within: float) -> Response:
    """The response to a request, from what stands in the metrics directory now."""
    if request.method not in {"GET", "HEAD"}:
        return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET or HEAD\n", headers={"Allow": "GET, HEAD"})
    match request.path:
        case "/":
            return Response(HTTPStatus.OK, _INDEX, "text/html; charset=utf-8")
        case "/metrics":
            return _metrics(request, metrics.collected(directory))
        case "/healthz":
            return _health(_no_worker(_samples(directory)))
        case "/readyz":
            return _health(unready(_samples(directory), time.time(), within))
    return Response(HTTPStatus.NOT_FOUND, b"not here\n")


def _metrics(request: Request, registry: CollectorRegistry) -> Response:
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    body = encode(registry)
    if not gzip_accepted(request.headers.get("accept-encoding", "")):
        return Response(HTTPStatus.OK, body, content_type)
    return Response(HTTPStatus.OK, gzip.compress(body, 1), content_type, {"Content-Encoding": "gzip"})


Samples = Mapping[str, Mapping[str, float]]
"""Values by metric name and by the value of the label `server` (empty where there is none)."""


def _samples(directory: Path) -> Samples:
    found: dict[str, dict[str, float]] = {}
    for metric in metrics.collected(directory).collect():
        for sample in metric.samples:
            found.setdefault(sample.name, {})[sample.labels.get("server", "")] = sample.value
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


def _fault(server: str, age: float, within: float, *, up: bool) -> str | None:
    if age > within:
        return f"{server}: passed its canary {age:.0f} s ago, more than {within:g}"
    return None if up else f"{server}: is down, its canary passed {age:.0f} s ago"


def _no_worker(samples: Samples) -> list[str]:
    running = samples.get(metrics.WORKERS.name, {}).get("", 0)
    return [] if running >= 1 else ["no worker runs"]


def _health(reasons: list[str]) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if reasons else HTTPStatus.OK
    return Response(status, "".join(f"{line}\n" for line in reasons or ["ok"]).encode())


async def _serve(listener: socket.socket, directory: Path, settings: Settings, link: Link | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if link:
        loop.add_reader(link.fileno(), lambda: obey(link))

    def obey(link: Link) -> None:
        nonlocal settings
        order = received(link)
        if order is None:
            stop.set()
        elif isinstance(order, Settings):
            settings = order

    def answer(request: Request) -> Response:
        return respond(request, directory, ready_within(settings))

    slots = asyncio.Semaphore(_CONNECTIONS)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not slots.locked():
            async with slots:
                await _connection(reader, writer, answer)
        writer.transport.abort()  # closed already, or whoever it is has had his time

    server = await asyncio.start_server(connection, sock=listener, limit=_REQUEST_LIMIT)
    await stop.wait()
    server.close()


async def _connection(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Callable[[Request], Response]
) -> None:
    """One request, one response. What the peer does wrong ends the connection and nothing else."""
    try:
        async with asyncio.timeout(_REQUEST_TIMEOUT):
            request = parse(await reader.readuntil(b"\r\n\r\n"))
        response = _guarded(answer, request) if request else Response(HTTPStatus.BAD_REQUEST, b"not HTTP\n")
        head_only = request is not None and request.method == "HEAD"
        async with asyncio.timeout(_REQUEST_TIMEOUT):
            writer.write(encode(response, head_only=head_only))
            await writer.drain()
            writer.close()
            await writer.wait_closed()
    except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return


def _guarded(answer: Callable[[Request], Response], request: Request) -> Response:
    """A file that a process is just creating cannot be read yet: the next scrape finds it whole."""
    try:
        return answer(request)
    except Exception as error:  # noqa: BLE001 - whatever it is, the exporter has to live to answer the next scrape
        return Response(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: {error}\n".encode())


def parse(data: bytes) -> Request | None:
    """The request in the bytes up to the empty line; None if it is no HTTP/1 request (RFC 9112 section 3)."""
    first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
        return None
    fields = [line.partition(":") for line in lines]
    if any(not colon for _, colon, _ in fields):
        return None
    headers = {name.lower(): value.strip() for name, _, value in fields}
    return Request(words[0], words[1].partition("?")[0], headers)


def encode(response: Response, *, head_only: bool) -> bytes:
    """The bytes of an HTTP/1.1 response that ends its connection."""
    headers = {
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "Connection": "close",
        **response.headers,
    }
    lines = [
        f"HTTP/1.1 {response.status.value} {response.status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if head_only else response.body)
