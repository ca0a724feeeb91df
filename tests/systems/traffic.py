"""A stream of mail to a booted machine while something happens to it: clean and infected messages, in turn."""

import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

from tests.harness.client import new_message_id, text_message
from tests.harness.messages import as_wire, infected
from tests.systems.machine import Machine

DELIVERY_TIMEOUT = 600.0  # seconds; a queue may run every five minutes


@dataclass
class Traffic:
    """What became of the messages so far."""

    clean: list[int] = field(default_factory=list)
    """The replies to clean messages; 0 if there was no connection, or it was cut off."""
    infected: list[int] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    """The Message-IDs that the machine has to deliver."""

    def missing(self, machine: Machine) -> list[str]:
        """The accepted messages that are not in the mailbox."""
        mailbox = machine.mailbox
        return [one for one in self.accepted if one not in mailbox]


@contextmanager
def traffic(machine: Machine, pause: float = 0.0) -> Iterator[Traffic]:
    """The context in which one client sends message after message, with a pause (seconds) between them."""
    ended, seen = Event(), Traffic()

    def stream() -> None:
        while not ended.is_set():
            message_id = new_message_id()
            seen.clean.append(reply_code(machine, text_message(message_id)))
            if seen.clean[-1] == 250:
                seen.accepted.append(message_id)
            seen.infected.append(reply_code(machine, as_wire(infected())))
            ended.wait(pause if seen.clean[-1] else 0.2)  # a closed port answers at once

    with ThreadPoolExecutor(1) as client:
        streaming = client.submit(stream)
        try:
            yield seen
        finally:
            ended.set()
        streaming.result()


def reply_code(machine: Machine, message: bytes) -> int:
    """The reply to a message, 0 without one."""
    try:
        return machine.send(message).code
    except (OSError, smtplib.SMTPException):
        return 0
