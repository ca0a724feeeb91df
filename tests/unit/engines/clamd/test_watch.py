"""The tests of one clamd: when it is up, what is reported, and when a self-test is made."""

import socket
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from miltscan.core import faults
from miltscan.core.address import UnixAddress, parse_address
from miltscan.core.load import Load
from miltscan.core.verdict import Fault
from miltscan.engines import watch as engine_watch
from miltscan.engines.clamd import local
from miltscan.engines.clamd import watch as clamd_watch
from miltscan.engines.clamd.server import ClamdServer
from miltscan.engines.clamd.watch import ClamdWatch
from miltscan.engines.wire import DeadlineError, Target
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.unit.engines.support import Memo, until

NEVER = 3600.0


def watch(clamd: FakeClamd, interval: float = NEVER) -> tuple[ClamdWatch, ClamdServer, Memo]:
    """A watch over one server, not started."""
    server, memo = ClamdServer("clamd", parse_address(clamd.address)), Memo()
    return ClamdWatch(server, interval, memo), server, memo


def test_every_canary_differs(tmp_path: Path) -> None:
    """Or clamd could answer from its cache."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, _, _ = watch(clamd)
        for _ in range(3):
            made.probe()
        assert len(set(clamd.contents)) == 3


@pytest.mark.parametrize("name", [*lies.FAULTS, "always_ok"])
def test_no_lie_passes(name: str, tmp_path: Path) -> None:
    """A server that fails its self-test is down, which is reported once."""
    with FakeClamd.unix(tmp_path / "clamd.ctl", {**lies.FAULTS, "always_ok": lies.always_ok}[name]) as clamd:
        made, server, memo = watch(clamd)
        made.probe()
        made.probe()
        assert not server.up
        assert memo.faults == [(clamd.address, Fault.CANARY)]
        assert [up for _, up, _ in memo.states] == [False]


def test_a_clamd_that_cannot_start_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without signatures it does not run, and a start would have no effect: the reason says so."""
    configuration = tmp_path / "clamd.conf"
    configuration.write_text(f"LocalSocket {tmp_path}/ctl\nDatabaseDirectory {tmp_path}\n")
    server, memo = ClamdServer("clamd", UnixAddress(f"{tmp_path}/ctl")), Memo()
    made = ClamdWatch(server, NEVER, memo)
    for default in (tmp_path / "absent.conf", configuration):
        monkeypatch.setattr(local, "DEFAULT_FILE", default)
        made.probe()
        server.reported = False
    first, second = (why for _, _, why in memo.states)
    assert faults.does_not_run(first)
    assert [faults.may_not_run(why) for why in ("closed: x", "connect: x", "its temporary folder /t: No space")] == [
        True,
        True,
        False,
    ]
    assert second == f"cannot start: {tmp_path} has no signatures (main and daily.cvd)"


def test_states_are_told_on_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one, and each that differs from the last."""
    monkeypatch.setattr(clamd_watch, "_LARGE_GAP", NEVER)  # on a busy host half a second passes: a large one is due
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, _, memo = watch(clamd)
        for behaviour in [lies.honest, lies.honest, lies.always_ok, lies.always_ok, lies.honest]:
            clamd.behaviour = behaviour
            made.probe()
        assert [up for _, up, _ in memo.states] == [True, False, True]
        assert len(memo.passed) == 3


def test_new_signatures_are_told_and_tested_at_once(tmp_path: Path) -> None:
    """A reload may bring a database that finds nothing, so a self-test follows at once."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, _, memo = watch(clamd)
        made.probe()
        made.start()
        assert [version for _, version, _ in memo.versions] == [27700]
        clamd.answers[b"VERSION"] = b"ClamAV 1.4.3/27701/Sun Jan  4 10:00:00 2026"
        made.request_self_test()
        until(lambda: len(memo.passed) == 3)  # the one asked for, and the one after the reload
        made.stop()
        made.join()
        assert [version for _, version, _ in memo.versions] == [27700, 27701]


@pytest.mark.parametrize("answer", [b"ClamAV 1.4.6", b"UNKNOWN COMMAND", b""])
def test_no_version_is_no_fault(answer: bytes, tmp_path: Path) -> None:
    """A server without a dated database is up all the same."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        clamd.answers[b"VERSION"] = answer
        made, server, memo = watch(clamd)
        made.probe()
        assert server.up
        assert memo.versions == []


def test_an_observer_that_fails_does_not_end_the_watch(tmp_path: Path) -> None:
    """The server counts as down meanwhile, and comes back."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, server, memo = watch(clamd, interval=0.05)
        made.probe()
        made.start()
        memo.passed = None  # type: ignore[assignment]  # append will raise
        until(lambda: not server.up)
        memo.passed = []
        until(lambda: server.up)
        made.stop()
        made.join()


@pytest.mark.usefixtures("patient_ping")
@pytest.mark.parametrize(
    ("answered", "pong", "up"), [(float("inf"), b"", True), (0.0, b"PONG", True), (0.0, b"", False)]
)
def test_a_busy_server_is_not_a_hung_one(
    answered: float,
    pong: bytes,
    up: bool,  # noqa: FBT001  # a column of the table
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A late self-test goes on while scans or PING get replies, and fails when neither does."""
    slow = lies.Slow()
    wait, waits = ClamdWatch._wait, []  # noqa: SLF001  # to see it wait

    def counted(self: ClamdWatch, server: ClamdServer, began: float) -> None:
        waits.append(began)
        if len(waits) == 3:
            slow.released.set()
        wait(self, server, began)

    monkeypatch.setattr(ClamdWatch, "_wait", counted)
    monkeypatch.setattr(engine_watch, "PATIENCE", 0.01)
    with FakeClamd.unix(tmp_path / "clamd.ctl", slow) as clamd:
        made, server, _ = watch(clamd)
        server.answered = answered
        clamd.answers[b"PING"] = pong
        made.probe()
    assert server.up is up


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"POOLS: 1\n\nTHREADS: live 3  idle 1 max 12 idle-timeout 30\nQUEUE: 7 items\nEND", Load(7, 3, 1, 12)),
        (b"UNKNOWN COMMAND", None),
        (b"COMMAND UNAVAILABLE", None),
        (b"", None),
    ],
)
def test_each_passed_canary_tells_the_load(tmp_path: Path, answer: bytes, expected: Load | None) -> None:
    """A clamd that does not answer STATS is up all the same."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        clamd.answers[b"STATS"] = answer
        made, server, memo = watch(clamd)
        made.probe()
        assert server.up
        assert memo.loads == [(clamd.address, expected)]
        clamd.behaviour = lies.always_ok
        made.probe()
        assert len(memo.loads) == 1


@pytest.mark.parametrize("order", [("down", "up"), ("up", "down")])
def test_each_address_of_a_server_is_tried_until_one_passes(
    order: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host name may have an address at which no clamd listens, before or after the one that works."""
    addresses = [Target(socket.AF_UNIX, str(tmp_path / name)) for name in order]
    monkeypatch.setattr(engine_watch, "targets", lambda _: addresses)
    with FakeClamd.unix(tmp_path / "up") as clamd:
        made, server, _ = watch(clamd)
        made.probe()
        assert (server.up, server.target) == (True, Target(socket.AF_UNIX, str(tmp_path / "up")))


def test_a_server_that_is_down_is_tested_after_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next self-test is due after the interval, or after a shorter pause where the server failed one."""
    now = time.monotonic()
    monkeypatch.setattr(engine_watch, "monotonic", lambda: now)
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, server, _ = watch(clamd)
        for behaviour, gap in ((lies.honest, NEVER), (lies.always_ok, engine_watch.RETRY)):
            clamd.behaviour = behaviour
            made.probe()
            assert (server.tested, server.due) == (now, now + gap)


def test_requests_for_a_self_test_do_not_flood_a_server(tmp_path: Path) -> None:
    """A request brings the next self-test forward, but not closer to the last one than the shortest gap."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, server, _ = watch(clamd)
        server.tested = 100.0
        for due, expected in ((110.0, 100.0 + engine_watch._SHORTEST_GAP), (100.0, 100.0)):  # noqa: SLF001 - short here
            server.due = due
            made.request_self_test()
            assert server.due == expected


def test_a_wake_before_the_next_test_is_due_tests_nothing(tmp_path: Path) -> None:
    """The thread looks at the time again and waits for the rest of it."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, server, _ = watch(clamd)
        server.due = time.monotonic() + NEVER
        made._wake.set()  # noqa: SLF001 - a request would also change the time
        made.start()
        until(lambda: not made._wake.is_set())  # noqa: SLF001 - the thread has begun its round
        made.stop()
        made.join()
        assert server.tested == 0.0


@pytest.mark.parametrize(("waited", "hung"), [(2.0, False), (2.1, True)])
def test_patience_with_a_server_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waited: float, *, hung: bool
) -> None:
    """A server without an answer for more than two seconds must answer PING."""
    monkeypatch.setattr(clamd_watch, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(clamd_watch, "ping", lambda *_: False)
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, server, _ = watch(clamd)
        with pytest.raises(DeadlineError) if hung else nullcontext():
            made._wait(server, 1000.0 - waited)  # noqa: SLF001 - the tick of a self-test
