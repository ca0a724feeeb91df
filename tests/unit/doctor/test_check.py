"""What `miltscan check` finds in the surroundings of the service."""

import grp
import os
import time
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.config.thresholds import ThresholdSettings
from miltscan.core.finding import Diagnosis, Level, ok, warning
from miltscan.doctor import check
from miltscan.doctor.running import waiting_findings
from miltscan.engines.clamd import local
from tests.harness import ports
from tests.unit.doctor.support import DAY, NOW, bad_subjects, works


def settings(text: str) -> Settings:
    """The settings of a file."""
    return parse_settings(text.encode(), "f")


def test_a_finding_is_one_clean_line() -> None:
    """A finding prints level, subject, text and remedy, with control characters as escapes."""
    line = str(warning("clamd a", "bad\x1b[2J", "cure it"))
    assert line == r"warning  clamd a: bad\x1b[2J; cure it"
    assert str(ok("clamd a", "fine")) == "ok       clamd a: fine"


def private_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as safe, although tests run below /tmp."""
    monkeypatch.setattr(check, "folders_above", lambda _path: [])
    return tmp_path


def folder_faults(path: Path) -> list[tuple[str, str]]:
    """Level and subject of the faults of a socket's folder."""
    return bad_subjects(check.socket_folder_findings("milter.socket", path))


def test_a_good_socket_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that exists, is writable and is safe has no error."""
    assert folder_faults(private_folder(tmp_path, monkeypatch) / "sock") == []


def test_a_missing_socket_folder_is_an_error(tmp_path: Path) -> None:
    """Without the folder the service cannot bind its socket."""
    assert folder_faults(tmp_path / "absent" / "sock") == [("error", "milter.socket")]


def test_a_file_in_the_place_of_the_socket_folder_is_an_error(tmp_path: Path) -> None:
    """A file in the place of the folder, or of a folder above it, is one error."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "sock", tmp_path / "file" / "folder" / "sock"):
        assert folder_faults(path) == [("error", "milter.socket")]


@pytest.mark.parametrize("closed", ["run", "run/sock"])
def test_an_unreadable_socket_folder_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """A user who may not inspect the folder or the socket gets one line with that reason."""
    real = Path.stat

    def stat_of(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == tmp_path / closed:
            raise PermissionError(13, "Permission denied")
        return real(path, follow_symlinks=follow_symlinks)

    (private_folder(tmp_path, monkeypatch) / "run").mkdir()
    monkeypatch.setattr(Path, "stat", stat_of)
    (finding,) = check.socket_folder_findings("milter.socket", tmp_path / "run" / "sock")
    assert (finding.level, finding.subject) == (Level.ERROR, "milter.socket")
    assert finding.text == f"user {os.geteuid()} cannot inspect folder {tmp_path}/run: Permission denied"


def test_a_world_writable_folder_above_the_socket_is_an_error(tmp_path: Path) -> None:
    """Sendmail refuses such a socket, however far above it the folder is."""
    middle = tmp_path / "middle"
    (middle / "run").mkdir(parents=True)
    middle.chmod(0o777)
    found = [finding.text for finding in check.socket_folder_findings("milter.socket", middle / "run" / "sock")]
    assert f"{middle} is world-writable: sendmail refuses a socket below it" in found


def test_a_file_in_the_place_of_the_socket_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not a socket is reported, as miltscan may not remove it."""
    (private_folder(tmp_path, monkeypatch) / "sock").touch()
    assert folder_faults(tmp_path / "sock") == [("error", "milter.socket")]


@pytest.mark.parametrize(
    ("host", "allow", "subjects"),
    [
        *((host, '["127.0.0.1"]', []) for host in ("127.0.0.1", "localhost", "[::1]")),
        ("192.0.2.11", '["192.0.2.1"]', ["milter.socket"]),
        ("mx.example.test", '["127.0.0.0/8", "192.0.2.0/24"]', ["milter.socket"]),
        ("192.0.2.11", '["127.0.0.0/8", "::1"]', ["milter.allow"]),
        ("192.0.2.11", '["192.0.2.1", "0.0.0.0/0"]', ["milter.allow"]),
    ],
)
def test_a_tcp_socket_for_other_hosts_is_a_warning(host: str, allow: str, subjects: list[str]) -> None:
    """The milter protocol is not encrypted; a list without other hosts, or with all of them, is a mistake."""
    milter = settings(f'[milter]\nsocket = "inet:7357@{host}"\nallow = {allow}').milter
    found = bad_subjects(check.listen_findings("milter.socket", milter.socket, milter.allow))
    assert found == [("warning", subject) for subject in subjects]


def test_a_group_has_to_exist() -> None:
    """An empty name and a group of this user are ok, an unknown group is an error."""
    ours = grp.getgrgid(os.getegid()).gr_name
    assert [bad_subjects(check.group_findings(name)) for name in ("", ours, "no-such-group")] == [
        [],
        [],
        [("error", "milter.socket_group")],
    ]


def test_a_spool_folder_takes_unnamed_files(tmp_path: Path) -> None:
    """A folder that refuses unnamed files, or does not exist, is an error."""
    small = settings("[limits]\nmessage_size = '1KiB'\nconcurrent_scans = 1")
    assert bad_subjects(check.spool_findings(tmp_path, small)) == []
    assert bad_subjects(check.spool_findings(tmp_path / "absent", small)) == [("error", "spool.directory")]
    assert bad_subjects(check.spool_findings(Path("/proc"), small)) == [("error", "spool.directory")]


ALL_SCANS = 40 * 100 * 2**20  # bytes of limits.concurrent_scans messages of limits.message_size


@pytest.mark.parametrize(
    ("free", "level"), [(ALL_SCANS, Level.OK), (ALL_SCANS - 1, Level.WARNING), (2**20, Level.ERROR)]
)
def test_the_spool_needs_room(free: int, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Less room than 40 messages of 100 MiB need is a warning, less than one needs is an error."""
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result([1, 1, free, free, free, 0, 0, 0, 0, 255]))
    (finding,) = check.spool_findings(tmp_path, Settings())
    assert finding.level is level


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        ("", []),
        ('[policy]\non_infected = "accept"', ["policy.on_infected"]),
        ('[policy]\non_error = "discard"', ["policy.on_error"]),
        ('[policy]\non_error = "accept"', ["policy.on_error"]),
        ('engine = [{type = "clamd", on_error = "accept"}]', ["on_error of engine clamd"]),
        ('engine = [{type = "clamd"}, {type = "clamd", name = "b", required = false, on_error = "accept"}]', []),
        ('[headers]\nmode = "none"', ["policy.on_unscanned.encrypted", "policy.on_unscanned.allowed"]),
        ('[policy.on_unscanned]\ntoo_large = "tempfail"', ["policy.on_unscanned.too_large"]),
        ('[policy.on_unscanned]\nbusy = "accept"', []),
    ],
)
def test_risky_choices_are_warnings(text: str, subjects: list[str]) -> None:
    """Accepted infected mail, lost mail, unmarked unscanned mail and an endless tempfail are warnings."""
    assert bad_subjects(check.policy_findings(settings(text))) == [("warning", subject) for subject in subjects]


def test_old_mail_is_one_warning(tmp_path: Path) -> None:
    """`check` warns above the threshold of the site; `doctor`, which looks at the queue itself, lists it once."""
    (tmp_path / "qfA").touch()
    os.utime(tmp_path / "qfA", (time.time() - 700, time.time() - 700))
    queues = {"incoming": str(tmp_path)}
    assert [one.level for one in check.queue_depth_findings(queues, {"incoming": 800})] == [Level.OK]
    readable, old = check.queue_depth_findings(queues, {"incoming": 600})
    assert (readable.level, old.line) == (Level.OK, "incoming queue: waiting messages: 1, the oldest for 0.2 hours")
    report = Diagnosis()
    for found in (old, *waiting_findings("incoming", str(tmp_path), time.time(), 600)):
        report.add(0, found)
    assert len(report.repairs()) == 1


@pytest.mark.parametrize(
    ("path", "level", "text"),
    [
        ("{folder}", Level.OK, "{folder} is readable; waiting messages: 2"),
        ("{folder}/gone", Level.WARNING, "{folder}/gone does not exist: its metrics are missing"),
        ("{folder}/qfA", Level.WARNING, "{folder}/qfA is not readable: Not a directory; its metrics are missing"),
    ],
)
def test_a_queue_that_cannot_be_measured_is_a_warning(tmp_path: Path, path: str, level: Level, text: str) -> None:
    """Such a queue costs metrics, not mail; an empty path has no finding."""
    for name in ("qfA", "qfB"):
        (tmp_path / name).touch()
    queues = {"incoming": path.format(folder=tmp_path), "delivery": ""}
    (found,) = check.queue_depth_findings(queues, ThresholdSettings().queue_age)
    assert (found.level, found.subject, found.text) == (level, "queues.incoming", text.format(folder=tmp_path))


def test_check_reports_each_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Working surroundings have no fault; with every server down there is one error."""
    folder = private_folder(tmp_path, monkeypatch)
    monkeypatch.setattr(local, "DEFAULT_FILE", folder / "clamd.conf")
    monkeypatch.setattr(check, "service_user", lambda _settings: 65534)
    (folder / "clamd.conf").write_text(
        f"AlertExceedsMax yes\nAlertEncrypted yes\nMaxScanTime 50000\nMaxScanSize 1M\nTemporaryDirectory {folder}\n"
    )
    monkeypatch.setattr(time, "time", lambda: NOW + DAY)
    configured = settings(f"""
        [milter]
        socket = "unix:{folder}/sock"
        [spool]
        directory = "{folder}"
        [clamd]
        servers = ["unix:{folder}/ctl"]
        [limits]
        message_size = "1KiB"
        [queues]
        incoming = "{folder}"
        delivery = ""
        [exporter]
        listen = "127.0.0.1:{ports.choose().number}"
    """)
    assert bad_subjects(check.check_findings(configured, works)) == []
    assert bad_subjects(check.check_findings(configured, lambda *_: None)) == [("error", f"clamd unix:{folder}/ctl")]


def test_traces_without_their_packages_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service also runs without them; without an endpoint there is no finding."""
    assert [*check.tracing_findings("")] == []
    monkeypatch.setattr("miltscan.telemetry.traces.find_spec", lambda _name: True)
    (fine,) = check.tracing_findings("http://a/v1/traces")
    assert str(fine) == "ok       tracing.endpoint: miltscan sends traces to http://a/v1/traces"
    monkeypatch.setattr("miltscan.telemetry.traces.find_spec", lambda _name: None)
    (finding,) = check.tracing_findings("http://a/v1/traces")
    assert (finding.level, finding.subject) == (Level.WARNING, "tracing.endpoint")
    assert finding.text == "OpenTelemetry is not installed: no message is traced"
    assert finding.remedy == "run: pip install --no-build-isolation --require-hashes -r deploy/requirements-otel.txt"


def trust(folder: Path, text: str = "") -> list[str]:
    """The findings about the user of the service and about the file of its settings."""
    file = folder / "miltscan.toml"
    file.write_text(f"spool.directory = '{folder}'\n{text}")
    return [str(one) for one in check.trust_findings(settings(file.read_text()), file)]


def test_a_service_that_runs_as_root_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flaw in such a service would expose the whole host."""
    monkeypatch.setattr(check, "service_user", lambda _settings: 0)
    (found, *_) = trust(tmp_path)
    assert found.startswith("warning  user: miltscan runs as root, the owner of spool.directory")
    monkeypatch.setattr(check, "service_user", lambda _settings: os.geteuid() or 65534)
    assert trust(tmp_path)[0].startswith("ok       user: miltscan runs as user ")


@pytest.mark.parametrize(("text", "level"), [("", "warning"), ("exporter.users_file = '/u'", "error  ")])
def test_a_configuration_that_others_may_change(tmp_path: Path, text: str, level: str) -> None:
    """It is a warning, or an error if the file names secrets, because the service then does not start."""
    assert [line for line in trust(tmp_path, text) if " configuration: " in line] == []
    (tmp_path / "miltscan.toml").chmod(0o666)
    (found,) = (line for line in trust(tmp_path, text) if " configuration: " in line)
    file = tmp_path / "miltscan.toml"
    assert found == f"{level}  configuration: {file} has mode 0666: others may change it; run: chmod go-w {file}"


SIGNED = "[keys]\nfile = '{folder}/keys'\n[verify]\nsocket = 'unix:{folder}/verify.sock'\n"


def test_valid_keys_are_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key file for both sides has no fault; without keys and verify.socket there is no finding."""
    folder = private_folder(tmp_path, monkeypatch)
    (folder / "keys").write_text(f"one {'1' * 64}\n")
    (folder / "keys").chmod(0o640)
    found = [*check.receipt_findings(settings(SIGNED.format(folder=folder)))]
    assert bad_subjects(found) == []
    assert found[-1].text == "1 key; one signs probes and receipts"
    assert [*check.receipt_findings(Settings())] == []


@pytest.mark.parametrize(
    ("more", "signed"),
    [
        ("", "probes, but no receipts: verify.socket is not set, nor is receipt.remote_verifier"),
        ("[receipt]\nremote_verifier = true", "probes and receipts"),
    ],
)
def test_keys_without_verifier(tmp_path: Path, more: str, signed: str) -> None:
    """Keys for the probe alone are ok, and the finding says that no receipt is made."""
    (tmp_path / "keys").write_text(f"one {'1' * 64}\n")
    (tmp_path / "keys").chmod(0o640)
    (found,) = check.receipt_findings(settings(f"[keys]\nfile = '{tmp_path}/keys'\n{more}"))
    assert (found.level, found.text) == (Level.OK, f"1 key; one signs {signed}")


def test_faults_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unusable key file stops the service; with verify.socket and no key every message is scanned twice."""
    folder = private_folder(tmp_path, monkeypatch)
    signed = settings(SIGNED.format(folder=folder))
    assert bad_subjects(check.receipt_findings(signed)) == [("error", "keys.file")]
    keyless = settings(f"[verify]\nsocket = 'unix:{folder}/verify.sock'")
    assert bad_subjects(check.receipt_findings(keyless)) == [("warning", "keys.file")]
    gone = settings("[verify]\nsocket = 'unix:/nonexistent/verify.sock'")
    assert bad_subjects(check.receipt_findings(gone))[0] == ("error", "verify.socket")


@pytest.mark.parametrize(
    ("socket", "allow", "wrong"),
    [
        ("inet:1@127.0.0.1", "::1", []),
        *(("inet:1@0.0.0.0", allow, ["milter.allow"]) for allow in ("::1", "0.0.0.0/0")),
        ("inet:1@0.0.0.0", "192.0.2.1", ["verify.socket"]),
    ],
)
def test_verify_socket_by_tcp(tmp_path: Path, socket: str, allow: str, wrong: list[str]) -> None:
    """The rules for milter.socket hold for verify.socket, too."""
    (tmp_path / "keys").write_text(f"one {'0' * 64}\n")
    (tmp_path / "keys").chmod(0o600)
    text = f"keys.file = '{tmp_path}/keys'\nverify.socket = '{socket}'\nmilter.allow = ['{allow}']"
    assert [subject for _, subject in bad_subjects(check.receipt_findings(settings(text)))] == wrong
