"""A small HTTP/1.1 server on one event loop: places, networks, TLS, credentials; one request a connection.

It knows nothing of what it serves: `answer` makes a response of a request. A connection costs bounded memory and at
most `PATIENCE` seconds for each step (handshake, request, credentials, response), whatever its peer sends or fails to
read. When all places are taken, a new connection gets that of the oldest one of the address that holds the most of
them: a crowd of idle connections never keeps a scrape out.
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
from miltscan.exporter.exchange import PATIENCE, REQUEST_LIMIT, Exchange, NotHTTPError, Request, Response
from miltscan.exporter.gate import CredentialCheck

_CONNECTIONS = 64  # open at once, at most
_SOCKET_OPTIONS = (  # each connection inherits them
    (socket.SOL_SOCKET, socket.SO_RCVBUF, 16384),  # bytes in the kernel, and so about the most that one read brings
    (socket.SOL_SOCKET, socket.SO_SNDBUF, 131072),  # the same for what a peer does not read
    (
        socket.IPPROTO_TCP,
        socket.TCP_NODELAY,
        1,
    ),  # else an answer by TLS comes 40 ms late, which asyncio does not prevent
)
_RESET = struct.pack("ii", 1, 0)  # struct linger: close(2) forgets what is unsent
_PAUSE = 0.5  # seconds without accept(2) when descriptors have run out


class Refusal(StrEnum):
    """Why a connection or a request was not served; a closed list, fit for a label."""

    NETWORK = "network"  # the peer is in no listed network
    CROWD = "crowd"  # the oldest of too many connections
    TLS = "tls"  # no handshake, or none in time
    REQUEST = "request"  # no HTTP request, or none in time
    CREDENTIALS = "credentials"  # wrong, or none where they are needed
    BUSY = "busy"  # too many passwords wait to be checked
    RESPONSE = "response"  # not taken in time


_DENIED = {
    Refusal.CREDENTIALS: Response(HTTPStatus.UNAUTHORIZED, b"credentials, please\n"),
    Refusal.BUSY: Response(HTTPStatus.SERVICE_UNAVAILABLE, b"busy\n", headers={"Retry-After": "1"}),
}


@dataclass(slots=True)
class HttpServer:
    """Serves `answer` on `listener`; `access` may be replaced at any time and counts from the next connection on.

    Paths in `public` need no credentials. `refused` is told a reason and the peer's address.
    """

    listener: socket.socket
    access: Access
    answer: Callable[[Request], Response]
    public: frozenset[str]
    refused: Callable[[Refusal, str], None]
    _open: dict["asyncio.Task[None]", str] = field(default_factory=dict)
    _gate: CredentialCheck = field(default_factory=CredentialCheck)

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
            self._gate.close()

    async def _accept(self) -> None:
        try:
            connection, address = await asyncio.get_running_loop().sock_accept(self.listener)
        except OSError:  # the peer has gone already, or no descriptor is left: that passes
            await asyncio.sleep(_PAUSE)
            return
        peer: str = address[0]
        if self.access.admits(peer):
            self._begin(connection, peer)
        else:
            self.refused(Refusal.NETWORK, peer)
            connection.close()
        await asyncio.sleep(0)  # the open connections have their turn

    def _begin(self, connection: socket.socket, peer: str) -> None:
        if len(self._open) >= _CONNECTIONS:
            self._make_room()
        task = asyncio.get_running_loop().create_task(self._connection(connection, peer))
        self._open[task] = peer
        task.add_done_callback(lambda task: self._end(task, connection))

    def _end(self, task: "asyncio.Task[None]", connection: socket.socket) -> None:
        """However it ended, be it before it began."""
        self._open.pop(task, None)
        connection.close()

    def _make_room(self) -> None:
        crowd = Counter(self._open.values()).most_common(1)[0][0]
        oldest = next(task for task, peer in self._open.items() if peer == crowd)
        del self._open[oldest]
        oldest.cancel()
        self.refused(Refusal.CROWD, crowd)

    async def _connection(self, connection: socket.socket, peer: str) -> None:
        """What the peer does wrong ends this connection and nothing else."""
        access = self.access
        try:
            reader, writer = await _streams(connection, access)
        except (TimeoutError, OSError):
            self.refused(Refusal.TLS, peer)
            return
        try:
            await self._exchange(Exchange(reader, writer), access, peer)
        finally:
            if not writer.is_closing():  # whoever it is has had his time, and nothing of ours stays in the kernel
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()

    async def _exchange(self, exchange: Exchange, access: Access, peer: str) -> None:
        """One request, one response."""
        step = Refusal.REQUEST
        try:
            request = await exchange.request()
            if request is None:  # somebody has tried the port
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
        """Why the credentials of the request do not do; None if they do, or if none are needed."""
        if not access.credentials.schemes:
            return None
        try:
            async with asyncio.timeout(PATIENCE):
                right = await self._gate.right(access.credentials, request.headers.get("authorization", ""))
        except TimeoutError:
            right = None
        if right is None:
            return Refusal.BUSY
        return None if right else Refusal.CREDENTIALS


async def _streams(connection: socket.socket, access: Access) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Reader and writer, past the handshake if there is one. TimeoutError, OSError."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=REQUEST_LIMIT)
    protocol = asyncio.StreamReaderProtocol(reader)
    tls = {"ssl_handshake_timeout": PATIENCE, "ssl_shutdown_timeout": PATIENCE} if access.tls else {}
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=access.tls, **tls)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def _guarded(answer: Callable[[Request], Response], request: Request) -> Response:
    """A file that a process is just creating cannot be read yet: the next scrape finds it whole.

    The reason may name paths and hosts: it is for those who have shown who they are.
    """
    try:
        return answer(request)
    except Exception as error:  # noqa: BLE001 - whatever it is, the exporter has to live to answer the next scrape
        why = readable(f"{type(error).__name__}: {error}") if request.trusted else "not ok"
        return Response(HTTPStatus.INTERNAL_SERVER_ERROR, f"{why}\n".encode())
