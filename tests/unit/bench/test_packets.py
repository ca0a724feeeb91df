"""The packets of the benchmark: complete messages of a given size, in bursts that end where the milter replies."""

import pytest

from tests.bench import packets
from tests.fakes.milter_wire import Command, Options, Protocol, split_packet

EVERY_STEP_ANSWERED = Options(protocol=Protocol.NONE)
ONLY_MAIL_AND_EOM = Options(
    protocol=Protocol.NOHELO
    | Protocol.NODATA
    | Protocol.NR_CONN
    | Protocol.NR_RCPT
    | Protocol.NR_HDR
    | Protocol.NR_EOH
    | Protocol.NR_BODY
    | Protocol.HDR_LEADSPC
)


def commands(burst: bytes) -> list[tuple[Command, bytes]]:
    """Return the packets of a burst except macros; AssertionError if one is incomplete."""
    found = []
    while burst:
        split = split_packet(burst)
        assert split, burst
        found.append((Command(split[0][:1]), split[0][1:]))
        burst = split[1]
    return [packet for packet in found if packet[0] is not Command.MACRO]


@pytest.mark.parametrize("options", [EVERY_STEP_ANSWERED, ONLY_MAIL_AND_EOM])
def test_a_burst_ends_with_the_one_command_that_is_answered(options: Options) -> None:
    """A burst ends with its only command that has a reply; otherwise the load would wait for the wrong reply."""
    for burst in [*packets.first(options, 1_000), *packets.further(options, 100_000)]:
        *silent, last = (command for command, _ in commands(burst))
        assert options.replies(last)
        assert not any(options.replies(command) for command in silent)


def test_steps_without_a_reply_make_one_burst() -> None:
    """A milter that replies to MAIL and EOM only gets a message in two bursts."""
    assert len(packets.further(ONLY_MAIL_AND_EOM, 1_000)) == 2
    assert len(packets.further(EVERY_STEP_ANSWERED, 1_000)) == 14


@pytest.mark.parametrize("size", [1_000, 30_000, 1_000_000])
def test_a_message_has_the_wanted_size(size: int) -> None:
    """The size counts headers with colon and line end, and the body."""
    sent = [packet for burst in packets.further(ONLY_MAIL_AND_EOM, size) for packet in commands(burst)]
    headers = sum(len(payload) + 1 for command, payload in sent if command is Command.HEADER)
    assert size == headers + sum(len(payload) for command, payload in sent if command is Command.BODY)


def test_no_two_messages_are_the_same() -> None:
    """Header, body and macros have a place for the number, as clamd would answer a repeated message from its cache."""
    *_, last = packets.further(ONLY_MAIL_AND_EOM, 1_000)
    marked = {command for command, payload in commands(last) if packets.MARK in payload}
    assert marked == {Command.HEADER, Command.BODY}
    assert b"".join(packets.further(ONLY_MAIL_AND_EOM, 1_000)).count(packets.MARK) == 4


@pytest.mark.parametrize("size", [1_000, 30_000])
def test_clamd_gets_the_same_message(size: int) -> None:
    """The same message goes to clamd in one piece, with the line ends of mail; from 10 KB on it has an attachment."""
    sent = [packet for burst in packets.further(ONLY_MAIL_AND_EOM, size) for packet in commands(burst)]
    head, _, body = packets.content(size).partition(b"\r\n\r\n")
    assert body == b"".join(payload for command, payload in sent if command is Command.BODY)
    assert head.count(b"\r\n") + 1 == sum(command is Command.HEADER for command, _ in sent) + 1  # one is folded
    assert (b"Content-Transfer-Encoding: base64" in head) == (size > 10_000)
