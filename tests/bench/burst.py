"""A burst of mail to the port of a sandwich, and a last stop for it: both far cheaper than the sandwich between them.

Each message has its own session, like most mail from the Internet. The commands before DATA go in one piece (RFC 2920).
The last stop, a program (`python -m tests.bench.burst PORT FILE`), replies 250 to everything, and first writes each
message's number as a line to FILE.
"""

import asyncio
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.harness import ports
from tests.harness.client import RECIPIENT, SENDER
from tests.harness.processes import Program, Programs

_LINE = b"A line of seventy-two characters, again and again, as text in mail has.\r\n"
_NUMBER = re.compile(rb"^X-Number: (\d+)\r?$", re.MULTILINE)


def message(number: int, size: int = 3_000, body: bytes = b"") -> bytes:
    """Return a unique text of about `size` bytes, first `body`; clamd would answer a repeated one from its cache."""
    head = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: Number {number}\r\nMessage-ID: <{number}@example.org>\r\n"
    text = f"\r\nThis is number {number}.\r\n".encode() + _LINE * (size // len(_LINE))
    return f"{head}X-Number: {number}\r\n\r\n".encode() + body + text


def send(port: int, number: int, body: bytes = b"") -> bool:
    """Send one message in its own session. Return whether the reply to its final dot was 250; an error is a no."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
            return _converse(connection, message(number, body=body))
    except OSError:
        return False


def _converse(connection: socket.socket, text: bytes) -> bool:
    replies = _replies(connection)
    steps = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n"
    for sent, expected in ((b"", ["220"]), (b"EHLO client\r\n", ["250"]), (steps.encode(), ["250", "250", "354"])):
        connection.sendall(sent)
        if [next(replies, "") for _ in expected] != expected:
            return False
    connection.sendall(text + b".\r\n")
    answered = next(replies, "") == "250"
    connection.sendall(b"QUIT\r\n")
    next(replies, "")
    return answered


def _replies(connection: socket.socket) -> Iterator[str]:
    """Yield the code of each complete reply until the server closes."""
    rest = b""
    while received := connection.recv(4096):
        *lines, rest = (rest + received).split(b"\r\n")
        yield from (line[:3].decode("ascii", "replace") for line in lines if line[3:4] != b"-")


@dataclass(frozen=True, slots=True)
class Sent:
    """The result for the clients: the numbers that received 250, and the seconds until the last reply."""

    accepted: list[int]
    seconds: float


def burst(port: int, messages: int, clients: int, body: Callable[[int], bytes] = lambda _number: b"") -> Sent:
    """Send the messages from several clients at once; each sends its next one as soon as the last has a reply.

    `body` returns what the text of a message begins with.
    """
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda number: send(port, number, body(number)), range(messages)))
    return Sent([number for number, accepted in enumerate(answers) if accepted], time.monotonic() - began)


@dataclass(frozen=True)
class LastStop:
    """The running last stop; the lines of its file are the numbers that it accepted."""

    port: int
    file: Path
    program: Program

    @classmethod
    def start(cls, programs: Programs) -> "LastStop":
        """Start it; it is ready on return."""
        port, file = ports.choose().number, programs.folder / "delivered"
        program = programs.start("laststop", [sys.executable, "-m", __name__, str(port), file])
        program.wait_ready(lambda: ports.is_open(port))
        return cls(port, file, program)

    def numbers(self) -> list[int]:
        """Return the numbers accepted so far, duplicates included."""
        return [int(line) for line in self.file.read_text().split()]

    def amount(self) -> int:
        """Return the number of lines in its file, which is cheaper than reading a growing file again and again."""
        return self.file.read_bytes().count(b"\n")


class _Server(asyncio.Protocol):
    """One session."""

    def __init__(self, file: Path) -> None:
        self.output = file.open("ab", buffering=0)
        self.waiting = bytearray()
        self.in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"220 laststop ESMTP\r\n")

    def connection_lost(self, _error: Exception | None) -> None:
        self.output.close()

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while self._take(b"\r\n.\r\n" if self.in_data else b"\r\n"):
            pass

    def _take(self, end: bytes) -> bool:
        taken, found, rest = self.waiting.partition(end)
        if found:
            self.waiting = bytearray(rest)
            self.transport.write(self._stored(bytes(taken)) if self.in_data else self._answer(bytes(taken)))
        return bool(found)

    def _stored(self, content: bytes) -> bytes:
        self.in_data = False
        number = _NUMBER.search(content)
        self.output.write(number[1] + b"\n" if number else b"-1\n")
        return b"250 2.0.0 taken\r\n"

    def _answer(self, line: bytes) -> bytes:
        command = line.upper()
        self.in_data = command.startswith(b"DATA")
        if self.in_data:
            return b"354 go on\r\n"
        if command.startswith(b"EHLO"):
            return b"250-laststop\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        if command.startswith(b"QUIT"):
            self.transport.close()
        return b"250 2.0.0 ok\r\n"


async def serve(port: int, file: Path) -> None:
    """Serve until the process is terminated."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(file), "127.0.0.1", port, backlog=511)
    await server.serve_forever()


if __name__ == "__main__":
    Path(sys.argv[2]).touch()
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
