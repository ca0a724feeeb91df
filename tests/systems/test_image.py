"""The image, and the services of deploy/compose around it, as containers: mail through them, health, reload, TERM.

Freshclam, Prometheus and Grafana are not among them: there is no network, and the images of the last two come from a
registry.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from tests.fakes.eicar import EICAR
from tests.fakes.milter_wire import Code
from tests.fakes.mta import MTA
from tests.harness import client, messages
from tests.harness.client import Reply, new_message_id, text_message
from tests.harness.network import Network
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.programs import CHECKOUT
from tests.systems.containers import Container, Image, Store, run

COMPOSE = CHECKOUT / "deploy/compose"
BUILD_TIMEOUT = 1800  # seconds, with debootstrap and the package
MILTER = "inet:10025@172.31.25.11"
FIRST_START = 400.0  # seconds; rspamd compiles its expressions, which takes ten on an idle host
IMAGES = {"clamd": "-clamd", "rspamd": "-rspamd", "delivery": "-sendmail", "miltscan": "", "incoming": "-sendmail"}
"""The services that run here, in the order in which an engine starts them; their images after localhost/miltscan."""
RECIPIENT = "someone@example.org"
HOSTS = {"clamd": "172.31.25.41", "rspamd": "172.31.25.42", "mailstore": "172.31.25.51", "client": "172.31.25.61"}
"""Addresses that an engine would choose, in one network with those of compose.yaml, and two hosts of the test."""
FOLDERS = ("/", "/etc/miltscan", "/usr", "/var", "/var/lib", "/var/lib/miltscan", "/run/miltscan")
SITE = {
    "mail/mailertable": f"example.org\tesmtp:[{HOSTS['mailstore']}]\n",
    "mail/service.switch": "hosts files\naliases files\n",  # there is no DNS
    "mail/site.m4": """\
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
define(`SITE_REFUSE_LA', `500')dnl
""",
}
"""What the test's site has in its files, or adds to them."""


@pytest.fixture(scope="module")
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """The images of miltscan and of compose.yaml's other services."""
    kept: Path | None = request.config.getoption("--images")
    made = Store(kept or tmp_path_factory.mktemp("images"))
    if not (made.folder / "root").exists():
        build(made)
    yield made
    made.buildah("rm", "--all")  # unmounts what `image` has mounted


def build(store: Store) -> None:
    """Builds them from this checkout."""
    environment = {**os.environ, "STORE": str(store.folder), "DEB_BUILD_OPTIONS": "nocheck"}
    command = [CHECKOUT / "deploy/container/build"]
    built = subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, text=True, timeout=BUILD_TIMEOUT
    )
    version = Path(built.stdout.strip()).name.split("_")[1]
    store.buildah("tag", f"localhost/miltscan:{version}", "localhost/miltscan")
    context = store.folder / "compose"
    shutil.copytree(COMPOSE, context)
    for name, text in SITE.items():
        with (context / name).open("w" if name.endswith("table") else "a") as file:
            file.write(text)
    for target in ("sendmail", "clamd", "rspamd"):
        common = ["--isolation", "chroot", "--format", "docker", "--build-arg", "BASE=localhost/debian:trixie"]
        tag = ["--target", target, "--tag", f"localhost/miltscan-{target}", "--file", context / "Containerfile"]
        store.buildah("bud", *common, *tag, context)


class MailStore(MessageHandler):
    """Keeps what delivery hands over."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Any] = []

    def handle_message(self, message: Any) -> None:  # noqa: ANN401 - aiosmtpd's type is that of its caller
        """One message."""
        self.messages.append(message)


@dataclass(frozen=True, slots=True)
class Sandwich:
    """The running services, the network between them, and the last host of the mail."""

    containers: Mapping[str, Container]
    network: Network
    mailstore: MailStore

    def send(self, message: bytes) -> Reply:
        """The reply of incoming to a message from another host."""
        with self.network["client"].inside():
            return client.send(25, message, recipients=[RECIPIENT], host="172.31.25.21", source=HOSTS["client"])

    def delivered(self, message_id: str) -> Any:  # noqa: ANN401 - as above
        """The message with this ID, once it is there."""
        found = wait_until(
            lambda: [one for one in self.mailstore.messages if one["Message-ID"] == message_id], PATIENCE, message_id
        )
        return found[0]


@pytest.fixture(scope="module")
def sandwich(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandwich]:
    """Every service that needs no registry, each healthy before the next one starts."""
    folder = tmp_path_factory.mktemp("containers")
    services = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    fixed = {
        name: one["networks"]["mail"]["ipv4_address"]
        for name, one in services.items()
        if "mail" in one.get("networks", ())
    }
    with ExitStack() as stack:
        network = stack.enter_context(Network.of(fixed | HOSTS))
        mailstore = MailStore()
        with network["mailstore"].inside():
            controller = Controller(mailstore, HOSTS["mailstore"], 25)
            controller.start()
        stack.callback(controller.stop)
        containers: dict[str, Container] = {}
        for name, suffix in IMAGES.items():
            image = store.image(f"localhost/miltscan{suffix}")
            volumes = {
                **names(folder, services[name], name, network),
                **dict(volumes_of(folder, services[name], image)),
            }
            if name == "clamd":
                (volumes["signatures"] / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.hex()}\n")
            container = Container(name, folder / name, image, services[name], network[name], volumes)
            containers[name] = stack.enter_context(container)
            if "healthcheck" in services[name]:
                container.wait_healthy()
        yield Sandwich(containers, network, mailstore)


def names(folder: Path, service: Mapping[str, Any], name: str, network: Network) -> dict[str, Path]:
    """Files in place of DNS: the services, this one under its host name too, and the sender's domain."""
    hosts, resolver = folder / f"{name}.hosts", folder / "resolv.conf"
    lines = ["127.0.0.1 localhost", "192.0.2.1 example.org", f"{network[name].address} {service.get('hostname', name)}"]
    hosts.write_text("\n".join([*lines, *(f"{host.address} {other}" for other, host in network.items())]) + "\n")
    resolver.write_text("")
    return {"hosts": hosts, "resolv.conf": resolver}


def volumes_of(folder: Path, service: Mapping[str, Any], image: Image) -> Iterator[tuple[str, Path]]:
    """The sources of a service's mounts; a new volume has what the image has there, as an engine does it."""
    for line in service.get("volumes", []):
        source, target, *_ = line.split(":")
        volume = COMPOSE / source if source.startswith(".") else folder / f"volume-{source}"
        if not volume.exists():
            run(["cp", "--archive", "--no-target-directory", image.root / target.lstrip("/"), volume])
        yield source, volume


def test_mail_flows(sandwich: Sandwich) -> None:
    """Clean mail arrives, marked by both engines; a virus is refused within the session."""
    message_id, miltscan = new_message_id(), sandwich.containers["miltscan"]
    rspamd_up = re.compile(r'"event":"engine_(up|restored)","worker":0,"engine":"rspamd"')
    wait_until(lambda: rspamd_up.search(miltscan.log), FIRST_START, "rspamd")
    assert sandwich.send(text_message(message_id)).code == 250
    arrived = sandwich.delivered(message_id)
    assert arrived["X-Virus-Status"] == "Clean"
    assert sandwich.send(messages.as_wire(messages.infected())).text.startswith(
        "5.7.1 Virus found: Eicar-Test-Signature"
    )
    assert '"engine":"rspamd","outcome":"clean"' in miltscan.log
    delivery = sandwich.containers["delivery"].log
    assert "stat=Sent" in delivery
    assert "reject=" not in delivery  # its own health check is an allowed client


def test_trace_reads_the_logs_of_containers(sandwich: Sandwich, tmp_path: Path) -> None:
    """The output of three containers is a log that `trace` follows from the client to the last host."""
    reply = sandwich.send(text_message(new_message_id()))
    log = tmp_path / "mail.log"

    def delivered() -> str:
        log.write_text("".join(sandwich.containers[name].log for name in ("incoming", "miltscan", "delivery")))
        traced = run([sys.executable, "-m", "miltscan", "trace", "--log", log, reply.queue_id])
        return traced if "delivered" in traced.splitlines()[0] else ""

    assert "verdict: clean" in wait_until(delivered, PATIENCE, "the last line of the log")


def test_the_container_has_no_rights(sandwich: Sandwich) -> None:
    """The service is an ordinary user without a capability, and can write to its volumes only."""
    miltscan = sandwich.containers["miltscan"]
    status = miltscan.exec("grep", "-E", "^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):", "/proc/1/status").stdout
    found = dict(line.split(":\t", 1) for line in status.splitlines())
    assert found["Uid"].split() == ["10025"] * 4
    assert {int(found[name], 16) for name in ("CapEff", "CapBnd")} == {0}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    writable = miltscan.exec(
        "sh",
        "-c",
        f"for folder in {' '.join(FOLDERS)}; do [ ! -w $folder ] || echo $folder; done",
    )
    assert writable.stdout.split() == ["/var/lib/miltscan", "/run/miltscan"]


def test_what_check_reports(sandwich: Sandwich) -> None:
    """`check` has no error in a container."""
    checked = sandwich.containers["miltscan"].exec("miltscan", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "error" not in checked.stdout


def test_another_host_is_not_served(sandwich: Sandwich) -> None:
    """Only incoming may use the milter socket."""
    with sandwich.network["client"].inside(), pytest.raises(OSError, match=r".*"):
        MTA.open(MILTER, timeout=5.0)


def test_health_is_lost_without_clamd(sandwich: Sandwich) -> None:
    """The check of compose.yaml fails without clamd, the one of the image does not."""
    clamd, miltscan = sandwich.containers["clamd"], sandwich.containers["miltscan"]
    clamd.stop()
    wait_until(lambda: not miltscan.healthy(), PATIENCE, "a service that is not ready")
    assert sandwich.send(text_message(new_message_id())).code == 451
    liveness = miltscan.image.settings["Healthcheck"]["Test"][1:]
    assert miltscan.exec(*liveness).returncode == 0
    clamd.start()
    miltscan.wait_healthy()
    assert sandwich.send(text_message(new_message_id())).code == 250


def test_a_stop_drains_the_container(sandwich: Sandwich) -> None:
    """A message that has begun when TERM arrives is answered, then the container ends with status 0."""
    miltscan = sandwich.containers["miltscan"]
    with sandwich.network["incoming"].inside(), MTA.open(MILTER) as mta:
        mta.connect()
        mta.mail(b"<sender@example.org>")
        miltscan.signal(signal.SIGTERM)
        wait_until(lambda: not listens(), PATIENCE, "no more sessions")
        mta.rcpt(b"<someone@example.org>")
        mta.header(b"Subject", b"during the drain")
        mta.eoh()
        mta.body(b"Hello\r\n")
        assert mta.eom()[-1].code in {Code.ACCEPT, Code.CONTINUE}
    assert miltscan.wait() == 0


def listens() -> bool:
    """Whether the service accepts a new session, for a thread on the host of incoming."""
    try:
        MTA.open(MILTER, timeout=1.0).cut()
    except OSError:
        return False
    return True
