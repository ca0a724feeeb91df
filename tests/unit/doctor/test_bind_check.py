"""Whether the service can open its TCP sockets: what `miltscan check` says before the start says it."""

import errno
import os
import socket
from collections.abc import Iterator

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.address import InetAddress
from miltscan.core.finding import Finding, Level
from miltscan.doctor import bind_check
from miltscan.doctor.bind_check import bind_findings, port_findings
from miltscan.doctor.programs import RunningProgram, process
from tests.harness import ports

HERE = process(os.getpid())


@pytest.fixture
def used() -> Iterator[InetAddress]:
    """An address at which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield InetAddress("127.0.0.1", listener.getsockname()[1])


def the_finding(address: InetAddress) -> Finding:
    """The only finding about this address."""
    (finding,) = port_findings("milter.socket", address)
    return finding


def test_an_address_that_can_be_used() -> None:
    """Each TCP socket of the settings is tried, and nothing keeps its port afterwards."""
    numbers = [ports.choose().number for _ in range(3)]
    keys = ("milter.socket", "verify.socket", "exporter.listen")
    text = "".join(f'{key} = "inet:{number}@127.0.0.1"\n' for key, number in zip(keys[:2], numbers, strict=False))
    settings = parse_settings(f'{text}exporter.listen = "127.0.0.1:{numbers[2]}"'.encode(), "f")
    found = [*bind_findings(settings)]
    assert {one.level for one in found} == {Level.OK}
    assert [one.subject for one in found if "can listen" in one.text] == [*keys]
    for number in numbers:
        socket.create_server(("127.0.0.1", number)).close()


@pytest.mark.parametrize("unfiltered", ["", "Operation not permitted"])
def test_who_enforces_the_list(monkeypatch: pytest.MonkeyPatch, unfiltered: str) -> None:
    """It is ok if the kernel accepts no filter, because miltscan itself checks each connection."""
    monkeypatch.setattr(bind_check, "install_filter", lambda *_arguments: unfiltered)
    settings = parse_settings(f'milter.socket = "inet:{ports.choose().number}@127.0.0.1"'.encode(), "f")
    (finding,) = [one for one in bind_findings(settings) if one.subject == "milter.allow"]
    assert finding.level is Level.OK
    assert unfiltered in finding.text


def test_a_port_in_use(used: InetAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running miltscan is ok, another program is an error, and a process that is not visible is a warning."""
    assert HERE
    assert the_finding(used).level is Level.ERROR
    assert str(HERE) in the_finding(used).text
    service = RunningProgram(7, "python3", "/usr/bin/python3 /usr/local/bin/miltscan run", 0.0)
    for visible, level in (([service], Level.OK), ([], Level.WARNING)):
        monkeypatch.setattr(bind_check, "listeners", lambda _port, visible=visible: visible)
        assert the_finding(used).level is level


def test_an_address_of_another_host() -> None:
    """The finding has the error of the start and the remedy."""
    finding = the_finding(InetAddress("192.0.2.1", 10025))
    assert finding.level is Level.ERROR
    assert finding.text == "inet:10025@192.0.2.1: Cannot assign requested address"
    assert finding.remedy == "name an address of this host"


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".test"])
def test_what_cannot_be_an_address(host: str) -> None:
    """A text that is not a host name is an error as well."""
    assert the_finding(InetAddress(host, 10025)).level is Level.ERROR


def test_a_privileged_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user must choose another port."""

    def refuse(*_arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert the_finding(InetAddress("127.0.0.1", 25)).remedy == "choose a port above 1023"
