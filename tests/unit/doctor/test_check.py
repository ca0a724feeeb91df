"""What `miltscan check` finds in the world around the service."""

import grp
import os
import time
from pathlib import Path

import pytest

from miltscan.config.load import parse_settings
from miltscan.config.settings import Settings
from miltscan.core.finding import Finding, Level
from miltscan.doctor import check, clamd_conf
from tests.unit.doctor.found import DAY, NOW, bad, works


def settings(text: str) -> Settings:
    """The settings of a file."""
    return parse_settings(text.encode(), "f")


def test_a_finding_is_one_clean_line() -> None:
    """Level, subject, text and remedy; nothing in it reaches the terminal raw."""
    line = str(Finding(Level.WARNING, "clamd a", "bad\x1b[2J", "cure it"))
    assert line == r"warning  clamd a: bad\x1b[2J; cure it"


def private_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that counts as safe, though tests run below /tmp."""
    monkeypatch.setattr(check, "_world_writable", lambda _folder: [])
    return tmp_path


def test_a_good_socket_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, writable, not below a world-writable one."""
    assert bad(check.socket_folder(private_folder(tmp_path, monkeypatch) / "sock")) == []


def test_a_missing_socket_folder_is_an_error(tmp_path: Path) -> None:
    """The service could not bind its socket."""
    assert bad(check.socket_folder(tmp_path / "absent" / "sock")) == [("error", "milter.socket")]


def test_a_socket_folder_that_is_none(tmp_path: Path) -> None:
    """Nor can there be one below it."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "sock", tmp_path / "file" / "folder" / "sock"):
        assert bad(check.socket_folder(path)) == [("error", "milter.socket")]


@pytest.mark.parametrize("closed", ["run", "run/sock"])
def test_a_socket_folder_that_is_closed_to_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """Whoever runs the check need not be root: a line, and the other lines too."""
    real = Path.stat

    def stat_of(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == tmp_path / closed:
            raise PermissionError(13, "Permission denied")
        return real(path, follow_symlinks=follow_symlinks)

    (private_folder(tmp_path, monkeypatch) / "run").mkdir()
    monkeypatch.setattr(Path, "stat", stat_of)
    (finding,) = check.socket_folder(tmp_path / "run" / "sock")
    assert (finding.level, finding.subject) == (Level.ERROR, "milter.socket")
    assert finding.text == f"folder {tmp_path}/run cannot be looked at by user {os.geteuid()}: Permission denied"


def test_a_world_writable_folder_above_the_socket_is_an_error(tmp_path: Path) -> None:
    """Sendmail refuses such a socket, wherever above it the folder is."""
    middle = tmp_path / "middle"
    (middle / "run").mkdir(parents=True)
    middle.chmod(0o777)
    found = [finding.text for finding in check.socket_folder(middle / "run" / "sock")]
    assert f"{middle} is world-writable: sendmail refuses a socket below it" in found


def test_a_file_in_the_place_of_the_socket_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not ours to remove."""
    (private_folder(tmp_path, monkeypatch) / "sock").touch()
    assert bad(check.socket_folder(tmp_path / "sock")) == [("error", "milter.socket")]


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
def test_a_tcp_socket_that_others_reach_is_a_warning(host: str, allow: str, subjects: list[str]) -> None:
    """The milter protocol is not encrypted; a list without other hosts, or with all of them, is a mistake."""
    found = bad(check.socket_finding(settings(f'[milter]\nsocket = "inet:7357@{host}"\nallow = {allow}')))
    assert found == [("warning", subject) for subject in subjects]


def test_a_group_has_to_exist() -> None:
    """No group is fine, one of ours too, an unknown one is an error."""
    ours = grp.getgrgid(os.getegid()).gr_name
    assert [bad(check.group_finding(name)) for name in ("", ours, "no-such-group")] == [
        [],
        [],
        [("error", "milter.socket_group")],
    ]


def test_a_spool_folder_takes_unnamed_files(tmp_path: Path) -> None:
    """One that does not, or is not there, is an error."""
    small = settings("[limits]\nmessage_size = '1KiB'\nconcurrent_scans = 1")
    assert bad(check.spool_finding(tmp_path, small)) == []
    assert bad(check.spool_finding(tmp_path / "absent", small)) == [("error", "spool.directory")]
    assert bad(check.spool_finding(Path("/proc"), small)) == [("error", "spool.directory")]


@pytest.mark.parametrize(("free", "level"), [(2**32, Level.OK), (2**31, Level.WARNING), (2**20, Level.ERROR)])
def test_the_spool_needs_room(free: int, level: Level) -> None:
    """For 40 messages of 100 MiB it had better be 4 GiB; for not even one nothing works."""
    assert check.spool_space_finding(free, Settings()).level is level


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        ("", []),
        ('[policy]\non_infected = "accept"', ["policy.on_infected"]),
        ('[policy]\non_error = "discard"', ["policy.on_error"]),
        ('[policy]\non_error = "accept"', ["policy.on_error"]),
        ('[headers]\nmode = "none"', ["policy.on_unscanned.encrypted"]),
        ('[policy.on_unscanned]\ntoo_large = "tempfail"', ["policy.on_unscanned.too_large"]),
        ('[policy.on_unscanned]\nbusy = "accept"', []),
    ],
)
def test_choices_with_a_price_are_warned_of(text: str, subjects: list[str]) -> None:
    """Infected mail accepted, mail lost, unscanned mail unmarked, a tempfail that never ends."""
    assert bad(check.policy_findings(settings(text))) == [("warning", subject) for subject in subjects]


@pytest.mark.parametrize(
    ("path", "level", "text"),
    [
        ("{folder}", Level.OK, "{folder} can be read: 2 messages wait"),
        ("{folder}/gone", Level.WARNING, "{folder}/gone does not exist: no metrics of it"),
        ("{folder}/qfA", Level.WARNING, "{folder}/qfA cannot be read: Not a directory; no metrics of it"),
    ],
)
def test_queues(tmp_path: Path, path: str, level: Level, text: str) -> None:
    """A queue that cannot be measured costs metrics, not mail; none is asked for by an empty path."""
    for name in ("qfA", "qfB"):
        (tmp_path / name).touch()
    queues = {"incoming": path.format(folder=tmp_path), "delivery": ""}
    (found,) = check.queue_depth_findings(queues)
    assert (found.level, found.subject, found.text) == (level, "queues.incoming", text.format(folder=tmp_path))


def test_everything_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A world in which all is well, and the same with every server down."""
    folder = private_folder(tmp_path, monkeypatch)
    monkeypatch.setattr(clamd_conf, "DEFAULT_FILE", folder / "clamd.conf")
    (folder / "clamd.conf").write_text("AlertExceedsMax yes\nAlertEncrypted yes\nMaxScanTime 50000\n")
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
    """)
    assert bad(check.check_findings(configured, works)) == []
    assert bad(check.check_findings(configured, lambda *_: None)) == [("error", f"clamd unix:{folder}/ctl")]


def test_traces_without_their_packages_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service runs all the same; where nothing is traced, nothing is said."""
    assert [*check.tracing_finding("")] == []
    (fine,) = check.tracing_finding("http://a/v1/traces")
    assert str(fine) == "ok       tracing.endpoint: traces go to http://a/v1/traces"
    monkeypatch.setattr("miltscan.telemetry.traces.find_spec", lambda _name: None)
    (finding,) = check.tracing_finding("http://a/v1/traces")
    assert (finding.level, finding.subject) == (Level.WARNING, "tracing.endpoint")
    assert finding.text == "OpenTelemetry is not installed, nothing is traced"
    assert finding.remedy == "run: pip install --require-hashes -r deploy/requirements-otel.txt"


SIGNED = "[keys]\nfile = '{folder}/keys'\n[verify]\nsocket = 'unix:{folder}/verify.sock'\n"


def test_keys_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides know each other; without either there is nothing to say."""
    folder = private_folder(tmp_path, monkeypatch)
    (folder / "keys").write_text(f"one {'1' * 64}\n")
    (folder / "keys").chmod(0o640)
    found = [*check.receipt_findings(settings(SIGNED.format(folder=folder)))]
    assert bad(found) == []
    assert found[-1].text == "1 keys, one signs"
    assert [*check.receipt_findings(Settings())] == []


def test_what_is_wrong_with_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be used stops the service; a second socket without keys has everything scanned twice."""
    folder = private_folder(tmp_path, monkeypatch)
    signed = settings(SIGNED.format(folder=folder))
    assert bad(check.receipt_findings(signed)) == [("error", "keys.file")]
    keyless = settings(f"[verify]\nsocket = 'unix:{folder}/verify.sock'")
    assert bad(check.receipt_findings(keyless)) == [("warning", "keys.file")]
    gone = settings("[verify]\nsocket = 'unix:/nonexistent/verify.sock'")
    assert bad(check.receipt_findings(gone))[0] == ("error", "verify.socket")


@pytest.mark.parametrize(
    ("socket", "allow", "wrong"),
    [
        ("inet:1@127.0.0.1", "::1", []),
        *(("inet:1@0.0.0.0", allow, ["verify.socket"]) for allow in ("::1", "0.0.0.0/0")),
    ],
)
def test_the_second_socket_by_tcp(tmp_path: Path, socket: str, allow: str, wrong: list[str]) -> None:
    """It is as open as the first one, and says as much."""
    (tmp_path / "keys").write_text(f"one {'0' * 64}\n")
    (tmp_path / "keys").chmod(0o600)
    text = f"keys.file = '{tmp_path}/keys'\nverify.socket = '{socket}'\nmilter.allow = ['{allow}']"
    assert [subject for _, subject in bad(check.receipt_findings(settings(text)))] == wrong
