"""The mailbox at the end of the sandwich: an SMTP server that writes each message it gets into a Maildir.

Run as a program (`python -m tests.harness.mailbox PORT MAILDIR`) it is the server; `Mailbox` starts it and reads the
Maildir. It accepts everything. Stored is Return-Path and Delivered-To, as a last stop adds them, and then the message
byte for byte.
"""

import asyncio
import itertools
import os
import sys
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.harness import ports
from tests.harness.processes import PATIENCE, Program, Programs, wait_until


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message as it lies in the mailbox."""

    path: Path
    raw: bytes

    @property
    def message(self) -> Message:
        """Its headers, parsed; `raw` has the body."""
        return message_from_bytes(self.raw.partition(b"\r\n\r\n")[0])

    @property
    def recipients(self) -> list[str]:
        """The envelope's recipients as the delivery sendmail gave them."""
        return str(self.message["Delivered-To"]).split(", ")


@dataclass(frozen=True)
class Mailbox:
    """A running mailbox server and its Maildir."""

    port: int
    maildir: Path
    program: Program
    read: dict[Path, Delivered] = field(default_factory=dict)  # a message in new/ never changes

    @classmethod
    def start(cls, programs: Programs, wanted_port: int = 0) -> "Mailbox":
        """Starts the server; it is ready after `wait_ready`."""
        port = ports.choose(wanted_port).number
        maildir = programs.folder / "mailbox"
        for name in ("tmp", "new", "cur"):
            (maildir / name).mkdir(parents=True, exist_ok=True)
        return cls(port, maildir, programs.start("mailbox", [sys.executable, "-m", __name__, str(port), maildir]))

    def wait_ready(self) -> None:
        """Returns when it accepts connections."""
        self.program.wait_ready(lambda: ports.is_open(self.port))

    def messages(self) -> list[Delivered]:
        """All messages, oldest first."""
        paths = sorted((self.maildir / "new").iterdir())
        self.read.update({path: Delivered(path, path.read_bytes()) for path in paths if path not in self.read})
        return [self.read[path] for path in paths]

    def find(self, message_id: str) -> list[Delivered]:
        """The messages with this Message-ID, angle brackets included."""
        candidates = [delivered for delivered in self.messages() if message_id.encode() in delivered.raw]
        return [delivered for delivered in candidates if delivered.message["Message-ID"] == message_id]

    def wait_for(self, message_id: str, timeout: float = PATIENCE) -> Delivered:
        """The first message with this Message-ID; ProgramError if none comes within `timeout` seconds."""
        return wait_until(lambda: self.find(message_id), timeout, f"{message_id} in the mailbox")[0]


class MaildirHandler:
    """aiosmtpd's hooks: writes a message to tmp, then moves it to new (maildir(5))."""

    def __init__(self, maildir: Path) -> None:
        self.maildir = maildir
        self.numbers = itertools.count()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's)
        """Stores one message."""
        content = envelope.original_content or b""
        head = f"Return-Path: <{envelope.mail_from}>\r\nDelivered-To: {', '.join(envelope.rcpt_tos)}\r\n"
        name = f"{next(self.numbers):08}.{os.getpid()}"
        (self.maildir / "tmp" / name).write_bytes(os.fsencode(head) + content)
        (self.maildir / "tmp" / name).rename(self.maildir / "new" / name)
        return f"250 2.0.0 {name} in the mailbox"


class PermissiveSMTP(SMTP):
    """Without limits: what reaches it has passed two sendmails."""

    line_length_limit = 2**26

    def __init__(self, handler: MaildirHandler) -> None:
        super().__init__(
            handler, data_size_limit=0, enable_SMTPUTF8=True, ident="ESMTP"
        )  # otherwise sendmail sends HELO and removes the eighth bit


async def serve(port: int, maildir: Path) -> None:
    """Serves until the process is ended."""
    handler = MaildirHandler(maildir)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PermissiveSMTP(handler), "127.0.0.1", port, backlog=511)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
