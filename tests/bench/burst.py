"""A burst of mail at a sandwich's own port, and its last stop: both far cheaper than what stands between them.

One message a session, as mail from the Internet comes; the steps before DATA go in one piece (RFC 2920). The last stop
run as a program (`python -m tests.bench.burst PORT FILE`) says 250 to everything, and writes each message's number as
a line of FILE before it does.
"""

import asyncio
import re
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.harness import ports
from tests.harness.client import RECIPIENT, SENDER
from tests.harness.processes import Program, Programs

_LINE = b"A line of seventy-two characters, again and again, as text in mail has.\r\n"
_NUMBER = re.compile(rb"^X-Number: (\d+)\r?$", re.MULTILINE)


def message(number: int, size: int = 3_000) -> bytes:
    """A text of about `size` bytes that no other message equals, or clamd would answer from its cache."""
    head = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: Number {number}\r\nMessage-ID: <{number}@example.org>\r\n"
    return f"{head}X-Number: {number}\r\n\r\nThis is number {number}.\r\n".encode() + _LINE * (size // len(_LINE))


def send(port: int, number: int) -> bool:
    """Sends one message in a session of its own. Whether its final dot was answered by 250; an error is a no."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=300) as connection:
            return _converse(connection, number)
    except OSError:
        return False


def _converse(connection: socket.socket, number: int) -> bool:
    replies = _replies(connection)
    steps = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nDATA\r\n"
    for sent, expected in ((b"", ["220"]), (b"EHLO client\r\n", ["250"]), (steps.encode(), ["250", "250", "354"])):
        connection.sendall(sent)
        if [next(replies, "") for _ in expected] != expected:
            return False
    connection.sendall(message(number) + b".\r\n")
    answered = next(replies, "") == "250"
    connection.sendall(b"QUIT\r\n")
    next(replies, "")
    return answered


def _replies(connection: socket.socket) -> Iterator[str]:
    """The codes of the replies, a whole reply at a time; ends when the server closes."""
    rest = b""
    while received := connection.recv(4096):
        *lines, rest = (rest + received).split(b"\r\n")
        yield from (line[:3].decode("ascii", "replace") for line in lines if line[3:4] != b"-")


@dataclass(frozen=True, slots=True)
class Sent:
    """What the clients heard: the numbers that were answered by 250, and the seconds until the last answer."""

    accepted: list[int]
    seconds: float


def burst(port: int, messages: int, clients: int) -> Sent:
    """So many messages from so many clients at once, each client's next one as soon as the last was answered."""
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda number: send(port, number), range(messages)))
    return Sent([number for number, accepted in enumerate(answers) if accepted], time.monotonic() - began)


@dataclass(frozen=True)
class LastStop:
    """The running last stop; the lines of its file are the numbers it has taken."""

    port: int
    file: Path
    program: Program

    @classmethod
    def start(cls, programs: Programs) -> "LastStop":
        """Starts it; ready on return."""
        port, file = ports.choose().number, programs.folder / "delivered"
        program = programs.start("laststop", [sys.executable, "-m", __name__, str(port), file])
        program.wait_ready(lambda: ports.is_open(port))
        return cls(port, file, program)

    def numbers(self) -> list[int]:
        """What it has taken so far, duplicates included."""
        return [int(line) for line in self.file.read_text().split()]

    def amount(self) -> int:
        """How many lines its file has: cheaper than to read the numbers of a growing file again and again."""
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
    """Serves until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Server(file), "127.0.0.1", port, backlog=511)
    await server.serve_forever()


if __name__ == "__main__":
    Path(sys.argv[2]).touch()
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
