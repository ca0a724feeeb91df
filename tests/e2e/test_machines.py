"""Incoming, scanner and delivery on hosts of their own: two incoming hosts, two scanners, HAProxy, and what dies.

The hosts are network namespaces with the addresses of deploy/haproxy/miltscan.cfg, which is used as it is but for the
folder of its socket. incoming1 asks HAProxy on its own host, incoming2 asks scanner1 directly.
"""

import csv
import json
import os
import re
import shutil
import smtplib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from miltscan.cli import app
from miltscan.config.load import parse_settings
from miltscan.core.finding import Level
from miltscan.core.verdict import Outcome
from miltscan.doctor.quarantine_check import quarantine_findings
from miltscan.quarantine.files import Files
from miltscan.quarantine.release import Order, Releaser
from tests.fakes.entries import put
from tests.fakes.mta import MTA
from tests.fakes.runner import CliRunner
from tests.harness import client, messages, preload, programs
from tests.harness.clamav import Clamd
from tests.harness.client import Reply, new_message_id, text_message
from tests.harness.mailbox import Mailbox
from tests.harness.milter import accepts
from tests.harness.miltscan import Miltscan, Tables
from tests.harness.network import Host, Network
from tests.harness.processes import PATIENCE, Programs, wait_until
from tests.harness.sandwich import private_folder
from tests.harness.sendmail import Sendmail, Settings, build
from tests.harness.syslog import Syslog

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

HOSTS = {
    "incoming1": "192.0.2.1",
    "incoming2": "192.0.2.2",
    "scanner1": "192.0.2.11",
    "scanner2": "192.0.2.12",
    "delivery": "192.0.2.21",
    "stranger": "192.0.2.99",
}
INCOMING = [HOSTS["incoming1"], HOSTS["incoming2"]]
SMTP_PORT, MILTER_PORT, EXPORTER_PORT, DELIVERY_PORT = 25, 10025, 9464, 19000
TUNNEL_PORT = 10026
STUNNEL = programs.CHECKOUT / "deploy" / "stunnel"
HAPROXY = programs.CHECKOUT / "deploy" / "haproxy" / "miltscan.cfg"
TEMPFAIL = (451, "4.3.2")


class Scanner:
    """A host with clamd and miltscan; if not `privileged`, miltscan runs as an ordinary user, as in production."""

    def __init__(self, host: Host, folder: Path, *, privileged: bool) -> None:
        self.host = host
        self.programs = Programs(folder)
        self.clamd = Clamd.prepare(self.programs, test_database=True)
        self.miltscan = Miltscan(self.programs, Path(), [f"unix:{self.clamd.socket}"], {})
        self.miltscan.exporter_port = EXPORTER_PORT
        self.allow(INCOMING)
        if not privileged:
            (folder / "metrics").mkdir()
            folders = [folder / name for name in ("metrics", "spool")]
            self.miltscan.command = programs.unprivileged(self.miltscan.command, *folders)

    def allow(self, networks: list[str]) -> None:
        """Writes the configuration with these networks and the host itself, where a tunnel ends."""
        tables: Tables = {
            "milter": {"socket": f"inet:{MILTER_PORT}@{self.host.address}", "allow": [*networks, self.host.address]},
            "exporter": {"listen": f"0.0.0.0:{EXPORTER_PORT}", "allow": [*INCOMING, "127.0.0.0/8"]},
            "clamd": {"canary_interval": "3s"},
        }
        self.miltscan.configure(tables)

    def start(self) -> None:
        """Starts what does not run; returns at once."""
        with self.host.inside():
            for part in (self.clamd, self.miltscan):
                if part.program is None or not part.running.alive:
                    part.start()

    def wait_ready(self) -> None:
        """Returns when clamd has detected the test signature."""
        with self.host.inside():
            wait_until(lambda: self.miltscan.ready, PATIENCE, f"{self.host.namespace} ready")

    @property
    def messages(self) -> int:
        """How many messages it has decided."""
        return len(self.miltscan.events("message"))


class Incoming:
    """A host with the incoming sendmail, which asks `milter`."""

    def __init__(self, host: Host, folder: Path, milter: str) -> None:
        self.host = host
        self.programs = Programs(folder)
        site = {"SITE_MILTER": milter, "SITE_DELIVERY_HOST": f"[{HOSTS['delivery']}]"}
        build(folder, Settings(SMTP_PORT, DELIVERY_PORT, 0, site=site))
        self.sendmail = Sendmail(self.programs, "incoming", SMTP_PORT)
        shorten_connect_timeout(self.sendmail.configuration)

    def start(self) -> None:
        """Starts syslog and sendmail."""
        with self.host.inside():
            self.syslog = Syslog.start(self.programs, preload.log_socket(self.programs.folder))
            self.sendmail.start()
            self.sendmail.wait_ready()

    def send(self, message: bytes | None = None) -> Reply:
        """The reply to a client on this host for a message, a clean one by default."""
        with self.host.inside():
            return client.send(SMTP_PORT, message or text_message(new_message_id()))

    def session(self) -> smtplib.SMTP:
        """An SMTP session that has got as far as MAIL, when its milter connection is open."""
        with self.host.inside():
            session = smtplib.SMTP("127.0.0.1", SMTP_PORT, "client.example.org", timeout=60)
        session.ehlo()
        assert session.mail(client.SENDER)[0] == 250
        return session


class Delivery:
    """A host with the delivery sendmail and the mailbox."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.programs = Programs(folder)
        with host.inside():
            self.mailbox = Mailbox.start(self.programs)
        site = {
            "SITE_DELIVERY_LISTEN": "0.0.0.0",  # noqa: S104  on its own network
            "SITE_DELIVERY_FROM": " ".join(INCOMING),
            "SITE_MILTER": f"inet:{MILTER_PORT}@{HOSTS['scanner1']}",  # from which SITE_SCANNERS follows
        }
        build(folder, Settings(SMTP_PORT, DELIVERY_PORT, self.mailbox.port, site=site))
        self.sendmail = Sendmail(self.programs, "delivery", DELIVERY_PORT)

    def start(self) -> None:
        """Starts syslog and sendmail."""
        with self.host.inside():
            Syslog.start(self.programs, preload.log_socket(self.programs.folder))
            self.sendmail.start()
            self.sendmail.wait_ready()
            self.mailbox.wait_ready()


def shorten_connect_timeout(configuration: Path) -> None:
    """Connecting to a milter that does not answer may last two seconds, not ten: the tests wait for it."""
    text = configuration.read_text()
    assert text.count("T=C:10s") == 1
    configuration.write_text(text.replace("T=C:10s", "T=C:2s"))


class HAProxy:
    """deploy/haproxy/miltscan.cfg on an incoming host."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.programs = Programs(folder)
        self.run = folder / "haproxy"
        self.run.mkdir()
        shutil.chown(self.run, "haproxy", "haproxy")
        self.run.chmod(0o2775)  # as /run/haproxy of the Debian package
        self.socket = folder / "miltscan.sock"
        self.configuration = folder / "haproxy.cfg"
        text = HAPROXY.read_text().replace("/run/haproxy", str(self.run)).replace("/run/miltscan-proxy", str(folder))
        text = text.replace("/dev/log", str(preload.log_socket(folder)))
        assert text.count("timeout check 1s") == 1  # a busy test machine needs longer for an answer
        self.configuration.write_text(text.replace("timeout check 1s", "timeout check 5s"))

    def start(self) -> None:
        """Starts it; returns when its socket accepts."""
        with self.host.inside():
            self.program = self.programs.start("haproxy", [programs.find("haproxy"), "-db", "-f", self.configuration])
        self.program.wait_ready(lambda: accepts(self.socket) and accepts(self.run / "admin.sock"))

    def ask(self, command: str) -> str:
        """What it answers on its admin socket."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self.run / "admin.sock"))
            admin.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: admin.recv(65536), b"")).decode()

    def up(self) -> set[str]:
        """The scanners that it takes for ready."""
        rows = csv.DictReader(self.ask("show stat").removeprefix("# ").splitlines())
        return {row["svname"] for row in rows if row["svname"].startswith("scanner") and row["status"].startswith("UP")}

    def idle(self) -> bool:
        """Whether no session of sendmail is open."""
        rows = csv.DictReader(self.ask("show stat").removeprefix("# ").splitlines())
        return all(row["scur"] == "0" for row in rows)

    def wait_up(self, *scanners: str) -> None:
        """Returns when it takes these, and no others, for ready."""
        wait_until(lambda: self.up() == set(scanners), PATIENCE, f"HAProxy with {scanners} (it has {self.up()})")


@dataclass(frozen=True)
class Machines:
    """All hosts, running."""

    network: Network
    incoming1: Incoming
    incoming2: Incoming
    haproxy: HAProxy
    scanner1: Scanner
    scanner2: Scanner
    delivery: Delivery

    def start(self) -> None:
        """All of them, the scanners first: clamd takes longest."""
        for part in (self.scanner1, self.scanner2, self.delivery, self.incoming1, self.incoming2, self.haproxy):
            part.start()
        self.repair()

    def repair(self) -> None:
        """Undo what a test has ended, unplugged or configured: everything runs again as at the beginning."""
        for scanner in (self.scanner1, self.scanner2):
            scanner.host.plug()
            scanner.start()
        for scanner in (self.scanner1, self.scanner2):
            scanner.wait_ready()
        self.haproxy.wait_up("scanner1", "scanner2")
        wait_until(self.haproxy.idle, PATIENCE, "HAProxy without a session")


@pytest.fixture(scope="module")
def all_machines() -> Iterator[Machines]:
    """The hosts and what runs on them, each in its own folder."""
    with ExitStack() as stack:
        network = stack.enter_context(Network.of(HOSTS))
        folders = {name: stack.enter_context(private_folder()) for name in HOSTS}
        haproxy = HAProxy(network["incoming1"], folders["incoming1"])
        machines = Machines(
            network,
            Incoming(network["incoming1"], folders["incoming1"], f"unix:{haproxy.socket}"),
            Incoming(network["incoming2"], folders["incoming2"], f"inet:{MILTER_PORT}@{HOSTS['scanner1']}"),
            haproxy,
            Scanner(network["scanner1"], folders["scanner1"], privileged=False),
            Scanner(network["scanner2"], folders["scanner2"], privileged=True),
            Delivery(network["delivery"], folders["delivery"]),
        )
        for part in (
            machines.scanner1,
            machines.scanner2,
            machines.delivery,
            machines.incoming1,
            machines.incoming2,
            haproxy,
        ):
            stack.callback(part.programs.end)
        machines.start()
        yield machines


@pytest.fixture
def machines(all_machines: Machines) -> Iterator[Machines]:
    """The same, whole again after each test."""
    yield all_machines
    all_machines.repair()


def infected() -> bytes:
    """A message with the test signature."""
    return messages.as_wire(messages.infected())


def test_three_hosts_and_more(machines: Machines) -> None:
    """Clean mail of both incoming hosts reaches the mailbox behind the delivery host; infected mail is refused."""
    for incoming in (machines.incoming1, machines.incoming2):
        message_id = new_message_id()
        assert incoming.send(text_message(message_id)).code == 250
        delivered = machines.delivery.mailbox.wait_for(message_id)
        assert "miltscan" in str(delivered.message["X-Virus-Scanned"])
        assert incoming.send(infected()).code == 550


def test_both_scanners_have_their_share(machines: Machines) -> None:
    """HAProxy gives sessions to both scanners."""
    before = [machines.scanner1.messages, machines.scanner2.messages]
    assert {machines.incoming1.send().code for _ in range(4)} == {250}
    assert machines.scanner1.messages - before[0] > 0
    assert machines.scanner2.messages - before[1] > 0


@pytest.mark.parametrize("name", ["scanner1", "scanner2"])
def test_only_listed_hosts_reach_the_milter_socket(machines: Machines, name: str) -> None:
    """A host that is not listed receives no answer from milter and exporter; a listed one is served.

    The user of scanner1 may install no filter on newer kernels: then miltscan itself ends the connection.
    """
    scanner = HOSTS[name]
    with machines.network["stranger"].inside():
        with pytest.raises((TimeoutError, ConnectionError)):
            MTA.open(f"inet:{MILTER_PORT}@{scanner}", timeout=0.5 if name == "scanner2" else 20.0)
        with socket.create_connection((scanner, EXPORTER_PORT), timeout=5) as web:
            assert web.recv(1) == b""
    with machines.network["incoming2"].inside(), MTA.open(f"inet:{MILTER_PORT}@{scanner}") as mta:
        assert mta.send_message().accepted


def test_doctor_on_an_incoming_host(machines: Machines) -> None:
    """The doctor finds HAProxy and a filter behind it, and does not miss miltscan or clamd on this host."""
    conf = machines.incoming1.sendmail.configuration
    settings = conf.with_name("miltscan.toml")
    settings.write_text(f'[milter]\nsocket = "unix:{conf.parent}/absent.sock"\n')
    files = ["--incoming", str(conf), "--delivery", str(conf.with_name("absent.cf")), "--config", str(settings)]
    with machines.incoming1.host.inside():
        result = CliRunner().invoke(app, ["doctor", "--json", *files], catch_exceptions=False)
    found = [one for one in json.loads(result.stdout)["findings"] if one["step"] in {"miltscan", "delivery sendmail"}]
    assert [one for one in found if one["level"] != "ok"] == []
    texts = [one["text"] for one in found]
    assert re.match(r"haproxy \(pid \d+\) listens", texts[0])
    assert "answers the first step of the milter protocol" in texts
    assert not [one for one in json.loads(result.stdout)["findings"] if "does not ask" in one["text"]]


def test_an_incoming_host_that_is_not_listed_tempfails(machines: Machines) -> None:
    """The clients of an unlisted host receive 451 (F=T) until a reload lists it again; the listed host goes on."""
    scanner = machines.scanner1
    scanner.allow(INCOMING[:1])
    scanner.miltscan.reload_and_wait()
    # a worker has the new list a moment after the supervisor
    wait_until(lambda: heard(machines.incoming2.send()) == TEMPFAIL, PATIENCE, "the shorter list")
    machines.incoming2.syslog.wait_for(r"Milter \(miltscan\): to error state")
    assert machines.incoming1.send().code == 250
    scanner.allow(INCOMING)
    scanner.miltscan.reload_and_wait()
    wait_until(lambda: machines.incoming2.send().code == 250, PATIENCE, "the longer list")


def test_an_open_session_outlives_a_new_list(machines: Machines) -> None:
    """A host that a reload removes from the list may finish its open session."""
    scanner = machines.scanner1
    with machines.incoming2.session() as session:
        scanner.allow(INCOMING[:1])
        scanner.miltscan.reload_and_wait()
        assert finish(session).code == 250
    scanner.allow(INCOMING)
    scanner.miltscan.reload_and_wait()
    wait_until(lambda: machines.incoming2.send().code == 250, PATIENCE, "the longer list")


def test_delivery_takes_mail_from_the_incoming_hosts_only(machines: Machines) -> None:
    """Delivery rejects every message of an unlisted host, including a scanner that no setting names."""
    for name in ("stranger", "scanner2"):
        with machines.network[name].inside(), smtplib.SMTP(HOSTS["delivery"], DELIVERY_PORT, name, 60) as session:
            session.ehlo()
            code, text = session.mail(client.SENDER)
            assert (code, text[:5]) == (550, b"5.7.1")


def test_a_scanner_releases_to_the_delivery_host(machines: Machines) -> None:
    """A message in the quarantine of the scanner that SITE_MILTER names reaches the mailbox behind delivery."""
    files, message_id = Files(machines.scanner1.programs.folder / "quarantine"), new_message_id()
    entry = put(files, text_message(message_id), outcome=Outcome.CLEAN, signature=None)
    releaser = Releaser(files, files.record, (HOSTS["delivery"], DELIVERY_PORT), PATIENCE, "scanner1.example.test")
    with machines.scanner1.host.inside():
        release = releaser.release(entry.id, Order("root"))
    assert all(one.queue_id for one in release.deliveries)
    assert machines.delivery.mailbox.wait_for(message_id).message["X-Miltscan-Released"] == entry.id


def test_check_on_a_scanner(machines: Machines) -> None:
    """Check finds whether the delivery host accepts releases of this scanner, and names the setting if it does not."""
    text = f"policy.on_infected = 'quarantine'\n[delivery]\nserver = 'inet:{DELIVERY_PORT}@{HOSTS['delivery']}'\n"
    found = {}
    for name in ("scanner1", "scanner2"):
        with machines.network[name].inside():
            findings = quarantine_findings(parse_settings(text.encode(), "f"))
            (found[name],) = [one for one in findings if one.subject == "delivery.server"]
    assert found["scanner1"].level is Level.OK
    assert found["scanner2"].level is Level.ERROR
    assert "550 5.7.1" in found["scanner2"].text
    assert "SITE_SCANNERS" in found["scanner2"].remedy


def test_delivery_host_down(machines: Machines) -> None:
    """The client receives 250, and the message waits in the queue of incoming."""
    message_id = new_message_id()
    machines.delivery.sendmail.stop()
    assert machines.incoming1.send(text_message(message_id)).code == 250
    assert machines.incoming1.sendmail.queued()
    with machines.delivery.host.inside():
        machines.delivery.sendmail.start()
        machines.delivery.sendmail.wait_ready()
    with machines.incoming1.host.inside():
        machines.incoming1.sendmail.drain()
    assert machines.delivery.mailbox.wait_for(message_id)


def test_miltscan_of_one_scanner_killed(machines: Machines) -> None:
    """The host without HAProxy tempfails at once; behind HAProxy every message finds the other scanner."""
    machines.scanner1.miltscan.kill()
    assert heard(machines.incoming2.send()) == TEMPFAIL
    assert [machines.incoming1.send().code for _ in range(4)] == [250] * 4
    assert machines.incoming1.send(infected()).code == 550


def test_miltscan_killed_in_mid_session(machines: Machines) -> None:
    """The open session receives 451; after a new start a new session is served."""
    with machines.incoming2.session() as session:
        machines.scanner1.miltscan.kill()
        assert heard(finish(session)) == TEMPFAIL
    machines.repair()
    assert machines.incoming2.send().code == 250


def test_miltscan_killed_in_mid_session_behind_haproxy(machines: Machines) -> None:
    """Only the open session receives 451; its next try in a new session reaches the other scanner."""
    sessions = [machines.incoming1.session() for _ in range(2)]
    machines.scanner1.miltscan.kill()
    assert sorted(finished(sessions)) == [250, 451]
    assert machines.incoming1.send().code == 250


def test_haproxy_killed(machines: Machines) -> None:
    """Without HAProxy a client receives 451 and nothing is accepted unscanned; when it is back, mail flows."""
    machines.haproxy.program.kill()
    assert heard(machines.incoming1.send()) == TEMPFAIL
    machines.haproxy.socket.unlink(missing_ok=True)
    machines.haproxy.start()
    machines.haproxy.wait_up("scanner1", "scanner2")
    assert machines.incoming1.send().code == 250


def test_clamd_of_one_scanner_stopped(machines: Machines) -> None:
    """/readyz fails, HAProxy takes the scanner out, and all mail goes to the other one."""
    machines.scanner1.clamd.stop()
    machines.haproxy.wait_up("scanner2")
    before = machines.scanner1.messages
    assert {machines.incoming1.send().code for _ in range(4)} == {250}
    assert machines.scanner1.messages == before


def test_scanner_drained_by_hand(machines: Machines) -> None:
    """Open sessions of a drained scanner finish undisturbed, and new ones go to the other scanner."""
    sessions = [machines.incoming1.session() for _ in range(2)]
    machines.haproxy.ask("set server miltscan/scanner1 state drain")
    before = machines.scanner1.messages
    assert {machines.incoming1.send().code for _ in range(3)} == {250}
    assert machines.scanner1.messages == before
    assert finished(sessions) == [250, 250]
    machines.haproxy.ask("set server miltscan/scanner1 state ready")


def test_scanner_without_power(machines: Machines) -> None:
    """No session waits for R:30s: HAProxy cuts it when its checks fail, and its client receives 451."""
    sessions = [machines.incoming1.session() for _ in range(2)]
    machines.scanner1.host.unplug()
    machines.haproxy.wait_up("scanner2")
    assert sorted(finished(sessions)) == [250, 451]
    assert machines.incoming1.send().code == 250
    assert heard(machines.incoming2.send()) == TEMPFAIL


def test_no_scanner_left(machines: Machines) -> None:
    """Without a scanner a client receives 451 and nothing is accepted unscanned; when one is back, mail flows."""
    for scanner in (machines.scanner1, machines.scanner2):
        scanner.miltscan.kill()
    machines.haproxy.wait_up()
    assert heard(machines.incoming1.send()) == TEMPFAIL
    machines.scanner2.start()
    machines.scanner2.wait_ready()
    machines.haproxy.wait_up("scanner2")
    assert machines.incoming1.send().code == 250


class Tunnel:
    """The two files of deploy/stunnel between incoming2 and scanner1, each host with its own key."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines
        self.socket = machines.incoming2.programs.folder / "miltscan.sock"

    def start(self, incoming_key: str, scanner_key: str) -> None:
        """Starts both ends; they go with their hosts."""
        scanner, incoming = self.machines.scanner1, self.machines.incoming2
        self._end(scanner.host, scanner.programs, "miltscan-scanner.conf", scanner_key)
        self._end(incoming.host, incoming.programs, "miltscan-incoming.conf", incoming_key)
        with scanner.host.inside():
            wait_until(lambda: connects(HOSTS["scanner1"], TUNNEL_PORT), PATIENCE, "stunnel on the scanner")
        wait_until(lambda: accepts(self.socket), PATIENCE, "stunnel on the incoming host")

    def stop(self) -> None:
        """Ends both."""
        for part in (self.machines.incoming2, self.machines.scanner1):
            part.programs.running.pop().terminate()

    def _end(self, host: Host, owner: Programs, name: str, key: str) -> None:
        secrets = owner.folder / "miltscan.psk"
        secrets.write_text(f"incoming1:{key}\n")
        secrets.chmod(0o600)
        text = (STUNNEL / name).read_text().replace("/etc/stunnel", str(owner.folder))
        text = text.replace("/run/miltscan-proxy", str(owner.folder)).replace("127.0.0.1:", f"{HOSTS['scanner1']}:")
        configuration = owner.folder / name
        configuration.write_text(text)
        with host.inside():
            owner.start("stunnel", [programs.find("stunnel4"), configuration])


def connects(address: str, port: int) -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex((address, port)) == 0


@pytest.fixture
def tunnel(machines: Machines) -> Iterator[Tunnel]:
    """Not started; stopped after the test."""
    tunnel = Tunnel(machines)
    yield tunnel
    tunnel.stop()


def test_tunnel(tunnel: Tunnel) -> None:
    """With one key on both sides a milter session goes through, by the shipped files."""
    tunnel.start("ab" * 32, "ab" * 32)
    with MTA.open(f"unix:{tunnel.socket}") as mta:
        assert mta.send_message().accepted


def test_tunnel_with_another_key(tunnel: Tunnel) -> None:
    """A host with another key reaches nothing."""
    tunnel.start("ab" * 32, "cd" * 32)
    with pytest.raises((OSError, EOFError)), MTA.open(f"unix:{tunnel.socket}") as mta:
        mta.send_message()


def heard(reply: Reply) -> tuple[int, str]:
    """Code and enhanced code of a reply."""
    return reply.code, reply.text.partition(" ")[0]


def finish(session: smtplib.SMTP) -> Reply:
    """RCPT, DATA and a clean message: the reply that decided."""
    code, text = session.rcpt(client.RECIPIENT)
    if code < 400:
        code, text = session.data(text_message(new_message_id()))
    return Reply(code, text.decode())


def finished(sessions: list[smtplib.SMTP]) -> list[int]:
    """The codes that these sessions receive for their messages; all are closed."""
    codes = []
    for session in sessions:
        with session:
            codes.append(finish(session).code)
    return codes
