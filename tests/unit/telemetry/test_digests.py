"""What workers send to the archive: every byte of an address, in datagrams that fit, and nothing that is not needed."""

import socket
from collections.abc import Callable, Iterator

import pytest

from miltscan.core.action import Accept, Decision, Reject, Reply
from miltscan.core.archived import AcceptedMail, Detected
from miltscan.core.report import Report
from miltscan.core.structure import Structure
from miltscan.core.verdict import Verdict
from miltscan.telemetry import stream
from miltscan.telemetry.digests import DigestStream, delivery_of, detected_of, digest_record

MakeReport = Callable[..., Report]
ALL_BYTES = bytes(range(256))
DIGESTS = tuple(bytes([number]) * 32 for number in range(200))
ACCEPTED = Decision(Accept(), "infected")
REFUSED = Decision(Reject(Reply(550, "5.7.1", "no")), "infected")
READ = Structure(True, False, (), 0.0, digests=DIGESTS, detected=DIGESTS[1:2])  # noqa: FBT003


@pytest.fixture
def channel() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a channel."""
    ends = stream.open_stream()
    ends[1].settimeout(0)
    yield ends
    for end in ends:
        end.close()


def read(report: Report, structure: Structure = READ) -> Report:
    """The report with what was read of the message."""
    return report._replace(message=report.message._replace(structure=structure))


def test_addresses_arrive_as_they_were(make_report: MakeReport, channel: tuple[socket.socket, socket.socket]) -> None:
    """Whatever bytes are in them."""
    sender = DigestStream(channel[0])
    sender.add(read(make_report(sender=ALL_BYTES, recipients=(ALL_BYTES, b"<b@example.test>"))))
    sender.send()
    (record,) = stream.received_records(channel[1])
    delivery = AcceptedMail(record["time"], "4AB12CD3", "192.0.2.7", ALL_BYTES, (ALL_BYTES, b"<b@example.test>"), 2)
    assert delivery_of(record) == delivery
    assert [bytes.fromhex(one) for one in record["digests"]] == [*DIGESTS]
    assert detected_of(record) == []


def test_what_was_detected(make_report: MakeReport) -> None:
    """The part, by the signature; nobody received the message."""
    record = digest_record(read(make_report(Verdict.infected("clamd", "Test\x1b"), REFUSED)), 5_000_000_000)
    about = ("Test\\x1b", "4AB12CD3", 5.0)
    assert detected_of(record) == [Detected(DIGESTS[1], *about)]
    assert (record["recipients"], record["recipients_count"]) == ([], 0)


def test_the_largest_records_fit(make_report: MakeReport, channel: tuple[socket.socket, socket.socket]) -> None:
    """Of many long addresses and many parts the first ones are named, and the number of addresses is right."""
    worst, parts = b"\0" * 250, DIGESTS * 50  # mime.parts may be 10,000
    found = Verdict.infected("clamd", "Test")
    report = make_report(found, ACCEPTED, sender=b"\0" * 5000, recipients=(worst,) * 500, message_id=worst)
    report = read(report, READ._replace(digests=parts, detected=parts))
    sender, arrived = DigestStream(channel[0]), 0
    for _ in range(9):
        sender.add(report)
    while arrived < 9:
        sender.send()
        data = channel[1].recv(10 * stream.DATAGRAM)
        assert len(data) <= stream.DATAGRAM
        arrived += data.count(b'"queue_id"')
    record = digest_record(report, 0)
    assert (len(record["recipients"]), record["recipients_count"]) == (20, 500)


@pytest.mark.parametrize(
    ("decision", "structure"),
    [(None, None), (None, READ._replace(digests=())), (REFUSED, READ)],
)
def test_what_no_archive_needs_is_not_sent(
    make_report: MakeReport,
    channel: tuple[socket.socket, socket.socket],
    decision: Decision | None,
    structure: Structure | None,
) -> None:
    """A message without digests, or one that nobody receives and in which nothing was found."""
    sender, report = DigestStream(channel[0]), make_report(None, decision)
    sender.add(report._replace(message=report.message._replace(structure=structure)))
    sender.send()
    assert stream.received_records(channel[1]) == []
