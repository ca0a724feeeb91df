"""The sandwich alone: two real sendmails and a mailbox, with no milter or with one that is not there."""

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.harness import cf, ports
from tests.harness.client import RECIPIENT, new_message_id, text_message
from tests.harness.processes import Programs
from tests.harness.sandwich import Sandwich, private_folder
from tests.harness.sendmail import Sendmail, Settings, build

HANDOFF = ["smtp", "esmtp", "smtp8", "dsmtp", "relay", "local"]


@pytest.mark.parametrize("name", HANDOFF)
def test_incoming_hands_everything_to_the_delivery_sendmail(plain_sandwich: Sandwich, name: str) -> None:
    """Each mailer of the incoming sendmail goes to the delivery port with flag k; local has lost f, P and 9."""
    mailer = cf.mailers(plain_sandwich.incoming.configuration)[name]
    assert (mailer.program, mailer.arguments) == ("[IPC]", f"TCP [127.0.0.1] {plain_sandwich.delivery.port}")
    assert "k" in mailer.flags
    if name == "local":
        assert not set("fP9S") & set(mailer.flags)
        assert set("Amn5X") <= set(mailer.flags)


@pytest.mark.parametrize("name", HANDOFF)
def test_delivery_does_not_take_its_twin_for_itself(plain_sandwich: Sandwich, name: str) -> None:
    """Each mailer of the delivery sendmail has flag k and none goes back to the delivery port."""
    mailer = cf.mailers(plain_sandwich.delivery.configuration)[name]
    assert "k" in mailer.flags
    assert str(plain_sandwich.delivery.port) not in mailer.arguments


@pytest.mark.parametrize(("name", "modifiers"), [("incoming", "M=A, "), ("delivery", "M=AS, ")])
def test_each_daemon_has_its_own_place(plain_sandwich: Sandwich, name: str, modifiers: str) -> None:
    """Each sendmail has a pid file, a queue and one loopback listener with a long backlog, all separate."""
    daemon = getattr(plain_sandwich, name)
    assert cf.options(daemon.configuration, "DaemonPortOptions") == [
        f"Family=inet, Name={name}, Addr=127.0.0.1, Port={daemon.port}, {modifiers}Listen=511"
    ]
    assert cf.options(daemon.configuration, "QueueDirectory") == [str(daemon.queue)]
    assert daemon.pid_file.read_text().split()[0] == str(daemon.running.pid)


@pytest.mark.parametrize("recipient", [RECIPIENT, "someone@elsewhere.example"])
def test_message_reaches_the_mailbox(plain_sandwich: Sandwich, recipient: str) -> None:
    """A message, for a local or a remote recipient, passes both sendmails, and the log gives both queue IDs."""
    message_id = new_message_id()
    reply = plain_sandwich.send(text_message(message_id, b"first\r\n.\r\n..\r\nlast\r\n"), recipients=[recipient])
    assert reply.code == 250
    delivered = plain_sandwich.mailbox.wait_for(message_id)
    assert delivered.raw.endswith(b"\r\n\r\nfirst\r\n.\r\n..\r\nlast\r\n")
    assert delivered.recipients == [recipient if "elsewhere" in recipient else "recipient"]
    trace = plain_sandwich.wait_for_trace(message_id)
    assert reply.text == f"2.0.0 {trace.incoming} Message accepted for delivery"
    assert trace.delivery != trace.incoming
    assert f"id {trace.delivery}" in "".join(delivered.message.get_all("Received", []))


def test_one_transaction_for_all_recipients(plain_sandwich: Sandwich) -> None:
    """Several local recipients are handed over as one message."""
    message_id = new_message_id()
    plain_sandwich.send(text_message(message_id), recipients=["one@example.test", "two@example.test"])
    assert sorted(plain_sandwich.mailbox.wait_for(message_id).recipients) == ["one", "two"]
    assert len(plain_sandwich.mailbox.find(message_id)) == 1


def test_relaying_stays_forbidden(plain_sandwich: Sandwich) -> None:
    """A stranger may send to the local domain, and may not relay through us to another one."""
    refused = plain_sandwich.send(text_message("<x@y>"), recipients=["someone@elsewhere.example"], source="127.0.0.2")
    assert (refused.code, refused.text[:5]) == (550, "5.7.1")
    assert plain_sandwich.send(text_message(new_message_id()), source="127.0.0.2").code == 250


def test_delivery_down_and_back(plain_sandwich: Sandwich) -> None:
    """While the delivery sendmail is stopped, mail is accepted and stays in mqueue; a queue run hands it over later."""
    message_id = new_message_id()
    plain_sandwich.delivery.stop()
    reply = plain_sandwich.send(text_message(message_id))
    queue_id = reply.queue_id
    plain_sandwich.syslog.wait_for(rf"{queue_id}: to=.*stat=Deferred: Connection refused")
    still_queued = plain_sandwich.incoming.queued()
    plain_sandwich.delivery.start()
    plain_sandwich.delivery.wait_ready()
    plain_sandwich.incoming.drain()
    plain_sandwich.mailbox.wait_for(message_id)
    assert queue_id in still_queued


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_pid_file_in_a_folder_of_the_trusted_user() -> None:
    """Sendmail as root writes its pid file into a folder of its trusted user, as Debian has it."""
    with private_folder() as folder, Programs(folder) as programs:
        pid_file = folder / "pids" / "delivery.pid"
        pid_file.parent.mkdir(mode=0o755)
        shutil.chown(pid_file.parent, "nobody")
        port = ports.choose().number
        site = {"SITE_TRUSTED_USER": "nobody", "SITE_DELIVERY_PID": str(pid_file)}
        build(folder, Settings(ports.choose().number, port, ports.choose().number, site=site))
        delivery = Sendmail(programs, "delivery", port)
        delivery.start()
        delivery.running.wait_ready(pid_file.exists)


@pytest.fixture(scope="module")
def milterless_sandwich() -> Iterator[Sandwich]:
    """A sandwich whose incoming sendmail asks a milter that is not there."""
    with private_folder() as folder, Sandwich(folder, milter_socket=folder / "run" / "miltscan.sock") as sandwich:
        yield sandwich


def test_milter_that_is_not_there_tempfails(milterless_sandwich: Sandwich) -> None:
    """With no milter behind the socket the client receives 451 (F=T) and nothing is queued."""
    assert milterless_sandwich.send(text_message("<x@y>")).code == 451
    assert milterless_sandwich.incoming.queued() == []


def test_only_incoming_asks_the_milter(milterless_sandwich: Sandwich) -> None:
    """Incoming has one filter with explicit flag and timeouts, delivery has none."""
    socket = milterless_sandwich.milter_socket
    assert cf.filters(milterless_sandwich.incoming.configuration) == [
        f"Xmiltscan, S=unix:{socket}, F=T, T=C:10s;S:30s;R:30s;E:5m"
    ]
    assert cf.filters(milterless_sandwich.delivery.configuration) == []


@pytest.mark.parametrize(
    ("step", "macros"),
    [
        ("connect", {"{client_addr}", "{client_name}", "{client_ptr}"}),
        ("envfrom", {"i", "{auth_type}", "{auth_authen}"}),
        ("envrcpt", {"{rcpt_mailer}"}),
        ("eom", {"i", "{msg_id}"}),
    ],
)
def test_macros_for_the_milter(milterless_sandwich: Sandwich, step: str, macros: set[str]) -> None:
    """Each step of the session sends the macros that miltscan logs and decides by."""
    (found,) = cf.options(milterless_sandwich.incoming.configuration, f"Milter.macros.{step}")
    assert macros <= set(found.split(", "))
