"""The sockets for MTAs: who may connect by TCP, a file that is lost, and sockets that a service manager passes."""

import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.fakes.clamd_lies import Slow, honest, unless_canary
from tests.fakes.milter_wire import Command, Options, connect_payload, encode, encode_macros, encode_options, strings
from tests.fakes.mta import MTA, Result
from tests.harness import ports
from tests.harness.ending import living
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
    """A service of an ordinary user on a TCP port of `host`, and that port; its kernel accepts no filter."""
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
    """Only listed hosts are served, with any data and any number of sessions, also after a reload of the list."""
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
    """At `[::]` listed hosts of both versions of IP are served, and others are refused."""
    with without_filter(own, "::", milter__allow=["127.0.0.1", "::1"]) as (daemon, port):
        for host in ("127.0.0.1", "::1"):
            with MTA.open(f"inet:{port}@{host}") as mta:
                assert mta.send_message().accepted
        assert cut_off(port, "127.0.0.2", WHOLE_MESSAGE) == b""
        assert not daemon.logged("message", queue_id="STRANGER")


# The file of a unix socket


@contextmanager
def sending(daemon: Daemon, threads: int = 4) -> Iterator[list[Result | OSError]]:
    """Mail on new sessions all the time, as sendmail sends it; what became of each message."""
    results: list[Result | OSError] = []
    stopping = threading.Event()

    def send() -> None:
        while not stopping.is_set():
            try:
                results.append(daemon.send())
            except OSError as error:
                results.append(error)

    workers = [threading.Thread(target=send) for _ in range(threads)]
    for one in workers:
        one.start()
    try:
        wait_until(lambda: len(results) > threads, PATIENCE, "mail")
        yield results
        before = len(results)
        wait_until(lambda: len(results) > before + threads, PATIENCE, "mail")
    finally:
        stopping.set()
        for one in workers:
            one.join()


def test_a_socket_file_that_is_lost(own: Fleet) -> None:
    """The socket is bound again with its mode, every worker serves it, open sessions go on, and the log names it."""
    daemon = own(milter__workers=2, milter__socket_mode="0606")
    daemon.start()
    daemon.wait_ready()
    path, stale = daemon.folder / "sock", daemon.folder / "stale"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    actions: list[Callable[[], object]] = [
        path.unlink,
        lambda: path.rename(daemon.folder / "elsewhere"),
        lambda: stale.rename(path),
    ]
    with daemon.mta() as mta:
        for times, action in enumerate(actions, 1):
            assert mta.send_message().accepted
            action()
            daemon.wait_logged("socket_bound", times, socket="milter.socket", address=daemon.address)
            assert path.stat().st_mode & 0o777 == 0o606
            sessions = [daemon.mta() for _ in range(20)]
            assert all(one.send_message().accepted for one in [mta, *sessions])
            for one in sessions:
                one.cut()
    reasons = [line["why"] for line in daemon.logged("socket_lost")]
    assert reasons == ["its file was removed"] * 2 + ["another file has its path"]
    assert {line["worker"] for line in daemon.logged("message")} == {0, 1}
    wait_until(lambda: daemon.get("/readyz")[0] == 200, PATIENCE, "readiness")
    assert daemon.stop() == 0
    assert not path.exists()


def test_a_socket_of_another_service_in_its_place(own: Fleet) -> None:
    """Miltscan leaves the other service its socket, is not ready until that is gone, and then binds again."""
    daemon = own()
    daemon.start()
    daemon.wait_ready()
    path = daemon.folder / "sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(daemon.folder / "other"))
        other.listen(1)
        (daemon.folder / "other").rename(path)
        (lost,) = daemon.wait_logged("socket_lost")
        daemon.wait_metric("socket_bound", 0, socket="milter.socket")
        assert "milter.socket: its file is missing or belongs to another process" in daemon.get("/readyz")[1]
    daemon.wait_logged("socket_bound")
    assert lost["why"].startswith("another file has its path")
    assert "another process serves this socket" in lost["why"]
    assert daemon.send().accepted
    (daemon.folder / "mine").write_text("mine")
    (daemon.folder / "mine").rename(path)
    daemon.wait_logged("socket_lost", 2)
    daemon.stop()
    assert path.read_text() == "mine"


def test_a_folder_that_is_removed(own: Fleet) -> None:
    """The socket is bound again when the folder exists again; a worker that is started meanwhile serves it as well."""
    daemon = own()
    (daemon.folder / "run").mkdir()
    daemon.settings = {"milter.socket": f"unix:{daemon.folder}/run/sock"}
    daemon.start()
    daemon.wait_ready()
    (daemon.folder / "run" / "sock").unlink()
    (daemon.folder / "run").rmdir()
    (lost,) = daemon.wait_logged("socket_lost")
    assert "No such file or directory" in lost["why"]
    daemon.workers()[0].kill()
    daemon.wait_logged("child_died")
    (daemon.folder / "run").mkdir()
    daemon.wait_logged("socket_bound")
    with MTA.open(f"unix:{daemon.folder}/run/sock") as mta:
        assert mta.send_message().accepted


# Sockets of a service manager


@pytest.fixture
def activated(own: Fleet) -> Iterator[Daemon]:
    """A service, not started, whose socket the test opens and keeps."""
    daemon = own(limits__scan_timeout="20s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(daemon.folder / "sock"))
        listener.listen(128)
        daemon.passed = {"miltscan.socket": listener}
        yield daemon


def test_restarts_under_load(activated: Daemon) -> None:
    """No message is refused or tempfailed while the service restarts: its socket stays open, and connections wait."""
    activated.start()
    activated.wait_ready()
    path = activated.folder / "sock"
    file = path.stat()
    with sending(activated) as results:
        for _ in range(2):
            assert activated.stop() == 0
            activated.start()
            activated.wait_ready()
    assert [one for one in results if isinstance(one, OSError) or not one.accepted] == []
    assert activated.stop() == 0
    assert path.stat().st_ino == file.st_ino
    assert activated.logged("socket_lost") == []


def test_a_passed_socket_whose_file_is_lost(activated: Daemon) -> None:
    """The service is not ready, names the remedy, finishes its transactions and fails; it binds nothing."""
    activated.start()
    activated.wait_ready()
    slow = Slow()
    activated.clamd.behaviour = unless_canary(slow)
    with activated.mta() as mta, ThreadPoolExecutor(1) as pool:
        result = pool.submit(mta.send_message)
        assert slow.entered.wait(PATIENCE)
        (activated.folder / "sock").unlink()
        (lost,) = activated.wait_logged("socket_lost")
        assert lost["why"] == "its file was removed. Run: systemctl restart miltscan.socket"
        activated.wait_metric("socket_bound", 0)
        assert activated.get("/readyz")[0] == 503
        slow.released.set()
        assert result.result().accepted
    assert activated.ended() == 1
    activated.start()  # as by Restart=on-failure, before the administrator has acted
    assert activated.ended() == 1
    assert "its file was removed, so no MTA can reach it. Run: systemctl restart" in activated.running.log.read_text()
    assert not (activated.folder / "sock").exists()


def test_a_long_scan_keeps_no_connection_waiting(activated: Daemon) -> None:
    """A worker that is busy finishes next to the new service."""
    activated.command = (sys.executable, BROKEN, "hasty", "run")
    activated.start()
    activated.wait_ready()
    slow = Slow()
    activated.clamd.behaviour = unless_canary(slow)
    with activated.mta() as mta, ThreadPoolExecutor(1) as pool:
        result = pool.submit(mta.send_message)
        assert slow.entered.wait(PATIENCE)
        former = activated.running.pid
        assert activated.stop() == 0
        assert living(former)
        activated.clamd.behaviour = honest
        activated.start()
        activated.wait_ready()
        assert activated.send().accepted
        slow.released.set()
        assert result.result().accepted
    wait_until(lambda: not living(former), PATIENCE, "the end of the former worker")


def test_another_socket_than_the_configured_one(activated: Daemon) -> None:
    """One line names both sockets, and neither file is changed."""
    activated.settings = {"milter.socket": f"unix:{activated.folder}/other"}
    activated.start()
    assert activated.ended() == 1
    (line,) = activated.running.log.read_text().splitlines()
    passed = f"unix:{activated.folder}/sock"
    assert f"miltscan.socket: the service manager passed {passed}, but milter.socket is unix:" in line
    assert (activated.folder / "sock").exists()
    assert not (activated.folder / "other").exists()


def test_tcp_sockets_of_a_service_manager(own: Fleet) -> None:
    """A TCP port may be passed as well, and milter.allow holds; a key without a passed socket is bound as usual."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        daemon = own(milter__socket=f"inet:{port}@localhost", milter__allow=["127.0.0.1"])
        daemon.settings = {**daemon.settings, "verify.socket": f"unix:{daemon.folder}/sock"}
        daemon.command = (sys.executable, BROKEN, "no-filter", "run")
        daemon.passed = {"": listener}
        daemon.start()
        daemon.wait_ready()
        with MTA.open(f"inet:{port}@127.0.0.1") as mta:
            assert mta.send_message().accepted
        assert cut_off(port, "127.0.0.2", WHOLE_MESSAGE) == b""
        with MTA.open(f"unix:{daemon.folder}/sock") as mta:
            assert mta.send_message().accepted
        assert daemon.stop() == 0
        socket.create_connection(("127.0.0.1", port)).close()


# A restart without a service manager


def test_a_restart_in_the_same_process(own: Fleet) -> None:
    """No message is refused or tempfailed, the process ID remains, and the new service owns its socket as before."""
    daemon = own(milter__workers=1)
    daemon.start()
    daemon.wait_ready()
    path, pid = daemon.folder / "sock", daemon.running.pid
    file = path.stat().st_ino
    with sending(daemon) as results:
        daemon.config.write_text(daemon.config.read_text().replace("milter.workers = 1", "milter.workers = 2"))
        daemon.running.signal(signal.SIGUSR2)
        (_, ready) = daemon.wait_logged("ready", 2)
        assert ready["workers"] == 2
        daemon.config.write_text("nonsense")
        daemon.running.signal(signal.SIGUSR2)
        daemon.wait_logged("reload_failed")
    assert [one for one in results if isinstance(one, OSError) or not one.accepted] == []
    assert (path.stat().st_ino, daemon.running.pid) == (file, pid)
    path.unlink()
    daemon.wait_logged("socket_bound")
    assert daemon.send().accepted
    daemon.write(milter__socket=f"unix:{daemon.folder}/new")
    daemon.running.signal(signal.SIGUSR2)
    daemon.wait_logged("ready", 3)
    assert not path.exists()
    assert daemon.stop() == 0
    assert not (daemon.folder / "new").exists()
    assert [line["status"] for line in daemon.logged("stop")] == [0, 0, 0]
