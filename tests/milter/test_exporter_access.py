"""The exporter under attack while mail and scrapes go on; its files at start and reload; what workers do not carry."""

import base64
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.harness.certificates import Authority
from tests.harness.processes import PATIENCE, wait_until
from tests.milter.conftest import Fleet
from tests.milter.daemon import Daemon

HASHED = "joe:$2y$05$WTTddQbV1pswRPfzcs.gcew.OjbCJQl08OgM8SYWkUXia71CzpbIK\n"  # of "correct horse"
TOKEN = "0123456789abcdef"  # noqa: S105 - not anybody's
MEMORY = 64 << 20  # bytes that the worst crowd may add to the exporter
Send = Callable[[socket.socket], object]


def exporter_of(daemon: Daemon) -> psutil.Process:
    """The exporter: of the children the one that listens on TCP."""
    found = [child for child in daemon.children() if _listens(child)]
    assert len(found) == 1
    return found[0]


def _listens(process: psutil.Process) -> bool:
    return any(one.status == psutil.CONN_LISTEN for one in process.net_connections("tcp"))


def basic(password: str) -> bytes:
    """A request of /metrics with this password."""
    value = base64.b64encode(f"joe:{password}".encode())
    return b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " + value + b"\r\n\r\n"


def crowd(daemon: Daemon, sizes: Iterator[bytes]) -> ExitStack:
    """Open connections that have sent these bytes each, and read nothing."""
    with ExitStack() as stack:
        for data in sizes:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", daemon.port), timeout=PATIENCE))
            client.settimeout(0)
            with contextlib.suppress(OSError):
                client.send(data)
        return stack.pop_all()


def attacks() -> Iterator[bytes]:
    """A thousand and more: idle, slow, huge, garbage, half TLS, pipelined, not read, wrong passwords."""
    kinds = (
        b"",
        b"GET /metrics HTTP/1.1\r\nHost: ",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 20_000,
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n" + b"x" * 100_000,
        bytes(range(256)) * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200,
    )
    yield from (b"" for _ in range(400))
    for number in range(90):
        yield from kinds
        yield basic(f"guess {number}")


def scrape(daemon: Daemon) -> bool:
    """Whether a client with the right password gets the metrics."""
    answer = asked(daemon, basic("correct horse"))
    return answer.startswith(b"HTTP/1.1 200 ") and b"miltscan_workers" in answer


def asked(daemon: Daemon, request: bytes) -> bytes:
    """What comes for these bytes until the end; nothing if that is a hard one."""
    address = ("127.0.0.1", daemon.port)
    with contextlib.suppress(ConnectionError), socket.create_connection(address, timeout=PATIENCE) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(65536), b""))
    return b""


def guarded_by(daemon: Daemon, name: str, content: str) -> Daemon:
    """This service, running, with a private file of this name in its folder and in `exporter.NAME_file`."""
    file = daemon.folder / name
    file.write_text(content)
    file.chmod(0o600)
    daemon.settings = {f"exporter.{name}_file": str(file)}
    daemon.start()
    daemon.wait_ready()
    return daemon


def test_an_attack_disturbs_neither_mail_nor_scrapes(own: Fleet) -> None:
    """Mail is accepted and metrics are read while more than a thousand bad clients come; memory stays bounded."""
    daemon = guarded_by(own(), "users", HASHED)
    wait_until(lambda: scrape(daemon), PATIENCE, "a first scrape")
    process = exporter_of(daemon)
    before = process.memory_info().rss
    with crowd(daemon, attacks()):
        assert daemon.send().reply.smtp.startswith(b"250")
        wait_until(lambda: scrape(daemon), PATIENCE, "a scrape")
        assert daemon.send().reply.smtp.startswith(b"250")
        assert process.memory_info().rss - before < MEMORY
        assert process.num_fds() < 120
    wait_until(lambda: process.num_fds() < 40, PATIENCE, "closed connections")
    assert exporter_of(daemon).pid == process.pid
    assert daemon.logged("exception") == []
    assert loaded(process, "_bcrypt")
    assert not loaded(psutil.Process(daemon.running.pid), "_bcrypt")
    assert not any(loaded(child, "_bcrypt") for child in daemon.children() if child.pid != process.pid)


def loaded(process: psutil.Process, library: str) -> bool:
    """Whether the process has mapped a file of this name."""
    return library in Path(f"/proc/{process.pid}/maps").read_text()


def test_a_wrong_certificate_at_the_start(own: Fleet) -> None:
    """One line, status 1, and no socket is left."""
    daemon = own(exporter__certificate="/nowhere/exporter.crt")
    daemon.start()
    assert daemon.ended() == 1
    (line,) = daemon.running.log.read_text().splitlines()
    assert line.startswith("exporter.certificate: /nowhere/exporter.crt: cannot be read by user ")
    assert not (daemon.folder / "sock").exists()


@pytest.fixture
def guarded(own: Fleet) -> Daemon:
    """A running service whose exporter wants a token."""
    return guarded_by(own(), "token", TOKEN)


def status(daemon: Daemon, token: str) -> int:
    """The response to a scraper with this token."""
    answer = asked(daemon, b"GET /metrics HTTP/1.0\r\nAuthorization: Bearer " + token.encode() + b"\r\n\r\n")
    return int(answer.split(b" ")[1])


def test_files_are_read_again_at_a_reload(guarded: Daemon) -> None:
    """A new token counts after it; a file that has become wrong changes nothing, and mail goes on."""
    token, new = guarded.folder / "token", TOKEN[::-1]
    assert (status(guarded, TOKEN), status(guarded, new)) == (200, 401)
    assert guarded.get("/metrics")[0] == 401
    assert guarded.get("/readyz")[1] in {"ok\n", "not ok\n"}
    token.write_text(new)
    guarded.running.signal(signal.SIGHUP)
    wait_until(lambda: (status(guarded, TOKEN), status(guarded, new)) == (401, 200), PATIENCE, "the new token")
    token.chmod(0o666)
    guarded.running.signal(signal.SIGHUP)
    (line,) = guarded.wait_logged("reload_failed")
    assert line["why"] == [
        f"exporter.token_file: {token}: mode 0666 lets others read or write it; run: chmod u=rw,g=r,o= {token}"
    ]
    assert status(guarded, new) == 200
    assert guarded.send().reply.smtp.startswith(b"250")


def test_tls_begins_and_ends_with_a_reload(guarded: Daemon, tmp_path: Path) -> None:
    """No restart is needed for a certificate, a list of networks or other files."""
    certificate, key = Authority(tmp_path / "ca").issue("server")
    guarded.write(exporter__certificate=str(certificate), exporter__key=str(key))
    guarded.running.signal(signal.SIGHUP)
    assert guarded.wait_logged("reload")[-1]["needs_restart"] == []
    wait_until(lambda: not heard(guarded), PATIENCE, "TLS")
    guarded.write()
    guarded.running.signal(signal.SIGHUP)
    wait_until(lambda: heard(guarded), PATIENCE, "clear text")
    guarded.write(exporter__allow=["192.0.2.1"])
    guarded.running.signal(signal.SIGHUP)
    wait_until(lambda: not heard(guarded), PATIENCE, "the list of networks")


def heard(daemon: Daemon) -> bool:
    """Whether HTTP in clear text is answered."""
    return asked(daemon, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP")
