"""The clamd engine against a fake clamd whose answers the test chooses."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from miltscan.core.address import Address, InetAddress, parse_address
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict
from miltscan.engines import pool as engine_pool
from miltscan.engines import watch as engine_watch
from miltscan.engines.clamd import watch as clamd_watch
from miltscan.engines.clamd.engine import ClamdEngine, ScanWait
from miltscan.engines.clamd.reply import CLEAN as CLEAN_REPLY
from miltscan.engines.clamd.server import ClamdServer
from miltscan.engines.wire import Target, targets
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.fakes.eicar import EICAR
from tests.unit.engines.support import PATIENCE, Memo, Memory, message, nothing, soon, until

CLEAN = b"Subject: hello\r\n\r\nhello\r\n"
INFECTED = b"Subject: hello\r\n\r\n" + EICAR
LARGE = b"Subject: large\r\n\r\n" + bytes(3_000_000)
KEPT = 2  # sessions
NEVER = 3600.0  # seconds: no second canary in this test, unless something asks for it


@pytest.fixture(params=["unix", "tcp", "unix without FILDES"])
def clamd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FakeClamd]:
    """A fake clamd for each way a message can go."""
    made = FakeClamd.tcp() if request.param == "tcp" else FakeClamd.unix(tmp_path / "clamd.ctl")
    if request.param == "unix without FILDES":
        made.fildes_refusal = b"No file descriptor received. ERROR"
    with made:
        yield made


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[FakeClamd, FakeClamd]]:
    """Two servers."""
    with FakeClamd.unix(tmp_path / "first") as first, FakeClamd.unix(tmp_path / "second") as second:
        yield first, second


@contextmanager
def running(*servers: FakeClamd, interval: float = NEVER, memo: Memo | None = None) -> Iterator[ClamdEngine]:
    """An engine that sends canaries, started."""
    engine = ClamdEngine("clamd", [parse_address(server.address) for server in servers], interval, memo or Memo(), KEPT)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def probed(*servers: FakeClamd, memo: Memo | None = None) -> ClamdEngine:
    """An engine without a thread."""
    engine = ClamdEngine("clamd", [parse_address(server.address) for server in servers], NEVER, memo or Memo(), KEPT)
    engine.probe()
    return engine


def hang(engine: ClamdEngine, clamd: FakeClamd) -> None:
    """Make it answer neither mail nor PING; the engine has little patience with this server alone."""
    clamd.behaviour = lies.Slow()
    clamd.answers[b"PING"] = b""
    engine._watches[clamd.address]._patience = 0.1  # noqa: SLF001 - as a setting it would hold for honest servers too


def scan(engine: ClamdEngine, data: bytes, deadline: float | None = None) -> Verdict:
    """The verdict on a message of this content."""
    with message(data) as made:
        return engine.scan(made, deadline or soon(), nothing)


def test_clean_and_infected(clamd: FakeClamd) -> None:
    """Both verdicts name the server that gave them, after one self-test and without a thread."""
    engine = probed(clamd)
    assert scan(engine, CLEAN) == Verdict.clean("clamd", clamd.address)
    assert scan(engine, INFECTED) == Verdict.infected("clamd", "Eicar-Test-Signature", clamd.address)


def test_the_whole_message_arrives(clamd: FakeClamd) -> None:
    """Every byte of a message larger than a chunk, preface in front."""
    engine = probed(clamd)
    with message(LARGE) as made:
        assert engine.scan(made, soon(), nothing).outcome is Outcome.CLEAN
    assert clamd.contents[-1].endswith(LARGE)
    assert clamd.contents[-1].startswith(b"Received: ")


def test_a_refused_descriptor_is_remembered(tmp_path: Path) -> None:
    """FILDES is tried once, then the content is sent at once; a server that comes back is asked again."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        clamd.fildes_refusal = b"UNKNOWN COMMAND"
        engine = probed(clamd)
        scan(engine, CLEAN)
        asked = [command for command in clamd.commands if command not in {b"VERSION", b"STATS"}]
        assert asked == [b"IDSESSION", b"FILDES", b"INSTREAM", b"INSTREAM"]


@pytest.mark.parametrize("name", lies.FAULTS)
def test_no_lie_is_clean(clamd: FakeClamd, name: str) -> None:
    """A clamd that passes its self-test and lies about mail gives an error or a limit, and the observer is notified."""
    clamd.behaviour = lies.unless_canary(lies.FAULTS[name])
    memo = Memo()
    verdict = scan(probed(clamd, memo=memo), INFECTED)
    assert verdict.outcome in {Outcome.ERROR, Outcome.UNSCANNED}
    assert verdict.server == clamd.address
    if verdict.outcome is Outcome.ERROR:
        assert memo.faults == [(clamd.address, verdict.reason)]


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        (lies.close_without_answer, Fault.CLOSED),
        (lies.half_reply, Fault.GARBLED),
        (lies.two_replies, Fault.GARBLED),
        (lies.endless_reply, Fault.GARBLED),
        (lies.not_utf8, Fault.GARBLED),
        (lies.fails(b"Error writing to temporary file ERROR"), Fault.REPORTED),
    ],
)
def test_faults_have_names(clamd: FakeClamd, lie: lies.Behaviour, fault: Fault) -> None:
    """The fault in the verdict states what happened."""
    clamd.behaviour = lies.unless_canary(lie)
    assert scan(probed(clamd), CLEAN).reason is fault


@pytest.mark.parametrize(("lie", "limit"), [(lies.limits_exceeded, Limit.LIMITS), (lies.encrypted, Limit.ENCRYPTED)])
def test_limits_of_clamd_are_unscanned(clamd: FakeClamd, lie: lies.Behaviour, limit: Limit) -> None:
    """What clamd reports as a signature and is a limit."""
    clamd.behaviour = lies.unless_canary(lie)
    verdict = scan(probed(clamd), CLEAN)
    assert (verdict.outcome, verdict.reason) == (Outcome.UNSCANNED, limit)


def test_too_large_for_the_stream() -> None:
    """Clamd hangs up with an error while we still write: the error is read, and it is a limit."""
    with FakeClamd.tcp(lies.too_large(1_000_000)) as clamd:
        verdict = scan(probed(clamd), LARGE)
        assert (verdict.outcome, verdict.reason) == (Outcome.UNSCANNED, Limit.LIMITS)


def test_ok_before_the_whole_message_was_sent_is_garbled() -> None:
    """An OK to half a message does not count, although it is the exact text."""

    def early(sent: lies.Scan) -> None:
        sent.peek(1)
        sent.answer(b"OK")
        sent.close()

    with FakeClamd.tcp(lies.unless_canary(early)) as clamd:
        assert scan(probed(clamd), b"\r\n" + bytes(30_000_000)).outcome is Outcome.ERROR


def test_deadline(clamd: FakeClamd) -> None:
    """A server that does not answer in time ends the scan; the MTA receives progress meanwhile."""
    clamd.behaviour = lies.unless_canary(lies.Slow())
    ticks: list[float] = []
    with message(CLEAN) as made:
        verdict = probed(clamd).scan(made, time.monotonic() + 0.2, lambda: ticks.append(time.monotonic()))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNSCANNED, Limit.TIMEOUT)
    assert ticks


def test_a_deadline_that_has_passed(clamd: FakeClamd) -> None:
    """No time left is a timeout too."""
    assert scan(probed(clamd), CLEAN, time.monotonic()).reason is Limit.TIMEOUT


def test_a_session_serves_for_many_messages(tmp_path: Path) -> None:
    """Messages and the self-test use the same session."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = probed(clamd)
        verdicts = [scan(engine, data).outcome for data in (CLEAN, INFECTED, CLEAN)]
        assert verdicts == [Outcome.CLEAN, Outcome.INFECTED, Outcome.CLEAN]
        assert clamd.commands.count(b"IDSESSION") == 1


def test_a_session_that_clamd_has_ended_is_no_fault(tmp_path: Path) -> None:
    """It may be another clamd now, so a self-test must confirm its OK."""
    memo = Memo()
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = probed(clamd, memo=memo)
        clamd.drop_connections()
        assert scan(engine, CLEAN).outcome is Outcome.CLEAN
        tested = [large(content) for content in clamd.contents]
        assert tested[:2] == [True, False]  # the first self-test and the message
        assert tested[-1]
    assert memo.faults == []


@pytest.mark.parametrize("threads", [True, False])
def test_an_ok_after_a_failure_must_be_confirmed(tmp_path: Path, *, threads: bool) -> None:
    """A clamd that lacks memory ends, starts again within a moment, and says OK to what it cannot scan."""

    def lying(one: lies.Scan) -> None:
        (lies.always_ok if large(one.peek(4096)) or one.peek(4096).endswith(CLEAN) else lies.honest)(one)

    memo = Memo()
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, memo, KEPT)
        (engine.start if threads else engine.probe)()
        clamd.behaviour = lies.unless_canary(lies.close_without_answer)
        assert scan(engine, CLEAN).reason is Fault.CLOSED
        clamd.behaviour = lying
        verdict = scan(engine, CLEAN)
        assert verdict.reason in {Limit.ENGINE_UNABLE, Limit.NO_ENGINE}
        assert not engine.ready
        clamd.behaviour = lies.honest
        if not threads:
            for _ in range(3):  # as many as a server must pass that missed a large one
                engine.probe()
        until(lambda: engine.ready)
        assert scan(engine, CLEAN).outcome is Outcome.CLEAN
        engine.stop()


def test_a_fault_of_one_message_holds_up_others_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender can make clamd report errors at will: afterwards one self-test leaves no doubt."""
    monkeypatch.setattr(clamd_watch, "_LARGE_GAP", 0.0)
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = probed(clamd)
        clamd.behaviour = lies.unless_canary(lies.fails(b"Not a regular file ERROR"))
        assert scan(engine, CLEAN).reason is Fault.REPORTED
        clamd.behaviour = lies.honest
        clamd.contents.clear()
        assert [scan(engine, CLEAN).outcome for _ in range(3)] == [Outcome.CLEAN] * 3
        assert [large(content) for content in clamd.contents] == [False, True, False, False]


def test_idle_sessions_are_closed(tmp_path: Path) -> None:
    """Idle sessions are closed by the self-test after the next, and all of them when the server is down."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        server = ClamdServer("clamd", parse_address(clamd.address), keep=1)
        server.target = targets(server.address)[0]
        with message(CLEAN) as made:
            server.exchange(made.content.fileno(), soon(), nothing)
        server.sweep(3600.0)
        assert clamd.connections == 1
        server.sweep(0.0)
        until(lambda: clamd.connections == 0)
        unkept = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, Memo(), sessions=0)
        unkept.probe()
        until(lambda: clamd.connections == 0)


@pytest.mark.parametrize("name", lies.FAULTS)
def test_no_lie_in_a_kept_session_is_clean(tmp_path: Path, name: str) -> None:
    """The session served honestly before, so it was kept; after the lie it is not."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = probed(clamd)
        assert scan(engine, CLEAN).outcome is Outcome.CLEAN
        clamd.behaviour = lies.FAULTS[name]
        assert scan(engine, INFECTED).outcome in {Outcome.ERROR, Outcome.UNSCANNED}
        clamd.behaviour = lies.honest
        assert scan(engine, INFECTED).outcome is Outcome.INFECTED


def test_an_answer_that_was_not_asked_for_yet_is_not_taken(tmp_path: Path) -> None:
    """A second OK behind the first, with the next number, when the first one has been read."""
    answered: list[lies.Scan] = []

    def kept(scan: lies.Scan) -> None:
        lies.honest(scan)
        answered.append(scan)

    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        clamd.behaviour = kept
        engine = probed(clamd)
        until(lambda: answered)
        answered[-1].send(b"2: fd[10]: OK\0")
        clamd.behaviour = lies.honest
        assert scan(engine, INFECTED).outcome is Outcome.INFECTED


def test_a_full_backlog_is_waited_for(tmp_path: Path) -> None:
    """A clamd that does not accept for a while costs time, not the message."""
    verdicts: list[Verdict] = []
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = probed(clamd)
        clamd.drop_connections()
        thread = threading.Thread(target=lambda: verdicts.append(scan(engine, CLEAN)))
        with clamd.not_accepting():
            assert scan(engine, CLEAN, time.monotonic() + 0.1).reason is Limit.TIMEOUT
            thread.start()
        thread.join()
    assert verdicts[0].outcome is Outcome.CLEAN


def test_a_content_that_fails_is_an_error(clamd: FakeClamd) -> None:
    """An engine never raises, with any input from outside."""
    engine = probed(clamd)
    with message(CLEAN) as made:
        pass  # its descriptor is closed now
    assert engine.scan(made, soon(), nothing).outcome is Outcome.ERROR

    class Gone:
        def retain(self) -> None:
            """Nothing is used again."""

        def fileno(self) -> int:
            raise ValueError("closed")

    with message(CLEAN) as made:
        assert engine.scan(made._replace(content=Gone()), soon(), nothing).reason is Fault.EXCEPTION


@pytest.mark.parametrize("behaviour", [lies.close_without_answer, lies.garbage, lies.honest])
def test_a_clamd_that_did_not_reply_may_go_on_reading(behaviour: lies.Behaviour, tmp_path: Path) -> None:
    """With another message in the file it would remember the content of this one as clean."""
    with FakeClamd.unix(tmp_path / "1") as first, FakeClamd.unix(tmp_path / "2") as second, message(CLEAN) as made:
        engine = ClamdEngine("clamd", [parse_address(one.address) for one in (first, second)], NEVER, Memo())
        engine.probe()
        first.behaviour = behaviour
        content = Memory(made.content.fileno())
        assert engine.scan(made._replace(content=content), soon(), nothing).outcome is Outcome.CLEAN
    assert content.retained is (behaviour is not lies.honest)


def test_no_server_is_up(clamd: FakeClamd) -> None:
    """No server is used before its first self-test, nor after one that it failed."""
    engine = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, Memo())
    assert scan(engine, CLEAN).reason is Limit.NO_ENGINE
    clamd.behaviour = lies.always_ok
    engine.probe()
    assert not engine.ready
    assert scan(engine, CLEAN).reason is Limit.NO_ENGINE


def test_nobody_listens(tmp_path: Path) -> None:
    """A server that is not there is down; a name that does not resolve as well."""
    memo = Memo()
    engine = ClamdEngine("clamd", [parse_address(f"unix:{tmp_path}/none"), InetAddress("no host", 1)], NEVER, memo)
    engine.probe()
    assert scan(engine, CLEAN).reason is Limit.NO_ENGINE
    assert [up for _, up, _ in memo.states] == [False, False]


def test_a_server_that_vanished_is_a_connect_fault(tmp_path: Path) -> None:
    """A server that passed its last self-test may be gone at the message."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = probed(clamd)
    verdict = scan(engine, CLEAN)
    assert verdict.reason is Fault.CONNECT
    assert "Errno" not in verdict.detail
    assert verdict.detail


def test_the_next_server_gets_the_message_of_one_that_fails(pair: tuple[FakeClamd, FakeClamd]) -> None:
    """Whichever is asked first, the verdict is the one of the server that can scan."""
    first, second = pair
    first.behaviour = lies.unless_canary(lies.close_without_answer)
    memo = Memo()
    engine = probed(*pair, memo=memo)
    assert [scan(engine, INFECTED).server for _ in range(4)] == [second.address] * 4
    assert set(memo.faults) == {(first.address, Fault.CLOSED)}


def test_servers_take_turns(pair: tuple[FakeClamd, FakeClamd]) -> None:
    """Messages are spread over the servers that are up."""
    engine = probed(*pair)
    assert {scan(engine, CLEAN).server for _ in range(4)} == {server.address for server in pair}


def test_a_server_that_failed_is_asked_last(pair: tuple[FakeClamd, FakeClamd]) -> None:
    """It is used last until its next self-test, so that few messages are scanned twice."""
    first, _ = pair
    first.behaviour = lies.unless_canary(lies.close_without_answer)
    memo = Memo()
    engine = probed(*pair, memo=memo)
    for _ in range(10):
        scan(engine, CLEAN)
    assert len(memo.faults) == 1


def test_a_server_that_did_not_answer_in_time_is_asked_last(pair: tuple[FakeClamd, FakeClamd]) -> None:
    """The server that let one message wait until its deadline is not the first choice for the next messages."""
    first, second = pair
    slow = lies.Slow()
    first.behaviour = lies.unless_canary(slow)
    engine = probed(*pair)
    assert scan(engine, CLEAN, time.monotonic() + 0.2).reason is Limit.TIMEOUT
    slow.released.set()
    assert [scan(engine, CLEAN).server for _ in range(3)] == [second.address] * 3


def test_a_server_that_reports_a_limit_keeps_its_turn(pair: tuple[FakeClamd, FakeClamd]) -> None:
    """A limit concerns the message, not the server."""
    first, second = pair
    first.behaviour = lies.unless_canary(lies.limits_exceeded)
    engine = probed(*pair)
    assert [scan(engine, CLEAN).server for _ in range(4)] == [first.address, second.address] * 2


def test_a_message_cannot_take_a_server_down(tmp_path: Path) -> None:
    """Only the self-test decides: a message that clamd cannot scan is an error, and all other mail goes on."""
    memo = Memo()
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd, running(clamd, memo=memo) as engine:
        clamd.behaviour = lies.unless_canary(lies.close_without_answer)
        assert scan(engine, CLEAN).reason is Fault.CLOSED
        until(lambda: len(memo.passed) > 1)
        clamd.behaviour = lies.honest
        assert scan(engine, CLEAN).outcome is Outcome.CLEAN
        assert [up for _, up, _ in memo.states] == [True]


def test_a_failure_asks_for_a_canary(tmp_path: Path) -> None:
    """A server that fails it is down until it passes one, and each change is reported once."""
    memo = Memo()
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd, running(clamd, memo=memo) as engine:
        clamd.behaviour = lies.close_without_answer
        assert scan(engine, CLEAN).reason is Fault.CLOSED
        until(lambda: not engine.ready)
        assert scan(engine, CLEAN).reason is Limit.NO_ENGINE
        clamd.behaviour = lies.honest
        until(lambda: engine.ready)
        assert scan(engine, INFECTED).outcome is Outcome.INFECTED
    assert [up for _, up, _ in memo.states] == [True, False, True]
    assert memo.faults == [(clamd.address, Fault.CLOSED), (clamd.address, Fault.CANARY)]


def test_a_liar_is_found_on_the_interval(tmp_path: Path) -> None:
    """Clamd without its temporary folder replies OK to all mail: only the self-test shows it."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd, running(clamd, interval=0.1) as engine:
        clamd.behaviour = lies.always_ok
        until(lambda: scan(engine, CLEAN).reason is Limit.NO_ENGINE)


def test_a_kept_session_does_not_hide_that_nobody_is_accepted(tmp_path: Path) -> None:
    """A message that needs a new connection would wait for its deadline while canaries pass over an old one."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd, running(clamd, interval=0.1) as engine:
        assert scan(engine, CLEAN).outcome is Outcome.CLEAN
        with clamd.not_accepting():
            until(lambda: not engine.ready)


def test_a_hung_server_is_given_up(pair: tuple[FakeClamd, FakeClamd]) -> None:
    """Its self-test gets no answer, so its message goes to the other server long before the deadline."""
    first, second = pair
    with running(*pair) as engine:
        hang(engine, first)
        assert [scan(engine, INFECTED).server for _ in range(2)] == [second.address] * 2


def test_the_only_server_hangs(tmp_path: Path) -> None:
    """The message that waits ends with an error; later messages find no engine."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd, running(clamd) as engine:
        hang(engine, clamd)
        assert scan(engine, CLEAN).reason is Fault.CANARY
        assert scan(engine, CLEAN).reason is Limit.NO_ENGINE


@pytest.mark.usefixtures("patient_ping")
def test_scans_from_many_threads(pair: tuple[FakeClamd, FakeClamd]) -> None:
    """Each thread gets the verdict on its own message."""
    wrong: list[Verdict] = []
    with running(*pair, interval=0.05) as engine:

        def work(number: int) -> None:
            for turn in range(20):
                infected = (number + turn) % 2 == 0
                verdict = scan(engine, INFECTED if infected else CLEAN)
                if verdict.outcome is not (Outcome.INFECTED if infected else Outcome.CLEAN):
                    wrong.append(verdict)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_stop_ends_a_canary_in_flight(tmp_path: Path) -> None:
    """A hung server does not hold up the end, and is not blamed for it."""
    memo = Memo()
    slow = lies.Slow()
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        with running(clamd, memo=memo) as engine:
            clamd.behaviour = slow
            engine._watches[clamd.address].request_self_test()  # noqa: SLF001 - as a scan that fails does
            until(slow.entered.is_set)
        assert "engine-canary" not in {thread.name for thread in threading.enumerate()}
    assert [up for _, up, _ in memo.states] == [True]


def test_a_start_does_not_wait_for_a_resolver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers whose names cannot be resolved delay a start only for a moment, or until one server is up."""
    resolved = threading.Event()

    def hang_for_names(address: Address) -> list[Target]:
        if isinstance(address, InetAddress):
            resolved.wait()
            raise OSError("no such host")
        return targets(address)

    monkeypatch.setattr(engine_watch, "targets", hang_for_names)
    hung = [InetAddress(f"scanner{number}.example.test", 3310) for number in range(20)]
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engines = []
        for servers, patience in ((hung, 0.1), ([*hung, parse_address(clamd.address)], NEVER)):
            monkeypatch.setattr(engine_pool, "_FIRST_TESTS", patience)
            engines.append(ClamdEngine("clamd", servers, NEVER, Memo()))
            engines[-1].start()
        assert [engine.ready for engine in engines] == [False, True]
        resolved.set()
        for engine in engines:
            engine.stop()


def test_an_engine_that_nobody_has_any_more_ends_its_watch(tmp_path: Path) -> None:
    """After a reload the last message that holds the old engine is still watched over; then its thread ends."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, Memo())
        engine.start()
        (watch,) = [thread for thread in threading.enumerate() if thread.name == "engine-canary"]
        del engine
        until(lambda: not watch.is_alive())


def test_stop_without_start() -> None:
    """An engine that was never started may be stopped, and without servers it reports that."""
    engine = ClamdEngine("clamd", [], NEVER, Memo())
    assert scan(engine, CLEAN).reason is Limit.NO_ENGINE
    engine.stop()


@pytest.mark.parametrize(("age", "left"), [(10.5, 1), (10.0, 0), (9.5, 0)])
def test_a_session_is_idle_from_an_age_on(
    age: float, left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that was not used for exactly this age is closed."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        server = ClamdServer("clamd", parse_address(clamd.address), keep=1)
        server.target = targets(server.address)[0]
        with message(CLEAN) as made:
            server.exchange(made.content.fileno(), soon(), nothing)
        server._sessions[0].used = 100.0  # noqa: SLF001 - a session of a known age
        monkeypatch.setattr("miltscan.engines.clamd.server.monotonic", lambda: 110.0)
        server.sweep(age)
        assert len(server._sessions) == left  # noqa: SLF001 - as above
        server.sweep(0.0)


def test_a_scan_that_takes_long_requests_a_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan of up to `PATIENCE` requests none: a self-test for each message would be more work than the messages."""
    engine = ClamdEngine("clamd", [parse_address("unix:/none")], NEVER, Memo())
    (server,) = engine._servers  # noqa: SLF001 - a scan at a known time
    server.up = True
    monkeypatch.setattr("miltscan.engines.clamd.engine.PATIENCE", 2.0)
    for waited, requested in ((1.0, False), (2.0, False), (2.5, True)):
        server.due = NEVER
        monkeypatch.setattr("miltscan.engines.clamd.engine.monotonic", lambda: 1000.0)
        wait = ScanWait(server, engine._watches[server.name], None, nothing)  # noqa: SLF001 - as above
        monkeypatch.setattr("miltscan.engines.clamd.engine.monotonic", lambda waited=waited: 1000.0 + waited)
        wait()
        assert (server.due < NEVER) is requested


def large(content: bytes) -> bool:
    """Whether this is a large canary."""
    return b"Subject: miltscan large-canary" in content


def sent(clamd: FakeClamd, engine: ClamdEngine, tests: int) -> list[bool]:
    """Whether each of so many more self-tests was a large one."""
    clamd.contents.clear()
    for _ in range(tests):
        engine.probe()
    return [large(content) for content in clamd.contents]


def test_the_first_self_test_and_every_third_one_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A doubt leads to a large one as well, but a server that is up has one at most every few seconds."""
    monkeypatch.setattr(clamd_watch, "_LARGE_GAP", 0.0)
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, Memo())
        assert sent(clamd, engine, 7) == [True, False, True, False, False, True, False]
        clamd.behaviour = lies.unless_canary(lies.half_reply)
        scan(engine, CLEAN)
        assert sent(clamd, engine, 1) == [True]
        scan(engine, CLEAN)
        monkeypatch.setattr(clamd_watch, "_LARGE_GAP", NEVER)
        assert sent(clamd, engine, 5) == [False] * 5


def test_a_server_that_misses_a_large_canary_must_pass_three(tmp_path: Path) -> None:
    """A server that detects only small ones may lack memory in only some of its threads."""

    def small_only(one: lies.Scan) -> None:
        (lies.always_ok if large(one.peek(4096)) else lies.honest)(one)

    memo = Memo()
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        clamd.behaviour = small_only
        engine = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, memo)
        assert sent(clamd, engine, 2) == [True, True]
        assert not engine.ready
        why = memo.states[-1][2]
        assert why.endswith("it lacks memory or disk space, or its MaxFileSize or MaxScanSize is below 5M")
        clamd.behaviour = lies.honest
        ready = []
        for _ in range(3):
            engine.probe()
            ready.append(engine.ready)
        assert ready == [False, False, True]


def test_a_large_canary_that_was_missed_is_not_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clamd remembers what it missed as clean, even after a repair, but never what it detected."""
    monkeypatch.setattr(clamd_watch, "_LARGE_GAP", 0.0)
    monkeypatch.setattr(clamd_watch, "_LARGE_EVERY", 1)
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        engine = ClamdEngine("clamd", [parse_address(clamd.address)], NEVER, Memo())
        for lie in (lies.honest, lies.always_ok, lies.honest, lies.honest, lies.honest):
            clamd.behaviour = lie
            engine.probe()
    first, missed, third, fourth, fifth = (content.partition(b"base64")[2][:2000] for content in clamd.contents)
    assert first == missed != third == fourth == fifth


def test_a_kept_session_is_no_place_for_a_stream(tmp_path: Path) -> None:
    """A clamd that accepts no more descriptors gets the content on a new connection, whatever is kept."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        server = ClamdServer("clamd", parse_address(clamd.address), keep=KEPT)
        server.target = targets(server.address)[0]
        with message(CLEAN) as made:
            for _ in range(KEPT):
                server.exchange(made.content.fileno(), soon(), nothing, new=True)
            clamd.fildes_refusal = b"No file descriptor received. ERROR"
            assert server.exchange(made.content.fileno(), time.monotonic() + PATIENCE, nothing) == CLEAN_REPLY
            assert server.exchange(made.content.fileno(), time.monotonic() + PATIENCE, nothing) == CLEAN_REPLY
        assert clamd.commands.count(b"INSTREAM") == 2
