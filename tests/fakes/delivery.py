"""A delivery sendmail that does what a test tells it: refuses recipients, answers oddly, or dies at the final dot."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

QUEUED = "250 2.0.0 6AMG4FiU{:06} Message accepted for delivery"
_OFFERS = ("250-fake", "250-8BITMIME", "250-SIZE", "250-DSN", "250 SMTPUTF8")


class Received(NamedTuple):
    """A message with its envelope, as it came: commands without verb, lines without the dots of SMTP."""

    sender: str
    recipients: list[str]
    content: bytes


@dataclass
class FakeDelivery:
    """The server; `refusals` are replies to RCPT by address, `reply` is that to each message, None to close then.

    `replies` are those to messages by their first recipient, where they differ.

    `messages` are those that it has got up to the final dot, whatever it replied; `commands` are the verbs so far, and
    `arguments` those of RCPT by address.
    """

    port: int
    refusals: Mapping[str, str] = field(default_factory=dict)
    reply: str | None = QUEUED
    replies: dict[str, str | None] = field(default_factory=dict)
    greeting: str = "220 fake"
    messages: list[Received] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)
    at_dot: threading.Event = field(default_factory=threading.Event)
    may_reply: threading.Event = field(default_factory=threading.Event)

    @property
    def server(self) -> tuple[str, int]:
        """Its host and port."""
        return "127.0.0.1", self.port

    def serve(self, connection: socket.socket) -> None:
        """One session, until the client has gone."""
        with suppress(ConnectionError):
            self._serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        sender, recipients = "", list[str]()
        with connection, connection.makefile("rb") as lines:

            def say(*replies: str) -> None:
                connection.sendall("".join(f"{reply}\r\n" for reply in replies).encode())

            say(self.greeting)
            for line in lines:
                verb, _, rest = line.decode("latin-1").rstrip("\r\n").partition(" ")
                self.commands.append(verb.upper())
                match verb.upper():
                    case "EHLO" | "HELO":
                        say(*_OFFERS)
                    case "MAIL":
                        sender, recipients = rest, []
                        say("250 2.1.0 ok")
                    case "RCPT":
                        path, bracket, arguments = rest.removeprefix("TO:").rpartition(">")
                        address = path + bracket or arguments
                        self.arguments[address] = arguments.lstrip()
                        refusal = self.refusals.get(address)
                        recipients += [] if refusal else [address]
                        say(refusal or "250 2.1.5 ok")
                    case "DATA":
                        say("354 go")
                        content = _content(lines)
                        if content is None:
                            return
                        self.messages.append(Received(sender, recipients, content))
                        self.at_dot.set()
                        self.may_reply.wait(30)
                        reply = self.replies.get(recipients[0], self.reply)
                        if reply is None:
                            return
                        say(reply.format(len(self.messages)))
                    case "QUIT":
                        say("221 bye")
                        return


def _content(lines: Iterator[bytes]) -> bytes | None:
    """The message; None if the client went before the final dot."""
    content = bytearray()
    for line in lines:
        if line == b".\r\n":
            return bytes(content)
        content += line.removeprefix(b".") if line.startswith(b".") else line
    return None


@contextmanager
def fake_delivery() -> Iterator[FakeDelivery]:
    """A server on a port of its own, until the block ends. It answers at once, unless a test clears `may_reply`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fake = FakeDelivery(listener.getsockname()[1])
        fake.may_reply.set()

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=fake.serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield fake
        finally:
            fake.may_reply.set()
            listener.shutdown(socket.SHUT_RDWR)
