"""The fake MTA against a real libmilter filter: what the milter receives, and how the MTA interprets its replies."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.milter_wire import Actions, Code, Command, HeaderEdit, Options, Protocol, Stage
from tests.fakes.mta import MTA, Message
from tests.harness import guard, ports

SCRIPT = Path(__file__).with_name("scripted_filter.py")


@dataclass(frozen=True, slots=True)
class Filter:
    """A running filter: where it listens, and the file its callbacks write to."""

    address: str
    out: Path

    def heard(self, line: str, times: int = 1) -> list[str]:
        """All callbacks so far, once `line` has come `times` times; AssertionError after a minute without."""
        deadline = time.monotonic() + 60
        while (lines := self.out.read_text().splitlines()).count(line) < times:
            assert time.monotonic() < deadline, lines
            time.sleep(0.005)
        return lines


Start = Callable[..., Filter]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start filters with the given words on their command line; all are ended at last."""
    folder = Path(tempfile.mkdtemp(prefix="mta-"))  # short: a unix socket's path has 107 bytes
    processes: list[subprocess.Popen[bytes]] = []

    def run(*words: str, address: str = f"unix:{folder}/sock") -> Filter:
        out = folder / "out"
        with out.open("wb") as file:
            command = [sys.executable, str(SCRIPT), address, *words]
            processes.append(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True))
        guard.watch_group(processes[-1].pid)
        filter_ = Filter(address, out)
        filter_.heard("ready")
        return filter_

    yield run
    for process in processes:
        process.kill()
        process.wait()
    shutil.rmtree(folder)


def to(*names: str) -> Message:
    """A message whose first recipient controls the filter."""
    return Message(recipients=tuple(f"<{name}@example.test>".encode() for name in names))


@pytest.mark.parametrize(
    ("names", "step", "smtp"),
    [
        (["plain"], Command.EOM, b"250 2.0.0 Message accepted for delivery"),
        (["reject"], Command.EOM, b"550 5.7.1 found something"),
        (["tempfail"], Command.EOM, b"451 4.3.2 Please try again later"),
        (["discard"], Command.EOM, b"250 2.0.0 Message accepted for delivery"),
        (["refused"], Command.RCPT, b"554 5.7.1 Command rejected"),
        (["refused", "plain"], Command.EOM, b"250 2.0.0 Message accepted for delivery"),
    ],
)
def test_the_result_says_where_it_ended_and_what_the_client_hears(
    start: Start,
    names: list[str],
    step: Command,
    smtp: bytes,
) -> None:
    """The first final reply ends the transaction; one recipient left keeps it going."""
    with MTA.open(start().address) as mta:
        result = mta.send_message(to(*names))

    assert (step, smtp) == (result.step, result.reply.smtp)
    assert result.accepted == (names[-1] == "plain")
    assert result.refused == tuple(f"{name}@example.test".encode() for name in names if name == "refused")


def test_edits_and_quarantine_come_back(start: Start) -> None:
    """Inserted, added and deleted headers and the reason for the hold are in the result."""
    with MTA.open(start().address) as mta:
        result = mta.send_message(to("edit"))

    assert result.accepted
    assert result.quarantine == b"held for a look"
    assert result.edits == (
        HeaderEdit(Code.INSERT_HEADER, b"X-Top", b"inserted", 0),
        HeaderEdit(Code.ADD_HEADER, b"X-End", b"added", None),
        HeaderEdit(Code.CHANGE_HEADER, b"X-Forged", b"", 1),
    )


def test_progress_is_counted(start: Start) -> None:
    """Progress packets at EOM do not end the step."""
    with MTA.open(start().address) as mta:
        result = mta.send_message(to("slow"))

    assert (result.progress, result.accepted) == (3, True)


def test_no_reply_steps_are_not_waited_for(start: Start) -> None:
    """Only EOM is answered, the skipped HELO does not reach the filter, and all the rest does."""
    running = start("noreply")
    with MTA.open(running.address) as mta:
        result = mta.send_message(to("reject"))

    lines = running.heard("eoh")
    assert [reply.code for reply in result.log] == [Code.REPLYCODE]
    assert not any(line.startswith("helo") for line in lines)
    assert "body 7" in lines


@pytest.mark.parametrize(("words", "value"), [((), "b' test'"), (("noreply",), "b'test'")])
def test_leading_blank_follows_the_negotiation(start: Start, words: tuple[str, ...], value: str) -> None:
    """With HDR_LEADSPC the value comes as it stood, without it one blank is gone."""
    running = start(*words)
    with MTA.open(running.address) as mta:
        mta.send_message()
        mta.send_message()  # its MAIL shows that the first one was read whole

    running.heard(f"header Subject {value}", times=2)


def test_abort_ends_the_transaction_and_not_the_session(start: Start) -> None:
    """After an abort in mid transaction the next message of the session is a new one."""
    running = start()
    with MTA.open(running.address) as mta:
        for command, _replies in mta.walk(to("reject")):
            if command is Command.BODY:
                mta.abort()
                break
        result = mta.send_message(to("plain"))
        mta.quit()
        assert mta.closed_by_milter()

    assert result.accepted
    lines = running.heard("close")
    assert (lines.count("abort"), sum(line.startswith("connect") for line in lines)) == (1, 1)


@pytest.mark.parametrize("last", [step for step in Command if step.name in (*Stage.__members__, "HEADER", "BODY")])
def test_cut_at_every_step(start: Start, last: Command) -> None:
    """The filter sees every session close, wherever the MTA goes away, and serves the next one."""
    running = start()
    mta = MTA.open(running.address)
    for command, _replies in mta.walk(Message()):
        if command is last:
            mta.cut()
            break
    running.heard("close")

    with MTA.open(running.address) as other:
        assert other.send_message().accepted


def test_reset_over_tcp(start: Start, free_port: int) -> None:
    """A reset in mid transaction is an abort and a close for the filter."""
    running = start(address=f"inet:{free_port}@127.0.0.1")
    mta = MTA.open(running.address)
    mta.connect()
    mta.mail(b"<alice@example.org>")
    mta.cut(reset=True)

    assert "abort" in running.heard("close")


@pytest.fixture
def free_port() -> int:
    """A loopback port that was free a moment ago, and that no other caller receives."""
    return ports.choose().number


def test_macros_come_and_can_be_left_out(start: Start) -> None:
    """Sendmail's macros reach the filter; one that is left out, or has no value, is not there."""
    running = start()
    with MTA.open(running.address) as mta:
        mta.values[b"{auth_type}"] = b"PLAIN"
        mta.send_message(Message(queue_id=b"Q1"))
        mta.values.pop(b"{auth_type}")
        mta.without.add(b"i")
        mta.send_message(Message(queue_id=b"Q2"))

    lines = running.heard("eom i None msg_id <1@example.org>")
    assert "mail b'<alice@example.org>' i Q1 auth PLAIN" in lines
    assert "mail b'<alice@example.org>' i None auth None" in lines


def test_requested_macro_lists_are_kept(start: Start) -> None:
    """A filter that sets the macros of a step gets these and no others."""
    with MTA.open(start("lists").address) as mta:
        assert mta.options.macros == {Stage.EOM: (b"{msg_id}", b"i")}
        mta.values |= {b"i": b"Q1", b"{msg_id}": b"<1@example.org>"}
        assert mta.macros_for(Stage.EOM) == {b"{msg_id}": b"<1@example.org>", b"i": b"Q1"}


def test_the_offer_is_what_the_test_says(start: Start) -> None:
    """An older MTA offers less; the filter receives that and both agree on it."""
    running = start()
    offer = Options(actions=Actions.ADDHDRS | Actions.CHGHDRS | Actions.QUARANTINE, protocol=Protocol.HDR_LEADSPC)
    with MTA.open(running.address, offer) as mta:
        assert offer == mta.options

    running.heard("offer 31 1ff080")  # libmilter adds NR_* itself: it answers in the filter's place


def test_no_reply_that_is_not_offered_is_answered_by_libmilter(start: Start) -> None:
    """Towards an MTA without NR_* every step is answered, although the filter sends nothing."""
    with MTA.open(start("noreply").address, Options(protocol=Protocol.NOHELO)) as mta:
        assert mta.options.protocol == Protocol.NOHELO
        assert [reply.code for reply in mta.connect()] == [Code.CONTINUE]


def test_bytes_pass_unchanged(start: Start) -> None:
    """Bytes above 127 in sender, arguments and header value are the milter's to judge."""
    running = start()
    with MTA.open(running.address) as mta:
        mta.connect(b"[2001:db8::1]", b"6", 25, b"2001:db8::1")
        mta.helo()
        mta.unknown(b"XYZZY")
        mta.mail(b"<\xff@example.org>", b"SIZE=5", b"BODY=8BITMIME")
        mta.rcpt(b"<bob@example.test>")
        mta.data()
        mta.header(b"Subject", b" caf\xe9\n\tfolded")

    lines = running.heard(r"header Subject b' caf\xe9\n\tfolded'")
    assert r"mail b'<\xff@example.org>' b'SIZE=5' b'BODY=8BITMIME' i 5AB00000000001 auth None" in lines
    assert "unknown XYZZY" in lines


def test_body_goes_in_chunks_of_sendmails_size(start: Start) -> None:
    """A large body comes in packets of 65535 bytes."""
    running = start()
    with MTA.open(running.address) as mta:
        mta.send_message(Message(body=b"x" * 200_000))

    assert "body 65535|body 65535|body 65535|body 3395" in "|".join(running.heard("body 3395"))


def test_quit_nc_begins_a_new_session_on_the_same_socket(start: Start) -> None:
    """After QUIT_NC the next message brings its own connect, without a new negotiation."""
    running = start()
    with MTA.open(running.address) as mta:
        mta.send_message()
        mta.quit_nc()
        assert mta.send_message().accepted

    lines = running.heard("close")
    assert (
        sum(line.startswith("connect") for line in lines),
        sum(line.startswith("offer") for line in lines),
    ) == (2, 1)


def test_oversized_packet_ends_the_session(start: Start) -> None:
    """The MTA can send what no MTA would, and sees the milter hang up."""
    with MTA.open(start().address) as mta:
        mta.raw(b"\x7f\xff\xff\xff" + b"L")
        assert mta.closed_by_milter()


def test_every_read_has_a_timeout(start: Start) -> None:
    """A milter that sends nothing causes a TimeoutError, not a hang."""
    with MTA.open(start().address) as mta:
        mta.connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            mta.read()
