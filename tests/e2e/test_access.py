"""Who may send what where: anti-relay and AUTH at the incoming sendmail, and who may speak to the delivery sendmail."""

import smtplib
from collections.abc import Iterator

import psutil
import pytest

from tests.harness import client
from tests.harness.auth import MECHANISMS, PASSWORD, USER, Auth
from tests.harness.client import Reply, new_message_id, text_message
from tests.harness.sandwich import Sandwich, private_folder

ELSEWHERE = "someone@elsewhere.example"
ALLOWED, OUTSIDE, IN_ACCESS_DB, REJECTED = "127.0.3.1", "127.0.0.2", "127.0.0.5", "127.0.0.6"
ACCESS = f"Connect:{IN_ACCESS_DB} RELAY\nConnect:{REJECTED} REJECT\nTo:closed@example.test ERROR:5.2.1:550 Closed\n"
LATE_CHECKS = """\
FEATURE(`access_db')dnl
FEATURE(`delay_checks', `friend')dnl
FEATURE(`greet_pause', `60000')dnl
"""


@pytest.fixture(scope="module")
def guarded() -> Iterator[Sandwich]:
    """A sandwich with TLS, AUTH, a network that may relay and an access_db."""
    with private_folder() as folder:
        auth = Auth.prepare(folder)
        site = {**auth.site, "SITE_RELAY_DOMAINS": "127.0.3 partner.example"}
        with Sandwich(folder, site=site) as sandwich:
            sandwich.incoming.make_map("access", ACCESS)
            yield sandwich


def relayed(sandwich: Sandwich, source: str, recipient: str = ELSEWHERE) -> Reply:
    """The reply to a client with address `source`; what is accepted arrives."""
    message_id = new_message_id()
    reply = sandwich.send(text_message(message_id), recipients=[recipient], source=source)
    if reply.code == 250:
        assert sandwich.mailbox.wait_for(message_id).recipients == [recipient]
    return reply


@pytest.mark.parametrize(
    "recipient", [ELSEWHERE, "a%elsewhere.example@example.test", "elsewhere.example!a@example.test"]
)
def test_outsider_may_not_relay(guarded: Sandwich, recipient: str) -> None:
    """A client of no network of ours receives 550 for a recipient elsewhere, routes in the local part included."""
    assert str(relayed(guarded, OUTSIDE, recipient)).startswith("550 5.7.1 ")


def test_outsider_may_send_to_a_relay_domain(guarded: Sandwich) -> None:
    """Mail for a domain that we relay for is accepted from every client."""
    assert relayed(guarded, OUTSIDE, "someone@partner.example").code == 250


@pytest.mark.parametrize("source", [ALLOWED, IN_ACCESS_DB, "127.0.0.1"])
def test_allowed_network_may_relay(guarded: Sandwich, source: str) -> None:
    """SITE_RELAY_DOMAINS, the access_db and this host itself each allow a client to relay."""
    assert relayed(guarded, source).code == 250


def test_access_db_refuses_client_and_recipient(guarded: Sandwich) -> None:
    """The site's access_db entry for a client or a recipient takes effect inside the session."""
    assert str(relayed(guarded, REJECTED, "recipient@example.test")).startswith("550 5.7.1 ")
    assert str(relayed(guarded, OUTSIDE, "closed@example.test")).startswith("550 5.2.1 ")


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_authenticated_client_may_relay(guarded: Sandwich, mechanism: str) -> None:
    """An outsider that has authenticated, over STARTTLS with a certificate it trusts, may relay."""
    message_id = new_message_id()
    with session(guarded) as smtp:
        smtp.starttls(context=Auth(guarded.folder).client_context)
        assert authenticate(smtp, mechanism, PASSWORD)[0] == 235
        smtp.sendmail(client.SENDER, [ELSEWHERE], text_message(message_id))
    assert guarded.mailbox.wait_for(message_id).recipients == [ELSEWHERE]
    guarded.syslog.wait_for(rf"AUTH=server, .*authid={USER}, mech={mechanism}")


def test_wrong_password_is_refused(guarded: Sandwich) -> None:
    """A wrong password receives 535, and the client remains an outsider."""
    with session(guarded) as smtp:
        smtp.starttls(context=Auth(guarded.folder).client_context)
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            authenticate(smtp, "PLAIN", "wrong")
        smtp.mail(client.SENDER)
        assert smtp.rcpt(ELSEWHERE)[0] == 550


def test_no_password_in_clear_text(guarded: Sandwich) -> None:
    """Before STARTTLS, sendmail offers and accepts no mechanism that shows the password."""
    with session(guarded) as smtp:
        smtp.ehlo()
        assert not {"PLAIN", "LOGIN"} & set(smtp.esmtp_features.get("auth", "").split())
        assert smtp.docmd("AUTH", "PLAIN AGpvZQBzZWNyZXQ=")[0] >= 500


def test_auth_and_tls_are_off_by_default(plain_sandwich: Sandwich) -> None:
    """Without SITE_AUTH and SITE_CERTIFICATE sendmail offers neither AUTH nor STARTTLS."""
    with smtplib.SMTP("127.0.0.1", plain_sandwich.incoming.port, timeout=60) as smtp:
        smtp.ehlo()
        assert not {"auth", "starttls"} & smtp.esmtp_features.keys()


def session(sandwich: Sandwich) -> smtplib.SMTP:
    """An outsider's session with the incoming sendmail."""
    return smtplib.SMTP("127.0.0.1", sandwich.incoming.port, "client.example.org", 60, (OUTSIDE, 0))


def authenticate(smtp: smtplib.SMTP, mechanism: str, password: str) -> tuple[int, bytes]:
    """AUTH by one mechanism, which has to be on offer; SMTPAuthenticationError if it is refused."""
    smtp.ehlo()
    assert mechanism in smtp.esmtp_features["auth"].split()
    smtp.user, smtp.password = USER, password
    return smtp.auth(mechanism, getattr(smtp, f"auth_{mechanism.lower().replace('-', '_')}"))


@pytest.mark.parametrize("recipient", ["recipient@example.test", ELSEWHERE])
def test_stranger_may_not_speak_to_delivery(plain_sandwich: Sandwich, recipient: str) -> None:
    """A client that goes past the incoming sendmail delivers nothing, neither to a local recipient nor elsewhere."""
    reply = client.send(plain_sandwich.delivery.port, text_message("<x@y>"), recipients=[recipient], source=OUTSIDE)
    assert str(reply).startswith("550 5.")


def test_stranger_hears_550_at_once(plain_sandwich: Sandwich) -> None:
    """The client is refused for its address, before it can name a sender."""
    with smtplib.SMTP("127.0.0.1", plain_sandwich.delivery.port, timeout=60, source_address=(OUTSIDE, 0)) as smtp:
        smtp.ehlo()
        assert smtp.mail(client.SENDER) == (550, b"5.7.1 Access denied: this is not a public mail server")


def test_delivery_has_a_greeting_of_its_own(plain_sandwich: Sandwich) -> None:
    """The greeting shows which of the two sendmails it is; delivery offers neither AUTH nor STARTTLS."""
    with smtplib.SMTP(timeout=60) as smtp:
        code, text = smtp.connect("127.0.0.1", plain_sandwich.delivery.port)
        smtp.ehlo()
        assert code == 220
        assert b"ESMTP delivery sendmail, for its incoming hosts only; " in text
        assert not {"auth", "starttls"} & smtp.esmtp_features.keys()


@pytest.mark.parametrize("name", ["incoming", "delivery"])
def test_one_listener_each(guarded: Sandwich, name: str) -> None:
    """Neither sendmail listens anywhere else, on 25 or 587 for instance."""
    daemon = getattr(guarded, name)
    listening = [
        c.laddr for c in psutil.Process(daemon.running.pid).net_connections() if c.status == psutil.CONN_LISTEN
    ]
    assert [tuple(address) for address in listening] == [("127.0.0.1", daemon.port)]


@pytest.fixture(scope="module")
def listed() -> Iterator[Sandwich]:
    """A delivery sendmail with a list of incoming hosts, a pause of a minute, and checks that friends skip at RCPT."""
    with private_folder() as folder:
        more = folder / "more.m4"
        more.write_text(f"include(`{folder}/delivery.site.m4')dnl\n{LATE_CHECKS}")
        site = {"SITE_DELIVERY_FROM": f"127.0.0.1 127.0.3 {IN_ACCESS_DB}", "SITE_DELIVERY": str(more)}
        with Sandwich(folder, site=site) as sandwich:
            sandwich.delivery.make_map("access", "Spam:recipient@example.test FRIEND\n")
            yield sandwich
            sandwich.wait_until_empty()


@pytest.mark.parametrize(
    ("source", "code"), [("127.0.0.1", 250), (ALLOWED, 250), (IN_ACCESS_DB, 250), (OUTSIDE, 550), ("127.0.31.1", 550)]
)
@pytest.mark.parametrize("recipient", ["recipient@example.test", ELSEWHERE])
def test_listed_hosts_may_speak_to_delivery(listed: Sandwich, source: str, code: int, recipient: str) -> None:
    """Hosts and networks of SITE_DELIVERY_FROM are served at once, and no other host is, even if checks are skipped."""
    reply = client.send(listed.delivery.port, text_message(new_message_id()), recipients=[recipient], source=source)
    assert reply.code == code
