"""S= of an X line: what miltscan reads in it and writes is what a real sendmail does with it."""

import os
import re
import select
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from miltscan.config.load import parse_settings
from miltscan.core.finding import Finding, Level
from miltscan.core.milter_spec import read_milter_spec, write_milter_spec
from miltscan.doctor.filter_rules import filter_findings
from miltscan.doctor.host import service_port
from miltscan.migration.clamav_milter import draft_clamav_milter
from miltscan.sandwich.cf import parse_cf
from tests.harness import preload, sendmail
from tests.harness.programs import CHECKOUT
from tests.harness.sandwich import private_folder


class Reaction(NamedTuple):
    """What sendmail does with an X line."""

    starts: bool
    asks: bool


class Filters:
    """A sendmail, and filters on both loopback addresses and three unix sockets, which hang up on each connection."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        sendmail.build(folder, sendmail.Settings(25, 19000, 0, milter_socket=folder / "m.sock"))
        self.configuration = folder / "incoming.cf"
        self.text = self.configuration.read_text()
        self.listeners = [socket.create_server(("127.0.0.1", 0))]
        self.port = self.listeners[0].getsockname()[1]
        self.listeners.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        for name in ("m.sock", "a,b.sock", "two words.sock"):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(folder / name))
            (folder / name).chmod(0o600)
            listener.listen()
            self.listeners.append(listener)
        (folder / "link.sock").symlink_to(folder / "m.sock")
        self.connections = 0
        self._tried: dict[str, Reaction] = {}
        self._end, self._ended = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self._ended not in (ready := select.select([*self.listeners, self._ended], [], [])[0]):
            for listener in ready:
                with listener.accept()[0]:  # sendmail waits until the connection is closed
                    self.connections += 1

    def close(self) -> None:
        """Ends the thread and closes the sockets."""
        self._end.close()
        self._thread.join()
        for one in (*self.listeners, self._ended):
            one.close()

    def place(self, spec: str) -> str:
        """The text with this folder and port."""
        return spec.replace("DIR", str(self.folder)).replace("PORT", str(self.port))

    def with_spec(self, spec: str) -> str:
        """The text of the .cf file with this S=."""
        pattern = r"^(Xmiltscan, S=).*?(, F=T, T=.*)$"
        return re.sub(pattern, lambda found: found[1] + spec + found[2], self.text, flags=re.MULTILINE)

    def try_out(self, spec: str) -> Reaction:
        """What sendmail does in a session on standard input; it connects to the filter before its greeting."""
        if spec not in self._tried:
            self._tried[spec] = self._try_out(spec)
        return self._tried[spec]

    def _try_out(self, spec: str) -> Reaction:
        self.configuration.write_text(self.with_spec(spec))
        before = self.connections
        command = [str(preload.program(self.folder)), "-C", str(self.configuration), "-bs"]
        environment = {**os.environ, **preload.environment(self.folder)}
        session = subprocess.run(
            command, input=b"QUIT\r\n", check=False, capture_output=True, env=environment, timeout=60
        )
        return Reaction(session.stdout.startswith(b"220 "), self.connections > before)


@pytest.fixture(scope="module")
def filters() -> Iterator[Filters]:
    """One folder for all forms."""
    with private_folder() as folder:
        found = Filters(folder)
        yield found
        found.close()


ASKS = [
    "unix:DIR/m.sock",
    "local:DIR/m.sock",
    "LOCAL:DIR/m.sock",
    ":DIR/m.sock",
    "DIR/m.sock",
    "unix:DIR/two words.sock",
    '"unix:DIR/a,b.sock"',
    "unix:DIR/a\\,b.sock",
    "inet:PORT@127.0.0.1",
    "INET:PORT@localhost",
    "inet:PORT@localhost.",
    "inet:PORTth@127.0.0.1",
    "inet:PORT @127.1",
    "inet:PORT@2130706433",
    "inet:PORT@0177.0.0.1",
    "inet:PORT@0.0.0.0",
    "inet6:PORT@::1",
    "Inet6:PORT@0:0:0:0:0:0:0:1",
    "inet6:PORT@::",
    "inet6:PORT@::ffff:127.0.0.1",
]
CANNOT_CONNECT = [
    "unix:m.sock",
    "nonsense",
    "unix:",
    "unix: DIR/m.sock",
    "PORT@127.0.0.1",
    "inet:0@127.0.0.1",
    "inet:65536@127.0.0.1",
    "inet:PORT@[127.0.0.1]",
    "inet:PORT@[127.1]",
    "inet6:PORT@[::1]",
    "inet6:PORT@[IPv6:::1]",
]
DOES_NOT_START = [
    "",
    "unix:/" + "x" * 107,
    "tcp:PORT@127.0.0.1",
    "inet4:PORT@127.0.0.1",
    "fd:3",
    "inet:PORT",
    "inet:127.0.0.1:PORT",
    "inet:@127.0.0.1",
    "inet:no-such-service@127.0.0.1",
    "inet: PORT@127.0.0.1",
    "inet:PORT@",
    "inet:PORT@ 127.0.0.1",
    "inet:PORT@::1",
    "inet:PORT@[::1]",
    "inet:PORT@[localhost]",
    "inet:PORT@[]",
    "inet:PORT@[127.0.0.1",
    "inet:PORT@127.0.0.1]",
    "inet:PORT@127.0.0.1@x",
    "inet6:PORT@127.0.0.1",
    "inet6:PORT@[127.0.0.1]",
    "inet6:PORT@IPv6:::1",
    "inet6:PORT@::1%lo",
]


def of_sendmail_cf(filters: Filters, spec: str, listen: str) -> list[Finding]:
    """What doctor finds with this S= and this milter.socket."""
    settings = parse_settings(f"[milter]\nsocket = '{listen}'".encode(), "miltscan.toml")
    return [*filter_findings("incoming.cf", parse_cf(filters.with_spec(spec)), settings.milter.socket, settings.limits)]


@pytest.mark.parametrize(
    ("form", "reaction"),
    [
        *((form, Reaction(starts=True, asks=True)) for form in ASKS),
        *((form, Reaction(starts=True, asks=False)) for form in CANNOT_CONNECT),
        *((form, Reaction(starts=False, asks=False)) for form in DOES_NOT_START),
    ],
)
def test_a_form_is_read_as_sendmail_reads_it(filters: Filters, form: str, reaction: Reaction) -> None:
    """Sendmail and miltscan agree whether sendmail starts with it and asks."""
    spec = filters.place(form)
    assert filters.try_out(spec) == reaction
    (one,) = parse_cf(filters.with_spec(spec)).filters.values()
    read = read_milter_spec(one.socket, service_port)
    assert Reaction(not read.no_start, not read.problem) == reaction


@pytest.mark.parametrize("form", ["inet:http@127.0.0.1", "unix:DIR/absent.sock"])
def test_a_form_without_a_filter_is_correct(filters: Filters, form: str) -> None:
    """Sendmail starts without the filter, and a name of services(5) is a port."""
    spec = filters.place(form)
    assert filters.try_out(spec) == Reaction(starts=True, asks=False)
    assert not read_milter_spec(spec, service_port).problem


@pytest.mark.parametrize("listen", ["inet:PORT@[::1]", "inet:PORT@127.0.0.1"])
@pytest.mark.parametrize("form", [*ASKS, *CANNOT_CONNECT, *DOES_NOT_START])
def test_the_remedies_of_doctor_are_forms_that_ask(filters: Filters, form: str, listen: str) -> None:
    """Sendmail asks the filter with each S= that doctor proposes, and with each S= without a finding."""
    spec = filters.place(form)
    found = of_sendmail_cf(filters, spec, filters.place(listen))
    remedies = [one.remedy for one in found if one.level is not Level.OK]
    proposed = [spec for remedy in remedies for spec in re.findall(r"S=(\S+?)(?:,|$)", remedy)]
    assert len(remedies) == len(proposed) <= 1
    if remedies == ["write S=unix:/PATH or S=inet:PORT@HOST"]:
        return  # nobody can know what was meant
    assert filters.try_out(proposed[0] if proposed else spec) == Reaction(starts=True, asks=True)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("inet:PORT@::1", "sendmail does not start: inet: takes no IPv6 address"),
        ("inet:PORT@[::1]", "sendmail does not start: inet: takes no IPv6 address"),
        ("inet6:PORT@::1", ""),
        ("inet6:PORT@[::1]", "451 for all mail: the address is in brackets"),
        ("inet6:PORT@[IPv6:::1]", "451 for all mail: the address is in brackets"),
        ("inet:PORT@[127.0.0.1]", "451 for all mail: the address is in brackets"),
        ("inet:PORT@127.0.0.1", "does not ask inet:PORT@::1: mail passes unscanned"),
    ],
)
def test_doctor_knows_each_spelling(filters: Filters, form: str, words: str) -> None:
    """Each spelling has one finding with its own consequence, or none."""
    found = of_sendmail_cf(filters, filters.place(form), filters.place("inet:PORT@[::1]"))
    texts = [one.text for one in found if one.level is not Level.OK]
    assert [filters.place(words) in text for text in texts] == [True] * bool(words)
    assert any("asks filter miltscan" in one.text for one in found) is not bool(words)


@pytest.mark.parametrize(
    "option",
    ["inet6:PORT@::1", "inet6:PORT@[::1]", "inet6:PORT@localhost", "inet6:PORT", "inet:PORT", "inet:PORT@[127.0.0.1]"],
)
def test_an_imported_address_asks(filters: Filters, option: str) -> None:
    """Each MilterSocket of clamav-milter becomes a SITE_MILTER with which sendmail asks and doctor finds no fault."""
    draft = draft_clamav_milter(filters.place(f"MilterSocket {option}\n"))
    spec = draft.site["SITE_MILTER"]
    assert filters.try_out(spec) == Reaction(starts=True, asks=True)
    found = of_sendmail_cf(filters, spec, str(draft.settings["milter.socket"]))
    assert [one for one in found if one.level is not Level.OK] == []


def documented() -> list[str]:
    """Each complete S=, SITE_MILTER and SITE_DELIVERY_MILTER in the documentation and in sendmail/."""
    pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md"), *(CHECKOUT / "sendmail").iterdir()]
    texts = [page.read_text() for page in pages if page.is_file()]
    pattern = r"(?<!socket = .)((?:unix|local|inet6?):(?:/[\w./-]+|\d+@[^\s,;`'\"|)]+))"
    ours = "".join(line for text in texts for line in text.splitlines(keepends=True) if re.search("MILTER|S=", line))
    return sorted(set(re.findall(pattern, ours)))


def test_documented_lines_start(filters: Filters) -> None:
    """Sendmail starts with each form in the documentation, even where its filter is not there."""
    forms = documented()
    assert "inet:10025@192.0.2.11" in forms
    for form in forms:
        assert not read_milter_spec(form).problem
        if form.startswith("unix:"):  # a connection to an address of the documentation takes minutes
            assert filters.try_out(form).starts


def test_written_and_read(filters: Filters) -> None:
    """What is written for an address is read as this address."""
    for form in ("unix:DIR/m.sock", "inet:PORT@127.0.0.1", "inet6:PORT@::1"):
        address = read_milter_spec(filters.place(form)).address
        assert address
        assert write_milter_spec(address) == filters.place(form)
