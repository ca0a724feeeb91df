"""The files of deploy/ that programs of the host read: each is read here by that program, in a private folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from miltscan.config.settings import Settings
from tests.harness import programs

DEPLOY = programs.CHECKOUT / "deploy"
SENDMAIL = programs.CHECKOUT / "sendmail"
UNITS = [
    "miltscan-delivery.service",
    "miltscan-queue@delivery.service",
    "miltscan.service",
    "miltscan-incoming.service",
    "miltscan-queue@incoming.service",
    "miltscan-queue@submit.service",
]
SOCKETS = ["miltscan.socket", "miltscan-tcp.socket"]
ALL = [*UNITS, *SOCKETS, "miltscan-sandwich.target", "clamav-daemon.service", "clamav-daemon.socket"]


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units and drop-ins, and a miltscan that exists; of clamd and sendmail only what the drop-ins need."""
    folder = tmp_path / "units"
    shutil.copytree(DEPLOY / "systemd", folder)
    ours = str(Path(sys.executable).parent / "miltscan")
    places = {"ExecStart=miltscan ": f"ExecStart={ours} ", "/usr/sbin/sendmail": str(programs.find("sendmail"))}
    for path in folder.glob("*.service"):
        text = path.read_text()
        for place, real in places.items():
            text = text.replace(place, real)
        path.write_text(text)
    (folder / "clamav-daemon.service").write_text("[Service]\nExecStart=/bin/true\n")
    (folder / "clamav-daemon.socket").write_text("[Socket]\nListenStream=/run/clamav/clamd.ctl\n")
    return folder


def run(name: str, *arguments: str | Path, units: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A program of systemd or logrotate, which looks for units in `units` first."""
    program = programs.find(name)
    environment = {**os.environ, **programs.environment(program)}
    if units:
        environment["SYSTEMD_UNIT_PATH"] = f"{units}:"
    command = [str(part) for part in (program, *arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=200)


def verify(folder: Path) -> tuple[int, list[str]]:
    """The exit status, and systemd's messages about our units and drop-ins; those of other units are ignored."""
    result = run("systemd-analyze", "verify", "--man=no", *ALL, units=folder)
    return result.returncode, [line for line in result.stderr.splitlines() if str(folder) in line or "miltscan" in line]


def test_systemd_reads_every_unit(units: Path) -> None:
    """Systemd reads each unit file without a warning."""
    assert verify(units) == (0, [])


def test_systemd_reads_the_drop_in_for_postfix(units: Path) -> None:
    """Systemd reads it without a warning, and reports a mistake in it."""
    dropin = units / "miltscan.service.d" / "postfix.conf"
    shutil.copytree(DEPLOY / "postfix" / "miltscan.service.d", dropin.parent, dirs_exist_ok=True)
    assert verify(units) == (0, [])
    dropin.write_text(dropin.read_text() + "Nonsense=yes\n")
    assert any("Nonsense" in line for line in verify(units)[1])


@pytest.mark.parametrize(
    "path", [path.relative_to(DEPLOY / "systemd") for path in (DEPLOY / "systemd").rglob("*.*") if path.is_file()]
)
def test_a_mistake_in_any_file_is_told(units: Path, path: Path) -> None:
    """Systemd reports a mistake in any file, so the silence of the test above shows that it read each file."""
    with (units / path).open("a") as file:
        file.write("Nonsense=yes\n")
    assert any("Nonsense" in line for line in verify(units)[1])


@pytest.mark.parametrize(("unit", "most"), [("miltscan.service", 18), *((unit, 55) for unit in UNITS if "-" in unit)])
def test_exposure(units: Path, unit: str, most: int) -> None:
    """Each unit stays below its bound on the scale of systemd-analyze security, in tenths."""
    result = run("systemd-analyze", "security", "--offline=true", f"--threshold={most}", unit, units=units)
    assert result.returncode == 0, result.stdout[-200:]


def text_of(unit: str) -> str:
    """The unit's file, with the name of an instance in place."""
    template, _, instance = unit.partition("@")
    files = [DEPLOY / "systemd" / (f"{template}@.service" if instance else unit)]
    files += (DEPLOY / "systemd" / f"{unit}.d").glob("*")
    return "".join(file.read_text() for file in files).replace("%i", instance.removesuffix(".service"))


def names(text: str, key: str) -> set[str]:
    """The units that a key lists."""
    return {name for line in re.findall(rf"^{key}=(.*)$", text, re.MULTILINE) for name in line.split()}


@pytest.mark.parametrize(
    ("unit", "after"),
    [
        ("miltscan.service", {"miltscan-delivery.service", "clamav-daemon.service"}),
        ("miltscan-incoming.service", {"miltscan-delivery.service", "miltscan.service"}),
        ("miltscan-queue@delivery.service", {"miltscan-delivery.service"}),
        ("miltscan-queue@incoming.service", {"miltscan-delivery.service", "miltscan-incoming.service"}),
        ("miltscan-queue@submit.service", {"miltscan-incoming.service"}),
    ],
)
def test_order(unit: str, after: set[str]) -> None:
    """After= orders a start, and in reverse a stop."""
    assert after <= names(text_of(unit), "After")


@pytest.mark.parametrize("unit", UNITS)
def test_the_target_ties_them(unit: str) -> None:
    """The target starts each unit, and its stop stops each."""
    assert unit in names(text_of("miltscan-sandwich.target"), "Wants")
    assert names(text_of(unit), "PartOf") == {"miltscan-sandwich.target"}


@pytest.mark.parametrize("unit", SOCKETS)
def test_a_socket_unit_and_its_service(unit: str) -> None:
    """The service needs the socket once it is enabled, and neither a stop of the service nor a failure closes it."""
    text = text_of(unit)
    assert names(text, "RequiredBy") == {"miltscan.service"}
    assert names(text, "TriggerLimitIntervalSec") == {"0"}
    assert names(text_of("miltscan.service"), "RuntimeDirectoryPreserve") == {"yes"}


def test_the_socket_unit_is_as_the_settings() -> None:
    """As shipped, the unit has the default address of milter.socket, for the group of sendmail alone."""
    text = text_of("miltscan.socket")
    assert f"unix:{names(text, 'ListenStream').pop()}" == str(Settings().milter.socket)
    assert (names(text, "SocketGroup"), names(text, "SocketMode")) == ({"smmsp"}, {"0660"})


def test_the_service_may_write_to_its_quarantine() -> None:
    """Systemd makes the folder above the default quarantine for miltscan's user alone."""
    (name,) = names(text_of("miltscan.service"), "StateDirectory")
    assert Path("/var/lib", name) == Path(Settings().quarantine.directory).parent
    assert names(text_of("miltscan.service"), "StateDirectoryMode") == {"0700"}


@pytest.mark.parametrize("side", ["incoming", "delivery"])
def test_one_pid_file_everywhere(side: str) -> None:
    """Systemd and the init script look for the pid file that the .cf file names."""
    defaults = "".join(path.read_text() for path in SENDMAIL.glob("*.m4"))
    (built,) = re.findall(rf"SITE_DEFAULT\(`SITE_{side.upper()}_PID', `(.*)'\)", defaults)
    assert names(text_of(f"miltscan-{side}.service"), "PIDFile") == {built}
    assert f': "${{{side.upper()}_PID:={built}}}"' in (DEPLOY / "sysv" / "miltscan-sandwich").read_text()


@pytest.mark.parametrize("unit", UNITS)
def test_no_line_of_the_log_is_dropped(unit: str) -> None:
    """Journald drops no line of the log, because a burst needs its reasons more than any other hour."""
    shared = (DEPLOY / "systemd" / "miltscan-.service.d" / "sendmail.conf").read_text() if "-" in unit else ""
    assert names(text_of(unit) + shared, "LogRateLimitIntervalSec") == {"0"}


@pytest.mark.parametrize("unit", [unit for unit in UNITS if "-" in unit])
def test_a_sendmail_that_ends_well_is_started_again(unit: str) -> None:
    """Systemd starts a sendmail again that ended without a fault: after a HUP it goes on as another process."""
    shared = (DEPLOY / "systemd" / "miltscan-.service.d" / "sendmail.conf").read_text()
    assert names(text_of(unit) + shared, "Restart") == {"always"}
    assert "ExecReload" not in text_of(unit)


def test_longest_drain() -> None:
    """Neither way to stop miltscan cuts a drain that its configuration allows: 300 s and 10 s."""
    systemd = re.search(r"^TimeoutStopSec=(\d+)s$", text_of("miltscan.service"), re.MULTILINE)
    sysv = re.search(r"MILTSCAN_PATIENCE:=(\d+)", (DEPLOY / "sysv" / "miltscan-sandwich").read_text())
    assert [int(found[1]) > 310 for found in (systemd, sysv) if found] == [True, True]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host's root folder with the users that Debian's packages make."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(
        "root:x:0:0::/:/bin/sh\nsmmta:x:103:106::/:/bin/false\nsmmsp:x:104:107::/:/bin/false\nclamav:x:102:105::/:/bin/false\n"
    )
    (tmp_path / "etc" / "group").write_text("root:x:0:\nclamav:x:105:\nsmmta:x:106:\nsmmsp:x:107:\n")
    result = run("systemd-sysusers", f"--root={tmp_path}", DEPLOY / "sysusers.d" / "miltscan.conf")
    assert result.returncode == 0, result.stderr
    return tmp_path


def test_user(root: Path) -> None:
    """The user is in the group of both sockets, and cannot log in."""
    (entry,) = re.findall(r"^miltscan:x:(\d+):(\d+):[^:]*:(.*)$", (root / "etc" / "passwd").read_text(), re.MULTILINE)
    assert entry[1:] == ("107", "/nonexistent:/usr/sbin/nologin")
    assert names(text_of("miltscan.service"), "Group") == {"smmsp"}
    for file in ("clamav/clamd.conf", "systemd/clamav-daemon.socket.d/miltscan.conf"):
        assert re.search(r"^(Local)?Socket ?Group[ =]smmsp$", (DEPLOY / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "mode", "owner"),
    [
        ("run/sendmail", 0o2755, (0, 106)),
        ("run/sendmail/mta", 0o2755, (103, 107)),
        ("run/sendmail/msp", 0o2775, (104, 107)),
        ("var/spool/mqueuedelivery", 0o2750, (103, 107)),
        ("var/spool/miltscan", 0o700, (None, 107)),
        ("var/lib/miltscan", 0o700, (None, 107)),
        ("var/lib/clamav/tmp", 0o700, (102, 105)),
    ],
)
def test_folders(root: Path, path: str, mode: int, owner: tuple[int | None, int]) -> None:
    """Each folder has its owner and mode; the owner only where the test runs as root."""
    files = [
        DEPLOY / "tmpfiles.d" / name for name in ("miltscan.conf", "miltscan-sendmail.conf", "miltscan-clamav.conf")
    ]
    result = run("systemd-tmpfiles", f"--root={root}", "--create", *files)
    status = (root / path).stat()
    assert status.st_mode & 0o7777 == mode, result.stderr
    if os.geteuid() == 0:
        uid, gid = owner
        assert (status.st_uid if uid is not None else None, status.st_gid) == (uid, gid)
        assert result.returncode == 0, result.stderr


def test_the_folders_on_a_host_with_postfix(root: Path) -> None:
    """It requires no user of sendmail or clamd, and only group postfix may enter the folder of the socket."""
    (root / "etc" / "group").write_text("root:x:0:\nsmmsp:x:107:\npostfix:x:110:\n")
    others = ("smmta", "clamav")
    passwd = [line for line in (root / "etc" / "passwd").read_text().splitlines() if not line.startswith(others)]
    (root / "etc" / "passwd").write_text("\n".join(passwd) + "\n")
    result = run(
        "systemd-tmpfiles",
        f"--root={root}",
        "--create",
        DEPLOY / "tmpfiles.d" / "miltscan.conf",
        DEPLOY / "postfix" / "tmpfiles.d" / "miltscan-postfix.conf",
    )
    status = (root / "var/spool/postfix/miltscan").stat()
    assert status.st_mode & 0o7777 == 0o750, result.stderr
    assert (root / "var/spool/miltscan").stat().st_mode & 0o7777 == 0o700
    if os.geteuid() == 0:
        assert (status.st_gid, result.returncode) == (110, 0), result.stderr


def test_apparmor_profile() -> None:
    """AppArmor's compiler accepts the profile, and the unit names it."""
    result = run("apparmor_parser", "--skip-kernel-load", "--skip-cache", "--names", DEPLOY / "apparmor" / "miltscan")
    assert (result.returncode, result.stdout) == (0, "miltscan\n"), result.stderr
    assert names(text_of("miltscan.service"), "AppArmorProfile") == {"-miltscan"}


def test_log_rotation(tmp_path: Path) -> None:
    """Rotation moves the lines away, and the process goes on writing at the start of the file."""
    log = tmp_path / "miltscan.log"
    settings = (DEPLOY / "logrotate.d" / "miltscan").read_text().replace("/var/log/miltscan", str(tmp_path))
    (tmp_path / "conf").write_text(settings)
    with log.open("ab", buffering=0) as output:
        output.write(b"before\n")
        result = run("logrotate", "--force", "--state", tmp_path / "state", tmp_path / "conf")
        assert (result.returncode, result.stderr) == (0, "")
        output.write(b"after\n")
    assert [(tmp_path / name).read_bytes() for name in ("miltscan.log.1", "miltscan.log")] == [b"before\n", b"after\n"]
