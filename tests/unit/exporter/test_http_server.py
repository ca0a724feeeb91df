"""The HTTP server: who is served, what a request may be, and that no peer keeps another from its response."""

import asyncio
import base64
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

import bcrypt
import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.exporter import exchange, http_server
from miltscan.exporter.access import Access, load_access
from miltscan.exporter.credentials import Credentials
from miltscan.exporter.exchange import Request, Response
from miltscan.exporter.http_server import HttpServer, Refusal
from miltscan.processes import listener
from tests.harness.certificates import Authority
from tests.harness.processes import PATIENCE, wait_until

PLAIN = load_access(Settings().exporter)
USERS = {"joe": b"$2y$05$WTTddQbV1pswRPfzcs.gcew.OjbCJQl08OgM8SYWkUXia71CzpbIK"}  # of "correct horse"
TOKEN = "0123456789abcdef"  # noqa: S105 - not one of anybody's
GUARDED = replace(PLAIN, credentials=Credentials(USERS, [TOKEN.encode()]), hosts=None)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def page(request: Request) -> Response:
    """Return a response that shows the request; `/large` exceeds all buffers, `/bug` raises."""
    if request.path == "/bug":
        raise RuntimeError("a bug")
    body = b"x" * 20_000_000 if request.path == "/large" else repr((request, request.trusted)).encode()
    return Response(HTTPStatus.OK, body)


@dataclass(slots=True)
class Running:
    """A server in a thread of the test."""

    server: HttpServer
    loop: asyncio.AbstractEventLoop
    refused: list[tuple[Refusal, str]] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port of the server."""
        number: int = self.server.listener.getsockname()[1]
        return number

    @property
    def reasons(self) -> list[Refusal]:
        """The reasons of all refusals so far."""
        return [reason for reason, _peer in self.refused]

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """Return a connection that has sent nothing."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE, source_address=(source, 0))

    def ask(self, request: bytes = GET, source: str = "127.0.0.1") -> tuple[bytes, bytes]:
        """Return head and body of the response to these bytes, both empty if the server disconnects."""
        with self.connect(source) as client:
            with contextlib.suppress(OSError):
                client.sendall(request)
            head, _, body = received(client).partition(b"\r\n\r\n")
            return head, body


def received(client: socket.socket) -> bytes:
    """Return everything until the connection ends, or is reset."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while chunk := client.recv(65536):
            data += chunk
    return data


Start = Callable[[Access], Running]


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a server with this access, until the end of the test."""
    with contextlib.ExitStack() as stack:
        yield lambda access: stack.enter_context(_running(access))


@contextlib.contextmanager
def _running(access: Access) -> Iterator[Running]:
    refused: list[tuple[Refusal, str]] = []
    with listener.bind_http("127.0.0.1", 0) as web:
        server = HttpServer(web, access, page, frozenset({"/public"}), lambda *what: refused.append(what))
        running, thread, stop = _in_thread(server)
        running.refused = refused
        try:
            yield running
        finally:
            running.loop.call_soon_threadsafe(stop)
            thread.join(PATIENCE)
            assert not thread.is_alive()


def _in_thread(server: HttpServer) -> tuple[Running, threading.Thread, Callable[[], object]]:
    began = threading.Event()
    found: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []

    async def main() -> None:
        task = asyncio.create_task(server.serve())
        found.append((asyncio.get_running_loop(), task))
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert began.wait(PATIENCE)
    loop, task = found[0]
    return Running(server, loop), thread, task.cancel


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a timeout that a test can wait for."""
    for module in (exchange, http_server):
        monkeypatch.setattr(module, "STEP_TIMEOUT", 0.3)


def basic(password: str, user: str = "joe") -> bytes:
    """Return a request with these credentials."""
    value = base64.b64encode(f"{user}:{password}".encode())
    return b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " + value + b"\r\n\r\n"


def status(answer: tuple[bytes, bytes]) -> int:
    """Return the status of a response; 0 without a response."""
    return int(answer[0].split(b" ")[1]) if answer[0] else 0


# Requests


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_request_in_pieces(start: Start, size: int) -> None:
    """A request is the same however it is split."""
    request = b"GET /a%20b?c=d&e HTTP/1.1\r\nHost: localhost\r\nX-Name:  value \r\n\r\n"
    with start(PLAIN).connect() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(request), size):
            client.sendall(request[at : at + size])
        body = received(client).partition(b"\r\n\r\n")[2]
    expected = Request("GET", "/a%20b", {"host": "localhost", "x-name": "value"}, "c=d&e")
    assert body == repr((expected, True)).encode()


FOREIGN = b"GET %b HTTP/1.1\r\nHost: rebound.example:9464\r\n\r\n"


@pytest.mark.parametrize("path", [b"/", b"/public"])
def test_a_page_of_another_site_reads_nothing(start: Start, path: bytes) -> None:
    """A browser sends the name of the other site, and the response has the remedy for an administrator."""
    running = start(PLAIN)
    head, body = running.ask(FOREIGN % path)
    assert head.startswith(b"HTTP/1.1 421 Misdirected Request\r\n")
    expected = (
        b'"rebound.example:9464" is not a name of this host. Use its address, or add the name to exporter.hosts.\n'
    )
    assert body == expected
    assert running.reasons == [Refusal.HOST]


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9464", "[::1]:9464", "localhost", socket.gethostname(), "scanner1.example.test:9464", ""]
)
def test_a_scrape_by_address_or_a_known_name_passes(start: Start, host: str) -> None:
    """Prometheus sends the name of its target: an address, this host's name, or one of exporter.hosts."""
    hosts = load_access(parse_settings(b"exporter.hosts = ['Scanner1.Example.test']", "f").exporter)
    assert status(start(hosts).ask(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())) == 200


def test_with_credentials_any_name_will_do(start: Start) -> None:
    """A browser does not send them under another site's name, so they keep its pages out."""
    running = start(GUARDED)
    assert status(running.ask(FOREIGN % b"/")) == 401
    assert status(running.ask(basic("correct horse").replace(b"localhost", b"rebound.example"))) == 200


def test_an_answer_is_framed(start: Start) -> None:
    """A response has its length and announces that the connection closes."""
    head, body = start(PLAIN).ask()
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (fields[b"Content-Length"], fields[b"Connection"]) == (str(len(body)).encode(), b"close")
    assert b"GMT" in fields[b"Date"]


def test_small_writes_are_not_held_back(start: Start) -> None:
    """With Nagle's algorithm a response by TLS would wait 40 ms for an acknowledgement."""
    running = start(PLAIN)
    assert status(running.ask()) == 200
    assert running.server.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_head_request_has_no_body(start: Start) -> None:
    """A response to HEAD has the length of the body but no body."""
    running = start(PLAIN)
    head, body = running.ask(b"HEAD /large HTTP/1.0\r\n\r\n")
    assert b"Content-Length: 20000000" in head
    assert body == b""


@pytest.mark.parametrize("version", [b"0.9", b"2.0"])
def test_a_head_request_of_another_version(start: Start, version: bytes) -> None:
    """A HEAD request of another version is refused without a body, and without a traceback on standard error."""
    running = start(PLAIN)
    answer = running.ask(b"HEAD / HTTP/" + version + b"\r\nHost: localhost\r\n\r\n")
    assert (status(answer), answer[1]) == (505, b"")
    assert running.reasons == [Refusal.REQUEST]


def test_a_bug_is_a_500(start: Start) -> None:
    """An exception becomes a 500, and the next request is served."""
    running = start(PLAIN)
    assert running.ask(b"GET /bug HTTP/1.1\r\nHost: localhost\r\n\r\n")[1] == b"RuntimeError: a bug\n"
    assert status(running.ask()) == 200


def test_why_a_public_page_failed_is_not_for_everybody(start: Start) -> None:
    """Only a client with credentials receives the reason for a failed public page."""

    def broken(_request: Request) -> Response:
        raise RuntimeError("of /run/secret \udcff")

    running = start(GUARDED)
    running.server.answer = broken
    anybody, somebody = (
        running.ask(b"GET /public HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n")
        for header in (b"", f"Authorization: Bearer {TOKEN}\r\n".encode())
    )
    assert (status(anybody), anybody[1]) == (500, b"not ok\n")
    assert (status(somebody), somebody[1]) == (500, b"RuntimeError: of /run/secret \\udcff\n")


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (GET * 50, {200}),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", {400}),
        (b"GET / HTTP/1.0\r\n\r\n", {200}),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 3_000_000, {0, 200}),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"5\r\nhello\r\n" * 10_000,
            {0, 200},
        ),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", {501}),
        (b"GET / HTTP/1.1\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\r\n folded: x\r\n\r\n", {200}),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA\0B: x\r\n\r\n", {400}),
        (b"GET / HTTP/2.0\r\n\r\n", {505}),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}),
        (b"\x80\x03\x01" * 100 + b"\r\n\r\n", {0, 400}),
        (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n", {0, 431}),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 100_000 + b"\r\n", {0, 431}),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\na: " + b"b" * 8000 + b"\r\n\r\n", {200}),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_strange_requests(start: Start, data: bytes, statuses: set[int]) -> None:
    """A strange request receives at most one response, and the next client is served; 0 is a reset connection."""
    running = start(PLAIN)
    head, body = running.ask(data)
    assert status((head, body)) in statuses
    assert b"HTTP/1.1 " not in body
    assert status(running.ask()) == 200


@pytest.mark.parametrize("data", [b"", b"G", b"GET / HTTP/1.1\r\nHost: "])
def test_a_peer_that_goes_away(start: Start, data: bytes) -> None:
    """A peer that only connects is not counted; one that leaves during a request is."""
    running = start(PLAIN)
    with running.connect() as client:
        client.sendall(data)
    wait_until(lambda: status(running.ask()) == 200, PATIENCE, "an answer")
    wait_until(lambda: running.reasons == [Refusal.REQUEST] * bool(data), PATIENCE, f"{running.reasons}")


# Peers


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Refusal.REQUEST),
        (b"GET / HTTP/1.1\r\nHost: ", Refusal.REQUEST),
        (b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n", Refusal.RESPONSE),
    ],
)
def test_a_slow_peer_has_its_time(start: Start, data: bytes, reason: Refusal) -> None:
    """A peer that sends or reads too slowly is disconnected."""
    running = start(PLAIN)
    with running.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(data)
        wait_until(lambda: running.reasons == [reason], PATIENCE, "the end")
        assert len(received(client)) < 20_000_000


def test_a_network_that_is_not_listed(start: Start) -> None:
    """A peer outside the list is disconnected before its request, and a new list applies at once."""
    running = start(replace(PLAIN, allow=PLAIN.allow[1:]))
    assert running.ask() == (b"", b"")
    wait_until(lambda: running.refused == [(Refusal.NETWORK, "127.0.0.1")], PATIENCE, "a refusal")
    running.server.access = PLAIN
    assert status(running.ask()) == 200


def descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only their number


def test_a_crowd_does_not_keep_others_out(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a thousand idle connections of one address, those of another stay open and new ones are served."""
    monkeypatch.setattr(exchange, "STEP_TIMEOUT", 100.0)  # so that no connection ends by itself
    running, before = start(PLAIN), descriptors()
    with contextlib.ExitStack() as stack:
        ten = [stack.enter_context(running.connect("127.0.0.2")) for _ in range(10)]
        for _ in range(1000):
            stack.enter_context(running.connect())
        assert status(running.ask()) == 200
        assert status(running.ask(source="127.0.0.3")) == 200
        for client in ten:
            client.sendall(GET)
            assert received(client).startswith(b"HTTP/1.1 200 ")
        assert {peer for reason, peer in running.refused if reason is Refusal.CROWD} == {"127.0.0.1"}
        assert running.reasons.count(Refusal.CROWD) >= 1000 - 64
        wait_until(lambda: descriptors() <= before + 1010 + 64, PATIENCE, "that those who lost their place are closed")
    wait_until(lambda: descriptors() <= before, PATIENCE, "closed connections")


# Credentials


@pytest.mark.parametrize(
    ("request_bytes", "expected"),
    [
        (GET, 401),
        (basic("correct horse"), 200),
        (basic("wrong"), 401),
        (basic("correct horse", "jim"), 401),
        (GET[:-2] + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode(), 200),
        (GET[:-2] + b"Authorization: Bearer 0123456789abcdeX\r\n\r\n", 401),
        (GET[:-2] + b"Authorization: \r\n\r\n", 401),
        (GET.replace(b"/ ", b"/public "), 200),
        (basic("correct horse").replace(b"/ ", b"/public "), 200),
        (basic("wrong").replace(b"/ ", b"/public "), 401),
        (GET.replace(b"/ ", b"/nothing "), 401),
        (GET.replace(b"/ ", b"/bug "), 401),
    ],
)
def test_credentials(start: Start, request_bytes: bytes, expected: int) -> None:
    """Only a public path needs no credentials, wrong ones are refused everywhere, and no response reveals a path."""
    running = start(GUARDED)
    answer = running.ask(request_bytes)
    assert status(answer) == expected
    if expected == 401:
        assert b'WWW-Authenticate: Basic realm="miltscan", Bearer realm="miltscan"' in answer[0]
        assert running.reasons == [Refusal.CREDENTIALS]
    else:
        trusted = b"Authorization" in request_bytes
        assert answer[1].endswith(b", %s)" % str(trusted).encode())


def test_wrong_passwords_delay_no_other_client(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """While hashes are computed a known client is served, and beyond a bound a client receives 503."""
    running, computing = start(replace(GUARDED, credentials=Credentials(USERS, [TOKEN.encode()]))), threading.Event()
    real = bcrypt.checkpw
    assert status(running.ask(basic("correct horse"))) == 200

    def slow(password: bytes, hashed: bytes) -> bool:
        computing.wait(PATIENCE)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(running.connect()) for _ in range(8)]
        for number, client in enumerate(waiting):
            client.sendall(basic(f"guess {number}"))
        ninth = wait_until(lambda: _busy(running), PATIENCE, "a 503")
        assert b"Retry-After: 1" in ninth[0]
        assert status(running.ask(basic("correct horse"))) == 200
        assert status(running.ask(GET[:-2] + f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())) == 200
        computing.set()
        assert {received(client)[:12] for client in waiting} <= {b"HTTP/1.1 401", b"HTTP/1.1 503"}
    wait_until(lambda: status(running.ask(basic("one more"))) == 401, PATIENCE, "free places")


def _busy(running: Running) -> tuple[bytes, bytes] | None:
    """Return the response to one password too many; None while there is still room for one."""
    with running.connect() as client:
        client.settimeout(0.2)
        client.sendall(basic("one too many"))
        with contextlib.suppress(TimeoutError):
            head, _, body = received(client).partition(b"\r\n\r\n")
            return (head, body) if status((head, body)) == 503 else None
    return None


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a CA for server and client."""
    return Authority(tmp_path_factory.mktemp("ca"))


def encrypted(authority: Authority, client_ca: Path | None = None) -> Access:
    """Return an access with TLS."""
    certificate, key = authority.issue("server")
    table = {"certificate": str(certificate), "key": str(key), "client_ca": str(client_ca or "")}
    return load_access(Settings.model_validate({"exporter": table}).exporter)


def ask_encrypted(running: Running, context: ssl.SSLContext) -> bytes:
    """Return what a client receives by TLS."""
    with running.connect() as raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as client:
        client.sendall(GET)
        return received(client)


def test_tls(start: Start, authority: Authority) -> None:
    """A client that trusts the CA is served, TLS 1.1 and clear text are not, and a new certificate applies at once."""
    running = start(encrypted(authority))
    context = ssl.create_default_context(cafile=authority.certificate)
    assert ask_encrypted(running, context).startswith(b"HTTP/1.1 200 ")
    assert running.reasons == []
    assert running.ask() == (b"", b"")
    wait_until(lambda: running.reasons == [Refusal.TLS], PATIENCE, "a refusal")
    other = Authority(authority.folder / "other")
    running.server.access = encrypted(other)
    with pytest.raises(ssl.SSLCertVerificationError):
        ask_encrypted(running, context)
    assert ask_encrypted(running, ssl.create_default_context(cafile=other.certificate)).startswith(b"HTTP/1.1 200 ")


def test_a_client_certificate(start: Start, authority: Authority) -> None:
    """With a CA for clients, a client without one of its certificates receives nothing."""
    running = start(encrypted(authority, authority.certificate))
    context = ssl.create_default_context(cafile=authority.certificate)
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        assert ask_encrypted(running, context) == b""
    wait_until(lambda: running.reasons == [Refusal.TLS], PATIENCE, "a refusal")
    context.load_cert_chain(*authority.issue("client"))
    assert ask_encrypted(running, context).startswith(b"HTTP/1.1 200 ")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_half_a_handshake_has_its_time(start: Start, authority: Authority, data: bytes) -> None:
    """Hundreds of unfinished handshakes leave room for others, and none stays open."""
    running, before = start(encrypted(authority)), descriptors()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(running.connect())
            with contextlib.suppress(OSError):
                client.sendall(data)
        wait_until(lambda: len(running.reasons) >= 200, PATIENCE, "the end of all")
        assert {*running.reasons} <= {Refusal.TLS, Refusal.CROWD}
    wait_until(lambda: descriptors() <= before, PATIENCE, "closed connections")
