"""The canary: what it looks like, what passes for found, and when the watch sends one."""

import email
import email.message
from pathlib import Path

import pytest

from miltscan.core.address import parse_address
from miltscan.core.message import PREFACE
from miltscan.core.verdict import Fault, Limit
from miltscan.engines import canary
from miltscan.engines.canary import Watch, canary_mail, missed
from miltscan.engines.clamd_reply import CLEAN, Failed, Found, Limited, Reply
from miltscan.engines.clamd_server import Server
from tests.fakes import clamd_lies as lies
from tests.fakes.clamd import FakeClamd
from tests.fakes.eicar import EICAR
from tests.unit.engines.support import Memo, until

NEVER = 3600.0


def test_the_mail_must_be_decoded_to_find_it() -> None:
    """The test signature is its second part, in base64, byte for byte."""
    mail = canary_mail(b"mark", EICAR)
    assert mail.startswith(PREFACE)
    assert EICAR not in mail
    assert mail.count(b"\n") == mail.count(b"\r\n")
    parts = email.message_from_bytes(mail).get_payload()
    assert isinstance(parts, list)
    assert isinstance(parts[1], email.message.Message)
    assert parts[1].get_payload(decode=True) == EICAR


@pytest.mark.parametrize(
    "signature",
    ["Eicar-Test-Signature", "Win.Test.EICAR_HDB-1", "Eicar-Signature", "{HEX}EICAR.TEST.3.UNOFFICIAL"],
)
def test_what_databases_call_it(signature: str) -> None:
    """Any name with EICAR in it."""
    assert missed(Found(signature)) == ""


@pytest.mark.parametrize(
    "reply",
    [
        CLEAN,
        Found("Win.Trojan.Other"),
        Limited(Limit.TIMEOUT, "late"),
        Limited(Limit.LIMITS, "Heuristics.Limits.Exceeded"),
        Failed(Fault.CLOSED, "closed"),
    ],
)
def test_everything_else_is_missed(reply: Reply) -> None:
    """And the reason is at hand."""
    assert missed(reply)


def watch(clamd: FakeClamd, interval: float = NEVER) -> tuple[Watch, Server, Memo]:
    """A watch over one server, not started."""
    server, memo = Server(parse_address(clamd.address)), Memo()
    return Watch([server], interval, memo), server, memo


def test_every_canary_differs(tmp_path: Path) -> None:
    """Or clamd could answer from its cache."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, _, _ = watch(clamd)
        for _ in range(3):
            made.probe()
        assert len(set(clamd.contents)) == 3


@pytest.mark.parametrize("name", [*lies.FAULTS, "always_ok"])
def test_no_lie_passes(name: str, tmp_path: Path) -> None:
    """A server that lies to its canary is down, and that is told once."""
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
    """A reload may bring a database that finds nothing: a canary follows without waiting for the interval."""
    with FakeClamd.unix(tmp_path / "clamd.ctl") as clamd:
        made, server, memo = watch(clamd)
        made.start()
        assert [version for _, version, _ in memo.versions] == [27700]
        clamd.answers[b"VERSION"] = b"ClamAV 1.4.3/27701/Sun Jan  4 10:00:00 2026"
        made.doubt(server)
        until(lambda: len(memo.passed) == 3)  # the one asked for, and the one after the reload
        made.stop()
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
        made.start()
        memo.passed = None  # type: ignore[assignment]  # append will raise
        until(lambda: not server.up)
        memo.passed = []
        until(lambda: server.up)
        made.stop()


@pytest.mark.parametrize(("answered", "up"), [(float("inf"), True), (0.0, False)])
def test_a_busy_server_is_not_a_hung_one(
    answered: float,
    up: bool,  # noqa: FBT001  # a column of the table
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A late canary is waited for while scans get their replies from the server, and not when nobody gets one."""
    slow = lies.Slow()
    wait, waits = Watch._wait, []  # noqa: SLF001  # to see it wait

    def counted(self: Watch, server: Server, began: float) -> None:
        waits.append(began)
        if len(waits) == 3:
            slow.released.set()
        wait(self, server, began)

    monkeypatch.setattr(Watch, "_wait", counted)
    monkeypatch.setattr(canary, "PATIENCE", 0.0)
    with FakeClamd.unix(tmp_path / "clamd.ctl", slow) as clamd:
        made, server, _ = watch(clamd)
        server.answered = answered
        made.probe()
    assert server.up is up
