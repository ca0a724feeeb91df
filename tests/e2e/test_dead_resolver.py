"""A DNS server that never answers: local mail passes the sandwich without one lookup."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.harness import preload, programs
from tests.harness.client import new_message_id
from tests.harness.network import Network
from tests.harness.processes import PATIENCE
from tests.harness.sandwich import Sandwich, private_folder

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

OWN = """\
dnl the service switch and the resolver are the host's
define(`ALIAS_FILE', `null:none')dnl
define(`STATUS_FILE', `{folder}/statistics')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
"""
OTHERS = b"""\
From: sender@example.test\r
To: recipient@example.test, another@elsewhere.example\r
Cc: third@third.example\r
Reply-To: fourth@fourth.example\r
"""


class DeafServer:
    """The DNS servers of this host's resolv.conf, on addresses of the loopback device: they answer nothing."""

    def __init__(self) -> None:
        words = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
        named = [line[1] for line in words if line[:1] == ["nameserver"]]
        self.addresses = named or ["127.0.0.1"]  # what libc asks without any
        self.sockets: list[socket.socket] = []

    def queries(self) -> list[bytes]:
        """The queries so far that no earlier call returned."""
        found = []
        for one in self.sockets:
            try:
                while True:
                    found.append(one.recv(4096))
            except BlockingIOError:
                pass
        return found


@contextmanager
def deaf_server(network: Network, name: str) -> Iterator[DeafServer]:
    """The server on the host `name`, which this thread has entered."""
    server = DeafServer()
    with ExitStack() as stack:
        for address in server.addresses:
            network[name].add_address(address)
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                one = stack.enter_context(socket.socket(family, kind))
                one.bind((address, 53))
                one.settimeout(0)
                if kind == socket.SOCK_STREAM:
                    one.listen()
                else:
                    server.sockets.append(one)
        yield server


@pytest.fixture(scope="module")
def silence() -> Iterator[tuple[Sandwich, DeafServer]]:
    """A sandwich on a host whose DNS server is deaf."""
    with private_folder() as folder, Network.of({"mx": "192.0.2.1"}) as network, network["mx"].inside():
        site = {}
        for side, more in (("incoming", ""), ("delivery", "define(`SMART_HOST', `relay:[127.0.0.1]')dnl\n")):
            (folder / f"{side}.own.m4").write_text(OWN.format(folder=folder) + more)
            site[f"SITE_{side.upper()}"] = str(folder / f"{side}.own.m4")
        with deaf_server(network, "mx") as server, Sandwich(folder, site=site) as sandwich:
            yield sandwich, server


@pytest.mark.parametrize("sender", ["sender@example.test", ""])
def test_local_mail_is_delivered(silence: tuple[Sandwich, DeafServer], sender: str) -> None:
    """Neither the sender's domain, if it is local, nor any address of the header is looked up on either side."""
    sandwich, server = silence
    server.queries()
    message_id = new_message_id()
    message = OTHERS + f"Message-ID: {message_id}\r\n\r\nHello\r\n".encode()
    assert sandwich.send(message, sender=sender).code == 250
    sandwich.mailbox.wait_for(message_id)
    assert server.queries() == []


def test_remote_mail_is_handed_over(silence: tuple[Sandwich, DeafServer]) -> None:
    """Incoming hands over mail for other domains without a lookup; here a smart host spares delivery its own."""
    sandwich, server = silence
    server.queries()
    message_id = new_message_id()
    message = OTHERS + f"Message-ID: {message_id}\r\n\r\nHello\r\n".encode()
    assert sandwich.send(message, sender="sender@example.test", recipients=["a@elsewhere.example"]).code == 250
    assert sandwich.wait_for_trace(message_id).delivery
    assert server.queries() == []


def test_a_local_program_submits(silence: tuple[Sandwich, DeafServer]) -> None:
    """With the line of sendmail/README.md in Debian's submit.mc, plain sendmail looks nothing up either."""
    sandwich, server = silence
    server.queries()
    cf_dir, folder = programs.data("/usr/share/sendmail/cf"), sandwich.folder
    queue = folder / "clientmqueue"
    queue.mkdir(mode=0o770)
    shutil.chown(queue, "nobody", "nogroup")
    line = "define(`confDIRECT_SUBMISSION_MODIFIERS', `Cu')dnl\n"
    assert line.strip() in (programs.CHECKOUT / "sendmail" / "README.md").read_text()
    own = f"define(`RELAY_MAILER_ARGS', `TCP $h {sandwich.incoming.port}')dnl\n"
    text = (cf_dir / "debian" / "submit.mc").read_text().replace("/usr/share/sendmail/cf", str(cf_dir))
    (folder / "submit.mc").write_text(text.replace("FEATURE(`msp'", f"{line}{own}FEATURE(`msp'"))
    built = subprocess.run(["m4", folder / "submit.mc"], check=True, capture_output=True, text=True)
    (folder / "submit.cf").write_text(built.stdout)
    message_id = new_message_id()
    options = [f"QueueDirectory={queue}", f"StatusFile={folder}/client.st", "RunAsUser=nobody"]
    command = [str(preload.program(folder)), "-C", str(folder / "submit.cf")]
    command += [word for one in options for word in ("-O", one)]
    subprocess.run(
        [*command, "-f", "sender@example.test", "recipient@example.test"],
        check=True,
        env={**os.environ, **preload.environment(folder)},
        input=OTHERS + f"Message-ID: {message_id}\r\n\r\nHello\r\n".encode(),
        timeout=PATIENCE,
    )
    sandwich.mailbox.wait_for(message_id)
    assert server.queries() == []
