"""The headers of a released message: which fields go, which come, and that every other byte stays."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.edits import Header
from miltscan.core.keys import Key
from miltscan.core.message import Client
from miltscan.core.receipt import AcceptedBy, Claim, ReceiptResult, sign_receipt, verify_receipt
from miltscan.core.released import Passport, as_head, head_and_body, parse_head, released
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict

PASSPORT = Passport(
    entry="01jdq4xk2m8v3n7w5rst",
    verdict=Verdict.infected("clamd", "Eicar"),
    client=Client("client.example.org", "192.0.2.7"),
    queue_id="6AMG4FAU001849",
    host="mx.example.test",
    received="Sun, 29 Nov 2026 00:00:00 +0000",
    scanned_by="miltscan 1 at mx.example.test",
)
OURS = b"""X-Miltscan-Released: 01jdq4xk2m8v3n7w5rst
X-Virus-Scanned: miltscan 1 at mx.example.test
X-Virus-Status: Infected (Eicar)
Received: from client.example.org ([192.0.2.7]) by mx.example.test (miltscan quarantine) id 6AMG4FAU001849; \
Sun, 29 Nov 2026 00:00:00 +0000
""".replace(b"\n", b"\r\n")


def head(*, passport: Passport = PASSPORT, text: bytes) -> bytes:
    """The head after the edits, without a receipt."""
    return as_head(released(parse_head(text), passport, None))


def test_forged_fields_go_and_ours_come() -> None:
    """X-Virus-*, X-Spam-* and X-Miltscan-* of the sender are removed in any case; ours stand above the rest."""
    forged = b"X-VIRUS-Status: Clean\r\nx-spam-flag: NO\r\nX-Miltscan-Receipt: v=2;\r\n\tk=1\r\n"
    assert head(text=b"Subject: a\r\n" + forged + b"X-Virus: b\r\n\r\n") == OURS + b"Subject: a\r\nX-Virus: b\r\n\r\n"


def test_a_site_without_such_headers() -> None:
    """Where the site leaves the headers about scans alone, only X-Miltscan-* is replaced."""
    text = b"X-Virus-Status: Clean\r\nX-Spam-Flag: NO\r\nX-Miltscan-Probe: x\r\n\r\n"
    lines = head(passport=PASSPORT._replace(scanned_by=None), text=text).split(b"\r\n")
    assert [line.partition(b":")[0] for line in lines if line] == [
        b"X-Miltscan-Released",
        b"Received",
        b"X-Virus-Status",
        b"X-Spam-Flag",
    ]


@pytest.mark.parametrize(
    ("verdict", "value"),
    [
        (Verdict.clean("clamd"), b"Clean"),
        (Verdict.unscanned("clamd", Limit.ENCRYPTED), b"Unscanned (encrypted)"),
        (Verdict.error("clamd", Fault.CONNECT), b"Unscanned (connect)"),
        (Verdict.infected("clamd", "a\r\nX: y"), b"Infected (a??X: y)"),
    ],
)
def test_the_status_is_that_of_the_policy(verdict: Verdict, value: bytes) -> None:
    """X-Virus-Status names the latest verdict as on an accepted message."""
    assert b"\r\nX-Virus-Status: %b\r\n" % value in head(passport=PASSPORT._replace(verdict=verdict), text=b"\r\n")


@pytest.mark.parametrize(
    ("client", "source"),
    [
        (Client("mx.example", "2001:db8::1"), b"mx.example ([IPv6:2001:db8::1])"),
        (Client("mx.example", "IPv6:2001:db8::1"), b"mx.example ([IPv6:2001:db8::1])"),
        (Client("unknown", "unknown"), b"unknown"),
        (Client("a by evil; x", "\r\nX: y"), b"unknown"),
        (Client("[192.0.2.7]", "192.0.2.7"), b"[192.0.2.7] ([192.0.2.7])"),
    ],
)
def test_a_hostile_client_adds_no_text(client: Client, source: bytes) -> None:
    """The name of a client is its own choice; a name that is none is not repeated."""
    assert b"\r\nReceived: from %b by mx" % source in head(passport=PASSPORT._replace(client=client), text=b"\r\n")


def test_the_receipt_is_valid_at_the_delivery_side() -> None:
    """The receipt covers the headers that are sent, and says that a release accepted the message."""
    key, body = Key("k", b"k" * 32), b"d" * 32
    claim = Claim(1000, Outcome.INFECTED, 7, AcceptedBy.RELEASE)

    def sign(headers: Sequence[Header]) -> str:
        return sign_receipt(key, claim, headers, body)

    sent = as_head(released(parse_head(b"Subject: a\r\n b\r\nX-Spam-Flag: NO\r\n\r\n"), PASSPORT, sign))
    checked = verify_receipt((key,), parse_head(sent), lambda: body, 1000.0, 3600.0)
    assert checked == (ReceiptResult.VALID, claim)


@pytest.mark.parametrize(
    ("message", "length"),
    [
        (b"A: b\r\n\r\nbody\r\n\r\nmore\r\n", 8),
        (b"\r\nA: body\r\n", 2),
        (b"A: b\r\n c\r\n\r\n", 12),
        (b"\r\n", 2),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_head_and_body(message: bytes, length: int, size: int) -> None:
    """The head ends with the first empty line, wherever the chunks are cut."""
    head, body = head_and_body(message[start : start + size] for start in range(0, len(message), size))
    assert (head, b"".join(body)) == (message[:length], message[length:])


def test_a_message_without_an_empty_line() -> None:
    """It is all head, and gets the line."""
    head, body = head_and_body(iter([b"A: b\r\n"]))
    assert (head, b"".join(body)) == (b"A: b\r\n\r\n", b"")


LINES = st.lists(
    st.tuples(st.text("aX-", min_size=1, max_size=4), st.text(" \tb:\xe4", max_size=6), st.booleans()), max_size=5
)


@given(LINES)
def test_the_head_stays_byte_for_byte(fields: list[tuple[str, str, bool]]) -> None:
    """What is parsed is written back unchanged, folds and 8-bit characters included."""
    lines = [f"{name}:{value}" + ("\r\n\tfold" if folded else "") for name, value, folded in fields]
    text = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
    headers = parse_head(text)
    assert as_head(headers) == text
    assert [name for name, _ in headers] == [name.encode() for name, _, _ in fields]
