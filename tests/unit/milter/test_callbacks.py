"""The callbacks of libmilter, called as libmilter calls them: the reply to the MTA after each failure."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import milter
import pytest

from miltscan.core.action import Accept, ActionName, AddRecipient, Decision, RemoveRecipient
from miltscan.core.message import Destination, Envelope, Message
from miltscan.core.report import Report
from miltscan.core.verdict import Limit, Verdict
from miltscan.engines.base import Tick
from miltscan.milter.callbacks import Milter
from miltscan.milter.session import MtaSession, Runtime
from miltscan.milter.steps import take_chunk, take_eoh, take_header, take_recipient
from miltscan.scanning import spool
from miltscan.scanning.pipeline import Pipeline, scan_slots
from miltscan.scanning.spool import Spool
from tests.fakes.engine import ScriptedEngine
from tests.fakes.messages import policy

CONTINUE, NOREPLY, TEMPFAIL, REJECT = milter.CONTINUE, milter.NOREPLY, milter.TEMPFAIL, milter.REJECT
STEPS: dict[str, Callable[..., int]] = {
    "rcpt": take_recipient,
    "header": take_header,
    "eoh": take_eoh,
    "body": take_chunk,
}


class FakeContext:
    """A fake of pymilter's context of one connection, which records what is sent to the MTA."""

    def __init__(self) -> None:
        self.private: Any = None
        self.told: list[tuple[Any, ...]] = []
        self.macros = {"i": "5AMEkX012345"}

    def setpriv(self, value: object) -> None:
        """As pymilter."""
        self.private = value

    def getpriv(self) -> Any:  # noqa: ANN401 - as pymilter
        """As pymilter."""
        return self.private

    def getsymval(self, name: str) -> str | None:
        """A macro."""
        return self.macros.get(name)

    def setreply(self, *words: str) -> None:
        """The reply."""
        self.told.append(words)

    def addheader(self, *words: object) -> None:
        """An edit."""
        self.told.append(words)

    def progress(self) -> None:
        """A sign of life."""

    def delrcpt(self, *words: object) -> None:
        """An edit of the envelope."""
        self.told.append(("delrcpt", *words))

    def addrcpt(self, *words: object) -> None:
        """An edit of the envelope."""
        self.told.append(("addrcpt", *words))

    def setsymlist(self, *words: object) -> None:
        """The macros that are asked for."""
        self.told.append(("setsymlist", *words))


class FakeRecorder:
    """Counts; fails at the methods named."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.reports: list[Report] = []
        self.errors: list[Exception] = []

    def _fail(self, name: str) -> None:
        if name in self.failing:
            raise BrokenPipeError("standard output is gone")

    def done(self, report: Report) -> None:
        """A message was decided."""
        self.reports.append(report)
        self._fail("done")

    def exception(self, _where: str, error: Exception) -> None:
        """Our own code failed."""
        self.errors.append(error)
        self._fail("exception")


CLEAN = Verdict.clean("fake")
INFECTED = Verdict.infected("fake", "Eicar 100%")


class Setup:
    """A milter with one session."""

    def __init__(self, folder: Path, verdict: Verdict | Exception, *failing: str, **choices: Any) -> None:  # noqa: ANN401
        self.recorder = FakeRecorder(*failing)
        pipeline = Pipeline([ScriptedEngine(verdict)], policy(**choices), scan_slots(1), 60.0, 0.0)
        self.milter = Milter(
            Runtime(pipeline, pipeline, 1000, keeps_large=False, spool_directory=folder, spool_memory=1000),
            self.recorder,
            lambda: None,
        )
        self.ctx = FakeContext()
        self.milter._negotiate(self.ctx, [0x1FF, 0x1FFFFF, 0, 0])  # noqa: SLF001 - as libmilter calls it

    def mail(self, *arguments: bytes) -> int:
        """MAIL."""
        return self.milter._mail(self.ctx, b"<a@example.org>", *arguments)  # noqa: SLF001

    def rest(self) -> int:
        """From RCPT to EOM; what EOM returned."""
        answers = [
            STEPS["rcpt"](self.ctx, b"<b@example.test>"),
            STEPS["header"](self.ctx, "Subject", b" hi"),
            STEPS["eoh"](self.ctx),
            STEPS["body"](self.ctx, b"text"),
        ]
        assert answers == [NOREPLY] * 4
        return self.milter._eom(self.ctx)  # noqa: SLF001


def open_spools() -> int:
    """The spools that this process has open. Threads of other tests may still close descriptors of other kinds."""
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(one.readlink()).startswith("/memfd:miltscan (")
    return found


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No spool is left open, where none is kept for the next message."""
    monkeypatch.setattr(spool, "_KEPT", 0)
    monkeypatch.setattr(spool, "_kept", deque())  # one of another test would end here
    before = open_spools()
    yield
    assert open_spools() == before


pytestmark = pytest.mark.usefixtures("descriptors")


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (CLEAN, CONTINUE),
        (INFECTED, REJECT),
        (Verdict.unscanned("fake", Limit.TIMEOUT), TEMPFAIL),
        (ZeroDivisionError("a bug"), TEMPFAIL),
    ],
)
@pytest.mark.parametrize("failing", [(), ("done",), ("done", "exception")], ids=str)
def test_decision_stands_whoever_cannot_be_told(
    tmp_path: Path, verdict: Verdict | Exception, code: int, failing: tuple[str, ...]
) -> None:
    """A log line that fails turns neither a reject into an accept, nor an accept into anything else."""
    setup = Setup(tmp_path, verdict, *failing)
    assert setup.mail() == CONTINUE
    assert setup.rest() == code
    assert (setup.milter.sessions, setup.milter.transactions) == (1, 0)


def test_a_failing_recorder_accepts_no_message(tmp_path: Path) -> None:
    """A second failure after a failed scan never leads to an accept."""
    setup = Setup(tmp_path, ZeroDivisionError(), "exception")
    setup.mail()
    assert setup.rest() == TEMPFAIL


def test_a_session_of_an_unknown_peer_is_refused(tmp_path: Path) -> None:
    """Where it cannot be found out who connected, the session ends before any of its data counts."""
    setup = Setup(tmp_path, CLEAN)
    setup.milter.admit = mock.Mock(side_effect=OSError("no descriptor is left"))
    ctx = FakeContext()
    assert setup.milter._negotiate(ctx, [0x1FF, 0x1FFFFF, 0, 0]) == REJECT  # noqa: SLF001 - as libmilter calls it
    assert (len(setup.recorder.errors), ctx.getpriv()) == (1, None)


def test_eom_without_negotiation_is_a_tempfail(tmp_path: Path) -> None:
    """A connection of which we know nothing accepts nothing."""
    setup = Setup(tmp_path, CLEAN)
    assert setup.milter._eom(FakeContext()) == TEMPFAIL  # noqa: SLF001
    assert setup.recorder.errors


def test_eom_after_steps_out_of_order_is_a_tempfail(tmp_path: Path) -> None:
    """No MAIL: the steps answer nothing, the EOM does."""
    setup = Setup(tmp_path, CLEAN)
    assert setup.rest() == TEMPFAIL
    assert setup.mail() == CONTINUE
    assert setup.rest() == CONTINUE


def test_reply_is_not_a_format(tmp_path: Path) -> None:
    """Libmilter formats the text of a reply."""
    setup = Setup(tmp_path, INFECTED)
    setup.mail()
    setup.rest()
    assert setup.ctx.told == [("550", "5.7.1", "Virus found: Eicar 100%% (5AMEkX012345)")]


def test_announced_size_is_refused_at_once(tmp_path: Path) -> None:
    """The client need not send what will be refused; the next message is scanned."""
    setup = Setup(tmp_path, CLEAN, on_unscanned=dict.fromkeys(Limit, ActionName.REJECT))
    assert setup.mail(b"SIZE=1001") == REJECT
    assert setup.ctx.told[0][:2] == ("552", "5.3.4")
    assert (setup.milter.sessions, setup.milter.transactions) == (1, 0)
    assert setup.mail(b"SIZE=1000") == CONTINUE
    assert setup.rest() == CONTINUE


def test_a_side_that_needs_the_whole_message_refuses_no_announced_size(tmp_path: Path) -> None:
    """The delivery side: the headers may have a receipt."""
    setup = Setup(tmp_path, CLEAN, on_unscanned=dict.fromkeys(Limit, ActionName.REJECT))
    setup.milter.runtime = replace(setup.milter.runtime, announced=None)
    assert setup.mail(b"SIZE=1001") == CONTINUE
    assert setup.rest() == CONTINUE


def test_refused_mail_that_goes_on_is_not_accepted(tmp_path: Path) -> None:
    """An MTA that sends a message after its MAIL was refused gets no clean for it, and leaves no descriptor."""
    setup = Setup(tmp_path, CLEAN, on_unscanned=dict.fromkeys(Limit, ActionName.REJECT))
    assert setup.mail(b"SIZE=1001") == REJECT
    assert setup.rest() == TEMPFAIL


def test_eom_after_a_refused_mail_is_no_accept(tmp_path: Path) -> None:
    """Nor if nothing came between, and with any policy for errors."""
    setup = Setup(tmp_path, CLEAN, on_unscanned=dict.fromkeys(Limit, ActionName.REJECT), on_error=ActionName.ACCEPT)
    assert setup.mail(b"SIZE=1001") == REJECT
    assert setup.milter._eom(setup.ctx) == TEMPFAIL  # noqa: SLF001 - as libmilter calls it


def test_announced_size_that_is_taken_waits_for_the_bytes(tmp_path: Path) -> None:
    """Where the policy does not refuse, what came decides, not what was said."""
    setup = Setup(tmp_path, CLEAN, on_unscanned=dict.fromkeys(Limit, ActionName.ACCEPT))
    assert setup.mail(b"SIZE=1001") == CONTINUE
    assert setup.rest() == CONTINUE
    assert setup.recorder.reports[-1].verdict is CLEAN


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 4])
def test_client_that_goes_away(tmp_path: Path, steps: int) -> None:
    """Wherever it does: the transaction and the session are closed, and their spool with them."""
    setup = Setup(tmp_path, CLEAN)
    setup.mail()
    for name, arguments in [*zip(STEPS, ((b"<b@example.test>",), ("Subject", b""), (), (b"x",)), strict=True)][:steps]:
        STEPS[name](setup.ctx, *arguments)
    setup.milter._abort(setup.ctx)  # noqa: SLF001
    setup.milter._close(setup.ctx)  # noqa: SLF001
    assert (setup.milter.sessions, setup.milter.transactions) == (0, 0)


def session() -> MtaSession:
    """A new one."""
    return MtaSession(b"", mock.Mock())


def test_a_write_that_hangs_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message whose spool hangs is named during the hang, and not after it."""
    setup = Setup(tmp_path, CLEAN)
    setup.mail()
    seen: list[str | None] = []

    def write(_spool: Spool, _data: bytes) -> None:
        seen.append(setup.milter.silent(30.0))
        setup.milter.clock += 31.0
        seen.append(setup.milter.silent(30.0))

    monkeypatch.setattr(Spool, "write", write)
    assert setup.milter._body(setup.ctx, b"text") == NOREPLY  # noqa: SLF001 - as libmilter calls it
    assert [*seen, setup.milter.silent(30.0)] == [None, "5AMEkX012345", None]
    setup.milter._abort(setup.ctx)  # noqa: SLF001


def test_only_slow_eoms_ask_libmilter_for_a_thread() -> None:
    """Fast ones at the same time cost no kick; once one ticks, each later one ticks as well."""
    kicks: list[None] = []
    pace = Milter(mock.Mock(), mock.Mock(), lambda: kicks.append(None))
    pace._enter(session(), 0.0)  # noqa: SLF001 - an EOM as libmilter's threads see it
    pace._tick(FakeContext(), session())  # noqa: SLF001 - as above
    assert not kicks  # alone it delays no other session
    pace._slow_until = 0.0  # noqa: SLF001 - long ago
    pace._enter(session(), 0.0)  # noqa: SLF001 - as above
    assert not kicks
    pace._tick(FakeContext(), session())  # noqa: SLF001 - as above
    assert len(kicks) == 1
    pace._enter(session(), 0.0)  # noqa: SLF001 - as above
    assert len(kicks) == 2


class Edits:
    """A processor whose decision edits the recipients of the MTA."""

    def __init__(self) -> None:
        self.envelope = Envelope(b"")

    def process(self, message: Message, _tick: Tick) -> Report:
        """Remove one recipient, and add two."""
        self.envelope = message.envelope
        edits = (
            RemoveRecipient(b"<a@example.test>"),
            AddRecipient(b"<b@example.test>"),
            AddRecipient(b"<c@example.test>", (b"NOTIFY=NEVER", b"ORCPT=rfc822;c@example.test")),
        )
        return Report(message, CLEAN, Decision(Accept(), "rule", recipients=edits), (), 0.0, 0.0)


REMOVED, ADDED, ADDED_WITH = milter.DELRCPT, milter.ADDRCPT, milter.ADDRCPT_PAR


@pytest.mark.parametrize("splits", [True, False])
@pytest.mark.parametrize(
    ("offered", "editable", "last"),
    [
        (0x1FF, True, ("addrcpt", "<c@example.test>", "NOTIFY=NEVER ORCPT=rfc822;c@example.test")),
        (0x1FF & ~ADDED_WITH, True, ("addrcpt", "<c@example.test>")),
        (0x1FF & ~ADDED, False, ("addrcpt", "<c@example.test>", "NOTIFY=NEVER ORCPT=rfc822;c@example.test")),
        (0x1FF & ~REMOVED, False, ("addrcpt", "<c@example.test>", "NOTIFY=NEVER ORCPT=rfc822;c@example.test")),
    ],
)
def test_recipients_are_edited(
    tmp_path: Path, offered: int, last: tuple[str, ...], *, editable: bool, splits: bool
) -> None:
    """What the MTA offers is always requested; only where recipients may differ are their macros asked for."""
    setup, edits = Setup(tmp_path, CLEAN), Edits()
    setup.milter.runtime = replace(setup.milter.runtime, pipeline=edits, splits=splits)
    setup.ctx = FakeContext()
    setup.ctx.macros |= {"{rcpt_mailer}": "local", "{rcpt_addr}": "b"}
    options = [offered, 0x1FFFFF, 0, 0]
    setup.milter._negotiate(setup.ctx, options)  # noqa: SLF001 - as libmilter calls it
    wanted = REMOVED | ADDED | ADDED_WITH
    assert options[0] & wanted == offered & wanted
    asked = [("setsymlist", milter.M_ENVRCPT, "{rcpt_mailer} {rcpt_host} {rcpt_addr}")]
    assert setup.ctx.told == (asked if splits else [])
    setup.mail(b"RET=HDRS")
    STEPS["rcpt"](setup.ctx, b"<b@example.test>", b"NOTIFY=NEVER")
    assert setup.milter._eom(setup.ctx) == CONTINUE  # noqa: SLF001 - as libmilter calls it
    assert setup.ctx.told[-3:] == [("delrcpt", "<a@example.test>"), ("addrcpt", "<b@example.test>"), last]
    assert (edits.envelope.editable, edits.envelope.arguments, edits.envelope.local) == (editable, (b"RET=HDRS",), True)
    destination = Destination((b"NOTIFY=NEVER",), ("local", "", "b"))
    assert edits.envelope.destinations == ((destination,) if splits else ())


def domain(message: Message) -> bytes:
    """The class of a recipient, for which there must be one."""
    (recipient,) = message.envelope.recipients
    if recipient == b"<bug>":
        raise ZeroDivisionError
    return recipient.partition(b"@")[2]


def negotiated(setup: Setup, **fields: Any) -> int:  # noqa: ANN401 - of the runtime
    """A new session of a runtime with these fields; the steps that were negotiated."""
    setup.milter.runtime = replace(setup.milter.runtime, splits=True, **fields)
    setup.ctx = FakeContext()
    options = [0x1FF, 0x1FFFFF, 0, 0]
    setup.milter._negotiate(setup.ctx, options)  # noqa: SLF001 - as libmilter calls it
    setup.ctx.told.clear()
    return options[1]


def test_recipients_of_another_class_are_refused(tmp_path: Path) -> None:
    """With 452, to them alone; the next transaction begins anew."""
    setup = Setup(tmp_path, CLEAN)
    assert not negotiated(setup, classify=domain) & milter.P_NR_RCPT
    for order in ((b"<a@x>", b"<b@y>", b"<c@x>"), (b"<b@y>", b"<a@x>", b"<d@y>")):
        setup.mail()
        answers = [STEPS["rcpt"](setup.ctx, one) for one in order]
        assert answers == [CONTINUE, TEMPFAIL, CONTINUE]
        assert setup.milter._eom(setup.ctx) == CONTINUE  # noqa: SLF001 - as libmilter calls it
        assert setup.recorder.reports[-1].message.envelope.recipients == (order[0], order[2])
    assert [words[:2] for words in setup.ctx.told if words[0] == "452"] == [("452", "4.5.3")] * 2


def test_an_error_at_rcpt_waits_for_the_eom(tmp_path: Path) -> None:
    """The MTA has its answer to RCPT, and the message is tempfailed."""
    setup = Setup(tmp_path, CLEAN)
    negotiated(setup, classify=domain)
    setup.mail()
    assert [STEPS["rcpt"](setup.ctx, one) for one in (b"<a@x>", b"<bug>", b"<b@y>")] == [CONTINUE] * 3
    assert setup.milter._eom(setup.ctx) == TEMPFAIL  # noqa: SLF001 - as libmilter calls it


def test_a_reload_changes_no_session(tmp_path: Path) -> None:
    """What was negotiated stays: a session without answers refuses nobody at RCPT, and one with them answers."""
    setup = Setup(tmp_path, CLEAN)
    assert negotiated(setup) & milter.P_NR_RCPT
    setup.milter.runtime = replace(setup.milter.runtime, classify=domain)
    setup.mail()
    assert [STEPS["rcpt"](setup.ctx, one) for one in (b"<a@x>", b"<b@y>")] == [NOREPLY] * 2
    setup.milter._abort(setup.ctx)  # noqa: SLF001 - as libmilter calls it
    negotiated(setup, classify=domain)
    setup.milter.runtime = replace(setup.milter.runtime, classify=None)
    setup.mail()
    assert [STEPS["rcpt"](setup.ctx, one) for one in (b"<a@x>", b"<b@y>")] == [CONTINUE] * 2
    setup.milter._abort(setup.ctx)  # noqa: SLF001 - as libmilter calls it


def test_a_reload_during_mail_takes_no_fact_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules with which a transaction begins have the facts that they read, whatever the next ones read."""
    setup = Setup(tmp_path, CLEAN)
    setup.milter.runtime = replace(setup.milter.runtime, inquires=True)
    setup.ctx.macros["{auth_authen}"] = "alice"

    def macro(name: str) -> str | None:
        if name == "i":  # the first one that is read after the beginning of the transaction
            setup.milter.runtime = replace(setup.milter.runtime, inquires=False)
        return setup.ctx.macros.get(name)

    monkeypatch.setattr(setup.ctx, "getsymval", macro)
    setup.mail()
    setup.rest()
    assert setup.recorder.reports[-1].message.circumstances.user == "alice"
