"""The packets of the milter protocol, read by the wire codec of the tests."""

from miltscan.core import milter_packets
from tests.fakes import milter_wire


def test_the_fake_wire_reads_our_packets() -> None:
    """Length, command and data are those of the protocol; the offer has all actions and steps of version 6."""
    assert milter_wire.encode_options(milter_wire.Options(6)) == milter_packets.NEGOTIATE
    assert milter_wire.encode(milter_wire.Command.ABORT) == milter_packets.ABORT
    assert milter_wire.encode(milter_wire.Command.QUIT) == milter_packets.QUIT
