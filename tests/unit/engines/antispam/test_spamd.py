"""What is sent to spamd, and which of its replies count: everything that is not exactly known is a failure."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.message import NO_CIRCUMSTANCES, Circumstances, Client, Envelope
from miltscan.core.verdict import Fault, Limit, SpamAction
from miltscan.engines.antispam.engine import Question
from miltscan.engines.antispam.reply import Scored
from miltscan.engines.reply import Failed, Limited
from miltscan.engines.spamd.reply import parse_spamd
from miltscan.engines.spamd.request import received_line, spamd_request
from tests.fakes.antispam import spamd_says

QUESTION = Question(
    Client("client.example.org", "192.0.2.7"),
    Envelope(b"<alice@example.org>", (b"<bob@example.net>",)),
    Circumstances("helo.example.org", "alice", "TLSv1.3", "TLS_AES", "mx.example.net"),
    "A1",
    (),
    -1,
    10,
)
DATE = "Sun, 29 Nov 2026 01:00:00 -0000"
LINE = re.compile(
    rb"Received: from [^ ()\r\n]+ \((?:[^ ()\r\n]+ )?\[[^ ()\r\n]+\]\)(?: \(authenticated bits=0\))?\r\n"
    rb"\tby [^ ()\r\n]+ \(miltscan\) with E?SMTPS?A? id [^ ()\r\n]+"
    rb"(?:\r\n\t\(version=[^ ()]+ cipher=[^ ()]+ verify=NO\))?"
    rb"\r\n\t\(envelope-from <[!-;=?-~]*>\); [^\r\n]+\r\n"
)


def test_the_line_has_the_form_of_sendmails() -> None:
    """Client, HELO, user, TLS and envelope sender are where SpamAssassin looks for them."""
    assert received_line(QUESTION, DATE).decode() == (
        "Received: from helo.example.org (client.example.org [192.0.2.7]) (authenticated bits=0)\r\n"
        "\tby mx.example.net (miltscan) with ESMTPSA id A1\r\n"
        "\t(version=TLSv1.3 cipher=TLS_AES verify=NO)\r\n"
        f"\t(envelope-from <alice@example.org>); {DATE}\r\n"
    )


def test_the_line_of_a_client_without_a_name() -> None:
    """Neither user nor TLS is claimed."""
    asked = QUESTION._replace(client=Client("[192.0.2.7]", "192.0.2.7"), circumstances=NO_CIRCUMSTANCES)
    assert received_line(asked, DATE).decode() == (
        "Received: from unknown ([192.0.2.7])\r\n\tby localhost (miltscan) with ESMTP id A1\r\n"
        f"\t(envelope-from <alice@example.org>); {DATE}\r\n"
    )


@given(st.text(), st.binary(), st.text(), st.text())
def test_hostile_values_stay_in_their_place(helo: str, sender: bytes, user: str, name: str) -> None:
    """No value ends its line or begins another part of it, whatever bytes the client sent."""
    asked = QUESTION._replace(
        client=Client(name, "192.0.2.7"), envelope=Envelope(sender), circumstances=Circumstances(helo, user, helo, name)
    )
    assert LINE.fullmatch(received_line(asked, DATE))


def test_the_length_counts_the_line() -> None:
    """Spamd refuses a message of another length."""
    head, _, line = spamd_request(QUESTION).partition(b"\r\n\r\n")
    assert head == b"SYMBOLS SPAMC/1.5\r\nContent-length: %d" % (len(line) + 10)


@pytest.mark.parametrize(
    ("result", "symbols", "expected"),
    [
        ("True ; 8.3 / 5.0", "A,B_C", Scored(True, 8.3, 5.0, SpamAction.NONE, ("A", "B_C"))),  # noqa: FBT003
        ("False ; -0.1 / 5.0", "A", Scored(False, -0.1, 5.0, SpamAction.NONE, ("A",))),  # noqa: FBT003
        ("False ; 0.0 / 5.0", "", Scored(False, 0.0, 5.0, SpamAction.NONE, ())),  # noqa: FBT003
        ("False ; 5.0 / 5.0", "A", Scored(False, 5.0, 5.0, SpamAction.NONE, ("A",))),  # noqa: FBT003 - 4.96, rounded
        ("Yes ; 9 / 5", "a b", Scored(True, 9.0, 5.0, SpamAction.NONE, ("a_b",))),  # noqa: FBT003
    ],
)
def test_an_opinion(result: str, symbols: str, expected: Scored) -> None:
    """The result, both scores, and the names of the rules; a plain mail may meet none."""
    assert parse_spamd(spamd_says(result, symbols)(b""), 10) == expected


GARBLED = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"SPAMD/1.1 0 EX_OK\r\n",
    b"SPAMD/1.1 0 EX_OK\r\n\r\n",
    b"SPAMD/2.0 0 EX_OK\r\n\r\n",
    b"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\n\r\n",
    b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 0.0 / 5.0\r\n\r\n",
    b"SPAMD/1.1 0 EX_OK\r\nContent-length: 2\r\nSpam: False ; 1.0 / 5.0\r\n\r\nA",
    b"SPAMD/1.1 0 EX_OK\r\nContent-length: 1\r\nSpam: False ; 1.0 / 5.0\r\n\r\nAB",
    spamd_says("Maybe ; 1.0 / 5.0")(b""),
    spamd_says("False ; nan / 5.0")(b""),
    spamd_says("False ; 1.0")(b""),
    spamd_says("False ; 8.0 / 5.0")(b""),
    spamd_says("True ; 1.0 / 5.0")(b""),
    spamd_says("False ; 1.0 / 5.0", "")(b""),
    spamd_says("False ; 1.0 / 5.0\r\nSpam: True ; 9.0 / 5.0")(b""),
    spamd_says("False ; 999999999 / 5.0")(b""),
    b"SPAMD/1.5 0 PONG\r\n",
]


@pytest.mark.parametrize("data", GARBLED)
def test_what_is_unknown_or_empty_is_garbled(data: bytes) -> None:
    """It never counts as an opinion, and so not as "no spam"."""
    reply = parse_spamd(data, 10)
    assert isinstance(reply, Failed)
    assert reply.fault is Fault.GARBLED


def test_failures_that_spamd_reports() -> None:
    """A code is a failure; its own for a scan that took too long is a timeout."""
    assert parse_spamd(b"SPAMD/1.0 76 Bad header line\r\n", 10) == Failed(Fault.REPORTED, "code 76 Bad header line")
    assert parse_spamd(b"SPAMD/1.0 79 Timeout: 300\r\n", 10) == Limited(Limit.TIMEOUT, "spamd took too long")
    assert parse_spamd(b"", 10) == Failed(Fault.CLOSED, "closed without a reply")


def test_every_cut_is_a_failure() -> None:
    """Of an answer that lacks only its last byte, too."""
    whole = spamd_says()(b"")
    assert all(isinstance(parse_spamd(whole[:end], 10), Failed) for end in range(len(whole)))


@given(st.binary())
def test_no_bytes_make_it_raise(data: bytes) -> None:
    """Nor do they count as an opinion."""
    assert isinstance(parse_spamd(data, 10), Failed)
    assert isinstance(parse_spamd(b"SPAMD/1.1 0 EX_OK\r\n" + data, 10), Failed)
