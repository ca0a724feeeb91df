"""One connection: where a fault of a step goes, and what of one message is left for the next."""

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from miltscan.core.message import PREFACE
from miltscan.core.verdict import Fault, Limit, Outcome
from miltscan.errors import ProtocolError
from miltscan.milter import conversation
from miltscan.milter.conversation import Conversation, Runtime, catch_what_c_raises
from miltscan.scanning.pipeline import Pipeline, scan_slots
from tests.fakes.messages import policy


def _runtime(folder: Path, message_size: int = 1000, memory: int = 1000) -> Runtime:
    return Runtime(Pipeline((), policy(), scan_slots(1), 1.0, 1.0), message_size, folder, memory)


def _talk(runtime: Runtime) -> Conversation:
    talk = Conversation(b"", runtime)
    talk.begin(runtime)
    return talk


def _send(talk: Conversation, body: bytes = b"text\r\n") -> None:
    assert talk.mail(b"<a@example.org>", (), authenticated=False) is None
    talk.session.rcpt(b"<b@example.test>", local=True)
    talk.session.header(b"Subject", b" hi")
    talk.body(body)


@pytest.fixture
def hook() -> Iterator[None]:
    """The exception hook of a worker."""
    before = sys.excepthook
    catch_what_c_raises()
    yield
    sys.excepthook = before
    conversation._connection.error = None  # noqa: SLF001 - as the next MAIL does


def test_whole_message(tmp_path: Path) -> None:
    """What the pipeline gets is what came, from the preface to the last byte."""
    talk = _talk(_runtime(tmp_path))
    _send(talk)
    message = talk.eom("Q", b"<1@example.org>")
    assert message.settled is None
    assert os.pread(message.content.fileno(), 1000, 0) == PREFACE + b"Subject: hi\r\n\r\ntext\r\n"
    assert message.size == len(b"Subject: hi\r\n\r\ntext\r\n")
    talk.end()


def test_lead_is_put_back(tmp_path: Path) -> None:
    """An MTA that cuts the space off each value gets it back, or the spool would not be byte-true."""
    talk = Conversation(b" ", _runtime(tmp_path))
    talk.begin(talk.runtime)
    talk.mail(b"<>", (), authenticated=False)
    talk.session.header(b"Subject", b"hi")
    message = talk.eom("Q", b"")
    assert os.pread(message.content.fileno(), 1000, 0) == PREFACE + b"Subject: hi\r\n\r\n"
    talk.end()


def test_end_gives_the_spool_up(tmp_path: Path) -> None:
    """Where there is one, and however often it is told."""
    talk = Conversation(b"", _runtime(tmp_path))
    talk.end()
    talk.begin(talk.runtime)
    _send(talk)
    spool = talk.spool
    assert spool
    for _ in range(2):
        talk.end()
        assert (talk.spool, spool.fileno()) == (None, -1)


def test_full_spool_is_a_verdict(tmp_path: Path) -> None:
    """No room for the message: it is settled as an error, and no engine sees a part of it."""
    talk = _talk(_runtime(tmp_path / "gone", memory=150))
    talk.mail(b"<>", (), authenticated=False)
    try:
        talk.body(b"x" * 100)
    except Exception as error:  # noqa: BLE001 - as the milter does
        talk.error = error
    settled = talk.eom("Q", b"").settled
    assert settled
    assert (settled.outcome, settled.reason) == (Outcome.ERROR, Fault.SPOOL)
    assert "No such file or directory" in settled.detail
    talk.end()


def test_error_of_a_step_is_raised_at_eom(tmp_path: Path) -> None:
    """The first chance to answer."""
    talk = _talk(_runtime(tmp_path))
    _send(talk)
    talk.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError, match="a bug"):
        talk.eom("Q", b"")
    talk.end()


def test_error_does_not_reach_the_next_message(tmp_path: Path) -> None:
    """A new message begins clean, with the runtime that it was given."""
    talk = _talk(_runtime(tmp_path))
    talk.error = ZeroDivisionError()
    talk.end()
    other = _runtime(tmp_path)
    talk.begin(other)
    _send(talk)
    assert talk.eom("Q", b"").settled is None
    assert talk.runtime is other
    talk.end()


@pytest.mark.usefixtures("hook")
def test_what_c_raises_marks_the_message(tmp_path: Path) -> None:
    """A header name that is no UTF-8 never reaches us: only the hook hears of it, and EOM raises it."""
    talk = _talk(_runtime(tmp_path))
    _send(talk)
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    sys.excepthook(UnicodeDecodeError, error, None)
    with pytest.raises(UnicodeDecodeError):
        talk.eom("Q", b"")
    talk.end()
    talk.begin(talk.runtime)
    _send(talk)
    assert talk.eom("Q", b"").settled is None
    talk.end()


@pytest.mark.usefixtures("hook")
def test_what_c_raises_is_always_an_exception(tmp_path: Path) -> None:
    """Even an interrupt becomes an error that the last door catches."""
    talk = _talk(_runtime(tmp_path))
    _send(talk)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    with pytest.raises(RuntimeError, match="KeyboardInterrupt"):
        talk.eom("Q", b"")
    talk.end()


@pytest.mark.usefixtures("hook")
def test_what_c_raises_marks_its_connection_alone(tmp_path: Path) -> None:
    """Another connection's message is not touched."""
    other = threading.Thread(target=lambda: sys.excepthook(ValueError, ValueError(), None))
    talk = _talk(_runtime(tmp_path))
    _send(talk)
    other.start()
    other.join()
    assert talk.eom("Q", b"").settled is None
    talk.end()


def test_steps_outside_a_transaction_open_nothing(tmp_path: Path) -> None:
    """A piece that belongs to no message is an error; a spool for it would be nobody's to close."""
    before = len([*Path("/proc/self/fd").iterdir()])
    talk = _talk(_runtime(tmp_path))
    talk.mail(b"<>", (), authenticated=False)
    talk.end()
    with pytest.raises(ProtocolError):
        talk.body(b"x")
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_announced_size_over_the_limit(tmp_path: Path) -> None:
    """The verdict comes at MAIL; a message for the report can be had before there is one."""
    talk = _talk(_runtime(tmp_path, message_size=10))
    verdict = talk.mail(b"<>", (b"SIZE=11",), authenticated=False)
    assert verdict
    assert verdict.reason is Limit.TOO_LARGE
    assert talk.message("Q", settled=verdict).settled is verdict
    talk.end()


def test_message_over_the_limit(tmp_path: Path) -> None:
    """The bytes show what was not announced."""
    talk = _talk(_runtime(tmp_path, message_size=20))
    _send(talk, b"x" * 10)
    settled = talk.eom("Q", b"").settled
    assert settled
    assert settled.reason is Limit.TOO_LARGE
    talk.end()
