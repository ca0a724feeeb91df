"""Entries of a quarantine for tests: a message with an envelope, stored by the code under test."""

import os
from dataclasses import replace
from typing import Any

from miltscan.core.action import ActionName
from miltscan.core.message import Direction
from miltscan.core.verdict import Outcome
from miltscan.quarantine.encoder import PLAIN, Encoder
from miltscan.quarantine.entry import Entry
from miltscan.quarantine.files import Files

NOW = 1_790_000_000.0
"""2026-09-21 14:13:20 UTC."""
DAY = "2026-09-21"
ANN, BOB = b"<ann@example.com>", b"<bob@example.org>"
MESSAGE = b"Subject: hello\r\n\r\nbody \xff\x00\r\n"
ENTRY = Entry(
    time=NOW,
    area="default",
    action=ActionName.QUARANTINE,
    queue_id="4B1x",
    message_id=b"<1@client.example>",
    sender=b"<sender@client.example>",
    recipients=(ANN, BOB),
    client_name="client.example",
    client_address="192.0.2.1",
    direction=Direction.INBOUND,
    outcome=Outcome.INFECTED,
    signature="Heuristics.Phishing.Email",
    engine="clamd",
    rule="on_infected",
    signatures=27000,
    subject="hello",
    author="Sender <sender@client.example>",
)


def entry(**changes: Any) -> Entry:  # noqa: ANN401 - any field
    """ENTRY with other values."""
    return replace(ENTRY, **changes)


def put(files: Files, content: bytes = MESSAGE, encoder: Encoder = PLAIN, **changes: Any) -> Entry:  # noqa: ANN401 - as above
    """Store a message of an entry with these values."""
    descriptor = os.memfd_create("message")
    try:
        os.write(descriptor, content)
        return files.put(entry(**changes), descriptor, 0, encoder)
    finally:
        os.close(descriptor)
