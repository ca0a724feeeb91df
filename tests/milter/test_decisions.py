"""From the engine's reply to that of the milter: every action, every lie, every limit, through the real service."""

import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from miltscan import __version__
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import Slow, unless_canary
from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Code, Command, HeaderEdit
from tests.fakes.mta import Message, Result
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon, scanned

VIRUS = EICAR + b"\r\n"
OVER = 1_100_000  # bytes: above limits.message_size of these tests
ON_DISK = b"x" * 200_000
FORGED = (
    (b"Subject", b" x"),
    (b"X-Virus-Status", b" Clean"),
    (b"x-virus-scanned", b" by nobody"),
    (b"X-VIRUS-STATUS", b" Clean, really"),
    (b"X-Virus-Whatever", b" y"),
)


@pytest.fixture
def tcp_clamd(tcp_server: FakeClamd) -> Iterator[FakeClamd]:
    """A fake clamd over TCP, honest before and after."""
    tcp_server.contents.clear()
    yield tcp_server
    tcp_server.behaviour = lies.honest


@pytest.fixture(scope="module")
def tcp_server() -> Iterator[FakeClamd]:
    """One for all tests, so that the services that use it can be shared."""
    with FakeClamd.tcp() as server:
        yield server


def status(result: Result) -> list[bytes]:
    """The X-Virus-Status that the message gets."""
    return [edit.value.strip() for edit in result.edits if edit.name == b"X-Virus-Status" and edit.value]


def marks(daemon: Daemon, message: Message) -> list[bytes]:
    """The X-Virus-Status that an accepted message gets."""
    result = daemon.send(message)
    assert result.accepted, result
    return status(result)


@pytest.mark.parametrize(
    ("action", "smtp", "accepted", "held"),
    [
        ("reject", b"550 5.7.1 Virus found: Eicar-Test-Signature (Q)", False, None),
        ("tempfail", b"451 4.7.1 Virus found: Eicar-Test-Signature, try again later (Q)", False, None),
        ("discard", b"250 2.0.0 Message accepted for delivery", False, None),
        ("hold", b"250 2.0.0 Message accepted for delivery", True, b"miltscan: Infected (Eicar-Test-Signature)"),
        ("accept", b"250 2.0.0 Message accepted for delivery", True, None),
    ],
)
def test_actions(shared: Fleet, action: str, smtp: bytes, accepted: bool, held: bytes | None) -> None:  # noqa: FBT001 - a table
    """What each action does to an infected message; a clean one in the same session passes."""
    daemon = shared(policy__on_infected=action)
    with daemon.mta() as mta:
        result = mta.send_message(Message(body=VIRUS, queue_id=b"Q"))
        assert mta.send_message().accepted
    assert (smtp, accepted, held) == (result.reply.smtp, result.accepted, result.quarantine)
    marked = status(result)
    assert marked == ([b"Infected (Eicar-Test-Signature)"] if accepted else [])
    assert (action == "discard") == (result.reply.code is Code.DISCARD)


def test_forged_headers_are_removed_and_ours_inserted(daemon: Daemon) -> None:
    """Every X-Virus-* of the sender goes, counted by name from the last; ours stand on top."""
    hostname = os.uname().nodename.encode()
    assert daemon.send(Message(headers=FORGED)).edits == (
        HeaderEdit(Code.CHANGE_HEADER, b"X-Virus-Whatever", b"", 1),
        HeaderEdit(Code.CHANGE_HEADER, b"X-VIRUS-STATUS", b"", 2),
        HeaderEdit(Code.CHANGE_HEADER, b"x-virus-scanned", b"", 1),
        HeaderEdit(Code.CHANGE_HEADER, b"X-Virus-Status", b"", 1),
        HeaderEdit(Code.INSERT_HEADER, b"X-Virus-Status", b" Clean", 0),
        HeaderEdit(Code.INSERT_HEADER, b"X-Virus-Scanned", b" miltscan %b at %b" % (__version__.encode(), hostname), 0),
    )


def test_headers_mode_none(shared: Fleet) -> None:
    """No header is touched, and a virus is refused nevertheless."""
    daemon = shared(headers__mode="none")
    assert daemon.send(Message(headers=FORGED)).edits == ()
    assert daemon.send(Message(body=VIRUS)).reply.smtp.startswith(b"550 5.7.1")


@pytest.mark.parametrize("body", [b"hello\r\n", VIRUS, ON_DISK], ids=["clean", "virus", "disk"])
@pytest.mark.parametrize("lie", lies.FAULTS)
def test_a_lying_clamd_lets_nothing_pass(daemon: Daemon, lie: str, body: bytes) -> None:
    """The client receives 451 and keeps its message, however the server fails."""
    daemon.clamd.behaviour = unless_canary(lies.FAULTS[lie])
    result = daemon.send(Message(body=body))
    assert (result.step, result.reply.smtp[:9]) == (Command.EOM, b"451 4.7.1")


@pytest.mark.parametrize("lie", lies.FAULTS)
def test_a_lying_clamd_over_tcp_lets_nothing_pass(shared: Fleet, tcp_clamd: FakeClamd, lie: str) -> None:
    """The same by INSTREAM."""
    daemon = shared(clamd__servers=[tcp_clamd.address])
    tcp_clamd.behaviour = unless_canary(lies.FAULTS[lie])
    limit = lie.startswith("INSTREAM size limit")  # no fault by this way, but a limit
    assert daemon.send().reply.smtp.startswith(b"550 5.7.1 Message not scanned" if limit else b"451 4.7.1")


def test_an_accepted_error_is_marked(shared: Fleet) -> None:
    """Where the policy accepts unscanned mail, the mark shows that it was not scanned."""
    daemon = shared(policy__on_error="accept")
    daemon.clamd.behaviour = unless_canary(lies.garbage)
    assert marks(daemon, Message(headers=FORGED)) == [b"Unscanned (garbled)"]


def test_clamd_without_its_temporary_folder(daemon: Daemon) -> None:
    """A clamd that replies OK to everything fails its self-test: 451 until it detects the test signature again."""
    daemon.clamd.behaviour = lies.always_ok
    wait_until(lambda: daemon.metric("engine_up") == 0, PATIENCE, "engine down")
    assert daemon.send(Message(queue_id=b"NOENGINE")).reply.smtp == (
        b"451 4.7.1 Message not scanned: no engine is available, try again later (NOENGINE)"
    )
    daemon.clamd.behaviour = lies.honest
    wait_until(lambda: daemon.metric("engine_up") == 1, PATIENCE, "engine up")
    assert daemon.send().accepted


@pytest.mark.parametrize(
    ("lie", "smtp", "mark"),
    [
        (lies.limits_exceeded, b"550 5.7.1 Message not scanned: it exceeds a limit of the engine", []),
        (lies.encrypted, b"250 2.0.0", [b"Unscanned (encrypted)"]),
    ],
)
def test_limits_of_the_engine(daemon: Daemon, lie: lies.Behaviour, smtp: bytes, mark: list[bytes]) -> None:
    """What clamd could not look into is refused or marked, as the policy says for each reason."""
    daemon.clamd.behaviour = unless_canary(lie)
    result = daemon.send()
    assert result.reply.smtp.startswith(smtp)
    assert mark == status(result)


def test_a_slow_clamd(shared: Fleet) -> None:
    """After limits.scan_timeout the client receives 451, while others receive 250."""
    daemon = shared(limits__scan_timeout="1s", clamd__canary_interval="30s")
    slow = Slow()
    daemon.clamd.behaviour = unless_canary(slow)
    assert daemon.send(Message(queue_id=b"SLOW")).reply.smtp == (
        b"451 4.7.1 Message not scanned: the engine took too long, try again later (SLOW)"
    )
    slow.released.set()
    line = daemon.line_of("SLOW")
    assert (line["outcome"], line["reason"]) == ("unscanned", "timeout")


def test_busy_slots(shared: Fleet) -> None:
    """With every scan slot taken a message waits for queue_wait, is then answered with 451 and counted as shed."""
    daemon = shared(limits__concurrent_scans=1, limits__queue_wait="100ms")
    slow = Slow()
    daemon.clamd.behaviour = unless_canary(slow)
    before = daemon.metric("shed_total")
    with daemon.mta() as mta:
        steps = mta.walk(Message())
        while next(steps)[0] is not Command.BODY:
            pass
        mta.raw(b"\0\0\0\1E")
        assert slow.entered.wait(PATIENCE)
        assert daemon.send(Message(queue_id=b"BUSY")).reply.smtp == (
            b"451 4.7.1 Message not scanned: too many messages at once, try again later (BUSY)"
        )
        slow.released.set()
        while mta.read().code is not Code.CONTINUE:
            pass
    daemon.wait_metric("shed_total", before + 1)
    assert daemon.send().accepted


# Sizes


@pytest.mark.parametrize("announced", [b"SIZE=1048577", b"size=99999999999999999999", b"SIZE=" + b"9" * 4000])
def test_an_announced_size_over_the_limit_is_refused_at_mail(daemon: Daemon, announced: bytes) -> None:
    """RFC 1870: before a byte of the message has come."""
    result = daemon.send(Message(sender_args=(b"BODY=8BITMIME", announced), queue_id=b"SIZE"))
    assert (result.step, result.reply.smtp[:27]) == (Command.MAIL, b"552 5.3.4 Message too large")
    assert result.reply.smtp.endswith(b"1048576 are accepted (SIZE)")
    assert not scanned(daemon.clamd)


@pytest.mark.parametrize("announced", [b"SIZE=1048576", b"SIZE=", b"SIZE=-1", b"SIZE=\xff", b"SIZE", b"SIZE=1e9"])
def test_a_size_that_fits_or_is_none(daemon: Daemon, announced: bytes) -> None:
    """Odd arguments are the MTA's to refuse; the bytes are counted anyway."""
    assert daemon.send(Message(sender_args=(announced,))).accepted


def test_bytes_over_the_limit(daemon: Daemon) -> None:
    """Without SIZE= it is the bytes that show it, at EOM; no engine is asked."""
    result = daemon.send(Message(body=b"x" * OVER, queue_id=b"MANY"))
    assert (result.step, result.reply.smtp[:27]) == (Command.EOM, b"552 5.3.4 Message too large")
    assert not scanned(daemon.clamd)
    assert (daemon.line_of("MANY")["reason"], daemon.line_of("MANY")["action"]) == ("too-large", "reject")


@pytest.mark.parametrize("action", ["accept", "discard", "hold"])
def test_too_large_by_policy(shared: Fleet, action: str) -> None:
    """A policy that does not refuse lets MAIL pass, and the message is marked, held or dropped at its EOM."""
    daemon = shared(policy__on_unscanned__too_large=action)
    announced = (b"SIZE=%d" % OVER,)
    result = daemon.send(Message(sender_args=announced, body=b"x" * OVER))
    marked = status(result)
    assert (result.step, result.reply.smtp[:3]) == (Command.EOM, b"250")
    assert marked == ([] if action == "discard" else [b"Unscanned (too-large)"])
    assert (action == "hold") == (result.quarantine is not None)
    small = daemon.send(Message(sender_args=announced))
    assert status(small) == [b"Clean"]  # what came is what counts


def test_forged_headers_past_the_limit_are_removed(shared: Fleet) -> None:
    """A message that is too large by its headers alone does not keep a forged mark behind the limit."""
    daemon = shared(policy__on_unscanned__too_large="accept")
    fill = tuple((b"X-Fill", b" " + b"x" * 60_000) for _ in range(20))
    result = daemon.send(Message(headers=(*fill, (b"X-Virus-Status", b" Clean"))))
    assert HeaderEdit(Code.CHANGE_HEADER, b"X-Virus-Status", b"", 1) in result.edits


# The spool


def test_spool_folder_gone(daemon: Daemon) -> None:
    """A message that passes the memory is tempfailed, a small one is scanned; both again when the folder is back."""
    spool = daemon.folder / "spool"
    spool.rename(daemon.folder / "away")
    try:
        result = daemon.send(Message(body=ON_DISK, queue_id=b"GONE"))
        assert daemon.send(Message()).accepted
    finally:
        (daemon.folder / "away").rename(spool)
    assert result.reply.smtp == b"451 4.7.1 Message not scanned (spool), try again later (GONE)"
    line = daemon.line_of("GONE")
    assert (line["outcome"], line["reason"], line["rule"]) == ("error", "spool", "policy.on_error")
    assert os.strerror(errno.ENOENT) in line["engines"][0]["detail"]
    assert daemon.send(Message(body=ON_DISK)).accepted


def test_disk_full(shared: Fleet) -> None:
    """A disk that takes only a part of a message is a tempfail as well."""
    daemon = shared(limits__message_size="10MiB")
    (worker,) = daemon.workers()
    usual = worker.rlimit(psutil.RLIMIT_FSIZE)
    worker.rlimit(psutil.RLIMIT_FSIZE, (2_000_000, usual[1]))  # a file that cannot grow further stands for a full disk
    try:
        assert daemon.send(Message(body=b"x" * 3_000_000)).reply.smtp.startswith(
            b"451 4.7.1 Message not scanned (spool)"
        )
        assert daemon.send(Message(body=b"x" * 1_000_000)).accepted
    finally:
        worker.rlimit(psutil.RLIMIT_FSIZE, usual)
    assert daemon.send(Message(body=b"x" * 3_000_000)).accepted


# Several servers


def test_failover(shared: Fleet, tcp_clamd: FakeClamd) -> None:
    """The next server gets the same message, byte by byte, when one fails at it."""
    daemon = shared(clamd__servers=["OWN", tcp_clamd.address])
    daemon.wait_metric("engine_up", 1, server=tcp_clamd.address)
    daemon.clamd.behaviour = unless_canary(lies.close_without_answer)
    bodies = [b"%d\r\n" % number * 20_000 for number in range(4)]
    results = [daemon.send(Message(body=body, queue_id=b"OVER%d" % at)) for at, body in enumerate(bodies)]
    assert [result.reply.smtp for result in results if not result.accepted] == []
    assert bodies == [content.partition(b"\r\n\r\n")[2] for content in scanned(tcp_clamd)]
    asked = {engine["server"] for at in range(4) for engine in daemon.line_of(f"OVER{at}")["engines"]}
    assert asked == {tcp_clamd.address}


def test_failover_from_a_stopped_server(shared: Fleet, tcp_clamd: FakeClamd) -> None:
    """A server that replies to no one is abandoned for the next one, also by messages that already wait for it."""
    daemon = shared(clamd__servers=["OWN", tcp_clamd.address])
    both = {daemon.clamd.address, tcp_clamd.address}
    wait_until(lambda: both == {asked(daemon), asked(daemon)}, PATIENCE, "both servers to be used in rotation")
    with daemon.clamd.not_accepting(), ThreadPoolExecutor(4) as pool:
        heard = [result.reply.smtp[:9] for result in pool.map(lambda _: daemon.send(), range(4))]
    assert heard == [b"250 2.0.0"] * 4


def asked(daemon: Daemon) -> str:
    """The server that gave the verdict on one message."""
    queue_id = f"ASKED{time.monotonic_ns()}"
    assert daemon.send(Message(queue_id=queue_id.encode())).accepted
    return str(daemon.line_of(queue_id)["engines"][-1]["server"])


def test_every_server_fails(shared: Fleet, tcp_clamd: FakeClamd) -> None:
    """With the last server the message fails."""
    daemon = shared(clamd__servers=["OWN", tcp_clamd.address])
    daemon.clamd.behaviour = tcp_clamd.behaviour = unless_canary(lies.half_reply)
    assert daemon.send().reply.smtp.startswith(b"451 4.7.1 Message not scanned (garbled)")
