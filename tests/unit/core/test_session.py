"""The milter conversation: which step may follow which, what a message holds, and what of it is spooled."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.core.message import PREFACE, Client, Message
from miltscan.core.session import UNKNOWN_CLIENT, Session, announced_size, head, too_large
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict
from miltscan.errors import ProtocolError
from tests.fakes.messages import NoContent

ROOMY = 10**9

STEPS: dict[str, Callable[[Session], Any]] = {
    "mail": lambda session: session.mail(b"<a@example.org>", (), ROOMY, authenticated=False),
    "rcpt": lambda session: session.rcpt(b"<b@example.test>", local=True),
    "header": lambda session: session.header(b"Subject", b" hi"),
    "body": lambda session: session.body(b"text"),
    "eom": lambda session: session.eom(),
    "abort": lambda session: session.abort(),
}
PATHS = {  # how to come into each state
    "idle": (),
    "envelope": ("mail",),
    "headers": ("mail", "rcpt", "header"),
    "body": ("mail", "rcpt", "header", "body"),
    "done": ("mail", "rcpt", "header", "body", "eom"),
}
ALLOWED = {
    "idle": {"mail", "abort"},
    "envelope": {"mail", "rcpt", "header", "body", "eom", "abort"},
    "headers": {"mail", "header", "body", "eom", "abort"},
    "body": {"mail", "body", "eom", "abort"},
    "done": {"mail", "abort"},
}


def _session(*steps: str) -> Session:
    session = Session()
    for step in steps:
        STEPS[step](session)
    return session


def _message(session: Session, message_id: bytes = b"", settled: Verdict | None = None) -> Message:
    return session.message("Q", message_id, NoContent(), settled)


def _spooled(session: Session, headers: list[tuple[bytes, bytes]], body: list[bytes], limit: int = ROOMY) -> bytes:
    """What a whole message gives to the spool."""
    session.mail(b"<>", (), limit, authenticated=False)
    session.rcpt(b"<b@example.test>", local=True)
    for name, value in headers:
        session.header(name, value)
    return b"".join(map(session.body, body)) + session.eom()


@pytest.mark.parametrize("state", PATHS)
def test_steps(state: str) -> None:
    """Every step in every state is taken, or it is a ProtocolError that changes nothing."""
    for step in ALLOWED[state]:
        STEPS[step](_session(*PATHS[state]))
    for step in STEPS.keys() - ALLOWED[state]:
        session = _session(*PATHS[state])
        with pytest.raises(ProtocolError, match=f"milter step {step} cannot follow state"):
            STEPS[step](session)
        for allowed in ALLOWED[state] - {"abort", "mail", "eom"}:
            STEPS[allowed](_session(*PATHS[state]))


@pytest.mark.parametrize("state", PATHS)
def test_nothing_survives_the_next_mail(state: str) -> None:
    """After any message, with or without RSET, a message has only its own data."""
    for between in ((), ("abort",)):
        session = _session(*PATHS[state], *between)
        session.mail(b"<new@example.org>", (), ROOMY, authenticated=True)
        message = _message(session)
        assert message.envelope.sender == b"<new@example.org>"
        assert message.envelope.recipients == ()
        assert message.envelope.authenticated
        assert (list(message.headers), message.size, message.settled) == ([], 0, None)


def test_limit_is_that_of_the_last_mail() -> None:
    """A message that was too large does not settle the next one."""
    session = Session()
    _spooled(session, [], [b"x" * 100], limit=50)
    assert _message(session).settled
    _spooled(session, [], [b"x" * 100])
    assert _message(session).settled is None


def test_message_holds_what_came() -> None:
    """Envelope, headers and identity of a whole message."""
    session = Session()
    session.client = Client("mail.example.org", "192.0.2.1")
    session.mail(b"<a@example.org>", (b"BODY=8BITMIME",), ROOMY, authenticated=True)
    session.rcpt(b"<b@example.test>", local=True)
    session.rcpt(b"<c@example.test>", local=False)
    session.header(b"Message-Id", b" <1@example.org>\n\t")
    session.eom()
    content = NoContent()
    message = session.message("Q", b"<macro>", content)
    assert message.client == Client("mail.example.org", "192.0.2.1")
    assert message.envelope.recipients == (b"<b@example.test>", b"<c@example.test>")
    assert message.envelope.authenticated
    assert not message.envelope.local
    assert message.headers == [(b"Message-Id", b" <1@example.org>\n\t")]
    assert (message.queue_id, message.message_id) == ("Q", b"<macro>")
    assert session.message("Q", b"", content).message_id == b"<1@example.org>"
    assert message.content is content


def test_message_id_of_the_macro_counts() -> None:
    """The MTA makes a Message-ID where the sender gave none, and sends each one in the form in which it logs it."""
    assert _message(_session(*PATHS["done"]), message_id=b"<made>").message_id == b"<made>"


def test_local_needs_every_recipient() -> None:
    """One recipient of another mailer makes the envelope not local, regardless of the following ones."""
    session = _session("mail")
    for local in (True, False, True):
        session.rcpt(b"<b@example.test>", local=local)
    assert not _message(session).envelope.local


def test_message_before_any_step() -> None:
    """A report on a connection that never began a transaction can be made."""
    message = _message(Session())
    assert (message.client, message.envelope.sender, message.size) == (UNKNOWN_CLIENT, b"", 0)


ANNOUNCED: list[tuple[tuple[bytes, ...], int]] = [
    ((), 0),
    ((b"SIZE=12345",), 12345),
    ((b"size=12345",), 12345),
    ((b"BODY=8BITMIME", b"SIZE=7"), 7),
    ((b"SIZE=",), 0),
    ((b"SIZE",), 0),
    ((b"SIZE=-1",), 0),
    ((b"SIZE=+1",), 0),
    ((b"SIZE= 1",), 0),
    ((b"SIZE=1_0",), 0),
    (("SIZE=\N{SUPERSCRIPT TWO}".encode(),), 0),
    ((b"SIZE=x", b"SIZE=5"), 5),
    ((b"XSIZE=5",), 0),
    ((b"BODY=5",), 0),
    ((b"SIZE=" + b"9" * 20,), 10**20 - 1),
    ((b"SIZE=" + b"9" * 100_000,), 10**20 - 1),
    ((b"\xff=\xff", b"SIZE=3"), 3),
]


def test_announced_size() -> None:
    """SIZE= counts with at most 20 digits; anything else is ignored."""
    assert [case for case in ANNOUNCED if announced_size(case[0]) != case[1]] == []


@given(st.lists(st.binary() | st.binary().map(b"SIZE=".__add__)))
def test_announced_size_is_total(arguments: list[bytes]) -> None:
    """No argument of MAIL makes it raise, nor gives a size below zero."""
    assert announced_size(tuple(arguments)) >= 0


@pytest.mark.parametrize(("size", "refused"), [(99, False), (100, False), (101, True)])
def test_announced_size_over_the_limit(size: int, refused: bool) -> None:  # noqa: FBT001 - a table's column
    """The limit itself is still taken; the verdict names both sizes."""
    verdict = Session().mail(b"<>", (b"SIZE=%d" % size,), 100, authenticated=False)
    expected = Verdict.unscanned("session", Limit.TOO_LARGE, "101 bytes, at most 100 are accepted")
    assert verdict == (expected if refused else None)


@pytest.mark.parametrize("over", [0, 1])
def test_limit_to_the_byte(over: int) -> None:
    """A message of the limit's size is whole and not settled, one byte more is neither."""
    headers, body = [(b"Subject", b" a\n\tb")], [b"12345", b"67890"]
    whole = _spooled(Session(), headers, body)
    session = Session()
    limit = len(whole) - len(PREFACE) - over
    spooled = _spooled(session, headers, body, limit)
    settled = _message(session).settled
    assert (spooled == whole) == (not over)
    assert (settled.reason if settled else None) == (Limit.TOO_LARGE if over else None)


def test_too_large_overrides_what_else_settled() -> None:
    """A message that is too large cannot be tried again later, even after another error."""
    session = Session()
    _spooled(session, [], [b"x" * 100], limit=50)
    settled = _message(session, settled=Verdict.error("spool", Fault.SPOOL)).settled
    assert settled
    assert settled.reason is Limit.TOO_LARGE


header_name = st.binary(min_size=1, max_size=20)
header_value = st.lists(st.binary(max_size=30)).map(b"\n\t".join)
any_headers = st.lists(st.tuples(header_name, header_value), max_size=10)
any_body = st.lists(st.binary(max_size=50), max_size=10)


@given(any_headers, any_body)
def test_size_is_that_of_the_spooled_bytes(headers: list[tuple[bytes, bytes]], body: list[bytes]) -> None:
    """Colons, line ends and folds are counted as they are spooled."""
    session = Session()
    assert len(_spooled(session, headers, body)) - len(PREFACE) == _message(session).size


@given(any_headers, any_body, st.integers(0, 200))
def test_never_more_than_the_limit_is_spooled(
    headers: list[tuple[bytes, bytes]], body: list[bytes], limit: int
) -> None:
    """What is over the limit takes no room; and a message of which a part was left out is never scanned as whole."""
    session = Session()
    spooled = _spooled(session, headers, body, limit)
    assert len(spooled) <= len(PREFACE) + limit
    settled = _message(session).settled
    whole = spooled == _spooled(Session(), headers, body)
    assert whole == (settled is None)
    if settled:
        assert settled.outcome is Outcome.UNSCANNED


def test_headers_past_the_limit_are_known() -> None:
    """Rules ask for them, and a forged one is removed also from a message that is accepted in spite of its size."""
    session, headers = Session(), [(b"X-Filler", b"x" * 100), (b"X-Virus-Status", b" Clean")]
    assert _spooled(session, headers, [], limit=50) == b""
    assert [*_message(session).headers] == headers


def test_head_is_byte_true() -> None:
    """Folds get their CR back, spaces and 8-bit bytes stay, the empty line ends the head."""
    headers = [(b"Subject", b"  a\n\tb\n c"), (b"X-Bin", b"\xff\xfe"), (b"Empty", b"")]
    assert head(headers) == PREFACE + b"Subject:  a\r\n\tb\r\n c\r\nX-Bin:\xff\xfe\r\nEmpty:\r\n\r\n"


def test_head_without_headers() -> None:
    """A message without a header is the preface, an empty line and its body."""
    assert head([]) == PREFACE + b"\r\n"


@given(st.lists(st.tuples(header_name, header_value), max_size=10))
def test_head_gives_back_what_the_client_sent(headers: list[tuple[bytes, bytes]]) -> None:
    """The MTA takes the CR from folds (and no other byte); the head is the text before that."""
    sent = b"".join(name + b":" + value.replace(b"\n", b"\r\n") + b"\r\n" for name, value in headers) + b"\r\n"
    assert head(headers) == PREFACE + sent


def test_a_message_is_local_where_every_recipient_is() -> None:
    """One recipient of another mailer makes the message one that leaves this host."""
    session = Session()
    for recipients, local in (((True,), True), ((True, True), True), ((True, False), False), ((False, True), False)):
        session.mail(b"<>", (), ROOMY, authenticated=False)
        for one in recipients:
            session.rcpt(b"<b@example.test>", local=one)
        assert _message(session).envelope.local is local


@pytest.mark.parametrize(("lead", "value"), [(b"", b"x"), (b" ", b" x")])
def test_the_blank_that_an_mta_cut_off_comes_back(lead: bytes, value: bytes) -> None:
    """An MTA that cannot keep leading blanks gives values without them; the spool and the message have them again."""
    session = Session(lead=lead)
    assert _spooled(session, [(b"Subject", b"x")], [b"body"]) == head([(b"Subject", value)]) + b"body"
    assert [*_message(session).headers] == [(b"Subject", value)]


def test_the_message_id_is_that_of_its_header() -> None:
    """Neither a header before it counts nor one with a name further on in the alphabet."""
    session = Session()
    _spooled(session, [(b"From", b" <a@x>"), (b"Subject", b" x"), (b"message-ID", b" <1@x> ")], [])
    assert _message(session).message_id == b"<1@x>"


def test_a_message_that_is_kept_is_whole_above_the_limit() -> None:
    """The verdict is the same, and every byte and header is there to be stored."""
    session = Session()
    session.mail(b"<>", (), 10, authenticated=False, keep=True)
    session.header(b"Subject", b" a long one")
    spooled = session.body(b"x" * 100) + session.body(b"y" * 100) + session.eom()
    assert spooled == PREFACE + b"Subject: a long one\r\n\r\n" + b"x" * 100 + b"y" * 100
    message = session.message("Q", b"", NoContent())
    assert message.settled == too_large(len(spooled) - len(PREFACE), 10)
    assert message.headers == [(b"Subject", b" a long one")]
