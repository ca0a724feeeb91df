"""The tests of one clamd: when it is up, what is reported, and when a self-test is made."""

from pathlib import Path

import pytest

from miltscan.core.address import parse_address
from miltscan.core.load import Load
from miltscan.core.verdict import Fault
from miltscan.engines.clamd import watch as clamd_watch
from miltscan.engines.clamd.server import ClamdServer
from miltscan.engines.clamd.watch import ServerWatch
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.unit.engines.support import Memo, until

NEVER = 3600.0


def watch(clamd: FakeClamd, interval: float = NEVER) -> tuple[ServerWatch, ClamdServer, Memo]:
    """A watch over one server, not started."""
    server, memo = ClamdServer("clamd", parse_address(clamd.address)), Memo()
    return ServerWatch(server, interval, memo), server, memo


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


def test_states_are_told_on_a_change(tmp_path: Path) -> None:
    """The first one, and each that differs from the last."""
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
    wait, waits = ServerWatch._wait, []  # noqa: SLF001  # to see it wait

    def counted(self: ServerWatch, server: ClamdServer, began: float) -> None:
        waits.append(began)
        if len(waits) == 3:
            slow.released.set()
        wait(self, server, began)

    monkeypatch.setattr(ServerWatch, "_wait", counted)
    monkeypatch.setattr(clamd_watch, "PATIENCE", 0.01)
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
