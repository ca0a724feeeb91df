"""Sends data of decided messages from a worker to another process of the service, and never waits for it.

A worker keeps the reports and sends them a few times a second: as JSON, many in a datagram, on a socket that never
blocks. What finds no room waits in the worker, up to `WAITING` reports; the next ones are dropped and counted.
"""

import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson

from miltscan.core.report import Report

WAITING = 2000  # reports that a worker keeps at most while the other process reads none
DATAGRAM = 100_000  # bytes at most; half of what a unix socket holds by default (net.core.wmem_default)
_ENOUGH = 50_000  # bytes up to which records share a datagram; a larger one, below DATAGRAM, has its own
_BATCH = 50  # records in a datagram
_AT_ONCE = 512  # records that are read: with traces below the 4 MB that collectors accept

Record = dict[str, Any]
"""The data of one message, as JSON has it."""


class ReportStream:
    """A worker's end of such a channel; `record` makes the data of a report and the time of its end (epoch, ns).

    `dropped` is called for each report that is lost.
    """

    def __init__(
        self, channel: socket.socket, record: Callable[[Report, int], Record], dropped: Callable[[], object]
    ) -> None:
        self._channel = channel
        self._record = record
        self._dropped = dropped
        self._reports: deque[tuple[int, Report]] = deque()

    def add(self, report: Report) -> None:
        """Keep the report of a message that was just decided. Any thread may call it; it costs an append."""
        if len(self._reports) < WAITING:
            self._reports.append((time.time_ns(), report))
        else:
            self._dropped()

    def send(self) -> None:
        """Send the reports; those that find no room wait for the next call. Only one thread may call it."""
        while self._reports:
            data, number = self._pack()
            if not self._sent(data):
                return
            for _ in range(number):
                self._reports.popleft()

    def _pack(self) -> tuple[bytes, int]:
        """Return the first reports as a datagram, and their number."""
        parts: list[bytes] = []
        for number in range(min(_BATCH, len(self._reports))):
            ended, report = self._reports[number]
            data = orjson.dumps(self._record(report, ended))
            if parts and sum(map(len, parts)) + len(data) > _ENOUGH:
                break
            parts.append(data)
        return b"[" + b",".join(parts) + b"]", len(parts)

    def _sent(self, data: bytes) -> bool:
        try:
            self._channel.send(data, socket.MSG_DONTWAIT)
        except OSError:  # the socket is full, or the other process is just being replaced
            return False
        return True


def open_stream() -> tuple[socket.socket, socket.socket]:
    """Return the workers' end and that of the process that reads; make them before the fork."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)  # datagrams, so that each arrives whole


def received_records(channel: socket.socket) -> list[Record]:
    """Return the records that have arrived on a non-blocking socket, at most about `_AT_ONCE`."""
    records: list[Record] = []
    while len(records) < _AT_ONCE:
        try:
            records += orjson.loads(channel.recv(2 * DATAGRAM))
        except BlockingIOError:
            break
    return records
