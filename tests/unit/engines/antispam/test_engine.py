"""The exchange with anti-spam servers: what liars, slow and dead ones make of a message, and the rotation."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from miltscan.core.verdict import Fault, Limit, Outcome, SpamAction
from miltscan.engines.antispam import engine as antispam
from miltscan.engines.antispam.engine import AntispamEngine, Dialect
from miltscan.engines.rspamd.engine import rspamd_dialect
from miltscan.engines.rspamd.reply import Honoured
from miltscan.engines.spamd.engine import SPAMD_DIALECT
from miltscan.errors import MtaGoneError
from miltscan.scanning.servers import ServerRecords
from tests.fakes.antispam import SPAMD_GTUBE, Answer, FakeAntispam, http, rspamd_says, spamd_says
from tests.unit.engines.support import message, nothing, soon, until

RSPAMD = rspamd_dialect(Honoured())
MAIL = b"Subject: x\r\n\r\nhello\r\n"


@contextmanager
def running(*fakes: FakeAntispam, dialect: Dialect = RSPAMD, interval: float = 60.0) -> Iterator[AntispamEngine]:
    """An engine with these servers, each tested once, then on the interval."""
    engine = AntispamEngine("spam", [fake.address for fake in fakes], interval, ServerRecords(), dialect)
    with ExitStack() as stack:
        for fake in fakes:
            stack.enter_context(fake)
        engine.start()
        try:
            yield engine
        finally:
            engine.stop()


def test_a_server_is_asked_for_the_message_as_it_is() -> None:
    """Without our preface; the verdict has score and advice."""
    fake = FakeAntispam(rspamd_says(score=7.5, action="add header"))
    with running(fake) as engine, message(MAIL) as mail:
        verdict = engine.scan(mail, soon(), nothing)
        assert (verdict.outcome, verdict.score, verdict.server) == (Outcome.SPAM, 7.5, str(fake.address))
        assert verdict.advice
        assert verdict.advice.action is SpamAction.ADD_HEADER
        assert fake.requests[0].partition(b"\r\n\r\n")[2] == MAIL


def test_spamd_receives_a_line_in_front() -> None:
    """Which names the client."""
    fake = FakeAntispam(spamd_says(), SPAMD_GTUBE)
    with running(fake, dialect=SPAMD_DIALECT) as engine, message(MAIL) as mail:
        assert engine.scan(mail, soon(), nothing).outcome is Outcome.CLEAN
        received, _, rest = fake.requests[0].partition(b"\r\n\r\n")[2].partition(b"Subject")
        assert received.startswith(b"Received: from unknown (c [192.0.2.1])")
        assert b"Subject" + rest == MAIL


LIES: list[tuple[Answer, Fault]] = [
    (lambda _: b"", Fault.CLOSED),
    (lambda request: request, Fault.GARBLED),
    (lambda _: b"x" * 2**21, Fault.GARBLED),
    (lambda _: http(b"{" + b" " * 2**21 + b"}"), Fault.GARBLED),
    (lambda _: rspamd_says()(b"")[:-5], Fault.GARBLED),
    (rspamd_says(action="whatever"), Fault.GARBLED),
    (rspamd_says(symbols={}), Fault.GARBLED),
    (rspamd_says(status=503, error="busy"), Fault.REPORTED),
]


@pytest.mark.parametrize(("answer", "fault"), LIES)
def test_a_lie_is_an_error(answer: Answer, fault: Fault) -> None:
    """Of one server; another one gives the verdict, and a message takes no server down."""
    with running(FakeAntispam(answer)) as engine, message(MAIL) as mail:
        verdict = engine.scan(mail, soon(), nothing)
        assert (verdict.outcome, verdict.reason) == (Outcome.ERROR, fault)
        assert engine.ready
    with running(FakeAntispam(answer), FakeAntispam(rspamd_says())) as engine, message(MAIL) as mail:
        until(lambda: all(server.up for server in engine._servers))  # noqa: SLF001 - a server that is down is not asked
        assert {engine.scan(mail, soon(), nothing).outcome for _ in range(4)} == {Outcome.CLEAN}


def test_a_reply_that_is_too_long_is_named() -> None:
    """It is not read to its end."""
    with running(FakeAntispam(lambda _: http(b"x" * 2**21))) as engine, message(MAIL) as mail:
        assert "a reply of more than 1048576 bytes" in engine.scan(mail, soon(), nothing).detail


def test_an_opinion_on_half_a_message_does_not_count() -> None:
    """A server that closes the connection while the message is still sent has not seen the rest."""
    fake = FakeAntispam(rspamd_says())
    fake.hasty = True
    with running(fake) as engine, message(b"Subject: x\r\n\r\n" + b"x" * 2**24) as mail:
        verdict = engine.scan(mail, soon(), nothing)
        assert (verdict.outcome, verdict.reason) == (Outcome.ERROR, Fault.CLOSED)


def test_a_slow_server_is_given_up_at_the_deadline() -> None:
    """The tick is called meanwhile."""
    fake = FakeAntispam(rspamd_says())
    fake.delay = 5.0
    ticks: list[float] = []
    with running(fake) as engine, message(MAIL) as mail:
        verdict = engine.scan(mail, time.monotonic() + 0.6, lambda: ticks.append(0.0))
    assert (verdict.outcome, verdict.reason) == (Outcome.UNSCANNED, Limit.TIMEOUT)
    assert len(ticks) >= 2


def test_a_scan_ends_when_the_mta_has_gone() -> None:
    """The connection is closed at the next tick; `scan` reports an exception as any engine does."""
    fake = FakeAntispam(rspamd_says())
    fake.delay = 5.0

    def gone() -> None:
        raise MtaGoneError

    with running(fake) as engine, message(MAIL) as mail:
        began = time.monotonic()
        with pytest.raises(MtaGoneError):
            engine.scan(mail, soon(), gone)
        assert time.monotonic() - began < 3


@pytest.mark.parametrize("answer", [rspamd_says(), rspamd_says(symbols={}), lambda _: b""])
def test_a_server_that_misses_gtube_is_not_used(answer: Answer) -> None:
    """It is down, however it answers to mail; once it detects the message again it is used."""
    fake = FakeAntispam(answer)
    fake.answers_self_test = False
    with running(fake, interval=0.2) as engine, message(MAIL) as mail:
        assert engine.scan(mail, soon(), nothing).reason is Limit.NO_ENGINE
        fake.answers_self_test, fake.answer = True, rspamd_says()
        until(lambda: engine.ready)
        assert engine.scan(mail, soon(), nothing).outcome is Outcome.CLEAN


def test_a_dead_server_is_a_connect_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """After it was up; then its self-test takes it down."""
    fake = FakeAntispam(rspamd_says())
    with running(fake) as engine, message(MAIL) as mail:
        monkeypatch.setattr(engine, "_suspect", lambda _server: None)
        fake.__exit__()
        assert engine.scan(mail, soon(), nothing).reason is Fault.CONNECT


def test_the_self_test_waits_longer_than_a_busy_server() -> None:
    """Whose processes all scan."""
    assert antispam._TEST_TIMEOUT >= 20  # noqa: SLF001 - a constant with a reason
