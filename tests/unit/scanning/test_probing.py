"""The pipeline that knows probes: scanned like mail, rejected with the proof; ordinary mail is unchanged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from miltscan.core.action import Accept, ActionName
from miltscan.core.edits import InsertHeader, RemoveHeader
from miltscan.core.keys import Key
from miltscan.core.message import Message
from miltscan.core.probe import PROBE_HEADER, Answer, Probe, ProbeKind, read_answer
from miltscan.core.report import Report
from miltscan.core.session import Session, head, too_large
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict
from miltscan.scanning.pipeline import Pipeline, scan_slots
from miltscan.scanning.probe_run import make
from miltscan.scanning.probing import Probing
from miltscan.scanning.receipts import Signing
from miltscan.scanning.spool import Spool
from tests.fakes.engine import ScriptedEngine
from tests.fakes.messages import message, policy

KEY = Key("k", b"k" * 32)


@pytest.fixture
def arrived() -> Iterator[tuple[Message, Probe]]:
    """A clean probe as the milter builds it."""
    data, probe = make(KEY, ProbeKind.CLEAN)
    top, _, body = data.partition(b"\r\n\r\n")
    session = Session()
    session.mail(b"<>", (), 1 << 20, authenticated=False)
    session.rcpt(b"<miltscan-probe@localhost>", local=True)
    lines = top.replace(b"\r\n ", b"\n ").split(b"\r\n")
    spool = Spool(Path(), 1 << 20)
    for line in lines:
        name, _, value = line.partition(b":")
        session.header(name, value)
    spool.write(session.body(body))
    session.eom()
    yield session.message("AA1", b"", spool), probe
    spool.close()


def probing(verdict: Verdict | Exception, raised: list[Exception] | None = None) -> tuple[Probing, ScriptedEngine]:
    """The whole row of pipelines of the incoming side, and their engine."""
    engine = ScriptedEngine(verdict)
    pipeline = Pipeline([engine], policy(), scan_slots(1), 60.0, 0.0)
    heard = [] if raised is None else raised
    signing = Signing(pipeline, (KEY,), lambda _engine, _server: 1, heard.append)
    return Probing(signing, pipeline, (KEY,), heard.append), engine


def nothing() -> None:
    """No sign of life."""


def answer(report: Report, probe: Probe) -> Answer | None:
    """The answer in the reply to the client of the probe."""
    assert report.decision.reply
    return read_answer(probe, report.decision.reply.text)


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (Verdict.clean("fake"), Answer(Outcome.CLEAN, ActionName.ACCEPT)),
        (Verdict.infected("fake", "Eicar"), Answer(Outcome.INFECTED, ActionName.REJECT)),
        (Verdict.unscanned("fake", Limit.NO_ENGINE), Answer(Outcome.UNSCANNED, ActionName.TEMPFAIL)),
        (Verdict.error("fake", Fault.CANARY), Answer(Outcome.ERROR, ActionName.TEMPFAIL)),
    ],
)
def test_a_probe_is_scanned_and_refused(arrived: tuple[Message, Probe], verdict: Verdict, expected: Answer) -> None:
    """The refusal proves the verdict of the engine; a refused message has no receipt."""
    pipeline, engine = probing(verdict)
    report = pipeline.process(arrived[0], nothing)
    assert answer(report, arrived[1]) == expected
    assert (report.probe, report.decision.edits, engine.asked) == (ProbeKind.CLEAN, (), 1)


def test_a_bug_at_a_probe_is_told_and_no_mail(arrived: tuple[Message, Probe]) -> None:
    """The client of a probe receives the same reply as any other, with the answer."""
    raised: list[Exception] = []
    pipeline, _ = probing(RuntimeError("x"), raised)
    report = pipeline.process(arrived[0], nothing)
    assert answer(report, arrived[1]) == Answer(Outcome.ERROR, ActionName.TEMPFAIL)
    assert (report.probe, [str(error) for error in raised]) == (ProbeKind.CLEAN, ["x"])
    assert (report.waited, report.seconds) == (0.0, 0.0)


def test_a_spool_that_cannot_be_read_makes_it_ordinary_mail(arrived: tuple[Message, Probe]) -> None:
    """The message is scanned, the error is reported, and the header is removed."""
    raised: list[Exception] = []
    pipeline, engine = probing(Verdict.clean("fake"), raised)
    arrived[0].content.close()  # type: ignore[attr-defined]  # the spool
    report = pipeline.process(arrived[0], nothing)
    assert (report.probe, engine.asked) == (None, 1)
    assert RemoveHeader(PROBE_HEADER, 1) in report.decision.edits
    assert raised


def test_a_forged_header_goes_and_all_else_stays() -> None:
    """Ordinary mail with its receipt and its marks."""
    pipeline, engine = probing(Verdict.clean("fake"))
    spool = Spool(Path(), 1 << 20)
    headers = ((b"X-Miltscan-Probe", b" x"), (b"Subject", b" y"))
    spool.write(head([*headers]) + b"hello\r\n")
    report = pipeline.process(message(headers=headers, content=spool), nothing)
    spool.close()
    assert isinstance(report.decision.action, Accept)
    assert RemoveHeader(PROBE_HEADER, 1) in report.decision.edits
    inserted = {edit.name for edit in report.decision.edits if isinstance(edit, InsertHeader)}
    assert "X-Miltscan-Receipt" in inserted
    assert (report.probe, engine.asked) == (None, 1)


def test_what_is_refused_is_not_edited() -> None:
    """A virus with a forged header gets the policy's own reply, without an answer."""
    pipeline, _ = probing(Verdict.infected("fake", "Eicar"))
    report = pipeline.process(message(headers=((b"X-Miltscan-Probe", b" x"),)), nothing)
    assert (report.probe, report.decision.edits) == (None, ())
    assert "[probe" not in str(report.decision.reply)


def test_what_was_not_kept_whole_is_no_probe(arrived: tuple[Message, Probe]) -> None:
    """There is nothing to compare its signature with."""
    pipeline, _ = probing(Verdict.clean("fake"))
    assert pipeline.process(arrived[0]._replace(settled=too_large(2, 1)), nothing).probe is None
