"""A real Prometheus scrapes a real miltscan as in docs/access.md: by TLS, with password, token or certificate."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import bcrypt
import pytest

from tests.fakes.clamd import FakeClamd
from tests.harness.certificates import Authority
from tests.harness.processes import PATIENCE, wait_until
from tests.harness.prometheus import Prometheus
from tests.milter.daemon import CHECKOUT, Daemon

PASSWORD, TOKEN = "correct horse", "0123456789abcdef"
DOCUMENTED = ("password", "token", "certificate")
ADDRESS = "scanner1.example.org:9464"


def documented_jobs() -> list[str]:
    """The scrapes of docs/access.md: the text below each `scrape_configs:`."""
    text = (CHECKOUT / "docs" / "access.md").read_text()
    return re.findall(r"^    scrape_configs:\n((?:      .*\n)+)", text, re.MULTILINE)


def as_job(name: str, text: str, folder: Path, port: int) -> str:
    """A documented scrape of our port, with our files."""
    text = text.replace("/etc/prometheus/", f"{folder}/").replace(ADDRESS, f"127.0.0.1:{port}")
    return text.replace("job_name: miltscan", f"job_name: {name}")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, for the unix sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="miltscan-"))
    yield folder
    shutil.rmtree(folder)


def prepare(folder: Path, authority: Authority) -> dict[str, object]:
    """The files of both sides; the settings of miltscan's."""
    shutil.copy(authority.certificate, folder / "miltscan-ca.crt")
    for theirs, ours in zip(("client.crt", "client.key"), authority.issue("client"), strict=True):
        shutil.copy(ours, folder / theirs)
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(6)).replace(b"$2b$", b"$2y$", 1)
    secrets = {"miltscan.password": PASSWORD, "miltscan.token": TOKEN, "users": f"prometheus:{hashed.decode()}\n"}
    for name, text in secrets.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    certificate, key = authority.issue("server")
    return {
        "exporter.certificate": str(certificate),
        "exporter.key": str(key),
        "exporter.users_file": str(folder / "users"),
        "exporter.token_file": str(folder / "miltscan.token"),
    }


@pytest.fixture(scope="module")
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """It scrapes two services, one with credentials and one with a client CA, and both without what they ask for."""
    authority = Authority(folder / "ca")
    settings = prepare(folder, authority)
    client_ca = {name: settings[name] for name in ("exporter.certificate", "exporter.key")}
    client_ca["exporter.client_ca"] = str(authority.certificate)
    with ExitStack() as stack:
        ports = [_service(stack, folder / "a", settings).port, _service(stack, folder / "b", client_ca).port]
        good = [
            as_job(name, text, folder, ports[name == "certificate"])
            for name, text in zip(DOCUMENTED, documented_jobs(), strict=True)
        ]
        bad = [
            _bare("anonymous", f"scheme: https, tls_config: {{ca_file: {authority.certificate}}}", ports[0]),
            _bare("clear", "scheme: http", ports[0]),
            _bare("stranger", f"scheme: https, tls_config: {{ca_file: {authority.certificate}}}", ports[1]),
            _bare("distrust", f"scheme: https, authorization: {{credentials: {TOKEN}}}", ports[0]),
        ]
        (folder / "p").mkdir()
        daemon = Daemon(folder / "p", stack.enter_context(FakeClamd.unix(folder / "p" / "clamd")))
        stack.callback(daemon.end)
        yield Prometheus.start(daemon.programs, 0, "\n" + "".join(good + bad))


def _bare(name: str, how: str, port: int) -> str:
    target = f'static_configs: [{{targets: ["127.0.0.1:{port}"]}}]'
    return f"      - {{job_name: {name}, {how}, {target}}}\n"


def _service(stack: ExitStack, folder: Path, settings: dict[str, object]) -> Daemon:
    folder.mkdir()
    daemon = Daemon(folder, stack.enter_context(FakeClamd.unix(folder / "clamd")), settings)
    stack.callback(daemon.end)
    daemon.start()
    daemon.wait_ready()
    return daemon


@pytest.mark.parametrize("job", DOCUMENTED)
def test_prometheus_scrapes_as_documented(prometheus: Prometheus, job: str) -> None:
    """With the documented job the target is up, and the metrics are there."""
    wait_until(lambda: prometheus.query(f'up{{job="{job}"}}') == [1.0], PATIENCE, f"{job} up")
    wait_until(lambda: prometheus.query(f'miltscan_workers{{job="{job}"}}') == [1.0], PATIENCE, "its metrics")


@pytest.mark.parametrize("job", ["anonymous", "clear", "stranger", "distrust"])
def test_prometheus_needs_what_is_asked(prometheus: Prometheus, job: str) -> None:
    """Without credentials, TLS, a certificate or the CA the target is down."""
    wait_until(lambda: prometheus.query(f'up{{job="{job}"}}') == [0.0], PATIENCE, f"{job} down")
    assert prometheus.query(f'miltscan_workers{{job="{job}"}}') == []


def test_refusals_are_counted(prometheus: Prometheus) -> None:
    """Refusals are counted by reason, so that those with access see why another scraper has none."""
    for reason in ("credentials", "tls"):
        query = f'miltscan_http_refused_total{{job="token",reason="{reason}"}} > 0'
        wait_until(lambda query=query: prometheus.query(query), PATIENCE, query)  # type: ignore[misc]
