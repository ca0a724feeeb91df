"""Who may connect to the exporter: networks, certificate, users and tokens, and a line for each fault of a file."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.config.tables import ExporterSettings
from miltscan.core.finding import Level
from miltscan.doctor.exporter_check import exporter_findings
from miltscan.errors import StartError
from miltscan.exporter.access import faults, known_hosts, load_access
from tests.harness.certificates import Authority

USERS = "joe:$2y$05$WTTddQbV1pswRPfzcs.gcew.OjbCJQl08OgM8SYWkUXia71CzpbIK\n"
TOKEN = "0123456789abcdef\n"  # noqa: S105 - not one of anybody's


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a CA and a server certificate that it issued."""
    made = Authority(tmp_path_factory.mktemp("ca"))
    made.issue("server")
    return made


def exporter(**values: object) -> ExporterSettings:
    """Return the exporter's settings with these keys."""
    return Settings.model_validate({"exporter": values}).exporter


def secret(path: Path, text: str, mode: int = 0o640) -> str:
    """Make a file that others may not read."""
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("allow", "peer", "admitted"),
    [
        (None, "127.0.0.1", True),
        (None, "127.9.9.9", True),
        (None, "::1", True),
        (None, "::ffff:127.0.0.1", True),
        (None, "192.0.2.1", False),
        (None, "fe80::1%eth0", False),
        (["192.0.2.0/24"], "192.0.2.255", True),
        (["192.0.2.0/24"], "::ffff:192.0.2.9", True),
        (["192.0.2.0/24"], "192.0.3.0", False),
        (["192.0.2.0/24"], "127.0.0.1", False),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
    ],
)
def test_networks(allow: list[str] | None, peer: str, *, admitted: bool) -> None:
    """Loopback is admitted by default, and a list replaces that."""
    assert load_access(exporter(**({"allow": allow} if allow else {}))).admits(peer) is admitted


def test_all_of_it(authority: Authority, tmp_path: Path) -> None:
    """Certificate, CA, users and tokens are loaded from correct files."""
    certificate, key = authority.issue("server")
    access = load_access(
        exporter(
            certificate=str(certificate),
            key=str(key),
            client_ca=str(authority.certificate),
            users_file=secret(tmp_path / "users", USERS),
            token_file=secret(tmp_path / "token", TOKEN, 0o400),
        )
    )
    assert access.tls
    assert (access.tls.minimum_version.name, access.tls.verify_mode.name) == ("TLSv1_2", "CERT_REQUIRED")
    assert access.credentials.schemes == ["Basic", "Bearer"]


def test_certificate_and_key_in_one_file(authority: Authority, tmp_path: Path) -> None:
    """Certificate and key may be in one file, which is then a secret."""
    certificate, key = authority.issue("server")
    both = Path(secret(tmp_path / "both.pem", certificate.read_text() + key.read_text()))
    assert load_access(exporter(certificate=str(both))).tls
    both.chmod(0o644)
    assert faults(exporter(certificate=str(both))) == [
        f"exporter.certificate: {both}: mode 0644 lets others read or write it; run: chmod u=rw,g=r,o= {both}"
    ]


def _good(authority: Authority, **values: str) -> dict[str, object]:
    certificate, key = authority.folder / "server.crt", authority.folder / "server.key"
    return {"certificate": str(certificate), "key": str(key), **values}


def _bytes(path: Path) -> str:
    path.write_bytes(b"\xff")
    path.chmod(0o600)
    return str(path)


FAULTS: Mapping[str, tuple[Callable[[Authority, Path], dict[str, object]], str]] = {
    "no users file": (
        lambda _ca, tmp: {"users_file": f"{tmp}/absent"},
        r"exporter\.users_file: /\S+/absent: cannot be read by user \d+: no such file or directory",
    ),
    "a folder": (
        lambda _ca, tmp: {"token_file": str(tmp)},
        r"exporter\.token_file: /\S+: cannot be read by user \d+: is a directory",
    ),
    "a device": (
        lambda _ca, _tmp: {"token_file": "/dev/zero"},
        r"exporter\.token_file: /dev/zero: expected a regular file of at most 1 MiB",
    ),
    "a large file": (
        lambda _ca, tmp: {"token_file": secret(tmp / "t", "#" * 2_000_000)},
        r"exporter\.token_file: /\S+: expected a regular file of at most 1 MiB",
    ),
    "a secret for all": (
        lambda _ca, tmp: {"token_file": secret(tmp / "t", TOKEN, 0o644)},
        r"exporter\.token_file: (/\S+): mode 0644 lets others read or write it; run: chmod u=rw,g=r,o= \1",
    ),
    "a group that writes": (
        lambda _ca, tmp: {"users_file": secret(tmp / "u", USERS, 0o660)},
        r"exporter\.users_file: (/\S+): mode 0660 lets others read or write it; run: chmod u=rw,g=r,o= \1",
    ),
    "no bcrypt": (
        lambda _ca, tmp: {"users_file": secret(tmp / "u", "joe:secret")},
        r"exporter\.users_file: /\S+: line 1: expected a bcrypt hash\. Make it with htpasswd -B\.",
    ),
    "no UTF-8": (
        lambda _ca, tmp: {"token_file": _bytes(tmp / "t")},
        r"exporter\.token_file: /\S+: expected UTF-8",
    ),
    "no certificate": (
        lambda ca, tmp: _good(ca, certificate=f"{tmp}/absent"),
        r"exporter\.certificate: /\S+/absent: cannot be read by user \d+: no such file or directory",
    ),
    "no key": (
        lambda ca, tmp: _good(ca, key=f"{tmp}/absent"),
        r"exporter\.key: /\S+/absent: cannot be read by user \d+: no such file or directory",
    ),
    "a certificate without its key": (
        lambda ca, tmp: {"certificate": secret(tmp / "c", (ca.folder / "server.crt").read_text())},
        r"exporter\.certificate: (/\S+) and \1: expected a certificate and its key in PEM form \(.+\)",
    ),
    "garbage": (
        lambda ca, tmp: _good(ca, certificate=secret(tmp / "c", "garbage")),
        r"exporter\.certificate: /\S+ and /\S+: expected a certificate and its key in PEM form \(.+\)",
    ),
    "another's key": (
        lambda ca, _tmp: _good(ca, key=str(ca.issue("other")[1])),
        r"exporter\.certificate: /\S+ and /\S+other\.key do not belong together",
    ),
    "a passphrase": (
        lambda ca, _tmp: {
            name: str(path) for name, path in zip(("certificate", "key"), ca.locked("locked"), strict=True)
        },
        r"exporter\.certificate: /\S+locked\.key has a passphrase\. Remove it: openssl pkey -in /\S+ -out /\S+",
    ),
    "no CA": (
        lambda ca, tmp: _good(ca, client_ca=secret(tmp / "ca", "garbage")),
        r"exporter\.client_ca: /\S+: expected certificates in PEM form \([A-Z_]+\)",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_one_line(case: str, authority: Authority, tmp_path: Path) -> None:
    """Start, reload and check report a fault in one line with the key and the file."""
    values, expected = FAULTS[case]
    settings = exporter(**values(authority, tmp_path))
    with pytest.raises(StartError, match=rf"^{expected}$") as caught:
        load_access(settings)
    assert faults(settings) == [str(caught.value)]
    (found,) = exporter_findings(settings)
    assert (found.level, f"{found.subject}: {found.text}") == (Level.ERROR, str(caught.value))


def test_all_faults_come_at_once() -> None:
    """All faults are reported at once, so that one start finds them all."""
    found = faults(exporter(users_file="/a", token_file="/b", certificate="/c"))  # noqa: S106
    assert [line.partition(":")[0] for line in found] == [
        "exporter.users_file",
        "exporter.token_file",
        "exporter.certificate",
    ]


@pytest.mark.parametrize(
    ("listen", "allow", "has", "said"),
    [
        ("off", [], "", ["ok exporter.listen: is off"]),
        ("127.0.0.1:9464", [], "", ["ok exporter.listen: inet:9464@127.0.0.1: no TLS, no authentication"]),
        ("[::1]:9464", [], "u", ["ok exporter.listen: inet:9464@::1: no TLS, requires a password"]),
        ("0.0.0.0:9464", [], "", ["inet:9464@0.0.0.0 can be reached by other hosts, but the list names none"]),
        (
            "0.0.0.0:9464",
            ["192.0.2.7"],
            "",
            ["any client in 192.0.2.7/32 can read everything, in clear text and without credentials"],
        ),
        ("0.0.0.0:9464", ["192.0.2.7"], "ut", ["192.0.2.7/32 sends passwords and tokens in clear text"]),
        ("0.0.0.0:9464", ["192.0.2.7"], "c", ["ok exporter.listen: inet:9464@0.0.0.0: TLS, no authentication"]),
        ("0.0.0.0:9464", ["0.0.0.0/0"], "c", ["any client can read everything"]),
        (
            "0.0.0.0:9464",
            ["0.0.0.0/0"],
            "cut",
            ["ok exporter.listen: inet:9464@0.0.0.0: TLS, requires a password or a token"],
        ),
        (
            "0.0.0.0:9464",
            ["::/0"],
            "cat",
            ["ok exporter.listen: inet:9464@0.0.0.0: TLS, requires a client certificate and a token"],
        ),
    ],
)
def test_what_the_check_says(  # noqa: PLR0913, PLR0917 - a column each
    authority: Authority, tmp_path: Path, listen: str, allow: list[str], has: str, said: list[str]
) -> None:
    """The check warns if other hosts can read too much, and not about loopback."""
    values: dict[str, dict[str, object]] = {
        "c": {"certificate": authority.folder / "server.crt", "key": authority.folder / "server.key"},
        "a": {"client_ca": authority.certificate},
        "u": {"users_file": secret(tmp_path / "users", USERS)},
        "t": {"token_file": secret(tmp_path / "token", TOKEN)},
    }
    table: dict[str, object] = {"listen": listen, **({"allow": allow} if allow else {})}
    for letter in has:
        table |= {name: str(file) for name, file in values[letter].items()}
    findings = [*exporter_findings(exporter(**table))]
    assert all(finding.remedy for finding in findings if finding.level is not Level.OK)
    shown = [
        f"ok {finding.subject}: {finding.text}" if finding.level is Level.OK else finding.text for finding in findings
    ]
    assert shown[-1:] == said
    assert {finding.level for finding in findings} <= {Level.OK, Level.WARNING}


def test_a_ca_that_others_may_change_is_refused(authority: Authority, tmp_path: Path) -> None:
    """The file is not secret, but who changes it decides which clients may connect."""
    ca = tmp_path / "ca.crt"
    ca.write_text(Path(authority.certificate).read_text())
    server = {"certificate": str(authority.folder / "server.crt"), "key": str(authority.folder / "server.key")}
    ca.chmod(0o644)
    assert faults(exporter(**server, client_ca=str(ca))) == []
    ca.chmod(0o666)
    assert faults(exporter(**server, client_ca=str(ca))) == [
        f"exporter.client_ca: {ca} has mode 0666: others may change it; run: chmod go-w {ca}"
    ]


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        (
            "",
            (
                "clients may use an address, a name of this host such as {host}, mx.example.test; "
                "the exporter refuses other names"
            ),
        ),
        ("u", None),
        ("c", None),
    ],
)
def test_the_check_names_the_hosts(authority: Authority, tmp_path: Path, has: str, expected: str | None) -> None:
    """Names matter only where neither TLS nor credentials keep pages of other sites out."""
    table: dict[str, object] = {"hosts": ["mx.example.test"]}
    if has == "u":
        table["users_file"] = secret(tmp_path / "users", USERS)
    if has == "c":
        table |= {"certificate": str(authority.folder / "server.crt"), "key": str(authority.folder / "server.key")}
    found = exporter(**table)
    texts = [one.text for one in exporter_findings(found) if one.subject == "exporter.hosts"]
    assert texts == ([expected.format(host=socket.gethostname())] if expected else [])
    assert (known_hosts(found) is None) == (expected is None)


def test_a_key_alone_is_a_mistake() -> None:
    """A key without a certificate is a mistake, because it suggests TLS that is not there."""
    with pytest.raises(Exception, match=r"exporter\.client_ca: requires exporter\.certificate"):
        parse_settings(b'[exporter]\nclient_ca = "/ca.pem"', "f")
