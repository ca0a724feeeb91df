"""A small HTTP/1.1 server on one event loop: connection limit, networks, TLS, credentials; one request a connection.

It knows nothing of what it serves: `answer` makes the response to a request. With any input from its peer,
a connection costs bounded memory and at most `STEP_TIMEOUT` seconds for each step (handshake, request, credentials,
response). At the limit a new connection replaces the oldest one of the address that has the most, so that many idle
connections never keep a scrape out.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from http import HTTPStatus

from miltscan.core.text import readable
from miltscan.exporter.access import Access
from miltscan.exporter.credential_check import CredentialCheck
from miltscan.exporter.exchange import REQUEST_LIMIT, STEP_TIMEOUT, Exchange, NotHTTPError, Request, Response
from miltscan.exporter.hosts import is_known

_CONNECTIONS = 64  # open at the same time, at most
_SOCKET_OPTIONS = (  # each connection inherits them
    (socket.SOL_SOCKET, socket.SO_RCVBUF, 16384),  # bytes in the kernel, and so about the most that one read returns
    (socket.SOL_SOCKET, socket.SO_SNDBUF, 131072),  # the same for data that a peer does not read
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # without it a response by TLS is 40 ms late
)
_RESET = struct.pack("ii", 1, 0)  # struct linger: close(2) discards unsent data
_PAUSE = 0.5  # seconds without accept(2) when descriptors have run out


class Refusal(StrEnum):
    """Why a connection or a request was refused; a closed list, for a metric label."""

    NETWORK = "network"  # the peer is in no listed network
    CROWD = "crowd"  # the oldest of too many connections
    TLS = "tls"  # no handshake in time
    REQUEST = "request"  # no HTTP request in time
    HOST = "host"  # by a name that is not one of this host
    CREDENTIALS = "credentials"  # wrong or missing
    BUSY = "busy"  # too many passwords are waiting for their check
    RESPONSE = "response"  # the peer did not read it in time


_DENIED = {
    Refusal.CREDENTIALS: Response(HTTPStatus.UNAUTHORIZED, b"credentials required\n"),
    Refusal.BUSY: Response(HTTPStatus.SERVICE_UNAVAILABLE, b"busy\n", headers={"Retry-After": "1"}),
}


@dataclass(slots=True)
class HttpServer:
    """Serves `answer` on `listener`; `access` may be replaced at any time and holds from the next connection on.

    Paths in `public` need no credentials. `refused` receives the reason and the peer's address of each refusal.
    """

    listener: socket.socket
    access: Access
    answer: Callable[[Request], Response]
    public: frozenset[str]
    refused: Callable[[Refusal, str], None]
    _open: dict["asyncio.Task[None]", str] = field(default_factory=dict)
    _credentials: CredentialCheck = field(default_factory=CredentialCheck)

    async def serve(self) -> None:
        """Accept until cancelled; then close what is open."""
        self.listener.settimeout(0)  # non-blocking
        for option in _SOCKET_OPTIONS:
            self.listener.setsockopt(*option)
        try:
            while True:
                await self._accept()
        finally:
            for task in self._open:
                task.cancel()
            self._credentials.close()

    async def _accept(self) -> None:
        try:
            connection, address = await asyncio.get_running_loop().sock_accept(self.listener)
        except OSError:  # the peer has gone already, or no descriptor is left, which is temporary
            await asyncio.sleep(_PAUSE)
            return
        peer: str = address[0]
        if self.access.admits(peer):
            self._begin(connection, peer)
        else:
            self.refused(Refusal.NETWORK, peer)
            connection.close()
        await asyncio.sleep(0)  # let the open connections proceed

    def _begin(self, connection: socket.socket, peer: str) -> None:
        if len(self._open) >= _CONNECTIONS:
            self._drop_oldest()
        task = asyncio.get_running_loop().create_task(self._connection(connection, peer))
        self._open[task] = peer

        def end(task: "asyncio.Task[None]") -> None:  # a callback also runs for a task that was cancelled at once
            self._open.pop(task, None)
            connection.close()

        task.add_done_callback(end)

    def _drop_oldest(self) -> None:
        """Drop the oldest connection of the address that has the most."""
        address = Counter(self._open.values()).most_common(1)[0][0]
        oldest = next(task for task, peer in self._open.items() if peer == address)
        del self._open[oldest]
        oldest.cancel()
        self.refused(Refusal.CROWD, address)

    async def _connection(self, connection: socket.socket, peer: str) -> None:
        """Serve one connection; an error of the peer ends this connection and nothing else."""
        access = self.access
        try:
            reader, writer = await _streams(connection, access)
        except (TimeoutError, OSError):
            self.refused(Refusal.TLS, peer)
            return
        try:
            await self._exchange(Exchange(reader, writer), access, peer)
        finally:
            if not writer.is_closing():  # the peer had its time: leave no unsent data in the kernel
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _exchange(self, exchange: Exchange, access: Access, peer: str) -> None:
        """Read one request and send one response."""
        step = Refusal.REQUEST
        try:
            request = await exchange.request()
            if request is None:  # the peer only connected
                return
            response = await self._response(request, access, peer)
            step = Refusal.RESPONSE
            await exchange.respond(response)
        except NotHTTPError as error:
            self.refused(step, peer)
            with suppress(TimeoutError, OSError):
                await exchange.respond(Response(error.status, b"not HTTP\n"))
        except (TimeoutError, OSError):
            self.refused(step, peer)

    async def _response(self, request: Request, access: Access, peer: str) -> Response:
        host = request.headers.get("host", "")
        if access.hosts is not None and not is_known(host, access.hosts):
            self.refused(Refusal.HOST, peer)
            name = readable(host, 100)
            text = f'"{name}" is not a name of this host. Use its address, or add the name to exporter.hosts.\n'
            return Response(HTTPStatus.MISDIRECTED_REQUEST, text.encode())
        denial = await self._denial(request, access)
        if denial is None:
            return _guarded(self.answer, request)
        if denial is Refusal.CREDENTIALS and "authorization" not in request.headers and request.path in self.public:
            return _guarded(self.answer, replace(request, trusted=False))
        self.refused(denial, peer)
        challenge = ", ".join(f'{scheme} realm="miltscan"' for scheme in access.credentials.schemes)
        headers = {"WWW-Authenticate": challenge} if denial is Refusal.CREDENTIALS else {}
        return replace(_DENIED[denial], headers={**_DENIED[denial].headers, **headers})

    async def _denial(self, request: Request, access: Access) -> Refusal | None:
        """Return why the credentials of the request are refused; None if they are valid or not required."""
        if not access.credentials.schemes:
            return None
        try:
            async with asyncio.timeout(STEP_TIMEOUT):
                valid = await self._credentials.are_valid(access.credentials, request.headers.get("authorization", ""))
        except TimeoutError:
            valid = None
        if valid is None:
            return Refusal.BUSY
        return None if valid else Refusal.CREDENTIALS


async def _streams(connection: socket.socket, access: Access) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return reader and writer, with TLS after the handshake. Raises TimeoutError, OSError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=REQUEST_LIMIT)
    protocol = asyncio.StreamReaderProtocol(reader)
    tls = {"ssl_handshake_timeout": STEP_TIMEOUT, "ssl_shutdown_timeout": STEP_TIMEOUT} if access.tls else {}
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=access.tls, **tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _guarded(answer: Callable[[Request], Response], request: Request) -> Response:
    """Return the response, or a 500 if `answer` raises, for example at a metrics file that is just being created.

    The text of the exception may name paths and hosts: only a peer with credentials receives it.
    """
    try:
        return answer(request)
    except Exception as error:  # noqa: BLE001 - the exporter must survive to answer the next scrape
        why = readable(f"{type(error).__name__}: {error}") if request.trusted else "not ok"
        return Response(HTTPStatus.INTERNAL_SERVER_ERROR, f"{why}\n".encode())
