"""A fake clamd on a unix or TCP socket of loopback, with answers that a test sets, for tests of the clamd engine.

It speaks INSTREAM, FILDES, PING, VERSION, STATS, RELOAD and IDSESSION, prefixed by z (NUL ends) or n (LF ends), one
thread per connection. How it answers scans is a behaviour of `tests/fakes/clamd_lies.py`, changeable at any time. It
scans nothing but for the EICAR string, and inside an IDSESSION it answers in order.

    with FakeClamd.unix(folder / "clamd.ctl") as clamd:
        clamd.behaviour = unless_canary(half_reply)
"""

import contextlib
import os
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from tests.fakes.clamd_lies import Behaviour, honest

BACKLOG: Final = 128
POLL: Final = 0.02  # seconds between looks at "shall I stop?"
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds
ANSWERS: Final = {
    b"PING": b"PONG",
    b"VERSION": b"ClamAV 1.4.3/27700/Sat Jan  3 10:00:00 2026",
    b"STATS": b"POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live 1  idle 0 max 10 idle-timeout 30\nQUEUE: 0 items\nEND",
    b"RELOAD": b"RELOADING",
}


class Connection:
    """One client's socket, read byte by byte where needed, so that nothing unasked for is taken from it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.fds: deque[int] = deque()

    def some(self, size: int) -> bytes:
        """At most `size` bytes and the descriptors that came with them; EOFError at the end."""
        data, fds, _flags, _address = socket.recv_fds(self.socket, size, 4)
        self.fds.extend(fds)
        if not data:
            raise EOFError
        return data

    def exactly(self, size: int) -> bytes:
        """These many bytes; EOFError if the client stops before."""
        data = bytearray()
        while len(data) < size:
            data += self.some(min(size - len(data), 65536))
        return bytes(data)

    def command(self) -> tuple[bytes, bytes]:
        """The next command without its prefix, and the byte that ends it and its reply."""
        first = self.some(1)
        end = b"\0" if first == b"z" else b"\n"
        line = b"" if first in (b"z", b"n") else first
        while not line.endswith(end):
            line += self.some(1)
        return line.removesuffix(end), end

    def stream(self) -> Iterator[bytes]:
        """The chunks of an INSTREAM up to the empty one."""
        while size := int.from_bytes(self.exactly(4)):
            yield self.exactly(size)

    def file(self) -> Iterator[bytes]:
        """The content of the descriptor that comes with FILDES, from its first byte, wherever its offset is."""
        offset = 0
        while data := os.pread(self.fds[0], 65536, offset):
            offset += len(data)
            yield data

    def close(self) -> None:
        """Close the socket and every descriptor received; may be called twice."""
        self.socket.close()
        self.close_fds()

    def close_fds(self) -> None:
        """Close every descriptor received."""
        while self.fds:
            os.close(self.fds.popleft())


class ClientScan:
    """One scan, as `tests.fakes.clamd_lies.Scan` describes it."""

    def __init__(self, server: "FakeClamd", connection: Connection, command: bytes, number: bytes, end: bytes) -> None:
        self._server = server
        self._connection = connection
        self._stream = command == b"INSTREAM"
        self._pieces = connection.stream() if self._stream else connection.file()
        self._content = bytearray()
        self._number = number
        self._end = end

    def peek(self, size: int) -> bytes:
        """At least `size` bytes of the content, less only where it ends before."""
        while len(self._content) < size and (piece := next(self._pieces, b"")):
            self._content += piece
        return bytes(self._content)

    def content(self) -> bytes:
        """All of the content; the server remembers it for the test."""
        for piece in self._pieces:
            self._content += piece
        self._server.contents.append(bytes(self._content))
        return self._server.contents[-1]

    def reply(self, text: bytes) -> bytes:
        """The bytes that answer(text) sends."""
        name = b"stream" if self._stream else b"fd[%d]" % self._connection.fds[0]
        return self._number + name + b": " + text + self._end

    def answer(self, text: bytes) -> None:
        """Send a whole reply."""
        self.send(self.reply(text))

    def say(self, text: bytes) -> None:
        """Send a reply without the name in front."""
        self.send(self._number + text + self._end)

    def send(self, data: bytes) -> None:
        """Send these bytes and no others."""
        self._connection.socket.sendall(data)

    def close(self, *, reset: bool = False) -> None:
        """Close the connection, with a reset if asked for."""
        if reset:
            self._connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._connection.close()

    def wait(self, event: threading.Event) -> bool:
        """Wait for the event, or (False) for the end of the server."""
        while not self._server.stopping.is_set():
            if event.wait(POLL):
                return True
        return False


class FakeClamd:
    """The server; a context manager. All attributes may be changed while it runs.

    behaviour: how scans are answered. answers: replies to the simple commands. fildes_refusal: the reply to FILDES when
    it is not None. contents: what was scanned, the latest 32. commands: what was asked, in order.
    """

    def __init__(self, listener: socket.socket, address: str, behaviour: Behaviour = honest) -> None:
        self.address = address
        self.behaviour = behaviour
        self.answers = dict(ANSWERS)
        self.fildes_refusal: bytes | None = None
        self.contents: deque[bytes] = deque(maxlen=32)
        self.commands: list[bytes] = []
        self.stopping = threading.Event()
        self._listener = listener
        self._accepting = threading.Lock()
        self._connections: dict[threading.Thread, Connection] = {}
        self._acceptor = threading.Thread(target=self._accept_all, daemon=True)

    @property
    def endpoint(self) -> str | tuple[str, int]:
        """The address for socket.connect()."""
        name: str | tuple[str, int] = self._listener.getsockname()
        return name

    @classmethod
    def unix(cls, path: Path, behaviour: Behaviour = honest) -> Self:
        """Listen at `path`; the address is `unix:PATH`."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        return cls(listener, f"unix:{path}", behaviour)

    @classmethod
    def tcp(cls, behaviour: Behaviour = honest) -> Self:
        """Listen on a free port of loopback; the address is `inet:PORT@127.0.0.1`."""
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        return cls(listener, f"inet:{listener.getsockname()[1]}@127.0.0.1", behaviour)

    def __enter__(self) -> Self:
        self._listener.settimeout(0)
        self._listener.listen(BACKLOG)
        self._acceptor.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stopping.set()
        self._acceptor.join()
        self._listener.close()
        if self.address.startswith("unix:"):
            Path(self.address.removeprefix("unix:")).unlink(missing_ok=True)
        self.drop_connections()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def drop_connections(self) -> None:
        """Cut every open connection, as a clamd that is killed does, and wait for their threads."""
        with self._accepting:  # none is half begun
            connections = list(self._connections.items())
        for thread, connection in connections:
            with contextlib.suppress(OSError):  # closed meanwhile
                connection.socket.shutdown(socket.SHUT_RDWR)
            thread.join()

    @contextlib.contextmanager
    def not_accepting(self) -> Iterator[None]:
        """Listen, but with a full backlog and without accepting: a clamd that is stopped or overrun.

        A client's connect() waits (TCP, or a blocking unix socket) or fails with EAGAIN (unix socket with a timeout).
        """
        with self._accepting, contextlib.ExitStack() as fillers:
            self._listener.listen(0)
            while _connects(fillers.enter_context(socket.socket(self._listener.family)), self._listener):
                pass
            try:
                yield
            finally:
                self._listener.listen(BACKLOG)

    def _accept_all(self) -> None:
        while not self.stopping.is_set():
            select.select([self._listener], [], [], POLL)
            with self._accepting, contextlib.suppress(BlockingIOError):
                connection = Connection(self._listener.accept()[0])
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._connections[thread] = connection
                thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            with contextlib.suppress(EOFError, OSError):  # the client may go whenever it likes
                self._converse(connection)
        finally:
            connection.close()
            self._connections.pop(threading.current_thread(), None)

    def _converse(self, connection: Connection) -> None:
        """One command, or those of an IDSESSION up to its END."""
        command, end = self._next_command(connection)
        if command != b"IDSESSION":
            self._answer(connection, command, b"", end)
            return
        number = 0
        while (asked := self._next_command(connection))[0] != b"END":
            number += 1
            self._answer(connection, asked[0], b"%d: " % number, asked[1])

    def _next_command(self, connection: Connection) -> tuple[bytes, bytes]:
        command, end = connection.command()
        self.commands.append(command)
        return command, end

    def _answer(self, connection: Connection, command: bytes, number: bytes, end: bytes) -> None:
        answers = dict(self.answers)
        if command == b"FILDES":
            connection.exactly(1)  # the byte that the descriptor needs as company
            answers[command] = self.fildes_refusal or b"No file descriptor received. ERROR"
        takes_fd = command == b"FILDES" and connection.fds and self.fildes_refusal is None
        if command == b"INSTREAM" or takes_fd:
            self.behaviour(ClientScan(self, connection, command, number, end))
        else:
            connection.socket.sendall(number + answers.get(command, b"UNKNOWN COMMAND") + end)
        connection.close_fds()


def _connects(filler: socket.socket, listener: socket.socket) -> bool:
    """Whether the backlog took one more."""
    filler.settimeout(0.1)
    try:
        filler.connect(listener.getsockname())
    except (TimeoutError, BlockingIOError):
        return False
    return True
