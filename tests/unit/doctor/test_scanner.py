"""Where the socket that incoming asks leads to: which program listens there is what the tests pretend."""

from collections.abc import Callable

import pytest

from miltscan.config.settings import Settings
from miltscan.core.address import Address, InetAddress, UnixAddress
from miltscan.core.finding import Finding, Level
from miltscan.doctor import filter_rules, scanner
from miltscan.doctor.programs import RunningProgram
from miltscan.doctor.steps import DoctorOptions, examine
from tests.unit.doctor.support import INCOMING, bad, cf

OURS = UnixAddress("/run/miltscan/miltscan.sock")
PROXIED = UnixAddress("/run/miltscan-proxy/miltscan.sock")
Listens = Callable[[str], None]


@pytest.fixture
def listens(monkeypatch: pytest.MonkeyPatch) -> Listens:
    """Has a program listen at PROXIED and on port 10026, and nowhere else."""

    def pretend(program: str) -> None:
        found = [RunningProgram(7, program, f"/usr/sbin/{program} -f x", 0.0)]
        monkeypatch.setattr(scanner, "unix_listeners", lambda path: found if path == PROXIED.path else [])
        monkeypatch.setattr(scanner, "listeners", lambda port: found if port == 10026 else [])

    return pretend


def asking(socket: str) -> str:
    """An incoming.cf whose filter has this socket."""
    return INCOMING.replace(f"S={OURS}", f"S={socket}").replace("Port=smtp", "Port=2")


@pytest.mark.parametrize(
    ("program", "socket", "found"),
    [
        ("haproxy", str(PROXIED), PROXIED),
        ("stunnel4", "inet:10026@127.0.0.1", InetAddress("127.0.0.1", 10026)),
        ("python3", str(PROXIED), None),
        ("haproxy", str(OURS), None),
        ("haproxy", "inet:10027@localhost", None),
        ("haproxy", "nonsense", None),
    ],
)
def test_proxies(listens: Listens, program: str, socket: str, found: Address | None) -> None:
    """A proxy of this host is one by its program, at a socket that is asked and is not miltscan's own."""
    listens(program)
    conf = cf(asking(socket))
    assert scanner.proxied(conf, OURS) == ({found} if found else set())
    assert scanner.elsewhere(conf, OURS) == ([found] if found else [])


def test_another_host_is_elsewhere(listens: Listens) -> None:
    """Whoever listens there; but for the address that miltscan has here."""
    listens("haproxy")
    there = InetAddress("192.0.2.11", 10025)
    assert scanner.elsewhere(cf(asking(str(there))), OURS) == [there]
    assert scanner.elsewhere(cf(asking(str(there))), there) == []


@pytest.mark.parametrize(("program", "wrong"), [("haproxy", 0), ("python3", 1)])
def test_a_filter_behind_a_proxy_is_ours(listens: Listens, program: str, wrong: int) -> None:
    """Its F=, T= and macros are looked at like those of miltscan's socket; any other program is not believed."""
    listens(program)
    conf = cf(asking(str(PROXIED)))
    found = [
        *filter_rules.filter_findings(
            "incoming.cf", conf, Settings().milter.socket, Settings().limits, scanner.proxied(conf, OURS)
        )
    ]
    assert len(bad(found)) == wrong
    assert any("T=" in one.subject for one in found) is (wrong == 0)


def test_an_incoming_host_without_a_scanner(
    listens: Listens, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Neither miltscan nor clamd is missed here if a filter answers through the proxy."""
    listens("haproxy")
    folder = tmp_path_factory.mktemp("mail")
    (folder / "i.cf").write_text(asking(str(PROXIED)))
    monkeypatch.setattr(
        "miltscan.doctor.ports.negotiation_finding", lambda subject, *_: Finding(Level.OK, subject, "answers")
    )
    monkeypatch.setattr("miltscan.doctor.rights.socket_findings", lambda *_: iter(()))
    steps = {step.title: step.findings for step in examine(Settings(), DoctorOptions(folder / "i.cf", folder / "d.cf"))}
    assert [one.text for one in steps["miltscan"]] == [
        "haproxy (pid 7) listens, and hands on what it is asked",
        "answers",
        "not on this host: run miltscan doctor on the scanners, too",
    ]
    assert [one.text for one in steps["clamd and miltscan's folders"]] == ["not on this host"]
