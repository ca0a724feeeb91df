"""The control sessions, against a socket that takes the place of libmilter."""

import select
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from miltscan.milter import threads as pool_module
from miltscan.milter.threads import Pool

NEGOTIATE = bytes.fromhex("0000000d 4f 00000006 000001ff 001fffff")
CONTINUE = bytes.fromhex("00000001 63")
UNKNOWN = bytes.fromhex("00000002 55 00")
ABORT = bytes.fromhex("00000001 41")
PATIENCE = 60.0


class FakeLibmilter:
    """Accepts on the pool's descriptor, and answers a negotiation with `answer`."""

    def __init__(self, pool: Pool, answer: bytes) -> None:
        self.listener = socket.socket(fileno=pool.fileno())
        self.answer = answer
        self.sessions: list[socket.socket] = []
        self.heard: list[bytes] = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        for _ in range(3):
            select.select([self.listener], [], [], PATIENCE)
            session, _ = self.listener.accept()
            session.settimeout(PATIENCE)
            self.sessions.append(session)
            self.heard.append(session.recv(1000))
            if not self.answer:
                session.close()
                return
            session.sendall(self.answer)

    def close(self) -> None:
        """End the thread and every session."""
        self.thread.join(PATIENCE)
        for session in self.sessions:
            session.close()


@pytest.fixture
def pool() -> Iterator[Pool]:
    """A pool whose libmilter is not running."""
    before = signal.getsignal(pool_module._WAKE)  # noqa: SLF001 - put back
    made = Pool(threading.Thread())
    yield made
    signal.signal(pool_module._WAKE, before)  # noqa: SLF001
    for session in (*made._sessions, made._question, made._nobody):  # noqa: SLF001 - a worker ends with them open
        if session:
            session.close()
    made._listener.close()  # noqa: SLF001


@pytest.fixture
def public() -> Iterator[socket.socket]:
    """The public listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


@pytest.fixture
def libmilter(pool: Pool, public: socket.socket) -> Iterator[FakeLibmilter]:
    """One that answers, with the sessions open."""
    fake = FakeLibmilter(pool, NEGOTIATE)
    pool.open(public)
    yield fake
    fake.listener.detach()  # the pool's own
    fake.close()


def test_open_negotiates_every_session(libmilter: FakeLibmilter) -> None:
    """As an MTA does: the longest offer, version 6."""
    libmilter.close()
    assert libmilter.heard == [NEGOTIATE] * 3


@pytest.mark.usefixtures("libmilter")
def test_public_listener_takes_the_place(pool: Pool, public: socket.socket) -> None:
    """The same descriptor now accepts from the public socket, and does not block."""
    with socket.create_connection(public.getsockname()):
        taken = socket.socket(fileno=pool.fileno())
        assert taken.getsockname() == public.getsockname()
        assert select.select([taken], [], [], PATIENCE)[0]
        taken.accept()[0].close()
        with pytest.raises(BlockingIOError):
            taken.accept()
        taken.detach()


@pytest.mark.usefixtures("libmilter")
def test_a_paused_pool_accepts_nothing(pool: Pool, public: socket.socket) -> None:
    """A connection to the public listener waits until it takes the place again."""
    pool.pause()
    taken = socket.socket(fileno=pool.fileno())
    with socket.create_connection(public.getsockname()), pytest.raises(BlockingIOError):
        taken.accept()
    pool.replace(public)
    assert select.select([pool.fileno()], [], [], PATIENCE)[0]
    taken.detach()


def test_kicks_go_to_the_sessions_in_turn(pool: Pool, libmilter: FakeLibmilter) -> None:
    """An abort each; one session alone might be in the hands of a busy thread."""
    libmilter.thread.join(PATIENCE)
    for _ in range(4):
        pool.kick()
    assert [session.recv(len(ABORT) * 2, socket.MSG_WAITALL) for session in libmilter.sessions[:2]] == [ABORT * 2] * 2


def test_keep_reaches_every_session(pool: Pool, libmilter: FakeLibmilter) -> None:
    """A session that is never kicked would be closed by libmilter."""
    libmilter.thread.join(PATIENCE)
    pool.kick()
    pool.keep()
    heard = [session.recv(100) for session in libmilter.sessions[:2]]
    assert sorted(heard) == [ABORT, ABORT * 2]


def test_libmilter_is_asked_again_after_each_answer(pool: Pool, libmilter: FakeLibmilter) -> None:
    """A question stays open until its answer, and the next one follows that."""
    libmilter.thread.join(PATIENCE)
    session = libmilter.sessions[2]
    assert (pool.answers(), pool.answers()) == (False, False)
    for _ in range(2):
        assert session.recv(100) == UNKNOWN
        session.sendall(CONTINUE)
        assert pool.answers()
        assert not pool.answers()


def test_a_libmilter_that_has_gone_does_not_answer(pool: Pool, libmilter: FakeLibmilter) -> None:
    """A closed session is no answer."""
    assert not pool.answers()
    libmilter.close()
    assert not pool.answers()


@pytest.mark.timeout(60)
@pytest.mark.usefixtures("libmilter")
def test_kick_never_waits(pool: Pool) -> None:
    """A libmilter that reads nothing cannot hold up an EOM: what does not fit is dropped."""
    for _ in range(2000):
        pool.kick()


def test_kick_does_not_raise_when_libmilter_has_gone(pool: Pool, libmilter: FakeLibmilter) -> None:
    """Nor when it closes the sessions."""
    libmilter.close()
    for _ in range(4):
        pool.kick()


def test_open_raises_when_libmilter_does_not_answer(pool: Pool, public: socket.socket) -> None:
    """A worker that could stall does not start."""
    fake = FakeLibmilter(pool, b"")
    with pytest.raises(ConnectionError, match="libmilter closed its control session"):
        pool.open(public)
    fake.listener.detach()
    fake.close()
