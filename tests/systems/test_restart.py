"""miltscan's unit on a booted machine: restart under load, socket file removed, TCP, a clamd that cannot scan."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

from tests.fakes.clamd import FakeClamd
from tests.fakes.clamd_lies import always_ok
from tests.fakes.milter_wire import Options
from tests.fakes.mta import MTA
from tests.harness.client import new_message_id, text_message
from tests.harness.messages import as_wire, infected
from tests.harness.processes import ProgramError, wait_until
from tests.systems.machine import PATIENCE, Machine

CONFIGURATION = "/etc/miltscan/miltscan.toml"
SOCKET = "/run/miltscan/miltscan.sock"
TCP_PORT = 10025


def clean(machine: Machine) -> int:
    """The reply code to a clean message."""
    return machine.send(text_message(new_message_id())).code


@contextmanager
def configured(machine: Machine, *changes: tuple[str, str]) -> Iterator[None]:
    """The context in which miltscan runs with a changed configuration."""
    file = machine.file(CONFIGURATION)
    before = text = file.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    try:
        machine.run("systemctl restart miltscan")
        yield
    finally:
        file.write_text(before)
        machine.run("systemctl restart miltscan")
        wait_until(lambda: clean(machine) == 250, PATIENCE, "mail that is accepted again")


@contextmanager
def socket_unit(machine: Machine) -> Iterator[None]:
    """The context in which systemd holds the socket, as docs/start-stop.md says."""
    machine.run("systemctl stop miltscan; systemctl enable --now miltscan.socket; systemctl start miltscan")
    try:
        yield
    finally:
        machine.run("systemctl stop miltscan; systemctl disable --now miltscan.socket; systemctl start miltscan")
        wait_until(lambda: clean(machine) == 250, PATIENCE, "mail that is accepted again")


def test_restart_under_load(machine: Machine) -> None:
    """With the socket unit no client is refused or asked to try again while miltscan is restarted twice."""
    with socket_unit(machine):
        codes = codes_during_restarts(machine)
        assert machine.send(as_wire(infected())).code == 550
    assert len(codes) > 10
    assert set(codes) == {250}


def codes_during_restarts(machine: Machine) -> list[int]:
    """The reply codes to a steady load of clean mail."""
    stop = Event()

    def load() -> list[int]:
        codes = []
        while not stop.is_set():
            codes.append(clean(machine))
        return codes

    with ThreadPoolExecutor(4) as clients:
        loads = [clients.submit(load) for _ in range(4)]
        try:
            for _ in range(2):
                machine.run("systemctl restart miltscan")
        finally:
            stop.set()
        return [code for one in loads for code in one.result()]


def test_socket_file_removed(machine: Machine) -> None:
    """Miltscan soon restores a removed socket file without an administrator, and mail is accepted."""
    machine.run(f"rm {SOCKET}")
    try:
        wait_until(lambda: clean(machine) == 250, PATIENCE, "mail that is accepted again")
        machine.run(f"test -S {SOCKET}")
    except ProgramError:
        machine.run("systemctl restart miltscan")  # for the tests that follow
        raise


def test_socket_file_of_the_unit_removed(machine: Machine) -> None:
    """Where systemd holds the socket, mail is tempfailed, the log names the remedy, and the remedy works."""
    with socket_unit(machine):
        machine.run(f"rm {SOCKET}")
        wait_until(lambda: clean(machine) == 451, PATIENCE, "mail that is tempfailed")
        remedy = "systemctl restart miltscan.socket"
        wait_until(lambda: machine.succeeds(f"journalctl -u miltscan | grep '{remedy}'"), PATIENCE, "the remedy")
        # systemd refuses it while the service still finishes its transactions
        wait_until(lambda: machine.succeeds(remedy), PATIENCE, "a restart of the socket")
        wait_until(lambda: clean(machine) == 250, PATIENCE, "mail that is accepted again")


def test_tcp_socket_of_the_service_user(machine: Machine) -> None:
    """Over TCP, without any capability, the unit serves the listed client and no other."""
    tcp = f'[milter]\nsocket = "inet:{TCP_PORT}@127.0.0.1"\nallow = ["127.0.0.1"]\n[clamd]'
    with configured(machine, ("[clamd]", tcp)):
        machine.run("systemctl is-active miltscan")
        with machine.inside():
            with MTA.open(f"inet:{TCP_PORT}@127.0.0.1") as mta:
                assert mta.send_message().accepted
            with pytest.raises(OSError), _stranger() as connection:  # noqa: PT011  # refused, reset, closed or silent
                MTA(connection, Options(), timeout=3).negotiate()


def _stranger() -> socket.socket:
    return socket.create_connection(("127.0.0.1", TCP_PORT), timeout=3, source_address=("127.0.0.2", 0))


def test_start_next_to_a_clamd_that_scans_nothing(machine: Machine) -> None:
    """With a clamd that answers PING and fails its self-test, the unit becomes active and replies 451."""
    with machine.inside():
        fake = FakeClamd.tcp(always_ok)
    with fake, configured(machine, ("unix:/run/clamav/clamd.ctl", fake.address)):
        machine.run("systemctl is-active miltscan")
        assert clean(machine) == 451


def test_clamd_without_signatures(machine: Machine) -> None:
    """Without signatures systemd starts no clamd and reports no error; mail waits at its clients meanwhile."""
    drop_ins = "/etc/systemd/system/clamav-daemon.*.d/test.conf"
    machine.run(f"for file in {drop_ins}; do mv $file $file.off; done; systemctl daemon-reload")
    machine.run("systemctl restart clamav-daemon.socket clamav-daemon")
    assert not machine.succeeds("systemctl is-active clamav-daemon")
    assert clean(machine) == 451
    machine.run("systemctl restart miltscan")
    machine.run(f"for file in {drop_ins}.off; do mv $file ${{file%.off}}; done; systemctl daemon-reload")
    machine.run("systemctl restart clamav-daemon.socket clamav-daemon")
    wait_until(lambda: clean(machine) == 250, PATIENCE, "mail that is accepted again")
