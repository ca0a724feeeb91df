"""What a worker sends to the keeper of each message for the archive: digests, envelope, and what was detected.

Addresses are hostile bytes. They travel as Latin-1, which has a character for every byte, so that the archive has them
as RCPT gave them.
"""

import socket
from collections.abc import Iterator

from miltscan.core.archived import AcceptedMail, Detected, detected_digests, receivers
from miltscan.core.report import Report
from miltscan.core.text import readable
from miltscan.telemetry import keeper_metrics
from miltscan.telemetry.stream import Record, ReportStream

_ADDRESSES = 5_000  # bytes of all recipients that are named: a record has to fit into a datagram
_DIGESTS = 400  # digests that are sent of a message, for the same reason; mime.parts is 200 by default
_SENDER = 1_000  # bytes
_TEXT = 200  # characters


class DigestStream(ReportStream):
    """A worker's end of the channel to the keeper; it sends only what the archive needs."""

    def __init__(self, channel: socket.socket) -> None:
        super().__init__(channel, digest_record, keeper_metrics.ARCHIVED.child("dropped").inc)

    def add(self, report: Report) -> None:
        """Keep the report of a message that has digests, and that somebody receives or in which malware was found."""
        structure = report.message.structure
        if structure and structure.digests and (detected_digests(report) or receivers(report)):
            super().add(report)


def digest_record(report: Report, ended: int) -> Record:
    """Return the data of a message for the keeper; `ended` is in nanoseconds since the epoch."""
    message, structure, names = report.message, report.message.structure, receivers(report)
    return {
        "time": ended / 1e9,
        "queue_id": readable(message.queue_id, _TEXT),
        "client": readable(message.client.address, _TEXT),
        "sender": message.envelope.sender[:_SENDER].decode("latin-1"),
        "recipients": [one.decode("latin-1") for one in _fitting(names)],
        "recipients_count": len(names),
        "digests": [one.hex() for one in structure.digests[:_DIGESTS]] if structure else [],
        "detected": [one.hex() for one in detected_digests(report)[:_DIGESTS]],
        "signature": readable(report.verdict.signature or "", _TEXT),
    }


def _fitting(names: tuple[bytes, ...]) -> Iterator[bytes]:
    left = _ADDRESSES
    for name in names:
        left -= len(name)
        if left < 0:
            return
        yield name


def delivery_of(record: Record) -> AcceptedMail:
    """Return the envelope of such a record."""
    recipients = tuple(one.encode("latin-1") for one in record["recipients"])
    return AcceptedMail(
        record["time"],
        record["queue_id"],
        record["client"],
        record["sender"].encode("latin-1"),
        recipients,
        record["recipients_count"],
    )


def detected_of(record: Record) -> list[Detected]:
    """Return what was detected in the message of such a record."""
    about = record["signature"], record["queue_id"], record["time"]
    return [Detected(bytes.fromhex(one), *about) for one in record["detected"]]
