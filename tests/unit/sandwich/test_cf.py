"""What the parser reads from a .cf file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miltscan.sandwich.cf import Daemon, Filter, Mailer, parse_cf, seconds
from tests.unit.doctor.support import INCOMING, cf


def test_a_whole_file() -> None:
    """It reads options, daemons, filters, and a mailer over three lines."""
    conf = parse_cf(INCOMING)
    assert conf.options["queuedirectory"] == "/var/spool/mqueue"
    assert conf.daemons == (Daemon("incoming", "", 25, 511, None),)
    times = {"C": 10, "S": 30, "R": 30, "E": 300}
    assert conf.filters == {"miltscan": Filter("miltscan", "unix:/run/miltscan/miltscan.sock", "T", times)}
    assert conf.mailers["local"] == Mailer("local", "[IPC]", "klsDFMAw5:/|@qmnX", ("TCP", "[127.0.0.1]", "19000"))
    assert conf.macros("envfrom") == {"i", "{auth_type}"}
    assert conf.macros("helo") == set()


def test_a_blank_continues_a_line() -> None:
    """A tab and a space each continue the line before."""
    assert parse_cf("Ma, P=[IPC],\n  F=k,\n\tA=TCP b 1\n").mailers["a"] == Mailer("a", "[IPC]", "k", ("TCP", "b", "1"))


def test_an_empty_file_means_sendmails_defaults() -> None:
    """The default is one daemon on all addresses, port 25, with a backlog of 10."""
    conf = parse_cf("")
    assert conf.daemons == (Daemon("Daemon0", "", 25, 10, None),)
    assert (conf.options["queuedirectory"], conf.options["pidfile"]) == ("/var/spool/mqueue", "/var/run/sendmail.pid")
    assert (conf.filters, conf.mailers) == ({}, {})


@pytest.mark.parametrize(
    ("line", "daemon"),
    [
        ("Port=19000", Daemon("Daemon0", "", 19000, 10, None)),
        ("P=submission, N=MSA, A=::", Daemon("MSA", "", 587, 10, None)),
        ("Port=unheard-of, Addr=::1", Daemon("Daemon0", "::1", 0, 10, None)),
        ("p=1, listen=9, inputs=a", Daemon("Daemon0", "", 25, 10, None)),
        ("Listen=many, InputMailFilters=a;b", Daemon("Daemon0", "", 25, 10, "a;b")),
        ("Port=smtps, Name=TLSMTA, M=s", Daemon("TLSMTA", "", 465, 10, None, tls=True)),
        ("Modifiers=AS", Daemon("Daemon0", "", 25, 10, None)),
    ],
)
def test_daemons(line: str, daemon: Daemon) -> None:
    """Only the first letter of a field's name counts, including its case; a port may be a service's name."""
    assert parse_cf(f"O DaemonPortOptions={line}\n").daemons == (daemon,)


@pytest.mark.parametrize(
    ("line", "host"), [("Family=inet", "127.0.0.1"), ("Family=inet6", "localhost"), ("Addr=192.0.2.1", "192.0.2.1")]
)
def test_the_address_of_a_daemon(line: str, host: str) -> None:
    """A client on this host connects to this address."""
    assert parse_cf(f"O DaemonPortOptions={line}\n").daemons[0].host == host


def test_the_last_of_two_options_counts() -> None:
    """The names of options do not depend on case."""
    conf = parse_cf("O PIDFILE=/a\nO PidFile=/b\nO DaemonPortOptions=N=a\nO DaemonPortOptions=N=b\n")
    assert (conf.options["pidfile"], [daemon.name for daemon in conf.daemons]) == ("/b", ["a", "b"])


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ([], ["miltscan"]),
        ([("InputMailFilters=miltscan", "InputMailFilters=other, miltscan")], ["miltscan"]),
        ([("O InputMailFilters=miltscan\n", "")], []),
        ([("Listen=511", "Listen=511, I=")], []),
        ([("Listen=511", "Listen=511, I=miltscan"), ("InputMailFilters=miltscan", "InputMailFilters=")], ["miltscan"]),
    ],
)
def test_the_filters_of_a_daemon(changes: list[tuple[str, str]], names: list[str]) -> None:
    """A daemon's own list replaces the common one; an undefined filter is not asked."""
    conf = cf(INCOMING, *changes)
    assert [one.name for one in conf.filters_of(conf.daemons[0])] == names


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), ("10s", 10), ("5m", 300), ("1h30m", 5400), ("", 0), ("soon", 0), ("-5s", 0)]
)
def test_durations(text: str, value: float) -> None:
    """Durations have sendmail's units; any other text is 0."""
    assert seconds(text) == value


@given(st.text())
def test_other_text_raises_nothing(text: str) -> None:
    """Any other text leaves the defaults."""
    assert parse_cf(text).options["queuedirectory"] is not None
    assert parse_cf(f"O DaemonPortOptions={text}\nXa, {text}\nMb, {text}\n").daemons
