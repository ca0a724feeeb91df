"""The steps with missing files or hosts; tests/e2e/test_doctor.py has the complete path."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from miltscan.config.settings import Settings
from miltscan.core.address import InetAddress, UnixAddress
from miltscan.core.finding import Diagnosis, Finding, Level, ok
from miltscan.doctor import steps
from miltscan.doctor.ports import greeting_finding, milter_findings, negotiation_finding
from miltscan.doctor.send import Route
from miltscan.doctor.steps import DoctorOptions, Step, examine
from tests.harness.certificates import Authority
from tests.unit.doctor.support import INCOMING


@contextmanager
def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port that sends its first client this answer, over TLS if there is a context."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with tls.wrap_socket(client, server_side=True) if tls else client as client:
                client.sendall(answer)
                client.recv(512)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("answer", "level", "text"),
    [
        (b"220 mx.example.org ESMTP\r\n", Level.OK, "greets with 220 mx.example.org ESMTP"),
        (b"554 no\r\n", Level.ERROR, "greets with 554 no"),
        (b"\xff\r\n", Level.ERROR, "greets with \ufffd"),
    ],
)
def test_greetings(answer: bytes, level: Level, text: str) -> None:
    """Only 220 is a greeting."""
    with answering(answer) as port:
        finding = greeting_finding("a", "127.0.0.1", port)
    assert (finding.level, finding.text) == (level, text)


def test_a_port_that_begins_with_tls(tmp_path: Path) -> None:
    """The greeting of a port such as 465 (M=s) follows TLS, with any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path / "ca").issue("mx"))
    with answering(b"220 mx.example.org ESMTP\r\n", context) as port:
        assert greeting_finding("a", "127.0.0.1", port, tls=True).level is Level.OK


@pytest.mark.parametrize(("answer", "level"), [(b"\0\0\0\x0dO", Level.OK), (b"220 mx\r\n", Level.ERROR)])
def test_the_first_step_of_the_milter_protocol(answer: bytes, level: Level) -> None:
    """An SMTP server is not a filter."""
    with answering(answer) as port:
        assert negotiation_finding("a", InetAddress("127.0.0.1", port)).level is level


def test_a_socket_without_a_listener(tmp_path: Path) -> None:
    """The listener and the answer each have a finding."""
    found = [*milter_findings(UnixAddress(str(tmp_path / "absent")))]
    assert [(one.level, one.text.partition(":")[0]) for one in found] == [
        ("error", "no process listens on it"),
        ("error", "no answer"),
    ]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the step with the engines and folders by an empty one."""
    monkeypatch.setattr("miltscan.doctor.check.check_findings", lambda _, **__: iter(()))
    monkeypatch.setattr(steps, "access_findings", lambda _: iter(()))


def of(steps: Iterator[Step], title: str) -> list[Finding]:
    """The findings of one step."""
    return [finding for step in steps for finding in step.findings if step.title == title]


@pytest.mark.usefixtures("quiet")
def test_without_any_file(tmp_path: Path) -> None:
    """Each missing file is an error; the steps that need both files, or send, are left out."""
    steps = [*examine(Settings(), DoctorOptions(tmp_path / "i.cf", tmp_path / "d.cf", "postmaster"))]
    assert [step.title for step in steps] == [
        "host",
        "incoming sendmail",
        "miltscan",
        "engines and folders",
        "delivery sendmail",
    ]
    for name, title in (("i", "incoming sendmail"), ("d", "delivery sendmail")):
        (found,) = of(iter(steps), title)
        assert (found.level, found.text) == (Level.ERROR, f"{tmp_path}/{name}.cf: No such file or directory")


@pytest.mark.usefixtures("quiet")
def test_a_delivery_sendmail_on_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its file is not expected here, but its greeting is."""
    asked = []

    def greeting(_subject: str, host: str, port: int, **_: bool) -> Finding:
        asked.append((host, port))
        return ok("a", "b")

    monkeypatch.setattr("miltscan.doctor.ports.greeting_finding", greeting)
    (tmp_path / "i.cf").write_text(INCOMING.replace("[127.0.0.1]", "[192.0.2.1]").replace("Port=smtp", "Port=2"))
    steps = examine(Settings(), DoctorOptions(tmp_path / "i.cf", tmp_path / "d.cf"))
    found = of(steps, "delivery sendmail")
    assert [one.text for one in found] == ["on [192.0.2.1]: run miltscan doctor there, too", "b"]
    assert asked[-1] == ("192.0.2.1", 19000)


@pytest.mark.usefixtures("quiet")
def test_a_user_that_does_not_exist(tmp_path: Path) -> None:
    """An unknown RunAsUser is an error, and its rights have no finding."""
    (tmp_path / "i.cf").write_text(f"{INCOMING}O RunAsUser=no-such-user\n".replace("Port=smtp", "Port=2"))
    found = of(examine(Settings(), DoctorOptions(tmp_path / "i.cf", tmp_path / "d.cf")), "incoming sendmail")
    assert "no-such-user: no such user or group" in [one.text for one in found]


def test_the_file_of_incoming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is incoming.cf, or if it is missing, the file that sendmail reads by default."""
    files = tmp_path / "incoming.cf", tmp_path / "sendmail.cf"
    monkeypatch.setattr(steps, "INCOMING_FILES", files)
    assert steps.first_incoming() == files[0]
    files[1].touch()
    assert steps.first_incoming() == files[1]
    files[0].touch()
    assert steps.first_incoming() == files[0]


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize(("recipient", "sent"), [(None, []), ("postmaster", [("127.0.0.1", 2, "postmaster")])])
def test_messages_are_sent_to_a_recipient_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipient: str | None, sent: list[tuple[str, int, str]]
) -> None:
    """Without a recipient no message is sent."""
    calls: list[tuple[str, int, str]] = []

    def send_findings(route: Route, *_: object) -> list[Finding]:
        calls.append((*route.server, route.recipient))
        return []

    monkeypatch.setattr("miltscan.doctor.send.send_findings", send_findings)
    (tmp_path / "i.cf").write_text(INCOMING.replace("Addr=0.0.0.0, Port=smtp", "Addr=127.0.0.1, Port=2"))
    assert [*examine(Settings(), DoctorOptions(tmp_path / "i.cf", tmp_path / "d.cf", recipient))]
    assert calls == sent


@pytest.mark.usefixtures("quiet")
def test_a_sendmail_that_cannot_start_is_one_fault(tmp_path: Path) -> None:
    """The missing listener, greeting, pid file and queue run follow from the S= of a filter."""
    text = INCOMING.replace("S=unix:/run/miltscan/miltscan.sock", "S=inet:2@::1").replace("Port=smtp", "Port=2")
    (tmp_path / "i.cf").write_text(text)
    diagnosis = Diagnosis()
    for step in examine(Settings(), DoctorOptions(tmp_path / "i.cf", tmp_path / "d.cf")):
        for finding in step.findings if step.title == "incoming sendmail" else ():
            diagnosis.add(0, finding)
    subjects = [finding.subject for finding, _ in diagnosis.repairs()]
    assert f"{tmp_path}/i.cf filter miltscan S=" in subjects
    assert not [one for one in subjects if one.startswith(("incoming port", "incoming pid file", "incoming queue run"))]
