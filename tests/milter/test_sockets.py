"""The sockets for MTAs: who may connect by TCP."""

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.fakes.milter_wire import Command, Options, connect_payload, encode, encode_macros, encode_options, strings
from tests.fakes.mta import MTA
from tests.harness import ports
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.programs import unprivileged
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

BROKEN = str(Path(__file__).with_name("broken_service.py"))
WHOLE_MESSAGE = b"".join(
    (
        encode_options(Options()),
        encode(Command.CONNECT, connect_payload(b"client.example.test", b"4", 40000, b"192.0.2.1")),
        encode_macros(Command.MAIL, {b"i": b"STRANGER"}),
        encode(Command.MAIL, strings(b"<a@example.org>")),
        encode(Command.RCPT, strings(b"<b@example.test>")),
        encode(Command.HEADER, strings(b"Subject", b"hello")),
        encode(Command.BODY, b"hello\r\n"),
        encode(Command.EOM),
    )
)


@contextmanager
def without_filter(own: Fleet, host: str, **settings: object) -> Iterator[tuple[Daemon, int]]:
    """A service of an ordinary user on a TCP port of `host`, and that port; its kernel takes no filter."""
    port = ports.choose().number
    daemon = own(milter__socket=f"inet:{port}@{host}", **settings)
    (daemon.folder / "clamd").chmod(0o666)
    daemon.command = (sys.executable, BROKEN, "no-filter", "run")
    daemon.write_settings()
    daemon.command = tuple(map(str, unprivileged(daemon.command, daemon.folder)))
    daemon.start()
    daemon.wait_ready()
    yield daemon, port


def cut_off(port: int, source: str, data: bytes) -> bytes:
    """What a host receives that sends all of this at once, until its connection is closed."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0)) as stranger:
        received = b""
        with suppress(ConnectionError):
            stranger.sendall(data)
            while more := stranger.recv(4096):
                received += more
    return received


def test_tcp_without_a_privilege(own: Fleet) -> None:
    """Only listed hosts are served, whatever the others send and however many sessions are open; a reload counts."""
    with without_filter(own, "127.0.0.1", milter__allow=["127.0.0.1"]) as (daemon, port):
        assert daemon.logged("filter_off", socket="milter.socket")
        listed = [MTA.open(f"inet:{port}@127.0.0.1") for _ in range(30)]
        assert cut_off(port, "127.0.0.2", WHOLE_MESSAGE) == b""
        assert cut_off(port, "127.0.0.2", b"") == b""  # it only keeps a connection open
        assert cut_off(port, "127.0.0.3", WHOLE_MESSAGE) == b""
        assert all(mta.send_message().accepted for mta in listed)
        assert not daemon.logged("message", queue_id="STRANGER")
        assert {line["peer"] for line in daemon.logged("peer_refused")} == {"127.0.0.2", "127.0.0.3"}
        daemon.wait_metric("peers_refused_total", 3)
        daemon.write(milter__socket=f"inet:{port}@127.0.0.1", milter__allow=["127.0.0.3"])
        daemon.running.signal(signal.SIGHUP)
        wait_until(lambda: not served(port), PATIENCE, "the new list")
        assert listed[0].send_message().accepted  # a session outlives it
        for mta in listed:
            mta.cut()


def served(port: int) -> bool:
    """Whether a host with the address 127.0.0.1 is served."""
    try:
        MTA.open(f"inet:{port}@127.0.0.1").cut()
    except ConnectionError:
        return False
    return True


def test_all_addresses(own: Fleet) -> None:
    """At `[::]` hosts of both versions of IP are served, and refused."""
    with without_filter(own, "::", milter__allow=["127.0.0.1", "::1"]) as (daemon, port):
        for host in ("127.0.0.1", "::1"):
            with MTA.open(f"inet:{port}@{host}") as mta:
                assert mta.send_message().accepted
        assert cut_off(port, "127.0.0.2", WHOLE_MESSAGE) == b""
        assert not daemon.logged("message", queue_id="STRANGER")
