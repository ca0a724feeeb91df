"""One message to an SMTP server: every failure is a reply, and each stage has its time."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from miltscan.core.probe import Stage
from miltscan.sandwich.submit import OutgoingMail, submit
from miltscan.sandwich.transfer import ServerReply
from tests.harness import ports, programs

MAIL = OutgoingMail("", "someone@example.test", b"Subject: x\r\n\r\n.dot\r\n")
TIMEOUT = 30.0


@contextmanager
def script(replies: Sequence[bytes]) -> Iterator[int]:
    """The port of a server that sends one reply for each line it receives, and closes the connection after the last."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_play, args=(listener, replies), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(TIMEOUT)


def _play(listener: socket.socket, replies: Sequence[bytes]) -> None:
    session, _ = listener.accept()
    with session, session.makefile("rb") as lines:
        for reply in replies:
            session.sendall(reply)
            line = lines.readline()
            while reply.startswith(b"354") and line not in {b".\r\n", b""}:
                line = lines.readline()


OK = b"250 ok\r\n"
HELLO = (b"220 hello\r\n", OK, OK, OK)
CASES: dict[str, tuple[Sequence[bytes], ServerReply, Stage]] = {
    "accepted": ((*HELLO, b"354 go\r\n", b"550 5.7.1 no\r\n", OK), ServerReply(550, "5.7.1 no"), Stage.DATA),
    "greeting": ((b"421 4.3.2 busy\r\n",), ServerReply(421, "4.3.2 busy"), Stage.CONNECT),
    "no EHLO": ((b"220 x\r\n", b"500 what\r\n", OK, OK, b"550 no\r\n", OK), ServerReply(550, "no"), Stage.ENVELOPE),
    "sender": ((*HELLO[:2], b"451 4.3.2 later\r\n", OK), ServerReply(451, "4.3.2 later"), Stage.ENVELOPE),
    "recipient": (
        (*HELLO[:3], b"550 5.1.1 User unknown\r\n", OK),
        ServerReply(550, "5.1.1 User unknown"),
        Stage.ENVELOPE,
    ),
    "DATA": ((*HELLO, b"554 no\r\n"), ServerReply(554, "no"), Stage.DATA),
    "closes": ((*HELLO, b"354 go\r\n"), ServerReply(0, "Connection unexpectedly closed"), Stage.DATA),
}


@pytest.mark.parametrize(("replies", "reply", "stage"), CASES.values(), ids=CASES)
def test_the_reply_that_decides(replies: Sequence[bytes], reply: ServerReply, stage: Stage) -> None:
    """The first refusal, or the reply to the message, counts; only stages that were reached have a time."""
    with script(replies) as port:
        sent = submit(("127.0.0.1", port), MAIL, TIMEOUT)
    assert (sent.reply.code, sent.stage) == (reply.code, stage)
    assert sent.reply.text.endswith(reply.text)
    reached = list(Stage)[: list(Stage).index(stage) + 1]
    assert list(sent.seconds) == reached
    assert all(seconds >= 0 for seconds in sent.seconds.values())


def test_a_port_without_a_listener() -> None:
    """A refused connection is a reply with code 0."""
    port = ports.choose().number
    sent = submit(("127.0.0.1", port), MAIL, TIMEOUT)
    assert sent.stage is Stage.CONNECT
    assert sent.reply == ServerReply(0, f"no reply from port {port} of 127.0.0.1: Connection refused")


def test_a_silent_server() -> None:
    """The timeout holds for each reply."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sent = submit(silent.getsockname(), MAIL, 0.2)
    assert (sent.reply.code, sent.stage) == (0, Stage.CONNECT)
    assert "timed out" in sent.reply.text


def test_an_address_that_smtp_cannot_carry() -> None:
    """An address with a line end is refused before it is sent."""
    with script(HELLO[:2]) as port:
        sent = submit(("127.0.0.1", port), OutgoingMail("a@b\r\nQUIT", "x@y", b""), TIMEOUT)
    assert (sent.reply.code, sent.stage) == (0, Stage.ENVELOPE)


class Handler:
    """Accepts every message and replies whether TLS was used."""

    async def handle_DATA(self, _server: SMTP, session: Session, _envelope: Envelope) -> str:  # noqa: N802 (aiosmtpd's)
        """Reply with 250 and the transport."""
        return f"250 {'TLS' if session.ssl else 'plain'}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A self-signed certificate with another name than the server's."""
    folder = tmp_path_factory.mktemp("tls")
    command = [str(programs.find("openssl")), "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=x.example"]
    command += ["-keyout", str(folder / "key"), "-out", str(folder / "crt")]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    return context


@pytest.mark.parametrize(("required", "expected"), [(True, "TLS"), (False, "plain")])
def test_tls_if_the_server_requires_it(certificate: ssl.SSLContext, expected: str, *, required: bool) -> None:
    """STARTTLS is used if the server requires it, with any certificate, but not if it only offers it."""
    port = ports.choose().number
    controller = Controller(
        Handler(), hostname="127.0.0.1", port=port, tls_context=certificate, require_starttls=required
    )
    controller.start()
    try:
        sent = submit(("127.0.0.1", port), MAIL, TIMEOUT)
    finally:
        controller.stop()
    assert sent.reply == ServerReply(250, expected)
