"""Where the filters of incoming lead; the tests simulate the program that listens."""

from collections.abc import Callable

import pytest

from miltscan.config.settings import Settings
from miltscan.core.address import Address, InetAddress, UnixAddress
from miltscan.core.finding import ok
from miltscan.doctor import filter_rules, scanner
from miltscan.doctor.programs import RunningProgram
from miltscan.doctor.steps import DoctorOptions, examine
from tests.unit.doctor.support import INCOMING, bad, cf

OURS = UnixAddress("/run/miltscan/miltscan.sock")
PROXIED = UnixAddress("/run/miltscan-proxy/miltscan.sock")
Listens = Callable[[str], None]


@pytest.fixture
def listens(monkeypatch: pytest.MonkeyPatch) -> Listens:
    """Simulates a program that listens at PROXIED and on port 10026 only."""

    def simulate(program: str) -> None:
        found = [RunningProgram(7, program, f"/usr/sbin/{program} -f x", 0.0)]
        monkeypatch.setattr(
            scanner, "listeners_at", lambda one: found if one == PROXIED or getattr(one, "port", 0) == 10026 else []
        )

    return simulate


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
    """A known program is a proxy at a socket that incoming asks and that is not miltscan's own."""
    listens(program)
    conf = cf(asking(socket))
    assert scanner.proxied(conf, OURS) == ({found} if found else set())
    assert scanner.remote_scanners(conf, OURS) == ([found] if found else [])


def test_another_host_is_a_remote_scanner(listens: Listens) -> None:
    """An address of another host is remote, unless it is miltscan's own."""
    listens("haproxy")
    there = InetAddress("192.0.2.11", 10025)
    assert scanner.remote_scanners(cf(asking(str(there))), OURS) == [there]
    assert scanner.remote_scanners(cf(asking(str(there))), there) == []


@pytest.mark.parametrize(("program", "wrong"), [("haproxy", 0), ("python3", 1)])
def test_a_filter_behind_a_proxy_is_ours(listens: Listens, program: str, wrong: int) -> None:
    """The rules for F=, T= and macros hold for a filter behind a proxy; another program is not miltscan."""
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
    """Neither miltscan nor clamd is expected here if a filter answers through the proxy."""
    listens("haproxy")
    folder = tmp_path_factory.mktemp("mail")
    (folder / "i.cf").write_text(asking(str(PROXIED)))
    monkeypatch.setattr("miltscan.doctor.ports.negotiation_finding", lambda subject, *_: ok(subject, "answers"))
    monkeypatch.setattr("miltscan.doctor.rights.socket_findings", lambda *_: iter(()))
    steps = {step.title: step.findings for step in examine(Settings(), DoctorOptions(folder / "i.cf", folder / "d.cf"))}
    assert [one.text for one in steps["miltscan"]] == [
        "haproxy (pid 7) listens on it and forwards connections",
        "answers",
        "not on this host: run miltscan doctor on the scanners, too",
    ]
    assert [one.text for one in steps["engines and folders"]] == ["not on this host"]
