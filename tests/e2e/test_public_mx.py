"""The incoming sendmail as a public MX: clients by IPv4 and IPv6, submission, and limits for strangers."""

import os
import smtplib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.fakes.eicar import EICAR
from tests.harness import client, ports
from tests.harness.auth import PASSWORD, USER, Auth
from tests.harness.clamav import Clamd
from tests.harness.client import RECIPIENT, new_message_id, text_message
from tests.harness.miltscan import ScanningSandwich
from tests.harness.network import Host, Network
from tests.harness.processes import PATIENCE, Programs
from tests.harness.sandwich import private_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

ELSEWHERE = "someone@elsewhere.example"
SIZE = 2**20
CONNECTIONS, RATE, RECIPIENTS = 3, 25, 2


@dataclass(frozen=True)
class PublicMx:
    """A sandwich on the host `mx`, and hosts that are its clients."""

    network: Network
    sandwich: ScanningSandwich
    submission: int
    submissions: int
    auth: Auth

    @property
    def here(self) -> Host:
        """The host of the sandwich."""
        return self.network["mx"]

    def connect(self, port: int = 0, host: str = "") -> smtplib.SMTP:
        """A new session of this thread's host, after the greeting; SMTPConnectError for another one."""
        address = host or self.here.address
        return smtplib.SMTP(address, port or self.sandwich.incoming.port, "client.example.org", PATIENCE)


@pytest.fixture(scope="module")
def mx() -> Iterator[PublicMx]:
    """A public MX with miltscan, low limits, and TLS 1.3 as its minimum."""
    hosts = {"mx": "192.0.2.1", "stranger": "192.0.2.66", "crowd": "192.0.2.77"}
    with private_folder() as folder, Network.of(hosts) as network, Programs(folder) as engine:
        clamd = Clamd.prepare(engine, test_database=True)
        clamd.start()
        clamd.wait_ready()
        auth, submission, submissions = Auth.prepare(folder), ports.choose().number, ports.choose().number
        site = {
            **auth.site,
            "SITE_AUTH": "off",
            "SITE_LISTEN": "::",
            "SITE_SUBMISSION": "on",
            "SITE_SUBMISSION_PORT": str(submission),
            "SITE_SUBMISSIONS_PORT": str(submissions),
            "SITE_MESSAGE_SIZE": str(SIZE),
            "SITE_DELIVERY_LISTEN": "::",  # the handoff uses IPv6, too
            "SITE_DELIVERY_HOST": f"[IPv6:{network['mx'].address6}]",
            "SITE_DELIVERY_FROM": f"IPv6:{network['mx'].address6}",
            "SITE_TLS_MINIMUM": "1.3",
            "SITE_GREET_PAUSE": "100",
            "SITE_MAX_RECIPIENTS": str(RECIPIENTS),
            "SITE_CLIENT_CONNECTIONS": str(CONNECTIONS),
            "SITE_CLIENT_RATE": str(RATE),
        }
        with network["mx"].inside():
            servers = [f"unix:{clamd.socket}"]
            tables = {"limits": {"message_size": SIZE}, "milter": {"workers": 1}}
            with ScanningSandwich(folder, tables, servers, site=site) as sandwich:
                yield PublicMx(network, sandwich, submission, submissions, auth)


@pytest.fixture
def stranger(mx: PublicMx) -> Iterator[Host]:
    """The host from which the test connects: it may not relay."""
    with mx.network["stranger"].inside():
        yield mx.network["stranger"]


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_a_client_of_each_family(mx: PublicMx, stranger: Host, family: str) -> None:
    """One listener accepts mail from both families; miltscan scans it and logs the client's own address."""
    here, there = {
        "IPv4": (mx.here.address, stranger.address),
        "IPv6": (mx.here.address6, stranger.address6),
    }[family]
    message_id, port = new_message_id(), mx.sandwich.incoming.port
    infected = client.send(port, text_message("<x@y>", EICAR), source=there, host=here)
    assert infected.code == 550
    assert client.send(port, text_message(message_id), source=there, host=here).code == 250
    delivered = mx.sandwich.mailbox.wait_for(message_id)
    assert delivered.message["X-Virus-Status"] == "Clean"
    assert mx.sandwich.miltscan.wait_for_message(message_id=message_id)["client_address"] == there


@pytest.mark.usefixtures("stranger")
def test_delivery_serves_its_incoming_host_only(mx: PublicMx) -> None:
    """A client with another address, of either family, may not use delivery."""
    with mx.network["stranger"].inside():
        for host in (mx.here.address, mx.here.address6):
            with mx.connect(mx.sandwich.delivery.port, host) as session:
                session.ehlo()
                assert session.mail("a@example.org")[0] == 550


def test_size_is_announced(mx: PublicMx) -> None:
    """A client learns the limit from EHLO, and at MAIL that its message is too large."""
    with mx.connect() as session:
        session.ehlo()
        assert session.esmtp_features["size"] == str(SIZE)
        assert session.mail("a@example.org", [f"SIZE={SIZE + 1}"])[0] == 552
        assert session.mail("a@example.org", [f"SIZE={SIZE}"])[0] == 250


@pytest.mark.usefixtures("stranger")
def test_recipients_of_one_message(mx: PublicMx) -> None:
    """Further recipients receive 452, so that the client sends to them in another transaction."""
    with mx.connect() as session:
        session.ehlo()
        session.mail("a@example.org")
        replies = [session.rcpt(f"user{number}@example.test")[0] for number in range(RECIPIENTS + 1)]
        assert replies == [250] * RECIPIENTS + [452]


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize(("command", "code"), [("VRFY root", 252), ("EXPN root", 502), ("ETRN example.test", 502)])
def test_no_information_for_strangers(mx: PublicMx, command: str, code: int) -> None:
    """No command shows which addresses exist, and none runs a queue."""
    with mx.connect() as session:
        session.ehlo()
        assert session.docmd(command)[0] == code


@pytest.mark.usefixtures("stranger")
def test_early_talker(mx: PublicMx) -> None:
    """A client that talks before the greeting is refused."""
    with socket.create_connection((mx.here.address, mx.sandwich.incoming.port), PATIENCE) as early:
        early.sendall(b"EHLO client.example.org\r\n")
        assert early.recv(100).startswith(b"554 ")


def test_connections_at_once(mx: PublicMx) -> None:
    """A client with too many open connections receives 421."""
    with mx.network["stranger"].inside():
        sessions = [mx.connect() for _ in range(CONNECTIONS)]
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            mx.connect()
        for session in sessions:
            session.close()
    assert (refused.value.smtp_code, refused.value.smtp_error) == (421, b"4.3.2 Too many open connections")


def test_connections_in_a_minute(mx: PublicMx) -> None:
    """A client that connects too often receives 421."""
    with mx.network["crowd"].inside():
        for _ in range(RATE):
            mx.connect().quit()  # waits for the end, so that the bound above does not count
        with pytest.raises(smtplib.SMTPConnectError) as refused:
            mx.connect()
    assert (refused.value.smtp_code, refused.value.smtp_error) == (421, b"4.3.2 Connection rate limit exceeded")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_this_host_is_not_limited(mx: PublicMx, host: str) -> None:
    """The probe, doctor and local programs are greeted however often they connect."""
    sessions = [mx.connect(host=host) for _ in range(RATE + 1)]
    for session in sessions:
        session.close()


@pytest.mark.usefixtures("stranger")
def test_tls_minimum(mx: PublicMx) -> None:
    """A handshake below the minimum fails; the minimum itself works."""
    context = mx.auth.client_context
    context.check_hostname = False
    with mx.connect() as session:
        session.starttls(context=context)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with mx.connect() as session, pytest.raises(ssl.SSLError):
        session.starttls(context=context)


@pytest.mark.usefixtures("stranger")
def test_submission_requires_tls_and_auth(mx: PublicMx) -> None:
    """The submission port accepts nothing without AUTH and TLS, and no password without TLS."""
    context = mx.auth.client_context
    context.check_hostname = False
    with mx.connect(mx.submission) as session:
        session.ehlo()
        assert session.esmtp_features["auth"].split() == ["CRAM-MD5"]
        assert session.mail("a@example.test") == (530, b"5.7.0 Authentication required")
        session.login(USER, PASSWORD)
        assert session.mail("a@example.test") == (530, b"5.7.0 Must issue a STARTTLS command first")
    with mx.connect(mx.submission) as session:
        session.starttls(context=context)
        session.login(USER, PASSWORD)
        _relays_what_is_clean(mx, session)


@pytest.mark.usefixtures("stranger")
def test_submission_with_tls_from_the_first_byte(mx: PublicMx) -> None:
    """Port 465 begins with TLS, and requires AUTH as well."""
    context = mx.auth.client_context
    context.check_hostname = False
    with smtplib.SMTP_SSL(mx.here.address, mx.submissions, timeout=PATIENCE, context=context) as session:
        session.ehlo()
        assert session.mail("a@example.test")[0] == 530
        session.login(USER, PASSWORD)
        _relays_what_is_clean(mx, session)


def _relays_what_is_clean(mx: PublicMx, session: smtplib.SMTP) -> None:
    """An authenticated client may send anywhere, and miltscan scans its mail as any other."""
    message_id = new_message_id()
    session.sendmail("joe@example.test", [ELSEWHERE], text_message(message_id))
    assert mx.sandwich.mailbox.wait_for(message_id).recipients == [ELSEWHERE]
    with pytest.raises(smtplib.SMTPDataError, match="Virus found"):
        session.sendmail("joe@example.test", [RECIPIENT], text_message("<x@y>", EICAR))


@pytest.mark.usefixtures("stranger")
def test_no_auth_on_port_25(mx: PublicMx) -> None:
    """Submission offers AUTH on its own ports only."""
    context = mx.auth.client_context
    context.check_hostname = False
    with mx.connect() as session:
        session.starttls(context=context)
        session.ehlo()
        assert "auth" not in session.esmtp_features
