"""What is sent to rspamd, and which of its replies count: everything that is not exactly known is a failure."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.edits import InsertHeader, RemoveHeader
from miltscan.core.message import NO_CIRCUMSTANCES, Circumstances, Client, Envelope
from miltscan.core.verdict import Fault, Limit, SpamAction
from miltscan.engines.antispam.engine import Question
from miltscan.engines.antispam.reply import Scored, SpamReply
from miltscan.engines.reply import Failed, Limited
from miltscan.engines.rspamd.reply import Honoured, parse_rspamd
from miltscan.engines.rspamd.request import rspamd_request
from tests.fakes.antispam import http, rspamd_says

QUESTION = Question(
    Client("client.example.org", "192.0.2.7"),
    Envelope(b"<alice@example.org>", (b"<bob@example.net>", b"<carol@example.net>")),
    Circumstances("helo.example.org", "alice", "TLSv1.3", "TLS_AES_256_GCM_SHA384", "mx.example.net"),
    "A1",
    ((b"X-Spam", b" a"), (b"Subject", b" b"), (b"x-spam", b" c"), (b"Authentication-Results", b" d")),
    -1,
    10,
)
ALL = Honoured(headers=True, authentication_results=True, message=True)


def parsed(honoured: Honoured = ALL, **fields: object) -> SpamReply:
    """The reply of rspamd with these fields."""
    return parse_rspamd(rspamd_says(**fields)(b""), QUESTION, honoured)  # type: ignore[arg-type]  # no status


def test_the_request_names_all_that_is_known() -> None:
    """One Rcpt for each recipient, addresses without brackets, the size of the message without our preface."""
    lines = rspamd_request(QUESTION).decode().split("\r\n")
    assert lines[0] == "POST /checkv2 HTTP/1.1"
    assert lines[1:] == [
        "Host: rspamd",
        "Connection: close",
        "Content-Length: 10",
        "IP: 192.0.2.7",
        "Helo: helo.example.org",
        "Hostname: client.example.org",
        "From: alice@example.org",
        "Rcpt: bob@example.net",
        "Rcpt: carol@example.net",
        "User: alice",
        "Queue-Id: A1",
        "MTA-Name: mx.example.net",
        "MTA-Tag: miltscan",
        "TLS-Version: TLSv1.3",
        "TLS-Cipher: TLS_AES_256_GCM_SHA384",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("client", "line"),
    [
        (Client("unknown", "unknown"), None),
        (Client("localhost", "local"), "IP: 127.0.0.1"),
        (Client("x", "IPv6:2001:db8::1"), "IP: 2001:db8::1"),
    ],
)
def test_the_address_of_the_client(client: Client, line: str | None) -> None:
    """An unknown one is left out, a program on this host is at loopback."""
    lines = rspamd_request(QUESTION._replace(client=client)).decode().split("\r\n")
    assert [one for one in lines if one.startswith("IP:")] == ([line] if line else [])


@given(st.text(), st.binary(), st.text())
def test_hostile_values_stay_in_their_line(helo: str, sender: bytes, user: str) -> None:
    """No value ends its line, whatever bytes the client sent."""
    asked = QUESTION._replace(circumstances=Circumstances(helo, user), envelope=Envelope(sender))
    head = rspamd_request(asked)
    assert head.endswith(b"\r\n\r\n")
    known = {b"host", b"connection", b"content-length", b"ip", b"helo", b"hostname", b"from", b"user", b"queue-id"}
    names = [line.partition(b":")[0].lower() for line in head.removesuffix(b"\r\n\r\n").split(b"\r\n")[1:]]
    assert set(names) <= known | {b"mta-tag"}
    assert len(names) == len(set(names))


def test_a_bounce_has_the_empty_sender() -> None:
    """By its brackets rspamd knows it."""
    assert b"From: <>\r\n" in rspamd_request(
        QUESTION._replace(envelope=Envelope(b"<>"), circumstances=NO_CIRCUMSTANCES)
    )


@pytest.mark.parametrize(
    ("action", "spam"),
    [
        ("no action", False),
        ("greylist", False),
        ("soft reject", False),
        ("add header", True),
        ("rewrite subject", True),
        ("quarantine", True),
        ("discard", True),
        ("reject", True),
    ],
)
def test_every_action_is_known(action: str, *, spam: bool) -> None:
    """The action is a fact, and says whether rspamd calls the message spam."""
    expected = Scored(spam, 1.0, 15.0, SpamAction(action), ("MIME_GOOD",))
    assert parsed(action=action) == expected


GARBLED: list[Mapping[str, object]] = [
    {"action": "accept"},
    {"action": None},
    {"action": 1},
    {"action": "none"},
    {"action": "No Action"},
    {"score": None},
    {"score": "1"},
    {"score": True},
    {"score": 1e300},
    {"required_score": None},
    {"symbols": None},
    {"symbols": []},
    {"symbols": {"A": 1}},
    {"symbols": {}},
]


@pytest.mark.parametrize("fields", GARBLED, ids=str)
def test_what_is_unknown_or_empty_is_garbled(fields: dict[str, object]) -> None:
    """It never counts as an opinion, and so not as "no spam"."""
    reply = parsed(ALL, **fields)
    assert isinstance(reply, Failed)
    assert reply.fault is Fault.GARBLED


def test_an_empty_message_may_have_an_empty_result() -> None:
    """As rspamd answers to it."""
    reply = parse_rspamd(rspamd_says(symbols={})(b""), QUESTION._replace(size=0), ALL)
    assert isinstance(reply, Scored)


def test_a_message_that_rspamd_skips_is_not_scanned() -> None:
    """By its own settings; but GTUBE is skipped as well, with the action reject."""
    assert parsed(is_skipped=True, symbols={}) == Limited(
        Limit.LIMITS, "rspamd skipped the message by its own settings"
    )
    assert isinstance(parsed(is_skipped=True, action="reject"), Scored)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", Fault.CLOSED),
        (b"HTTP/1.1 200 OK\r\n", Fault.GARBLED),
        (rspamd_says()(b"")[:-1], Fault.GARBLED),
        (rspamd_says()(b"") * 2, Fault.GARBLED),
        (http(b""), Fault.GARBLED),
        (http(b"[]"), Fault.GARBLED),
        (http(b'{"action": '), Fault.GARBLED),
        (http(b"[" * 10_000), Fault.GARBLED),
        (http(b'{"score": NaN}'), Fault.GARBLED),
        (b"SPAMD/1.1 0 EX_OK\r\n\r\n", Fault.GARBLED),
        (rspamd_says(status=500)(b""), Fault.REPORTED),
        (rspamd_says(status=204)(b""), Fault.GARBLED),
        (http(b'{"error": "invalid command"}', 500), Fault.REPORTED),
        (rspamd_says(error="x")(b""), Fault.REPORTED),
    ],
)
def test_what_is_no_complete_answer_is_a_failure(data: bytes, fault: Fault) -> None:
    """Truncated, doubled, of another protocol, or an error."""
    reply = parse_rspamd(data, QUESTION, ALL)
    assert isinstance(reply, Failed)
    assert reply.fault is fault


@given(st.binary())
def test_no_bytes_make_it_raise(data: bytes) -> None:
    """Nor do they count as an opinion."""
    assert isinstance(parse_rspamd(data, QUESTION, ALL), Failed)
    assert isinstance(parse_rspamd(http(data), QUESTION, ALL), Failed)


def test_every_cut_is_a_failure() -> None:
    """Of an answer that lacks only its last byte, too."""
    whole = rspamd_says()(b"")
    assert all(isinstance(parse_rspamd(whole[:end], QUESTION, ALL), Failed) for end in range(len(whole)))


MILTER = {
    "remove_headers": {"X-Spam": 0, "Subject": 0, "X-Virus-Status": 0, "Authentication-Results": -1, "x": "y"},
    "add_headers": {
        "X-Spamd-Bar": {"value": "+++", "order": 1},
        "X-Long": "one;\r\n\ttwo;\n three",
        "X-Two": [{"value": "a"}, "b"],
        "X-Spam-Status": "No",
        "SUBJECT": "Buy",
        "x-miltscan-receipt": "forged",
        "X-Virus-Status": "Clean",
        "Bad Name": "x",
        "X-Bad": 1,
        "Authentication-Results": "mx; spf=pass\nX-Forged: é",
    },
}


def test_header_edits_that_belong_to_us_are_left_out() -> None:
    """The others are bounded and clean; 0 means every field of the name, -1 the last one."""
    reply = parsed(milter=MILTER, messages={"smtp_message": "Go\r\naway"})
    assert isinstance(reply, Scored)
    assert set(reply.edits) == {
        RemoveHeader("X-Spam", 1),
        RemoveHeader("X-Spam", 2),
        RemoveHeader("Authentication-Results", 1),
        InsertHeader("X-Spamd-Bar", "+++"),
        InsertHeader("X-Long", "one;\n\ttwo;\n\tthree"),
        InsertHeader("X-Two", "a"),
        InsertHeader("X-Two", "b"),
        InsertHeader("Authentication-Results", "mx; spf=pass\n\tX-Forged: ?"),
    }
    assert reply.text == "Go??away"


@pytest.mark.parametrize(
    ("honoured", "names"),
    [
        (Honoured(), set()),
        (Honoured(headers=True), {"X-Spam", "X-Spamd-Bar", "X-Long", "X-Two"}),
        (Honoured(authentication_results=True), {"Authentication-Results"}),
    ],
)
def test_only_what_the_settings_honour_is_kept(honoured: Honoured, names: set[str]) -> None:
    """By default nothing of it is."""
    reply = parsed(honoured, milter=MILTER, messages={"smtp_message": "x"})
    assert isinstance(reply, Scored)
    assert {edit.name for edit in reply.edits} == names
    assert reply.text == ""


def test_symbols_are_few_and_clean() -> None:
    """Those with the greatest effect come first."""
    symbols = {f"S{number}": {"score": number} for number in range(100)} | {"b a\r\n": {"score": 1e3}, "c": {}}
    reply = parsed(symbols=json.loads(json.dumps(symbols)))
    assert isinstance(reply, Scored)
    assert (len(reply.symbols), reply.symbols[:2]) == (50, ("b_a__", "S99"))
