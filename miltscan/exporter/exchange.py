"""One HTTP request and its response over a pair of asyncio streams, within limits; h11 reads and writes the protocol.

Each step has a timeout. This module opens and accepts no connection, and does not decide who may request what.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import h11

STEP_TIMEOUT = 5.0  # seconds for each step; the default timeout of a scrape by Prometheus is 10
REQUEST_LIMIT = 8192  # bytes of request line and headers, as in Apache and nginx


@dataclass(frozen=True, slots=True)
class Request:
    """The part of an HTTP request that matters here; header names are in lower case.

    `trusted` is whether the peer has shown the credentials that the access requires; a public path needs none.
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
    """The peer sent something that is not HTTP; `status` is for the response."""

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
        """Return the request, None if the peer closes first. Raises TimeoutError, OSError, NotHTTPError."""
        async with asyncio.timeout(STEP_TIMEOUT):
            try:
                while (event := self._protocol.next_event()) is h11.NEED_DATA:
                    self._protocol.receive_data(await self._reader.read(REQUEST_LIMIT))
            except h11.RemoteProtocolError as error:
                raise NotHTTPError(error.error_status_hint) from None
        if not isinstance(event, h11.Request):
            return None
        self._head_only = event.method == b"HEAD"  # also for a request that is refused for its version
        if not event.http_version.startswith(b"1."):
            raise NotHTTPError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        path, _, query = event.target.decode("latin-1").partition("?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        return Request(event.method.decode("latin-1"), path, headers, query)

    async def respond(self, response: Response) -> None:
        """Send the response, for HEAD without its body, and end the connection.

        Raises TimeoutError or OSError if the peer does not read it.
        """
        async with asyncio.timeout(STEP_TIMEOUT):
            self._writer.transport.set_write_buffer_limits(0)  # drain() then waits until all is written
            self._writer.write(self._encoded(response))
            await self._writer.drain()
            self._writer.close()
            with suppress(OSError):  # the peer has the response: how it closes does not matter
                await self._writer.wait_closed()

    def _encoded(self, response: Response) -> bytes:
        head = h11.Response(
            status_code=response.status.value,
            reason=response.status.phrase.encode(),
            headers=[
                ("Content-Type", response.content_type),
                ("Content-Length", str(len(response.body))),
                ("Date", formatdate(usegmt=True)),
                ("Connection", "close"),
                *response.headers.items(),
            ],
        )
        body = b"" if self._head_only else response.body
        events = (head, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self._protocol.send(event) or b"" for event in events)
