"""One HTTP request and its response over a pair of asyncio streams, within limits; h11 reads and writes the protocol.

Each step ends by its deadline. It opens and accepts no connection, and decides nothing about who may ask what.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import h11

PATIENCE = 5.0  # seconds for each step; Prometheus gives up after 10 by default
REQUEST_LIMIT = 8192  # bytes of request line and headers, as in Apache and nginx


@dataclass(frozen=True, slots=True)
class Request:
    """The part of an HTTP request that matters here; header names in lower case.

    `trusted`: its peer has shown all that the access asks for. A public path is answered without.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response without its framing."""

    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)


class NotHTTPError(Exception):
    """The peer has sent something else; it may still be told so, with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = HTTPStatus(status)


class Exchange:
    """The state of one connection, which ends with its response."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._protocol = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_LIMIT)
        self._head_only = False

    async def request(self) -> Request | None:
        """The request; None if the peer ends the connection without one. TimeoutError, OSError, NotHTTPError."""
        async with asyncio.timeout(PATIENCE):
            while (event := self._next_event()) is h11.NEED_DATA:
                self._protocol.receive_data(await self._reader.read(REQUEST_LIMIT))
        if not isinstance(event, h11.Request):
            return None
        self._head_only = event.method == b"HEAD"  # of one that is refused for its version too
        return _request(event)

    def _next_event(self) -> "h11.Event | type[h11.NEED_DATA | h11.PAUSED]":
        try:
            return self._protocol.next_event()
        except h11.RemoteProtocolError as error:
            raise NotHTTPError(error.error_status_hint) from None

    async def respond(self, response: Response) -> None:
        """Send it, or its head if no more was asked for, and end the connection.

        TimeoutError, OSError if the peer does not take it.
        """
        async with asyncio.timeout(PATIENCE):
            self._writer.transport.set_write_buffer_limits(0)  # drained means all of it
            self._writer.write(self._encoded(response))
            await self._writer.drain()
            self._writer.close()
            with suppress(OSError):  # the peer has what it wanted: how it goes is its own affair
                await self._writer.wait_closed()

    def _encoded(self, response: Response) -> bytes:
        head = h11.Response(
            status_code=response.status.value, reason=response.status.phrase.encode(), headers=_headers(response)
        )
        body = b"" if self._head_only else response.body
        events = (head, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self._protocol.send(event) or b"" for event in events)


def _request(event: h11.Request) -> Request:
    if not event.http_version.startswith(b"1."):
        raise NotHTTPError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    path, _, query = event.target.decode("latin-1").partition("?")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
    return Request(event.method.decode("latin-1"), path, headers, query)


def _headers(response: Response) -> list[tuple[str, str]]:
    return [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Date", formatdate(usegmt=True)),
        ("Connection", "close"),
        *response.headers.items(),
    ]
