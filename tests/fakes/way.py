"""The way to a real delivery sendmail, where a test refuses recipients or cuts the connection after the final dot."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

CUT = "cut"
"""As a fault: the server receives the final dot, and its reply is lost."""


@dataclass
class Way:
    """A port that hands each connection to port `target`.

    `at_rcpt` and `at_dot` are faults by recipient: a reply in place of the server's, or CUT.
    """

    target: int
    port: int
    at_rcpt: dict[str, str] = field(default_factory=dict)
    at_dot: dict[str, str] = field(default_factory=dict)

    def serve(self, connection: socket.socket) -> None:
        """One session, until either side has gone."""
        with suppress(OSError), connection, socket.create_connection(("127.0.0.1", self.target)) as server:
            self._serve(connection, connection.makefile("rb"), server, server.makefile("rb"))

    def _serve(self, client: socket.socket, lines: BinaryIO, server: socket.socket, replies: BinaryIO) -> None:
        recipients: list[str] = []
        client.sendall(_reply(replies))
        for line in lines:
            verb = line.upper()[:4]
            recipient = line.decode("latin-1").partition("<")[2].partition(">")[0]
            if verb == b"RCPT" and recipient in self.at_rcpt:
                client.sendall(f"{self.at_rcpt[recipient]}\r\n".encode())
                continue
            recipients = [] if verb == b"MAIL" else [*recipients, recipient] if verb == b"RCPT" else recipients
            server.sendall(line)
            client.sendall(answer := _reply(replies))
            if verb != b"DATA" or not answer.startswith(b"354"):
                continue
            fault = next((self.at_dot[one] for one in recipients if one in self.at_dot), "")
            for text in lines:
                if text == b".\r\n" and fault not in {"", CUT}:
                    client.sendall(f"{fault}\r\n".encode())
                    return
                server.sendall(text)
                if text == b".\r\n":
                    break
            answer = _reply(replies)
            if fault:
                return
            client.sendall(answer)


def _reply(replies: BinaryIO) -> bytes:
    """All lines of a reply."""
    answer = b""
    while line := replies.readline():
        answer += line
        if line[3:4] != b"-":
            break
    return answer


@contextmanager
def way_to(target: int) -> Iterator[Way]:
    """A way to a port, until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        way = Way(target, listener.getsockname()[1])

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=way.serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield way
        finally:
            listener.shutdown(socket.SHUT_RDWR)
