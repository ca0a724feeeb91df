"""A fake rspamd or spamd on loopback whose answers a test sets, for what honest programs never send.

It reads a request to its end, hands it to `answer`, sends what that returns, and closes the connection. GTUBE, by which
the engine tests it, is detected unless `answers_self_test` is False.

    with FakeAntispam(rspamd_says(score=7.0)) as fake:
        engine = AntispamEngine("rspamd", [fake.address], ...)
"""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from miltscan.core.address import InetAddress

Answer = Callable[[bytes], bytes]
_GTUBE = b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL"
_LARGE = 2**20
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def rspamd_says(status: int = 200, **fields: object) -> Answer:
    """An answer of rspamd to any message: an ordinary one but for these fields, of which None is left out."""
    whole = {
        "is_skipped": False,
        "score": 1.0,
        "required_score": 15.0,
        "action": "no action",
        "symbols": {"MIME_GOOD": {"name": "MIME_GOOD", "score": -0.1}},
        "messages": {},
        **fields,
    }
    body = json.dumps({name: value for name, value in whole.items() if value is not None}).encode()
    return lambda _: http(body, status)


def http(body: bytes, status: int = 200) -> bytes:
    """A response."""
    return b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body


def spamd_says(result: str = "False ; 1.0 / 5.0", symbols: str = "SAMPLE") -> Answer:
    """An answer of spamd to any message."""
    head = f"SPAMD/1.1 0 EX_OK\r\nContent-length: {len(symbols)}\r\nSpam: {result}\r\n\r\n"
    return lambda _: (head + symbols).encode()


RSPAMD_GTUBE = rspamd_says(action="reject", score=15.0, is_skipped=True, symbols={"GTUBE": {"score": 0.0}})
SPAMD_GTUBE = spamd_says("True ; 1000.0 / 5.0", "GTUBE,NO_RELAYS")


def either_gtube(request: bytes) -> bytes:
    """The answer of the program whose protocol the request has: only that of rspamd is HTTP."""
    return (RSPAMD_GTUBE if request.startswith(b"POST") else SPAMD_GTUBE)(request)


class FakeAntispam:
    """The server; `requests` are those about messages. Each answer is sent after `delay` seconds."""

    def __init__(self, answer: Answer, gtube: Answer = RSPAMD_GTUBE) -> None:
        self.answer = answer
        self.gtube = gtube
        self.delay = 0.0
        self.answers_self_test = True
        self.hasty = False  # answers a large message before it has read it, and closes the connection
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = InetAddress("127.0.0.1", self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # it may be closed
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = b""
            while not (head := request.partition(b"\r\n\r\n"))[1] or len(head[2]) < _size(head[0]):
                if not (piece := connection.recv(65536)):
                    break
                request += piece
                if self.hasty and _size(head[0]) > _LARGE:
                    break
            if _GTUBE in request:
                connection.sendall((self.gtube if self.answers_self_test else self.answer)(request))
                return
            self.requests.append(request)
            time.sleep(self.delay)
            connection.sendall(self.answer(request))


def _size(head: bytes) -> int:
    found = _LENGTH.search(head)
    return int(found[1]) if found else 0
