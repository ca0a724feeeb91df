"""One connection: where a fault of a step goes, and what of one message is left for the next."""

import os
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from miltscan.core.message import PREFACE
from miltscan.core.policy import decide
from miltscan.core.report import Report, Timed
from miltscan.core.verdict import Fault, Limit, Outcome, Verdict
from miltscan.errors import ProtocolError
from miltscan.milter.session import MtaSession, Runtime, _connection, catch_what_c_raises
from miltscan.scanning import spool
from miltscan.scanning.pipeline import Pipeline, scan_slots
from tests.fakes.messages import policy


def _runtime(folder: Path, message_size: int = 1000, memory: int = 1000) -> Runtime:
    pipeline = Pipeline((), policy(), scan_slots(1), 1.0, 1.0)
    return Runtime(pipeline, pipeline, message_size, keeps_large=False, spool_directory=folder, spool_memory=memory)


def _talk(runtime: Runtime) -> MtaSession:
    session = MtaSession(b"", runtime)
    session.begin(runtime)
    return session


def _send(session: MtaSession, body: bytes = b"text\r\n") -> None:
    assert session.mail(b"<a@example.org>", (), authenticated=False) is None
    session.steps.rcpt(b"<b@example.test>", local=True)
    session.steps.header(b"Subject", b" hi")
    session.body(body)


@pytest.fixture
def hook() -> Iterator[None]:
    """The exception hook of a worker."""
    before = sys.excepthook
    catch_what_c_raises()
    yield
    sys.excepthook = before
    _connection.error = None  # as the next MAIL does


def test_whole_message(tmp_path: Path) -> None:
    """What the pipeline gets is what came, from the preface to the last byte."""
    session = _talk(_runtime(tmp_path))
    _send(session)
    message = session.eom("Q", b"<1@example.org>")
    assert message.settled is None
    assert os.pread(message.content.fileno(), 1000, 0) == PREFACE + b"Subject: hi\r\n\r\ntext\r\n"
    assert message.size == len(b"Subject: hi\r\n\r\ntext\r\n")
    session.end()


def test_lead_is_put_back(tmp_path: Path) -> None:
    """An MTA that cuts the space off each value gets it back, or the spool would not be byte-true."""
    session = MtaSession(b" ", _runtime(tmp_path))
    session.begin(session.runtime)
    session.mail(b"<>", (), authenticated=False)
    session.steps.header(b"Subject", b"hi")
    message = session.eom("Q", b"")
    assert os.pread(message.content.fileno(), 1000, 0) == PREFACE + b"Subject: hi\r\n\r\n"
    session.end()


def test_end_gives_the_spool_up(tmp_path: Path) -> None:
    """The end of a transaction closes its spool, however often it is called."""
    session = MtaSession(b"", _runtime(tmp_path))
    session.end()
    session.begin(session.runtime)
    _send(session)
    spool = session.spool
    assert spool
    for _ in range(2):
        session.end()
        assert (session.spool, spool.fileno()) == (None, -1)


def test_full_spool_is_a_verdict(tmp_path: Path) -> None:
    """No room for the message: it is settled as an error, and no engine sees a part of it."""
    session = _talk(_runtime(tmp_path / "gone", memory=150))
    session.mail(b"<>", (), authenticated=False)
    try:
        session.body(b"x" * 100)
    except Exception as error:  # noqa: BLE001 - as the milter does
        session.error = error
    settled = session.eom("Q", b"").settled
    assert settled
    assert (settled.outcome, settled.reason) == (Outcome.ERROR, Fault.SPOOL)
    assert "No such file or directory" in settled.detail
    session.end()


def test_error_of_a_step_is_raised_at_eom(tmp_path: Path) -> None:
    """The first chance to answer."""
    session = _talk(_runtime(tmp_path))
    _send(session)
    session.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        session.eom("Q", b"")
    session.end()


def test_error_does_not_reach_the_next_message(tmp_path: Path) -> None:
    """A new message begins clean, with the runtime that it was given."""
    session = _talk(_runtime(tmp_path))
    session.error = ZeroDivisionError()
    session.end()
    other = _runtime(tmp_path)
    session.begin(other)
    _send(session)
    assert session.eom("Q", b"").settled is None
    assert session.runtime is other
    session.end()


@pytest.mark.usefixtures("hook")
def test_what_c_raises_marks_the_message(tmp_path: Path) -> None:
    """A header name that is not UTF-8 never reaches our code: only the hook receives it, and EOM raises it."""
    session = _talk(_runtime(tmp_path))
    _send(session)
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    sys.excepthook(UnicodeDecodeError, error, None)
    with pytest.raises(UnicodeDecodeError):
        session.eom("Q", b"")
    session.end()
    session.begin(session.runtime)
    _send(session)
    assert session.eom("Q", b"").settled is None
    session.end()


@pytest.mark.usefixtures("hook")
def test_what_c_raises_is_always_an_exception(tmp_path: Path) -> None:
    """Even an interrupt becomes an error that the last door catches."""
    session = _talk(_runtime(tmp_path))
    _send(session)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        session.eom("Q", b"")
    session.end()


@pytest.mark.usefixtures("hook")
def test_what_c_raises_marks_its_connection_alone(tmp_path: Path) -> None:
    """Another connection's message is not touched."""
    other = threading.Thread(target=lambda: sys.excepthook(ValueError, ValueError(), None))
    session = _talk(_runtime(tmp_path))
    _send(session)
    other.start()
    other.join()
    assert session.eom("Q", b"").settled is None
    session.end()


def test_steps_outside_a_transaction_open_nothing(tmp_path: Path) -> None:
    """A chunk outside a transaction is an error; a spool for it would never be closed."""
    before = len([*Path("/proc/self/fd").iterdir()])
    session = _talk(_runtime(tmp_path))
    session.mail(b"<>", (), authenticated=False)
    session.end()
    with pytest.raises(ProtocolError):
        session.body(b"x")
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_announced_size_over_the_limit(tmp_path: Path) -> None:
    """The verdict comes at MAIL; a message for the report can be had before there is one."""
    session = _talk(_runtime(tmp_path, message_size=10))
    verdict = session.mail(b"<>", (b"SIZE=11",), authenticated=False)
    assert verdict
    assert verdict.reason is Limit.TOO_LARGE
    assert session.message("Q", settled=verdict).settled is verdict
    session.end()


def test_message_over_the_limit(tmp_path: Path) -> None:
    """The bytes show what was not announced."""
    session = _talk(_runtime(tmp_path, message_size=20))
    _send(session, b"x" * 10)
    settled = session.eom("Q", b"").settled
    assert settled
    assert settled.reason is Limit.TOO_LARGE
    session.end()


@pytest.mark.parametrize(
    ("verdict", "kept"),
    [
        (Verdict.clean("clamd"), 1),
        (Verdict.infected("clamd", "Virus"), 0),
        (Verdict.unscanned("clamd", Limit.TIMEOUT, "no reply in time"), 0),
        (Verdict.error("clamd", Fault.CLOSED, "closed without a reply"), 0),
    ],
)
def test_only_the_file_of_a_clean_message_serves_again(
    verdict: Verdict, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that gave no verdict may still read it."""
    monkeypatch.setattr(spool, "_kept", deque())
    session = _talk(_runtime(tmp_path))
    _send(session)
    message = session.eom("Q", b"")
    verdicts = (Timed(Verdict.clean("first"), 0.0), Timed(verdict, 0.0))
    session.recycle(Report(message, verdict, decide(policy(), message, verdict), verdicts, 0.0, 0.0))
    session.end()
    assert len(spool._kept) == kept  # noqa: SLF001 - what is not seen from outside
    for descriptor, _ in spool._kept:  # noqa: SLF001 - as above
        os.close(descriptor)
