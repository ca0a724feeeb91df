"""Which way a message goes."""

import pytest

from miltscan.core.message import PREFACE, Client, Direction, Envelope, direction
from miltscan.core.session import UNKNOWN_CLIENT

INBOUND, OUTBOUND, INTERNAL = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL


@pytest.mark.parametrize(
    ("address", "to_local", "to_others"),
    [
        ("8.8.8.8", INBOUND, INBOUND),
        ("2001:4860:4860::8888", INBOUND, INBOUND),
        ("::ffff:8.8.8.8", INBOUND, INBOUND),
        ("127.0.0.1", INTERNAL, OUTBOUND),
        ("::1", INTERNAL, OUTBOUND),
        ("10.1.2.3", INTERNAL, OUTBOUND),
        ("192.168.1.2", INTERNAL, OUTBOUND),
        ("fe80::1%eth0", INTERNAL, OUTBOUND),
        ("local", INTERNAL, OUTBOUND),
        ("unknown", INBOUND, INBOUND),
        ("", INBOUND, INBOUND),
        ("10.1.2.3\0", INBOUND, INBOUND),
    ],
)
def test_direction(address: str, to_local: Direction, to_others: Direction) -> None:
    """Client and mailer decide; a client that cannot be distinguished from an outside one counts as one."""
    client = Client("host.example.org", address)
    assert direction(client, Envelope(b"<>", local=True)) is to_local
    assert direction(client, Envelope(b"<>", local=False)) is to_others


@pytest.mark.parametrize("address", ["8.8.8.8", "127.0.0.1", "local", "unknown"])
@pytest.mark.parametrize("local", [True, False])
def test_authenticated_mail_is_submission(address: str, local: bool) -> None:  # noqa: FBT001 - a table's column
    """Wherever it comes from and goes to."""
    envelope = Envelope(b"<>", authenticated=True, local=local)
    assert direction(Client("", address), envelope) is Direction.SUBMISSION


def test_unknown_client_is_an_outsider() -> None:
    """The client of a session whose connect step could not be read."""
    assert direction(UNKNOWN_CLIENT, Envelope(b"<>", local=True)) is Direction.INBOUND


def test_preface_is_one_header_line() -> None:
    """It makes a mail of any bytes only if it is a separate header."""
    assert PREFACE.startswith(b"Received: ")
    assert PREFACE.endswith(b"\r\n")
    assert PREFACE.count(b"\n") == 1
