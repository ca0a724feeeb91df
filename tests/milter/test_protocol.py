"""Corners of the milter protocol: the service survives them, leaks nothing, and lets nothing pass unscanned."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fakes.clamd_lies import Slow, honest, unless_canary
from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Actions, Code, Command, Options, Protocol, Reply, encode, packet
from tests.fakes.mta import MTA, Message, dial
from tests.harness import ports
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, scanned
from tests.milter.scans import Together

PREFACE = b"Received: from miltscan by localhost; Thu, 1 Jan 1970 00:00:00 +0000\r\n"
VIRUS = Message(body=EICAR + b"\r\n")
BIG = Message(body=b"x" * 200_000)  # passes spool.memory, so that it lies on disk
TCP = f"inet:{ports.choose().number}@127.0.0.1"
MEMORY = "/memfd:miltscan (deleted)"
STEPS = [Command.CONNECT, Command.MAIL, Command.RCPT, Command.HEADER, Command.EOH, Command.BODY, Command.EOM]


@pytest.fixture(autouse=True)
def leaks_nothing(daemon: Daemon) -> Iterator[None]:
    """After every test the worker has the descriptors that it had before, and its sessions at clamd."""
    wait_until(daemon.idle, PATIENCE, "an idle service")
    before = Counter(daemon.worker_fds().values())
    yield

    def nothing_more() -> bool:
        now = Counter(daemon.worker_fds().values())
        kept = min(now[MEMORY], 8)  # memory files for the next messages
        more = [*(now - before - Counter({MEMORY: kept})).elements()]
        sockets = [name for name in more if name.startswith("socket:")]
        return len(sockets) == len(more) <= daemon.clamd.connections

    wait_until(nothing_more, PATIENCE, f"no more descriptors than {before}")


@pytest.mark.parametrize("message", [Message(), BIG], ids=["memory", "disk"])
@pytest.mark.parametrize("last", STEPS[:-1])
def test_abort_at_every_step(daemon: Daemon, last: Command, message: Message) -> None:
    """An abort ends the message wherever it comes, and the next one of the session is judged by itself."""
    with daemon.mta() as mta:
        for command, _replies in mta.walk(message):
            if command is last:
                mta.abort()
                break
        assert b"550 5.7.1 Virus found: Eicar-Test-Signature" in mta.send_message(VIRUS).reply.smtp
        assert mta.send_message().accepted
    assert len(scanned(daemon.clamd)) == 2


@pytest.mark.parametrize("message", [Message(), BIG], ids=["memory", "disk"])
@pytest.mark.parametrize("last", STEPS)
def test_cut_at_every_step(daemon: Daemon, last: Command, message: Message) -> None:
    """An MTA that goes away leaves neither session nor transaction nor descriptor behind."""
    mta = daemon.mta()
    for command, _replies in mta.walk(message):
        if command is last:
            mta.cut()
            break
    wait_until(daemon.idle, PATIENCE, "an idle service")
    assert daemon.send().accepted


@pytest.fixture(params=["unix", "tcp"])
def scarce(request: pytest.FixtureRequest, shared: Fleet) -> Daemon:
    """A service with one scan slot, on either kind of socket."""
    if request.param == "unix":
        return shared(limits__concurrent_scans=1)
    return shared(limits__concurrent_scans=1, milter__socket=TCP)


def test_the_scan_of_an_mta_that_has_gone_is_cancelled(scarce: Daemon) -> None:
    """Its slot is free for the retry while clamd still works, and it is not counted as an exception."""
    daemon = scarce
    slow = Slow()
    daemon.clamd.behaviour = unless_canary(slow)
    before = daemon.metric("exceptions_total")
    mta = daemon.mta()
    steps = mta.walk(Message(queue_id=b"CUT"))
    while next(steps)[0] is not Command.BODY:
        pass
    mta.raw(encode(Command.EOM))
    assert slow.entered.wait(PATIENCE)
    mta.cut()

    line = daemon.line_of("CUT")
    assert (line["action"], line["rule"], line["reason"]) == ("tempfail", "mta-gone", "mta-gone")
    daemon.clamd.behaviour = honest
    assert daemon.send(Message(queue_id=b"RETRY")).accepted
    assert not slow.released.is_set()
    slow.released.set()
    daemon.wait_metric("unscanned_total", 1, reason="mta-gone")
    assert before == daemon.metric("exceptions_total")


def test_a_session_of_many_messages_leaks_no_state(daemon: Daemon) -> None:
    """Clean, infected, aborted, too large, infected on disk, clean: each is judged by itself."""
    with daemon.mta() as mta:
        heard = [
            mta.send_message(message).reply.smtp[:9]
            for message in [
                Message(),
                VIRUS,
                Message(),
                Message(body=b"x" * 1_200_000),
                Message(),
                Message(sender_args=(b"SIZE=99999999999",)),
                Message(body=b"x" * 300_000 + EICAR),
                Message(),
            ]
        ]
    ok, virus, large = b"250 2.0.0", b"550 5.7.1", b"552 5.3.4"
    assert [ok, virus, ok, large, ok, large, virus, ok] == heard


@pytest.mark.parametrize(
    "macro", [b"i", b"_", b"j", b"{auth_type}", b"{rcpt_mailer}", b"{msg_id}", b"{client_addr}", None]
)
def test_absent_macros(daemon: Daemon, macro: bytes | None) -> None:
    """A macro that the MTA does not send, or none at all, costs a field of the log and nothing else."""
    with daemon.mta() as mta:
        mta.without = {macro} if macro else {*mta.values, b"i", b"{mail_addr}", b"{rcpt_addr}", b"{msg_id}"}
        assert mta.send_message().accepted
        assert mta.send_message(VIRUS).reply.smtp.startswith(b"550 5.7.1 Virus found")


def test_8bit_values_reach_the_engine_byte_by_byte(daemon: Daemon) -> None:
    """Every byte but NUL, CR and LF in header values and sender, folds as they stood, the body unchanged."""
    odd = bytes(byte for byte in range(1, 256) if byte not in b"\r\n")
    message = Message(
        sender=b"<\xff\xfe@example.org>",
        recipients=(b"<\xe9@example.test>",),
        headers=(
            (b"Subject", b" caf\xe9 \xff\xfe"),
            (b"X-All", b"\t" + odd),
            (b"X-Folded", b"  one\n\ttwo\n  three"),
            (b"X-Tight", b"no blank"),
            (b"X-Empty", b""),
        ),
        body=b"\xff\x00\r\n.\r\n" + odd * 300,
        queue_id=b"BYTES",
    )
    assert daemon.send(message).accepted
    expected = (
        PREFACE
        + (b"Subject: caf\xe9 \xff\xfe\r\nX-All:\t" + odd + b"\r\n")
        + b"X-Folded:  one\r\n\ttwo\r\n  three\r\nX-Tight:no blank\r\nX-Empty:\r\n\r\n"
        + message.body
    )
    assert scanned(daemon.clamd)[0] == expected  # and its parts: some programs see a new line in a form feed
    assert daemon.line_of("BYTES")["sender"] == "<\\xff\\xfe@example.org>"


@pytest.mark.parametrize("size", [0, 65_535 - 130, 70_000, 250_000])
def test_bodies_of_every_place_reach_the_engine_whole(daemon: Daemon, size: int) -> None:
    """No body, one at the border of the memory, and one that lies on disk."""
    body = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    assert daemon.send(Message(headers=((b"A", b" b"),), body=body)).accepted
    assert [PREFACE + b"A: b\r\n\r\n" + body] == scanned(daemon.clamd)


def test_no_headers_at_all(daemon: Daemon) -> None:
    """A message of a body alone is a message."""
    assert daemon.send(Message(headers=())).accepted
    assert scanned(daemon.clamd) == [PREFACE + b"\r\nhello\r\n"]


def test_8bit_helo_name(daemon: Daemon) -> None:
    """The service ignores the HELO name."""
    with daemon.mta() as mta:
        mta.connect()
        mta.helo(b"\xff\xfe")
        mta.greeted = True
        assert mta.send_message().accepted


def test_8bit_client_name(daemon: Daemon) -> None:
    """A client name that is not UTF-8 hides the name, not the address, and its mail is scanned."""
    with daemon.mta() as mta:
        mta.connect(b"\xff\xfe.example.org")
        mta.greeted = True
        assert mta.send_message(Message(queue_id=b"NAME")).accepted
        assert mta.send_message(VIRUS).reply.smtp.startswith(b"550 5.7.1 Virus found")
    line = daemon.line_of("NAME")
    assert (line["client_name"], line["client_address"]) == ("unknown", "192.0.2.1")


def test_8bit_header_name(daemon: Daemon) -> None:
    """A header name that is not UTF-8 never reaches our code: the message is tempfailed, the next one is scanned."""
    odd = Message(headers=((b"Subject", b" x"), (b"X-\xff", b" y")), queue_id=b"ODD")
    with daemon.mta() as mta:
        assert mta.send_message(odd).reply.smtp.startswith(b"451 4.3.0 Internal error, try again later (ODD)")
        assert mta.send_message().accepted
    assert daemon.line_of("ODD")["action"] == "tempfail"


@pytest.mark.parametrize(
    ("host", "family", "address", "seen"),
    [
        (b"[2001:db8::1]", b"6", b"2001:db8::1", "2001:db8::1"),
        (b"localhost", b"U", b"", "local"),
        (b"localhost", b"L", b"/var/run/x", "local"),
    ],
)
def test_kinds_of_client(daemon: Daemon, host: bytes, family: bytes, address: bytes, seen: str) -> None:
    """IPv6, an unknown kind and a unix socket are clients as well."""
    with daemon.mta() as mta:
        mta.connect(host, family, 25, address)
        mta.greeted = True
        queue_id = b"KIND" + family
        assert mta.send_message(Message(queue_id=queue_id)).accepted
    assert seen == daemon.line_of(queue_id.decode())["client_address"]


OFFERS = {
    "no no-reply step": Options(protocol=Protocol.ALL & ~Protocol(0x0FF080)),
    "no leading blanks": Options(protocol=Protocol.ALL & ~Protocol.HDR_LEADSPC),
    "nothing at all": Options(protocol=Protocol.NONE),
    "version 2": Options(version=2, actions=Actions(0x3F), protocol=Protocol(0x7F)),
}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_older_mtas(daemon: Daemon, offer: Options) -> None:
    """What an MTA does not offer is not used; its messages are scanned and marked like all others."""
    with daemon.mta(offer=offer) as mta:
        assert mta.send_message().edits[0].value.strip() == b"Clean"
        assert mta.send_message(VIRUS).reply.smtp.startswith(b"550 5.7.1 Virus found")
    assert scanned(daemon.clamd)[0].endswith(b"\r\nSubject: test\r\nMessage-ID: <1@example.org>\r\n\r\nhello\r\n")


def test_an_mta_that_changes_no_headers_is_tempfailed(daemon: Daemon) -> None:
    """Mail that cannot be marked is not accepted unmarked."""
    with daemon.mta(offer=Options(actions=Actions.QUARANTINE)) as mta:
        assert mta.send_message().reply.smtp.startswith(b"451 4.3.0")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x7f\xff\xff\xffL",
        b"\0\0\0\0",
        packet(b"?", b"what"),
        packet(b"B", b"body without a message"),
        packet(b"E"),
        packet(b"L", b"no NUL"),
        packet(b"M"),
        packet(b"C", b"cut"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0",
    ],
)
def test_garbage(daemon: Daemon, garbage: bytes) -> None:
    """Invalid data within a message leads to no accept, and other sessions continue."""
    with daemon.mta() as mta, daemon.mta() as other:
        mta.connect()
        mta.mail(b"<alice@example.org>")
        mta.raw(garbage)
        assert other.send_message().accepted
        mta.connection.settimeout(0.05)
        assert not {reply.code for reply in what_comes(mta)} & {Code.CONTINUE, Code.ACCEPT, Code.DISCARD}
    assert daemon.send(VIRUS).reply.smtp.startswith(b"550")


def what_comes(mta: MTA) -> Iterator[Reply]:
    """The replies until the milter closes or falls silent."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while True:
            yield mta.read()


@pytest.mark.parametrize("first", [b"", b"x", packet(b"O", b"short"), packet(b"M", b"<a@example.org>\0")])
def test_garbage_in_place_of_the_negotiation(daemon: Daemon, first: bytes) -> None:
    """A connection that begins with anything else is none."""
    with dial(daemon.address, PATIENCE) as connection:
        connection.sendall(first)
    assert daemon.send().accepted


def test_unknown_command(daemon: Daemon) -> None:
    """An unknown SMTP command changes nothing."""
    with daemon.mta() as mta:
        mta.connect()
        mta.greeted = True
        mta.unknown(b"XYZZY \xff")
        mta.raw(encode(Command.UNKNOWN, b"XYZZY\0"))
        assert mta.read().code is Code.CONTINUE
        assert mta.send_message().accepted


def test_steps_out_of_order_are_not_accepted(daemon: Daemon) -> None:
    """Where MTA and milter disagree on what comes next, libmilter forgets the message and answers no EOM."""
    with daemon.mta() as mta:
        mta.connect()
        mta.mail(b"<alice@example.org>")
        mta.body(b"text")
        mta.rcpt(b"<bob@example.test>")
        mta.raw(encode(Command.EOM))
        mta.connection.settimeout(0.2)
        with pytest.raises((TimeoutError, ConnectionError)):
            mta.read()


def test_a_second_connection_on_the_same_socket(daemon: Daemon) -> None:
    """After QUIT_NC libmilter does not negotiate again: the options are unknown, and the mail is tempfailed."""
    with daemon.mta() as mta:
        assert mta.send_message().accepted
        mta.quit_nc()
        result = mta.send_message()
    assert (Command.MAIL, Reply(Code.TEMPFAIL)) == (result.step, result.reply)


def test_a_second_connection_before_any_message(daemon: Daemon) -> None:
    """QUIT_NC right after CONNECT keeps what was negotiated: the session goes on, and is counted once."""
    with daemon.mta() as mta:
        mta.connect()
        mta.quit_nc()
        assert mta.send_message(VIRUS).reply.smtp.startswith(b"550 5.7.1")
        daemon.wait_metric("sessions", 1)


@pytest.mark.parametrize("count", [3, 10, 40])
def test_slow_eoms_end_together(daemon: Daemon, count: int) -> None:
    """All scans are in progress at the same time in one worker: libmilter's pool of threads does not stall."""
    together = Together(count)
    daemon.clamd.behaviour = unless_canary(together)
    with ThreadPoolExecutor(count) as pool:
        results = [*pool.map(lambda _: daemon.send(), range(count))]
    assert all(result.accepted for result in results)
    assert count == together.inside


def test_a_long_eom_is_kept_alive(daemon: Daemon) -> None:
    """While the engine works, progress packets come again and again; the decision follows."""
    slow = Slow()
    daemon.clamd.behaviour = unless_canary(slow)
    with daemon.mta() as mta:
        steps = mta.walk(Message())
        while next(steps)[0] is not Command.BODY:
            pass
        mta.raw(encode(Command.EOM))
        assert [mta.read().code for _ in range(3)] == [Code.PROGRESS] * 3
        slow.released.set()
        replies = [reply.code for reply in read_to_end(mta)]
    assert [c for c in replies if c is not Code.PROGRESS] == [Code.INSERT_HEADER, Code.INSERT_HEADER, Code.CONTINUE]


def read_to_end(mta: MTA) -> Iterator[Reply]:
    """The replies up to the one that ends the EOM."""
    while (reply := mta.read()).code in {Code.PROGRESS, Code.INSERT_HEADER}:
        yield reply
    yield reply


def test_other_sessions_are_served_during_slow_eoms(daemon: Daemon) -> None:
    """While scans hang, new sessions get as far as their own scan, and clean ones through."""
    slow = Slow()
    daemon.clamd.behaviour = unless_canary(lambda scan: slow(scan) if b"wait" in scan.peek(500) else scan.answer(b"OK"))
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(daemon.send, Message(body=b"wait")) for _ in range(5)]
        assert slow.entered.wait(PATIENCE)
        assert all(daemon.send().accepted for _ in range(20))
        assert not any(future.done() for future in waiting)
        slow.released.set()
        assert all(future.result().accepted for future in waiting)
